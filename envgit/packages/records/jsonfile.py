# SPDX-License-Identifier: Apache-2.0
"""JSON that a package manager writes, by key: npm's ``package.json`` and locks, cargo's
``.crates2.json``.

Only files that are laid out as that manager lays them out, so that what is written is what it would
have written; anything else is a text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from envgit.packages.model import Unreadable
from envgit.packages.readers.jsontext import load_object
from envgit.packages.records.model import (
    Clash,
    Decide,
    Declined,
    Format,
    Taken,
    Verdict,
    literal,
    undecided,
)

_DEEPEST = 64
_PLACE = re.compile(r"(?:\A|/)node_modules/((?:@[^/]+/)?[^/]+)\Z")
# Objects of which each key is one package.
_PACKAGES = {"packages", "dependencies", "devDependencies", "optionalDependencies", "installs"}
_MISSING = object()


class Json(Format):
    """Objects whose keys are merged one by one, arrays and values as a whole."""

    def merge(
        self,
        base: bytes | None,
        ours: bytes,
        theirs: bytes,
        decide: Decide = undecided,
        favour: str | None = None,
    ) -> tuple[bytes, tuple[Clash, ...]]:
        """Three-way by key. Raises Declined."""
        verdict = Verdict(decide, favour)
        old = _read(base)[0] if base is not None else {}
        mine, layout = _read(ours)
        its, _ = _read(theirs)
        made = _merge((), old, mine, its, verdict)
        return _write(made, layout), tuple(verdict.clashes)

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """``base`` with the keys of packages that are taken as they are in ``other``; other keys
        belong to nobody."""
        here, layout = _read(base)
        there, _ = _read(other)
        chosen: set[bool] = set()
        made = _compose((), here, there, taken, chosen)
        if False not in chosen:
            return other
        return _write(made, layout) if True in chosen else base


def _read(data: bytes) -> tuple[Any, tuple[str | int | None, str]]:
    """The value, and how it is laid out: what it is indented by, how it ends."""
    try:
        value = load_object(data)
    except Unreadable as error:
        raise Declined(error.message) from error
    end = "\n" if data.endswith(b"\n") else ""
    for indent in ("  ", None, "\t", "    "):
        if _write(value, (indent, end)) == data:
            return value, (indent, end)
    raise Declined("it is not laid out as npm does")


def _write(value: Any, layout: tuple[str | int | None, str]) -> bytes:
    indent, end = layout
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return (text + end).encode()


def _merge(place: tuple[str, ...], base: Any, ours: Any, theirs: Any, verdict: Verdict) -> Any:
    if len(place) > _DEEPEST:
        raise Declined("it is nested too deep")
    old = base if isinstance(base, dict) else {}
    made: dict[str, Any] = {}
    for key in (*ours, *(key for key in theirs if key not in ours)):
        where = (*place, key)
        one, two, was = ours.get(key, _MISSING), theirs.get(key, _MISSING), old.get(key, _MISSING)
        owner = owner_of(where)
        side = verdict.side_of((owner,)) if owner and one != two else None
        if side is not None:
            value = {"ours": one, "theirs": two, "base": was}[side]
        elif one == two or two == was:
            value = one
        elif one == was:
            value = two
        elif isinstance(one, dict) and isinstance(two, dict):
            value = _merge(where, was, one, two, verdict)
        else:
            name = literal("/".join(where))
            what = f"{name} differs in {{ours}} and {{theirs}}"
            value = two if verdict.clash((owner,), what) == "theirs" else one
        if value is not _MISSING:
            made[key] = value
    if list(ours) == sorted(ours) and list(theirs) == sorted(theirs):
        made = dict(sorted(made.items()))
    return made


def _compose(
    place: tuple[str, ...], here: Any, there: Any, taken: Taken, chosen: set[bool]
) -> dict[str, Any]:
    if len(place) > _DEEPEST:
        raise Declined("it is nested too deep")
    made: dict[str, Any] = {}
    for key in (*here, *(key for key in there if key not in here)):
        where = (*place, key)
        one, two = here.get(key, _MISSING), there.get(key, _MISSING)
        owner = owner_of(where)
        if one == two:
            value = one
        elif not owner and isinstance(one, dict) and isinstance(two, dict):
            value = _compose(where, one, two, taken, chosen)
        else:
            takes = taken(owner)
            chosen.add(takes)
            value = two if takes else one
        if value is not _MISSING:
            made[key] = value
    if list(here) == sorted(here) and list(there) == sorted(there):
        made = dict(sorted(made.items()))
    return made


def owner_of(place: tuple[str, ...]) -> str:
    """The package that a key is about; empty where it is about none."""
    if len(place) < 2 or place[-2] not in _PACKAGES:
        return ""
    key = place[-1]
    found = _PLACE.search(key)
    if found is not None:
        return found[1]
    if place[-2] == "packages":
        return ""
    return key.partition(" ")[0]
