# SPDX-License-Identifier: Apache-2.0
"""Whether two trees differ at paths somebody asked for, found without listing what differs.

``log -- PATH`` asks this for every commit, so it looks only where a path specification may match
and skips directories that say they are identical.
"""

from __future__ import annotations

from envgit.layers.compare import identical
from envgit.layers.entry import Directory, Entry, Kind, find_directory, find_entry
from envgit.layers.pathspec import Pathspec


def differs(old: Directory | None, new: Directory | None, spec: Pathspec) -> bool:
    """Whether a path that ``spec`` picks is not the same in both; None is an empty tree."""
    plain = spec.plain()
    if plain is not None:
        return any(_differs_at(old, new, path) for path in plain)
    return _differs_beneath(old, new, b"", spec)


def _differs_at(old: Directory | None, new: Directory | None, path: bytes) -> bool:
    one = find_entry(old, path) if old is not None else None
    other = find_entry(new, path) if new is not None else None
    if one != other:
        return True
    if one is None or one.kind != Kind.DIR or old is None or new is None:
        return False
    return _differs_anywhere(find_directory(old, path), find_directory(new, path))


def _differs_anywhere(old: Directory | None, new: Directory | None) -> bool:
    if old is None or new is None:
        return old is not new
    if identical(old, new):
        return False
    if old.entry != new.entry or set(old.names()) != set(new.names()):
        return True
    for name in old.names():
        one = old.lookup(name)
        if one != new.lookup(name):
            return True
        if _is_dir(one) and _differs_anywhere(old.directory(name), new.directory(name)):
            return True
    return False


def _differs_beneath(
    old: Directory | None, new: Directory | None, path: bytes, spec: Pathspec
) -> bool:
    if old is not None and new is not None and identical(old, new):
        return False
    names = set(old.names()) if old is not None else set()
    names.update(new.names() if new is not None else ())
    for name in names:
        one = old.lookup(name) if old is not None else None
        other = new.lookup(name) if new is not None else None
        below = path + b"/" + name if path else name
        is_directory = _is_dir(one) or _is_dir(other)
        if one != other and spec.matches(below, is_directory=is_directory):
            return True
        if is_directory and spec.may_match_beneath(below):
            left = old.directory(name) if old is not None and _is_dir(one) else None
            right = new.directory(name) if new is not None and _is_dir(other) else None
            if _differs_beneath(left, right, below, spec):
                return True
    return False


def _is_dir(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == Kind.DIR
