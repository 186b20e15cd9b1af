# SPDX-License-Identifier: Apache-2.0
"""Dependencies of npm's packages, found as Node finds them: in each ``node_modules`` upward.

Sources: "Loading from node_modules folders" of Node's manual, package.json(5) of npm, and node's
semver for ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from envgit.packages.model import Package
from envgit.packages.needs import noderange
from envgit.packages.needs.need import Need, Owning, absent, wrong_version

_OPTIONAL = " (optional)"


class Node:
    """All npm packages of a state, by the directory that they are in."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        self._named: dict[tuple[bytes, str], list[Package]] = {}
        for package in packages:
            if package.manager == "npm":
                self._named.setdefault((package.place, package.name), []).append(package)

    def needs(self, package: Package) -> Iterator[Need]:
        for relation in package.requires:
            wish = relation.removesuffix(_OPTIONAL)
            name, at, wanted = wish[1:].partition("@")
            name = wish[:1] + name
            found = self._find(package, name)
            if not found:
                if wish == relation:
                    yield Need(relation, (), absent(name))
                continue
            # pnpm keeps several versions for one project, and links each to who wants it.
            fitting = tuple(one for one in found if not at or satisfies(one.version, wanted))
            yield Need(
                relation, fitting or tuple(found), "" if fitting else wrong_version(found[0])
            )

    def refuses(self, package: Package) -> Iterator[Need]:
        """npm's packages have no conflicts but peers, which are needs."""
        return iter(())

    def _find(self, package: Package, name: str) -> list[Package]:
        own = package.name.encode("utf-8", "surrogateescape")
        place = b"/".join(part for part in (package.place, b"node_modules", own) if part)
        while True:
            found = self._named.get((place, name), [])
            if found or not place:
                return found
            place = _above(place)


def _above(place: bytes) -> bytes:
    """The next folder upward that can hold a ``node_modules``; one of that name itself cannot."""
    place = place.rpartition(b"/")[0]
    while place.rpartition(b"/")[2] == b"node_modules":
        place = place.rpartition(b"/")[0]
    return place


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is what a dependency asks for, ``npm:NAME@RANGE`` of an alias too."""
    if wanted.startswith("npm:"):
        wanted = wanted[5:].partition("@")[2]
    return noderange.satisfies(version, wanted)
