# SPDX-License-Identifier: Apache-2.0
"""Deltas say what they should, by a reader of them that shares no code with the writer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envgit.repo import delta

PIECES = st.lists(st.sampled_from([b"a\n", b"bb\n", b"c" * 300 + b"\n", b"", b"d"]), max_size=40)


def apply(base: bytes, change: bytes) -> bytes:
    """gitformat-pack(5), "Deltified representation"."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = change[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    assert number() == len(base)
    size = number()
    out = b""
    while at < len(change):
        command = change[at]
        at += 1
        if command & 0x80:
            fields = [0] * 7
            for bit in range(7):
                if command & 1 << bit:
                    fields[bit] = change[at]
                    at += 1
            start = int.from_bytes(bytes(fields[:4]), "little")
            length = int.from_bytes(bytes(fields[4:]), "little") or 0x10000
            assert start + length <= len(base)
            out += base[start : start + length]
        else:
            assert command
            out += change[at : at + command]
            at += command
    assert len(out) == size
    return out


@given(PIECES, PIECES)
def test_delta_makes_the_target(base: list[bytes], target: list[bytes]) -> None:
    change = delta.encode(base, target)
    assert apply(b"".join(base), change) == b"".join(target)


def test_long_copies_are_split() -> None:
    big = [bytes([number % 251]) * 1000 + b"\n" for number in range(400)]
    change = delta.encode(big, [*big, b"tail"])
    assert apply(b"".join(big), change) == b"".join(big) + b"tail"
    assert len(change) < 100


@given(st.binary(max_size=200))
def test_lines_lose_nothing(data: bytes) -> None:
    assert b"".join(delta.lines(data)) == data
