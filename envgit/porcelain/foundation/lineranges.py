# SPDX-License-Identifier: Apache-2.0
"""Reads the ranges of lines that ``blame -L`` and ``log -L`` take.

Source: git-blame(1) and git-log(1), "-L"; results and messages were compared with git's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from envgit.errors import EnvgitError, UsageError
from envgit.layers.lines import Span
from envgit.porcelain.foundation.patterns import PatternError, compile_pattern

# git's xdiff, def_ff(): what begins a function where no driver says otherwise.
_FUNCTION_LINE = re.compile(rb"[A-Za-z_$]")


class BadRange(EnvgitError):
    """A range of lines that cannot be read or that the file does not have."""


class MalformedRange(UsageError):
    """The value of ``-L`` is no range at all."""


def parse_log_range(argument: str) -> tuple[str, str]:
    """Split the value of ``log -L`` into the range and the file. Raises BadRange."""
    end = _skip(argument)
    if end == 0 or argument[end : end + 1] != ":" or not argument[end + 1 :]:
        raise BadRange(f"-L argument not 'start,end:file' or ':funcname:file': {argument}")
    return argument[:end], argument[end + 1 :]


def parse_range(text: str, lines: Sequence[bytes], anchor: int = 1, path: str = "") -> Span:
    """The lines that ``text`` names among ``lines`` (each with its newline).

    ``anchor`` is the line (from 1) from which a relative search begins: the one after the previous
    range of the same file. Raises BadRange in git's words.
    """
    anchor = min(max(anchor, 1), len(lines) + 1)
    if text.startswith((":", "^:")):
        return _function(text, lines, anchor)
    reader = _Reader(text, lines)
    begin = reader.place(-anchor)
    end = 0
    if reader.rest.startswith(","):
        reader.rest = reader.rest[1:]
        end = reader.place(begin + 1, beginning=begin)
    if reader.rest:
        raise MalformedRange(f"malformed -L argument '{text}'")
    if begin and end and end < begin:
        begin, end = end, begin
    total = len(lines)
    if (not total and (begin or end)) or total < begin:
        plural = "line" if total == 1 else "lines"
        raise BadRange(f"file {path} has only {total} {plural}")
    begin = max(begin, 1)
    if end < 1 or total < end:
        end = total
    return Span(begin - 1, end)


def _skip(text: str) -> int:
    """Where the range at the beginning of ``text`` ends (git's skip_range_arg)."""
    if text.startswith((":", "^:")):
        at = text.index(":") + 1
        while at < len(text) and text[at] != ":":
            at += 2 if text[at] == "\\" and at + 1 < len(text) else 1
        return at
    at = _skip_place(text, 0)
    return _skip_place(text, at + 1) if text[at : at + 1] == "," else at


def _skip_place(text: str, at: int) -> int:
    found = re.compile(r"[+-]?\d+|\^?/").match(text, at)
    if found is None:
        return at
    if not found[0].endswith("/"):
        return found.end()
    end = _end_of_pattern(text, found.end())
    return end + 1 if end < len(text) else at


def _end_of_pattern(text: str, at: int) -> int:
    while at < len(text) and text[at] != "/":
        at += 2 if text[at] == "\\" else 1
    return min(at, len(text))


class _Reader:
    """Reads one end of a range after the other; ``rest`` is what was not read yet."""

    def __init__(self, text: str, lines: Sequence[bytes]) -> None:
        self.rest = text
        self._lines = lines

    def place(self, begin: int, beginning: int | None = None) -> int:
        """A line number from 1 (0: none given). ``begin``: where a search starts; as a negative
        number for the first end, whose search is relative to the anchor."""
        relative = re.match(r"([+-])(\d+)", self.rest, re.ASCII)
        if beginning is not None and relative is not None:
            self.rest = self.rest[relative.end() :]
            return self._relative(beginning, relative[1], int(relative[2]))
        plain = re.match(r"-?\d+", self.rest, re.ASCII)
        if plain is not None:
            self.rest = self.rest[plain.end() :]
            number = int(plain[0])
            if number <= 0:
                raise BadRange(f"-L invalid line number: {number}")
            return number
        start = -begin if begin < 0 else begin
        if begin < 0 and self.rest.startswith("^/"):
            self.rest = self.rest[1:]
            start = 1
        if not self.rest.startswith("/"):
            return 0
        return self._search(start)

    def _relative(self, beginning: int, sign: str, count: int) -> int:
        if count == 0:
            raise BadRange("-L invalid empty range")
        return beginning + count - 1 if sign == "+" else max(beginning + 1 - count, 1)

    def _search(self, start: int) -> int:
        end = _end_of_pattern(self.rest, 1)
        if end >= len(self.rest):
            return 0
        text = self.rest[1:end]
        try:
            pattern = compile_pattern(text.replace("\\/", "/"))
        except PatternError as error:
            raise BadRange(
                f"-L parameter '{text}' starting at line {start}: {error.message}"
            ) from error
        self.rest = self.rest[end + 1 :]
        data = b"".join(self._lines[start - 1 :])
        found = pattern.search(data)
        if found is None or not self._lines[start - 1 :]:
            raise BadRange(f"-L parameter '{text}' starting at line {start}: No match")
        return start + data.count(b"\n", 0, found.start())


def _function(text: str, lines: Sequence[bytes], anchor: int) -> Span:
    if text.startswith("^"):
        text, anchor = text[1:], 1
    name = text[1:]
    if not name:
        raise MalformedRange(f"malformed -L argument '{text}'")
    try:
        pattern = compile_pattern(name, syntax="extended")
    except PatternError as error:
        raise BadRange(f"-L parameter '{name}': {error.message}") from error
    at = anchor - 1
    while at < len(lines):
        if _FUNCTION_LINE.match(lines[at]) and pattern.search(lines[at].rstrip(b"\n")):
            break
        at += 1
    else:
        raise BadRange(f"-L parameter '{name}' starting at line {anchor}: no match")
    end = at + 1
    while end < len(lines) and not _FUNCTION_LINE.match(lines[end]):
        end += 1
    return Span(at, end)
