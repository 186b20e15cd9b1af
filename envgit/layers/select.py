# SPDX-License-Identifier: Apache-2.0
"""Takes some paths from one tree over to another: partial commits and restored files.

Law: with every change of ``changes(base, other)`` taken, ``overlaid(base, select(...))`` equals
``other``; with none, it equals ``base``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envgit.layers.compare import Change
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.layers.links import linked, members


def select(base: Directory | None, other: Directory | None, taken: Sequence[Change]) -> Node:
    """The layer over ``base`` that makes the paths of ``taken`` what they are in ``other``.

    ``taken`` are changes from ``base`` to ``other``, in bytewise order. A directory that a taken
    path needs and ``base`` lacks comes along. Hard links are kept among the paths taken: a name
    whose other names stay behind becomes a file of its own.
    """
    root = Node(_directory_entry(base, other, b""))
    fresh = _links({change.path: change.new for change in taken if change.new is not None}, other)
    for change in taken:
        new = change.new
        if not change.path:
            if new is not None:
                root.entry = new
            continue
        parent = _parent(root, base, other, change.path)
        if parent is None or parent.children is None:
            continue  # something that is no directory was taken above it: gone with that
        name = change.path.rpartition(b"/")[2]
        if new is None:
            if parent.children.get(name) is None:
                parent.children[name] = Node(Entry(Kind.WHITEOUT))
        elif new.kind == Kind.DIR:
            present = parent.children.get(name)
            if present is not None and present.children is not None:
                present.entry = new
            else:
                parent.children[name] = Node(new)
        else:
            parent.children[name] = Node(new.with_links(fresh.get(change.path, ())))
    return root


def _directory_entry(base: Directory | None, other: Directory | None, path: bytes) -> Entry:
    for tree in (base, other):
        found = find_entry(tree, path) if tree is not None else None
        if found is not None and found.kind == Kind.DIR:
            return found
    return Entry(Kind.DIR, 0o755)


def _parent(
    root: Node, base: Directory | None, other: Directory | None, path: bytes
) -> Node | None:
    """The layer's node for the directory that holds ``path``, made if need be."""
    node = root
    above = b""
    for name in path.split(b"/")[:-1]:
        above = above + b"/" + name if above else name
        assert node.children is not None  # checked when it was entered
        child = node.children.get(name)
        if child is None:
            child = node.children[name] = Node(_directory_entry(base, other, above))
        if child.children is None:
            return None
        node = child
    return node


def _links(entries: dict[bytes, Entry], other: Directory | None) -> dict[bytes, tuple[bytes, ...]]:
    """The hard links of each taken path, counting only paths that are taken too."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    if other is None:
        return found
    for path, entry in entries.items():
        if entry.hardlinks and path not in found:
            together: Iterable[bytes] = [
                name for name in members(other, path, entry) if name in entries
            ]
            found.update(linked(together))
    return found
