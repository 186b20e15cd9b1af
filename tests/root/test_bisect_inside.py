# SPDX-License-Identifier: Apache-2.0
"""bisect inside: which of a commit's packages and files it is, whatever shape the culprit has."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import builders, cli, labs, probes
from tests.support.labs import Lab
from tests.support.pkglabs.recorded import NAMES, SITE, WHOLE, fails_with, install, simply, upgrade
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """``before`` and ``main``, in which all packages and some loose files are new."""
    probes.require("busybox")
    with labs.scratch(tmp_path_factory.mktemp("inside")) as folder:
        top = folder / "lab"
        top.mkdir()
        content: builders.Tree = {
            "etc": {"one.conf": "old\n", "two.conf": "old\n"},
            "srv": {"n": "0\n"},
        }
        builders.rootfs(top / "rootfs", content)
        for name in NAMES:
            install(str(top / "rootfs"), name, 1)
        lab = labs.make(top, {})
        lab.call(["tag", "before"]).ok()
        lab.inside(upgrade)
        lab.call(["commit", "-q", "-m", "upgrade"]).ok()
        for number in range(1, 4):
            text = f"{number}\n"
            lab.inside(lambda root, text=text: Path(root, "srv/n").write_text(text) and None)  # type: ignore[misc]
            lab.call(["commit", "-q", "-m", f"c{number}"]).ok()
        lab.call(["tag", "after"]).ok()
        lab.call(["reset", "-q", "--hard", "main~3"]).ok()
        built = Shelf(lab)
        built.save()
        yield built


@pytest.fixture
def lab(shelf: Shelf, hermetic: Path) -> Lab:
    shelf.restore()
    return shelf.lab


def call(lab: Lab, *words: str) -> cli.Result:
    return cli.run(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})


def inside(lab: Lab, script: str, *options: str) -> Any:
    """What is told of a search that is verified. Packages of which only some files are taken do not
    have to be whole."""
    if WHOLE in script:
        options = ("--no-files", *options)
    answer = call(lab, "bisect", "inside", "--json", *options, "sh", "-c", script).ok()
    told = json.loads(answer.stdout)
    assert told["verified"] and told["status"] == 0
    assert 99 not in {trial["exit_code"] for trial in told["trials"]}, told["trials"]
    return told


def titles(told: Any, key: str = "changes") -> list[list[str]]:
    return [[piece["title"] for piece in one[key]] for one in told["culprits"]]


def title(name: str) -> str:
    return f"pip: {name} 1 -> 2"


# -- what is found ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("p00", ()), ("p23", ()), ("p07", ("-j", "3")), ("p21", ("--repeat", "2"))],
)
def test_one_package(name: str, options: tuple[str, ...], lab: Lab) -> None:
    told = inside(lab, fails_with(name), *options, "main")
    assert titles(told) == [[title(name)]]
    told = inside(lab, simply(name), *options, "main")
    assert titles(told) == [[title(name)]]
    (culprit,) = told["culprits"]
    (piece,) = culprit["changes"]
    assert (piece["manager"], piece["name"], piece["old"], piece["new"]) == ("pip", name, "1", "2")
    assert culprit["files"]["causes"] == [[f"{SITE}/{name}.py"]]
    assert culprit["same"] and not culprit["interacting"]
    assert told["without"] == "good"
    if not options:
        assert sum("file" not in trial["what"] for trial in told["trials"]) < 15


def test_what_is_said(lab: Lab) -> None:
    answer = call(lab, "bisect", "inside", "main", "sh", "-c", simply("p07")).ok()
    assert f"{title('p07')}\n  makes it fail\n" in answer.stdout
    assert answer.stdout.endswith(
        "\nwith everything but this, it succeeds\n"
        f"\n{title('p07')}\n  by this file alone (3 changed):\n    {SITE}/p07.py\n"
    )
    lines = answer.stderr.splitlines()
    assert lines[-1].startswith(f"{len(lines) - 3} trials in {len(lines) - 3} rounds, ")
    assert f"{title('p07')} alone: bad (1, " in answer.stderr
    assert f"everything but {title('p07')}: good (0, " in answer.stderr
    quiet = call(lab, "bisect", "inside", "-q", "main", "sh", "-c", simply("p07")).ok()
    assert quiet.stderr == "" and quiet.stdout == answer.stdout


@pytest.mark.parametrize(
    ("names", "options"),
    [(("p05", "p22"), ("-j", "2")), (("p00", "p01"), ()), (("p06", "p12", "p18"), ())],
)
def test_interacting_packages(names: tuple[str, ...], options: tuple[str, ...], lab: Lab) -> None:
    told = inside(lab, fails_with(*names), *options, "main")
    assert sorted(titles(told)[0]) == [title(name) for name in names]
    told = inside(lab, simply(*names), *options, "main")
    (culprit,) = told["culprits"]
    assert sorted(titles(told)[0]) == [title(name) for name in names]
    assert culprit["interacting"]
    assert [sorted(one) for one in culprit["files"]["causes"]] == [
        sorted(f"{SITE}/{name}.py" for name in names)
    ]
    said = call(lab, "bisect", "inside", "main", "sh", "-c", simply(*names)).ok().stdout
    assert "together make it fail\n  none of them does alone: they interact\n" in said
    assert "\nwith everything but these, it succeeds\n" in said


def test_several_culprits_of_which_each_is_enough(lab: Lab) -> None:
    script = f"{WHOLE}\n! grep -q 2 p06.py && ! grep -q 2 p13.py"
    told = inside(lab, script, "main")
    assert sorted(titles(told)) == [[title("p06")], [title("p13")]]


@pytest.mark.parametrize(
    ("script", "found", "file"),
    [
        ("grep old /etc/one.conf", "etc/one.conf", "etc/one.conf"),
        ("test -e /etc/two.conf", "etc/two.conf", "etc/two.conf"),
        ("test ! -e /srv/data/x", "srv/data/", "srv/data/x"),
    ],
)
def test_a_loose_file(script: str, found: str, file: str, lab: Lab) -> None:
    told = inside(lab, script, "main")
    assert titles(told) == [[found]]
    assert told["culprits"][0]["changes"][0]["paths"] == 1


def test_a_package_and_a_loose_file_interact(lab: Lab) -> None:
    script = f"! grep -q 2 /{SITE}/p09.py || grep old /etc/one.conf"
    told = inside(lab, script, "main")
    assert sorted(titles(told)[0]) == ["etc/one.conf", title("p09")]
    assert sorted(told["culprits"][0]["files"]["causes"][0]) == ["etc/one.conf", f"{SITE}/p09.py"]


def test_what_is_needed_comes_along(lab: Lab) -> None:
    told = inside(lab, fails_with("p10"), "main")
    assert titles(told) == [[title("p10")]]
    assert sorted(titles(told, "along")[0]) == [title("p20"), title("p21")]
    told = inside(lab, fails_with("p21"), "main")
    assert titles(told) == [[title("p21")]] and titles(told, "along") == [[]]
    assert sorted(piece["title"] for piece in told["left_out"]) == [title("p10"), title("p20")]


def test_what_need_one_another_is_told_together(lab: Lab) -> None:
    told = inside(lab, fails_with("p03"), "main")
    both = titles(told)[0] + titles(told, "inseparable")[0]
    assert sorted(both) == [title("p03"), title("p04")]


def test_the_run_configuration(lab: Lab) -> None:
    """Of a commit that changes that, too, as a step of a build does."""
    lab.inside(upgrade_once)
    call(lab, "commit", "-q", "-m", "x").ok()
    repository = lab.open()
    from envgit.porcelain.foundation.inside.candidates import CONFIGURATION

    commit = repository.git.head().commit
    assert commit is not None
    changed_config(lab, commit, {"Env": ["MODE=strict"]})
    told = inside(lab, "test -z $MODE", "main")
    assert titles(told) == [[CONFIGURATION]]
    told = inside(lab, "test -z $MODE || ! test -e /srv/more", "main")
    assert sorted(titles(told)[0]) == ["srv/more", CONFIGURATION]


def upgrade_once(root: str) -> None:
    Path(root, "srv/more").write_text("more\n")
    install(root, "p01", 3)


def changed_config(lab: Lab, commit: str, config: Mapping[str, Any]) -> None:
    """Put a commit of the same state with another configuration in the place of the newest."""
    from dataclasses import replace

    from envgit.layers.ids import CommitId, LayerId

    repository = lab.open()
    git, who = repository.git, repository.signature()
    found = git.commit(CommitId(commit))
    with git.writer() as writer:
        made = writer.write_commit(
            rootfs=found.rootfs,
            layer=LayerId(found.layer),
            metadata=replace(git.metadata(CommitId(commit)), config=dict(config)),
            parents=found.parents,
            author=who,
            committer=who,
            message="with a configuration\n",
        )
        writer.flush()
    call(lab, "reset", "-q", "--hard", made).ok()


# -- what is looked into ----------------------------------------------------------------------


def test_what_bisect_found_is_the_default(lab: Lab) -> None:
    call(lab, "bisect", "start", "after", "before").ok()
    refused = call(lab, "bisect", "inside", "sh", "-c", fails_with("p07"))
    assert refused.status == 1 and "has not found a commit yet" in refused.stderr
    call(lab, "bisect", "run", "sh", "-c", fails_with("p07")).ok()
    said = call(lab, "bisect", "inside", "sh", "-c", fails_with("p07")).ok().stdout
    assert title("p07") in said
    log = call(lab, "bisect", "log").ok().stdout
    upgraded = call(lab, "rev-parse", "main").ok().stdout.strip()
    assert f"# inside {upgraded}: {title('p07')}\n" in log
    (lab.top / "log").write_text(log)
    call(lab, "bisect", "replay", str(lab.top / "log")).ok()
    call(lab, "undo").ok()
    call(lab, "bisect", "reset").ok()
    lab.fsck()


def test_a_path_is_no_line_of_the_log(lab: Lab) -> None:
    call(lab, "switch", "-q", "--detach", "before").ok()
    lab.inside(lambda root: Path(root, "srv/x\ngit bisect good HEAD\n\033").touch())
    call(lab, "commit", "-q", "-m", "odd").ok()
    call(lab, "bisect", "start", "HEAD", "HEAD~").ok()
    call(lab, "bisect", "inside", "sh", "-c", "! ls /srv | grep -q 'git bisect'").ok()
    log = call(lab, "bisect", "log").ok().stdout
    assert ": srv/x?git bisect good HEAD??\n" in log
    call(lab, "bisect", "reset").ok()


def test_uncommitted_changes(lab: Lab) -> None:
    call(lab, "switch", "-q", "--detach", "before").ok()
    refused = call(lab, "bisect", "inside", "false")
    assert refused.status == 1 and "nothing is uncommitted" in refused.stderr
    lab.inside(upgrade)
    before = lab.photograph()
    for options in ((), ("-j", "3")):
        told = inside(lab, fails_with("p07"), *options)
        assert titles(told) == [[title("p07")]] and told["commit"] is None
        told = inside(lab, fails_with("p10"), *options)
        assert sorted(titles(told, "along")[0]) == [title("p20"), title("p21")]
    assert lab.photograph() == before
    lab.fsck()


def test_a_range(lab: Lab) -> None:
    told = inside(lab, "test $(cat /srv/n) -lt 2", "before..after")
    assert titles(told) == [["srv/n"]]
    told = inside(lab, fails_with("p07"), "before..after")
    assert titles(told) == [[title("p07")]]


def test_a_merge_is_compared_with_its_first_parent(lab: Lab) -> None:
    call(lab, "switch", "-q", "-c", "topic", "before").ok()
    lab.inside(lambda root: Path(root, "srv/topic").write_text("t\n") and None)
    call(lab, "commit", "-q", "-m", "topic").ok()
    call(lab, "merge", "-q", "-m", "merged", "main").ok()
    told = inside(lab, fails_with("p07"), "HEAD")
    assert titles(told) == [[title("p07")]]


def test_words_and_dashes(lab: Lab) -> None:
    """A command and a commit may have one name."""
    call(lab, "branch", "test", "main").ok()
    said = call(lab, "bisect", "inside", "test", "-e", "/etc/two.conf")
    assert said.status == 128 and "both revision and command" in said.stderr
    for words in (("test", "--"), ("--",)):
        answer = call(lab, "bisect", "inside", *words, "test", "-e", "/etc/two.conf")
        if words == ("--",):
            assert "nothing is uncommitted" in answer.stderr
        else:
            assert "etc/two.conf" in answer.ok().stdout
    assert call(lab, "bisect", "inside").status == 1
    late = call(lab, "bisect", "inside", "main", "--no-files", "false")
    assert late.status == 129 and "hint: options go before the commit" in late.stderr


# -- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("true", 1, "the command succeeds in "),
        ("false", 1, " (init: "),
        ("exit 125", 1, "cannot be tested in "),
        ("exit 130", 128, "is < 0 or >= 128"),
        ("kill -SEGV $$", 128, "sh -c '<command> || exit 1'"),
        ("no-such-command", 1, "bogus exit code 127"),
        ("sleep 30", 1, "takes longer than --timeout"),
    ],
)
def test_ends_are_tried_first(script: str, status: int, said: str, lab: Lab) -> None:
    for options in ((), ("-j", "2")):
        words = ("bisect", "inside", "--timeout", "2", *options, "main", "sh", "-c", script)
        answer = call(lab, *words)
        assert answer.status == status and said in answer.stderr, answer
    assert "a first commit" in call(lab, "bisect", "inside", "before", "false").stderr


@pytest.mark.parametrize("ending", ["exit 125", "kill -SEGV $$", "sleep 30"])
def test_mixtures_that_cannot_be_tested(ending: str, lab: Lab) -> None:
    """Where p05 is new without p06, nothing can be told."""
    odd = f"grep -q 2 /{SITE}/p05.py && grep -q 1 /{SITE}/p06.py && {{ {ending}; }}"
    told = inside(lab, f"{odd}; {fails_with('p02')}", "--timeout", "2", "main")
    assert titles(told) == [[title("p02")]]
    assert "skip" in {trial["verdict"] for trial in told["trials"]}
    # Without p06 it is such a mixture, unless p05 is left out as well.
    script = f"{odd}; {simply('p06')}"
    answer = call(lab, "bisect", "inside", "--timeout", "2", "main", "sh", "-c", script)
    assert answer.status == 0
    assert f"{title('p06')}\n  makes it fail" in answer.stdout
    assert f"cannot be tested:)\n    {title('p05')}\n" in answer.stdout


def test_what_cannot_be_decided_is_told(lab: Lab) -> None:
    """p05 can only be tested with p06, though their records do not say so."""
    odd = "[ $(cat p05.py) = $(cat p06.py) ] || exit 125"
    script = f"{WHOLE}\n{odd}\n! grep -q 2 p05.py"
    answer = call(lab, "bisect", "inside", "--json", "main", "sh", "-c", script)
    told = json.loads(answer.stdout)
    assert answer.status == told["status"] == 2 and not told["verified"]
    assert sorted(titles(told)[0]) == [title("p05"), title("p06")]
    assert titles(told, "undecided")[0]
    said = call(lab, "bisect", "inside", "main", "sh", "-c", script)
    assert said.status == 2 and "without these it could not be tested:" in said.stdout


def test_another_exit_status_ends_it(lab: Lab) -> None:
    odd = f"grep -q 2 /{SITE}/p05.py && grep -q 1 /{SITE}/p20.py && exit 200"
    script = f"{odd}; {simply('p07')}"
    answer = call(lab, "bisect", "inside", "main", "sh", "-c", script)
    assert answer.status == 128 and "exit code 200" in answer.stderr


def test_a_flaky_test_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "count").write_text("")
    script = "echo >> /shared/count; test $(($(wc -l < /shared/count) % 2)) = 0"
    options = ("--repeat", "4", "-v", f"{tmp_path}:/shared")
    answer = call(lab, "bisect", "inside", *options, "main", "sh", "-c", script)
    assert answer.status == 5 and "is flaky: 2 bad, 2 good of 4 trials" in answer.stderr


def test_the_same_failure(lab: Lab) -> None:
    """p02 new without p09 fails, too, in a way of its own."""
    other = f"grep -q 2 /{SITE}/p02.py && grep -q 1 /{SITE}/p09.py && {{ echo other; exit 1; }}"
    script = f"{other}; {fails_with('p12')} || {{ echo wanted; exit 1; }}"
    told = inside(lab, script, "--no-files", "--same", "main")
    assert titles(told) == [[title("p12")]]
    told = json.loads(
        call(lab, "bisect", "inside", "--json", "--no-files", "main", "sh", "-c", script).stdout
    )
    for culprit in told["culprits"]:
        assert culprit["same"] == (culprit["changes"][0]["name"] == "p12")
    script = script.replace("p09", "p18")
    said = call(lab, "bisect", "inside", "--no-files", "main", "sh", "-c", script)
    assert f"{title('p02')}\n  makes it fail, but otherwise than in the commit" in said.stdout
    assert "hint: '--same' counts only failures" in said.stderr


def test_host_and_options_of_run(lab: Lab) -> None:
    root = f"$ENVGIT_ROOT/{SITE}"
    told = inside(lab, f"! grep -q 2 {root}/p07.py", "--host", "main")
    assert titles(told) == [[title("p07")]]
    told = inside(lab, "! grep -q $WANTED p07.py", "-e", "WANTED=2", "-w", f"/{SITE}", "main")
    assert titles(told) == [[title("p07")]]


# -- what is left -----------------------------------------------------------------------------


def held(lab: Lab) -> tuple[int, ...]:
    """How many change sets there are, and how much there is to be thrown away."""
    store = lab.top / "store"
    return tuple(len(os.listdir(store / name)) for name in ("changes", "trash", "tmp"))


@pytest.mark.parametrize("options", [(), ("-j", "3")])
def test_nothing_is_left_and_nothing_moves(options: tuple[str, ...], lab: Lab) -> None:
    lab.inside(lambda root: Path(root, "srv/mine").write_text("mine\n") and None)
    before, count = lab.sight(), held(lab)
    script = f"! test -e /srv/mine || exit 1; echo >> /{SITE}/p00.py; {simply('p07')}"
    inside(lab, script, *options, "main")
    assert lab.sight() == before and held(lab) == count
    lab.fsck()


def start(lab: Lab, script: str, *options: str) -> subprocess.Popen[bytes]:
    words: Sequence[str] = ("bisect", "inside", *options, "main", "sh", "-c", script)
    return cli.start(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_nothing(number: signal.Signals, lab: Lab, tmp_path: Path) -> None:
    """In the third trial, that of a candidate. After kill -9 gc removes what is left."""
    call(lab, "gc", "-q", "--prune=now").ok()
    count = held(lab)
    script = "echo >> /shared/n; test $(wc -l < /shared/n) -lt 3 || sleep 62; " + fails_with("p07")
    process = start(lab, script, "-v", f"{tmp_path}:/shared")
    until(lambda: (tmp_path / "n").exists() and len((tmp_path / "n").read_text()) == 3)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    until(lambda: not lab.open().worktree.running())
    if number == signal.SIGKILL:
        assert held(lab) != count
        call(lab, "gc", "-q", "--prune=now").ok()
    assert held(lab) == count
    lab.fsck()


def test_gc_meanwhile_does_no_harm(lab: Lab, tmp_path: Path) -> None:
    """A collection in each trial, from the outside."""
    waits = "until test -e /shared/$(wc -l < /shared/n | tr -d ' '); do sleep 0.05; done"
    script = f"echo >> /shared/n; {waits}; {simply('p07')}"
    process = start(lab, script, "--json", "-v", f"{tmp_path}:/shared")
    for number in itertools.count(1):
        until(lambda: process.poll() is not None or lines(tmp_path) >= number)  # noqa: B023
        if process.poll() is not None:
            break
        call(lab, "gc", "-q", "--prune=now").ok()
        (tmp_path / str(number)).touch()
    out, _ = process.communicate(timeout=30)
    assert titles(json.loads(out)) == [[title("p07")]]
    lab.fsck()


def lines(folder: Path) -> int:
    path = folder / "n"
    return len(path.read_text()) if path.exists() else 0
