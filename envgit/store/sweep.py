# SPDX-License-Identifier: Apache-2.0
"""Takes out of the store what nothing needs: first a plan that can be shown, then the deletion.

What is needed, only the repositories know; ``porcelain`` reads that out of them. What is in use at
this very moment (worktrees' states, running environments, journals) is found here and never planned
for deletion, whatever the caller says.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from envgit.fs import crashpoint
from envgit.layers.ids import ChangesId, CommitId, LayerId, WorktreeId
from envgit.store.cache import stale
from envgit.store.failures import StoreError
from envgit.store.locks import Held
from envgit.store.usage import Usage, exclusive_each
from envgit.store.worktree import Worktree

if TYPE_CHECKING:
    from envgit.store.store import Store


class NotExclusive(StoreError):
    """A deletion was asked for without the exclusive lock of the store: a mistake in the caller."""


class InUse(NamedTuple):
    """What worktrees, running environments and unfinished changes of state hold on to."""

    directories: frozenset[str]
    """Relative to the store, as in a state's ``stack``."""
    changes: frozenset[ChangesId]
    worktrees: frozenset[WorktreeId]
    """Those where something runs."""


class Sweep(NamedTuple):
    """What is to be deleted: paths relative to the store, by kind; ``frees`` is the prediction."""

    layers: tuple[LayerId, ...]
    spans: tuple[str, ...]
    changes: tuple[ChangesId, ...]
    worktrees: tuple[WorktreeId, ...]
    remains: tuple[str, ...]
    """What crashes left (everything in ``tmp/`` and ``trash/``, half-written files), and derived
    data that nobody has asked for in a long time."""
    frees: Usage
    parts: dict[str, Usage]
    """``frees`` by kind: spans, layers, changes, worktrees, remains."""

    def paths(self) -> tuple[str, ...]:
        """All of it, relative to the store."""
        return tuple(path for group in self.groups().values() for path in group)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The same by kind, in the order in which it goes."""
        return {
            "spans": tuple(f"spans/{name}" for name in self.spans),
            "layers": tuple(f"layers/{name}" for name in self.layers),
            "changes": tuple(f"changes/{name}" for name in self.changes),
            "worktrees": tuple(f"worktrees/{name}" for name in self.worktrees),
            "remains": self.remains,
        }


def in_use(store: Store, *, given_up: Collection[WorktreeId] = ()) -> InUse:
    """What must stay because somebody works with it now.

    Of the worktrees in ``given_up`` only what runs in them counts. Raises StateError when a
    worktree's state or journal is missing or damaged: then nothing can be told.
    """
    directories: set[str] = set()
    changes: set[ChangesId] = set()
    busy: set[WorktreeId] = set()
    for name in store.all_worktrees():
        worktree = Worktree(store, name)
        for running in worktree.running():
            busy.add(name)
            directories.update(running.info.get("stack", ()))
            changes.add(running.info.get("changes", ""))
            changes.update(running.info.get("below", ()))
        if name in given_up and name not in busy:
            continue
        states = [worktree.state()]
        record = worktree.journal.read()
        if record is not None:
            states += [record.state] if record.state is not None else []
            changes.update(sealed for sealed, _ in record.seals)
            directories.update(f"layers/{layer}" for _, layer in record.seals)
        for state in states:
            directories.update(state.stack)
            changes.add(state.changes)
    return InUse(frozenset(directories), frozenset(changes), frozenset(busy))


def plan(
    store: Store,
    *,
    layers: Collection[LayerId],
    changes: Collection[ChangesId],
    commits: Collection[CommitId],
    worktrees: Collection[WorktreeId],
    mounted: Collection[str] = (),
) -> Sweep:
    """What goes if only these layers, change sets, commits (for spans) and worktrees are needed.

    ``mounted`` are directories, as in a state's ``stack``, that the host has mounted somewhere.
    Reading only; under the shared lock it is a prediction, under the exclusive one it is the truth.
    """
    dropped = [name for name in store.all_worktrees() if name not in worktrees]
    used = in_use(store, given_up=dropped)
    directories = used.directories.union(mounted)
    gone_layers = tuple(
        name
        for name in store.all_layers()
        if name not in layers and f"layers/{name}" not in directories
    )
    gone_spans = tuple(
        name
        for name in store.all_spans()
        if name.partition(".")[0] not in commits and f"spans/{name}/tree" not in directories
    )
    gone_changes = tuple(
        name
        for name in store.all_changes()
        if name not in used.changes and (name not in changes or not store.changes_exist(name))
    )
    gone_worktrees = tuple(name for name in dropped if name not in used.worktrees)
    remains = tuple(_remains(store, but={*gone_changes, *gone_worktrees}))
    sweep = Sweep(gone_layers, gone_spans, gone_changes, gone_worktrees, remains, Usage(), {})
    groups = sweep.groups()
    sizes = exclusive_each(
        [os.path.join(store.path, path) for path in group] for group in groups.values()
    )
    total = Usage()
    for each in sizes:
        total = total.plus(each)
    return sweep._replace(frees=total, parts=dict(zip(groups, sizes, strict=True)))


def execute(store: Store, sweep: Sweep, lock: Held) -> int:
    """Delete what was planned under ``lock``, the store's exclusive lock; the bytes given back.

    Each thing leaves its place by one rename before anything in it is deleted, and spans go before
    the layers they were made of; a crash leaves the rest for the next time. Raises StoreError.
    """
    if not lock.exclusive or lock.fd < 0:
        raise NotExclusive("the store's exclusive lock is needed to delete from it")
    for path in sweep.paths():
        if not path.startswith("trash/"):
            store.trash(os.path.join(store.path, path))
            crashpoint.reach("sweep:trashed")
    return store.empty_trash()


def _remains(store: Store, but: Collection[str]) -> Iterator[str]:
    for folder in ("tmp", "trash"):
        yield from (f"{folder}/{name}" for name in store.names(folder))
    # Files that were being written (fs/durable.py, hashes.py) when their writer died.
    for folder in (
        "repositories",
        *(f"worktrees/{name}" for name in store.all_worktrees() if name not in but),
        *(f"changes/{name}" for name in store.all_changes() if name not in but),
    ):
        yield from (f"{folder}/{name}" for name in store.names(folder) if name.endswith(".new"))
    yield from stale(store.path)
