# SPDX-License-Identifier: Apache-2.0
"""Taking uncommitted changes along to another commit, where nothing they touch differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.errors import Refused
from envgit.layers.apply import overlaid
from envgit.layers.compare import Change, changes
from envgit.layers.entry import Directory, Kind, walk
from envgit.layers.ids import ChangesId, CommitId, LayerId, TreeId
from envgit.layers.select import select
from envgit.porcelain.foundation import chain, layering, position, snapshot
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint

if TYPE_CHECKING:
    from envgit.porcelain.foundation.publish import Publication
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.objects import ObjectWriter
    from envgit.store.worktree import State


class WouldOverwrite(Refused):
    """Uncommitted changes are in the way of what the target has."""

    def __init__(self, message: str, paths: Sequence[bytes]) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The worktree at another commit, and what has to be published for it.

    ``before`` is what undo goes back to. ``carried`` are the uncommitted changes that came along.
    """

    state: State
    before: WorktreePoint
    carried: tuple[Change, ...] = ()
    seals: tuple[tuple[ChangesId, LayerId], ...] = ()
    sealed: tuple[ChangesId, CommitId] | None = None

    def added_to(self, publication: Publication) -> Publication:
        """The publication with the worktree here afterwards, and with what undo needs for that."""
        return replace(
            publication,
            state=self.state,
            seals=(*publication.seals, *self.seals),
            before=self.before,
            after=WorktreePoint(self.state.base, None),
            sealed=self.sealed,
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a worktree goes: a commit with its files, what is mounted for it and how to run there.

    The commit may be one that is about to exist, which git cannot be asked about yet.
    """

    commit: CommitId
    tree: Directory
    rootfs: TreeId
    chain: tuple[tuple[str, ...], int]
    config: Mapping[str, Any]


def at(repository: Repository, commit: CommitId) -> Destination:
    """A commit that exists, as a destination. Builds the spans that are due."""
    git = repository.git
    return Destination(
        commit=commit,
        tree=git.rootfs(commit),
        rootfs=git.commit(commit).rootfs,
        chain=chain.resolve(repository, commit),
        config=git.metadata(commit).config,
    )


def arrive(
    repository: Repository,
    writer: ObjectWriter,
    destination: Destination,
    *,
    keep: bool,
    command: str = "checkout",
) -> Arrival:
    """The worktree at ``destination``: with its uncommitted changes (``keep``), else with none.
    ``command`` is what an error says would overwrite them.

    Nothing is copied: a change set that lies right on HEAD moves with one pointer; changes that
    are spread over layers (after reset --soft, or a commit made while something ran) become a
    layer of hard links. Raises WouldOverwrite, WorktreeBusy.
    """
    check_idle(repository)
    state = repository.worktree.state()
    here = position.point(repository, state)
    if keep:
        current = snapshot.stable(repository, allow_unflushed=True)
        # Before a first commit the root directory alone is nothing that anybody made.
        if any(change.path or change.old for change in current.changes):
            check_no_overlap(current, destination.tree, command)
            if current.head.commit == state.base:
                return _move_changes(current, destination, here)
            return _rebuild(repository, writer, current, destination)
    there = position.standing(
        repository,
        state,
        destination.commit,
        destination.chain,
        destination.config,
        destination.tree,
    )
    return Arrival(there, here)


def check_unchanged(current: Current, command: str) -> None:
    """Raise WouldOverwrite when anything is uncommitted: nothing would be left of it."""
    if current.changes:
        raise _overwriting(command, [change.path for change in current.changes])


def check_no_overlap(current: Current, target: Directory, command: str) -> None:
    """Raise WouldOverwrite unless nothing that the changes touch, above or below in the tree,
    differs between HEAD and the tree ``target``."""
    differing = {change.path for change in changes(current.head_tree, target)}
    if current.head_tree is None:
        differing.discard(b"")  # the root directory itself is in every state
    above = {parent for path in differing for parent in _parents(path)}
    clash = sorted(
        path
        for path, merges in _touched(current)
        if path in differing
        or (path in above and not merges)
        or any(parent in differing for parent in _parents(path))
    )
    if clash:
        raise _overwriting(command, clash)


def _overwriting(command: str, paths: Sequence[bytes]) -> WouldOverwrite:
    return WouldOverwrite(
        f"Your local changes to the following files would be overwritten by {command}:", paths
    )


def _touched(current: Current) -> Iterator[tuple[bytes, bool]]:
    """Each path that the changes hold, and whether it is a directory that shows what is below."""
    if current.head.commit == current.state.base:
        # Also directories that are there only for what is in them: they show their own metadata.
        for path, entry in walk(current.normalized.layer):
            yield path, entry.kind == Kind.DIR and not entry.opaque
        return
    for change in current.changes:
        kinds = {entry.kind for entry in (change.old, change.new) if entry is not None}
        yield change.path, kinds == {Kind.DIR} and change.old is not None


def _move_changes(current: Current, destination: Destination, here: WorktreePoint) -> Arrival:
    layering.settle_changes(current)
    stack, depth = destination.chain
    state = current.state._replace(
        base=destination.commit, stack=stack, depth=depth, config=dict(destination.config)
    )
    return Arrival(state, here, tuple(current.changes))


def _rebuild(
    repository: Repository, writer: ObjectWriter, current: Current, destination: Destination
) -> Arrival:
    """The changes as a layer on the destination, made of hard links into a snapshot of what is
    here."""
    who, state = repository.signature(), current.state
    kept = layering.seal_changes(repository, writer, current)
    runs = snapshot.uncommitted_runs(repository, current)
    before = layering.write_snapshot(writer, kept, state.base, state.config, who, runs)
    onto = destination.tree
    ours = {change.path for change in current.changes}
    taken = [change for change in changes(onto, current.tree) if change.path in ours]
    target = overlaid(onto, select(onto, current.tree, taken))
    contents = snapshot.reader(repository, state.stack, current.upper)
    old = (onto, destination.rootfs)
    made = layering.layer_between(repository, writer, old, target, contents.find)
    config = destination.config
    after = layering.write_snapshot(writer, made, destination.commit, config, who, runs)
    stack, depth = destination.chain
    mounted = ((f"layers/{made.layer}", *stack), depth + 1)
    return Arrival(
        state=position.standing(repository, state, after, mounted, config, target),
        before=WorktreePoint(before, None),
        carried=tuple(current.changes),
        seals=tuple(each.seal for each in (kept, made) if each.seal),
        sealed=(state.changes, before),
    )


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:end]) for end in range(1, len(parts))]


@dataclass(frozen=True, slots=True)
class Rebased:
    """Uncommitted changes on another commit than they lay on: the worktree's state, and what has to
    be sealed for it."""

    state: State
    seals: tuple[tuple[ChangesId, LayerId], ...] = ()


def rebased(
    repository: Repository, writer: ObjectWriter, below: CommitId, shown: CommitId, onto: CommitId
) -> Rebased:
    """The worktree at ``onto`` with what differs between ``below`` and ``shown`` uncommitted.

    Of hard links; ``shown`` is a snapshot, or the commit that the changes became.
    """
    git, state = repository.git, repository.worktree.state()
    tree = git.rootfs(shown)
    kept = {change.path for change in changes(git.rootfs(below), tree)}
    runs = git.metadata(shown).runs
    if not kept and not runs:
        return Rebased(position.at_commit(repository, state, onto))
    base = git.rootfs(onto)
    taken = [change for change in changes(base, tree) if change.path in kept]
    target = overlaid(base, select(base, tree, taken))
    contents = snapshot.reader(repository, chain.resolve(repository, shown)[0])
    old = layering.tree_of(repository, onto)
    made = layering.layer_between(repository, writer, old, target, contents.find)
    config, who = git.metadata(onto).config, repository.signature()
    after = layering.write_snapshot(writer, made, onto, config, who, runs)
    mounted = position.on_top(repository, state, onto, made.layer)
    return Rebased(
        position.standing(repository, state, after, mounted, config, target),
        (made.seal,) if made.seal else (),
    )


def carried_away(repository: Repository, where: WorktreePoint) -> tuple[CommitId, CommitId] | None:
    """Where the changes of ``where`` were taken to before they became a layer, and the commit they
    became; None when they lay where they were until then, or are still there."""
    if where.changes is None or where.base is None:
        return None
    if repository.store.changes_exist(where.changes):
        return None
    below = where.base
    # Where they lay, from the oldest operation on: those that take changes along end at a commit
    # with them still uncommitted; undo and redo say so when they bring them back.
    for operation in reversed(list(repository.git.operations())):
        before, after = operation.before, operation.after
        ordinary = operation.undoes is None and operation.redoes is None
        if operation.sealed is not None and operation.sealed[0] == where.changes:
            return (below, operation.sealed[1]) if below != where.base else None
        if after is None or after.base is None:
            continue
        taken = before is not None and before.changes == where.changes and ordinary
        if taken or after.changes == where.changes:
            below = after.base
    return None
