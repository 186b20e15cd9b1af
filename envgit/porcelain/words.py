# SPDX-License-Identifier: Apache-2.0
"""Compares changed lines word by word. Source: git-diff(1), ``--word-diff``; with whose output the
results were compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.repo.diff import Hunk, changed_lines

_WORD = re.compile(rb"[^\s]+")


class BadWordRegex(EnvgitError):
    """``--word-diff-regex`` is no regular expression."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text: ``kind`` is ``line`` for a whole unchanged line, and within changed lines
    ``old``, ``new`` or ``same``; those may hold newlines."""

    kind: str
    text: bytes


def word_pattern(text: str | None) -> re.Pattern[bytes]:
    """What is a word: what the regular expression matches, by default what white space ends.

    Raises BadWordRegex.
    """
    if text is None:
        return _WORD
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"), re.MULTILINE)
    except re.error as error:
        raise BadWordRegex(f"invalid regular expression: {text}") from error


def pieces(hunk: Hunk, pattern: re.Pattern[bytes]) -> Iterator[Piece]:
    """A hunk in stretches: runs of removed and added lines are compared by words."""
    old, new = bytearray(), bytearray()
    for line in hunk.lines:
        text = line.text if line.text.endswith(b"\n") else line.text + b"\n"
        if line.origin == "-":
            old += text
        elif line.origin == "+":
            new += text
        else:
            yield from _compared(bytes(old), bytes(new), pattern)
            old.clear()
            new.clear()
            yield Piece("line", text)
    yield from _compared(bytes(old), bytes(new), pattern)


def _compared(old: bytes, new: bytes, pattern: re.Pattern[bytes]) -> Iterator[Piece]:
    if not new:
        if old:
            yield Piece("old", old)
        return
    before, after = _words(old, pattern), _words(new, pattern)
    at = 0
    for chunk in changed_lines(_listed(old, before), _listed(new, after), indent=False):
        gone = _stretch(before, chunk.old.start, chunk.old.end)
        come = _stretch(after, chunk.new.start, chunk.new.end)
        if come[0] != at:
            yield Piece("same", new[at : come[0]])
        if gone[0] != gone[1]:
            yield Piece("old", old[gone[0] : gone[1]])
        if come[0] != come[1]:
            yield Piece("new", new[come[0] : come[1]])
        at = come[1]
    if at != len(new):
        yield Piece("same", new[at:])


def _words(text: bytes, pattern: re.Pattern[bytes]) -> list[tuple[int, int]]:
    """Where each word begins and ends; none goes beyond its line."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        match = pattern.search(text, at)
        if match is None:
            break
        newline = text.find(b"\n", match.start(), match.end())
        end = match.end() if newline < 0 else newline
        if end > match.start():
            found.append((match.start(), end))
        at = max(end, match.start() + 1)
    return found


def _listed(text: bytes, words: Sequence[tuple[int, int]]) -> bytes:
    return b"".join(text[start:end] + b"\n" for start, end in words)


def _stretch(words: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """From the first to the last of some words; of none, the end of the word before."""
    if start < end:
        return words[start][0], words[end - 1][1]
    place = words[start - 1][1] if start else 0
    return place, place
