# SPDX-License-Identifier: Apache-2.0
"""Merging a change into HEAD beside uncommitted changes, as cherry-pick, revert and stash do.

git merges into the index and refuses where that would write to a file that is modified in the
worktree. There is no index here: the change is merged into HEAD's tree, and where something is
uncommitted, into the worktree's state as well once it is clear that the two do not overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envgit.porcelain.foundation.carry import check_no_overlap
from envgit.porcelain.foundation.merging import Combined, Side, combine
from envgit.porcelain.foundation.repository import Repository

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current


def into_head(
    repository: Repository,
    current: Current,
    base: Side,
    theirs: Side,
    *,
    label: str,
    favour: str | None = None,
) -> Combined:
    """HEAD with the change from ``base`` to ``theirs``."""
    return combine(
        repository,
        base,
        Side.of_commit(repository, current.head.commit, label),
        theirs,
        favour=favour,
    )


def into_worktree(
    repository: Repository,
    current: Current,
    base: Side,
    theirs: Side,
    *,
    label: str,
    favour: str | None = None,
) -> Combined:
    """The worktree's state with that change; raises WouldOverwrite where it would write to what is
    uncommitted."""
    merged = into_head(repository, current, base, theirs, label=label, favour=favour)
    if not current.changes:
        return merged
    return beside_changes(repository, current, merged, base, theirs, label=label, favour=favour)


def beside_changes(
    repository: Repository,
    current: Current,
    merged: Combined,
    base: Side,
    theirs: Side,
    *,
    label: str,
    favour: str | None = None,
) -> Combined:
    """What ``into_head`` gave, with the uncommitted changes. Gives its scratch change set up."""
    forget(repository, merged)
    check_no_overlap(current, merged.tree, "merge")
    return combine(
        repository, base, Side.of_current(repository, current, label), theirs, favour=favour
    )


def forget(repository: Repository, combined: Combined) -> None:
    """Delete the contents that were written for a merge that nobody publishes."""
    if combined.scratch is not None:
        repository.store.delete_changes(combined.scratch)
