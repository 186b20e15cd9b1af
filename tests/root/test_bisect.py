# SPDX-License-Identifier: Apache-2.0
"""bisect and rollback --check in real environments: what is a verdict, and what never is."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from envgit.porcelain.foundation import session
from envgit.porcelain.foundation.trials import Trials
from envgit.repo.records import write_record
from tests.support import builders, cli, labs, probes
from tests.support.labs import Lab
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

COMMITS = 16
BELOW = "test $(cat /srv/n) -lt {}"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Sixteen commits after the first; /srv/n holds the number, ``tool`` is gone from 12 on."""
    probes.require("busybox")
    with labs.scratch(tmp_path_factory.mktemp("bisect")) as place:
        top = place / "lab"
        top.mkdir()
        builders.rootfs(top / "rootfs", {"srv": {"tool": "#!/bin/sh\nexit 0\n"}})
        (top / "rootfs/srv/tool").chmod(0o755)
        lab = labs.make(top, {})
        for number in range(1, COMMITS + 1):
            lab.inside(lambda root, number=number: _edit(root, number))  # type: ignore[misc]
            lab.call(["commit", "-q", "-m", f"c{number}"]).ok()
            lab.call(["tag", f"t{number}"]).ok()
        built = Shelf(lab)
        built.save()
        yield built


def _edit(root: str, number: int) -> None:
    Path(root, "srv/n").write_text(f"{number}\n")
    if number == 12:
        os.unlink(f"{root}/srv/tool")


@pytest.fixture
def lab(shelf: Shelf, hermetic: Path) -> Lab:
    shelf.restore()
    return shelf.lab


def call(lab: Lab, *words: str) -> cli.Result:
    return cli.run(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})


def start(lab: Lab, *more: str) -> Lab:
    call(lab, "bisect", "start", "main", "t1", *more).ok()
    return lab


def run(lab: Lab, script: str, *options: str) -> cli.Result:
    return call(lab, "bisect", "run", *options, "sh", "-c", script)


def culprit(answer: cli.Result) -> str:
    """The subject of the first bad commit."""
    lines = answer.ok().stdout.splitlines()
    assert any(line.endswith("is the first bad commit") for line in lines), answer
    return next(line.strip() for line in lines if line.startswith("    "))


def head(lab: Lab) -> str:
    git = lab.open().git
    commit = git.head().commit
    assert commit is not None
    return git.commit(commit).subject


@pytest.mark.parametrize("number", [2, 3, 9, 12, 16])
@pytest.mark.parametrize("options", [(), ("-j", "3"), ("--repeat", "2"), ("-j", "2", "--host")])
def test_finds_the_commit(number: int, options: tuple[str, ...], lab: Lab) -> None:
    script = BELOW.format(number)
    if "--host" in options:
        script = script.replace("/srv", "$ENVGIT_ROOT/srv")
    answer = run(start(lab), script, *options)
    assert culprit(answer) == f"c{number}"
    assert answer.stdout.endswith("bisect found first bad commit\n")
    assert head(lab) == f"c{number}"
    assert "srv/n" in answer.stdout
    call(lab, "bisect", "reset").ok()
    assert lab.open().git.head().branch == "main"
    assert not lab.open().git.refs("refs/bisect/")
    lab.fsck()


def test_the_worktree_stays_until_the_end(lab: Lab) -> None:
    """Nor does a trial see what another one wrote, or change anything."""
    start(lab)
    before = lab.photograph()
    answer = run(lab, "test ! -e /srv/mark && touch /srv/mark && exit 128")
    assert answer.status == 128
    assert lab.photograph() == before
    assert culprit(run(lab, f"test ! -e /srv/mark && touch /srv/mark && {BELOW.format(7)}")) == "c7"


def test_uncommitted_changes_come_along(lab: Lab) -> None:
    lab.inside(lambda root: Path(root, "srv/mine").write_text("mine\n") and None)
    start(lab)
    assert culprit(run(lab, f"test ! -e /srv/mine && {BELOW.format(5)}")) == "c5"
    call(lab, "bisect", "reset").ok()
    assert lab.inside(lambda root: Path(root, "srv/mine").read_text()) == "mine\n"


