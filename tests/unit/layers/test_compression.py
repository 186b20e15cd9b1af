# SPDX-License-Identifier: Apache-2.0
"""Layers are compressed to the same bytes, however they are written and by how many threads."""

from __future__ import annotations

import gzip
import io
import random

import pytest
import zstandard

from envgit.layers.compression import packed

WORDS = [b"envgit ", b"image\n", b"x" * 50]
DATA = b"".join(random.Random(5).choices(WORDS, k=250_000))


def pack(how: str, threads: int, step: int, data: bytes = DATA) -> bytes:
    out = io.BytesIO()
    with packed(out, how, threads=threads) as stream:
        for at in range(0, len(data), step):
            stream.write(data[at : at + step])
    return out.getvalue()


@pytest.mark.parametrize("how", ["gzip", "zstd", "none"])
def test_threads_and_pieces_do_not_show(how: str) -> None:
    first = pack(how, 1, len(DATA))
    for threads, step in ((1, 4096), (2, 70_001), (3, 1 << 20), (4, len(DATA)), (2, 70_001)):
        assert pack(how, threads, step) == first
    if how == "gzip":
        assert gzip.decompress(first) == DATA
    elif how == "zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(first) == DATA


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_any_size(size: int) -> None:
    assert gzip.decompress(pack("gzip", 2, 100_000, DATA[:size])) == DATA[:size]


def test_what_the_writer_raises_is_raised() -> None:
    with pytest.raises(KeyError), packed(io.BytesIO(), "gzip", threads=2) as stream:
        stream.write(DATA)
        raise KeyError
