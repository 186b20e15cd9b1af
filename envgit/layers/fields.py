# SPDX-License-Identifier: Apache-2.0
"""Merges what is kept of one path field by field: mode, owner, time and attributes.

Content is one field of its own, which envgit.layers.threeway decides about. Law: with a base that
equals one side, the other side's values result, and nothing clashes.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from envgit.layers.entry import Entry, Kind

Content = tuple[str, int, str, bytes, tuple[int, int]]


def content_of(entry: Entry | None) -> Content | None:
    """What a path holds: equal for two entries whose kind and content are the same."""
    if entry is None:
        return None
    return entry.kind, entry.size, entry.sha256, entry.target, entry.rdev


def with_content(entry: Entry, other: Entry) -> Entry:
    """``entry`` with the content of ``other``."""
    return replace(
        entry,
        kind=other.kind,
        size=other.size,
        sha256=other.sha256,
        target=other.target,
        rdev=other.rdev,
    )


def same_but_time(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries are the same but for their time and links, which are no one's work."""
    if one is None or other is None:
        return one is other
    return replace(one, mtime=0, hardlinks=()) == replace(other, mtime=0, hardlinks=())


def pick(base: Any, ours: Any, theirs: Any) -> tuple[Any, bool]:
    """The merged value, and whether both sides changed it differently (ours is taken then)."""
    if ours == theirs or theirs == base:
        return ours, False
    return (theirs, False) if ours == base else (ours, True)


def merge_attributes(
    base: Entry | None, ours: Entry, theirs: Entry, favour: str | None = None
) -> tuple[Entry, tuple[str, ...]]:
    """``ours`` with merged attributes, and the names of those that clash.

    Of two new times the newer is taken. ``favour`` (``ours``, ``theirs``) settles clashes.
    """
    clashes: list[str] = []

    def decide(name: str, old: Any, one: Any, other: Any) -> Any:
        value, clash = pick(old, one, other)
        if clash and favour is None:
            clashes.append(name)
        return other if clash and favour == "theirs" else value

    mode = decide("mode", base and base.mode, ours.mode, theirs.mode)
    uid = decide("owner", base and base.uid, ours.uid, theirs.uid)
    gid = decide("group", base and base.gid, ours.gid, theirs.gid)
    before = dict(base.xattrs) if base is not None else {}
    one, other = dict(ours.xattrs), dict(theirs.xattrs)
    xattrs = []
    for name in sorted({*before, *one, *other}):
        shown = "attribute " + name.decode("utf-8", "backslashreplace")
        value = decide(shown, before.get(name), one.get(name), other.get(name))
        if value is not None:
            xattrs.append((name, value))
    mtime, clash = pick(base and base.mtime, ours.mtime, theirs.mtime)
    if clash:
        mtime = max(ours.mtime, theirs.mtime)
    merged = replace(ours, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=tuple(xattrs))
    return merged, tuple(clashes)


def described(content: bytes) -> Entry:
    """A regular file of that content, without attributes."""
    return Entry(Kind.FILE, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def is_leaf(entry: Entry | None) -> bool:
    """Whether there is something that is no directory."""
    return entry is not None and entry.kind != Kind.DIR


def is_directory(entry: Entry | None) -> bool:
    """Whether there is a directory."""
    return entry is not None and entry.kind == Kind.DIR
