# SPDX-License-Identifier: Apache-2.0
"""Writes results as JSON for `--json`: one shape for every verb, stable for scripts.

Frozen dataclasses and named tuples become objects with their fields' names, enumerations their
values. Bytes (paths) become text; bytes that are not UTF-8 become lone surrogates ``\\udcXX`` as
Python's ``surrogateescape`` does, which survives a round trip.
"""

from __future__ import annotations

import json
from enum import Enum


def plain(value: object) -> object:
    """Reduce a result to what the json module knows."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "surrogateescape")
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name in fields if not name.startswith("_")}
    if hasattr(value, "_asdict"):  # a NamedTuple means its names, too
        value = value._asdict()
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if hasattr(value, "__iter__"):
        return [plain(item) for item in value]
    return str(value)


def dumps(value: object) -> bytes:
    """Return the JSON document, indented, with a final newline, as UTF-8."""
    reduced = plain(value)
    text = json.dumps(reduced, indent=2, ensure_ascii=False) + "\n"
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates: only the escaped form is valid UTF-8
        return (json.dumps(reduced, indent=2) + "\n").encode("ascii")
