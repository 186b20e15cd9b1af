# SPDX-License-Identifier: Apache-2.0
"""``bisect run`` over 1,024 commits, against git on a repository of the same shape as a floor; and
``bisect start`` on a graph of 10,000."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import cases_graph
from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, Sample, milliseconds, say
from tests.bench.place import PYTHON, Repository
from tests.bench.report import Table, figure, ratio
from tests.support import builders

CANDIDATES = 1024
FIRST_BAD = 700
TEST = f"test $(cat /srv/n) -lt {FIRST_BAD}"

# What the same command costs by itself: the inner loop of ``run``, in one process.
LOOP = """
import os, sys, time, envgit
repo = envgit.Repository.open('.', environ=os.environ)
times = []
for number in range(20):
    began = time.perf_counter()
    repo.run(['sh', '-c', sys.argv[1]])
    times.append(time.perf_counter() - began)
print(sorted(times)[len(times) // 2] * 1000)
"""


def bisect(bench: Bench) -> list[Table]:
    """Whole runs, what a trial costs over the command, and the start on a large graph."""
    return [_runs(bench), _start(bench)]


def _runs(bench: Bench) -> Table:
    home = bench.place.root / "bisect"
    shutil.rmtree(home, ignore_errors=True)
    repository = _environment(home / "ours")
    plain = _plain(home / "plain")
    loops: list[float] = []
    told: dict[str, list[dict[str, Any]]] = {}

    def run(name: str, *options: str) -> Callable[[int], float]:
        def timed(number: int) -> float:
            loops.append(_loop(repository))
            repository.envgit("bisect", "start", "main", f"main~{CANDIDATES}")
            text = repository.envgit("bisect", "run", "--json", *options, "sh", "-c", TEST)
            repository.envgit("bisect", "reset")
            found = json.loads(text)
            assert found["first_bad"]["subject"] == f"commit {FIRST_BAD}", found
            if number:
                told.setdefault(name, []).append(found)
            return float(found["duration_ms"])

        return timed

    racers = [
        Competitor("bisect run", own_clock=run("bisect run")),
        Competitor("bisect run -j 3", own_clock=run("bisect run -j 3", "-j", "3")),
        Competitor(
            "git bisect run",
            lambda _: Command(["git", "bisect", "run", "sh", "-c", TEST.replace("/srv/", "")],
                              str(plain)),
            before=lambda _: _git(plain, "bisect", "start", "main", f"main~{CANDIDATES}"),
            after=lambda _: _git(plain, "bisect", "reset"),
        ),
    ]  # fmt: skip
    found = bench.race(racers, bench.repeat)
    loop = statistics.median(loops)
    rows = [_row(name, found[name], told.get(name, []), loop) for name in found]
    shutil.rmtree(home)
    head = ("What", "ms", "trials", "rounds", "ms a trial", "over the command", "beside trials")
    note = (
        f"The command by itself, in the inner loop of run: {milliseconds(loop)} ms. A trial's cost"
        " contains that of publishing its verdict: some 12 fsyncs a round. git checks 1 file out"
        " and publishes without fsync."
    )
    return Table(f"bisect run, {CANDIDATES} candidates", head, rows, (note,))


def _row(name: str, sample: Sample, told: list[dict[str, Any]], loop: float) -> list[str]:
    if not told:
        return [name, figure(sample), "10", "10", milliseconds(sample.median / 10), "-", "-"]
    trials, rounds = len(told[0]["trials"]), told[0]["rounds"]
    each = sample.median / rounds
    return [
        name,
        figure(sample),
        str(trials),
        str(rounds),
        milliseconds(sample.median / trials),
        f"{milliseconds(each - loop)} a round",
        milliseconds(statistics.median(map(_beside, told))) if trials == rounds else "-",
    ]


def _beside(told: dict[str, Any]) -> float:
    """Milliseconds a round in which no command was being started, running or ending."""
    return float(told["duration_ms"] - sum(one["duration_ms"] for one in told["trials"])) / float(
        told["rounds"]
    )


def _loop(repository: Repository) -> float:
    done = subprocess.run(
        [PYTHON, "-c", LOOP, "test -e /srv/n"],
        cwd=repository.folder,
        env=repository.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _environment(home: Path) -> Repository:
    """One commit more than there are candidates; /srv/n holds the number of the commit."""
    source = home.with_name("source")
    shutil.rmtree(source, ignore_errors=True)
    builders.rootfs(source, {"srv": None})
    repository = Repository(home).init(f"rootfs:{source}")
    say(f"making {CANDIDATES + 1} commits")
    code = (
        "import os, sys, envgit\n"
        "repo = envgit.Repository.open('.', environ=os.environ)\n"
        "for number in range(int(sys.argv[1]) + 1):\n"
        "    upper = repo.store.upper_path(repo.worktree.state().changes)\n"
        "    os.makedirs(f'{upper}/srv', exist_ok=True)\n"
        "    open(f'{upper}/srv/n', 'w').write(str(number))\n"
        "    repo.commit(f'commit {number}')\n"
    )
    subprocess.run(
        [PYTHON, "-c", code, str(CANDIDATES)], cwd=repository.folder, env=repository.env, check=True
    )
    return repository


def _plain(folder: Path) -> Path:
    """The same for git: one file that holds the number of the commit."""
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    stream = []
    for number in range(CANDIDATES + 1):
        subject, text = f"commit {number}", str(number)
        stream.append(
            f"commit refs/heads/main\ncommitter B <b@example.org> {1_700_000_000 + number} +0000\n"
            f"data {len(subject)}\n{subject}\nM 644 inline n\ndata {len(text)}\n{text}\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder, input="".join(stream).encode(), check=True
    )
    _git(folder, "reset", "-q", "--hard", "main")
    return folder


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def _start(bench: Bench) -> Table:
    folder = bench.place.root / "bisect-graph"
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making {cases_graph.COMMITS} commits")
    repository = cases_graph.make(folder, cases_graph.COMMITS)
    words = ("bisect", "start", "--no-checkout", "main", "v1")
    git = ["git", f"--git-dir={repository.folder / '.envgit'}", *words]
    racers = [
        Competitor("envgit", lambda _: repository.command(*words)),
        Competitor("git", lambda _: Command(git, str(repository.folder), repository.env)),
    ]
    found = bench.race(racers, bench.repeat)
    shutil.rmtree(folder)
    row = [figure(found["envgit"]), figure(found["git"]), ratio(found["envgit"], found["git"])]
    head = ("Graph", "envgit, ms", "git, ms", "ratio")
    rows = [[f"{cases_graph.COMMITS} commits, one in twelve a merge", *row]]
    return Table("bisect start, with the first proposal", head, rows)