def test_changes_in_the_way_refuse_the_start_and_keep_a_verdict(lab: Lab) -> None:
    lab.inside(lambda root: Path(root, "srv/n").write_text("mine\n") and None)
    refused = call(lab, "bisect", "start", "main", "t1")
    assert refused.status == 1 and "would be overwritten by checkout" in refused.stderr
    assert call(lab, "bisect", "log").status == 1
    call(lab, "rollback", "-q").ok()
    start(lab)
    lab.inside(lambda root: Path(root, "srv/n").write_text("mine\n") and None)
    assert call(lab, "bisect", "good").status == 1
    assert "good-" in " ".join(lab.open().git.refs("refs/bisect/"))
    assert len([line for line in log(lab) if line.startswith("git bisect good")]) == 1


def log(lab: Lab) -> list[str]:
    return call(lab, "bisect", "log").ok().stdout.splitlines()


@pytest.mark.parametrize("options", [(), ("-j", "3"), ("--host",)])
@pytest.mark.parametrize("command", ["no-such-command", "/srv/n", "/etc"])
def test_a_misspelt_command_finds_no_culprit(
    command: str, options: tuple[str, ...], lab: Lab
) -> None:
    before = log(start(lab))
    answer = call(lab, "bisect", "run", *options, command)
    assert answer.status == 1
    code = (
        127
        if command == "no-such-command" or (command == "/srv/n" and "--host" in options)
        else 126
    )
    assert f"error: bogus exit code {code} for good revision\n" in answer.stderr
    assert log(lab) == before


def test_a_commit_that_removes_the_command_is_a_culprit(lab: Lab) -> None:
    """127 in bad commits, 0 in good ones."""
    assert culprit(call(start(lab), "bisect", "run", "/srv/tool")) == "c12"
    call(lab, "bisect", "reset").ok()
    assert culprit(call(start(lab), "bisect", "run", "-j", "3", "/srv/tool")) == "c12"


def test_125_skips(lab: Lab) -> None:
    answer = run(start(lab), f"case $(cat /srv/n) in 8|9) exit 125;; esac; {BELOW.format(6)}")
    assert culprit(answer) == "c6"
    call(lab, "bisect", "reset").ok()
    left = run(start(lab), f"case $(cat /srv/n) in 5|6) exit 125;; esac; {BELOW.format(6)}")
    assert left.status == 2
    assert "There are only 'skip'ped commits left to test." in left.stdout
    assert "error: bisect run cannot continue any more" in left.stderr


@pytest.mark.parametrize("end", ["exit 128", "exit 255", "kill -9 $$", "kill -TERM $$"])
def test_signals_and_large_codes_end_the_run(end: str, lab: Lab) -> None:
    """What is known is kept, and a run goes on from there."""
    answer = run(start(lab), f"test $(cat /srv/n) != 12 || {end}; {BELOW.format(12)}")
    assert answer.status == 128 and "is < 0 or >= 128" in answer.stderr
    known = [line for line in log(lab) if line.startswith("git bisect good")]
    assert known and head(lab) == "c12"
    again = run(lab, BELOW.format(12))
    assert culprit(again) == "c12"
    assert again.stdout.count("running ") < 4


def test_a_failure_of_ours_is_no_verdict(lab: Lab) -> None:
    before = log(start(lab))
    for options in (("-v", "/nonexistent:/mnt"), ("-u", "nobody-at-all"), ("--cap-add", "CAP_X")):
        answer = run(lab, "true", *options)
        assert answer.status in (125, 128), answer
        assert log(lab) == before


def test_a_flaky_test_is_refused(lab: Lab, tmp_path: Path) -> None:
    """It passes every second time."""
    (tmp_path / "count").write_text("")
    start(lab)
    before = log(lab)
    script = "echo >> /shared/count; test $(($(wc -l < /shared/count) % 2)) = 0"
    answer = run(lab, script, "--repeat", "4", "-v", f"{tmp_path}:/shared")
    assert answer.status == 5
    assert "is flaky: 2 bad, 2 good of 4 trials" in answer.stderr
    assert log(lab) == before


def test_final_neighbours_are_tried_again(lab: Lab) -> None:
    """The bad commit that bisect was started with was never tried: --repeat does."""
    answer = run(start(lab), "true", "--repeat", "2")
    assert answer.status == 5 and "should be bad: 2 good of 2 trials" in answer.stderr


def test_a_change_that_came_twice_is_told(lab: Lab) -> None:
    """With several at once it shows: good above bad on a line."""
    answer = run(start(lab), "test $(cat /srv/n) -lt 3 || test $(cat /srv/n) -gt 7", "-j", "3")
    assert answer.status == 5 and "which comes after it, is good" in answer.stderr


