# SPDX-License-Identifier: Apache-2.0
"""What is installed in one state of an environment, read lazily and remembered by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import Any, Protocol

from envgit.errors import EnvgitError
from envgit.layers.entry import find_directory, walk
from envgit.packages import locate
from envgit.packages.managers import NAMES, manager
from envgit.packages.model import Files, Package, Problem, Shipped, Unit, Unreadable, key_of

_FEW = 30
"""Paths that are searched for one by one: above, splitting a table of owners is cheaper."""

VERSION = 1
"""Part of every key of the cache: raised whenever reading the same bytes gives something else."""


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
        self._known: dict[Unit, list[Package]] = {}

    @cached_property
    def files(self) -> Files:
        """The state's files."""
        return self._open()

    @cached_property
    def units(self) -> list[Unit]:
        """All units of all databases, by path."""
        known = self._remembered_units()
        if known is None:
            known = locate.units(self.files.tree)
            self._remember_units(known)
        return known

    def _remembered_units(self) -> list[Unit] | None:
        if self._identity is None:
            return None
        return _units(self._cache.get(f"units-{VERSION}-{self._identity}"))

    def _remember_units(self, units: list[Unit]) -> None:
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
            packages = self.read([unit]).packages
            for path, number in _look_up(table, asked):
                if number < len(packages):
                    found[path] = packages[number]
            asked -= found.keys()
        return found

    def follow(self, other: Inventory) -> None:
        """Learn the units from those of a state that differs little, where they are known."""
        if "units" in self.__dict__ or self._remembered_units() is not None:
            return
        known = other.__dict__.get("units") or other._remembered_units()
        if known is None:
            return
        gone, come = locate.differing(other.files.tree, self.files.tree)
        units = sorted({*known}.difference(gone).union(come), key=lambda one: one[1::-1])
        self._remember_units(units)
        self.units = units

    def _table(self, unit: Unit) -> bytes:
        """``/PATH NUL #NUMBER NUL`` for each file of a unit's packages, by their number in it."""
        key = f"owners-{VERSION}-{unit.manager}-{unit.path.hex()}-{unit.key}-{self._record(unit)}"
        known = self._cache.get(key)
        if known is None:
            parts = [b""]
            for number, package in enumerate(self.read([unit]).packages):
                for shipped in self.manifest(package):
                    parts += (b"/" + shipped.path, b"#%d" % number)
            known = b"\0".join((*parts, b""))
            self._cache.put(key, known)
        return known

    def _record(self, unit: Unit) -> str:
        """What identifies all that a database says, its lists of files included."""
        folder = find_directory(self.files.tree, unit.path)
        if folder is None:
            folder = find_directory(self.files.tree, unit.path.rpartition(b"/")[0])
        identity = getattr(folder, "identity", None)
        if folder is None or identity is not None:
            return str(identity)
        return key_of(*(part for at, entry in walk(folder) for part in (at, entry)))

    def _packages(self, unit: Unit) -> list[Package]:
        if unit in self._known:
            return self._known[unit]
        key = f"packages-{VERSION}-{unit.manager}-{unit.path.hex()}-{unit.key}"
        known = _packages(self._cache.get(key))
        if known is None:
            known = list(manager(unit.manager).read(unit, self.files))
            rows = [_row(package) for package in known]
            self._cache.put(key, json.dumps(rows).encode())
        self._known[unit] = known
        return known


def differing(old: Inventory, new: Inventory) -> tuple[Contents, Contents]:
    """The packages of the units that are not in both states, of each side. Costs what differs."""
    gone, come = locate.differing(old.files.tree, new.files.tree)
    return old.read(gone), new.read(come)


# -- as kept in the cache ---------------------------------------------------------------------

_FIELDS = tuple(field.name for field in fields(Package))


def _row(package: Package) -> list[Any]:
    return [
        value.decode("latin-1") if isinstance(value, bytes) else value for value in astuple(package)
    ]


def _look_up(table: bytes, paths: Collection[bytes]) -> Iterator[tuple[bytes, int]]:
    """The number of the package that each of the paths belongs to first."""
    if len(paths) > _FEW:
        fields = table.split(b"\0")[1:-1]
        for path, number in zip(fields[::2], fields[1::2], strict=True):
            if path[1:] in paths:
                yield path[1:], int(number[1:])
        return
    for path in paths:
        at = table.find(b"\0/" + path + b"\0#")
        if at >= 0:
            start = at + len(path) + 4
            yield path, int(table[start : table.index(b"\0", start)])


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
        return [_package(row) for row in json.loads(data)]
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _package(row: list[Any]) -> Package:
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
