# SPDX-License-Identifier: Apache-2.0
"""Clean up: expire what undo no longer needs, delete what nothing refers to, pack the rest."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.layers.ids import ChangesId, CommitId, LayerId, WorktreeId
from envgit.porcelain.occupants import host_mounts
from envgit.porcelain.relocate import uses
from envgit.porcelain.repository import Repository
from envgit.repo.operations import truncate
from envgit.repo.repository import GitRepository
from envgit.store import sweep
from envgit.store.registry import Registration, note_presence
from envgit.store.usage import Usage
from envgit.store.worktree import Worktree

if TYPE_CHECKING:
    from envgit.repo.maintenance import Repacked
    from envgit.store.store import Store


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was deleted (or with ``dry_run`` would be).

    ``expired`` counts operations that left the log, ``kept_for`` names repositories that cannot
    be found where they were, and whose layers are therefore all kept for now.
    """

    dry_run: bool
    expired: int
    layers: int
    spans: int
    changes: int
    frees: Usage
    packed: Repacked | None
    kept_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Needed:
    """What the repositories of a store still need."""

    layers: set[LayerId]
    changes: set[ChangesId]
    commits: set[CommitId]
    worktrees: set[WorktreeId]
    missing: tuple[str, ...]


def gc(
    repository: Repository,
    *,
    dry_run: bool = False,
    expire: int | None = None,
    pack: bool = True,
) -> GcResult:
    """Collect garbage in the repository and in its store.

    Operations older than ``gc.reflogExpire`` (or ``expire``, in seconds of age) leave the log;
    what neither the log, a ref, a reflog nor a worktree of any registered repository refers to
    is deleted. ``dry_run`` changes nothing and predicts.
    """
    store, worktree = repository.store, repository.worktree
    now = int(time.time())
    age = expire if expire is not None else repository.settings.get_expiry("gc.reflogExpire")
    before = None if age is None else now - age
    with (
        store.lock(exclusive=not dry_run, what="gc", on_wait=repository.waiting) as lock,
        worktree.lock(what="gc", on_wait=repository.waiting),
    ):
        try:
            repository.recover()
            expired = _expire(repository, before, dry_run=dry_run)
        except OSError as error:
            if dry_run or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # Forgetting takes a little room: first delete what nothing has to be written for.
            sweep.execute(store, _plan(repository, now, dry_run=False)[0], lock)
            repository.recover()
            expired = _expire(repository, before, dry_run=dry_run)
        plan, missing = _plan(repository, now, dry_run=dry_run)
        packed = None
        if not dry_run:
            sweep.execute(store, plan, lock)
            if pack:
                packed = _pack(repository, before)
    return GcResult(
        dry_run=dry_run,
        expired=expired,
        layers=len(plan.layers),
        spans=len(plan.spans),
        changes=len(plan.changes),
        frees=plan.frees,
        packed=packed,
        kept_for=missing,
    )


def _plan(
    repository: Repository, now: int, *, dry_run: bool
) -> tuple[sweep.Sweep, tuple[str, ...]]:
    """What is to be deleted, and the repositories that cannot be found now."""
    store = repository.store
    needed = _needed(repository, now, dry_run=dry_run)
    found = not needed.missing
    plan = sweep.plan(
        store,
        layers=needed.layers if found else set(store.all_layers()),
        changes=needed.changes if found else set(store.all_changes()),
        commits=needed.commits,
        worktrees=needed.worktrees if found else set(store.all_worktrees()),
        mounted=_mounted(store),
    )
    return plan, needed.missing


def _mounted(store: Store) -> set[str]:
    """The directories that ``envgit mount`` shows somewhere now, whichever worktree it was for."""
    return {
        directory
        for worktree in store.all_worktrees()
        for mount in host_mounts(Worktree(store, worktree))
        for directory in mount.stack
    }


def _expire(repository: Repository, before: int | None, *, dry_run: bool) -> int:
    """Shorten the operation log and the reflogs; how many operations went."""
    if before is None:
        return 0
    git = repository.git
    old = sum(1 for operation in git.operations() if operation.time < before)
    if dry_run:
        return old
    who = repository.signature()
    writer = git.writer()
    update = truncate(git, writer, before)
    if update is not None:
        writer.flush()
        git.apply([update], None, who)
    git.expire_reflogs(before)
    return old if update is not None else 0


def _needed(repository: Repository, now: int, *, dry_run: bool) -> _Needed:
    store = repository.store
    needed = _Needed(set(), set(), set(), set(), ())
    missing = []
    grace = repository.settings.get_expiry("gc.repositoryExpire")
    own = repository.worktree.id
    needed.worktrees.add(own)
    _add(needed, repository.git)
    if not dry_run:  # whatever became of its registration
        store.register(repository.path, [own])
    for entry in store.repositories():
        if own in entry.worktrees:
            continue
        present = _is_there(entry)
        if not dry_run:
            entry = note_presence(store, entry, present=present, now=now)
        if present:
            needed.worktrees.update(entry.worktrees)
            _add(needed, GitRepository.open(entry.path))
        elif grace is None or now - (entry.missing_since or now) < grace:
            missing.append(entry.path)
        elif not dry_run:
            store.unregister(entry.path, entry.worktrees)
    return _Needed(needed.layers, needed.changes, needed.commits, needed.worktrees, tuple(missing))


def _is_there(entry: Registration) -> bool:
    """Whether the repository can be found, and is not another one made where that was."""
    return os.path.isfile(os.path.join(entry.path, "HEAD")) and any(
        uses(entry.path, worktree) for worktree in entry.worktrees
    )


def _add(needed: _Needed, git: GitRepository) -> None:
    """Everything that a repository's refs, reflogs and operations lead to."""
    for oid in git.reachable_environments():
        needed.commits.add(oid)
        needed.layers.add(git.commit(oid).layer)
    for operation in git.operations():
        for point in (operation.before, operation.after):
            if point is not None and point.changes is not None:
                needed.changes.add(point.changes)


def _pack(repository: Repository, before: int | None) -> Repacked:
    from envgit.repo.maintenance import repack

    return repack(repository.git, prune_before=before)
