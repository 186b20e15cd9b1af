# SPDX-License-Identifier: Apache-2.0
"""Bytes as one printable word, because pointers are lines of text and file names are not.

``%XX`` (upper-case hexadecimal) stands for ``%``, for white space and control characters (U+0000 to
U+0020, U+007F to U+009F), and for every byte that is no part of well-formed UTF-8; all else stands
for itself. Laws: ``unescape(escape(x)) == x``; ``unescape`` accepts only what ``escape`` writes.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile("[%\x00-\x20\x7f-\x9f\udc80-\udcff]")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")
_PLAIN = re.compile(rb"[!-$&-~]*")


def _hexadecimal(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def escape(data: bytes) -> str:
    """Write ``data`` as one word without white space."""
    if _PLAIN.fullmatch(data):
        return data.decode("ascii")
    return _SPECIAL.sub(_hexadecimal, data.decode("utf-8", "surrogateescape"))


def unescape(word: str) -> bytes:
    """Read back what `escape` wrote; `ValueError` for what it would have written otherwise."""
    data = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), word.encode("utf-8"))
    if escape(data) != word:
        raise ValueError(f"not in canonical escaped form: {word!r}")
    return data
