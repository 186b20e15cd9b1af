# SPDX-License-Identifier: Apache-2.0
"""Reading an archive as it is or decompressed, counted and hashed on both sides in one pass.

What compressed it is told by its first bytes, never by a name or a media type, since both are
often wrong: gzip (RFC 1952), zstd (RFC 8878), bzip2 and xz. Memory does not depend on the archive:
everything is decompressed in pieces, and zstd windows above its library's default of 128 MiB are
refused.
"""

from __future__ import annotations

import hashlib
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, BinaryIO, Protocol, cast

from envgit.errors import EnvgitError

CHUNK = 1 << 20
# Below this a hand-over to the thread that hashes costs more than the hash.
_SMALL = 1 << 16
# How much compresses how well is judged above this only: a small file of zeros is no attack.
_RATIO_FROM = 1 << 32
# Nothing of what follows an archive's end is used; this much padding was seen nowhere.
_MAX_TRAILER = 1 << 26

_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\0"
_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_MAGIC = 6


class ArchiveError(EnvgitError):
    """An archive that is damaged, or holds what no root filesystem can."""


class Readable(Protocol):
    """What an archive is read from; fewer bytes than asked for may come, none only at its end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Archive:
    """The decompressed bytes of a stream; a context manager that leaves the stream open.

    ``hashed`` makes `digest` and `diff_id` known after `drain`: the sha256, in hexadecimal, of the
    bytes of ``stream`` and of the decompressed ones. ``max_ratio`` bounds how many times longer
    the latter may be, for what is longer than 4 GiB. Raises `ArchiveError` from here and `read`.
    """

    def __init__(
        self, stream: Readable, *, hashed: bool = False, max_ratio: int | None = None
    ) -> None:
        self._pool = ThreadPoolExecutor(1, "envgit-digest") if hashed else None
        self._source = _Counted(stream, self.hasher() if hashed else None)
        self._plain = self.hasher() if hashed else None
        self._max_ratio = max_ratio
        self.size = 0
        head = self._source.peek(_LONGEST_MAGIC)
        if not head:
            self.close()
            raise ArchiveError("the archive is empty")
        self._stream, self._errors = _opened(self._source, head)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the thread that hashes."""
        if self._pool is not None:
            self._pool.shutdown()

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` decompressed bytes, none at the end; all without ``size``."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        try:
            data = self._stream.read(size)
        except self._errors as error:
            raise ArchiveError(f"the compressed archive is damaged: {error}") from error
        self.size += len(data)
        if (
            self._max_ratio is not None
            and self.size > _RATIO_FROM
            and self.size > self._max_ratio * self._source.size
        ):
            raise ArchiveError(
                f"the archive unpacks to more than {self._max_ratio} times its size",
                hint="it looks like one that is made to fill the disk",
            )
        if self._plain is not None:
            self._plain.update(data)
        return data

    def hasher(self) -> Digest:
        """A digest for something else that is read of the archive, by the same thread."""
        return Digest(self._pool)

    def drain(self) -> None:
        """Read what follows the end of the archive, so that checksums are checked.

        And a pipe's writer is not broken, and the digests are those of everything.
        """
        left = _MAX_TRAILER
        while data := self.read(CHUNK):
            left -= len(data)
            if left < 0:
                raise ArchiveError(f"more than {_MAX_TRAILER} bytes follow the archive's end")
        while data := self._source.read(CHUNK):
            left -= len(data)
            if left < 0:
                raise ArchiveError(f"more than {_MAX_TRAILER} bytes follow the archive's end")

    @property
    def compressed_size(self) -> int:
        """The bytes read of the stream so far."""
        return self._source.size

    @property
    def digest(self) -> str:
        """The sha256 of what was read of the stream."""
        return self._source.digest.hexadecimal() if self._source.digest else ""

    @property
    def diff_id(self) -> str:
        """The sha256 of the decompressed bytes."""
        return self._plain.hexadecimal() if self._plain else ""


def decompressed(stream: BinaryIO) -> IO[bytes]:
    """An archive's bytes, decompressed if its first ones say that it is compressed.

    Raises `ArchiveError`, from here or while it is read.
    """
    return cast("IO[bytes]", Archive(stream))


class Digest:
    """A sha256 that a thread works out if there is one; hashlib releases the interpreter's lock."""

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self._pool = pool
        self._hash = hashlib.sha256()
        self._last: Future[None] | None = None

    def update(self, data: bytes) -> None:
        """Add data to what is hashed."""
        self._wait()
        if self._pool is None or len(data) < _SMALL:
            self._hash.update(data)
        else:
            self._last = self._pool.submit(self._hash.update, data)

    def hexadecimal(self) -> str:
        """The sha256 of all data so far."""
        self._wait()
        return self._hash.hexdigest()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None


class _Counted:
    """A stream that counts and hashes what is read of it, and can be looked ahead into."""

    def __init__(self, stream: Readable, digest: Digest | None) -> None:
        self._stream = stream
        self._ahead = b""
        self.size = 0
        self.digest = digest

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end, which `read` will give again."""
        while len(self._ahead) < size and (more := self._fetch(size - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        if not self._ahead:
            return self._fetch(size if size >= 0 else CHUNK)
        data, self._ahead = self._ahead, b""
        if 0 <= size < len(data):
            data, self._ahead = data[:size], data[size:]
        return data

    def _fetch(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        if self.digest is not None:
            self.digest.update(data)
        return data


class _Gzip:
    """Gzip members one after the other, zeros between and after them, as gzip(1) reads them."""

    def __init__(self, source: _Counted) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._left = b""

    def read(self, size: int = CHUNK) -> bytes:
        while True:
            if self._inflate.eof and not self._next():
                return b""
            data = self._left or self._source.read(CHUNK)
            if not data:
                raise EOFError("it is cut short")
            plain = self._inflate.decompress(data, size)
            self._left = self._inflate.unconsumed_tail
            if plain:
                return plain

    def _next(self) -> bool:
        """Begin with another member if there is one."""
        rest = self._inflate.unused_data.lstrip(b"\0")
        while not rest:
            data = self._source.read(CHUNK)
            if not data:
                self._left = b""
                return False
            rest = data.lstrip(b"\0")
        self._left = rest
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True


def _opened(source: _Counted, head: bytes) -> tuple[Readable, tuple[type[Exception], ...]]:
    """A reader of what is in ``source``, and what it raises for damaged data."""
    if head.startswith(_GZIP):
        return _Gzip(source), (EOFError, zlib.error)
    if head.startswith(_BZIP2):
        import bz2

        # bz2 has no exception of its own for bad data: it raises OSError without an errno.
        return cast(Readable, bz2.BZ2File(cast("IO[bytes]", source))), (OSError, EOFError)
    if head.startswith(_XZ):
        import lzma

        return cast(Readable, lzma.LZMAFile(cast("IO[bytes]", source))), (lzma.LZMAError, EOFError)
    if head.startswith(_ZSTD):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(
            cast("IO[bytes]", source), read_size=CHUNK, read_across_frames=True, closefd=False
        )
        return cast(Readable, reader), (zstandard.ZstdError,)
    return source, ()
