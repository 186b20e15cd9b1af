# SPDX-License-Identifier: Apache-2.0
"""The words of packages: what they cost over the same without, and over the managers' own lists.

All happens in a Debian with Python, 60 packages of apt and 40 of pip made for it (`pkglabs`), each
in two versions: one commit upgrades the 60, the next the 40.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, Sample, milliseconds, say
from tests.bench.place import PYTHON, Repository
from tests.bench.report import Table, figure, ratio
from tests.support.pkglabs import chains, debs, place, wheels

APT, PIP = 60, 40
HISTORY = 1000
_CULPRITS = 8
_PIP_PLACE = "usr/local/lib/python3.11/dist-packages"


class Lab(Repository):
    """A `place.Environment` as a repository of the benchmark."""

    def __init__(self, made: place.Environment) -> None:
        super().__init__(made.top)
        self.made = made
        self.folder = made.project

    def forget(self, _: int = 0) -> None:
        """Drop what was read from databases."""
        shutil.rmtree(self.home / "store/cache/packages", ignore_errors=True)


def packages(bench: Bench) -> list[Table]:
    """Culprits, lists, differences, histories, merges, and what goes back."""
    lab = _lab(bench)
    return [
        _culprits(lab),
        _lists(bench, lab),
        _differences(bench, lab),
        _changes(bench, lab),
        _merges(bench, lab),
        _history(bench, lab),
    ]


def _lab(bench: Bench) -> Lab:
    top = bench.place.root / "packages"
    shutil.rmtree(top, ignore_errors=True)
    say(f"making a Debian with {APT} packages of apt and {PIP} of pip")
    made = place.debian(
        top,
        *chains.PYTHON,
        archive=debs.archive(debs.library(APT)),
        wheels=wheels.wheelhouse(wheels.library(PIP)),
    )
    made.apt("install", *(f"lab-{number:03}=1.0" for number in range(APT)))
    made.pip("install", *(f"lab-py-{number:03}==1.0" for number in range(PIP)), message="1.0")
    made.envgit("tag", "old").ok()
    made.apt("upgrade", message="apt")
    made.envgit("tag", "apt").ok()
    made.pip("install", *(f"lab-py-{number:03}==2.0" for number in range(PIP)), message="pip")
    made.envgit("tag", "new").ok()
    return Lab(made)


# -- bisect inside ----------------------------------------------------------------------------


def _culprits(lab: Lab) -> Table:
    """Each time another package is to blame: its version 2.0 is what fails."""
    rows = []
    for name, commit, count, script in (
        ("pip", "new", PIP, f"test ! -e /{_PIP_PLACE}/lab_py_{{}}/data/2.0.txt"),
        ("apt", "apt", APT, "! grep -q 2.0 /usr/lib/lab/{}"),
    ):
        trials, took, inside = [], [], []
        for turn in range(_CULPRITS):
            number = turn * (count - 1) // (_CULPRITS - 1)
            command = ["sh", "-c", script.format(f"{number:03}")]
            begun = time.perf_counter()
            said = lab.envgit("bisect", "inside", "--json", "--no-files", commit, "--", *command)
            took.append((time.perf_counter() - begun) * 1000)
            told = json.loads(said)
            (culprit,) = told["culprits"]
            (change,) = culprit["changes"]
            assert change["name"].endswith(f"{number:03}"), change
            assert told["verified"], told
            trials.append(len(told["trials"]))
            inside += [one["duration_ms"] for one in told["trials"]]
        begun = time.perf_counter()
        for _ in range(5):
            lab.envgit("run", "--", *command[:2], "true")
        run = (time.perf_counter() - begun) * 200
        each = statistics.median(inside)
        say(f"  {name}: {trials} trials, {[round(one) for one in took]} ms")
        rows.append(
            [
                f"{count} of {name}",
                f"{statistics.median(trials):g} ({min(trials)}..{max(trials)})",
                figure(Sample(took)),
                milliseconds(each),
                milliseconds(run),
                f"{each / run:.2f}",
            ]
        )
    head = (
        "Upgraded at once",
        "trials",
        "in all, ms",
        "a trial, ms",
        "envgit run true, ms",
        "ratio",
    )
    note = f"{_CULPRITS} different culprits each. Trials count both proofs and the two ends."
    return Table("bisect inside: which of the packages", head, rows, [note])


# -- lists ------------------------------------------------------------------------------------


def _lists(bench: Bench, lab: Lab) -> Table:
    """``packages`` against the managers' own lists of the same databases, on this machine."""
    plain = bench.place.root / "packages-plain"
    shutil.rmtree(plain, ignore_errors=True)
    plain.mkdir()
    lab.made.envgit("export", "new", f"tar:{plain}/tree.tar").ok()
    subprocess.run(["tar", "-xf", "tree.tar"], cwd=plain, check=True)
    dpkg = ["dpkg-query", f"--admindir={plain}/var/lib/dpkg", "-W"]
    paths = [f"--path={plain}/{where}" for where in (_PIP_PLACE, "usr/lib/python3/dist-packages")]
    pip = [PYTHON, "-m", "pip", "list", "--disable-pip-version-check", *paths]
    sbom = ("export", "--sbom", "new", "-")
    spdx = ("export", "--sbom=spdx-json", "new", "-")
    # Title, command line, whether databases are read anew, and what it is compared with.
    lines = (
        ("packages --manager apt, read", ("packages", "--manager", "apt", "new"), True, "dpkg"),
        ("packages --manager apt", ("packages", "--manager", "apt", "new"), False, "dpkg"),
        ("packages --manager pip, read", ("packages", "--manager", "pip", "new"), True, "pip"),
        ("packages --manager pip", ("packages", "--manager", "pip", "new"), False, "pip"),
        ("packages, read", ("packages", "new"), True, "both"),
        ("packages", ("packages", "new"), False, "both"),
        ("packages of the worktree", ("packages",), False, "both"),
        ("packages --json", ("packages", "--json", "new"), False, "both"),
        ("export --sbom, read", sbom, True, "both"),
        ("export --sbom", sbom, False, "both"),
        ("export --sbom=spdx-json", spdx, False, "both"),
    )
    racers = [
        Competitor(
            title,
            lambda _, words=words: lab.command(*words),  # type: ignore[misc]
            before=lab.forget if read else lambda _: None,
        )
        for title, words, read, _ in lines
    ]
    racers += [
        Competitor("dpkg", lambda _: Command(dpkg)),
        Competitor("pip", lambda _: Command(pip)),
    ]
    found = bench.race(racers, bench.repeat * 2)
    shutil.rmtree(plain)
    found["both"] = Sample([found["dpkg"].median + found["pip"].median])
    rows = [
        [title, figure(found[title]), ratio(found[title], found[peer])] for title, *_, peer in lines
    ]
    rows += [["dpkg-query -W", figure(found["dpkg"]), "-"], ["pip list", figure(found["pip"]), "-"]]
    head = ("What is installed", "ms", "over dpkg-query, pip list or both")
    return Table("packages", head, rows)


