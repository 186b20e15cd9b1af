# SPDX-License-Identifier: Apache-2.0
"""Where a worktree stands: at a commit with a change set; and what undo needs to return there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError
from envgit.layers.entry import Directory, Entry, Kind, is_overlay_xattr
from envgit.layers.ids import ChangesId, CommitId, LayerId
from envgit.layers.writer import write_attributes
from envgit.porcelain.foundation.chain import resolve
from envgit.porcelain.foundation.occupants import is_occupied
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint
from envgit.store.spans import TARGET

if TYPE_CHECKING:
    from envgit.store.worktree import State


def is_dirty(repository: Repository, state: State) -> bool:
    """Whether anything changed or ran since the base. Cheap, and rather True than wrong.

    The store sees what is in the upper directory; what the directory itself has become (``chmod 700
    /`` inside) only shows against the base's tree.
    """
    if repository.worktree.is_dirty_quick(state):
        return True
    if state.base is None:
        return False
    base = repository.git.rootfs(state.base).entry
    return _root_entry(repository.store.upper_path(state.changes)) != base.with_links(())


def point(repository: Repository, state: State) -> WorktreePoint:
    """What undo needs to show this state again: its base, and its change set if it has any."""
    gone = not repository.store.changes_exist(state.changes)  # somebody deleted them by hand
    if gone or not is_dirty(repository, state):
        return WorktreePoint(state.base, None)
    return WorktreePoint(
        base=state.base,
        changes=state.changes,
        boot_id=state.boot_id,
        mountpoints=state.mountpoints,
        committed_runs=state.committed_runs,
    )


def at_commit(repository: Repository, state: State, commit: CommitId) -> State:
    """The state of the worktree at ``commit``, with a new and empty change set."""
    git = repository.git
    config = git.metadata(commit).config
    chain = resolve(repository, commit)
    return standing(repository, state, commit, chain, config, git.rootfs(commit))


def standing(
    repository: Repository,
    state: State,
    base: CommitId,
    chain: tuple[tuple[str, ...], int],
    config: Mapping[str, Any],
    tree: Directory,
) -> State:
    """The state of the worktree on ``base``, with a new and empty change set.

    ``chain`` is what is mounted for ``base``, with its depth; ``tree`` its files.
    """
    stack, depth = chain
    return state._replace(
        base=base,
        depth=depth,
        stack=stack,
        config=dict(config),
        changes=fresh_changes(repository, tree),
        boot_id=None,
        mountpoints=(),
        committed_runs=0,
    )


def empty(repository: Repository, state: State) -> State:
    """The state of a worktree that shows nothing, as before a first commit."""
    return state._replace(
        base=None,
        depth=0,
        stack=(),
        changes=fresh_changes(repository, None),
        boot_id=None,
        mountpoints=(),
        committed_runs=0,
    )


def on_top(
    repository: Repository, state: State, parent: CommitId | None, layer: LayerId
) -> tuple[tuple[str, ...], int]:
    """The stack and depth of a commit that is about to exist: ``layer`` on top of ``parent``."""
    if parent is None:
        below: tuple[str, ...] = ()
        depth = 0
    elif parent == state.base:
        below, depth = state.stack, state.depth
    else:
        below, depth = resolve(repository, parent)
    return (f"layers/{layer}", *below), depth + 1


def shorten(repository: Repository) -> None:
    """Merge what is due below the worktree's base into spans, and mount those from now on.

    The caller holds the worktree's lock. Left out while something runs: a mounted stack stays.
    """
    worktree = repository.worktree
    state = worktree.state()
    if state.base is None or len(state.stack) <= TARGET or is_occupied(repository):
        return
    stack, depth = resolve(repository, state.base)
    if (stack, depth) != (state.stack, state.depth):
        worktree.write_state(state._replace(stack=stack, depth=depth))


def fresh_changes(repository: Repository, tree: Directory | None) -> ChangesId:
    """A new, empty change set whose top directory has the metadata of ``tree``'s.

    Overlayfs shows the upper directory's metadata for the root of the environment.
    """
    store = repository.store
    changes = store.new_changes()
    if tree is not None:
        _set_root(store.upper_path(changes), tree.entry)
    return changes


def state_at(repository: Repository, state: State, where: WorktreePoint) -> State:
    """The worktree's state that shows ``where`` again. Raises EnvgitError when it expired."""
    if where.changes is not None and not repository.store.changes_exist(where.changes):
        where = _sealed_as(repository, where)
    if where.base is None:
        base, depth, config = None, 0, state.config
        stack: tuple[str, ...] = ()
    else:
        base = where.base
        stack, depth = resolve(repository, base)
        config = dict(repository.git.metadata(base).config)
    changes = where.changes
    if changes is None:
        tree = repository.git.rootfs(base) if base else None
        changes = fresh_changes(repository, tree)
    return state._replace(
        base=base,
        stack=stack,
        depth=depth,
        config=config,
        changes=changes,
        boot_id=where.boot_id,
        mountpoints=where.mountpoints,
        committed_runs=where.committed_runs,
    )


def _sealed_as(repository: Repository, where: WorktreePoint) -> WorktreePoint:
    """The same content as a commit's: the change set became a layer since."""
    for operation in repository.git.operations():
        if operation.sealed is not None and operation.sealed[0] == where.changes:
            return WorktreePoint(base=operation.sealed[1], changes=None)
    raise EnvgitError(
        f"the uncommitted changes {where.changes} that belong to this state are gone",
        hint="gc removes them once the operation has expired (gc.reflogExpire)",
    )


def fresh_changes_over(repository: Repository, upper: str) -> ChangesId:
    """A new, empty change set to lie over another one, whose top directory it shows."""
    changes = repository.store.new_changes()
    _set_root(repository.store.upper_path(changes), _root_entry(upper))
    return changes


def _root_entry(upper: str) -> Entry:
    """What a change set shows of the environment's root directory itself."""
    status = os.stat(upper)
    xattrs = tuple(
        sorted(
            (os.fsencode(name), os.getxattr(upper, name))
            for name in os.listxattr(upper)
            if not is_overlay_xattr(os.fsencode(name))
        )
    )
    mode = status.st_mode & 0o7777
    return Entry(Kind.DIR, mode, status.st_uid, status.st_gid, xattrs=xattrs)


def _set_root(upper: str, entry: Entry) -> None:
    """Give a new change set's top directory this metadata, durably: a state is about to name it."""
    if _root_entry(upper) == entry:
        return  # as it was made, which is nearly always so
    fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_attributes(fd, entry, None)
        os.fsync(fd)
    finally:
        os.close(fd)
