# SPDX-License-Identifier: Apache-2.0
"""Gives the system users that one side of a merge added numbers that the other side has free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from envgit.layers.apply import overlaid
from envgit.layers.compare import changes
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.layers.fields import content_of
from envgit.packages.records.numbers import Numbers, moved, reconciled
from envgit.porcelain.foundation.plaintext import plain

PASSWD, GROUP = b"etc/passwd", b"etc/group"
_LARGEST = 8 << 20

Read = Callable[[str, bytes, int], bytes | None]


@dataclass(frozen=True, slots=True)
class Renumbered:
    """*Theirs* with other numbers: ``remade`` are the paths whose owners are not those of its own
    files; ``messages`` lines for the user. ``base`` has of what theirs deletes the numbers of
    ours."""

    base: Directory | None
    tree: Directory
    numbers: Numbers = field(default_factory=Numbers)
    moved: Numbers = field(default_factory=Numbers)
    remade: frozenset[bytes] = frozenset()
    messages: tuple[str, ...] = ()


def renumbered(
    base: Directory | None, ours: Directory, theirs: Directory, read: Read, label: str
) -> Renumbered:
    """``theirs`` with numbers that fit ``ours``. Costs nothing unless ours has other users or
    groups than base, and what differs if numbers do."""
    trees = (("base", base), ("ours", ours), ("theirs", theirs))
    files: list[tuple[bytes, bytes, bytes]] = []
    for path in (PASSWD, GROUP):
        entries = [find_entry(tree, path) if tree is not None else None for _, tree in trees]
        if not _changed(entries):
            files.append((b"", b"", b""))
            continue
        data = [
            read(side, path, _LARGEST) if entry is not None and entry.kind == Kind.FILE else b""
            for (side, _), entry in zip(trees, entries, strict=True)
        ]
        files.append((data[0] or b"", data[1] or b"", data[2] or b""))
    numbers, before = reconciled(files[0], files[1]), moved(files[0], files[1])
    if not numbers and not before:
        return Renumbered(base, theirs)
    made: dict[bytes, Entry] = {}
    remembered: dict[bytes, Entry] = {}
    for change in changes(base, theirs):
        if change.new is None and change.old is not None:
            entry = before.entry(change.old, None)
            if entry != change.old:
                remembered[change.path] = entry
        elif change.new is not None:
            entry = numbers.entry(change.new, change.old)
            if entry != change.new:
                made[change.path] = entry
    messages = tuple(
        f"Auto-merging {kind} {plain(name.decode('utf-8', 'backslashreplace'))}:"
        f" number {old} in {label} is {new} now"
        for kind, name, old, new in numbers.names
    )
    return Renumbered(
        _planted(base, remembered) if base is not None and remembered else base,
        _planted(theirs, made),
        numbers,
        before,
        frozenset(made),
        messages,
    )


def _changed(entries: Sequence[Entry | None]) -> bool:
    base, ours, theirs = map(content_of, entries)
    return ours not in (base, theirs)


def _planted(tree: Directory, entries: dict[bytes, Entry]) -> Directory:
    """``tree`` with these entries, which differ in attributes alone."""
    root = Node(entries.get(b"", tree.entry))
    for path in sorted(entries):
        node, above = root, b""
        *parents, name = path.split(b"/")
        for parent in parents:
            above = above + b"/" + parent if above else parent
            assert node.children is not None
            if parent not in node.children:
                there = entries.get(above) or find_entry(tree, above)
                assert there is not None  # something of it is in the tree
                node.children[parent] = Node(there)
            node = node.children[parent]
        if name:
            assert node.children is not None
            node.children[name] = Node(entries[path])
    return overlaid(tree, root)
