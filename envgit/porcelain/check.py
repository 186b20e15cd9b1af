# SPDX-License-Identifier: Apache-2.0
"""Find the newest state in which a command succeeds, for ``rollback --check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envgit.errors import Refused
from envgit.layers.ids import CommitId
from envgit.porcelain import snapshot
from envgit.porcelain.repository import Repository
from envgit.porcelain.run import run

# What a shell answers when it cannot run a command at all (POSIX sh, 2.8.2): a typing mistake
# fails everywhere and must not lead to the root commit.
_CANNOT_RUN = (126, 127)


class NeverGood(Refused):
    """The command succeeds nowhere on the way back."""


@dataclass(frozen=True, slots=True)
class FirstGood:
    """The newest state where the command succeeds: ``steps`` commits back. ``dirty`` says that
    uncommitted changes have to go for it."""

    commit: CommitId
    steps: int
    dirty: bool


def first_good(
    repository: Repository,
    command: str,
    *,
    start: str | None = None,
    notify: Callable[[str], None] | None = None,
) -> FirstGood:
    """Run ``command`` by the shell in the worktree, then in each first parent from HEAD (or from
    ``start``), until it succeeds. Every trial's changes are thrown away. Raises NeverGood."""
    git = repository.git
    say = notify or repository.notify
    head = git.head().commit
    if head is None:
        raise NeverGood("there is nothing to roll back to: no commit yet")
    dirty = bool(snapshot.describe(repository).changes)
    argv = ("/bin/sh", "-c", command)
    if start is None and dirty:
        say("trying the uncommitted state")
        if run(repository, argv, discard=True).exit_code == 0:
            return FirstGood(head, 0, dirty=False)
    commit: CommitId | None = git.resolve(start) if start is not None else head
    steps, codes = 0, set()
    while commit is not None:
        found = git.commit(commit)
        say(f"trying {git.abbrev(commit)} {found.subject}")
        code = run(repository, argv, revision=commit).exit_code
        if code == 0:
            return FirstGood(commit, steps, dirty)
        codes.add(code)
        commit = found.parents[0] if found.parents else None
        steps += 1
    hint = None
    if codes <= set(_CANNOT_RUN):
        hint = "the shell could not run it anywhere: is it spelled right?"
    raise NeverGood(f"'{command}' fails in all {steps} commits; nothing was changed", hint=hint)
