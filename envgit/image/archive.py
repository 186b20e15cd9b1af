# SPDX-License-Identifier: Apache-2.0
"""Tar archives that hold images: found by name, read in place, written in a fixed form.

Nothing of such an archive is unpacked. A compressed one is decompressed into an unnamed temporary
file first, since its members are wanted in another order than they stand in.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, cast

from envgit.fs import durable
from envgit.image.descriptors import ImageError
from envgit.layers.untar import ArchiveError, decompressed

_MAX_MEMBERS = 100_000
_MAX_HEADER = 1 << 20
_MAX_LINKS = 8
_CHUNK = 1 << 20
_BLOCK = 512
_RECORD = 20 * _BLOCK


class TarFiles:
    """The regular files of an archive by name; symlinks and hard links among them are followed.

    Raises `ImageError` for what is no sound archive. Of a name that stands twice the last counts,
    as it would when unpacking.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._stream: IO[bytes] = open(path, "rb")  # noqa: SIM115  (closed by close)
        except OSError as error:
            raise ImageError(f"cannot read '{path}': {error.strerror}") from error
        try:
            self._stream = _seekable(self._stream, path)
            self._size = self._stream.seek(0, os.SEEK_END)
            self._stream.seek(0)
            self._scan()
        except (tarfile.TarError, ArchiveError, EOFError, ValueError) as error:
            self._stream.close()
            raise ImageError(f"'{path}' is not a sound tar archive: {error}") from error
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def _scan(self) -> None:
        with tarfile.open(fileobj=self._stream, mode="r:", tarinfo=_Header) as archive:
            count = 0
            while (member := archive.next()) is not None:
                cast(Any, archive).members.clear()
                count += 1
                if count > _MAX_MEMBERS:
                    raise ImageError(f"'{self.path}' has more than {_MAX_MEMBERS} members")
                name = _clean(member.name)
                if member.issym():
                    self._links[name] = _clean(
                        posixpath.join(posixpath.dirname(name), member.linkname)
                    )
                elif member.islnk():
                    self._links[name] = _clean(member.linkname)
                elif member.isreg() and not member.issparse():
                    if member.size < 0 or member.offset_data + member.size > self._size:
                        raise ImageError(f"'{self.path}' is cut short in {name!r}")
                    self._files[name] = (member.offset_data, member.size)
                    self._links.pop(name, None)

    def _find(self, name: str) -> tuple[int, int] | None:
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                return self._files.get(name)
            name = self._links[name]
        return None

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def size(self, name: str) -> int:
        """The bytes that a file has. Raises `ImageError` when there is none of that name."""
        found = self._find(name)
        if found is None:
            raise ImageError(f"'{self.path}' is not whole: {name} is missing")
        return found[1]

    def open(self, name: str) -> BinaryIO:
        """A file as a stream of its own; any number may be open, in one thread or several."""
        size = self.size(name)
        found = self._find(name)
        assert found is not None
        fd = os.dup(self._stream.fileno())
        return cast(BinaryIO, io.BufferedReader(_Part(fd, found[0], size), 1 << 18))

    def read(self, name: str, limit: int) -> bytes:
        """A small file whole."""
        if self.size(name) > limit:
            raise ImageError(f"{name} in '{self.path}' is too large: {self.size(name)} bytes")
        with self.open(name) as file:
            return file.read()


class _Header(tarfile.TarInfo):
    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        special = self.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if self.size < 0 or (special and self.size > _MAX_HEADER):
            raise ImageError(f"a header has an impossible size: {self.size}")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Part(io.RawIOBase):
    """A range of a file, read by pread(2) so that ranges do not disturb one another."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._at = offset
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._fd, min(len(buffer), self._left), self._at)
        self._at += len(data)
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


def _seekable(stream: IO[bytes], path: str) -> IO[bytes]:
    """The archive uncompressed, as a file to seek in."""
    if stream.seekable():
        head = stream.read(262)
        stream.seek(0)
        if head[257:262] == b"ustar":
            return stream
    with stream:
        plain = decompressed(cast(BinaryIO, stream))
        spooled = tempfile.TemporaryFile(prefix="envgit-image-")  # noqa: SIM115
        try:
            while data := plain.read(_CHUNK):
                spooled.write(data)
            spooled.flush()
        except BaseException as error:
            spooled.close()
            if isinstance(error, OSError):
                raise ImageError(f"cannot unpack '{path}': {error.strerror}") from error
            raise
        return spooled


def _clean(name: str) -> str:
    """A member's name without ``./`` and ``..``: only what it is called counts, nothing is made."""
    return posixpath.normpath("/" + name).lstrip("/")


def write(path: str, members: Iterable[tuple[str, bytes | str]]) -> None:
    """Write an archive of regular files: each a name, and its bytes or the file that has them.

    The archive appears whole, by one rename; a pipe or a device is written to as it is. Times and
    owners are zero, so that equal images give equal archives. Raises `ImageError`.
    """
    target = os.path.abspath(path)
    direct = os.path.lexists(target) and not os.path.isfile(target)
    part = target if direct else f"{target}.{os.urandom(4).hex()}.part"
    try:
        try:
            with open(part, "wb" if direct else "xb") as file:
                _write_all(file, members)
                if not direct:
                    os.fsync(file.fileno())
            if not direct:
                os.rename(part, target)
                durable.sync_directory(os.path.dirname(target))
        except OSError as error:
            raise ImageError(f"cannot write '{path}': {error.strerror}") from error
    except BaseException:
        if not direct:
            with suppress(FileNotFoundError):
                os.unlink(part)
        raise


def _write_all(file: BinaryIO, members: Iterable[tuple[str, bytes | str]]) -> None:
    position = 0
    for name, content in members:
        size = len(content) if isinstance(content, bytes) else os.stat(content).st_size
        header = tarfile.TarInfo(name)
        header.size, header.mode = size, 0o644
        # GNU's form, for its sizes have no limit at 8 GiB; the names here are short.
        position += file.write(header.tobuf(tarfile.GNU_FORMAT))
        if isinstance(content, bytes):
            position += file.write(content)
        else:
            with open(content, "rb") as source:
                while data := source.read(_CHUNK):
                    position += file.write(data)
        position += file.write(bytes(-position % _BLOCK))
    position += file.write(bytes(2 * _BLOCK))
    file.write(bytes(-position % _RECORD))
    file.flush()
