# SPDX-License-Identifier: Apache-2.0
"""Making the files that an archive describes: what a root filesystem and a layer have in common.

Where a member goes is the caller's to decide (`untar`, `ocilayer`); what it becomes there, what of
it is left out and said, and how much an archive may hold, is decided here. Nothing is opened by
more than one component, nothing that exists is written to. Owners are numbers: names of users in an
archive count for nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from envgit.layers.decompression import ArchiveError, Digest
from envgit.layers.entry import Kind, is_name, is_overlay_xattr
from envgit.layers.scan import HOST_XATTRS, MAX_DEPTH, Skipped
from envgit.layers.tarreader import PIECE, Member, Reader
from envgit.layers.writer import Described, File, make_special, write_owner_mode, write_time

# The unit of a hole on nearly every filesystem.
_BLOCK = 4096
_ZEROS = bytes(PIECE)
# What is left out is told one by one up to here: an archive could make the list its weapon.
_MAX_SKIPPED = 10_000
_HOST_XATTRS = frozenset(os.fsencode(name) for name in HOST_XATTRS)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Progress = Callable[[int, int], None]
"""Called now and then with the entries and bytes unpacked so far."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold before it is refused.

    ``entries`` counts members and directories that only their paths tell of; ``size`` bytes of all
    files together, holes included; ``ratio`` how many times longer than the compressed archive the
    decompressed one may be, for what is longer than 4 GiB. None does not limit.
    """

    entries: int = 20_000_000
    size: int | None = None
    ratio: int | None = None


class Hashes(Protocol):
    """Takes the hashes of files that were made, so that nobody need read them for that."""

    def put(self, st: os.stat_result, sha256: str) -> None:
        """Remember the hash of the file with this status."""

    def clear(self) -> None:
        """Forget all: a file was removed, and another one may get its inode."""


class Unpacker:
    """Makes files of members, and keeps count."""

    def __init__(
        self,
        reader: Reader,
        limits: Limits,
        progress: Progress | None,
        *,
        hashes: Hashes | None = None,
        hasher: Callable[[], Digest] | None = None,
    ) -> None:
        self._reader = reader
        self._hashes = hashes
        self._hasher = hasher
        self._limits = limits
        self._progress = progress
        self.entries = 0
        self.size = 0
        self.skipped: list[Skipped] = []
        self._unsaid = 0

    def count(self) -> None:
        """Count one more entry."""
        self.entries += 1
        if self.entries > self._limits.entries:
            raise ArchiveError(f"the archive has more than {self._limits.entries} entries")
        if self._progress is not None:
            self._progress(self.entries, self.size)

    def skip(self, path: bytes, reason: str) -> None:
        """Note that something is left out."""
        if len(self.skipped) < _MAX_SKIPPED:
            self.skipped.append(Skipped(path, reason))
        else:
            self._unsaid += 1

    def removed(self) -> None:
        """Note that a file which was made is no more."""
        if self._hashes is not None:
            self._hashes.clear()

    def all_skipped(self) -> tuple[Skipped, ...]:
        """What was left out."""
        if not self._unsaid:
            return tuple(self.skipped)
        return (*self.skipped, Skipped(b"", f"{self._unsaid} more of the like"))

    def file(self, parent: int, name: bytes, member: Member, path: bytes) -> None:
        """Make a regular file; nothing of the archive was read where it raises FileExistsError."""
        limit = self._limits.size
        if limit is not None and self.size + member.size > limit:
            raise ArchiveError(f"the archive unpacks to more than {limit} bytes")
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        self.size += member.size
        try:
            # Pieces between holes are not all of a file.
            digest = self._hasher() if self._hasher is not None and member.pieces is None else None
            if member.size:
                self._content(fd, member, digest)
            self.attributes(fd, member, member.xattrs, path, member.mtime_ns, acl=member.acl)
            if digest is not None and self._hashes is not None:
                self._hashes.put(os.fstat(fd), digest.hexadecimal())
        finally:
            os.close(fd)

    def _content(self, fd: int, member: Member, digest: Digest | None) -> None:
        """Write a file, leaving holes where there are blocks of zeros."""
        end = 0
        for position, data in self._reader.content():
            if digest is not None:
                digest.update(data)
            if len(data) < _BLOCK and position == end:
                _write_all(fd, data, position)
                end = position + len(data)
            elif data != _ZEROS[: len(data)]:
                end = _write_chunk(fd, data, position)
        if end < member.size:
            os.ftruncate(fd, member.size)

    def special(self, parent: int, name: bytes, member: Member, path: bytes) -> bool:
        """Make a symlink, fifo or device; False where it cannot be and is left out."""
        if member.kind == Kind.CHAR and member.rdev == (0, 0):
            self.skip(path, "a character device 0:0, which overlayfs takes for a deleted file")
            return False
        try:
            make_special(parent, name, member)
        except PermissionError:
            if member.kind not in (Kind.CHAR, Kind.BLOCK):
                raise
            self.skip(path, "a device, which only root can make")
            return False
        where = (parent, name)
        self.attributes(where, member, member.xattrs, path, member.mtime_ns, acl=member.acl)
        return True

    def attributes(
        self,
        file: File,
        entry: Described,
        xattrs: list[tuple[bytes, bytes]],
        path: bytes,
        mtime_ns: int,
        *,
        acl: bool = False,
    ) -> None:
        """Give a file its owner, mode, attributes and time, in that order (see `writer`)."""
        write_owner_mode(file, entry)
        if xattrs:
            self._xattrs(file, xattrs, path)
        if acl:
            self.skip(path, "its ACL in the form of GNU tar's --acls")
        write_time(file, mtime_ns)

    def _xattrs(self, file: File, xattrs: list[tuple[bytes, bytes]], path: bytes) -> None:
        place = file if isinstance(file, int) else b"/proc/self/fd/%d/%s" % file
        for name, value in sorted(dict(xattrs).items()):
            if is_overlay_xattr(name):
                self.skip(path, f"its attribute {os.fsdecode(name)}, which is overlayfs's own")
                continue
            if name in _HOST_XATTRS:
                continue
            try:
                os.setxattr(place, name, value, follow_symlinks=isinstance(file, int))
            except OSError as error:
                # Not for this kind of file or filesystem, or not without root: listed, not fatal.
                if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                    raise
                self.skip(path, f"its attribute {os.fsdecode(name)}: {error.strerror}")


def components(name: bytes, verb: str, mark: bytes = b"") -> list[bytes]:
    """What a name in an archive is made of, without ``.``; ``..`` is left for the caller.

    What begins with ``mark`` names something else, and may be longer than a name by just that.
    Raises `ArchiveError` for names that no filesystem has and for paths that are too deep.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if len(parts) > MAX_DEPTH:
        raise ArchiveError(
            f"the archive {verb} a path of {len(parts)} levels, where {MAX_DEPTH} are possible"
        )
    for part in parts:
        if part == b"..":
            continue
        if not is_name(part) and not (
            mark and len(part) > 255 and is_name(part.removeprefix(mark))
        ):
            shown = os.fsdecode(part[:200])
            raise ArchiveError(f"the archive {verb} an impossible name: {shown!r}")
    return parts


def _write_chunk(fd: int, data: bytes, position: int) -> int:
    """Write all but blocks of zeros; the end of what was written."""
    if len(data) <= _BLOCK or _ZEROS[:_BLOCK] not in data:
        _write_all(fd, data, position)
        return position + len(data)
    start = None
    end = position
    for offset in range(0, len(data), _BLOCK):
        block = data[offset : offset + _BLOCK]
        if block != _ZEROS[: len(block)]:
            start = offset if start is None else start
        elif start is not None:
            _write_all(fd, data[start:offset], position + start)
            end = position + offset
            start = None
    if start is not None:
        _write_all(fd, data[start:], position + start)
        end = position + len(data)
    return end


def _write_all(fd: int, data: bytes, position: int) -> None:
    count = os.pwrite(fd, data, position)
    if count < len(data):
        view = memoryview(data)[count:]
        while view:
            position += count
            count = os.pwrite(fd, view, position)
            view = view[count:]
