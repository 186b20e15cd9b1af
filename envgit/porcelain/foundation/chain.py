# SPDX-License-Identifier: Apache-2.0
"""From a commit to the directories that are mounted for it.

The chain of a commit is its layers along first parents; the store keeps it short with spans. This
is the one place that knows both the history (git) and the directories (store).
"""

from __future__ import annotations

from envgit.layers.ids import CommitId, LayerId
from envgit.porcelain.foundation.repository import Repository
from envgit.store.spans import ParentOf


def resolve(repository: Repository, commit: CommitId) -> tuple[tuple[str, ...], int]:
    """The directories to mount for ``commit`` (relative to the store, top first) and its depth.

    Builds the spans that are due; the caller holds the store's lock. Raises MissingLayer.
    """
    stack, depth = repository.store.spans.resolve(
        commit,
        _parent_in(repository),
        maximum=repository.settings.get_int("core.maxdepth"),
    )
    repository.store.stack_paths(stack)
    return stack, depth


def present(repository: Repository, commit: CommitId) -> tuple[str, ...]:
    """The directories that hold the files of ``commit`` as things are, however many: for reading
    without a mount and without a lock."""
    units = repository.store.spans.chain(commit, _parent_in(repository))
    return tuple(unit.directory for unit in units)


def directories(repository: Repository, stack: tuple[str, ...]) -> tuple[str, ...]:
    """The host paths of a stack, top first. Raises MissingLayer."""
    return repository.store.stack_paths(stack)


def _parent_in(repository: Repository) -> ParentOf:
    git = repository.git

    def parent_of(oid: CommitId) -> tuple[CommitId | None, LayerId]:
        found = git.commit(oid)
        return (found.parents[0] if found.parents else None), found.layer

    return parent_of
