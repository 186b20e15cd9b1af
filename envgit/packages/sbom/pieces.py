# SPDX-License-Identifier: Apache-2.0
"""Writes large JSON documents item by item, so that no more than the text is ever in memory.

The libraries of both formats build all of a document as models, then as dictionaries, then as
text, and compare each item with all others on the way. They make the items here, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from io import BytesIO


def joined(head: Mapping[str, object], lists: Mapping[str, Iterable[str]]) -> bytes:
    """An object in JSON, indented by two: ``head``, and the ``lists``, which have something in
    them or are left out. Their items are JSON in ASCII already, and are asked for once, in order.
    """
    out = BytesIO()
    between = b"{\n  "
    for name, value in head.items():
        if name not in lists:
            out.write(between + f"{json.dumps(name)}: ".encode("ascii"))
            out.write(_deeper(json.dumps(value, indent=2), "  "))
            between = b",\n  "
    for name, items in lists.items():
        opening = between + f"{json.dumps(name)}: [\n    ".encode("ascii")
        is_empty = True
        for item in items:
            out.write(opening if is_empty else b",\n    ")
            out.write(_deeper(item, "    "))
            is_empty = False
        if not is_empty:
            out.write(b"\n  ]")
            between = b",\n  "
    out.write(b"\n}\n")
    return out.getvalue()


def _deeper(text: str, margin: str) -> bytes:
    """The text further to the right: strings in JSON have no line feeds of their own."""
    return text.replace("\n", "\n" + margin).encode("ascii")
