# SPDX-License-Identifier: Apache-2.0
"""Find the newest state in which a command succeeds, for ``rollback --check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envgit.errors import Refused
from envgit.layers.ids import CommitId
from envgit.porcelain import snapshot
from envgit.porcelain.repository import Repository
from envgit.porcelain.trials import Trial, Trials

# What a shell answers when it cannot run a command at all (POSIX sh, 2.8.2): a typing mistake
# fails everywhere and must not lead to the root commit.
_CANNOT_RUN = (126, 127)


class NeverGood(Refused):
    """The command succeeds nowhere on the way back."""


@dataclass(frozen=True, slots=True)
class FirstGood:
    """The newest state where the command succeeds: ``steps`` commits back. ``dirty`` says that
    uncommitted changes have to go for it; ``trials`` how each trial ended, in order."""

    commit: CommitId
    steps: int
    dirty: bool
    trials: tuple[Trial, ...] = ()


def first_good(
    repository: Repository,
    command: str,
    *,
    start: str | None = None,
    bisect: bool = False,
    capture: bool = False,
    notify: Callable[[str], None] | None = None,
) -> FirstGood:
    """Run ``command`` by the shell in the worktree, then in first parents from HEAD (or from
    ``start``) back, until it succeeds. Every trial's changes are thrown away.

    One after the other; with ``bisect`` 1, 2, 4, ... commits back until it succeeds, and then by
    halves to the newest, which supposes that it fails in all of them from some commit on: that it
    succeeds where this leads and fails in the next commit has been seen. ``capture`` keeps what it
    writes. Raises NeverGood, TrialFailed.
    """
    git = repository.git
    head = git.head().commit
    if head is None:
        raise NeverGood("there is nothing to roll back to: no commit yet")
    dirty = bool(snapshot.describe(repository).changes)
    with Trials(repository, ("/bin/sh", "-c", command)) as room:
        search = _Search(repository, room, notify or repository.notify, capture)
        if start is None and dirty and search.succeeds(None):
            return FirstGood(head, 0, dirty=False, trials=tuple(search.trials))
        line = _Line(repository, git.resolve(start) if start is not None else head)
        steps = _by_halves(search, line) if bisect else _one_by_one(search, line)
    if steps is not None:
        commit = line[steps]
        assert commit is not None
        return FirstGood(commit, steps, dirty, tuple(search.trials))
    tried = [trial for trial in search.trials if trial.commit is not None]
    hint = None
    if {trial.exit_code for trial in search.trials} <= set(_CANNOT_RUN):
        hint = "the shell could not run it anywhere: is it spelled right?"
    which = "in all" if not bisect else "in each of the"
    what = f"{len(tried)} commits" + (" that were tried, back to the first" if bisect else "")
    raise NeverGood(f"'{command}' fails {which} {what}; nothing was changed", hint=hint)


class _Line:
    """The first parents of a commit, itself being number 0, read as far as they are asked for."""

    def __init__(self, repository: Repository, tip: CommitId) -> None:
        self._git = repository.git
        self._commits = [tip]

    def __getitem__(self, number: int) -> CommitId | None:
        while len(self._commits) <= number:
            parents = self._git.point(self._commits[-1]).parents
            if not parents:
                return None
            self._commits.append(parents[0])
        return self._commits[number]

    def last(self) -> int:
        """The number of the oldest one that was read."""
        return len(self._commits) - 1


class _Search:
    """Trials of one command, told and kept."""

    def __init__(
        self, repository: Repository, room: Trials, say: Callable[[str], None], capture: bool
    ) -> None:
        self._git = repository.git
        self._room = room
        self._say = say
        self._capture = capture
        self.trials: list[Trial] = []

    def succeeds(self, commit: CommitId | None) -> bool:
        """Try the command in a commit, or in the uncommitted state."""
        if commit is None:
            self._say("trying the uncommitted state")
        else:
            subject = self._git.git_commit(commit).subject
            self._say(f"trying {self._git.abbrev(commit)} {subject}")
        self.trials += self._room.run([commit], capture=self._capture)
        return self.trials[-1].exit_code == 0


def _one_by_one(search: _Search, line: _Line) -> int | None:
    """How many commits back it succeeds first."""
    steps = 0
    while (commit := line[steps]) is not None:
        if search.succeeds(commit):
            return steps
        steps += 1
    return None


def _by_halves(search: _Search, line: _Line) -> int | None:
    """The same, in few trials."""
    failing, step = -1, 0
    while True:
        commit = line[step]
        if commit is None:
            step = line.last()
            if step == failing:
                return None
            commit = line[step]
        if search.succeeds(commit):
            break
        failing, step = step, max(1, step * 2)
    good = step
    while good - failing > 1:
        middle = (good + failing) // 2
        if search.succeeds(line[middle]):
            good = middle
        else:
            failing = middle
    return good
