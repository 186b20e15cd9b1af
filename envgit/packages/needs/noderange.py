# SPDX-License-Identifier: Apache-2.0
"""Version ranges as npm understands them, in the loose reading that it uses itself.

Source: "Ranges" and "Range Grammar" of node-semver's README. The semantic_version library, which
knows most of this, answers one pair of a random range and version in three otherwise than
node-semver does: it has neither ``>= 1``, ``~>1`` nor the rule for prereleases.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_LONGEST = 1024

_NUMBER = r"(\d{1,16}|[xX*])"
_PRERELEASE = r"(?:-?([0-9A-Za-z][0-9A-Za-z.-]*|-[0-9A-Za-z.-]*))?"
_PATCH = rf"(?:\.{_NUMBER}{_PRERELEASE})?"
_PARTIAL = rf"[v=\s]*{_NUMBER}(?:\.{_NUMBER}{_PATCH})?(?:\+[0-9A-Za-z.-]*)?"
_TOKEN = re.compile(rf"(~>?|\^|<=|>=|<|>|=)?{_PARTIAL}")
_HYPHEN = re.compile(rf"\s*{_PARTIAL}\s+-\s+{_PARTIAL}\s*")
_SPACED = re.compile(r"(~>|<=|>=|[<>=~^])\s+")
_WILD = (None, "x", "X", "*")

Parts = tuple[str | None, str | None, str | None, str | None]


class Release(NamedTuple):
    """A version in the order of semver.org: ``last`` puts prereleases before their release."""

    numbers: tuple[int, int, int]
    last: bool
    prerelease: tuple[tuple[int, int, str], ...]


class Bound(NamedTuple):
    """An operator of ``< <= = >= >`` and what it compares with."""

    operator: str
    release: Release


Bounds = tuple[Bound, ...]
"""What has to hold together; nothing is any version."""


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is in a range; what is no range (a tag, a URL, a folder) always is."""
    known, ranges = _version(version), _ranges(wanted)
    if known is None or ranges is None:
        return True
    return any(_within(known, bounds) for bounds in ranges)


@lru_cache(maxsize=20_000)
def _version(text: str) -> Release | None:
    match = _TOKEN.fullmatch(text[:_LONGEST].strip())
    if match is None or any(part in _WILD for part in match.groups()[1:4]):
        return None
    _, major, minor, patch, prerelease = match.groups()
    return _release(int(major), int(minor), int(patch), prerelease)


@lru_cache(maxsize=20_000)
def _ranges(wanted: str) -> tuple[Bounds, ...] | None:
    if len(wanted) > _LONGEST:
        return None
    found = [_range(part) for part in wanted.split("||")]
    known = tuple(bounds for bounds in found if bounds is not None)
    # Any version at all is no prerelease, whatever the other alternatives are.
    return ((),) if () in known else known or None


def _range(text: str) -> Bounds | None:
    """One alternative; None: there is nothing valid in it."""
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        low, high = hyphen.groups()[:4], hyphen.groups()[4:]
        return (*_from(low), *_to(high))
    words = _SPACED.sub(r"\1", text).split()
    found: list[Bound] = []
    valid = not words
    for word in words:
        match = _TOKEN.fullmatch(word)
        if match is not None and _ordered(*match.groups()[:4]):
            # What is invalid among what is valid is passed over.
            valid = True
            found += _bounds(match.group(1) or "", match.groups()[1:])
    if found == [_ANY]:
        found = []
    return tuple(found) if valid else None


def _ordered(operator: str | None, major: str | None, minor: str | None, patch: str | None) -> bool:
    """Whether nothing follows a part that is left open, as in ``x.1``; where that is asked."""
    if operator is not None and operator[0] in "~^":
        return True
    return not (major in _WILD and minor not in _WILD) and not (
        minor in _WILD and patch not in _WILD
    )


def _bounds(operator: str, parts: tuple[str | None, ...]) -> Bounds:
    major, minor, patch, prerelease = parts
    if major in _WILD:
        return _NOTHING if operator in ("<", ">") else ()
    a = int(major or 0)
    b = None if minor in _WILD else int(minor or 0)
    c = None if patch in _WILD or b is None else int(patch or 0)
    if operator == "^":
        return _caret(a, b, c, prerelease)
    if operator.startswith("~"):
        low = _release(a, b or 0, c or 0, prerelease if c is not None else None)
        return Bound(">=", low), _below(a + 1, 0) if b is None else _below(a, b + 1)
    if b is not None and c is not None:
        return (Bound(operator or "=", _release(a, b, c, prerelease)),)
    above = (a + 1, 0) if b is None else (a, b + 1)
    if operator in ("", "="):
        return Bound(">=", _release(a, b or 0, 0)), _below(*above)
    if operator == ">":
        return (Bound(">=", _release(*above, 0)),)
    if operator == "<=":
        return (_below(*above),)
    return (Bound(operator, _release(a, b or 0, 0, "0" if operator == "<" else None)),)


def _caret(a: int, b: int | None, c: int | None, prerelease: str | None) -> Bounds:
    """What does not change the first number that is not 0."""
    low = Bound(">=", _release(a, b or 0, c or 0, prerelease if c is not None else None))
    if a or b is None:
        return low, _below(a + 1, 0)
    if b or c is None:
        return low, _below(a, b + 1)
    return low, _below(a, b, c + 1)


def _from(parts: tuple[str | None, ...]) -> Bounds:
    major, minor, patch, prerelease = parts
    if major in _WILD:
        return ()
    b = 0 if minor in _WILD else int(minor or 0)
    c = 0 if minor in _WILD or patch in _WILD else int(patch or 0)
    return (Bound(">=", _release(int(major or 0), b, c, prerelease)),)


def _to(parts: tuple[str | None, ...]) -> Bounds:
    major, minor, patch, prerelease = parts
    if major in _WILD:
        return ()
    a = int(major or 0)
    if minor in _WILD:
        return (_below(a + 1, 0),)
    if patch in _WILD:
        return (_below(a, int(minor or 0) + 1),)
    return (Bound("<=", _release(a, int(minor or 0), int(patch or 0), prerelease)),)


def _release(a: int, b: int, c: int, prerelease: str | None = None) -> Release:
    parts = tuple(
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in (prerelease or "").split(".")
        if part
    )
    return Release((a, b, c), not parts, parts)


def _below(a: int, b: int, c: int = 0) -> Bound:
    """Less than a version and all its prereleases."""
    return Bound("<", _release(a, b, c, "0"))


_NOTHING: Bounds = (_below(0, 0),)
_ANY = Bound(">=", _release(0, 0, 0))


def _within(version: Release, bounds: Bounds) -> bool:
    for operator, release in bounds:
        holds = {
            "<": version < release,
            "<=": version <= release,
            "=": version == release,
            ">=": version >= release,
            ">": version > release,
        }
        if not holds[operator]:
            return False
    # Who wants a prerelease names one of the same version.
    return version.last or any(
        not release.last and release.numbers == version.numbers for _, release in bounds
    )
