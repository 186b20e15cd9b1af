# SPDX-License-Identifier: Apache-2.0
"""Reads git trees of pointers as the directories they stand for, one at a time and on demand."""

from __future__ import annotations

import re
from typing import Protocol

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind, Node
from envgit.layers.ids import TreeId
from envgit.repo.escape import DIRECTORY_ENTRY, escape, unescape

TREE_MODE = b"40000"

_ENTRY = re.compile(rb"(100644|40000) ([^\0]+)\0(.{20})", re.DOTALL)
_TREE = re.compile(rb"(?:(?:100644|40000) [^\0]+\0.{20})*", re.DOTALL)

RawTree = dict[bytes, tuple[bool, bytes]]
"""A git tree: escaped name -> (whether it is a tree, 20-byte id)."""


class TreeError(EnvgitError):
    """A tree in the repository that envgit cannot have written."""


class Reader(Protocol):
    """Whatever objects can be read from: a repository, or a writer that holds new ones."""

    def read(self, oid: str) -> tuple[str, bytes]:
        """(kind, data) of the object; raises ObjectMissing."""


def parse_tree(data: bytes) -> RawTree:
    """The entries of a raw tree object, in git's order; raises TreeError."""
    if _TREE.fullmatch(data) is None:
        raise TreeError("a tree holds modes that envgit does not write, or is corrupt")
    return {name: (mode == TREE_MODE, oid) for mode, name, oid in _ENTRY.findall(data)}


def encode_tree(entries: RawTree) -> bytes:
    """The raw tree object of the entries, in the order git demands: a tree sorts as ``name/``."""
    ordered = sorted(
        [
            (name + b"/", b"40000 %b\0%b" % (name, oid))
            if is_tree
            else (name, b"100644 %b\0%b" % (name, oid))
            for name, (is_tree, oid) in entries.items()
        ]
    )
    return b"".join([text for _, text in ordered])


class TreeDirectory:
    """A directory of a commit's ``rootfs/`` or ``layer/``; each tree is read when it is asked for.

    Implements the protocol ``Directory`` of layers. ``identity`` is the id of the git tree.
    """

    __slots__ = ("_children", "_entry", "_known", "_raw", "_reader", "identity")

    def __init__(
        self, reader: Reader, oid: TreeId, known: dict[bytes, Entry] | None = None
    ) -> None:
        self._reader = reader
        self._known = known
        self.identity = oid
        self._raw: RawTree | None = None
        self._entry: Entry | None = None
        self._children: dict[bytes, TreeDirectory] = {}

    @property
    def raw(self) -> RawTree:
        """The git tree itself."""
        if self._raw is None:
            kind, data = self._reader.read(self.identity)
            if kind != "tree":
                raise TreeError(f"{self.identity} is a {kind}, not a tree")
            self._raw = parse_tree(data)
        return self._raw

    @property
    def entry(self) -> Entry:
        """The directory's own metadata."""
        if self._entry is None:
            found = self.raw.get(DIRECTORY_ENTRY)
            if found is None or found[0]:
                raise TreeError(f"tree {self.identity} has no entry '%dir'")
            self._entry = self._pointer(found[1])
            if self._entry.kind != Kind.DIR:
                raise TreeError(f"'%dir' of tree {self.identity} is no directory")
        return self._entry

    def names(self) -> list[bytes]:
        """The names in the directory, ascending bytewise."""
        return sorted([unescape(name) for name in self.raw if name != DIRECTORY_ENTRY])

    def lookup(self, name: bytes) -> Entry | None:
        """The child's entry (a directory's own metadata), or None."""
        found = self.raw.get(escape(name))
        if found is None:
            return None
        if found[0]:
            child = self.directory(name)
            assert child is not None  # the entry says that it is a tree
            return child.entry
        entry = self._pointer(found[1])
        if entry.kind == Kind.DIR:
            raise TreeError(f"{found[1].hex()} is a directory's pointer without a tree")
        return entry

    def directory(self, name: bytes) -> TreeDirectory | None:
        """The child directory, or None when there is none of that name."""
        escaped = escape(name)
        found = self.raw.get(escaped)
        if found is None or not found[0]:
            return None
        child = self._children.get(escaped)
        if child is None:
            child = TreeDirectory(self._reader, TreeId(found[1].hex()), self._known)
            self._children[escaped] = child
        return child

    def unlike(self, other: object) -> list[bytes] | None:
        """The names that are not the same in both, told by ids alone; see `Directory`."""
        if not isinstance(other, TreeDirectory):
            return None
        names = {name for name, _ in self.raw.items() ^ other.raw.items()}
        return [unescape(name) for name in names - {DIRECTORY_ENTRY}]

    def remembering(self, known: dict[bytes, Entry]) -> TreeDirectory:
        """The same, for whoever asks often: entries that were read once are kept in ``known``."""
        return TreeDirectory(self._reader, self.identity, known)

    def _pointer(self, oid: bytes) -> Entry:
        if self._known is None:
            return self._read(oid)
        entry = self._known.get(oid)
        if entry is None:
            entry = self._known[oid] = self._read(oid)
        return entry

    def _read(self, oid: bytes) -> Entry:
        kind, data = self._reader.read(oid.hex())
        if kind != "blob":
            raise TreeError(f"{oid.hex()} is a {kind}, not a pointer")
        return Entry.parse(data)


def read_node(reader: Reader, oid: TreeId) -> Node:
    """A whole tree (a layer, usually) in memory; equal pointers share one Entry.

    Depth is bounded by memory, not by Python's stack.
    """
    known: dict[bytes, Entry] = {}

    def pointer(binary_id: bytes) -> Entry:
        entry = known.get(binary_id)
        if entry is None:
            entry = known[binary_id] = Entry.parse(reader.read(binary_id.hex())[1])
        return entry

    def directory(tree: str) -> tuple[Node, RawTree]:
        raw = parse_tree(reader.read(tree)[1])
        own = raw.pop(DIRECTORY_ENTRY, None)
        if own is None or own[0]:
            raise TreeError(f"tree {tree} has no entry '%dir'")
        entry = pointer(own[1])
        if entry.kind != Kind.DIR:
            raise TreeError(f"'%dir' of tree {tree} is no directory")
        return Node(entry, {}), raw

    root, entries = directory(oid)
    stack = [(root, entries)]
    while stack:
        node, entries = stack.pop()
        children = node.children
        assert children is not None  # made by directory() above
        for name, (is_tree, binary_id) in entries.items():
            if is_tree:
                child, below = directory(binary_id.hex())
                stack.append((child, below))
            else:
                child = Node(pointer(binary_id))
                if child.entry.kind == Kind.DIR:
                    raise TreeError(f"{binary_id.hex()} is a directory's pointer without a tree")
            children[unescape(name)] = child
    return root
