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
from envgit.repo.commits import parse_commit
from envgit.repo.pack import COMMIT, NUMBERS, TREE, PackWriter
from envgit.repo.packindex import MANY_PACKS, PackError, PackIndex, index_paths
from envgit.repo.resemblance import Related
from envgit.repo.trees import Reader

_FRESH_OBJECTS = 256
_FACTOR = 4
# Above this a pack is left for gc: joining it would take noticeable time within a commit.
_LARGEST = 256 << 20
KEPT_BY = (".keep", ".promisor", ".mtimes", ".bitmap")


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
    with alone(directory) as exclusive:
        if not exclusive:
            return
        packs = _packs(directory)
        fresh = [pack for pack in packs if pack.objects <= _FRESH_OBJECTS]
        if len(fresh) < MANY_PACKS:
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
                    objects[binary] = (NUMBERS[kind], data)
    with PackWriter(directory) as writer:
        _paired(objects).write(writer, lambda binary: objects[binary][1])
        _replace(directory, writer, packs)


def _paired(objects: dict[bytes, tuple[int, bytes]]) -> Related:
    """The objects with which newer one an older one became, as far as both are at hand."""
    found = Related({binary: kind for binary, (kind, _) in objects.items()})

    def read(binary: bytes) -> bytes | None:
        return objects[binary][1] if found.objects.get(binary) == TREE else None

    # Newest first, so that the newest version is the one that is whole.
    for binary in reversed(_in_order(objects)):
        commit = parse_commit("", objects[binary][1])
        parent = objects.get(bytes.fromhex(commit.parents[0])) if commit.parents else None
        if parent is not None:
            older, newer = parse_commit("", parent[1]).tree, commit.tree
            found.pair_versions(bytes.fromhex(older), bytes.fromhex(newer), read, within=objects)
    return found


def _in_order(objects: dict[bytes, tuple[int, bytes]]) -> list[bytes]:
    """The commits among the objects, parents before children."""
    parents = {
        binary: [bytes.fromhex(oid) for oid in parse_commit("", data).parents]
        for binary, (kind, data) in objects.items()
        if kind == COMMIT
    }
    ordered: dict[bytes, None] = {}
    for binary in parents:
        stack = [binary]
        while stack:
            waiting = [up for up in parents[stack[-1]] if up in parents and up not in ordered]
            if waiting:
                stack.append(waiting[0])
            else:
                ordered[stack.pop()] = None
    return list(ordered)


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
        if any(os.path.basename(stem) + suffix in names for suffix in KEPT_BY):
            continue
        with suppress(FileNotFoundError), PackIndex(path) as index:
            found.append(_Pack(stem, index.count, os.stat(stem + ".pack").st_size))
    return found


@contextmanager
def alone(directory: str) -> Iterator[bool]:
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
