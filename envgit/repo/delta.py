# SPDX-License-Identifier: Apache-2.0
"""Says how one object becomes another, when it is known beforehand that they are alike.

Two versions of a directory's tree differ in a few entries, two pointers of a file in a few lines.
Comparing whole entries and lines finds that at once; git's search for similar objects is for those
who do not know. Format: gitformat-pack(5), "Deltified representation".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_MAX_COPY = 0x10000  # longer copies exist since pack version 3 only
_MAX_INSERT = 127


def between(base: bytes, target: bytes, *, is_tree: bool) -> bytes | None:
    """The delta from one object's bytes to another's, or None when it would not save a quarter."""
    cut = entries if is_tree else lines
    change = encode(cut(base), cut(target))
    return change if len(change) < len(target) * 3 // 4 else None


def encode(base: Sequence[bytes], target: Sequence[bytes]) -> bytes:
    """The delta that makes the concatenation of ``target`` out of that of ``base``.

    Both are cut into pieces (lines, tree entries); pieces that ``base`` has are copied from there.
    """
    places: dict[bytes, int] = {}
    at = 0
    for piece in base:
        places.setdefault(piece, at)
        at += len(piece)
    out = bytearray(_size(at) + _size(sum(map(len, target))))
    start = end = 0  # of the copy that is being collected
    fresh = bytearray()
    for piece in target:
        place = places.get(piece)
        if place is None:
            _copy(out, start, end)
            start = end = 0
            fresh += piece
        elif end and place == end:
            end += len(piece)
        else:
            _copy(out, start, end)
            _insert(out, fresh)
            start, end = place, place + len(piece)
    _copy(out, start, end)
    _insert(out, fresh)
    return bytes(out)


def lines(data: bytes) -> list[bytes]:
    """The pieces of a text."""
    return _LINE.findall(data)


def entries(data: bytes) -> list[bytes]:
    """The pieces of a raw tree."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        stop = data.index(b"\0", at) + 21
        pieces.append(data[at:stop])
        at = stop
    return pieces


def _size(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _copy(out: bytearray, start: int, end: int) -> None:
    while start < end:
        size = min(end - start, _MAX_COPY)
        position = len(out)
        out.append(0x80)
        for bit, shift in enumerate((0, 8, 16, 24)):
            if byte := start >> shift & 0xFF:
                out[position] |= 1 << bit
                out.append(byte)
        # A size of zero stands for 0x10000.
        for bit, shift in enumerate((0, 8)):
            if byte := (size & 0xFFFF) >> shift & 0xFF:
                out[position] |= 0x10 << bit
                out.append(byte)
        start += size


def _insert(out: bytearray, data: bytearray) -> None:
    for at in range(0, len(data), _MAX_INSERT):
        piece = data[at : at + _MAX_INSERT]
        out.append(len(piece))
        out += piece
    data.clear()
