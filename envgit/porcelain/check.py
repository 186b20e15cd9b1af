# SPDX-License-Identifier: Apache-2.0
"""Find the newest state in which a command succeeds, for ``rollback --check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from envgit.errors import Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.trials import Trial, Trials

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

    One after the other; with ``bisect`` 1, 2, 4, ... commits back until it succeeds (then in the
    middle of what was left out), and then by halves to the newest, which supposes that it fails in
    all of them from some commit on: that it succeeds where this leads and fails in the next commit
    has been seen. ``capture`` keeps what it writes. Raises NeverGood, TrialFailed.
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
    few = len(tried) <= line.last()
    if search.cannot_run():
        hint = "the shell could not run it anywhere: is it spelled right?"
    where = f"{len(tried)} commits that were tried" if few else f"{len(tried)} commits"
    raise NeverGood(f"'{command}' fails in all {where}; nothing was changed", hint=hint)


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

    def cannot_run(self) -> bool:
        """Whether the shell could not run it anywhere up to now."""
        return {trial.exit_code for trial in self.trials} <= set(_CANNOT_RUN)


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
    tried: dict[int, bool] = {}

    def good(step: int) -> bool:
        commit = line[step]
        assert commit is not None
        if step not in tried:
            tried[step] = search.succeeds(commit)
        return tried[step]

    step, far = 0, 1
    while not good(step):
        if line[far] is None:
            far = line.last()
            if far in tried:
                break
        step, far = far, far * 2
    # It may succeed in between alone: what it needs had not come yet in the first commits.
    while not tried[step]:
        gap = _widest(tried)
        if gap is None or search.cannot_run():
            return None
        step = gap
        good(step)
    failing = max((other for other in tried if other < step), default=-1)
    while step - failing > 1:
        middle = (step + failing) // 2
        if good(middle):
            step = middle
        else:
            failing = middle
    return step


def _widest(tried: dict[int, bool]) -> int | None:
    """The middle of the longest stretch that was not tried, the newest of equals; None if all
    were."""
    steps = sorted(tried)
    gaps = [(later - step, -step) for step, later in pairwise(steps) if later - step > 1]
    if not gaps:
        return None
    width, step = max(gaps)
    return -step + width // 2
