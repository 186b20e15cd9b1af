# SPDX-License-Identifier: Apache-2.0
"""Turns layers, root filesystems and commits into git objects, and publishes them as one pack.

A writer holds what it was given until flush(); nothing on disk changes before. What it holds can be
read through it, so that an uncommitted state can be compared as if it were committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from envgit.layers.entry import Entry, Kind, Node
from envgit.layers.ids import CommitId, LayerId, TreeId
from envgit.repo.commits import LAYER, ROOTFS, encode_commit, encode_tag
from envgit.repo.escape import DIRECTORY_ENTRY, escape
from envgit.repo.metadata import FILE_NAME, Metadata
from envgit.repo.pack import (
    BLOB,
    COMMIT,
    KINDS,
    NUMBERS,
    TAG,
    TREE,
    PackWriter,
    object_id,
)
from envgit.repo.packindex import MANY_PACKS, PackIndex, index_paths
from envgit.repo.signature import Signature
from envgit.repo.trees import RawTree, Reader, encode_tree, parse_tree

# How many bytes of objects are held in memory before they go to an unpublished pack on disk.
_HELD_BYTES = 16 << 20
_MANY_OBJECTS = 4096

_Survivors = dict[bytes, "_Survivors | Entry"]


class ObjectWriter:
    """Collects new objects for the repository at ``path``; ``reader`` reads the existing ones.

    ``packs_replaced`` is called when flush() has merged packs and deleted the old ones.

    Not for several threads. close() (or leaving the context) throws away what was not flushed.
    """

    def __init__(
        self, path: str, reader: Reader, *, packs_replaced: Callable[[], None] = lambda: None
    ) -> None:
        self._packs = os.path.join(path, "objects", "pack")
        self._reader = reader
        self._packs_replaced = packs_replaced
        self._held: dict[bytes, tuple[int, bytes]] = {}
        self._held_bytes = 0
        self._spilled: dict[bytes, int] = {}
        self._spill: PackWriter | None = None
        # Pointers by the identity of their Entry, which is kept alive beside them: a layer and the
        # root filesystem after it share nearly all their entries.
        self._pointers: dict[int, tuple[Entry, bytes]] = {}

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything that was not flushed."""
        self._forget()
        if self._spill is not None:
            self._spill.__exit__(None, None, None)
            self._spill = None

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    # -- objects --------------------------------------------------------------------------------

    def add_blob(self, data: bytes) -> str:
        """Add a blob; returns its id."""
        return self._add(BLOB, data).hex()

    def add_tree(self, entries: Mapping[bytes, tuple[bool, bytes]]) -> TreeId:
        """Add a tree: git name -> (whether it is a tree, 20-byte id)."""
        return TreeId(self._add(TREE, encode_tree(dict(entries))).hex())

    def add_commit(self, data: bytes) -> CommitId:
        """Add a raw commit object."""
        return CommitId(self._add(COMMIT, data).hex())

    def add_tag(
        self, target: str, name: str, tagger: Signature, message: str, *, kind: str = "commit"
    ) -> str:
        """Add an annotated tag; returns the tag object's id (what refs/tags/NAME then holds)."""
        return self._add(TAG, encode_tag(target, kind, name, tagger, message)).hex()

    def add_raw(self, kind: str, data: bytes) -> str:
        """Add an object by the name of its kind, its bytes as git has them."""
        return self._add(NUMBERS[kind], data).hex()

    def read(self, oid: str) -> tuple[str, bytes]:
        """(kind, data) of an object held here or in the repository; raises ObjectMissing."""
        held = self.held(oid)
        return held if held is not None else self._reader.read(oid)

    def held(self, oid: str) -> tuple[str, bytes] | None:
        """(kind, data) of an object that is held here, else None."""
        binary = bytes.fromhex(oid)
        found = self._held.get(binary)
        if found is None and self._spill is not None and binary in self._spilled:
            found = self._spill.read_back(self._spilled[binary])
        return (KINDS[found[0]].decode(), found[1]) if found is not None else None

    def _add(self, kind: int, data: bytes) -> bytes:
        binary = object_id(kind, data)
        if binary not in self._held and binary not in self._spilled:
            self._held[binary] = (kind, data)
            self._held_bytes += len(data)
            if self._held_bytes > _HELD_BYTES:
                self._spill_held()
        return binary

    def _spill_held(self) -> None:
        if self._spill is None:
            self._spill = PackWriter(self._packs, many=True)
        new = set(self._held) - self._known(set(self._held))
        for binary, (kind, data) in self._held.items():
            if binary in new:
                self._spilled[binary] = self._spill.add(binary, kind, data)
        self._forget(spilled=True)

    def _forget(self, *, spilled: bool = False) -> None:
        self._held.clear()
        self._pointers.clear()
        self._held_bytes = 0
        if not spilled:
            self._spilled.clear()

    def _known(self, wanted: set[bytes]) -> set[bytes]:
        """Which of the ids the repository's packs have already."""
        known: set[bytes] = set()
        for path in index_paths(self._packs):
            try:
                with PackIndex(path) as index:
                    known |= index.known(wanted - known if known else wanted)
            except FileNotFoundError:
                continue  # consolidated by another process meanwhile
        return known

    def flush(self, *, sync: bool = True) -> None:
        """Publish everything added so far as one pack, and merge small packs when there are many.

        With ``sync=False`` the caller must sync the repository's filesystem before it lets a ref
        or a journal point at any of it.
        """
        if not len(self):
            return
        try:
            self._publish(sync=sync)
        except OSError as error:
            # write(2) on a descriptor does not say where the disk is full.
            error.filename = error.filename or self._packs
            raise
        self._forget()
        if len(index_paths(self._packs)) >= MANY_PACKS:
            from envgit.repo.consolidate import consolidate

            consolidate(self._packs, self._reader)
            self._packs_replaced()

    def _publish(self, *, sync: bool) -> None:
        if self._spill is not None:
            self._spill_held()
            self._spill.publish(sync=sync)
            self._spill.__exit__(None, None, None)
            self._spill = None
            return
        new = set(self._held) - self._known(set(self._held))
        with PackWriter(self._packs, many=len(new) > _MANY_OBJECTS) as pack:
            for binary, (kind, data) in self._held.items():
                if binary in new:
                    pack.add(binary, kind, data)
            pack.publish(sync=sync)

    # -- what envgit keeps in them ---------------------------------------------------------------

    def write_layer(self, node: Node) -> LayerId:
        """The tree of a layer: every entry of it, whiteouts and opaque marks included."""
        order: list[tuple[Node, int, bytes]] = [(node, -1, b"")]
        raws: list[RawTree] = []
        for index, (directory, _, _) in enumerate(order):
            raw: RawTree = {DIRECTORY_ENTRY: (False, self._pointer(directory.entry))}
            for name, child in (directory.children or {}).items():
                if child.children is None:
                    raw[escape(name)] = (False, self._pointer(child.entry))
                else:
                    order.append((child, index, escape(name)))
            raws.append(raw)
        return LayerId(self._write_trees(raws, [(up, name) for _, up, name in order]))

    def write_rootfs(
        self,
        base: TreeId | None,
        layer: Node,
        survivors: Mapping[bytes, Entry] | None = None,
    ) -> TreeId:
        """The tree of the root filesystem that is ``base`` overlaid with ``layer``.

        ``survivors`` are the entries of ``base`` that the layer does not touch but whose set of
        hard links it changes (layers.links). What neither mentions keeps its tree, unread: the
        cost follows the change.
        """
        below = _nest(survivors or {})
        order: list[tuple[Node | None, str | None, _Survivors, int, bytes]] = [
            (layer, base, below, -1, b"")
        ]
        raws: list[RawTree] = []
        for index, (node, tree, changed, _, _) in enumerate(order):
            raw: RawTree = {}
            if tree is not None and not (node is not None and node.entry.opaque):
                raw = parse_tree(self.read(tree)[1])
            if node is not None:
                raw[DIRECTORY_ENTRY] = (False, self._pointer(node.entry.plain()))
            self._overlay(raw, node, changed, index, order)
            raws.append(raw)
        return TreeId(self._write_trees(raws, [(item[3], item[4]) for item in order]))

    def _overlay(
        self,
        raw: RawTree,
        node: Node | None,
        changed: _Survivors,
        index: int,
        order: list[tuple[Node | None, str | None, _Survivors, int, bytes]],
    ) -> None:
        """Apply one directory of a layer to ``raw``; sub-directories are appended to ``order``."""
        for name, child in (node.children or {}).items() if node is not None else ():
            escaped = escape(name)
            if child.entry.kind == Kind.WHITEOUT:
                raw.pop(escaped, None)
            elif child.children is None:
                raw[escaped] = (False, self._pointer(child.entry))
            else:
                old = raw.get(escaped)
                tree = old[1].hex() if old is not None and old[0] else None
                below = changed.get(name)
                inner = below if isinstance(below, dict) else {}
                order.append((child, tree, inner, index, escaped))
        for name, item in changed.items():
            escaped = escape(name)
            if isinstance(item, Entry):
                raw[escaped] = (False, self._pointer(item))
            elif node is None or name not in (node.children or {}):
                old = raw.get(escaped)
                if old is None or not old[0]:
                    raise ValueError(f"a survivor lies beneath {name!r}, which is no directory")
                order.append((None, old[1].hex(), item, index, escaped))

    def _write_trees(self, raws: list[RawTree], places: list[tuple[int, bytes]]) -> str:
        """Add the trees, children before parents; ``places`` says (index of parent, name)."""
        for index in range(len(raws) - 1, 0, -1):
            parent, name = places[index]
            raws[parent][name] = (True, self._add(TREE, encode_tree(raws[index])))
            raws[index] = {}
        return self._add(TREE, encode_tree(raws[0])).hex()

    def _pointer(self, entry: Entry) -> bytes:
        known = self._pointers.get(id(entry))
        if known is None:
            binary = self._add(BLOB, entry.pointer())
            self._pointers[id(entry)] = (entry, binary)
            return binary
        return known[1]

    def write_commit(
        self,
        rootfs: TreeId,
        layer: LayerId,
        metadata: Metadata,
        parents: Sequence[CommitId],
        author: Signature,
        committer: Signature,
        message: str,
    ) -> CommitId:
        """The commit of an environment; ``parents[0]`` is what ``layer`` differs from."""
        tree = self.add_tree(
            {
                FILE_NAME: (False, self._add(BLOB, metadata.encode())),
                LAYER: (True, bytes.fromhex(layer)),
                ROOTFS: (True, bytes.fromhex(rootfs)),
            }
        )
        return self.add_commit(encode_commit(tree, parents, author, committer, message))


def _nest(survivors: Mapping[bytes, Entry]) -> _Survivors:
    """Paths as nested dictionaries, one a directory."""
    root: _Survivors = {}
    for path, entry in survivors.items():
        *folders, name = path.split(b"/")
        here = root
        for folder in folders:
            here = cast(_Survivors, here.setdefault(folder, {}))
        here[name] = entry
    return root