# -- differences ------------------------------------------------------------------------------


def _differences(bench: Bench, lab: Lab) -> Table:
    rows = []
    for name, old, new in (("60 of apt", "old", "apt"), ("40 of pip", "apt", "new")):
        words = ("diff", "--packages", old, new)
        found = bench.race(
            [
                Competitor("read", lambda _, w=words: lab.command(*w), before=lab.forget),  # type: ignore[misc]
                Competitor("known", lambda _, w=words: lab.command(*w)),  # type: ignore[misc]
                Competitor(
                    "stat",
                    lambda _, w=words: lab.command("diff", "--stat", *w[2:]),  # type: ignore[misc]
                ),
            ],
            bench.repeat * 2,
        )
        rows.append(
            [
                name,
                figure(found["read"]),
                figure(found["known"]),
                figure(found["stat"]),
                ratio(found["known"], found["stat"]),
            ]
        )
    head = ("Upgraded", "--packages, ms", "again, ms", "diff --stat, ms", "ratio")
    return Table("diff --packages", head, rows)


# -- verbs that change ------------------------------------------------------------------------


def _changes(bench: Bench, lab: Lab) -> Table:
    """Putting one package back, against as many plain paths; status with packages changed."""
    paths = [f"usr/lib/lab/{number:03}" for number in range(4)]

    def reset(_: int) -> None:
        lab.envgit("reset", "-q", "--hard", "new")

    def dirty(_: int) -> None:
        reset(0)
        lab.envgit("run", "--", "sh", "-c", "echo x > /srv/x")

    def upgraded(_: int) -> None:
        lab.envgit("reset", "-q", "--hard", "old")
        lab.envgit("restore", "--source", "apt", "--", "usr", "var", "etc")

    found = bench.race(
        [
            Competitor(
                "rollback --package lab-017 old",
                lambda _: lab.command("rollback", "--package", "lab-017", "old"),
                before=reset,
            ),
            Competitor(
                "rollback --package pip:lab-py-017 old",
                lambda _: lab.command("rollback", "--package", "pip:lab-py-017", "old"),
                before=reset,
            ),
            Competitor(
                "restore --source old -- 4 PATHS",
                lambda _: lab.command("restore", "--source", "old", "--", *paths),
                before=reset,
            ),
            Competitor("status, clean", lambda _: lab.command("status"), before=reset),
            Competitor("status, one file", lambda _: lab.command("status"), before=dirty),
            Competitor("status -s, one file", lambda _: lab.command("status", "-s"), before=dirty),
            Competitor("status, 60 packages", lambda _: lab.command("status"), before=upgraded),
            Competitor(
                "status -s, 60 packages", lambda _: lab.command("status", "-s"), before=upgraded
            ),
        ],
        bench.repeat,
    )
    reset(0)
    floors = {
        "rollback --package lab-017 old": "restore --source old -- 4 PATHS",
        "rollback --package pip:lab-py-017 old": "restore --source old -- 4 PATHS",
        "status, one file": "status -s, one file",
        "status, 60 packages": "status -s, 60 packages",
    }
    rows = [
        [name, figure(sample), ratio(sample, found.get(floors.get(name, "")))]
        for name, sample in found.items()
    ]
    return Table("one package back, and status", ("Command", "ms", "over the plain one"), rows)


