# SPDX-License-Identifier: Apache-2.0
"""The words that all package managers share: units of their databases, packages, and their files.

A *unit* is the smallest part of a manager's database that is read by itself: dpkg's ``status`` file
is one for all its packages, each ``*.dist-info`` directory of Python is one of its own. Its key
is a digest of all that reading it depends on, so that an unchanged unit is never read twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from envgit.errors import EnvgitError
from envgit.layers.entry import Directory, Entry, find_entry

LARGEST = 256 << 20
"""Bytes; a larger database is a problem, not a database."""

VOLATILE = "~"
"""Begins the key of a unit whose packages depend on files elsewhere: they are not remembered."""

ABSENT = frozenset({"config-files", "not-installed"})
"""States (of dpkg) of a package that is not there, of which something is still known."""

SYSTEM = frozenset({"dpkg", "rpm", "apk", "pacman"})
"""Managers of whole systems: an environment has one of them, whose packages share databases."""

_IN_JSON = frozenset({"npm", "cargo"})
"""Managers that name packages in a file ``*.json`` that they share."""

_SEPARATORS = re.compile(r"[-_.]+")


class Unreadable(EnvgitError):
    """A database, or a part of it, that is not what its manager writes."""


class Unit(NamedTuple):
    """A part of a database: ``path`` is its file or directory, ``key`` a hexadecimal digest."""

    manager: str
    path: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package.

    ``place`` is the directory that it is installed for, where a manager can have several: a
    ``site-packages``, the folder that holds a ``node_modules``; empty is the whole system.
    ``unit`` is the path of the unit that says so. ``size`` is bytes, as the manager counts.
    ``reason`` is ``manual``, ``automatic`` or empty; ``state`` the manager's word where it is not
    simply ``installed``. ``source`` is the package it was built from. ``carried_by`` names the
    manager whose own package brought this one (a Debian package's Python metadata): it
    changes only with that. ``requires``, ``provides`` and ``conflicts`` are in the manager's own
    syntax, one relation each.
    """

    manager: str
    name: str
    version: str
    architecture: str = ""
    place: bytes = b""
    unit: bytes = b""
    size: int | None = None
    reason: str = ""
    state: str = "installed"
    source: str = ""
    carried_by: str = ""
    summary: str = ""
    license: str = ""
    homepage: str = ""
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()

    @property
    def id(self) -> PackageId:
        """What it is called apart from its version."""
        name = as_compared(self.manager, self.name)
        return PackageId(self.manager, self.place, name, self.architecture)

    @property
    def is_system(self) -> bool:
        """Whether it is one of the whole system's, so that its manager need not be named."""
        return self.manager in SYSTEM


def as_compared(manager: str, name: str) -> str:
    """A name as its manager compares it: pip's are equal however they are spelt.

    Source: packaging.python.org, "Name normalization".
    """
    return _SEPARATORS.sub("-", name).lower() if manager == "pip" else name


class PackageId(NamedTuple):
    """A package whatever its version."""

    manager: str
    place: bytes
    name: str
    architecture: str


class PackageName(NamedTuple):
    """A package whatever its version and architecture."""

    manager: str
    place: bytes
    name: str


def name_of(one: Package | PackageId) -> PackageName:
    """What it is called in all its versions: Jinja2 3.1.2 and jinja2 3.1.4 are one."""
    return PackageName(one.manager, one.place, as_compared(one.manager, one.name))


def sharing(database: bytes) -> frozenset[str]:
    """The managers whose packages can be named in a database of several packages."""
    return _IN_JSON if database.endswith(b".json") else SYSTEM


class Shipped(NamedTuple):
    """A file that a package installed. ``digest`` is ``sha256:HEX`` or another algorithm's, empty
    where the manager keeps none; ``config`` marks files that users are meant to edit."""

    path: bytes
    digest: str = ""
    config: bool = False


class Problem(NamedTuple):
    """A unit that could not be read: its packages are not known."""

    manager: str
    path: bytes
    reason: str


class Files(Protocol):
    """A state of an environment, to be looked at and read."""

    @property
    def tree(self) -> Directory:
        """Its root directory."""

    def read(self, path: bytes, limit: int = LARGEST) -> bytes:
        """A regular file's content. Raises Unreadable: none there, or more than ``limit`` bytes."""


class Manager(Protocol):
    """How one package manager records what is installed."""

    name: str

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """The units that lie right in ``directory``, whose path and names these are.

        Called for every directory, so that what it is not about must cost next to nothing.
        """

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        """The packages of a unit. Raises Unreadable, and whatever else a hostile one provokes."""

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        """The files of a package, its part of the database included, directories not."""


def key_of(*parts: bytes | str | Entry | None) -> str:
    """A unit's key: of contents and names, not of owners, modes or times."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Entry):
            part = f"{part.kind} {part.sha256 or part.target.hex()}"
        data = part.encode() if isinstance(part, str) else part or b""
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()


def key_of_files(root: Directory, *paths: bytes) -> str:
    """The key of files beneath ``root``, whether they are there or not."""
    return key_of(*(part for path in paths for part in (path, find_entry(root, path))))
