# SPDX-License-Identifier: Apache-2.0
"""The words that the managers' readings of relations share.

Whatever is odd about a relation counts as satisfied: what is not understood is not called broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from envgit.packages.model import Package

Owning = Callable[[bytes], Package | None]
"""The package that a file belongs to, for relations to files; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Need:
    """One relation of a package that has to hold.

    ``by`` are the installed packages that satisfy it, all of them; where none does, those that
    it is about in another version. ``why`` says what is wrong, empty if nothing is.
    """

    relation: str
    by: tuple[Package, ...] = ()
    why: str = ""


class Reading(Protocol):
    """All packages of one manager, and what they ask of each other."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        """``packages`` are those of the manager, and of all managers where it asks for others."""

    def needs(self, package: Package) -> Iterable[Need]:
        """What the package needs."""

    def refuses(self, package: Package) -> Iterable[Need]:
        """What it does not stand: only those with a ``why`` matter, ``by`` are the intruders."""


def wrong_version(package: Package) -> str:
    """Says that a package is there, but not as it is wanted."""
    return f"{package.name} {package.version} is installed"


def absent(name: str) -> str:
    """Says that nothing of that name is there."""
    return f"{name} is not installed"
