# SPDX-License-Identifier: Apache-2.0
"""Pads and cuts one placeholder's text to columns: ``%<(N)``, ``%>(N)``, ``%>>(N)``, ``%><(N)``.

Source: git-log(1), "PRETTY FORMATS".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.cli import wrap


@dataclass(frozen=True, slots=True)
class Padding:
    """``%<(N)`` and its kin: flush ``left``, ``right``, ``steal`` or ``both``, N columns.

    ``until`` means that N counts from the start of the line. ``cut``: trunc, ltrunc, mtrunc or "".
    """

    flush: str
    columns: int
    until: bool
    cut: str

    def apply(self, out: str, text: str) -> str:
        """``out`` with ``text`` padded or cut behind it."""
        room = self.columns
        if self.until:
            room -= wrap.width(out[out.rfind("\n") + 1 :])
        flush = self.flush
        size = wrap.width(text)
        if flush == "steal":
            flush = "right"
            out, text, room = _steal(out, text, room, size)
        if size > room:
            return out + self._cut(text, size, room)
        spare = room - size
        before = {"left": 0, "right": spare, "both": spare // 2}[flush]
        return out + " " * before + text + " " * (spare - before)

    def _cut(self, text: str, size: int, room: int) -> str:
        if not self.cut:
            return text
        at = {"trunc": room - 2, "ltrunc": 0, "mtrunc": room // 2 - 1}[self.cut]
        return wrap.replace_columns(text, at, size - (room - 2), "..")


def _steal(out: str, text: str, room: int, size: int) -> tuple[str, str, int]:
    """``%>>``: take spaces on the left when the text is too long; colours there stay in force."""
    while size > room and len(out) > 1:
        if out.endswith(" "):
            out = out[:-1]
            room += 1
            continue
        escape = re.search("\x1b\\[[0-9;]*m\\Z", out)
        if escape is None:
            break
        text = escape[0] + text
        out = out[: escape.start()]
    return out, text, room
