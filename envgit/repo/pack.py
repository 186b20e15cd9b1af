# SPDX-License-Identifier: Apache-2.0
"""Writes and indexes git packs by ourselves: a commit may bring 50,000 objects, or ten.

Loose objects cost a file and 60 to 230 us each, libgit2's PackBuilder 80 us; this about 10 us.
Formats: git's Documentation/gitformat-pack.txt (pack version 2, index version 2). Packs that are
written here have no deltas; :mod:`envgit.repo.consolidate` brings them in later.

Publishing order: the pack and its index are written under names git ignores and removes by itself
when they are old (``tmp_pack_*``, ``tmp_idx_*``), both synced, then the pack is renamed, then the
index: git looks for ``.idx`` files, so a pack *must* be there before its index is.
"""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from typing import BinaryIO

from envgit.fs import crashpoint, durable
from envgit.repo.packindex import INDEX_MAGIC, PackError

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
NUMBERS = {name.decode(): number for number, name in KINDS.items()}

_OFS_DELTA = 6
_HEADER = 12
_TRAILER = 20
_BUFFER = 1 << 20
# Deflating a pointer costs 6 us and saves a fifth of its 140 bytes. Among thousands of objects
# time is dearer, and the next consolidation or gc will deflate them anyhow.
_MANY_OBJECTS = 4096
_SMALL = 512


def object_id(kind: int, data: bytes) -> bytes:
    """The 20-byte id of an object."""
    return sha1(b"%b %d\0%b" % (KINDS[kind], len(data), data), usedforsecurity=False).digest()


class PackWriter:
    """A pack that is being written into ``directory`` (``objects/pack``).

    Objects are appended once each, in any order; publish() makes them visible. Used as a context
    manager: what was not published is removed. ``many`` says that speed counts more than size;
    one that is not to be ``written`` only finds out how large the pack would be.
    """

    def __init__(self, directory: str, *, many: bool = False, written: bool = True) -> None:
        self._directory = directory
        self._many = many
        self._entries: list[tuple[bytes, int, int]] = []
        self._path = _temporary_name(directory, "tmp_pack_") if written else os.devnull
        self._file = _create(self._path, new=written)
        self._file.write(_pack_header(0))
        self._offset = _HEADER

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._path != os.devnull:
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    def sizes(self) -> tuple[int, int]:
        """How many bytes the pack and its index will have; nothing for an empty one."""
        count = len(self._entries)
        if not count:
            return 0, 0
        large = sum(1 for entry in self._entries if entry[2] >= 0x80000000)
        return self._offset + _TRAILER, 8 + 1024 + count * 28 + large * 8 + 40

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, binary_id: bytes, kind: int, data: bytes) -> int:
        """Append an object; returns its offset."""
        return self._append(binary_id, _entry_header(kind, len(data)) + self._deflate(data))

    def add_delta(self, binary_id: bytes, base: int, delta: bytes) -> int:
        """Append an object as a delta against the one at offset ``base``; returns its offset."""
        distance = self._offset - base
        parts = [distance & 0x7F]
        while distance := distance >> 7:
            distance -= 1
            parts.append(0x80 | (distance & 0x7F))
        header = _entry_header(_OFS_DELTA, len(delta)) + bytes(reversed(parts))
        return self._append(binary_id, header + self._deflate(delta))

    def _append(self, binary_id: bytes, entry: bytes) -> int:
        offset = self._offset
        self._file.write(entry)
        self._entries.append((binary_id, zlib.crc32(entry), offset))
        self._offset = offset + len(entry)
        return offset

    def copy_pack(self, path: str, entries: Sequence[tuple[bytes, int, int]]) -> None:
        """Append every object of another pack as it is; ``entries`` are its index's, all of them.

        Deltas stay valid, for they count backwards within the copied bytes. Raises PackError when
        the other pack's checksum does not match its bytes.
        """
        shift = self._offset - _HEADER
        digest = sha1(usedforsecurity=False)
        with open(path, "rb", buffering=0) as source:
            left = os.fstat(source.fileno()).st_size - _TRAILER
            header = source.read(_HEADER)
            if header != _pack_header(len(entries)):
                raise PackError(f"pack and index do not belong together: {path}")
            digest.update(header)
            left -= _HEADER
            while left > 0 and (block := source.read(min(left, _BUFFER))):
                digest.update(block)
                self._file.write(block)
                left -= len(block)
                self._offset += len(block)
            if left or source.read(_TRAILER) != digest.digest():
                raise PackError(f"corrupt pack: {path}", hint="envgit fsck says what is lost")
        self._entries += [(oid, check, offset + shift) for oid, check, offset in entries]

    def read_back(self, offset: int) -> tuple[int, bytes]:
        """The object at an offset that add() returned: (kind, data)."""
        self._file.flush()
        with open(self._path, "rb") as file:
            file.seek(offset)
            first = file.read(1)[0]
            byte = first
            while byte & 0x80:
                byte = file.read(1)[0]
            return first >> 4 & 7, zlib.decompressobj().decompress(
                file.read(self._offset - file.tell())
            )

    def publish(self, *, sync: bool = True) -> str | None:
        """Complete the pack and make it part of the repository; returns its name, if any.

        Without ``sync`` the caller must sync the filesystem before anything refers to the objects.
        """
        if not self._entries:
            return None
        assert self._path != os.devnull, "this pack was only measured"
        self._file.flush()
        self._file.seek(0)
        self._file.write(_pack_header(len(self._entries)))
        self._file.flush()
        digest = sha1(usedforsecurity=False)
        with open(self._path, "rb", buffering=0) as written:
            while block := written.read(_BUFFER):
                digest.update(block)
        self._file.seek(0, os.SEEK_END)
        self._file.write(digest.digest())
        self._file.flush()
        return publish_pack(
            self._directory, self._file, self._path, self._entries, digest.digest(), sync=sync
        )

    def _deflate(self, data: bytes) -> bytes:
        size = len(data)
        if size > _SMALL:
            return zlib.compress(data, 1)
        if self._many:
            # A zlib stream with one stored block (RFC 1950, RFC 1951 section 3.2.4).
            return b"".join(
                (
                    b"\x78\x01\x01",
                    struct.pack("<HH", size, size ^ 0xFFFF),
                    data,
                    zlib.adler32(data).to_bytes(4, "big"),
                )
            )
        # A window of 1 KiB and little memory: setting zlib up costs more than deflating a pointer.
        # 6 us instead of 90 us with zlib.compress(data, 1).
        packer = zlib.compressobj(1, zlib.DEFLATED, 10, 2)
        return packer.compress(data) + packer.flush()


