# SPDX-License-Identifier: Apache-2.0
"""Compressing archives: files for people as their names say, layers of images as they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from envgit.layers.tar import Writable

_GZIP = (".gz", ".tgz")
_XZ = (".xz", ".txz")
_ZSTD = (".zst", ".tzst")
_GZIP_LEVEL = 6  # gzip(1)'s own default
_ZSTD_LEVEL = 3  # zstd(1)'s own default
# zlib-ng's 6 compresses as well as zlib's and takes less than half the time.
_FAST_GZIP_LEVEL = 6
_GZIP_BLOCK = 1 << 20  # what gzip_ng_threaded compresses at once


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

    By as many threads as told, whose number does not show in the result; and zlib-ng 2.1 and later,
    unlike ISA-L and Intel's zlib, finds the same matches on every processor.
    """
    if how == "gzip":
        from zlib_ng import gzip_ng_threaded

        # Its annotations end where those of gzip do.
        opened: Any = gzip_ng_threaded.open(  # type: ignore[no-untyped-call]
            stream, "wb", _FAST_GZIP_LEVEL, threads=max(threads, 1)
        )
        with opened as archive:
            blocks = _Blocks(archive)
            yield blocks
            blocks.flush()
    elif how == "zstd":
        import zstandard

        compressor = zstandard.ZstdCompressor(
            level=_ZSTD_LEVEL, threads=max(threads, 1), write_checksum=True
        )
        with compressor.stream_writer(cast(BinaryIO, stream), closefd=False) as archive:
            yield cast(Writable, archive)
    else:
        yield stream


class _Blocks:
    """Passes on whole blocks, so that how it was written does not show in what is compressed."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._held = bytearray()

    def write(self, data: bytes, /) -> int:
        self._held += data
        while len(self._held) >= _GZIP_BLOCK:
            self._stream.write(bytes(memoryview(self._held)[:_GZIP_BLOCK]))
            del self._held[:_GZIP_BLOCK]
        return len(data)

    def flush(self) -> None:
        """Pass on what is left."""
        if self._held:
            self._stream.write(bytes(self._held))
            self._held.clear()
