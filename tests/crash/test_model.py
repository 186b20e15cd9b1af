# SPDX-License-Identifier: Apache-2.0
"""Random verbs against a plain model (tests/support/model.py), with kill -9 in between.

After each step HEAD, every ref, every file and the new commit are what the model says: the state
after the verb, or where the verb refused or was killed before the change, the one before. A failure
prints the seed and the steps.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import labs, model
from tests.support.labs import Lab
from tests.support.linked import Linked
from tests.support.model import NEW, Files, World
from tests.support.walk import STASH, Plan, Walker, scribble

pytestmark = [
    pytest.mark.crash,
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


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
    for seed in range(effort(4, 60)):
        top = place / str(seed)
        top.mkdir()
        walk = Walk(top, random.Random(seed), seed)
        steps += walk.go(effort(60, 150))
        shutil.rmtree(top)
    print(f"\n{steps} steps")


class Walk(Walker):
    """Does this and that in one repository."""

    def __init__(self, top: Path, dice: random.Random, seed: int) -> None:
        super().__init__(top, dice, seed)
        self.other: Other | None = None

    def go(self, steps: int) -> int:
        for _ in range(steps):
            self.step()
            if self.dice.random() < 0.03:
                self.lab.fsck()
        self.lab.fsck()
        return len(self.story)

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

    # -- verbs -------------------------------------------------------------------------------------

    def verb(self) -> None:
        """One of the verbs that need no preparation."""
        branches = [name for name in self.world.refs if name.startswith("refs/heads/")]
        if not branches:  # HEAD is detached, and all are deleted
            made = self.world.with_refs({"refs/heads/main": self.world.tip})
            self.perform(Plan(["branch", "main"], made))
            return
        back = self.back(self.dice.randint(0, 2))
        branch = self.dice.choice(branches)
        spec = self.dice.choice(("a", "b", "c", "a/1", "b/2", "c/3"))
        plans = {**self.contents(back, spec), **self.places(back, branch)}
        self.perform(plans[self.dice.choice(sorted(plans) + ["commit"] * 4)]())

    def contents(self, back: str, spec: str) -> Mapping[str, Callable[[], Plan]]:
        """What makes commits, or brings files back."""
        world, number, at = self.world, self.number, self.commits
        tip, files = world.tip, world.files
        return {
            "commit": lambda: self.committing(["commit", "-q", "-m", f"c{number}"], (tip,), files),
            "paths": lambda: self.committing(
                ["commit", "-q", "-m", f"p{number}", "--", spec],
                (tip,),
                model.replaced(at[tip], files, [spec]),
            ),
            "amend": lambda: self.committing(
                ["commit", "-q", "--amend", "-m", f"x{number}"], self.parents[tip], files
            ),
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
        }

    def places(self, back: str, branch: str) -> Mapping[str, Callable[[], Plan]]:
        """What moves HEAD, branches and tags."""
        world, number, at = self.world, self.number, self.commits
        tip, files = world.tip, world.files
        tags = [name for name in world.refs if name.startswith("refs/tags/")]
        short, other = branch.removeprefix("refs/heads/"), world.refs[branch]
        return {
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
