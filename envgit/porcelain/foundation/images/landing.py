# SPDX-License-Identifier: Apache-2.0
"""Publishing the commits of an image: a new branch, with or without the worktree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envgit.porcelain.foundation import position
from envgit.porcelain.foundation.images.incoming import Brought
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import HEADS
from envgit.repo.refs import RefUpdate

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter


def publish_on(
    repository: Repository,
    writer: ObjectWriter,
    brought: Brought,
    branch: str,
    *,
    here: bool,
    title: str,
) -> None:
    """Make the branch, which does not exist; with ``here`` it is HEAD's, and the worktree (which
    has no changes) shows it. ``title`` says what comes. The caller holds the worktree's lock."""
    reason = f"import: {title}"
    refs = [RefUpdate(HEADS + branch, None, brought.tip, reason)]
    head, state = None, None
    discards = list(brought.scratch)
    old = repository.worktree.state()
    with repository.git.seeing(writer):
        if here:
            refs, head = moving_head(repository.git.head(), brought.tip, reason)
            tree = repository.git.rootfs(brought.tip)
            stack = brought.stack
            state = position.standing(repository, old, brought.tip, stack, brought.config, tree)
            discards.append(old.changes)
    publication = Publication(
        verb="import",
        description=reason,
        refs=refs,
        head=head,
        state=state,
        seals=brought.seals,
        discards=discards,
    )
    publish(repository, writer, publication)
    if here:
        position.shorten(repository)


def forget_unless_published(repository: Repository, brought: Brought, branch: str) -> None:
    """After an error: delete what was unpacked, unless all of it became true before."""
    if repository.git.ref(HEADS + branch) != brought.tip and not (
        repository.worktree.journal.pending()
    ):
        brought.forget()