@pytest.mark.parametrize("options", [(), ("--host",), ("-j", "2")])
def test_what_takes_too_long_is_skipped(options: tuple[str, ...], lab: Lab) -> None:
    root = "$ENVGIT_ROOT" if "--host" in options else ""
    script = f"test $(cat {root}/srv/n) != 8 || sleep 60; test $(cat {root}/srv/n) -lt 5"
    begun = time.monotonic()
    answer = run(start(lab), script, "--timeout", "0.7", *options)
    assert culprit(answer) == "c5"
    assert time.monotonic() - begun < 50


def test_output_of_trials_at_once_is_not_mixed(lab: Lab) -> None:
    script = f"for i in 1 2 3; do echo out; echo err >&2; sleep 0.1; done; {BELOW.format(9)}"
    answer = run(start(lab), script, "-j", "3")
    assert "out\nerr\nout\nerr\nout\nerr\n" in answer.stdout


def test_json_has_all_of_it(lab: Lab) -> None:
    answer = run(start(lab), f"echo noise; {BELOW.format(9)}", "--json", "-j", "3")
    told = json.loads(answer.ok().stdout)
    assert told["outcome"] == "found" and told["first_bad"]["subject"] == "c9"
    assert told["first_bad"]["files"] == [{"status": "M", "path": "srv/n"}]
    assert [trial["verdict"] for trial in told["trials"]][:3] == ["good", "good", "bad"] or told
    assert told["rounds"] == 2
    assert all(trial["duration_ms"] >= 0 for trial in told["trials"])


def test_settings_and_options_of_run(lab: Lab) -> None:
    call(lab, "config", "run.env", "WANTED=7").ok()
    assert culprit(run(start(lab), "test $(cat /srv/n) -lt $WANTED")) == "c7"
    call(lab, "bisect", "reset").ok()
    start(lab)
    assert culprit(run(lab, "test $(cat /srv/n) -lt $WANTED", "-e", "WANTED=10")) == "c10"


def test_undo_takes_a_wrong_verdict_back(lab: Lab) -> None:
    start(lab)
    before, where = log(lab), head(lab)
    call(lab, "bisect", "good").ok()
    call(lab, "undo").ok()
    assert (log(lab), head(lab)) == (before, where)
    call(lab, "bisect", "bad").ok()
    call(lab, "bisect", "reset").ok()
    call(lab, "undo", "3").ok()
    assert call(lab, "bisect", "log").status == 1
    assert lab.open().git.head().branch == "main"
    lab.fsck()


def test_interrupted_it_goes_on(lab: Lab) -> None:
    """Ctrl-C: a clean end, what is known is kept."""
    start(lab)
    script = f"test $(cat /srv/n) != 12 || sleep 60; {BELOW.format(12)}"
    words: Sequence[str] = ("bisect", "run", "sh", "-c", script)
    process = cli.start(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})
    deadline = time.monotonic() + 30
    while "c8" not in " ".join(log(lab)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not lab.open().worktree.running()
    assert head(lab) == "c12"
    assert culprit(run(lab, BELOW.format(12))) == "c12"


@pytest.mark.parametrize("options", [(), ("-j", "3")])
def test_killed_it_goes_on(options: tuple[str, ...], lab: Lab) -> None:
    """kill -9 in the middle of a trial: what ran dies, too, and nothing that was known is lost."""
    start(lab)
    script = f"test $(cat /srv/n) -lt 12 || sleep 61; {BELOW.format(12)}"
    words = ("bisect", "run", *options, "sh", "-c", script)
    process = cli.start(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})
    deadline = time.monotonic() + 30
    while not _sleepers() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=30)
    while _sleepers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _sleepers()
    assert culprit(run(lab, BELOW.format(12))) == "c12"
    call(lab, "bisect", "reset").ok()
    lab.fsck()


def _sleepers() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == b"sleep\x0061\x00":
                found.append(int(path.parent.name))
    return found


def test_status_says_so(lab: Lab) -> None:
    start(lab)
    told = call(lab, "status").ok().stdout
    assert "You are currently bisecting, started from branch 'main'.\n" in told
    assert '  (use "envgit bisect reset" to get back to the original branch)\n' in told


def test_visualize_shows_what_is_left(lab: Lab) -> None:
    start(lab)
    call(lab, "bisect", "bad").ok()
    shown = call(lab, "bisect", "visualize", "--format=%s").ok().stdout.split()
    assert shown == [f"c{number}" for number in range(8, 1, -1)]
    # Options come with their values, and there may be paths.
    shown = (
        call(lab, "bisect", "view", "-n", "2", "--format", "%s", "--", "srv").ok().stdout.split()
    )
    assert shown == ["c8", "c7"]