def publish_pack(
    directory: str,
    file: BinaryIO,
    path: str,
    entries: Sequence[tuple[bytes, int, int]],
    checksum: bytes,
    *,
    sync: bool,
) -> str:
    """Give a complete pack at ``path`` its index and its name. Entries: (id, crc32, offset)."""
    name = os.path.join(directory, f"pack-{checksum.hex()}")
    index_path = _temporary_name(directory, "tmp_idx_")
    try:
        with _create(index_path) as index:
            index.write(encode_index(entries, checksum))
            index.flush()
            crashpoint.reach("repo:pack-written")
            if sync:
                os.fsync(file.fileno())
                os.fsync(index.fileno())
        os.chmod(path, 0o444)
        os.chmod(index_path, 0o444)
        crashpoint.reach("repo:pack-synced")
        os.rename(path, name + ".pack")
        crashpoint.reach("repo:pack-renamed")
        os.rename(index_path, name + ".idx")
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(index_path)
        raise
    if sync:
        durable.sync_directory(directory)
    crashpoint.reach("repo:pack-published")
    return name


def encode_index(entries: Sequence[tuple[bytes, int, int]], checksum: bytes) -> bytes:
    """An index version 2 for entries (id, crc32, offset) of the pack with that checksum."""
    ordered = sorted(entries)
    count = len(ordered)
    ids = [entry[0] for entry in ordered]
    fanout = [
        bisect_left(ids, bytes((first + 1,))) if first < 255 else count for first in range(256)
    ]
    large: list[int] = []
    offsets = []
    for _, _, offset in ordered:
        if offset >= 0x80000000:
            large.append(offset)
            offset = 0x80000000 | (len(large) - 1)
        offsets.append(offset)
    body = b"".join(
        (
            INDEX_MAGIC,
            struct.pack(">256I", *fanout),
            *ids,
            struct.pack(f">{count}I", *[entry[1] for entry in ordered]),
            struct.pack(f">{count}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            checksum,
        )
    )
    return body + sha1(body, usedforsecurity=False).digest()


def _entry_header(kind: int, size: int) -> bytes:
    """The type and size in front of a packed object."""
    byte = (kind << 4) | (size & 15)
    size >>= 4
    parts = bytearray()
    while size:
        parts.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    parts.append(byte)
    return bytes(parts)


def _pack_header(count: int) -> bytes:
    return struct.pack(">4sII", b"PACK", 2, count)


def _temporary_name(directory: str, prefix: str) -> str:
    return os.path.join(directory, prefix + os.urandom(8).hex())


def _create(path: str, *, new: bool = True) -> BinaryIO:
    flags = os.O_RDWR | os.O_CLOEXEC
    if new:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags |= os.O_CREAT | os.O_EXCL
    return open(os.open(path, flags, 0o600), "w+b", buffering=_BUFFER)
