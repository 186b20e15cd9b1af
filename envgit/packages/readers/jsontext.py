# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that may have been written to exhaust who reads it."""

from __future__ import annotations

import json
from typing import Any

from envgit.packages.model import Unreadable

_CONTAINERS = 1_000_000
_VALUES = 3_000_000
"""Lists and objects, and what is in them: of 64 bytes and more each, however little text they are.
The records of packages with 60,000 files have a tenth of it."""

_LONGEST = 4096


def load_object(data: bytes) -> dict[str, Any]:
    """The object that a text is. Raises Unreadable: for anything else, and for bombs."""
    if data.count(b"{") + data.count(b"[") > _CONTAINERS:
        raise Unreadable(f"it has more than {_CONTAINERS} lists and objects")
    if data.count(b",") > _VALUES:
        raise Unreadable(f"it has more than {_VALUES} values")
    try:
        found = json.loads(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable("it is no JSON object")
    return found


def text(value: object, longest: int = 1024) -> str:
    """One line of text, empty for what is none."""
    return " ".join(value[: 4 * longest].split())[:longest] if isinstance(value, str) else ""


def texts(value: object, most: int = 10_000) -> list[str]:
    """The texts of a list, none for what is none. Those longer than any path are left out."""
    if not isinstance(value, list):
        return []
    return [one for one in value[:most] if isinstance(one, str) and len(one) <= _LONGEST]


def table(value: object) -> dict[str, Any]:
    """An object, empty for what is none."""
    return value if isinstance(value, dict) else {}