@pytest.mark.parametrize("line", ["git bisect", "git-bisect", "git bisect start 'main"])
def test_a_log_that_means_nothing_is_refused(line: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"git bisect start main t1\n{line}\n")
    answer = call(lab, "bisect", "replay", str(tmp_path / "log"))
    assert answer.status == 1 and answer.stderr.startswith("error: ")
    assert call(lab, "bisect", "log").status == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_timeout_is_positive(seconds: str, lab: Lab) -> None:
    """Else all commits were skipped, or none ever ended."""
    assert run(start(lab), "true", "--timeout", seconds).status == 129
    assert run(lab, "true", "--timeout", "inf").ok()


def test_a_run_does_not_mark_in_another_bisection(lab: Lab) -> None:
    start(lab)
    envgit = shlex.join(cli.program())
    terms = "--term-good=fast --term-bad=slow"
    script = f'cd "$1"; {envgit} bisect reset; {envgit} bisect start {terms} main t1'
    answer = call(lab, "bisect", "run", "--host", "sh", "-c", script, "sh", str(lab.project))
    assert answer.status == 1
    assert "another bisection was begun meanwhile" in answer.stderr
    assert log(lab)[-1].startswith("git bisect start ")


def test_a_record_of_a_newer_envgit_can_be_ended(lab: Lab) -> None:
    start(lab)
    repository = lab.open()
    git = repository.git
    with git.writer() as writer:
        newer = write_record(writer, "bisect", {"format": 2}, [], repository.signature())
        writer.flush()
    subprocess.run(
        ["git", f"--git-dir={lab.project}/.envgit", "update-ref", session.RECORD, newer], check=True
    )
    assert "'envgit bisect reset <commit>'" in call(lab, "bisect", "reset").stderr
    call(lab, "bisect", "reset", "main").ok()
    assert lab.open().git.head().branch == "main"
    assert call(lab, "bisect", "log").status == 1


def test_much_output_is_not_kept_whole(lab: Lab) -> None:
    repository = lab.open()
    script = "echo first; head -c 20000000 /dev/zero; echo last"
    with Trials(repository, ("sh", "-c", script)) as trials:
        output = trials.run([repository.git.head().commit], capture=True)[0].output
    assert len(output) < 17 << 20
    assert output.startswith(b"first\n") and output.endswith(b"last\n")
    assert b"\n[... 3222795 bytes left out ...]\n" in output


def test_a_killed_trial_leaves_its_directory_to_none(lab: Lab) -> None:
    """Its processes may be dying still, and would write into the next one's."""
    repository = lab.open()
    commit = repository.git.head().commit
    before = repository.store.all_changes()
    with Trials(repository, ("sleep", "60"), timeout=0.2) as trials:
        assert trials.run([commit])[0].timed_out
        assert repository.store.all_changes() == before


@pytest.mark.parametrize("number", [2, 7, 16, 17])
def test_rollback_by_halves(number: int, lab: Lab) -> None:
    script = f"! test -e /srv/n || {BELOW.format(number)}"
    answer = call(lab, "rollback", "--check", script, "--bisect").ok()
    if number == 17:
        assert answer.stdout == "the check succeeds where we are; nothing was rolled back\n"
        return
    assert head(lab) == f"c{number - 1}"
    assert f"the check succeeds {17 - number} commit" in answer.stdout
    assert answer.stderr.count("trying ") < 10
    call(lab, "undo").ok()
    assert head(lab) == "c16"


def test_rollback_by_halves_finds_what_lies_between(lab: Lab) -> None:
    """The first commit has nothing that the command needs, so it fails there, too."""
    call(lab, "rollback", "--check", BELOW.format(2), "--bisect").ok()
    assert head(lab) == "c1"


def test_rollback_check_never_good(lab: Lab) -> None:
    never = call(lab, "rollback", "--check", "no-such-command", "--bisect")
    assert never.status == 1
    assert "fails in all 6 commits that were tried; nothing" in never.stderr
    assert "is it spelled right?" in never.stderr
    nowhere = call(lab, "rollback", "--check", "false", "--bisect")
    assert "'false' fails in all 17 commits; nothing was changed" in nowhere.stderr
    told = json.loads(call(lab, "rollback", "--check", BELOW.format(15), "--json").ok().stdout)
    assert told["steps"] == 2 and len(told["trials"]) == 3
