# SPDX-License-Identifier: Apache-2.0
"""What things cost on disk: each layer of a chain, what is uncommitted or parked, and the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId, LayerId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.selection import tips
from envgit.store.usage import Meter, Usage

if TYPE_CHECKING:
    from envgit.repo.maintenance import Counts


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """A commit of the chain and what its layer takes; ``exclusive`` when no other commit that a
    ref of this repository reaches has the same layer."""

    commit: CommitId
    layer: LayerId
    subject: str
    usage: Usage
    exclusive: bool


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """A chain's layers, newest first, and the repository's other costs.

    ``uncommitted`` is the worktree's change set, ``parked`` what undo keeps, ``spans`` what
    derived directories cost beyond the layers whose files they share, ``objects`` the git side.
    ``store`` is everything in the store, of all repositories.
    """

    layers: list[LayerUsage]
    uncommitted: Usage
    parked: Usage
    spans: Usage
    objects: Usage
    store: Usage


def usage(repository: Repository, revision: str = "HEAD") -> DiskUsage:
    """Measure the chain of ``revision`` and the rest."""
    git, store = repository.git, repository.store
    users: dict[LayerId, int] = {}
    for oid in git.walk(sorted({*tips(git, "branches"), *tips(git, "tags")})):
        layer = git.commit(oid).layer
        users[layer] = users.get(layer, 0) + 1
    meter = Meter()
    layers = []
    commit: CommitId | None = git.resolve(revision) if git.head().commit else None
    while commit is not None:
        found = git.commit(commit)
        cost = meter.measure(store.layer_path(found.layer))
        alone = users.get(found.layer, 0) <= 1
        layers.append(LayerUsage(commit, found.layer, found.subject, cost, alone))
        commit = found.parents[0] if found.parents else None
    return _whole(repository, layers)


def count_objects(repository: Repository) -> Counts:
    """What the git side holds, as ``git count-objects -v`` counts; sizes in bytes."""
    from envgit.repo.maintenance import count

    return count(repository.git)


def _whole(repository: Repository, layers: list[LayerUsage]) -> DiskUsage:
    store = repository.store
    current = repository.worktree.state().changes
    parked = {
        point.changes
        for operation in repository.git.operations()
        for point in (operation.before, operation.after)
        if point is not None and point.changes is not None and point.changes != current
    }
    meter = Meter()
    every_layer = meter.measure_all(store.layer_path(name) for name in store.all_layers())
    spans = meter.measure(os.path.join(store.path, "spans"))
    changes = meter.measure(os.path.join(store.path, "changes"))
    rest = [meter.measure(os.path.join(store.path, name)) for name in ("trash", "tmp", "worktrees")]
    total = every_layer.plus(spans).plus(changes)
    for each in rest:
        total = total.plus(each)
    return DiskUsage(
        layers=layers,
        uncommitted=Meter().measure(store.changes_path(current)),
        parked=Meter().measure_all(
            store.changes_path(name) for name in sorted(parked) if store.changes_exist(name)
        ),
        spans=spans,
        objects=Meter().measure(os.path.join(repository.path, "objects")),
        store=total,
    )
