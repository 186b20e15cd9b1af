# SPDX-License-Identifier: Apache-2.0
"""Unpacking any tar archive beneath a directory that nothing in the archive can lead out of.

An archive is hostile: each name is taken apart, each parent entered by descriptor and through no
symlink, nothing that was unpacked is ever opened again by name but directories. Owners are numbers,
names of users in the archive count for nothing. What is not a plain tar is recognised by its first
bytes: gzip, bzip2, xz and zstd.
"""

from __future__ import annotations

import base64
import binascii
import errno
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, NoReturn, cast
from urllib.parse import unquote_to_bytes

from envgit.errors import EnvgitError
from envgit.fs.beneath import Walker
from envgit.layers.entry import Entry, Kind, is_name, is_overlay_xattr
from envgit.layers.scan import HOST_XATTRS, Skipped
from envgit.layers.writer import make_special, write_owner_mode, write_time

# A pax header holds attributes, which Linux limits to 64 kB each, and paths; tarfile reads one into
# memory whole, so that its size must be bounded here.
_MAX_HEADER = 16 << 20
_CHUNK = 1 << 18
# The unit of a hole on nearly every filesystem.
_BLOCK = 4096
_ZEROS = bytes(_CHUNK)

_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_KINDS = {
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.FIFOTYPE: Kind.FIFO,
    tarfile.CHRTYPE: Kind.CHAR,
    tarfile.BLKTYPE: Kind.BLOCK,
}


class ArchiveError(EnvgitError):
    """An archive that is damaged, or holds what no root filesystem can."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was unpacked: entries, bytes of content, and what could not be kept, with the reason."""

    entries: int
    size: int
    skipped: tuple[Skipped, ...]


Progress = Callable[[int, int], None]
"""Called now and then with the entries and bytes unpacked so far."""


