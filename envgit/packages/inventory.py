# SPDX-License-Identifier: Apache-2.0
"""What is installed in one state of an environment, read lazily and remembered by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol
from weakref import ref

from envgit.errors import EnvgitError
from envgit.layers.compare import differing as differing_paths
from envgit.layers.entry import Directory, find_directory, join, walk
from envgit.packages import locate, owners
from envgit.packages.managers import NAMES, manager
from envgit.packages.model import (
    VOLATILE,
    Files,
    Package,
    Problem,
    Shipped,
    Unit,
    Unreadable,
    key_of,
)
from envgit.packages.traces import VERSION


class Cache(Protocol):
    """Derived data by key; what is lost or damaged is made anew."""

    def get(self, key: str) -> bytes | None:
        """What was put, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The packages of some units, and the units that could not be read."""

    packages: tuple[Package, ...]
    problems: tuple[Problem, ...]


class Inventory:
    """The packages of a state.

    ``files`` is asked for the state's contents when the first file is needed; ``identity`` names
    the tree where it has a name (a git tree's id), under which its units are remembered.
    """

    def __init__(self, files: Callable[[], Files], cache: Cache, identity: str | None) -> None:
        self._open = files
        self._cache = cache
        self._identity = identity
        self._units: list[Unit] | None = None
        self._known: dict[Unit, list[Package]] = {}
        self._tables: dict[str, bytes] = {}
        self._table_keys: dict[Unit, str] = {}
        self._identities: dict[bytes, str | None] = {}
        self._near: ref[Inventory] | None = None
        self._apart: tuple[ref[Inventory], list[Unit], list[Unit]] | None = None

    @cached_property
    def files(self) -> Files:
        """The state's files."""
        return self._open()

    @property
    def units(self) -> list[Unit]:
        """All units of all databases, by path."""
        known = self._known_units()
        if known is None:
            known = locate.units(self.files.tree)
            self._remember_units(known)
        return known

    def _known_units(self) -> list[Unit] | None:
        """The units as far as nobody has to look for them."""
        if self._units is None and self._identity is not None:
            self._units = _units(self._cache.get(f"units-{VERSION}-{self._identity}"))
        return self._units

    def _remember_units(self, units: list[Unit]) -> None:
        self._units = units
        if self._identity is not None:
            rows = [[unit.manager, unit.path.hex(), unit.key] for unit in units]
            self._cache.put(f"units-{VERSION}-{self._identity}", json.dumps(rows).encode())

    @cached_property
    def contents(self) -> Contents:
        """All packages that are installed, and what could not be read."""
        return self.read(self.units)

    def read(self, units: Iterable[Unit]) -> Contents:
        """The packages of some of the units. Never raises for what a database holds."""
        found: list[Package] = []
        problems: list[Problem] = []
        for unit in units:
            try:
                found.extend(self._packages(unit))
            except (RecursionError, MemoryError, Exception) as error:
                # Whoever wrote the database may have meant to provoke anything.
                problems.append(Problem(unit.manager, unit.path, _reason(error)))
        return Contents(tuple(found), tuple(problems))

    def manifest(self, package: Package) -> tuple[Shipped, ...]:
        """The files of a package. Never raises: of a damaged database, none."""
        try:
            return tuple(manager(package.manager).manifest(package, self.files))
        except (RecursionError, MemoryError, Exception):
            return ()

    @cached_property
    def owners(self) -> Mapping[bytes, Package]:
        """Which package each file belongs to; reads every manifest."""
        found: dict[bytes, Package] = {}
        ranked = sorted(self.contents.packages, key=lambda one: NAMES.index(one.manager))
        for package in ranked:
            for shipped in self.manifest(package):
                found.setdefault(shipped.path, package)
        return found

    def owning(self, paths: Iterable[bytes]) -> dict[bytes, Package]:
        """Which package each of some files belongs to, where it belongs to any.

        Which files a unit's packages have is remembered in a form to search, not to parse.
        """
        found: dict[bytes, Package] = {}
        asked = set(paths)
        for unit in sorted(self.units, key=lambda one: NAMES.index(one.manager)):
            if not asked:
                break
            table = self._table(unit)
            hits = list(owners.look_up(table, asked))
            packages = self.read([unit]).packages if hits else ()
            for path, number in hits:
                if number < len(packages):
                    found[path] = packages[number]
            asked -= found.keys()
        return found

    def shipped_paths(self) -> Iterator[bytes]:
        """All files of all packages that can be read."""
        for unit in self.units:
            with suppress(RecursionError, MemoryError, Exception):
                yield from owners.paths(self._table(unit))

    @property
    def is_known(self) -> bool:
        """Whether its units are remembered: else the whole tree is gone through for them."""
        return self._known_units() is not None

    def follow(self, other: Inventory) -> None:
        """Learn from a state that differs little, as long as somebody else keeps it, what is the
        same here: its units, and which files packages have."""
        self._near = ref(other)
        known = other._known_units()
        if self.is_known or known is None:
            return
        gone, come = locate.differing(other.files.tree, self.files.tree)
        self._apart = ref(other), gone, come
        self._remember_units(sorted({*known}.difference(gone).union(come), key=locate.by_path))

    def _units_apart(self, other: Inventory) -> tuple[list[Unit], list[Unit]]:
        """The units that only this state has, and those that only the other has."""
        if self._apart is not None and self._apart[0]() is other:
            return self._apart[2], self._apart[1]
        return locate.differing(self.files.tree, other.files.tree)

    def _table(self, unit: Unit) -> bytes:
        key = self._table_key(unit)
        near = self._near() if self._near is not None else None
        if key in self._tables:
            return self._tables[key]
        if near is not None and key in near._tables:
            table = near._tables[key]
        else:
            table = owners.unpacked(self._cache.get(key)) or self._made_table(unit, key, near)
        self._tables[key] = table
        return table

    def _made_table(self, unit: Unit, key: str, near: Inventory | None) -> bytes:
        """A table that is not known yet. What was derived of a neighbour's is not kept: a long
        history would keep one for each commit."""
        packages = self.read([unit]).packages
        known = self._of_neighbour(unit, near) if near is not None else None
        if known is None:
            table = owners.table([self.manifest(package) for package in packages])
            self._cache.put(key, owners.packed(table))
            return table
        return owners.join(
            [known.get(package) or owners.lines(self.manifest(package)) for package in packages]
        )

    def _of_neighbour(self, unit: Unit, near: Inventory) -> dict[Package, bytes] | None:
        """The rows of packages whose files a neighbour knows and whose records did not change."""
        same = (unit.manager, unit.path)
        twin = next((one for one in near.units if (one.manager, one.path) == same), None)
        if twin is None:
            return None
        table = near._loaded_table(near._table_key(twin))
        if table is None:
            return None
        folders = near._folder(twin), self._folder(unit)
        if None in folders or owners.links(near.files.tree) != owners.links(self.files.tree):
            return None
        base = near._folder_path(twin)
        changed = {join(base, one.path) for one in differing_paths(*folders)}
        if any(path.endswith(owners.SHARED) for path in changed):
            return None
        stale = {number for _, number in owners.look_up(table, changed)}
        packages = near.read([twin]).packages
        rows = owners.rows(table)
        return {
            package: row
            for number, (package, row) in enumerate(zip(packages, rows, strict=False))
            if number not in stale
        }

    def _loaded_table(self, key: str) -> bytes | None:
        """A table that is in memory: here, or with a neighbour that has the same."""
        near = self._near() if self._near is not None else None
        return self._tables.get(key) or (near._tables.get(key) if near is not None else None)

    def _table_key(self, unit: Unit) -> str:
        key = self._table_keys.get(unit)
        if key is None:
            near = self._near() if self._near is not None else None
            key = near._table_keys.get(unit) if near is not None else None
            if key is None or near is None or not self._shares(near, unit.path.rpartition(b"/")[0]):
                key = self._new_table_key(unit)
            self._table_keys[unit] = key
        return key

    def _shares(self, near: Inventory, path: bytes) -> bool:
        """Whether a directory is known to be the same in a neighbour, with all that is in it."""
        mine = self._identity_of(path)
        return mine is not None and mine == near._identity_of(path)

    def _identity_of(self, path: bytes) -> str | None:
        if path not in self._identities:
            found = getattr(find_directory(self.files.tree, path), "identity", None)
            self._identities[path] = found if isinstance(found, str) else None
        return self._identities[path]

    def _new_table_key(self, unit: Unit) -> str:
        name = f"{unit.manager}-{unit.path.hex()}-{unit.key}"
        folder = self._folder(unit)
        identity = getattr(folder, "identity", None)
        if folder is not None and not isinstance(identity, str):
            identity = key_of(*(part for at, entry in walk(folder) for part in (at, entry)))
        return f"owners-{VERSION}-{name}-{identity}"

    def _folder_path(self, unit: Unit) -> bytes:
        """The directory of all that the database says of a unit, its lists of files included."""
        if find_directory(self.files.tree, unit.path) is not None:
            return unit.path
        return unit.path.rpartition(b"/")[0]

    def _folder(self, unit: Unit) -> Directory | None:
        return find_directory(self.files.tree, self._folder_path(unit))

    def _packages(self, unit: Unit) -> list[Package]:
        near = self._near() if self._near is not None else None
        for one in (self, near):
            if one is not None and unit in one._known:
                return one._known[unit]
        key = f"packages-{VERSION}-{unit.manager}-{unit.path.hex()}-{unit.key}"
        kept = not unit.key.startswith(VOLATILE)
        known = _packages(self._cache.get(key)) if kept else None
        if known is None:
            known = list(manager(unit.manager).read(unit, self.files))
            rows = [packed_package(package) for package in known]
            if kept:
                self._cache.put(key, json.dumps(rows).encode())
        self._known[unit] = known
        return known


def differing(old: Inventory, new: Inventory) -> tuple[Contents, Contents]:
    """The packages of the units that are not in both states, of each side. Costs what differs."""
    gone, come = old._units_apart(new)
    return old.read(gone), new.read(come)


# -- as kept in the cache ---------------------------------------------------------------------

_FIELDS = tuple(field.name for field in fields(Package))


def packed_package(package: Package) -> list[Any]:
    """A package as a row of JSON."""
    # Not astuple(): it copies what is immutable, which takes a third of reading 3,000 packages.
    values = (getattr(package, name) for name in _FIELDS)
    return [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]


def _units(data: bytes | None) -> list[Unit] | None:
    if data is None:
        return None
    try:
        return [Unit(name, bytes.fromhex(path), key) for name, path, key in json.loads(data)]
    except (ValueError, TypeError):
        return None


def _packages(data: bytes | None) -> list[Package] | None:
    if data is None:
        return None
    try:
        return [unpacked_package(row) for row in json.loads(data)]
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def unpacked_package(row: list[Any]) -> Package:
    """The package of such a row. Raises ValueError, TypeError, AttributeError or KeyError."""
    values = dict(zip(_FIELDS, row, strict=True))
    for name in ("place", "unit"):
        values[name] = values[name].encode("latin-1")
    for name in ("requires", "provides", "conflicts"):
        values[name] = tuple(values[name])
    return Package(**values)


def _reason(error: BaseException) -> str:
    if isinstance(error, Unreadable | EnvgitError):
        return error.message
    return f"{type(error).__name__}: {error}"
