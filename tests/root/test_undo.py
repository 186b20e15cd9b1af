# SPDX-License-Identifier: Apache-2.0
"""undo brings back the tree byte for byte with its metadata, what was uncommitted included.

What is compared is everything there is to see (tests.support.labs.Sight): HEAD, refs, and each file
of the worktree with content, mode, owner, times to the nanosecond, xattrs and links.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import labs, scenarios
from tests.support.labs import Lab, Photograph, Sight
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

# Command lines that change something; those that need it are given uncommitted changes.
COMMANDS = (
    "reset --hard",
    "reset --hard HEAD~1",
    "reset --soft HEAD~1",
    "reset --mixed HEAD~2",
    "reset --keep side",
    "checkout -f HEAD",
    "checkout -f exp",
    "checkout HEAD~1 -- etc bin",
    "switch --discard-changes exp",
    "switch --discard-changes --detach HEAD~1",
    "switch -c new --discard-changes HEAD~1",
    "switch side",
    "switch -q -f --orphan nothing",
    "checkout -q --orphan nothing",
    "restore .",
    "restore etc/conf",
    "restore --source HEAD~1 usr",
    "rollback",
    "rollback HEAD",
    "rollback HEAD~2",
    "rollback -n 2",
    "rollback exp",
    "rollback --keep-history HEAD~1",
    "branch -D exp",
    "branch -m trunk",
    "branch -f exp HEAD",
    "worktree add linked",
    "worktree add -B exp linked HEAD~1",
    "worktree add --detach linked side",
    "tag -d v1",
    "tag -d v2",
    "tag -f v1",
    "commit -m new",
    "commit --amend -m amended",
    "commit -m some -- etc usr/new",
    "commit -m empty --allow-empty",
    "merge side",
    "merge --no-ff side",
    "merge --squash side",
    "merge --no-ff --no-commit side",
    "merge -s ours exp",
    "stash",
    "stash push -m some -- etc usr/new",
    "cherry-pick side",
    "cherry-pick -n side",
    "revert main",
    "revert -n main",
    "bisect start --no-checkout main v1",
    "bisect start side main~1",
)


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Shelf]]]:
    """Where the lab is, and the lab once it is built."""
    with labs.scratch(tmp_path_factory.mktemp("undo")) as place:
        yield place, []


@pytest.fixture
def lab(shelves: tuple[Path, list[Shelf]], hermetic: Path) -> Lab:
    """A lab with history, branches, tags, and no uncommitted changes yet."""
    place, built = shelves
    if not built:
        built.append(Shelf(scenarios.build(place / "lab")))
        built[0].save()
    built[0].restore()
    return built[0].lab


@pytest.mark.parametrize("collect", [False, True], ids=["plain", "gc"])
@pytest.mark.parametrize("command", COMMANDS)
def test_undo_and_redo(
    command: str, collect: bool, lab: Lab, effort: Callable[[int, int], int]
) -> None:
    if collect and COMMANDS.index(command) % effort(6, 1):
        pytest.skip("with --thorough")
    scenarios.edit(lab, scenarios.dirty)
    before = lab.sight()
    lab.call(command.split()).ok()
    after = lab.sight()
    assert after != before or "allow-empty" not in command
    for expected, verb in ((before, "undo"), (after, "redo"), (before, "undo"), (after, "redo")):
        if collect:
            lab.call(["gc", "-q"]).ok()
        lab.call([verb, "-q"]).ok()
        assert_seen(lab.sight(), expected, f"{verb} of {command}")
    lab.fsck()


@pytest.mark.parametrize("command", COMMANDS)
def test_undo_keeps_what_was_written_after(
    command: str, lab: Lab, effort: Callable[[int, int], int]
) -> None:
    """What was written between an operation and its undo comes back with redo."""
    if COMMANDS.index(command) % effort(3, 1):
        pytest.skip("with --thorough")
    scenarios.edit(lab, scenarios.dirty)
    lab.call(command.split()).ok()
    scenarios.edit(lab, lambda root: write(Path(root, "later"), command))
    after = lab.sight()
    lab.call(["undo", "-q"]).ok()
    lab.call(["redo", "-q"]).ok()
    assert_seen(lab.sight(), after, f"redo of {command}")


def test_undo_of_undo_is_redo_and_all_the_way_back(lab: Lab) -> None:
    """Each operation undone in turn shows each state passed, and redone in turn again."""
    scenarios.edit(lab, scenarios.dirty)
    commands = [
        "commit -m one -- etc",
        "branch -D side",
        "reset --hard HEAD~1",
        "tag -d v2",
        "rollback --keep-history HEAD~1",
        "switch exp",
        "commit --amend -m other",
        "op restore @~3",
    ]
    sights = [lab.sight()]
    for command in commands:
        lab.call(command.split()).ok()
        sights.append(lab.sight())
    for sight in sights[-2::-1]:
        lab.call(["undo", "-q"]).ok()
        assert_seen(lab.sight(), sight, "undo")
    lab.call(["gc", "-q"]).ok()
    for sight in sights[1:]:
        lab.call(["redo", "-q"]).ok()
        assert_seen(lab.sight(), sight, "redo")
    lab.call(["undo", "-q", str(len(commands))]).ok()
    assert_seen(lab.sight(), sights[0], "undo all")
    lab.fsck()


@pytest.mark.parametrize("taking", ["switch -q side", "cherry-pick side", "revert main"])
@pytest.mark.parametrize("ending", ["commit -q -m all", "commit -q --amend -m all", "stash -q"])
def test_undo_over_what_was_taken_along(taking: str, ending: str, lab: Lab) -> None:
    """Changes that came along, and became a layer elsewhere, are where they were, and nothing of
    where they went is with them."""
    scenarios.edit(lab, scenarios.dirty)
    before = lab.sight()
    lab.call(taking.split()).ok()
    between = lab.sight()
    lab.call(ending.split()).ok()
    after = lab.sight()
    lab.call(["undo", "-q"]).ok()
    assert_seen(lab.sight(), between, f"undo of {ending}")
    lab.call(["undo", "-q"]).ok()
    assert_seen(lab.sight(), before, f"undo of {taking}")
    lab.call(["redo", "-q"]).ok()
    assert_seen(lab.sight(), between, f"redo of {taking}")
    lab.call(["redo", "-q"]).ok()
    assert_seen(lab.sight(), after, f"redo of {ending}")
    lab.fsck()


def test_the_root_directory_itself(lab: Lab) -> None:
    """The mode of / alone is an uncommitted change like any other."""
    scenarios.edit(lab, lambda root: os.chmod(root, 0o1700))
    before = lab.sight()
    lab.call(["rollback", "-q", "HEAD"]).ok()
    assert lab.sight() != before
    lab.call(["undo", "-q"]).ok()
    assert_seen(lab.sight(), before, "undo")


# -- a random walk with a model -------------------------------------------------------------------


@dataclass
class Step:
    """An operation that was done: whether it exchanged the worktree's files, what was seen before
    it, and (while it is undone) after."""

    command: str
    moved: bool
    before: Sight
    after: Sight


@dataclass
class Model:
    """What undo and redo should show: two stacks, as in an editor."""

    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)


def test_random_walk(lab: Lab, effort: Callable[[int, int], int]) -> None:
    for seed in range(effort(3, 60)):
        walk = Walk(lab, random.Random(seed))
        walk.go(effort(14, 40))
        walk.home()
        lab.fsck()


class Walk:
    """Does this and that, and checks after each undo and redo that the model's state is back."""

    def __init__(self, lab: Lab, dice: random.Random) -> None:
        self.lab = lab
        self.dice = dice
        self.model = Model()
        self.story: list[str] = []
        self.number = 0

    def go(self, steps: int) -> None:
        for _ in range(steps):
            action = self.dice.choice(
                (self.write, self.write, self.operate, self.operate, self.undo, self.redo, self.gc)
            )
            action()

    def home(self) -> None:
        """Back to the beginning, so that one lab serves many walks, each in another history."""
        while self.model.done:
            self.undo()

    def write(self) -> None:
        seed = self.dice.random()
        self.story.append(f"write {seed}")
        scenarios.edit(self.lab, lambda root: scribble(root, random.Random(seed)))

    def operate(self) -> None:
        before = self.lab.sight()
        logged = self.newest()
        command = self.choose(before)
        self.story.append(command)
        answer = self.lab.call(command.split())
        if answer.status != 0:
            assert answer.status in (1, 128), f"{self.told()}\n{answer.said}"
            self.story[-1] += " (refused)"
            assert_seen(self.lab.sight(), before, self.told())
            return
        if self.newest() == logged:
            self.story[-1] += " (nothing to do)"
            return
        moved = next(iter(self.lab.open().git.operations())).before is not None
        if not moved:
            assert_files(self.lab.photograph(), before.files, self.told())
        self.model.done.append(Step(command, moved, before, before))
        self.model.undone.clear()

    def undo(self) -> None:
        if self.model.done:
            self.turn("undo", self.model.done, self.model.undone)

    def redo(self) -> None:
        if self.model.undone:
            self.turn("redo", self.model.undone, self.model.done)

    def turn(self, verb: str, source: list[Step], target: list[Step]) -> None:
        self.story.append(verb)
        here = self.lab.sight()
        step = source.pop()
        self.lab.call([verb, "-q"]).ok()
        wanted = step.before if verb == "undo" else step.after
        expected = self.expected(step, here, wanted)
        assert_seen(self.lab.sight(), expected, f"{verb} of {step.command}\n{self.told()}")
        before, after = (expected, here) if verb == "undo" else (here, expected)
        target.append(Step(step.command, step.moved, before, after))

    def expected(self, step: Step, here: Sight, wanted: Sight) -> Sight:
        """Operations that left the worktree's files alone leave later changes alone, too."""
        return wanted if step.moved else Sight(wanted.head, wanted.refs, here.files)

    def gc(self) -> None:
        self.story.append("gc")
        self.lab.call(["gc", "-q"]).ok()

    def newest(self) -> str | None:
        """The last entry of the operation log."""
        return self.lab.open().git.ref("refs/envgit/operations")

    def told(self) -> str:
        return "; ".join(self.story)

    def choose(self, sight: Sight) -> str:
        self.number += 1
        branches = [name.removeprefix("refs/heads/") for name in sight.refs if "/heads/" in name]
        tags = [name.removeprefix("refs/tags/") for name in sight.refs if "/tags/" in name]
        some = self.dice.choice
        back = f"HEAD~{self.dice.randint(0, 2)}"
        return some(
            (
                f"commit -m c{self.number}",
                f"commit -m c{self.number}",
                f"commit -m p{self.number} -- {some(('etc', 'usr', 'bin var'))}",
                f"commit --amend -m a{self.number}",
                f"reset -q --hard {back}",
                f"reset -q --soft {back}",
                f"rollback -q {back}",
                "rollback -q",
                f"rollback -q --keep-history {back}",
                f"restore -q {some(('.', 'etc', 'usr/lib', 'var'))}",
                f"restore -q --source {back} {some(('etc', 'usr'))}",
                f"switch -q --discard-changes {some(branches)}",
                f"switch -q -c b{self.number} --discard-changes {back}",
                f"branch -D {some(branches)}",
                f"tag t{self.number}",
                f"tag -d {some(tags or ['none'])}",
            )
        )