# -- merges -----------------------------------------------------------------------------------


def _merges(bench: Bench, lab: Lab) -> Table:
    """Two branches that each upgraded ten packages, against two that changed as many files."""
    half = APT // 6

    def branch(name: str, script: str) -> None:
        lab.envgit("switch", "-q", "-C", name, "old")
        lab.made.sh(script, message=name)

    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y install {} >/dev/null"
    ours = " ".join(f"lab-{number:03}" for number in range(half))
    theirs = " ".join(f"lab-{number:03}" for number in range(2 * half, 3 * half))
    branch("apt-ours", install.format(ours))
    branch("apt-theirs", install.format(theirs))
    for side in ("ours", "theirs"):
        script = f"mkdir -p /srv/{side}; for n in $(seq 60); do echo $n > /srv/{side}/$n; done"
        branch(f"plain-{side}", script)

    def on(name: str) -> None:
        lab.envgit("switch", "-q", f"{name}-ours")
        lab.envgit("reset", "-q", "--hard", f"{name}-ours")

    def back(name: str) -> None:
        lab.envgit("undo", "-q")
        on(name)

    racers = [
        Competitor(
            name,
            lambda _, name=name: lab.command("merge", "--no-edit", f"{name}-theirs"),  # type: ignore[misc]
            before=lambda _, name=name: on(name),  # type: ignore[misc]
            after=lambda _, name=name: back(name),  # type: ignore[misc]
        )
        for name in ("apt", "plain")
    ]
    found = bench.race(racers, bench.repeat)
    lab.envgit("switch", "-q", "main")
    row = [figure(found["apt"]), figure(found["plain"]), ratio(found["apt"], found["plain"])]
    head = ("Merge of", "packages, ms", "plain files, ms", "ratio")
    return Table("merge of packages", head, [["10 and 10 of apt; 60 and 60 files", *row]])


# -- histories --------------------------------------------------------------------------------

# Each twentieth commit gives one package another version in dpkg's database, as an upgrade would.
_GROW = """
import os, sys, envgit
repo = envgit.Repository.open('.', environ=os.environ)
status = '/var/lib/dpkg/status'
for number in range(int(sys.argv[1])):
    script = f'echo {number} > /srv/bench-{number}'
    if number % 20 == 0:
        change = f's/^Version: .*/Version: 3.{number}/'
        script += f'; sed -i "/^Package: lab-000$/,/^$/{change}" {status}'
    repo.run(['sh', '-c', script])
    repo.commit(f'commit {number}')
"""


def _history(bench: Bench, lab: Lab) -> Table:
    say(f"making {HISTORY} commits")
    lab.envgit("switch", "-q", "-C", "long", "new")
    subprocess.run([PYTHON, "-c", _GROW, str(HISTORY)], cwd=lab.folder, env=lab.env, check=True)
    lines = {
        "log --packages": ("log", "--oneline", "--packages"),
        "log --package lab-000": ("log", "--oneline", "--package", "lab-000"),
        "blame --package lab-001": ("blame", "--package", "lab-001"),
        "log --stat": ("log", "--oneline", "--stat"),
        "log -- var/lib/dpkg/status": ("log", "--oneline", "--", "var/lib/dpkg/status"),
    }
    racers = [
        Competitor(f"{name}, cold", lambda _, w=words: lab.command(*w), before=lab.forget)  # type: ignore[misc]
        for name, words in list(lines.items())[:3]
    ]
    racers += [
        Competitor(name, lambda _, w=words: lab.command(*w))  # type: ignore[misc]
        for name, words in lines.items()
    ]
    found = bench.race(racers, min(bench.repeat, 3))
    floors = {
        "log --packages": "log --stat",
        "log --package lab-000": "log -- var/lib/dpkg/status",
        "blame --package lab-001": "log -- var/lib/dpkg/status",
    }
    rows = []
    for name in lines:
        cold, known = found.get(f"{name}, cold"), found[name]
        plain = found.get(floors.get(name, ""))
        rows.append([name, figure(cold), ratio(cold, plain), figure(known), ratio(known, plain)])
    over = "over the plain one"
    head = ("Command", "databases read, ms", over, "known, ms", over)
    note = f"{HISTORY} commits, of which each twentieth changed dpkg's database."
    return Table("histories of packages", head, rows, [note])
