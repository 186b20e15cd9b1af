# SPDX-License-Identifier: Apache-2.0
"""Which installed packages need which, and what of it does not hold.

Answers from what is installed alone, as ``dpkg --audit``, ``apt-get check``, ``pip check`` and
``npm ls`` do. Never raises for what a package says: a relation that cannot be understood holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice

from envgit.packages.model import Package, PackageId
from envgit.packages.needs.need import Need, Owning, Reading

_READINGS: dict[str, tuple[str, str]] = {
    "dpkg": ("system", "Dpkg"),
    "rpm": ("system", "Rpm"),
    "apk": ("system", "Apk"),
    "pacman": ("system", "Pacman"),
    "conda": ("conda", "Conda"),
    "pip": ("python", "Python"),
    "npm": ("node", "Node"),
    "gem": ("gems", "Gems"),
}

_MOST = 100_000
"""Relations of one package; more are somebody's joke."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A relation of a package that does not hold, in its manager's syntax, and why not."""

    package: Package
    relation: str
    why: str


def edges(
    packages: Iterable[Package], *, owning: Owning | None = None
) -> dict[PackageId, set[PackageId]]:
    """What each package needs of what is installed; every package has an entry.

    Of alternatives, all that are installed. Where only another version than the wanted one is
    there, that. ``owning`` answers relations to files (``/bin/sh``), which are no edges without.
    """
    found: dict[PackageId, set[PackageId]] = {}
    for package, reading in _readings(packages, owning):
        needed = found.setdefault(package.id, set())
        for need in _safely(reading.needs, package):
            needed.update(one.id for one in need.by)
        needed.discard(package.id)
    return found


def missing(packages: Iterable[Package], *, owning: Owning | None = None) -> list[Broken]:
    """The relations that are not satisfied, in the order of the packages."""
    return [
        Broken(package, need.relation, need.why)
        for package, reading in _readings(packages, owning)
        for need in _safely(reading.needs, package)
        if need.why
    ]


def conflicting(packages: Iterable[Package]) -> list[Broken]:
    """The packages that do not stand others which are installed."""
    return [
        Broken(package, need.relation, need.why)
        for package, reading in _readings(packages, None)
        for need in _safely(reading.refuses, package)
        if need.why
    ]


def broken(packages: Iterable[Package], *, owning: Owning | None = None) -> list[Broken]:
    """All that does not hold: what is missing and what conflicts."""
    known = list(packages)
    return missing(known, owning=owning) + conflicting(known)


@cache
def _class(manager: str) -> type[Reading] | None:
    if manager not in _READINGS:
        return None
    module, name = _READINGS[manager]
    found: type[Reading] = getattr(import_module(f"envgit.packages.needs.{module}"), name)
    return found


def _readings(
    packages: Iterable[Package], owning: Owning | None
) -> Iterator[tuple[Package, Reading]]:
    known: Sequence[Package] = list(packages)
    made: dict[str, Reading] = {}
    for package in known:
        reading = _class(package.manager)
        if reading is not None:
            if package.manager not in made:
                made[package.manager] = reading(known, owning)
            yield package, made[package.manager]
        else:
            yield package, _NOTHING


def _safely(ask: Callable[[Package], Iterable[Need]], package: Package) -> Iterator[Need]:
    """The needs until one raises: whoever wrote the relations may have meant to provoke it."""
    try:
        yield from islice(ask(package), _MOST)
    except (RecursionError, MemoryError, Exception):
        return


class _Nothing:
    """Of managers whose packages ask for nothing, as cargo's."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        pass

    def needs(self, package: Package) -> Iterable[Need]:
        return ()

    def refuses(self, package: Package) -> Iterable[Need]:
        return ()


_NOTHING = _Nothing((), None)