def extract(
    stream: BinaryIO,
    dest: str | bytes,
    *,
    max_entries: int = 20_000_000,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Unpack a tar archive, compressed or not, into the existing empty directory ``dest``.

    ``max_bytes`` bounds the content of all files together. Raises `ArchiveError` for anything wrong
    with the archive (``dest`` is then partly filled and should be thrown away), and `OSError` for
    what the filesystem cannot do.
    """
    extractor = _Extractor(dest, max_entries=max_entries, max_bytes=max_bytes, progress=progress)
    try:
        with tarfile.open(
            fileobj=decompressed(stream),
            mode="r|",
            tarinfo=_Member,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            while (member := archive.next()) is not None:
                # tarfile remembers all members; an archive may have millions.
                cast(Any, archive).members.clear()
                extractor.member(archive, member)
            extractor.finish()
            _drain(archive)
    except tarfile.TarError as error:
        raise ArchiveError(f"not a sound tar archive: {error}") from error
    except (EOFError, zlib.error) as error:
        raise ArchiveError("the archive is cut short or damaged") from error
    finally:
        extractor.close()
    return Extracted(extractor.entries, extractor.size, tuple(extractor.skipped))


class _Member(tarfile.TarInfo):
    """A header; unlike tarfile's own it never takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            # Two blocks of zeros: the one proper end.
            raise
        except tarfile.HeaderError as error:
            # A missing end looks like any other cut, so it cannot be let pass.
            at = archive.offset
            raise ArchiveError(f"the archive is cut short or damaged at byte {at}") from error

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _HEADERS and self.size > _MAX_HEADER:
            raise ArchiveError(f"the archive has a header of {self.size} bytes")
        if self.size < 0:
            raise ArchiveError(f"{self.name!r} has an impossible size: {self.size}")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Joined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._stream.read(len(buffer))
        taken = data[: len(buffer)]
        if self._head:
            self._head = self._head[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


class _Damaged(io.RawIOBase):
    """A decompressed stream that says so, in our words, when it is damaged."""

    def __init__(self, stream: IO[bytes], errors: tuple[type[Exception], ...]) -> None:
        self._stream = stream
        self._errors = errors

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except self._errors as error:
            raise ArchiveError(f"the compressed archive is damaged: {error}") from error


def decompressed(stream: BinaryIO) -> IO[bytes]:
    """An archive's bytes, decompressed if its first ones say that it is compressed.

    Raises `ArchiveError`, from here or while it is read.
    """
    head = b""
    while len(head) < 6 and (more := stream.read(6 - len(head))):
        head += more
    if not head:
        raise ArchiveError("the archive is empty")
    joined = io.BufferedReader(_Joined(head, stream), _CHUNK)
    opened: IO[bytes]
    if head.startswith(b"\x1f\x8b"):
        import gzip

        opened = cast("IO[bytes]", gzip.GzipFile(fileobj=joined))
        return cast("IO[bytes]", _Damaged(opened, (gzip.BadGzipFile, EOFError, zlib.error)))
    if head.startswith(b"BZh"):
        import bz2

        # bz2 has no exception of its own for bad data: it raises OSError without an errno.
        return cast("IO[bytes]", _Damaged(bz2.BZ2File(joined), (OSError, EOFError)))
    if head.startswith(b"\xfd7zXZ\0"):
        import lzma

        return cast("IO[bytes]", _Damaged(lzma.LZMAFile(joined), (lzma.LZMAError, EOFError)))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(joined, read_across_frames=True)
        return cast("IO[bytes]", _Damaged(cast("IO[bytes]", reader), (zstandard.ZstdError,)))
    return joined


def _drain(archive: tarfile.TarFile) -> None:
    """Read what follows the end, so that checksums are checked and a writing pipe is not broken."""
    left = 1 << 26
    fileobj = archive.fileobj
    assert fileobj is not None
    while left > 0 and (data := fileobj.read(_CHUNK)):
        left -= len(data)


_DECIMAL = re.compile(r"(-?)(\d{1,18})(?:\.(\d+))?")


class _Extractor:
    def __init__(
        self,
        dest: str | bytes,
        *,
        max_entries: int,
        max_bytes: int | None,
        progress: Progress | None,
    ) -> None:
        self.walker = Walker(dest)
        self.others = Walker(dest)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.progress = progress
        self.skipped: list[Skipped] = []
        self.entries = 0
        self.size = 0
        # Directories get their attributes last; those that no entry describes have none.
        self.directories: dict[bytes, tuple[Entry, int] | None] = {}

    def close(self) -> None:
        self.walker.close()
        self.others.close()

    def member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.entries += 1
        if self.entries > self.max_entries:
            raise ArchiveError(f"the archive has more than {self.max_entries} entries")
        path = _beneath(member.name, "holds")
        if member.size < 0:  # by a pax record; `_proc_member` has seen the header's own
            raise ArchiveError(f"{member.name!r} has an impossible size: {member.size}")
        try:
            self._member(archive, member, path)
        except OSError as error:
            _explain(error, path)
        if self.progress is not None:
            self.progress(self.entries, self.size)

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: bytes) -> None:
        if member.isdir():
            self._parents(path)
            if path and path not in self.directories:
                parent, name = self.walker.parent(path)
                os.mkdir(name, 0o700, dir_fd=parent)
            self.directories[path] = (self._entry(Kind.DIR, member, path), _mtime_ns(member))
            return
        if not path:
            raise ArchiveError("the archive's root is not a directory")
        self._parents(path)
        if member.islnk():
            target = _beneath(member.linkname, "links to")
            if not target or target in self.directories:
                raise ArchiveError(f"{member.name!r} is a hard link to a directory")
            other, old = self.others.parent(target)
            parent, name = self.walker.parent(path)
            os.link(old, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
        elif member.isreg():
            self._file(archive, member, path)
        elif member.type in _KINDS:
            self._special(member, path)
        else:
            raise ArchiveError(f"{member.name!r} is of a type unknown here: {member.type!r}")

    def _parents(self, path: bytes) -> None:
        """Make the directories on the way that no entry has made."""
        above, _, _ = path.rpartition(b"/")
        if not above or above in self.directories:
            return
        names = above.split(b"/")
        for depth in range(1, len(names) + 1):
            here = b"/".join(names[:depth])
            if here not in self.directories:
                parent, name = self.walker.parent(here)
                try:
                    os.mkdir(name, 0o755, dir_fd=parent)
                except FileExistsError:
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory", here) from None
                self.directories[here] = None

    def _entry(self, kind: str, member: tarfile.TarInfo, path: bytes) -> Entry:
        for number in (member.uid, member.gid):
            if not 0 <= number < 2**32 - 1:
                raise ArchiveError(f"{member.name!r} has an impossible owner: {number}")
        target = b""
        if kind == Kind.SYMLINK:
            target = os.fsencode(member.linkname)
            if not target or b"\0" in target:
                raise ArchiveError(f"{member.name!r} is a symlink to nothing")
        rdev = (0, 0)
        if kind in (Kind.CHAR, Kind.BLOCK):
            rdev = (member.devmajor, member.devminor)
            if not (0 <= rdev[0] < 2**12 and 0 <= rdev[1] < 2**20):
                raise ArchiveError(f"{member.name!r} is an impossible device: {rdev[0]}:{rdev[1]}")
        return Entry(
            kind,
            0o777 if kind == Kind.SYMLINK else member.mode & 0o7777,
            member.uid,
            member.gid,
            target=target,
            rdev=rdev,
            xattrs=self._xattrs(member, path),
        )

    def _xattrs(self, member: tarfile.TarInfo, path: bytes) -> tuple[tuple[bytes, bytes], ...]:
        found: dict[bytes, bytes] = {}
        for key, value in member.pax_headers.items():
            if key.startswith("SCHILY.xattr."):
                name, data = _decode_keyword(key[13:]), value.encode("utf-8", "surrogateescape")
            elif key.startswith("LIBARCHIVE.xattr."):
                # As bsdtar writes them: the name percent-encoded, the value in base 64 unpadded.
                name = unquote_to_bytes(key[17:])
                try:
                    data = base64.b64decode(value + "=" * (-len(value) % 4))
                except (binascii.Error, ValueError):
                    raise ArchiveError(f"{member.name!r} has a damaged attribute") from None
            elif key.startswith("SCHILY.acl."):
                self._skip(path, "its ACL in the form of GNU tar's --acls")
                continue
            else:
                continue
            if not 0 < len(name) <= 255 or b"\0" in name or len(data) > 1 << 16:
                raise ArchiveError(f"{member.name!r} has an impossible attribute {name[:60]!r}")
            if is_overlay_xattr(name):
                self._skip(path, f"its attribute {os.fsdecode(name)}, which is overlayfs's own")
            elif os.fsdecode(name) not in HOST_XATTRS:
                found[name] = data
        return tuple(sorted(found.items()))

    def _skip(self, path: bytes, what: str) -> None:
        self.skipped.append(Skipped(path, what))

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: bytes) -> None:
        self.size += member.size
        if self.max_bytes is not None and self.size > self.max_bytes:
            raise ArchiveError(f"the archive unpacks to more than {self.max_bytes} bytes")
        entry = self._entry(Kind.FILE, member, path)
        parent, name = self.walker.parent(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            content = archive.extractfile(member)
            if content is not None and member.size:
                _write_content(fd, cast(BinaryIO, content), member)
            self._attributes(fd, entry, path, _mtime_ns(member))
        finally:
            os.close(fd)

    def _special(self, member: tarfile.TarInfo, path: bytes) -> None:
        entry = self._entry(_KINDS[member.type], member, path)
        if entry.kind == Kind.CHAR and entry.rdev == (0, 0):
            self._skip(path, "a character device 0:0, which overlayfs takes for a deleted file")
            return
        parent, name = self.walker.parent(path)
        try:
            make_special(parent, name, entry)
        except PermissionError:
            if entry.kind not in (Kind.CHAR, Kind.BLOCK):
                raise
            self._skip(path, "a device, which only root can make")
            return
        self._attributes((parent, name), entry, path, _mtime_ns(member))

    def _attributes(
        self, file: int | tuple[int, bytes], entry: Entry, path: bytes, mtime_ns: int
    ) -> None:
        write_owner_mode(file, entry)
        place = file if isinstance(file, int) else b"/proc/self/fd/%d/%s" % file
        for name, value in entry.xattrs:
            try:
                os.setxattr(place, name, value, follow_symlinks=isinstance(file, int))
            except OSError as error:
                # Not for this kind of file or filesystem, or not without root: listed, not fatal.
                if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                    raise
                self._skip(path, f"its attribute {os.fsdecode(name)}: {error.strerror}")
        write_time(file, mtime_ns)

    def finish(self) -> None:
        """Give the directories their attributes, the deepest first."""
        for path, known in sorted(self.directories.items(), reverse=True):
            fd = self.walker.enter(path)
            if known is None:
                os.fchmod(fd, 0o755)
            else:
                self._attributes(fd, known[0], path, known[1])


def _beneath(name: str, verb: str) -> bytes:
    """The path that a name in the archive means. `ArchiveError` if that is not beneath the root."""
    encoded = os.fsencode(name)
    if encoded.startswith(b"/"):
        raise ArchiveError(
            f"the archive {verb} an absolute path: {name[:200]!r}",
            hint="pack it again with `tar -C DIRECTORY -cf FILE .`",
        )
    parts = [part for part in encoded.split(b"/") if part not in (b"", b".")]
    for part in parts:
        if part == b"..":
            raise ArchiveError(f"the archive {verb} a path that leaves its root: {name[:200]!r}")
        if not is_name(part):
            raise ArchiveError(f"the archive {verb} an impossible name: {part[:200]!r}")
    return b"/".join(parts)


def _explain(error: OSError, path: bytes) -> NoReturn:
    """Say what an errno means where it comes from the archive and not from the machine."""
    name = os.fsdecode(path[:200])
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        message = f"the archive puts {name!r} beneath something that is no directory"
    elif error.errno == errno.EEXIST:
        message = f"the archive holds {name!r} twice"
    elif error.errno == errno.ENOENT:
        message = f"the archive links {name!r} to something that is not in it before"
    else:
        raise error
    raise ArchiveError(message) from error


def _decode_keyword(text: str) -> bytes:
    """The attribute's name in a pax keyword; GNU tar writes ``=`` as %3D and ``%`` as %25."""
    encoded = text.encode("utf-8", "surrogateescape")
    return encoded.replace(b"%3D", b"=").replace(b"%25", b"%")


def _mtime_ns(member: tarfile.TarInfo) -> int:
    """The time in nanoseconds; tarfile's own is a float, which loses some of them."""
    match = _DECIMAL.fullmatch(member.pax_headers.get("mtime", ""))
    if match is None:
        # tarfile makes a float of anything in a pax header, "inf" and "nan" included.
        if not -(2.0**62) < member.mtime < 2.0**62:
            raise ArchiveError(f"{member.name!r} has an impossible time: {member.mtime}")
        return int(member.mtime) * 1_000_000_000
    fraction = int(((match[3] or "") + "000000000")[:9])
    value = int(match[2]) * 1_000_000_000 + fraction
    return -value if match[1] else value


def _write_content(fd: int, content: BinaryIO, member: tarfile.TarInfo) -> None:
    """Write a file, leaving holes where there are blocks of zeros."""
    position = 0
    while position < member.size:
        data = content.read(min(_CHUNK, member.size - position))
        if not data:
            raise ArchiveError(f"the archive is cut short within {member.name!r}")
        if data != _ZEROS[: len(data)]:
            _write_chunk(fd, data, position)
        position += len(data)
    os.ftruncate(fd, member.size)


def _write_chunk(fd: int, data: bytes, position: int) -> None:
    if len(data) <= _BLOCK or _ZEROS[:_BLOCK] not in data:
        _write_all(fd, data, position)
        return
    start = None
    for offset in range(0, len(data), _BLOCK):
        block = data[offset : offset + _BLOCK]
        if block != _ZEROS[: len(block)]:
            start = offset if start is None else start
        elif start is not None:
            _write_all(fd, data[start:offset], position + start)
            start = None
    if start is not None:
        _write_all(fd, data[start:], position + start)


def _write_all(fd: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, position)
        view = view[count:]
        position += count
