# SPDX-License-Identifier: Apache-2.0
"""Dependencies of conda's packages, within one environment.

Source: "Package match specifications" of conda's documentation, in the form that package records
have: a name, a version condition and a build, divided by spaces. Names that begin with ``__`` are
virtual: the machine, not a package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from envgit.packages import versions
from envgit.packages.model import Package
from envgit.packages.needs.need import Need, Owning, absent, wrong_version

_LONGEST = 1024
_NAMED = re.compile(r"(?:[^\s:]*::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*)")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_BOUND = re.compile(r"(===|==|!==|!=|<=|>=|~=|<|>|=)?\s*([^\s<>=!~][^\s<>=~]*)")


class Conda:
    """All packages of all conda environments."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        self._named: dict[tuple[bytes, str], Package] = {}
        for package in packages:
            if package.manager == "conda":
                self._named[package.place, package.name.lower()] = package

    def needs(self, package: Package) -> Iterator[Need]:
        for relation in package.requires:
            parsed = _parse(relation)
            if parsed is None or parsed[0].startswith("__"):
                continue
            name, version, build = parsed
            found = self._named.get((package.place, name))
            if found is None:
                yield Need(relation, (), absent(name))
            else:
                fits = _fits(found, version, build)
                yield Need(relation, (found,), "" if fits else wrong_version(found))

    def refuses(self, package: Package) -> Iterator[Need]:
        """``constrains``: another package, if it is there at all, has to match."""
        for relation in package.conflicts:
            parsed = _parse(relation)
            found = self._named.get((package.place, parsed[0])) if parsed else None
            if parsed and found is not None and not _fits(found, parsed[1], parsed[2]):
                yield Need(relation, (found,), wrong_version(found))


def _parse(relation: str) -> tuple[str, str, str] | None:
    """Name, version condition and build; None for what is no specification of that form."""
    match = _NAMED.fullmatch(_BRACKETS.sub("", relation[:_LONGEST]).strip())
    if match is None:
        return None
    # Spaces may stand around the operators of a condition: they do not end it.
    rest = re.sub(r"\s*([,|<>=!~]+)\s*", r"\1", match.group(2)).split(" ")
    return match.group(1).lower(), rest[0], rest[1] if len(rest) > 1 else ""


def _fits(package: Package, condition: str, build: str) -> bool:
    # The reader keeps the build as the exact specification that a package provides.
    exact = package.provides[0].split("=") if package.provides else []
    if build and len(exact) == 3 and not fnmatchcase(exact[2], build):
        return False
    return satisfies(package.version, condition)


def satisfies(version: str, condition: str) -> bool:
    """Whether a version satisfies ``>=1,<2|3.*``; what is no condition always holds."""
    if condition in ("", "*") or len(condition) > _LONGEST or "(" in condition:
        return True
    return any(
        all(_bound(version, part) for part in alternative.split(",") if part)
        for alternative in condition.split("|")
    )


def _bound(version: str, bound: str) -> bool:
    if bound == "*":
        return True
    match = _BOUND.fullmatch(bound)
    if match is None or bound.startswith("^"):
        return True
    operator, wanted = match.group(1) or "", match.group(2)
    if "*" in wanted[:-1]:
        return True
    if operator == "=" or (wanted.endswith("*") and not operator):
        return _starts(version, wanted.rstrip("*").rstrip("."))
    if wanted.endswith("*") and operator in ("!=", "!=="):
        return not _starts(version, wanted.rstrip("*").rstrip("."))
    wanted = wanted.rstrip("*").rstrip(".")
    if operator == "~=":
        return versions.compare("conda", version, wanted) >= 0 and _starts(
            version, wanted.replace("_", ".").replace("-", ".").rpartition(".")[0]
        )
    order = versions.compare("conda", version, wanted)
    return {
        "": order == 0,
        "==": order == 0,
        "===": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }.get(operator, True)


def _starts(version: str, prefix: str) -> bool:
    """As 1.2 starts 1.2, 1.2.3 and 1.2rc1, but not 1.20."""
    version, prefix = (one.lower().replace("_", ".").replace("-", ".") for one in (version, prefix))
    if "!" not in prefix:
        version = version.removeprefix("0!")
        if "!" in version and prefix:
            return False
    rest = version.removeprefix(prefix)
    if not rest or not prefix:
        return True
    if rest == version:
        # 1.0 also starts 1, which is the same.
        return prefix.startswith(f"{version}.") and not prefix[len(version) :].strip(".0")
    last = prefix[-1]
    return not (rest[0].isdigit() and last.isdigit()) and not (rest[0].isalpha() and last.isalpha())
