# SPDX-License-Identifier: Apache-2.0
"""Which paths are hard links of one file after a three-way merge.

That two paths are one file is a fact about the pair, merged three-way as any other: the side which
changed it wins. A path that a side does not have says nothing there; two new names of which only
one side made a link stay apart. Names of one file have one content and one set of attributes, so
paths that came out different are never linked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

from envgit.layers.entry import Directory, Entry, find_entry
from envgit.layers.fields import is_leaf
from envgit.layers.links import linked, members

# For each of base, ours and theirs, the first path of the set that a path is in; None: not there.
_Key = tuple[bytes | None, bytes | None, bytes | None]
_Group = tuple[_Key, Entry]


def regroup(
    trees: tuple[Directory | None, Directory | None, Directory | None],
    seeds: Iterable[bytes],
    result: Callable[[bytes], Entry | None],
) -> dict[bytes, Entry]:
    """The merged entries, with their links, of all paths in the sets that ``seeds`` are in.

    ``trees`` are base, ours and theirs; ``result`` tells what a path became, its links aside. Sets
    are followed through all three trees, so that what is returned is closed: no path outside has a
    link to one inside, on any side.
    """
    first: tuple[dict[bytes, bytes], ...] = ({}, {}, {})
    todo = list(seeds)
    found: set[bytes] = set()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for tree, leaders in zip(trees, first, strict=True):
            entry = find_entry(tree, path) if tree is not None else None
            if tree is None or entry is None or not is_leaf(entry):
                continue
            paths = members(tree, path, entry)
            leaders[path] = paths[0]
            todo.extend(paths)
    groups: dict[_Group, list[bytes]] = {}
    for path in sorted(found):
        entry = result(path)
        if entry is not None and is_leaf(entry):
            key = (first[0].get(path), first[1].get(path), first[2].get(path))
            groups.setdefault((key, entry.with_links(())), []).append(path)
    merged: dict[bytes, Entry] = {}
    for (_, entry), *others in _joined(groups):
        paths = tuple(path for group in ((_, entry), *others) for path in groups[group])
        for path, hardlinks in linked(paths).items():
            merged[path] = entry.with_links(hardlinks)
    return merged


def _joined(groups: dict[_Group, list[bytes]]) -> Iterable[list[_Group]]:
    """The groups that are one file, together."""
    same: dict[Entry, list[_Group]] = {}
    for group in groups:
        same.setdefault(group[1], []).append(group)
    for alike in same.values():
        root = {group: group for group in alike}
        for one, other in combinations(alike, 2):
            if _related(one[0], other[0]):
                kept, gone = root[one], root[other]
                if kept != gone:
                    root.update({group: kept for group in alike if root[group] == gone})
        together: dict[_Group, list[_Group]] = {}
        for group in alike:
            together.setdefault(root[group], []).append(group)
        yield from together.values()


def _related(one: _Key, other: _Key) -> bool:
    """Whether paths of these two keys are one file, three-way."""
    said = [
        None if first is None or second is None else first == second
        for first, second in zip(one, other, strict=True)
    ]
    base, ours, theirs = said
    if ours is None or theirs is None:
        return bool(theirs if ours is None else ours)
    if ours == theirs:
        return ours
    if base is None:
        return False
    return theirs if ours == base else ours
