# SPDX-License-Identifier: Apache-2.0
"""Compress an archive as its name says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

_GZIP = (".gz", ".tgz")
_XZ = (".xz", ".txz")
_ZSTD = (".zst", ".tzst")
_GZIP_LEVEL = 6  # gzip(1)'s own default
_ZSTD_LEVEL = 3  # zstd(1)'s own default


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
