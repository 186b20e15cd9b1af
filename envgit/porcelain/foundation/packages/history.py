# SPDX-License-Identifier: Apache-2.0
"""What became of packages between commits, and since the last one; remembered by the trees' ids.

Only here are envgit.packages and the history brought together for the verbs that speak of packages.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from envgit.layers import compare as files
from envgit.layers.ids import CommitId
from envgit.packages import changes as packages
from envgit.packages.changes import PackageChange
from envgit.packages.inventory import Inventory, packed_package, unpacked_package
from envgit.packages.traces import VERSION as READERS
from envgit.packages.traces import marks
from envgit.porcelain.foundation.packages import inventories
from envgit.porcelain.foundation.packages.found import Found
from envgit.porcelain.foundation.packages.quiet import leaves_databases, leaves_files
from envgit.porcelain.foundation.repository import Repository
from envgit.store.cache import ContentCache

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.porcelain.foundation.snapshot import Current

_VERSION = 2
"""Raised whenever the same two trees give something else."""

_KEPT = 4
"""Inventories of commits that stay open: a log looks at each twice, as a commit and as a parent."""

_NEAR = 50
"""Ancestors that are asked for what they know of databases."""


class History:
    """Package changes between commits. One serves a whole log and keeps a little of it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._cache = ContentCache(repository.store.path, "packages")
        self._inventories: OrderedDict[CommitId, Inventory] = OrderedDict()
        self._marks: dict[CommitId, bytes] = {}

    def between(self, old: CommitId | None, new: CommitId | None) -> Found:
        """What became of packages from one commit to another; None is the empty environment."""
        git = self._repository.git
        sides = [git.git_commit(one).rootfs if one is not None else "" for one in (old, new)]
        if sides[0] == sides[1]:
            return Found()
        key = f"changes-{_VERSION}-{READERS}-{sides[0]}-{sides[1]}"
        known = _unpacked(self._cache.get(key))
        if known is not None:
            return known
        changed = files.changes(git.files(old), git.files(new))
        if self._is_quiet(old, new, changed):
            found = Found()
        else:
            after = self._inventory(new)
            before = self._inventory(old)
            before.follow(after)
            found = _compared(before, after, changed)
        if not found.problems and self._is_present(old) and self._is_present(new):
            self._cache.put(key, _packed(found))
        return found

    def of(self, commit: CommitId) -> Found:
        """What a commit did, compared with its first parent."""
        parents = self._repository.git.git_commit(commit).parents
        return self.between(parents[0] if parents else None, commit)

    def uncommitted(self, current: Current, changed: Sequence[Change] | None = None) -> Found:
        """What became of packages since HEAD; with ``changed`` of those whose records or files are
        among these changes."""
        if changed is None:
            changed = current.changes
        if not changed:
            return Found()
        before = self._inventory(current.head.commit)
        self._learn(before, current.head.commit)
        found = _compared(before, inventories.of_current(self._repository, current), changed)
        if len(changed) == len(current.changes):
            return found
        paths = {change.path for change in changed}
        return found.where(lambda change: bool(change.modified) or _is_recorded(change, paths))

    def _is_quiet(
        self, old: CommitId | None, new: CommitId | None, changed: Sequence[Change]
    ) -> bool:
        """Whether what changed is no package's, in commits that have the same databases."""
        if old is None or new is None or not leaves_databases(changed):
            return False
        found = next((one for end in (new, old) if (one := self._marks.get(end))), None)
        if found is None:
            found = self.files_of_packages(new)
        self._marks = {old: found, new: found}
        return leaves_files(changed, found)

    def files_of_packages(self, commit: CommitId) -> bytes:
        """The marks of the files that a commit's packages have (see envgit.packages.traces)."""
        return marks(self._inventory(commit).shipped_paths())

    def since(self, old: CommitId | None, current: Current) -> Found:
        """What became of packages from a commit to the worktree."""
        if old == current.head.commit:
            return self.uncommitted(current)
        changed = files.changes(self._repository.git.files(old), current.tree)
        before = self._inventory(old)
        return _compared(before, inventories.of_current(self._repository, current), changed)

    def _inventory(self, commit: CommitId | None) -> Inventory:
        if commit is None or not self._repository.git.git_commit(commit).rootfs:
            return inventories.of_commit(self._repository, None)
        found = self._inventories.pop(commit, None)
        if found is None:
            found = inventories.of_commit(self._repository, commit)
            if self._inventories:
                # A walk asks for neighbours, or for commits with little between them.
                found.follow(next(reversed(self._inventories.values())))
        self._inventories[commit] = found
        while len(self._inventories) > _KEPT:
            self._inventories.popitem(last=False)
        return found

    def _learn(self, inventory: Inventory, commit: CommitId | None) -> None:
        """Tell a commit's units from those of an ancestor that is known: to find them takes longer
        than all the rest."""
        if commit is None or inventory.is_known:
            return
        for _ in range(_NEAR):
            parents = self._repository.git.git_commit(commit).parents
            if not parents:
                return
            commit = parents[0]
            known = inventories.of_commit(self._repository, commit)
            if known.is_known:
                inventory.follow(known)
                return

    def _is_present(self, commit: CommitId | None) -> bool:
        """Whether contents can be read: what was told without them is not the whole truth."""
        if commit is None:
            return True
        layer = self._repository.git.git_commit(commit).layer
        return not layer or self._repository.store.has_layer(layer)


def _compared(old: Inventory, new: Inventory, changed: Sequence[Change]) -> Found:
    found = packages.examine(old, new, changed, claims=False)
    return Found(tuple(found.changes), tuple(found.problems))


def _is_recorded(change: PackageChange, paths: Collection[bytes]) -> bool:
    """Whether the part of a database that says what changed is among ``paths``."""
    units = {one.unit for one in change.sides}
    return any(
        path in units or path.startswith(tuple(one + b"/" for one in units)) for path in paths
    )


# -- as kept in the cache ---------------------------------------------------------------------


def _packed(found: Found) -> bytes:
    rows = [
        [
            one.kind,
            packed_package(one.old) if one.old else None,
            packed_package(one.new) if one.new else None,
            [path.hex() for path in one.paths],
            [path.hex() for path in one.modified],
            one.config,
        ]
        for one in found.changes
    ]
    return json.dumps(rows).encode()


def _unpacked(data: bytes | None) -> Found | None:
    if data is None:
        return None
    try:
        return Found(
            tuple(
                PackageChange(
                    kind,
                    unpacked_package(old) if old else None,
                    unpacked_package(new) if new else None,
                    tuple(map(bytes.fromhex, paths)),
                    tuple(map(bytes.fromhex, modified)),
                    bool(config),
                )
                for kind, old, new, paths, modified, config in json.loads(data)
            )
        )
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
