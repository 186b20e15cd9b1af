# SPDX-License-Identifier: Apache-2.0
"""What is installed in one state of an environment, read lazily and remembered by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import Any, Protocol

from envgit.errors import EnvgitError
from envgit.packages import locate
from envgit.packages.managers import NAMES, manager
from envgit.packages.model import Files, Package, Problem, Shipped, Unit, Unreadable

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

    @cached_property
    def files(self) -> Files:
        """The state's files."""
        return self._open()

    @cached_property
    def units(self) -> list[Unit]:
        """All units of all databases, by path."""
        if self._identity is None:
            return locate.units(self.files.tree)
        key = f"units-{VERSION}-{self._identity}"
        known = _units(self._cache.get(key))
        if known is None:
            known = locate.units(self.files.tree)
            rows = [[unit.manager, unit.path.hex(), unit.key] for unit in known]
            self._cache.put(key, json.dumps(rows).encode())
        return known

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

    def _packages(self, unit: Unit) -> list[Package]:
        key = f"packages-{VERSION}-{unit.manager}-{unit.path.hex()}-{unit.key}"
        known = _packages(self._cache.get(key))
        if known is None:
            known = list(manager(unit.manager).read(unit, self.files))
            rows = [_row(package) for package in known]
            self._cache.put(key, json.dumps(rows).encode())
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
