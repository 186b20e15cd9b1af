# SPDX-License-Identifier: Apache-2.0
"""Writing a root filesystem as a tar stream that GNU tar, Go's archive/tar and umoci read alike.

Python's tarfile cannot write names that are not UTF-8 without a header that GNU tar warns about,
nor extended attributes; so this writes the pax format itself (POSIX.1-2017, pax, "pax Interchange
Format"). Equal trees give equal bytes: the order is that of `walk`, no name of a user or of this
machine is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, Protocol

from envgit.layers.decompression import ArchiveError
from envgit.layers.entry import Directory, Entry, Kind, walk

_BLOCK = 512
# GNU tar's default record; some readers of tapes and pipes expect whole ones.
_RECORD = 20 * _BLOCK
_CHUNK = 1 << 20

FLAGS = {
    Kind.FILE: b"0",
    Kind.SYMLINK: b"2",
    Kind.CHAR: b"3",
    Kind.BLOCK: b"4",
    Kind.DIR: b"5",
    Kind.FIFO: b"6",
}
LINK = b"1"
_PAX = b"x"


class Writable(Protocol):
    """Where an archive goes; all of the data is taken."""

    def write(self, data: bytes, /) -> object: ...


Progress = Callable[[int, int], None]
"""Called now and then with the entries and bytes written so far."""


def write(
    stream: Writable,
    root: Directory,
    open: Callable[[bytes], BinaryIO],
    *,
    directory_mtime: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write the root filesystem ``root`` as an uncompressed tar archive.

    ``open`` gives the content of a path. Directories have no time of their own in envgit and get
    ``directory_mtime`` (seconds). The stream needs ``write`` only. Raises `ArchiveError` when a
    file is not as long as its entry says, or when ``root`` is a layer with whiteouts.
    """
    writer = TarWriter(stream)
    first: dict[bytes, bytes] = {}
    for path, entry in walk(root):
        if entry.kind == Kind.WHITEOUT or entry.opaque:
            raise ArchiveError("a layer with whiteouts is no root filesystem")
        if entry.hardlinks:
            leader = min(path, entry.hardlinks[0])
            if leader in first:
                writer.header(path, entry, LINK, first[leader], 0, entry.mtime)
                continue
            first[leader] = path
        if entry.kind == Kind.FILE:
            writer.header(path, entry, FLAGS[entry.kind], b"", entry.size, entry.mtime)
            with open(path) as content:
                writer.content(path, content, entry.size)
        elif entry.kind == Kind.DIR:
            name = path + b"/" if path else b"./"
            writer.header(name, entry, FLAGS[entry.kind], b"", 0, directory_mtime)
        else:
            writer.header(path, entry, FLAGS[entry.kind], entry.target, 0, entry.mtime)
        if progress is not None:
            progress(writer.entries, writer.position)
    writer.end()


class TarWriter:
    """Writes members in pax format to a stream, which needs ``write`` only."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.position = 0
        self.entries = 0

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self.position += len(data)

    def _pad(self, unit: int) -> None:
        if left := -self.position % unit:
            self._write(bytes(left))

    def header(
        self, path: bytes, entry: Entry, flag: bytes, target: bytes, size: int, mtime: int
    ) -> None:
        """Write an entry's header, preceded by a pax header for what does not fit into it."""
        self.entries += 1
        records: list[tuple[bytes, bytes]] = []
        prefix, name = _split(path)
        if not name:
            records.append((b"path", path))
            name = path[:100]
        if len(target) > 100:
            records.append((b"linkpath", target))
        numbers = {}
        for key, value, digits in (
            (b"uid", entry.uid, 7),
            (b"gid", entry.gid, 7),
            (b"size", size, 11),
            (b"mtime", mtime, 11),
        ):
            fits = 0 <= value < 8**digits
            numbers[key] = value if fits else 0
            if not fits:
                records.append((key, b"%d" % value))
        if flag != LINK:
            records.extend((b"SCHILY.xattr." + _keyword(n), value) for n, value in entry.xattrs)
        if records:
            body = b"".join(_record(key, value) for key, value in records)
            name_of_it = b"PaxHeaders/" + path.rstrip(b"/").rpartition(b"/")[2][:80]
            pax = {b"uid": 0, b"gid": 0, b"size": len(body), b"mtime": 0}
            self._write(_block(b"", name_of_it, 0o644, pax, _PAX, b"", (0, 0)))
            self._write(body)
            self._pad(_BLOCK)
        self._write(_block(prefix, name, entry.mode, numbers, flag, target[:100], entry.rdev))

    def content(self, path: bytes, content: BinaryIO, size: int) -> None:
        """Write a file's content, which must be as long as the header said."""
        left = size
        while left and (data := content.read(min(_CHUNK, left))):
            self._write(data)
            left -= len(data)
        if left or content.read(1):
            raise ArchiveError(f"{os.fsdecode(path)!r} is not as long as it was when committed")
        self._pad(_BLOCK)

    def end(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * _BLOCK))
        self._pad(_RECORD)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The prefix and name fields of a ustar header, the name empty if the path does not fit."""
    if len(path) <= 100:
        return b"", path
    # The last slash that leaves at most 100 bytes for the name; a directory's name ends in one.
    cut = path.find(b"/", len(path) - 101, len(path) - 1)
    if 0 < cut <= 155:
        return path[:cut], path[cut + 1 :]
    return b"", b""


def _keyword(name: bytes) -> bytes:
    """An attribute's name in a pax keyword, which ends at ``=``; encoded as GNU tar does."""
    return name.replace(b"%", b"%25").replace(b"=", b"%3D")


def _record(key: bytes, value: bytes) -> bytes:
    """``"%d %s=%s\\n"``, where the number counts the whole record, itself included."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    prefix: bytes,
    name: bytes,
    mode: int,
    numbers: dict[bytes, int],
    flag: bytes,
    target: bytes,
    rdev: tuple[int, int],
) -> bytes:
    """A ustar header block."""
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % numbers[b"uid"],
        b"%07o\0" % numbers[b"gid"],
        b"%011o\0" % numbers[b"size"],
        b"%011o\0" % numbers[b"mtime"],
        b" " * 8,
        flag,
        target.ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0" % rdev[0],
        b"%07o\0" % rdev[1],
        prefix.ljust(155, b"\0"),
    )
    block = b"".join(fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
