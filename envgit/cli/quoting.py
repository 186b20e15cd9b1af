# SPDX-License-Identifier: Apache-2.0
"""Prints path names as git does, so that a name with a newline cannot pass for two names."""

from __future__ import annotations

import os

_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def quote(path: bytes, *, non_ascii: bool = True) -> str:
    """Quote a path in C style if it needs it (git-config(1), ``core.quotePath``).

    ``non_ascii`` is that setting: bytes over 0x7f count as unusual and become octal escapes.
    Without it they are passed through, whatever they are.
    """
    if not needs_quotes(path, non_ascii=non_ascii):
        return os.fsdecode(path)
    out = bytearray(b'"')
    for byte in path:
        if byte in _ESCAPES:
            out += b"\\" + _ESCAPES[byte].encode()
        elif byte < 0x20 or byte == 0x7F or (byte > 0x7F and non_ascii):
            out += b"\\%03o" % byte
        else:
            out.append(byte)
    out += b'"'
    return os.fsdecode(bytes(out))


def unquoted(data: bytes) -> str:
    """Bytes as they are, for ``-z`` and for lines of files; output turns them back."""
    return data.decode("utf-8", "surrogateescape")


def needs_quotes(path: bytes, *, non_ascii: bool = True) -> bool:
    """Tell whether a path holds a byte that git would not print as it is."""
    return any(
        byte < 0x20 or byte == 0x7F or byte in (34, 92) or (byte > 0x7F and non_ascii)
        for byte in path
    )
