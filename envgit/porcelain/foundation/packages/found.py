# SPDX-License-Identifier: Apache-2.0
"""What is said and asked of packages: what became of them, and which are meant by a name.

Loads no reader of databases: a status in which no package changed answers with this alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.packages.changes import PackageChange
    from envgit.packages.model import Package, Problem


class NoSuchPackage(EnvgitError):
    """No package is called ``name``; ``known`` are the names of those there are."""

    def __init__(self, message: str, name: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.name = name
        self.known = frozenset(known)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of packages, and the databases that could not be read."""

    changes: tuple[PackageChange, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def reversed(self) -> Found:
        """The way back."""
        return replace(self, changes=tuple(change.reversed() for change in self.changes))

    def only(self, names: Sequence[Named]) -> Found:
        """The same of the packages that are asked for."""
        return self.where(
            lambda change: any(name.matches(one) for name in names for one in change.sides)
        )

    def where(self, picks: Callable[[PackageChange], bool]) -> Found:
        """The same with the changes that ``picks`` picks."""
        return replace(self, changes=tuple(filter(picks, self.changes)))


@dataclass(frozen=True, slots=True)
class Named:
    """Which packages are asked for: a name or pattern, of one manager or of any.

    Source of the patterns: fnmatch(3). ``dpkg:libc6`` is dpkg's; apt's packages are dpkg's.
    """

    pattern: str
    manager: str = ""

    @classmethod
    def parse(cls, text: str) -> Named:
        """``NAME``, ``MANAGER:NAME``; what is before a colon and no manager is part of the name."""
        before, colon, name = text.partition(":")
        known = manager_named(before) if colon else None
        return cls(text) if known is None else cls(name, known)

    @property
    def is_pattern(self) -> bool:
        """Whether it may mean several, or none."""
        return any(char in self.pattern for char in "*?[")

    def matches(self, package: Package) -> bool:
        """Whether a package is meant. ``libc6:amd64`` names the architecture, as in dpkg."""
        if self.manager and package.manager != self.manager:
            return False
        called = [package.id.name]
        if package.architecture:
            called.append(f"{package.name}:{package.architecture}")
        from envgit.packages.model import as_compared

        pattern = as_compared(package.manager, self.pattern)
        return any(fnmatchcase(name, pattern) for name in called)


_FRONTS = {"apt": "dpkg", "yum": "rpm", "dnf": "rpm", "zypper": "rpm"}


def manager_named(name: str) -> str | None:
    """The manager of a name that people use for it, None if there is none."""
    from envgit.packages.managers import NAMES

    found = _FRONTS.get(name, name)
    return found if found in NAMES else None