def scribble(root: str, dice: random.Random) -> None:
    """Change a few things: write, remove, replace by something else, link, chmod, own, mark."""
    folders = ["bin", "etc", "usr/lib", "usr/share", "var/empty", "usr"]
    for _ in range(dice.randint(1, 4)):
        path = Path(root, dice.choice(folders), dice.choice("abcdx"))
        how = dice.randrange(8)
        if how < 3 or not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            scenarios.remove(path)
            path.write_text(f"{dice.random()}\n")
        elif how == 3:
            scenarios.remove(path)
        elif how == 4:
            scenarios.remove(path)
            path.mkdir()
            (path / "inner").write_text(f"{dice.random()}\n")
        elif how == 5:
            scenarios.remove(path)
            path.symlink_to(f"target{dice.randrange(3)}")
        elif how == 6 and path.is_file() and not path.is_symlink():
            path.chmod(dice.choice((0o600, 0o4755, 0o644)))
            os.chown(path, dice.choice((0, 70000)), dice.choice((0, 80000)))
            os.setxattr(path, "user.x", str(dice.random()).encode())
        elif how == 7 and path.is_file() and not path.is_symlink():
            other = path.with_name(path.name + ".link")
            scenarios.remove(other)
            other.hardlink_to(path)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def assert_seen(actual: Sight, expected: Sight, where: str) -> None:
    """Fail with what differs."""
    assert actual.head == expected.head, where
    assert actual.refs == expected.refs, where
    assert_files(actual.files, expected.files, where)


def assert_files(actual: Photograph, expected: Photograph, where: str) -> None:
    """Fail with the first paths that differ."""
    wrong = [
        f"{path!r}:\n  is     {actual.get(path)}\n  should {expected.get(path)}"
        for path in sorted({*actual, *expected})
        if actual.get(path) != expected.get(path)
    ]
    assert not wrong, "\n".join([f"{where}: {len(wrong)} paths differ", *wrong[:5]])
