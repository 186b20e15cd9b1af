# SPDX-License-Identifier: Apache-2.0
"""Measures, cuts and wraps text by the columns it takes on a terminal, as git's formats do.

Colour sequences take no column, wide characters take two, combining ones none. Source: git-log(1),
``%w``, ``%<``; git's rules for wrapping were compared with git itself.
"""

from __future__ import annotations

import re

ESCAPE = re.compile("\x1b\\[[0-9;]*m")
_SPACE = " \t\n\v\f\r"


def width(text: str) -> int:
    """The columns that ``text`` takes, colour sequences not counted."""
    if "\x1b" in text:
        text = ESCAPE.sub("", text)
    if text.isascii():
        return len(text)
    return sum(map(char_width, text))


def char_width(char: str) -> int:
    """0 for combining and control characters, 2 for East Asian wide ones, else 1."""
    if char.isascii():
        return 1
    import unicodedata

    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def replace_columns(text: str, start: int, count: int, by: str) -> str:
    """Put ``by`` in place of ``count`` columns from column ``start``; colour sequences stay."""
    out: list[str] = []
    column = 0
    done = False
    for piece in re.split("(\x1b\\[[0-9;]*m)", text):
        if piece.startswith("\x1b["):
            out.append(piece)
            continue
        for char in piece:
            wide = char_width(char)
            if start <= column < start + count:
                if not done:
                    out.append(by)
                    done = True
            else:
                out.append(char)
            column += wide
    return "".join(out)


def indent(text: str, first: int, rest: int) -> str:
    """Indent each line, empty ones too: the first by ``first``, the others by ``rest``."""
    lines = text.splitlines(keepends=True)
    amounts = [max(first, 0)] + [max(rest, 0)] * len(lines)
    return "".join(" " * amount + line for amount, line in zip(amounts, lines, strict=False))


def wrap(text: str, columns: int, first: int, rest: int) -> str:
    """Wrap to ``columns``: ``%w(columns,first,rest)``. No columns: only indent.

    A newline before a letter or digit joins the lines, any other one starts a new line; a word
    longer than a line is not cut. A negative ``first`` says that so many columns are taken already.
    """
    if columns <= 0:
        return indent(text, first, rest)
    return _Wrapper(text, columns, first, rest).run()


class _Wrapper:
    """One wrapping under way: where its line began, and the last chance to break it."""

    def __init__(self, text: str, columns: int, first: int, rest: int) -> None:
        self._text = text
        self._columns = columns
        self._rest = rest
        self._out: list[str] = []
        self._at = 0
        self._line = 0
        self._indent = first
        self._used = first
        self._space: int | None = None
        if first < 0:
            self._used = -first
            self._space = 0

    def run(self) -> str:
        text = self._text
        while True:
            skipped = ESCAPE.match(text, self._at)
            if skipped is not None:
                self._at = skipped.end()
                continue
            char = text[self._at] if self._at < len(text) else ""
            if char and char not in _SPACE:
                self._used += char_width(char)
                self._at += 1
                continue
            if self._used > self._columns and self._space is not None:
                self._break(self._space)
                continue
            if not char and self._at == self._line:
                break
            self._emit()
            if not char:
                break
            self._pass(char)
        return "".join(self._out)

    def _emit(self) -> None:
        start = self._line
        if self._space is not None:
            start = self._space
        else:
            self._out.append(" " * max(self._indent, 0))
        self._out.append(self._text[start : self._at])

    def _pass(self, char: str) -> None:
        """Go over the white space that ended a word."""
        self._space = self._at
        if char == "\t":
            self._used |= 7
        elif char == "\n":
            self._space += 1
            following = self._text[self._space : self._space + 1]
            if following == "\n":
                self._out.append("\n")
                self._break(self._space)
                return
            if not (following.isascii() and following.isalnum()):
                self._break(self._space)
                return
            self._out.append(" ")
        self._used += 1
        self._at += 1

    def _break(self, at: int) -> None:
        self._out.append("\n")
        blank = self._text[at : at + 1] in tuple(_SPACE)
        self._at = self._line = at + blank
        self._space = None
        self._used = self._indent = self._rest
