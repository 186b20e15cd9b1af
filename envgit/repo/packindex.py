# SPDX-License-Identifier: Apache-2.0
"""Reads pack indexes: which objects are where, without asking libgit2 for each of thousands."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator

from envgit.errors import EnvgitError

INDEX_MAGIC = b"\xfftOc\0\0\0\2"
MANY_PACKS = 24
"""With so many packs it is time to merge some (consolidate.py)."""

_INDEX_HEADER = 8 + 1024


class PackError(EnvgitError):
    """A pack or an index that is not what gitformat-pack describes."""


class PackIndex:
    """An open ``.idx`` file (version 2). Close it, or use it as a context manager."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise PackError(f"empty pack index: {path}") from error
        if len(self._map) < _INDEX_HEADER + 40 or self._map[:8] != INDEX_MAGIC:
            raise PackError(f"not a pack index of version 2: {path}")
        self._fanout = struct.unpack_from(">256I", self._map, 8)
        self.count: int = self._fanout[255]
        if len(self._map) < _INDEX_HEADER + 28 * self.count + 40:
            raise PackError(f"truncated pack index: {path}")

    def __enter__(self) -> PackIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _at(self, position: int) -> bytes:
        start = _INDEX_HEADER + 20 * position
        return self._map[start : start + 20]

    def _position(self, binary_id: bytes) -> int:
        """Where the id is, or would be."""
        first = binary_id[0]
        low = self._fanout[first - 1] if first else 0
        high = self._fanout[first]
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < binary_id:
                low = middle + 1
            else:
                high = middle
        return low

    def __contains__(self, binary_id: bytes) -> bool:
        position = self._position(binary_id)
        return position < self.count and self._at(position) == binary_id

    def neighbours(self, binary_id: bytes) -> Iterator[bytes]:
        """The ids just below and just above ``binary_id``, itself left out."""
        position = self._position(binary_id)
        if position:
            yield self._at(position - 1)
        if position < self.count and self._at(position) == binary_id:
            position += 1
        if position < self.count:
            yield self._at(position)

    def ids(self) -> Iterator[bytes]:
        """The 20-byte ids, ascending."""
        view = memoryview(self._map)[_INDEX_HEADER : _INDEX_HEADER + 20 * self.count]
        try:
            for (binary_id,) in struct.iter_unpack("20s", view):
                yield binary_id
        finally:
            view.release()

    def entries(self) -> list[tuple[bytes, int, int]]:
        """(id, crc32, offset) of each object, by id."""
        count = self.count
        at = _INDEX_HEADER + 20 * count
        checks = struct.unpack_from(f">{count}I", self._map, at)
        offsets = struct.unpack_from(f">{count}I", self._map, at + 4 * count)
        large_at = at + 8 * count
        return [
            (
                binary_id,
                check,
                offset
                if offset < 0x80000000
                else int.from_bytes(self._map[large_at + 8 * (offset & 0x7FFFFFFF) :][:8], "big"),
            )
            for binary_id, check, offset in zip(self.ids(), checks, offsets, strict=True)
        ]

    def known(self, wanted: Iterable[bytes]) -> set[bytes]:
        """Which of the ids are in this pack, by whichever way is shorter."""
        wanted = wanted if isinstance(wanted, set) else set(wanted)
        if len(wanted) * 16 < self.count:
            return {binary_id for binary_id in wanted if binary_id in self}
        return wanted.intersection(self.ids())


def index_paths(directory: str) -> list[str]:
    """The ``.idx`` files whose pack is there, in ``objects/pack``."""
    try:
        names = set(os.listdir(directory))
    except FileNotFoundError:
        return []
    return sorted(
        os.path.join(directory, name)
        for name in names
        if name.startswith("pack-") and name.endswith(".idx") and name[:-4] + ".pack" in names
    )
