# SPDX-License-Identifier: Apache-2.0
"""Dependencies between gems: several versions of one can be installed, and any may do.

Source: "Patterns" of guides.rubygems.org (``~>``) and Gem::Requirement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from envgit.packages import versions
from envgit.packages.model import Package
from envgit.packages.needs.need import Need, Owning, absent, wrong_version

_RELATION = re.compile(r"([^\s()]+)\s*(?:\(([^()]*)\))?")
_BOUND = re.compile(r"(=|!=|>=|<=|~>|>|<)?\s*([0-9A-Za-z.-]+)")


class Gems:
    """All gems of a state. RubyGems looks for them in several directories at once."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        self._named: dict[str, list[Package]] = {}
        for package in packages:
            if package.manager == "gem":
                self._named.setdefault(package.name, []).append(package)

    def needs(self, package: Package) -> Iterator[Need]:
        for relation in package.requires:
            match = _RELATION.fullmatch(relation.strip())
            if match is None:
                continue
            name, bounds = match.groups()
            there = self._named.get(name, [])
            fits = [one for one in there if satisfies(one.version, bounds or "")]
            if fits:
                yield Need(relation, tuple(fits))
            elif there:
                yield Need(relation, tuple(there), wrong_version(there[0]))
            else:
                yield Need(relation, (), absent(name))

    def refuses(self, package: Package) -> Iterator[Need]:
        """Gems have no conflicts."""
        return iter(())


def satisfies(version: str, bounds: str) -> bool:
    """Whether a version satisfies all of ``>= 1.0, < 2``; what is no bound always holds."""
    return all(_bound(version, part.strip()) for part in bounds.split(",") if part.strip())


def _bound(version: str, bound: str) -> bool:
    match = _BOUND.fullmatch(bound)
    if match is None:
        return True
    operator, wanted = match.group(1) or "=", match.group(2)
    order = versions.compare("gem", version, wanted)
    if operator == "~>":
        return order >= 0 and versions.compare("gem", _release(version), _bumped(wanted)) < 0
    return {
        "=": order == 0,
        "!=": order != 0,
        ">": order > 0,
        "<": order < 0,
        ">=": order >= 0,
        "<=": order <= 0,
    }[operator]


def _release(version: str) -> str:
    """Without the parts of a prerelease, which begin with the first that has a letter."""
    parts = []
    for part in version.replace("-", ".pre.").split("."):
        if not part.isdigit():
            break
        parts.append(part)
    return ".".join(parts) or "0"


def _bumped(version: str) -> str:
    """The first version that ``~>`` excludes: 2 of 1.4, 1.5 of 1.4.2 (Gem::Version#bump)."""
    parts = _release(version).split(".")
    if len(parts) > 1:
        parts.pop()
    parts[-1] = str(int(parts[-1][:18]) + 1)
    return ".".join(parts)
