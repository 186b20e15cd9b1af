# SPDX-License-Identifier: Apache-2.0
"""Makes of what databases say text that every reader of a bill of materials can take."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ADDRESS = re.compile(
    r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,255}\.[A-Za-z]{2,5}(?::[0-9]{1,5})?"
    r"(?:/(?:[A-Za-z0-9._~/?&=+,;@!:-]|%[0-9A-Fa-f]{2})*(?:#[A-Za-z0-9._~/-]*)?)?"
)
_LONGEST = 1024
_LONGEST_ADDRESS = 2000
_LAST_SECOND = 253402300799
"""Of the year 9999, where Python's calendar ends and RFC 3339's years do."""


def fit(text: str) -> str:
    """Text without control characters and halves of surrogate pairs: they become ``\\x1b``."""
    return _UNFIT.sub(_escaped, text)


def fit_path(path: bytes) -> str:
    """A path as text; bytes that are not UTF-8 become ``\\xff``."""
    return fit(path.decode("utf-8", "surrogateescape"))


def short(text: str) -> str:
    """The same, and no longer than a version may be in CycloneDX since 1.6: 1024 characters."""
    text = fit(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def address(text: str) -> str:
    """The URL of a web page, or nothing if not every reader would take it for one (RFC 3986)."""
    text = text.strip()
    if len(text) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        return ""
    try:
        urlsplit(text).port  # noqa: B018 - raises for one above 65535
    except ValueError:
        return ""
    return text


def moment(seconds: int) -> datetime:
    """A time in UTC; one that no calendar has becomes the nearest."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)


def timestamp(seconds: int) -> str:
    """The same as ISO 8601 writes it."""
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8, by surrogateescape
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
