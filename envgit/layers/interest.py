# SPDX-License-Identifier: Apache-2.0
"""Which differences of two trees somebody asked for by path, found without listing all others.

``log -- PATH`` asks for every commit whether there is one, so plain paths are looked up directly.
"""

from __future__ import annotations

from envgit.layers.compare import Change, Wanted, differing
from envgit.layers.entry import Directory, Kind, find_directory, find_entry
from envgit.layers.pathspec import Pathspec


def picks(spec: Pathspec, change: Change) -> bool:
    """Whether the specification picks what was or what is at the path of a change."""
    return any(
        spec.matches(change.path, is_directory=entry.kind == Kind.DIR)
        for entry in (change.old, change.new)
        if entry is not None
    )


def wanted_by(spec: Pathspec) -> Wanted | None:
    """What of a tree must be looked at for ``spec``: everything (None) when it picks everything."""
    if not spec:
        return None
    return lambda path, is_directory: (
        spec.matches(path, is_directory=is_directory)
        or (is_directory and spec.may_match_beneath(path))
    )


def differs(old: Directory | None, new: Directory | None, spec: Pathspec) -> bool:
    """Whether a path that ``spec`` picks is not the same in both; None is an empty tree."""
    plain = spec.plain()
    if plain is not None:
        return any(_differs_at(old, new, path) for path in plain)
    return any(picks(spec, change) for change in differing(old, new, wanted=wanted_by(spec)))


def _differs_at(old: Directory | None, new: Directory | None, path: bytes) -> bool:
    one = find_entry(old, path) if old is not None else None
    other = find_entry(new, path) if new is not None else None
    if one != other:
        return True
    if one is None or one.kind != Kind.DIR or old is None or new is None:
        return False
    return any(differing(find_directory(old, path), find_directory(new, path)))
