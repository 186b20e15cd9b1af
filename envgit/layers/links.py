# SPDX-License-Identifier: Apache-2.0
"""What happens to hard links when one layer comes to lie over another.

overlayfs (index=off) never links across layers, and copying a file up breaks its links. So a set of
hard links is a fact about what is visible: when a layer touches some members of a set of the base,
the entries of the others change although their files do not. Those are the *survivors*. Law: a root
filesystem is its base overlaid with its layer, after which the survivors are replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry, join, walk


def members(root: Directory, path: bytes, entry: Entry) -> tuple[bytes, ...]:
    """All paths of the set of hard links that ``path`` belongs to, in order; itself if it has none.

    The first member's entry is asked, for only that one names them all. Where it does not exist or
    does not name ``path`` (a damaged commit; fsck reports it), the path stands alone.
    """
    if not entry.hardlinks:
        return (path,)
    if path < entry.hardlinks[0]:
        return (path, *entry.hardlinks)
    first = entry.hardlinks[0]
    leader = find_entry(root, first)
    if leader is None or path not in leader.hardlinks:
        return (path,)
    return (first, *leader.hardlinks)


def linked(paths: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """What each member of a set of hard links has as ``hardlinks``, for the set's paths."""
    first, *others = sorted(paths)
    return {first: tuple(others), **{path: (first,) for path in others}}


def hidden(base: Directory, layer: Node) -> Iterator[tuple[bytes, Entry]]:
    """Every path of ``base`` that is no directory and that ``layer`` replaces or hides."""
    stack: list[tuple[bytes, Directory, Node]] = [(b"", base, layer)]
    while stack:
        path, lower, upper = stack.pop()
        for name, child in (upper.children or {}).items():
            old = lower.lookup(name)
            if old is None:
                continue
            if old.kind != Kind.DIR:
                yield join(path, name), old
                continue
            below = lower.directory(name)
            if below is None:
                continue
            if child.entry.kind == Kind.DIR and not child.entry.opaque:
                stack.append((join(path, name), below, child))
            else:
                yield from leaves(below, join(path, name))


def leaves(directory: Directory, prefix: bytes) -> Iterator[tuple[bytes, Entry]]:
    """Every path beneath a directory that is no directory itself."""
    for path, entry in walk(directory):
        if entry.kind != Kind.DIR:
            yield join(prefix, path), entry


def survivors(base: Directory | None, layer: Node) -> dict[bytes, Entry]:
    """The new entries of paths that ``layer`` does not touch but whose sets of hard links it does.

    Costs what the layer replaces or hides, not the size of ``base``.
    """
    if base is None:
        return {}
    gone: set[bytes] = set()
    sets: set[tuple[bytes, ...]] = set()
    for path, entry in hidden(base, layer):
        if entry.hardlinks:
            gone.add(path)
            sets.add(members(base, path, entry))
    changed: dict[bytes, Entry] = {}
    for paths in sets:
        left = [path for path in paths if path not in gone]
        for path, hardlinks in linked(left).items() if left else ():
            entry_now = find_entry(base, path)
            if entry_now is not None and entry_now.hardlinks != hardlinks:
                changed[path] = entry_now.with_links(hardlinks)
    return changed
