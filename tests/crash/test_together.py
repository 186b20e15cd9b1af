# SPDX-License-Identifier: Apache-2.0
"""Several commands in one worktree at once: they share files, wait for one another, or refuse."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from envgit.layers.ids import ChangesId
from envgit.porcelain.commit import commit
from envgit.porcelain.run import run as run_in
from envgit.store.worktree import Worktree
from tests.support import builders, labs
from tests.support.labs import Answer, Lab
from tests.support.overlays import assert_same
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "pidns", "trusted_xattr", "mknod", "busybox"),
    pytest.mark.peer("git>=2.30"),
]

PATIENCE = 20.0


class Started:
    """A command that is under way."""

    def __init__(self, lab: Lab, args: Sequence[str]) -> None:
        self._reader, self.pid = labs.start(args, lab.project, lab.environ)
        self._answer: Answer | None = None

    def wait(self) -> Answer:
        """Its end, once."""
        if self._answer is None:
            with open(self._reader, "rb") as pipe:
                said = pipe.read().decode(errors="replace")
            _, status = os.waitpid(self.pid, 0)
            self._answer = Answer(os.waitstatus_to_exitcode(status), said)
            assert "Traceback" not in said and "has a bug" not in said, said
        return self._answer


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Shelf]]:
    with labs.scratch(tmp_path_factory.mktemp("together")) as place:
        top = place / "lab"
        builders.rootfs(top / "rootfs")
        yield [Shelf(labs.make(top, {}))]


@pytest.fixture
def lab(shelf: list[Shelf], hermetic: Path) -> Lab:
    """An environment with a shell."""
    if len(shelf) == 1:
        shelf[0].save()
        shelf.append(shelf[0])
    shelf[0].restore()
    return shelf[0].lab


@pytest.fixture
def begin(lab: Lab) -> Iterator[Callable[..., Started]]:
    """Start commands; those that still go on at the end are killed."""
    started: list[Started] = []

    def start(*args: str) -> Started:
        started.append(Started(lab, args))
        return started[-1]

    yield start
    for each in started:
        if each._answer is None:
            os.kill(each.pid, signal.SIGKILL)
            each.wait()


def upper(lab: Lab) -> Path:
    """The upper directory of the worktree."""
    repository = lab.open()
    return Path(repository.store.upper_path(repository.worktree.state().changes))


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, not for ever."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


def begin_shell(lab: Lab, begin: Callable[..., Started], script: str) -> Started:
    """A run of ``script`` that has begun to run."""
    mark = f"begun{time.monotonic_ns()}"
    running = begin("run", "--", "sh", "-c", f"touch /tmp/{mark}; {script}")
    until((upper(lab) / "tmp" / mark).exists, "the run to begin")
    return running


def test_two_runs_see_each_other(lab: Lab, begin: Callable[..., Started]) -> None:
    script = "echo from-first > /first; until [ -e /second ]; do sleep 0.01; done; cat /second"
    first = begin_shell(lab, begin, script)
    second = begin("run", "--", "sh", "-c", "cat /first; echo from-second > /second")
    assert second.wait() == Answer(0, "from-first\n")
    assert first.wait() == Answer(0, "from-second\n")
    lab.call(["commit", "-q", "-m", "both"]).ok()
    for name, text in (("first", "from-first\n"), ("second", "from-second\n")):
        assert lab.open().read(name.encode(), "HEAD").read().decode() == text
    lab.fsck()


def test_runs_that_start_and_end_at_once(
    lab: Lab, begin: Callable[..., Started], effort: Callable[[int, int], int]
) -> None:
    """Two mounts never share an upper directory, however starts and ends fall together."""
    for turn in range(effort(3, 40)):
        runs = [
            begin("run", "--", "sh", "-c", f"echo {turn} > /turn{turn}-{number}")
            for number in range(5)
        ]
        for run in runs:
            run.wait().ok()
        assert sorted(path.name for path in upper(lab).glob(f"turn{turn}-*")) == [
            f"turn{turn}-{number}" for number in range(5)
        ]
    assert lab.open().worktree.running() == []


def test_commit_while_a_program_writes(lab: Lab, begin: Callable[..., Started]) -> None:
    """Each commit has a state that was there at one instant; the program does not notice."""
    running = begin_shell(
        lab,
        begin,
        "n=0; while [ ! -e /stop ]; do n=$((n+1)); echo $n > /a; echo $n > /b; echo $n >> /log;"
        " done; echo $n > /end",
    )
    until((upper(lab) / "log").exists, "the first line")
    for number in range(4):
        lab.call(["commit", "-q", "-m", f"live {number}"]).ok()
        repository = lab.open()
        numbers = [repository.read(name, "HEAD").read().split() for name in (b"a", b"b", b"log")]
        # a and b may be empty just between open and write.
        a, b, last = (int(lines[-1]) if lines else None for lines in numbers)
        assert last is not None
        assert numbers[2] == [str(n).encode() for n in range(1, last + 1)]
        assert a in (None, last, last + 1) and b in (None, last, last + 1), (a, b, last)
        time.sleep(0.02)
    lab.call(["run", "--", "touch", "/stop"]).ok()
    running.wait().ok()
    lab.call(["commit", "-q", "-m", "the end"]).ok()
    assert lab.open().read(b"end", "HEAD").read() == lab.open().read(b"b", "HEAD").read()
    assert_same(lab.photograph("HEAD"), lab.photograph())
    assert lab.call(["status", "--short"]) == Answer(0, "")
    lab.fsck()
    lab.call(["undo", "-q", "3"]).ok()
    lab.fsck()


def test_commit_of_paths_and_amend_while_a_shell_is_open(
    lab: Lab, begin: Callable[..., Started]
) -> None:
    script = "echo 1 > /one; echo 2 > /two; until [ -e /stop ]; do :; done"
    running = begin_shell(lab, begin, script)
    until((upper(lab) / "two").exists, "the files")
    lab.call(["commit", "-q", "-m", "one", "--", "one"]).ok()
    assert "two" in lab.call(["status", "--short"]).ok().said
    assert "one" not in lab.call(["status", "--short"]).ok().said
    lab.call(["commit", "-q", "--amend", "-m", "both"]).ok()
    lab.call(["reset", "-q", "--soft", "HEAD~1"]).ok()
    lab.call(["commit", "-q", "-m", "again"]).ok()
    lab.call(["run", "--", "touch", "/stop"]).ok()
    running.wait().ok()
    lab.call(["commit", "-q", "-m", "stopped"]).ok()
    assert_same(lab.photograph("HEAD"), lab.photograph())
    lab.fsck()


def test_what_would_exchange_a_mount_is_refused(lab: Lab, begin: Callable[..., Started]) -> None:
    lab.inside(lambda root: Path(root, "file").write_text("x") and None)
    lab.call(["commit", "-q", "-m", "second"]).ok()
    running = begin_shell(lab, begin, "until [ -e /stop ]; do sleep 0.01; done")
    before = lab.open().git.refs("refs/")
    for args in (
        ["rollback"],
        ["reset", "--hard", "HEAD~1"],
        ["switch", "--detach", "HEAD~1"],
        ["checkout", "HEAD~1", "--", "etc"],
        ["restore", "etc"],
    ):
        answer = lab.call(args)
        if answer.status == 0 and args[0] in ("restore", "checkout"):
            continue  # nothing to bring back
        assert answer.status == 1, (args, answer)
        assert "until [ -e /stop ]" in answer.said and re.search(r"\(pid \d+\)", answer.said)
    assert lab.open().git.refs("refs/") == before
    lab.call(["branch", "free"]).ok()
    lab.call(["run", "--", "touch", "/stop"]).ok()
    running.wait().ok()
    lab.call(["rollback", "-q", "HEAD~1"]).ok()
    lab.fsck()


def test_commits_at_once_wait_for_one_another(lab: Lab, begin: Callable[..., Started]) -> None:
    commits = [begin("commit", "--allow-empty", "-q", "-m", f"c{n}") for n in range(6)]
    others = [begin(verb, f"new{n}") for verb in ("tag", "branch") for n in range(3)]
    for each in (*commits, *others):
        each.wait().ok()
    subjects = [entry.commit.subject for entry in lab.open().log()]
    assert sorted(subjects[:-1]) == [f"c{n}" for n in range(6)]
    refs = lab.open().git.refs("refs/")
    assert {f"refs/{kind}/new{n}" for kind in ("tags", "heads") for n in range(3)} < set(refs)
    lab.fsck()
    lab.call(["undo", "-q", "12"]).ok()
    assert len(list(lab.open().log())) == 1


def test_two_commits_of_the_same_changes(lab: Lab, begin: Callable[..., Started]) -> None:
    lab.inside(lambda root: Path(root, "file").write_text("x") and None)
    answers = [each.wait() for each in [begin("commit", "-m", "a"), begin("commit", "-m", "b")]]
    assert sorted(answer.status for answer in answers) == [0, 1]
    assert any("nothing to commit" in answer.said for answer in answers)
    assert len(list(lab.open().log())) == 2
    lab.fsck()


def test_gc_beside_everything_else(lab: Lab, begin: Callable[..., Started]) -> None:
    """gc takes nothing away from those who run, commit or go back meanwhile."""
    running = begin_shell(lab, begin, "until [ -e /stop ]; do cat /etc/passwd > /copy; done")
    work = []
    for number in range(4):
        work += [
            begin("gc", "-q", "--expire=now"),
            begin("commit", "--allow-empty", "-q", "-m", f"c{number}"),
            begin("run", "--at", "HEAD", "--", "cat", "/etc/passwd"),
        ]
    for each in work:
        each.wait().ok()
    lab.call(["run", "--", "touch", "/stop"]).ok()
    running.wait().ok()
    lab.call(["commit", "-q", "-m", "end"]).ok()
    lab.fsck()


def test_who_waits_says_for_whom(lab: Lab, begin: Callable[..., Started]) -> None:
    with lab.open().locked("a long test"):
        waiting = begin("commit", "--allow-empty", "-q", "-m", "patient")
        until(lambda: _blocked(waiting.pid), "it to wait")
    answer = waiting.wait().ok()
    assert answer.said == f"waiting for 'a long test' (pid {os.getpid()})\n"


def test_kill_of_envgit_ends_what_runs(lab: Lab, begin: Callable[..., Started]) -> None:
    running = begin_shell(lab, begin, "sleep 1000")
    record = lab.open().worktree.running()[0]
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait().status == -signal.SIGKILL
    until(lambda: not os.path.exists(f"/proc/{record.init_pid}"), "the environment to end")
    assert lab.open().worktree.running() == []
    lab.call(["run", "--", "sh", "-c", "echo again > /again"]).ok()
    lab.call(["rollback", "-q"]).ok()
    lab.fsck()


def test_a_killed_live_commit_leaves_nothing_frozen(
    lab: Lab, begin: Callable[..., Started], effort: Callable[[int, int], int]
) -> None:
    running = begin_shell(lab, begin, "while [ ! -e /stop ]; do echo x >> /log; done")
    for number in range(effort(4, 40)):
        victim = begin("commit", "-q", "-m", f"killed {number}")
        time.sleep(0.004 * number % 0.08)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        size = (upper(lab) / "log").stat().st_size
        until(lambda size=size: (upper(lab) / "log").stat().st_size > size, "it to go on")  # type: ignore[misc]
    lab.call(["run", "--", "touch", "/stop"]).ok()
    running.wait().ok()
    lab.call(["commit", "--allow-empty", "-q", "-m", "end"]).ok()
    assert_same(lab.photograph("HEAD"), lab.photograph())
    lab.fsck()


def _blocked(pid: int) -> bool:
    """Whether the process waits for a lock (it shows in /proc/locks with an arrow)."""
    return any(f" {pid} " in line and "->" in line for line in Path("/proc/locks").open())


def test_a_run_is_recorded_where_its_changes_are(lab: Lab, begin: Callable[..., Started]) -> None:
    """However commits and ends of runs fall together, each run succeeds and is recorded once."""
    for turn in range(3):
        work = [begin("run", "--", "sh", "-c", f"echo {n} > /{turn}-{n}") for n in range(3)]
        work += [begin("commit", "--allow-empty", "-q", "-m", f"c{turn}") for _ in range(3)]
        for each in work:
            each.wait().ok()
    lab.call(["commit", "--allow-empty", "-q", "-m", "end"]).ok()
    repository = lab.open()
    recorded = []
    for entry in repository.log():
        runs = repository.git.metadata(entry.commit.id).runs
        recorded += [run.argv[-1] for run in runs]
    assert sorted(recorded) == sorted(f"echo {n} > /{t}-{n}" for t in range(3) for n in range(3))
    lab.fsck()


def test_a_run_that_ends_amid_a_commit(lab: Lab, begin: Callable[..., Started]) -> None:
    """Whenever the run is noted, before the commit read what ran or after, one commit has it."""
    running = begin_shell(lab, begin, "exec sleep 1000")

    def edit(text: str) -> str:
        """What ran before the commit has been read by now."""
        os.kill(running.pid, signal.SIGTERM)
        running.wait()
        return text

    commit(lab.open(), "amid", allow_empty=True, edit=edit)
    lab.call(["commit", "--allow-empty", "-q", "-m", "end"]).ok()
    repository = lab.open()
    recorded = [repository.git.metadata(each.commit.id).runs for each in repository.log()]
    assert sum(map(len, recorded)) == 1


def test_a_run_counts_as_running_until_it_is_recorded(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a commit between the two would seal the change set and leave the run out."""
    seen = []
    append = Worktree.append_run

    def append_run(worktree: Worktree, record: dict[str, object], changes: ChangesId) -> None:
        seen.append(len(worktree.running()))
        append(worktree, record, changes)

    monkeypatch.setattr(Worktree, "append_run", append_run)
    run_in(lab.open(), ["true"])
    assert seen == [1]
    assert lab.open().worktree.running() == []
