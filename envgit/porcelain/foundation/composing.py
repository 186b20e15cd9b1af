# SPDX-License-Identifier: Apache-2.0
"""One state with some of what another has otherwise, by package: files and databases in agreement.

`bisect inside` tries such states, `rollback --package` keeps one, a merge takes a side of a package
with it. Nothing is installed or copied: the tree is `base` overlaid with paths of `other`, and only
databases that hold entries of several packages are read and written anew.

Laws (tests/root/test_composing.py): with all groups chosen the tree is ``other``'s, with none
``base``'s. Costs the number of paths that differ.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from envgit.layers.apply import overlaid
from envgit.layers.compare import Change, changes
from envgit.layers.entry import Entry, Kind, Node
from envgit.layers.ids import ChangesId
from envgit.layers.select import select
from envgit.packages import grouping, noise, relations
from envgit.packages.changes import PackageChange, compare
from envgit.packages.inventory import Inventory
from envgit.packages.model import Package, PackageId
from envgit.packages.order import ordered
from envgit.packages.records.formats import format_for
from envgit.packages.records.logs import Log
from envgit.packages.records.model import Declined, Taken
from envgit.packages.relations import Broken
from envgit.porcelain.foundation import inventories
from envgit.porcelain.foundation.merging import Combined, Side, write_files
from envgit.porcelain.foundation.repository import Repository

_SYSTEM = frozenset({"dpkg", "rpm", "apk", "pacman"})
"""Managers whose packages share databases, of which an environment has one."""

_JSON = frozenset({"npm", "cargo"})
"""Those that name packages in a shared file ``*.json``."""

_ACCOUNTS = frozenset(
    {b"etc/passwd", b"etc/group", b"etc/shadow", b"etc/gshadow", b"etc/subuid", b"etc/subgid"}
)
"""Databases of no package: each is a group of its own."""


Name = tuple[str, bytes, str]
"""A package for all architectures: its manager, its place and its name."""


@dataclass(frozen=True, slots=True)
class Group:
    """What changes together between two states.

    ``change`` is None for loose files and for noise; ``paths`` are those changed paths that are
    this group's alone, in order (directories that are there only for what is in them are in none,
    nor are shared databases).
    """

    title: str
    change: PackageChange | None
    paths: tuple[bytes, ...]
    split: Split = field(repr=False, compare=False)


def groups(repository: Repository, base: Side, other: Side) -> list[Group]:
    """All that differs, in an order in which dependencies come first; packages that need one
    another are neighbours. Loose files follow packages, noise comes last."""
    return list(Split(repository, base, other).groups)


def compose(
    repository: Repository,
    base: Side,
    other: Side,
    chosen: Sequence[Group],
    *,
    paths: Iterable[bytes] = (),
) -> Combined:
    """``base`` with the chosen groups, and single changed paths, as they are in ``other``.

    ``chosen`` are groups of these two sides. The caller discards ``scratch``. Raises MissingLayer
    where a shared database has to be read that is not in the store.
    """
    split = chosen[0].split if chosen else Split(repository, base, other)
    return split.compose(chosen, paths)


def unsatisfied(
    repository: Repository, base: Side, other: Side, chosen: Sequence[Group]
) -> list[Broken]:
    """What the packages of the composed state need and lack, or cannot stand, though neither
    side breaks it."""
    split = chosen[0].split if chosen else Split(repository, base, other)
    return split.unsatisfied(chosen)


class Split:
    """All that differs between two states, taken apart. Made once, composed of often."""

    def __init__(self, repository: Repository, base: Side, other: Side) -> None:
        self.repository = repository
        self.base = base
        self.other = other
        self.changed = changes(base.tree, other.tree)
        self.old = inventory_of(repository, base)
        self.new = inventory_of(repository, other)

    @cached_property
    def packages(self) -> list[PackageChange]:
        """The packages that changed."""
        self.new.follow(self.old)
        self.old.follow(self.new)
        return compare(self.old, self.new, self.changed)

    @cached_property
    def names(self) -> frozenset[Name]:
        """The packages that changed."""
        return frozenset(name_of(one.package) for one in self.packages)

    @cached_property
    def paths(self) -> frozenset[bytes]:
        """The paths that differ."""
        return frozenset(change.path for change in self.changed)

    @cached_property
    def assigned(self) -> grouping.Assigned:
        """Where the changed paths belong."""
        return grouping.assign(self.changed, self.packages, self.old, self.new, is_shared=is_shared)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """See `groups`."""
        return (*self._package_groups(), *self._other_groups())

    def compose(self, chosen: Sequence[Group], paths: Iterable[bytes] = ()) -> Combined:
        """See the function."""
        return _Composition(self, chosen, frozenset(paths)).combined()

    def unsatisfied(self, chosen: Sequence[Group]) -> list[Broken]:
        """See the function."""
        found = relations.broken(self.installed(chosen))
        if not found:
            return found
        known = {_what(one) for side in self._broken_sides for one in side}
        return [one for one in found if _what(one) not in known]

    def installed(self, chosen: Iterable[Group]) -> list[Package]:
        """What the composed state has installed."""
        names = {name_of(group.change.package) for group in chosen if group.change is not None}
        taken = [one for one in self.packages if name_of(one.package) in names]
        gone = {one.old for one in taken}
        stay = [one for one in self.old.contents.packages if one not in gone]
        return [*stay, *(one.new for one in taken if one.new is not None)]

    @cached_property
    def _broken_sides(self) -> tuple[list[Broken], list[Broken]]:
        return (
            relations.broken(self.old.contents.packages),
            relations.broken(self.new.contents.packages),
        )

    def _package_groups(self) -> Iterator[Group]:
        """A group for each package that changed. One that is there for several architectures is
        one: dpkg keeps them in step."""
        found: dict[Name, list[int]] = {}
        for index, change in enumerate(self.packages):
            found.setdefault(name_of(change.package), []).append(index)
        made = {
            name: Group(
                grouping.title(self.packages[indices[0]]),
                self.packages[indices[0]],
                tuple(sorted(path for one in indices for path in self.assigned.packages[one])),
                self,
            )
            for name, indices in found.items()
        }
        for name in ordered(made, self._needs(set(made))):
            yield made[name]

    def _needs(self, names: set[Name]) -> dict[Name, set[Name]]:
        """What each package needs, by name: in the new state, or else in the old one."""
        needs: dict[Name, set[Name]] = {}
        for inventory in (self.new, self.old):
            if len(names) > 1 and not names <= needs.keys():
                edges = relations.edges(inventory.contents.packages)
                for one, needed in edges.items():
                    needs.setdefault(name_of(one), {name_of(it) for it in needed})
        return needs

    def _other_groups(self) -> Iterator[Group]:
        assigned = self.assigned
        for title, paths in assigned.loose:
            yield Group(title, None, paths, self)
        noisy = dict(assigned.noise)
        # What databases say of nobody in particular goes with the noise of their kind.
        nobodys = set(map(_nobodys, assigned.shared))
        for title in noise.NAMES:
            if title in noisy or title in nobodys:
                yield Group(title, None, noisy.get(title, ()), self)


def inventory_of(repository: Repository, side: Side) -> Inventory:
    """The packages of a side of a merge."""
    tree = side.tree if side.tree is not None else Node(Entry(Kind.DIR, 0o755))
    return inventories.of_tree(repository, tree, side.contents)


def is_shared(path: bytes) -> bool:
    """Whether a path is a database that holds entries of several packages."""
    found = None if path in _ACCOUNTS else format_for(path)
    return found is not None and not isinstance(found, Log)


def name_of(one: Package | PackageId) -> Name:
    """A package whatever its version and architecture."""
    return one.manager, one.place, one.name


def _what(one: Broken) -> tuple[PackageId, str, str]:
    return one.package.id, one.package.version, one.relation


# -- composing --------------------------------------------------------------------------------


class _Composition:
    """One choice of groups and paths."""

    def __init__(self, split: Split, chosen: Sequence[Group], paths: frozenset[bytes]) -> None:
        self._split = split
        self._paths = paths.union(*(group.paths for group in chosen))
        self._titles = {group.title for group in chosen if group.change is None}
        self._names = {name_of(one.change.package) for one in chosen if one.change is not None}
        self._made: dict[bytes, tuple[Entry, bytes]] = {}

    def combined(self) -> Combined:
        """The state."""
        split = self._split
        base, other = split.base, split.other
        taken = self._taken()
        scratch: ChangesId | None = None
        places: dict[bytes, bytes] = {}
        if self._made:
            files = [(path, entry, data) for path, (entry, data) in self._made.items()]
            scratch, places = write_files(split.repository, files)
        theirs = {change.path for change in taken}

        def source(path: bytes) -> bytes | None:
            if path in places:
                return places[path]
            opened = (other if path in theirs else base).contents()
            return opened.find(path) if opened is not None else None

        return Combined(
            tree=overlaid(base.tree, select(base.tree, other.tree, taken)),
            source=source,
            conflicts=(),
            merged=tuple(places),
            messages=(),
            scratch=scratch,
        )

    def _taken(self) -> list[Change]:
        """The changes to make, in order."""
        shared, implied = set(self._split.assigned.shared), self._split.assigned.implied
        found: dict[bytes, Change] = {}
        stay: set[bytes] = set()
        for change in self._split.changed:
            path = change.path
            if path in implied:
                continue
            made: Change | None = change
            if path in shared:
                made = self._database(change)
            elif path not in self._paths:
                made = None
            if made is not None:
                found[path] = made
            if change.old is not None and (made is None or made.new is not None):
                stay.update(grouping.above(path))
        # A directory that goes does so with the last of what is in it.
        return [
            found.get(change.path, change)
            for change in self._split.changed
            if change.path in found
            or (change.path in implied and change.new is None and change.path not in stay)
        ]

    def _database(self, change: Change) -> Change | None:
        """What becomes of a database: its change, with those entries that were chosen."""
        path, old, new = change.path, change.old, change.new
        taken = self._taken_of(path)
        form = format_for(path)
        if form is None or not all(one is None or one.kind == Kind.FILE for one in (old, new)):
            return change if _called(self._names, path) else None
        if old is not None and new is not None and old.sha256 == new.sha256:
            return change if taken("") else None
        here = self._read(self._split.old, path, old)
        there = self._read(self._split.new, path, new)
        try:
            data = form.compose(here, there, taken)
        except Declined:
            return change if _called(self._names, path) else None
        if data == here and (data or old is None or new is not None):
            return None
        if data == there:
            return change
        like = new if new is not None else old
        assert like is not None  # it is in one of the two
        entry = replace(like, size=len(data), sha256=hashlib.sha256(data).hexdigest(), hardlinks=())
        self._made[path] = entry, data
        return Change(path, old, entry)

    def _read(self, inventory: Inventory, path: bytes, entry: Entry | None) -> bytes:
        return inventory.files.read(path) if entry is not None else b""

    def _taken_of(self, database: bytes) -> Taken:
        """Whether entries of an owner, as a database names it, come from the other side."""
        nobodys = _nobodys(database) in self._titles
        split = self._split
        mine, known = (_called(names, database) for names in (self._names, split.names))

        def taken(owner: str) -> bool:
            if owner.startswith("/"):
                path = os.fsencode(owner)
                index = split.assigned.owner_of(path)
                if index is not None:
                    return name_of(split.packages[index].package) in self._names
                path = path.strip(b"/")
                return path in self._paths if path in split.paths else nobodys
            return owner in mine if owner in known else nobodys

        return taken


def _called(names: Iterable[Name], database: bytes) -> set[str]:
    """What a database calls those of the packages that it has entries of."""
    managers = _JSON if database.endswith(b".json") else _SYSTEM
    return {name for manager, _, name in names if manager in managers}


def _nobodys(database: bytes) -> str:
    """The class of noise that the entries of nobody in particular belong to."""
    return noise.class_of(database) or noise.MANAGERS
