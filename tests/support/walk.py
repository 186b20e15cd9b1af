# SPDX-License-Identifier: Apache-2.0
"""Does a command in a lab, killed now and then, and compares what comes of it with a model."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from envgit.repo.refnames import PRIVATE
from tests.support import labs, model
from tests.support.labs import Answer
from tests.support.model import NEW, Files, World

FOLDERS = ("a", "b", "c")
STASH = ("refs/stash", "refs/envgit/stash/")


@dataclass
class Step:
    """An operation that the log has: whether it exchanged the worktree's files, what was there
    before it, and (while it is undone) after. ``carried``: it took the change set along as it was,
    so that what is written later is in it wherever it lies."""

    command: str
    moved: bool
    carried: bool
    before: World
    after: World


@dataclass
class Plan:
    """A command and what it should do. ``after`` None: it must refuse; ``may_refuse``: it may do
    so as well. ``parents`` and ``content`` are those of a commit that it makes."""

    args: list[str]
    after: World | None
    may_refuse: bool = False
    message: str | None = None
    parents: tuple[str, ...] = ()
    content: Files | None = None


class Walker:
    """One repository, and what the model says of it."""

    def __init__(self, top: Path, dice: random.Random, seed: int) -> None:
        self.dice = dice
        self.seed = seed
        self.number = 0
        self.story: list[str] = []
        self.done: list[Step] = []
        self.undone: list[Step] = []
        content = {name: {"1": f"{name} one\n", "2": f"{name} two\n"} for name in FOLDERS}
        (top / "lab").mkdir()
        self.lab = labs.make(top / "lab", content)
        self.world = self.see()
        self.commits: dict[str, Files] = {self.world.tip: self.world.files}
        self.parents: dict[str, tuple[str, ...]] = {self.world.tip: ()}

    # -- what is there -----------------------------------------------------------------------------

    def see(self) -> World:
        """What there is, looked at past envgit; what a kill left half done is finished first."""
        repository = self.lab.open()
        with repository.locked("looking"):
            pass
        git = repository.git
        head = git.head()
        refs = {
            name: oid
            for name, oid in git.refs("refs/").items()
            if name.startswith(STASH) or not name.startswith(PRIVATE)
        }
        return World(head.symbolic or str(head.commit), refs, self.lab.inside(model.look))

    def newest(self) -> str | None:
        return self.lab.open().git.ref("refs/envgit/operations")

    def told(self) -> str:
        return f"seed {self.seed}:\n  " + "\n  ".join(self.story)

    def call(self, args: list[str]) -> tuple[Answer, bool]:
        """Run the command, killed at some step every now and then; whether it was."""
        point = self.dice.randrange(45) if self.dice.random() < 0.3 else None
        answer = self.lab.call(args, killer(point) if point is not None else None)
        killed = answer.status == -signal.SIGKILL
        self.story.append(" ".join(args))
        if killed:
            self.story[-1] += f" (killed at step {point})"
        elif answer.status:
            self.story[-1] += " (refused)"
        return answer, killed

    def perform(self, plan: Plan) -> bool:
        """Do it and compare; whether it was done."""
        before, logged = self.world, self.newest()
        answer, killed = self.call(plan.args)
        seen = self.see()
        happened = seen != before or self.newest() != logged
        if killed and not happened:
            return False
        if not killed and answer.status:
            assert answer.status in (1, 128), f"{self.told()}\n{answer.said}"
            assert plan.after is None or plan.may_refuse, f"{self.told()}\n{answer.said}"
            self.same(seen, before)
            return False
        assert plan.after is not None, f"{self.told()}\nwas done, and should have been refused"
        after = plan.after
        if NEW in (after.head, *after.refs.values()):
            after = self.new_commit(plan, after, seen)
        self.same(seen, after)
        self.world = after
        self.logged(" ".join(plan.args), logged, before, after)
        return True

    def new_commit(self, plan: Plan, after: World, seen: World) -> World:
        """Check the commit that was made, and learn its id."""
        oid = seen.tip
        git = self.lab.open().git
        if oid == self.world.tip:  # nothing was made: what is there is compared with that
            return after
        commit = git.commit(oid)
        assert commit.parents == plan.parents, self.told()
        assert plan.message is None or commit.message == f"{plan.message}\n", self.told()
        content = self.lab.at(oid, model.look)
        self.same_files(content, plan.content or {})
        self.commits[oid], self.parents[oid] = content, plan.parents
        return after.resolved(oid)

    def logged(self, command: str, before_tip: str | None, before: World, after: World) -> None:
        if self.newest() == before_tip:
            return
        repository = self.lab.open()
        old = next(iter(repository.git.operations())).before
        carried = old is not None and old.changes == repository.worktree.state().changes
        self.done.append(Step(command, old is not None, carried, before, after))
        self.undone.clear()

    def forget(self) -> None:
        """Several operations happened: undo does not go back behind them."""
        self.done.clear()
        self.undone.clear()

    def same(self, seen: World, wanted: World) -> None:
        assert seen.head == wanted.head, self.told()
        assert dict(seen.refs) == dict(wanted.refs), self.told()
        self.same_files(seen.files, wanted.files)

    def same_files(self, seen: Files, wanted: Files) -> None:
        wrong = {path: (seen.get(path), wanted.get(path)) for path in model.changes(seen, wanted)}
        assert not wrong, f"{self.told()}\n(is, should be): {wrong}"

    # -- changes of files --------------------------------------------------------------------------

    def write(self) -> None:
        """Programs write, delete, rename, link, chmod."""
        seed = self.dice.random()
        self.story.append(f"write {seed}")
        clock = 10_000 + 10 * self.number
        self.lab.inside(lambda root: scribble(root, random.Random(seed), clock))
        self.world = World(self.world.head, self.world.refs, self.lab.inside(model.look))

    def copy_in(self) -> None:
        source = self.lab.top / "copied"
        source.write_text(f"copied {self.number}\n")
        os.utime(source, (5000 + self.number,) * 2)
        path = f"{self.dice.choice(FOLDERS)}/{self.dice.choice('12345')}"
        there = self.world.files.get(path)
        if there is not None and there[0] != "file":
            return
        before = self.world.files
        _, _ = self.call(["cp", "-a", str(source), f":/{path}"])
        seen = self.see()
        # A program writes: killed, it may have written a part.
        assert model.changes(before, seen.files) <= {path}, self.told()
        assert (seen.head, seen.refs) == (self.world.head, self.world.refs), self.told()
        self.world = seen

    def back(self, count: int) -> str:
        """So many first parents before HEAD, or as far as it goes."""
        oid = self.world.tip
        for _ in range(count):
            oid = self.parents[oid][0] if self.parents[oid] else oid
        return oid

    def committing(self, args: list[str], parents: tuple[str, ...], content: Files) -> Plan:
        tip = self.world.tip
        # Where nothing but a set of hard links changed, the model sees no difference.
        nothing = not model.changes(self.commits[tip], content)
        amends = "--amend" in args
        message = args[args.index("-m") + 1]
        after = self.world.moved(NEW)
        return Plan(args, after, nothing or amends, message, parents, content)

    def switching(self, args: list[str], head: str, target: Files) -> Plan:
        base = self.commits[self.world.tip]
        files = model.carried(base, self.world.files, target)
        if files is None:
            return Plan(args, None)
        return Plan(args, self.world.at(head, files), may_refuse=self.linked())

    def keeping(self, back: str) -> Plan:
        base = self.commits[self.world.tip]
        files = model.carried(base, self.world.files, self.commits[back])
        args = ["reset", "-q", "--keep", back]
        if files is None:
            return Plan(args, None)
        return Plan(args, self.world.moved(back, files), may_refuse=self.linked())

    def linked(self) -> bool:
        """Whether sets of hard links, which the model does not know, may be among the changes."""
        return bool(model.changes(self.commits[self.world.tip], self.world.files))

    def restoring(self, args: list[str], source: Files, spec: str) -> Plan:
        files = model.replaced(self.world.files, source, [spec])
        known = any(model.within(path, [spec]) for path in (*self.world.files, *source))
        after = World(self.world.head, self.world.refs, files)
        return Plan(args, after if known else None)

    # -- undo, gc ----------------------------------------------------------------------------------

    def undo(self) -> None:
        if self.done:
            self.turn("undo", self.done, self.undone)

    def redo(self) -> None:
        if self.undone:
            self.turn("redo", self.undone, self.done)

    def turn(self, verb: str, source: list[Step], target: list[Step]) -> None:
        here, logged = self.world, self.newest()
        step = source[-1]
        wanted = step.before if verb == "undo" else step.after
        expected = wanted if step.moved else World(wanted.head, wanted.refs, here.files)
        answer, killed = self.call([verb, "-q"])
        seen = self.see()
        if killed and self.newest() == logged:
            self.same(seen, here)
            return
        assert killed or answer.status == 0, f"{self.told()}\n{answer.said}"
        self.story[-1] += f" of {step.command}"
        was = step.after if verb == "undo" else step.before
        if step.carried and model.changes(here.files, was.files):
            expected = World(expected.head, expected.refs, seen.files)
        self.same(seen, expected)
        source.pop()
        before, after = (expected, here) if verb == "undo" else (here, expected)
        target.append(Step(step.command, step.moved, step.carried, before, after))
        self.world = expected

    def gc(self) -> None:
        args = self.dice.choice((["gc", "-q"], ["gc", "-q", "--aggressive"], ["gc", "-n"]))
        answer, killed = self.call(args)
        assert killed or answer.status == 0, f"{self.told()}\n{answer.said}"
        self.same(self.see(), self.world)


def killer(number: int) -> Callable[[str], None]:
    left = [number]

    def hook(name: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return hook


def scribble(root: str, dice: random.Random, clock: int) -> None:
    """Change a few things; whatever is written is a new file with a time of its own."""
    for turn in range(dice.randint(1, 3)):
        folder = Path(root, dice.choice(FOLDERS))
        if dice.random() < 0.25:
            folder = folder / "sub"
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                folder.unlink()
            folder.mkdir(exist_ok=True)
        path = folder / dice.choice("12345")
        how = dice.randrange(9)
        _remove(path)
        if how < 4:
            path.write_text(f"{dice.random()}\n")
        elif how == 4:
            path.symlink_to(f"target{dice.random()}")
        elif how == 5:
            path.write_text("mode\n")
            path.chmod(dice.choice((0o600, 0o755, 0o4711)))
        elif how == 6:
            for other in sorted(folder.iterdir()):
                if other.is_file() and not other.is_symlink():
                    other.rename(path)
                    break
        elif how == 7:
            for other in sorted(folder.iterdir()):
                if other.is_file() and not other.is_symlink():
                    path.hardlink_to(other)
                    break
            continue
        elif how == 8:
            _remove(Path(root, folder.name if folder.parent == Path(root) else ".", "sub"))
        if path.is_symlink() or path.exists():
            os.utime(path, (clock + turn,) * 2, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
