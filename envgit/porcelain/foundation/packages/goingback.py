# SPDX-License-Identifier: Apache-2.0
"""Which packages have to go back to an earlier state with others, so that what they need holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cached_property

from envgit.packages import relations
from envgit.packages.model import ABSENT, Package, PackageName, name_of
from envgit.packages.relations import Broken
from envgit.porcelain.foundation.packages.composing import Group, Split

# The names in a relation of whatever manager: "libfoo (>= 2)", "foo[bar]>=1; extra == 'x'".
_WORD = re.compile(r"[@A-Za-z0-9][A-Za-z0-9+._/@-]*")
_SEPARATORS = re.compile(r"[-_.]+")


class Closure:
    """Finds what mends a relation that packages have broken by going back to ``split.other``.

    ``refused`` are packages that would have had to go altogether, because they are not there: that
    is for somebody to ask for by name, unless they came as somebody else's dependencies.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self.refused: list[Package] = []

    def groups(self, names: Collection[PackageName]) -> list[Group]:
        """The groups of these packages, in order."""
        return [group for name, group in self._by_name.items() if name in names]

    def mending(self, one: Broken, chosen: Collection[PackageName]) -> list[Group]:
        """What has to go back as well for the sake of a relation; nothing, where that would not
        help.

        A package that stayed goes back itself. One that went back, or is the same in both states,
        needs what it had there.
        """
        own = name_of(one.package)
        if own not in chosen and own in self._by_name:
            return self._possible([own])
        named = self._named(one.relation)
        named.discard(own)
        used = self._needs.get(own, set()) - {own}
        candidates = (named & used) or named or used
        return self._possible(
            name for name in self._by_name if name in candidates and name not in chosen
        )

    def _possible(self, names: Iterable[PackageName]) -> list[Group]:
        found = []
        for name in names:
            group = self._by_name[name]
            assert group.change is not None
            there, here = group.change.new, group.change.old
            if (there is not None and there.state not in ABSENT) or _came_along(here):
                found.append(group)
            elif here is not None:
                self.refused.append(here)
        return found

    @cached_property
    def _by_name(self) -> dict[PackageName, Group]:
        return {
            name_of(group.change.package): group
            for group in self._split.groups
            if group.change is not None
        }

    @cached_property
    def _needs(self) -> dict[PackageName, set[PackageName]]:
        """What each package uses in the earlier state."""
        found: dict[PackageName, set[PackageName]] = {}
        for one, needed in relations.edges(self._split.new.contents.packages).items():
            found.setdefault(name_of(one), set()).update(map(name_of, needed))
        return found

    def _named(self, relation: str) -> set[PackageName]:
        """The packages that changed and that a relation may mean, by what they are called and by
        what they provide."""
        words = {_plain(word) for word in _WORD.findall(relation)}
        return {name for word in words for name in self._called.get(word, ())}

    @cached_property
    def _called(self) -> dict[str, set[PackageName]]:
        found: dict[str, set[PackageName]] = {}
        for name, group in self._by_name.items():
            assert group.change is not None
            for package in group.change.sides:
                for text in (package.name, *package.provides):
                    for word in _WORD.findall(text)[:1]:
                        found.setdefault(_plain(word), set()).add(name)
        return found


def _came_along(package: Package | None) -> bool:
    """Whether nobody asked for a package: its manager would take it away once nobody needs it."""
    return package is not None and package.reason == "automatic"


def _plain(word: str) -> str:
    """A name as it is compared: PEP 503 folds most, and the others' names survive it."""
    return _SEPARATORS.sub("-", word).strip("-").lower()
