# SPDX-License-Identifier: Apache-2.0
"""Compressing archives: files for people as their names say, layers of images as they are told."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, cast

from envgit.layers.tar import Writable

_GZIP = (".gz", ".tgz")
_XZ = (".xz", ".txz")
_ZSTD = (".zst", ".tzst")
_GZIP_LEVEL = 6  # gzip(1)'s own default
_ZSTD_LEVEL = 3  # zstd(1)'s own default
# zlib-ng's 6 compresses nearly as well as zlib's and takes less than half the time.
_FAST_GZIP_LEVEL = 6
_GZIP_BLOCK = 1 << 20
_WINDOW = 1 << 15  # how far back deflate looks


@contextmanager
def compressed(stream: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """A stream that compresses into ``stream`` by the ending of ``name``; as it is without one.

    Nothing about the time or the machine gets into the result. ``stream`` stays open.
    """
    if name.endswith(_GZIP):
        import gzip

        with gzip.GzipFile("", "wb", _GZIP_LEVEL, stream, mtime=0) as archive:
            yield cast(BinaryIO, archive)
    elif name.endswith(_XZ):
        import lzma

        with lzma.LZMAFile(stream, "wb") as archive:
            yield cast(BinaryIO, archive)
    elif name.endswith(_ZSTD):
        import zstandard

        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=-1, write_checksum=True)
        with compressor.stream_writer(stream, closefd=False) as archive:
            yield cast(BinaryIO, archive)
    else:
        yield stream


@contextmanager
def packed(stream: Writable, how: str, *, threads: int) -> Iterator[Writable]:
    """As `compressed`, but fast, and by name: ``gzip``, ``zstd`` or ``none``.

    By as many threads as told, whose number does not show in the result, nor does how it was
    written; and zlib-ng 2.1 and later, unlike ISA-L, finds the same matches on every processor.
    """
    if how == "gzip":
        with ThreadPoolExecutor(max(threads, 1), "envgit-gzip") as pool:
            archive = _Gzip(stream, pool, threads)
            yield archive
            archive.finish()
    elif how == "zstd":
        import zstandard

        compressor = zstandard.ZstdCompressor(
            level=_ZSTD_LEVEL, threads=max(threads, 1), write_checksum=True
        )
        with compressor.stream_writer(cast(BinaryIO, stream), closefd=False) as packer:
            yield cast(Writable, packer)
    else:
        yield stream


class _Gzip:
    """Compresses as pigz does: blocks at once, each with the end of the one before as dictionary.

    Each block gets a compressor of its own. zlib_ng's gzip_ng_threaded keeps one for each thread,
    and what that remembers of an earlier block shows: two runs give different bytes.
    """

    def __init__(self, stream: Writable, pool: ThreadPoolExecutor, threads: int) -> None:
        self._stream = stream
        self._pool = pool
        self._most = 2 * max(threads, 1)
        self._held = bytearray()
        self._window = b""
        self._coming: deque[Future[bytes]] = deque()
        self._crc = 0
        self._size = 0
        # RFC 1952, section 2.3: deflate, no flags, no time, no system.
        stream.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def write(self, data: bytes, /) -> int:
        self._held += data
        while len(self._held) >= _GZIP_BLOCK:
            self._submit(bytes(memoryview(self._held)[:_GZIP_BLOCK]))
            del self._held[:_GZIP_BLOCK]
        return len(data)

    def _submit(self, block: bytes) -> None:
        from zlib_ng import zlib_ng

        self._crc = zlib_ng.crc32(block, self._crc)
        self._size += len(block)
        self._coming.append(self._pool.submit(_deflate, block, self._window))
        self._window = block[-_WINDOW:]
        while len(self._coming) > self._most:
            self._stream.write(self._coming.popleft().result())

    def finish(self) -> None:
        """Write what is left, and the end."""
        if self._held:
            self._submit(bytes(self._held))
        while self._coming:
            self._stream.write(self._coming.popleft().result())
        # An empty last block (RFC 1951, 3.2.6), then the checksum and the size.
        self._stream.write(b"\x03\0" + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))


def _deflate(block: bytes, window: bytes) -> bytes:
    """A block as raw deflate, ended at a byte's boundary."""
    from zlib_ng import zlib_ng

    kind, strategy = zlib_ng.DEFLATED, zlib_ng.Z_DEFAULT_STRATEGY
    given = (window,) if window else ()
    packer = zlib_ng.compressobj(_FAST_GZIP_LEVEL, kind, -15, 9, strategy, *given)
    return packer.compress(block) + packer.flush(zlib_ng.Z_SYNC_FLUSH)
