# SPDX-License-Identifier: Apache-2.0
"""Keeps the packs few while commits are made, so that ``gc`` is never needed in a hurry.

Each commit brings a small pack. When there are a few dozen of them they become one, in which older
versions of trees and pointers are deltas against newer ones (a commit of one file then costs under
2 kB instead of 20 kB). These larger packs are joined, byte by byte, whenever one is less than
four times the one below it in size: the number of packs stays logarithmic, and an object is copied
a logarithmic number of times. Packs that somebody asked to keep, and git's own special ones, are
left alone.

Published first, removed afterwards: a reader finds each object at any instant, and git and libgit2
look again when a pack they knew is gone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from envgit.fs import crashpoint, durable
from envgit.repo import delta
from envgit.repo.commits import ROOTFS, parse_commit
from envgit.repo.pack import (
    BLOB,
    COMMIT,
    KINDS,
    TREE,
    PackError,
    PackIndex,
    PackWriter,
    index_paths,
)
from envgit.repo.trees import Reader, parse_tree

_FRESH_PACKS = 24
_FRESH_OBJECTS = 256
_FACTOR = 4
# Above this a pack is left for gc: joining it would take noticeable time within a commit.
_LARGEST = 256 << 20
_MAX_CHAIN = 40  # git's own limit when it makes chains of deltas is 50
_KEPT_BY = (".keep", ".promisor", ".mtimes", ".bitmap")

_NUMBERS = {name.decode(): number for number, name in KINDS.items()}


@dataclass(frozen=True, slots=True)
class _Pack:
    path: str
    """Without its suffix."""
    objects: int
    size: int


def consolidate(directory: str, reader: Reader) -> None:
    """Merge packs in ``objects/pack`` when there are too many; does nothing most of the time.

    ``reader`` reads the repository's objects. If another process is at it, nothing is done.
    """
    if len(index_paths(directory)) < _FRESH_PACKS:
        return
    with _alone(directory) as alone:
        if not alone:
            return
        packs = _packs(directory)
        fresh = [pack for pack in packs if pack.objects <= _FRESH_OBJECTS]
        if len(fresh) < _FRESH_PACKS:
            return
        _rewrite(directory, fresh, reader)
        packs = [pack for pack in _packs(directory) if pack.objects > _FRESH_OBJECTS]
        joined = _to_join(packs)
        if len(joined) > 1:
            _join(directory, joined)


def _to_join(packs: list[_Pack]) -> list[_Pack]:
    """The smallest packs, up to the last one that is too small for the one above it."""
    ordered = sorted((pack for pack in packs if pack.size < _LARGEST), key=lambda pack: pack.size)
    total, last = 0, 0
    for number, pack in enumerate(ordered):
        if number and pack.size < _FACTOR * total:
            last = number
        total += pack.size
    return ordered[: last + 1] if last else []


def _join(directory: str, packs: list[_Pack]) -> None:
    """Make one pack of several without looking into their objects."""
    seen: set[bytes] = set()
    taken: list[_Pack] = []
    with PackWriter(directory) as writer:
        for pack in packs:
            with PackIndex(pack.path + ".idx") as index:
                entries = index.entries()
            ids = {entry[0] for entry in entries}
            if seen & ids:
                continue  # an object twice in a pack is no valid pack; gc will sort that out
            try:
                writer.copy_pack(pack.path + ".pack", entries)
            except (PackError, FileNotFoundError):
                return  # not ours to report here: fsck says what is wrong with it
            seen |= ids
            taken.append(pack)
        if len(taken) > 1:
            _replace(directory, writer, taken)


def _rewrite(directory: str, packs: list[_Pack], reader: Reader) -> None:
    """Make one pack of the objects of many small ones, with deltas."""
    objects: dict[bytes, tuple[int, bytes]] = {}
    for pack in packs:
        with PackIndex(pack.path + ".idx") as index:
            for binary in index.ids():
                if binary not in objects:
                    kind, data = reader.read(binary.hex())
                    objects[binary] = (_NUMBERS[kind], data)
    bases = _Pairs(objects).bases
    offsets: dict[bytes, int] = {}
    with PackWriter(directory) as writer:
        for first in objects:
            chain = [first]
            while chain[-1] in bases:
                chain.append(bases[chain[-1]])
            for binary in reversed(chain):
                if binary not in offsets:
                    offsets[binary] = _write(writer, binary, bases.get(binary), objects, offsets)
        _replace(directory, writer, packs)


def _write(
    writer: PackWriter,
    binary: bytes,
    base: bytes | None,
    objects: dict[bytes, tuple[int, bytes]],
    offsets: dict[bytes, int],
) -> int:
    kind, data = objects[binary]
    if base is not None:
        cut = delta.entries if kind == TREE else delta.lines
        change = delta.encode(cut(objects[base][1]), cut(data))
        if len(change) < len(data) * 3 // 4:
            return writer.add_delta(binary, offsets[base], change)
    return writer.add(binary, kind, data)


class _Pairs:
    """Finds, for objects of consecutive commits, which newer object an older one became."""

    def __init__(self, objects: dict[bytes, tuple[int, bytes]]) -> None:
        self._objects = objects
        self.bases: dict[bytes, bytes] = {}
        self._depth: dict[bytes, int] = {}
        for binary, (kind, data) in objects.items():
            if kind != COMMIT:
                continue
            commit = parse_commit(binary.hex(), data)
            parent = objects.get(bytes.fromhex(commit.parents[0])) if commit.parents else None
            if parent is not None:
                older = parse_commit("", parent[1])
                self._trees(bytes.fromhex(older.tree), bytes.fromhex(commit.tree), top=True)

    def _trees(self, old: bytes, new: bytes, *, top: bool = False) -> None:
        """Pair two versions of a tree, and what is in both under one name."""
        if old == new or self._kind(old) != TREE or self._kind(new) != TREE:
            return
        if not top:
            self._pair(old, new)
        before, after = parse_tree(self._objects[old][1]), parse_tree(self._objects[new][1])
        for name, (is_tree, newer) in after.items():
            older = before.get(name)
            # A layer has nothing to do with the layer before it.
            if older is None or older[1] == newer or (top and is_tree and name != ROOTFS):
                continue
            if is_tree and older[0]:
                self._trees(older[1], newer)
            elif self._kind(older[1]) == BLOB and self._kind(newer) == BLOB:
                self._pair(older[1], newer)

    def _pair(self, old: bytes, new: bytes) -> None:
        if old in self.bases:
            return
        depth, at = 1, new
        while at in self.bases:
            at = self.bases[at]
            depth += 1
            if at == old or depth > _MAX_CHAIN:
                return  # a state that came back would make a circle
        if at != old:
            self.bases[old] = new

    def _kind(self, binary: bytes) -> int:
        found = self._objects.get(binary)
        return found[0] if found is not None else 0


def _replace(directory: str, writer: PackWriter, packs: list[_Pack]) -> None:
    """Publish the new pack, then remove those whose objects it holds."""
    name = writer.publish()
    crashpoint.reach("repo:consolidated")
    # git's multi-pack index names packs; it is derived, and git drops it for the same reason.
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, "multi-pack-index"))
    for pack in packs:
        if pack.path == name:
            continue
        # The index first: a pack without one is garbage to git, an index without a pack an error.
        for suffix in (".idx", ".rev", ".pack"):
            with suppress(FileNotFoundError):
                os.unlink(pack.path + suffix)
        crashpoint.reach("repo:pack-removed")
    durable.sync_directory(directory)


def _packs(directory: str) -> list[_Pack]:
    """The packs that may be replaced."""
    names = set(os.listdir(directory))
    found: list[_Pack] = []
    for path in index_paths(directory):
        stem = path[:-4]
        if any(os.path.basename(stem) + suffix in names for suffix in _KEPT_BY):
            continue
        with suppress(FileNotFoundError), PackIndex(path) as index:
            found.append(_Pack(stem, index.count, os.stat(stem + ".pack").st_size))
    return found


@contextmanager
def _alone(directory: str) -> Iterator[bool]:
    """Whether no other envgit consolidates now."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
