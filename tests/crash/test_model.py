# SPDX-License-Identifier: Apache-2.0
"""Random verbs against a plain model (tests/support/model.py), with kill -9 in between.

After each step HEAD, every ref, every file and the new commit are what the model says: the state
after the verb, or where the verb refused or was killed before the change, the one before. A failure
prints the seed and the steps.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from envgit.repo.refnames import PRIVATE
from tests.support import labs, model
from tests.support.labs import Answer, Lab
from tests.support.linked import Linked
from tests.support.model import NEW, Files, World

pytestmark = [
    pytest.mark.crash,
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

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


@dataclass
class Other:
    """A linked worktree: where its HEAD is, and its files."""

    lab: Lab
    tip: str
    files: Files


@pytest.fixture
def place(tmp_path: Path, hermetic: Path) -> Iterator[Path]:
    """Where labs are: in memory, if possible."""
    with labs.scratch(tmp_path) as made:
        yield made


def test_random_steps(place: Path, effort: Callable[[int, int], int]) -> None:
    steps = 0
    for seed in range(effort(5, 60)):
        top = place / str(seed)
        top.mkdir()
        walk = Walk(top, random.Random(seed), seed)
        steps += walk.go(effort(60, 150))
        shutil.rmtree(top)
    print(f"\n{steps} steps")


class Walk:
    """Does this and that in one repository."""

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
        self.other: Other | None = None

    def go(self, steps: int) -> int:
        for _ in range(steps):
            self.step()
            if self.dice.random() < 0.03:
                self.lab.fsck()
        self.lab.fsck()
        return len(self.story)

    # -- what is there -----------------------------------------------------------------------------

    def see(self) -> World:
        """What there is, looked at past envgit; what a kill left half done is finished first."""
        repository = self.lab.open()
        with repository.locked("looking"):
            pass
        git = repository.git
        head = git.head()
        refs = {
            name: oid for name, oid in git.refs("refs/").items() if not name.startswith(PRIVATE)
        }
        return World(head.symbolic or str(head.commit), refs, self.lab.inside(model.look))

    def newest(self) -> str | None:
        return self.lab.open().git.ref("refs/envgit/operations")

    def told(self) -> str:
        return f"seed {self.seed}:\n  " + "\n  ".join(self.story)

    # -- steps -------------------------------------------------------------------------------------

    def step(self) -> None:
        self.number += 1
        choices: Sequence[tuple[Callable[[], None], int]] = (
            (self.write, 6),
            (self.verb, 12),
            (self.undo, 2),
            (self.redo, 2),
            (self.gc, 1),
            (self.stash, 2),
            (self.join, 2),
            (self.copy_in, 1),
            (self.bisect, 1),
            (self.beside, 3),
        )
        (action,) = self.dice.choices(
            [each for each, _ in choices], [weight for _, weight in choices]
        )
        action()

    def call(self, args: list[str]) -> tuple[Answer, bool]:
        """Run the command, killed at some step every now and then; whether it was."""
        point = self.dice.randrange(45) if self.dice.random() < 0.3 else None
        answer = self.lab.call(args, _killer(point) if point is not None else None)
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

    # -- verbs -------------------------------------------------------------------------------------

    def verb(self) -> None:
        world, number = self.world, self.number
        back = self.back(self.dice.randint(0, 2))
        branches = [name for name in world.refs if name.startswith("refs/heads/")]
        tags = [name for name in world.refs if name.startswith("refs/tags/")]
        if not branches:  # HEAD is detached, and all are deleted
            self.perform(Plan(["branch", "main"], world.with_refs({"refs/heads/main": world.tip})))
            return
        branch = self.dice.choice(branches)
        short, other = branch.removeprefix("refs/heads/"), world.refs[branch]
        spec = self.dice.choice(("a", "b", "c", "a/1", "b/2", "c/3"))
        tip, files = world.tip, world.files
        at = self.commits
        plans = {
            "commit": lambda: self.committing(["commit", "-q", "-m", f"c{number}"], (tip,), files),
            "paths": lambda: self.committing(
                ["commit", "-q", "-m", f"p{number}", "--", spec],
                (tip,),
                model.replaced(at[tip], files, [spec]),
            ),
            "amend": lambda: self.committing(
                ["commit", "-q", "--amend", "-m", f"x{number}"], self.parents[tip], files
            ),
            "switch": lambda: self.switching(
                ["switch", "-q", short], branch, at[world.refs[branch]]
            ),
            "force": lambda: Plan(
                ["switch", "-q", "--discard-changes", short],
                world.at(branch, at[other]),
            ),
            "create": lambda: Plan(
                ["switch", "-q", "-c", f"b{number}"],
                world.with_refs({f"refs/heads/b{number}": tip}).at(f"refs/heads/b{number}", files),
            ),
            "detach": lambda: self.switching(["switch", "-q", "--detach", back], back, at[back]),
            "restore": lambda: self.restoring(["restore", "-q", spec], at[tip], spec),
            "source": lambda: self.restoring(
                ["restore", "-q", "--source", back, spec], at[back], spec
            ),
            "checkout": lambda: self.restoring(
                ["checkout", "-q", back, "--", spec], at[back], spec
            ),
            "soft": lambda: Plan(["reset", "-q", "--soft", back], world.moved(back)),
            "hard": lambda: Plan(["reset", "-q", "--hard", back], world.moved(back, at[back])),
            "keep": lambda: self.keeping(back),
            "rollback": lambda: Plan(["rollback", "-q", back], world.moved(back, at[back])),
            "history": lambda: Plan(
                ["rollback", "-q", "--keep-history", back],
                world.moved(NEW, at[back]),
                may_refuse=True,
                parents=(tip,),
                content=at[back],
            ),
            "branch": lambda: Plan(
                ["branch", f"n{number}", back],
                world.with_refs({f"refs/heads/n{number}": back}),
            ),
            "forced": lambda: Plan(
                ["branch", "-f", short, back],
                world.with_refs({branch: back}) if branch != world.head else None,
            ),
            "delete": lambda: Plan(
                ["branch", "-D", short],
                world.with_refs({branch: None}) if branch != world.head else None,
            ),
            "tag": lambda: Plan(
                ["tag", f"t{number}", back], world.with_refs({f"refs/tags/t{number}": back})
            ),
            "untag": lambda: Plan(
                ["tag", "-d", tags[0].removeprefix("refs/tags/")] if tags else ["tag", "-d", "no"],
                world.with_refs({tags[0]: None}) if tags else None,
            ),
        }
        self.perform(plans[self.dice.choice(sorted(plans) + ["commit"] * 4)]())

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

    # -- stash, merge, cherry-pick, revert ---------------------------------------------------------

    def stash(self) -> None:
        """Changes go away into the stash, and come out again."""
        world = self.world
        entries = sorted(name for name in world.refs if name.startswith(STASH[1]))
        head = self.commits[world.tip]
        dirty = bool(model.changes(head, world.files))
        if dirty:
            self.stashing(["stash", "push", "-q"], lambda seen: seen.files, head, None)
        elif entries:
            verb = self.dice.choice(("pop", "apply", "drop"))
            oid = world.refs[entries[-1]]
            taken = self.commits[oid], self.commits[self.parents[oid][0]]
            files = model.merged(taken[1], head, taken[0]) if verb != "drop" else world.files
            self.stashing(["stash", verb, "-q"], lambda seen: files, files, entries[-1])

    def stashing(
        self,
        args: list[str],
        content: Callable[[World], Files | None],
        files: Files | None,
        entry: str | None,
    ) -> None:
        before, logged = self.world, self.newest()
        answer, killed = self.call(args)
        seen = self.see()
        if killed and self.newest() == logged:
            self.same(seen, before)
            return
        if files is None:
            # Both changed the same: a conflict, or the sides agree in ways that the model does not
            # know (the same text, another time). What it left is not ours to tell.
            assert killed or answer.status in (0, 1), f"{self.told()}\n{answer.said}"
            self.settle(before)
            return
        if not killed and answer.status:
            assert self.linked() or args[1] == "push", f"{self.told()}\n{answer.said}"
            self.same(seen, before)
            return
        self.same_files(seen.files, files)
        assert seen.head == before.head, self.told()
        new = {name: oid for name, oid in seen.refs.items() if name.startswith(STASH)}
        others = {name: oid for name, oid in before.refs.items() if not name.startswith(STASH)}
        assert {**others, **new} == dict(seen.refs), self.told()
        if args[1] == "push":
            oid = new["refs/stash"]
            assert self.lab.open().git.commit(oid).parents[0] == before.tip, self.told()
            stored = self.lab.at(oid, model.look)
            self.same_files(stored, before.files)
            self.commits[oid], self.parents[oid] = stored, (before.tip,)
        elif args[1] != "apply":
            assert entry not in seen.refs, self.told()
        self.world = seen
        self.logged(" ".join(args), logged, before, seen)

    def join(self) -> None:
        """merge, cherry-pick, revert of something; what conflicts is given up again."""
        world = self.world
        if self.lab.open().git.refs("refs/worktree/"):
            return
        if model.changes(self.commits[world.tip], world.files):
            message = ["-m", f"j{self.number}"]
            self.perform(self.committing(["commit", "-q", *message], (world.tip,), world.files))
            return
        verbs = [verb for verb in ("merge", "cherry-pick", "revert") if _has(verb)]
        verb = self.dice.choice(verbs)
        head = self.commits[world.tip]
        git = self.lab.open().git
        # Any commit that was ever made, if gc left it.
        oid = self.dice.choice([oid for oid in self.commits if git.exists(oid)])
        if verb == "merge":
            base = git.merge_base(world.tip, oid)
            if (
                base is None
                or base in (oid, world.tip)
                or len(git.merge_bases(world.tip, oid)) != 1
            ):
                return
            files = model.merged(self.commits[base], head, self.commits[oid])
            args = ["merge", "-q", "-m", f"m{self.number}", oid]
            parents: tuple[str, ...] = (world.tip, oid)
        else:
            if len(self.parents[oid]) != 1:
                return
            old, new = self.commits[self.parents[oid][0]], self.commits[oid]
            old, new = (new, old) if verb == "revert" else (old, new)
            files = model.merged(old, head, new)
            args = [verb, oid] if verb == "cherry-pick" else [verb, "--no-edit", oid]
            parents = (world.tip,)
            if files is not None and not model.changes(files, head):
                return  # an empty pick stops
        if files is not None:
            plan = Plan(args, world.moved(NEW, files), False, None, parents, files)
            self.perform(plan)
            return
        answer, killed = self.call(args)
        assert killed or answer.status in (0, 1), f"{self.told()}\n{answer.said}"
        if not killed and answer.status == 1:
            self.call([verb, "--abort"])
        self.settle(world)

    # -- bisect, and a second worktree -------------------------------------------------------------

    def bisect(self) -> None:
        """A bisection with answers by chance; afterwards all is as it was before."""
        world = self.world
        good = self.back(8)
        if model.changes(self.commits[world.tip], world.files) or good == world.tip:
            return
        self.call(["bisect", "start", world.tip, good])
        for _ in range(self.dice.randrange(5)):
            answer, killed = self.call(["bisect", self.dice.choice(("good", "bad", "skip"))])
            assert killed or answer.status in (0, 1, 2, 3, 128), f"{self.told()}\n{answer.said}"
        self.lab.call(["bisect", "reset"]).ok()
        self.story.append("bisect reset")
        self.same(self.see(), world)
        self.forget()

    def beside(self) -> None:
        """Something in a linked worktree; the two do not disturb each other."""
        other = self.other
        if other is None:
            path = self.lab.project / "linked"
            _, killed = self.call(["worktree", "add", "-q", "--detach", str(path)])
            if killed:
                self.lab.call(["worktree", "prune"]).ok()
                if not (path / ".envgit").exists():
                    shutil.rmtree(path, ignore_errors=True)
                    self.same(self.see(), self.world)
                    self.forget()
                    return
            there = Linked(self.lab.top)
            self.other = other = Other(there, self.world.tip, self.commits[self.world.tip])
        else:
            self.elsewhere(other)
        self.forget()
        self.same(self.see(), self.world)
        if self.other is not None:
            assert str(other.lab.open().git.head().commit) == other.tip, self.told()
            self.same_files(other.lab.inside(model.look), other.files)

    def elsewhere(self, other: Other) -> None:
        """One step in the linked worktree, whose HEAD is detached."""
        how = self.dice.choice(("write", "write", "commit", "switch", "gc", "remove"))
        self.story.append(f"linked: {how}")
        if how == "write":
            seed, clock = self.dice.random(), 10_000 + 10 * self.number
            other.lab.inside(lambda root: scribble(root, random.Random(seed), clock))
            other.files = other.lab.inside(model.look)
        elif how == "commit":
            before = other.tip
            answer = other.lab.call(["commit", "-q", "-m", f"l{self.number}"])
            assert answer.status in (0, 1), f"{self.told()}\n{answer.said}"
            if answer.status:
                assert not model.changes(self.commits[before], other.files), self.told()
                return
            other.tip = str(other.lab.open().git.head().commit)
            self.same_files(self.lab.at(other.tip, model.look), other.files)
            self.commits[other.tip], self.parents[other.tip] = other.files, (before,)
        elif how == "switch":
            known = {self.world.tip, *self.world.refs.values()} & set(self.commits)
            oid = self.dice.choice(sorted(known))
            other.lab.call(["switch", "-q", "--detach", "--discard-changes", oid]).ok()
            other.tip, other.files = oid, self.commits[oid]
        elif how == "gc":
            other.lab.call(["gc", "-q", *self.dice.choice(((), ("--expire=now",)))]).ok()
        else:
            self.lab.call(["worktree", "remove", "--force", str(other.lab.project)]).ok()
            self.other = None

    def settle(self, before: World) -> None:
        """After a conflict: everything thrown away is exactly HEAD's files again."""
        self.lab.call(["reset", "-q", "--hard"]).ok()
        self.story.append("reset --hard")
        seen = self.see()
        tip = seen.tip
        git = self.lab.open().git
        for oid in (tip, *(oid for name, oid in seen.refs.items() if name.startswith(STASH))):
            if oid not in self.commits:
                self.commits[oid] = self.lab.at(oid, model.look)
                self.parents[oid] = tuple(git.commit(oid).parents)
        self.same_files(seen.files, self.commits[tip])
        if before.head.startswith("refs/"):
            assert seen.head == before.head, self.told()
        if tip == before.tip:
            kept = {name: oid for name, oid in before.refs.items() if not name.startswith(STASH)}
            assert kept.items() <= seen.refs.items(), self.told()
        self.world = seen
        self.forget()


def _has(verb: str) -> bool:
    from envgit.cli.table import verbs

    return verb in verbs()


def _killer(number: int) -> Callable[[str], None]:
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
