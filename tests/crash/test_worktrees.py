# SPDX-License-Identifier: Apache-2.0
"""Linked worktrees and kill -9: whoever comes next, in whichever worktree, makes good; and two that
commit at once lose nothing."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from envgit.porcelain.foundation.places import read_link
from tests.support import labs, linked, scenarios
from tests.support.labs import Answer, Lab
from tests.support.linked import Linked
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.crash,
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.30"),
]

Effort = Callable[[int, int], int]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Shelf]]:
    with labs.scratch(tmp_path_factory.mktemp("linked")) as place:
        yield [Shelf(labs.make(place / "lab"))]


@pytest.fixture
def shelf(base: list[Shelf], hermetic: Path) -> Shelf:
    """A lab with a linked worktree, both with uncommitted changes."""
    if len(base) == 1:
        lab = base[0].lab
        there = linked.link(lab)
        linked.write(there, "etc/linked", "uncommitted\n")
        linked.write(lab, "etc/main", "uncommitted\n")
        base[0].save()
        base.append(base[0])
    base[0].restore()
    return base[0]


def steps(lab: Lab, args: Sequence[str]) -> list[str]:
    """The named steps that a command goes through."""
    reader, writer = os.pipe()

    def hook(name: str) -> None:
        os.write(writer, f"{name}\n".encode())

    lab.call(args, hook).ok()
    os.close(writer)
    with open(reader) as pipe:
        return pipe.read().split()


def killed_at(lab: Lab, args: Sequence[str], number: int) -> Answer:
    """Run a command that is killed at its step ``number``."""
    left = [number]

    def hook(_: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return lab.call(args, hook)


NEXT = (["commit", "-q", "--allow-empty", "-m", "other"], ["branch"], ["gc", "-q"], ["op", "log"])


@pytest.mark.parametrize("after", NEXT, ids=lambda words: words[0])
def test_a_commit_is_finished_from_another_worktree(
    after: list[str], shelf: Shelf, effort: Effort
) -> None:
    lab, there = shelf.lab, Linked(shelf.lab.top)
    args = ["commit", "-q", "-m", "mine"]
    names = steps(there, args)
    new = there.sight().head, there.sight().refs["refs/heads/linked"]
    # The journal's rename; what follows only names it.
    decided = names.index("journal:written") - 1
    assert names[decided] == "fs:file-renamed"
    every = effort(5, 1)
    for number in range(NEXT.index(after) % every, len(names), every):
        shelf.restore()
        old = lab.open().git.refs("refs/heads/")["refs/heads/linked"]
        assert killed_at(there, args, number).status == -signal.SIGKILL
        lab.call(after).ok()
        moved = lab.open().git.refs("refs/heads/")["refs/heads/linked"] != old
        where = f"killed at {names[number]}"
        # What was decided is done, whoever came next; and the log says so.
        assert moved == (number >= decided), where
        assert ("commit: mine" in linked.descriptions(lab)) == moved, where
        assert not os.path.exists(f"{there.open().worktree.path}/journal"), where
        assert (there.sight().head, there.sight().refs["refs/heads/linked"]) == new or not moved
        assert there.inside(lambda root: Path(root, "etc/linked").read_text()) == "uncommitted\n"
        if after[0] == "commit":
            assert linked.descriptions(lab)[0] == "commit: other", where
        lab.fsck()


COMMANDS = {
    "add": (["worktree", "add", "-q", "project/other"], []),
    "add_branch": (["worktree", "add", "-q", "-B", "linked2", "other", "HEAD"], []),
    "remove": (["worktree", "remove", "-f", "linked"], []),
    "undo_remove": (["undo", "-q"], [["worktree", "remove", "-f", "linked"]]),
    "undo_add": (["undo", "-q"], [["worktree", "add", "-q", "other"]]),
    "redo_add": (["redo", "-q"], [["worktree", "add", "-q", "other"], ["undo", "-q"]]),
    "prune": (["worktree", "prune"], []),
    "rename": (["branch", "-m", "linked", "renamed"], []),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_worktrees_come_and_go_whole(name: str, shelf: Shelf, effort: Effort) -> None:
    lab = shelf.lab
    args, before = COMMANDS[name]
    scenarios.call(lab, *before)
    if name == "prune":
        (lab.project / "linked/.envgit").unlink()
        (lab.project / "linked").rmdir()
    prepared = Shelf(lab, lab.top.with_name(f"lab.{name}"))
    prepared.save()
    old = _seen(lab)
    names = steps(lab, args)
    new = _seen(lab)
    assert new != old
    for number in range(0, len(names), effort(6, 1)):
        prepared.restore()
        assert killed_at(lab, args, number).status == -signal.SIGKILL
        where = f"killed at {names[number]}"
        assert _seen(lab) in (old, new), where
        _check_whole(lab, where, gone_by_hand=name == "prune")


def _seen(lab: Lab) -> tuple[object, ...]:
    lab.call(["branch", "--show-current"]).ok()  # whoever looks, finishes
    repository = lab.open()
    heads = {}
    for place, project in linked.paths(lab).items():
        full = f"worktrees/{place}/HEAD" if place else "main-worktree/HEAD"
        heads[project] = repository.git.value(full)
    return heads, sorted(repository.git.refs("refs/heads/"))


def _check_whole(lab: Lab, where: str, *, gone_by_hand: bool) -> None:
    known = linked.paths(lab)
    for name, project in known.items():
        if name and not gone_by_hand:
            assert read_link(f"{project}/.envgit") == f"{lab.project}/.envgit/worktrees/{name}"
            answer = labs.call(["status", "-s"], Path(project), lab.environ).ok()
            assert ("etc/linked" in answer.said) == (name == "linked"), where
    lab.call(["gc", "-q"]).ok()
    store = lab.open().store
    assert len(store.all_worktrees()) == len(known), where
    lab.fsck()
    if "linked" not in known:
        # What was in it can be got back, garbage collected or not.
        lab.call(["undo", "-q"]).ok()
        there = Linked(lab.top)
        assert there.inside(lambda root: Path(root, "etc/linked").read_text()) == "uncommitted\n"
        lab.fsck()


INSIDE = (
    "rollback -q",
    "reset -q --hard HEAD",
    "switch -q -c fresh",
    "switch -q --detach HEAD",
    "branch -m own",
    "branch -m main trunk",
    "commit -q -m some -- etc/linked",
    "worktree add -q more",
    "worktree remove -f .",
    "bisect start HEAD",
    "stash push -q",
    "gc -q",
)


@pytest.mark.parametrize("command", INSIDE)
def test_killed_in_a_linked_worktree(command: str, shelf: Shelf, effort: Effort) -> None:
    """As in the main one; and that one stays as it is."""
    lab, there = shelf.lab, Linked(shelf.lab.top)
    args = command.split()

    def look() -> tuple[object, ...]:
        if (there.project / ".envgit").exists():
            lab.call(["branch"]).ok()
        seen = _seen(lab)
        if not (there.project / ".envgit").exists():
            return (seen, None, lab.sight())
        return (seen, there.sight(), lab.sight())

    old = look()
    names = steps(there, args)
    new = look()
    assert new != old or args[0] in ("gc", "bisect")
    for number in range(len(command) % effort(6, 1), len(names), effort(6, 1)):
        shelf.restore()
        assert killed_at(there, args, number).status == -signal.SIGKILL
        assert look() in (old, new), f"killed at {names[number]}"
        lab.fsck()


def test_commits_in_two_worktrees_at_once(shelf: Shelf, effort: Effort) -> None:
    """Each is in the operation log, which stays one chain; each branch has all of its own."""
    lab, there = shelf.lab, Linked(shelf.lab.top)
    count = effort(12, 60)
    writers = [_start_committing(each, count) for each in (lab, there)]
    for pid in writers:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    said = linked.descriptions(lab)
    for name in ("main", "linked"):
        for number in range(count):
            assert said.count(f"commit: {name} {number}") == 1
    log = list(lab.open().git.operations())
    assert [each.previous for each in log[:-1]] == [each.id for each in log[1:]]
    assert log[-1].previous is None
    git = lab.open().git
    for name in ("main", "linked"):
        assert sum(1 for _ in git.walk([git.resolve(name)])) == count + 1
    lab.fsck()


def test_killed_at_random_while_both_commit(shelf: Shelf, effort: Effort) -> None:
    lab, there = shelf.lab, Linked(shelf.lab.top)
    dice = random.Random(20240101)
    for _ in range(effort(4, 60)):
        shelf.restore()
        writers = [_start_committing(each, 200) for each in (lab, there)]
        time.sleep(dice.uniform(0.2, 0.8))
        for pid in dice.sample(writers, len(writers)):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        dice.choice((lab, there)).call(["log", "--oneline", "-1"]).ok()
        git = lab.open().git
        logged = [text for text in linked.descriptions(lab) if text.startswith("commit: ")]
        assert len(set(logged)) == len(logged)
        for name in ("main", "linked"):
            commits = sum(1 for _ in git.walk([git.resolve(name)])) - 1
            assert sum(1 for text in logged if text.startswith(f"commit: {name} ")) == commits
        lab.fsck()


def _start_committing(lab: Lab, count: int) -> int:
    """A process that commits as often in the worktree, by the library."""
    name = "linked" if isinstance(lab, Linked) else "main"
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        repository = lab.open()
        for number in range(count):
            repository.commit(f"{name} {number}", allow_empty=True)
        status = 0
    finally:
        os._exit(status)
