# SPDX-License-Identifier: Apache-2.0
"""What merge, cherry-pick, revert and stash end with: a commit of the combined tree, or changes.

Either way only hard links are made, of what differs; the worktree then stands on a commit (its own,
or a snapshot on no branch) and one publication makes it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import layering, pending, position, snapshot
from envgit.porcelain.foundation.carry import Destination, arrive
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint
from envgit.repo.refs import RefUpdate

if TYPE_CHECKING:
    from envgit.layers.ids import ChangesId, LayerId, TreeId
    from envgit.porcelain.foundation.merging import Combined
    from envgit.porcelain.foundation.pending import Pending
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.metadata import Metadata, RunRecord
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.signature import Signature


def as_commit(
    repository: Repository,
    writer: ObjectWriter,
    current: Current,
    combined: Combined,
    *,
    parents: Sequence[CommitId],
    metadata: Metadata,
    author: Signature,
    committer: Signature,
    message: str,
    verb: str,
    reason: str,
    extra_refs: Sequence[RefUpdate] = (),
) -> CommitId:
    """A commit of ``combined`` on HEAD, whose tree was its ``ours``. The caller holds the lock.

    Uncommitted changes come along. Raises WouldOverwrite where they touch what the commit changes,
    and WorktreeBusy.
    """
    check_idle(repository)
    onto = layering.tree_of(repository, current.head.commit)
    layered = layering.layer_between(repository, writer, onto, combined.tree, combined.source)
    commit = layering.write_commit(writer, layered, metadata, parents, author, committer, message)
    chain = position.on_top(repository, current.state, current.head.commit, layered.layer)
    destination = Destination(commit, combined.tree, layered.rootfs, chain, metadata.config)
    arrival = arrive(repository, writer, destination, keep=True, command=verb)
    refs, head = moving_head(current.head, commit, reason)
    publication = Publication(
        verb=verb,
        description=reason,
        refs=[*refs, *extra_refs],
        head=head,
        seals=[layered.seal] if layered.seal else [],
        discards=_scratch(combined),
    )
    publish(repository, writer, arrival.added_to(publication), committer)
    position.shorten(repository)
    return commit


def as_changes(
    repository: Repository,
    writer: ObjectWriter,
    current: Current,
    combined: Combined,
    *,
    verb: str,
    reason: str,
    pending_next: Pending | None,
    extra_refs: Sequence[RefUpdate] = (),
    runs: tuple[RunRecord, ...] = (),
    config: Mapping[str, Any] | None = None,
) -> None:
    """The worktree shows ``combined``, whose ``ours`` was ``current``; HEAD stays.

    ``pending_next`` is what is pending then; its ``before`` is set here unless it has one. ``runs``
    are recorded commands that come with the change, ``config`` the run configuration. The caller
    holds the lock. Raises WorktreeBusy.
    """
    check_idle(repository)
    git, who, state = repository.git, repository.signature(), current.state
    config = dict(state.config if config is None else config)
    kept = _kept(repository, writer, current, who)
    before, below = kept.commit, kept.chain
    made = layering.layer_between(
        repository, writer, (current.tree, kept.rootfs), combined.tree, combined.source
    )
    seals = [*kept.seals, *([made.seal] if made.seal else [])]
    head = current.head.commit
    if head is not None and git.commit(head).rootfs == made.rootfs and not runs:
        next_state = position.at_commit(repository, state, head)
    else:
        after = layering.write_snapshot(writer, made, before, config, who, runs)
        chain = ((f"layers/{made.layer}", *below[0]), below[1] + 1)
        next_state = position.standing(repository, state, after, chain, config, combined.tree)
    if pending_next is not None and pending_next.before is None:
        pending_next = replace(pending_next, before=kept.point)
    publish(
        repository,
        writer,
        Publication(
            verb=verb,
            description=reason,
            refs=[*pending.updates(repository, writer, pending_next), *extra_refs],
            state=next_state,
            seals=seals,
            discards=[kept.source, *_scratch(combined)],
            before=kept.point,
            after=WorktreePoint(next_state.base, None),
            sealed=kept.sealed,
        ),
        who,
    )
    position.shorten(repository)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was there before: a commit to stand on and to go back to."""

    commit: CommitId
    rootfs: TreeId
    chain: tuple[tuple[str, ...], int]
    point: WorktreePoint
    source: ChangesId
    seals: tuple[tuple[ChangesId, LayerId], ...] = ()
    sealed: tuple[ChangesId, CommitId] | None = None


def _kept(repository: Repository, writer: ObjectWriter, current: Current, who: Signature) -> _Kept:
    """The base where nothing is uncommitted, else a snapshot of what is there."""
    state = current.state
    if state.base is not None and not position.is_dirty(repository, state):
        return _Kept(
            state.base,
            repository.git.commit(state.base).rootfs,
            (state.stack, state.depth),
            position.point(repository, state),
            state.changes,
        )
    layered = layering.seal_changes(repository, writer, current)
    runs = snapshot.uncommitted_runs(repository, current)
    commit = layering.write_snapshot(writer, layered, state.base, state.config, who, runs)
    return _Kept(
        commit,
        layered.rootfs,
        position.on_top(repository, state, state.base, layered.layer),
        WorktreePoint(commit, None),
        current.source,
        (layered.seal,) if layered.seal else (),
        (state.changes, commit),
    )


def abandon(repository: Repository, unfinished: Pending, *, verb: str, reason: str) -> None:
    """HEAD and the worktree, with its uncommitted changes, as they were before it began.

    The caller holds the lock. Raises WorktreeBusy.
    """
    check_idle(repository)
    git, writer = repository.git, repository.git.writer()
    state, head = repository.worktree.state(), git.head()
    refs: list[RefUpdate] = []
    head_update = None
    if head.commit != unfinished.head:
        refs, head_update = moving_head(head, unfinished.head, reason)
    there = unfinished.before or WorktreePoint(unfinished.head, None)
    publish(
        repository,
        writer,
        Publication(
            verb=verb,
            description=reason,
            refs=[
                *refs,
                *pending.updates(repository, writer, None),
                *pending.orig_head(repository, head.commit),
            ],
            head=head_update,
            state=position.state_at(repository, state, there),
            before=position.point(repository, state),
            after=there,
        ),
    )


def _scratch(combined: Combined) -> list[ChangesId]:
    return [combined.scratch] if combined.scratch is not None else []
