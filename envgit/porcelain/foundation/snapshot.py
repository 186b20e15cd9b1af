# SPDX-License-Identifier: Apache-2.0
"""What the worktree holds now: its base commit overlaid with its change set, compared with HEAD.

Every verb that asks "what is uncommitted?" asks here, so that they cannot disagree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.errors import Refused
from envgit.layers.apply import overlaid
from envgit.layers.compare import Change, Normalized, changes, normalize
from envgit.layers.directory import copy as copy_layer
from envgit.layers.entry import Directory
from envgit.layers.ids import ChangesId
from envgit.layers.scan import Skipped, scan
from envgit.layers.view import Overlay
from envgit.porcelain.foundation import chain
from envgit.porcelain.foundation.occupants import is_occupied
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import RunRecord

if TYPE_CHECKING:
    from envgit.repo.refs import Head
    from envgit.store.worktree import State


@dataclass(frozen=True, slots=True)
class Current:
    """The uncommitted state of a worktree.

    ``normalized`` is the change set against the base (what a layer on top of the base would be);
    ``tree`` the whole file system, ``changes`` its differences from HEAD, sorted by path.
    ``source`` is the change set that may be sealed, ``upper`` the host directory with its files:
    the worktree's own, or a copy taken while something was running (``copied``). ``recorded`` are
    the runs noted in the change set, all of whose changes are here.
    """

    head: Head
    state: State
    head_tree: Directory | None
    base_tree: Directory | None
    normalized: Normalized
    tree: Directory
    changes: list[Change]
    source: ChangesId
    upper: str
    copied: bool
    recorded: tuple[Mapping[str, Any], ...]
    skipped: tuple[Skipped, ...]


# Commits between HEAD and the base whose run records are taken up again when they are committed
# anew (after reset --soft or undo): a guess that is far above what anybody resets by.
_MAX_TAKEN_UP = 1000


class IncompleteChanges(Refused):
    """The machine went down before uncommitted changes were flushed."""


def describe(repository: Repository) -> Current:
    """The uncommitted state, for reading only. Takes no lock; running commands go on."""
    return _take(repository, copy=None)


def stable(repository: Repository, *, allow_unflushed: bool = False) -> Current:
    """The uncommitted state to make layers of; the caller holds the lock.

    While commands run in the worktree they are frozen just long enough to copy what changed,
    because a mounted upper directory cannot be sealed under them. Raises IncompleteChanges after
    a power cut, unless ``allow_unflushed``.
    """
    if not allow_unflushed:
        check_flushed(repository)
    if not is_occupied(repository):
        return _take(repository, copy=None)
    from envgit.sandbox.freezer import frozen

    copy = repository.store.new_changes()
    with frozen([run.init_pid for run in repository.worktree.running()]):
        return _take(repository, copy=copy)


def check_flushed(repository: Repository) -> None:
    """Raise IncompleteChanges when changes were made under an earlier boot and never flushed."""
    worktree = repository.worktree
    if not worktree.maybe_incomplete(worktree.state()):
        return
    raise IncompleteChanges(
        "the machine went down before the uncommitted changes were flushed; they may be incomplete",
        hint="look at them with 'envgit status', then drop them with 'envgit rollback' or keep"
        " them with 'envgit commit --allow-unflushed'",
    )


def reader(repository: Repository, stack: tuple[str, ...], upper: str | None = None) -> Overlay:
    """The contents of a stack of layers, with ``upper`` on top when there is one."""
    directories = chain.directories(repository, stack)
    return Overlay((upper, *directories) if upper is not None else directories)


def uncommitted_runs(repository: Repository, current: Current) -> tuple[RunRecord, ...]:
    """The commands run since HEAD: those of commits that HEAD was moved back from, then ours."""
    git = repository.git
    taken: list[RunRecord] = []
    oid, steps = current.state.base, 0
    while oid is not None and oid != current.head.commit and steps < _MAX_TAKEN_UP:
        taken[:0] = git.metadata(oid).runs
        parents = git.commit(oid).parents
        oid, steps = (parents[0] if parents else None), steps + 1
    if oid != current.head.commit:
        taken = []
    records = current.recorded[current.state.committed_runs :]
    ours = map(_run_record, filter(_is_run, records))
    return (*taken, *ours)


def _is_run(record: Mapping[str, Any]) -> bool:
    """Whether a line of the file of runs, which anybody may have edited, says what it must."""
    argv = record.get("argv")
    return (
        isinstance(argv, list)
        and all(isinstance(word, str) for word in argv)
        and all(type(record.get(key)) is int for key in ("exit_code", "started", "duration_ms"))
    )


def _run_record(record: Mapping[str, Any]) -> RunRecord:
    """A run as the store recorded it, as a commit records it."""
    return RunRecord(
        argv=tuple(record["argv"]),
        exit_code=record["exit_code"],
        started=record["started"],
        duration_ms=record["duration_ms"],
    )


def _take(repository: Repository, *, copy: ChangesId | None) -> Current:
    """Scan the change set; with ``copy`` put what changed there and speak of the copy."""
    worktree, git, store = repository.worktree, repository.git, repository.store
    state = worktree.state()
    head = git.head()
    recorded = tuple(worktree.runs(state.changes))
    upper = os.path.join(store.changes_path(state.changes), "upper")
    mount_points = frozenset(os.fsencode(path) for path in state.mountpoints)
    with worktree.hashes(state.changes) as hashes:
        scanned = scan(
            os.fsencode(upper),
            hashes=hashes,
            overlay=True,
            excluded=mount_points,
        )
    base_tree = git.rootfs(state.base) if state.base else None
    normalized = normalize(scanned.node, base_tree)
    if copy is not None:
        copied = os.path.join(store.changes_path(copy), "upper")
        copy_layer(os.fsencode(copied), normalized.layer, os.fsencode(upper))
        upper = copied
    tree = overlaid(base_tree, normalized.layer)
    if head.commit == state.base:
        head_tree, found = base_tree, normalized.changes
    else:
        head_tree = git.rootfs(head.commit) if head.commit else None
        found = changes(head_tree, tree)
    return Current(
        head=head,
        state=state,
        head_tree=head_tree,
        base_tree=base_tree,
        normalized=normalized,
        tree=tree,
        changes=found,
        source=state.changes if copy is None else copy,
        upper=upper,
        copied=copy is not None,
        recorded=recorded,
        skipped=tuple(skip for skip in scanned.skipped if skip.path not in mount_points),
    )
