# SPDX-License-Identifier: Apache-2.0
"""How a merged text came from several parents: git's combined difference, as pure arithmetic.

Each line of the result says which parents lack it; before it hang the lines that parents lost
there. Lines lost by several parents are one, as far as their order allows. Source:
git-diff-tree(1), "COMBINED DIFF FORMAT"; what is chosen was compared with ``git show --cc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import eq

from envgit.layers.lines import Chunk

Same = Callable[[bytes, bytes], bool]


@dataclass(slots=True)
class Lost:
    """A line that is not in the result, without its newline, and the parents (bits) that had it."""

    text: bytes
    parents: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a hunk, without its newline: in the result (``kept``) or not; bits of the parents
    that differ here."""

    text: bytes
    parents: int
    kept: bool


@dataclass(frozen=True, slots=True)
class CombinedHunk:
    """``spans``: first line, counted from 1, and number of lines in each parent, then the result.

    ``before`` are the lines of the result between the hunk before and this one.
    """

    spans: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]
    before: tuple[bytes, ...]


@dataclass(slots=True)
class _Place:
    """A line of the result, or its end: what was lost before it, who lacks it, what is shown."""

    text: bytes
    added: int = 0
    lost: list[Lost] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    shown: bool = False
    bare: bool = False
    """Shown as context alone: without the lines lost before it."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.lost)


def hunks(
    result: Sequence[bytes],
    parents: Sequence[tuple[Sequence[bytes], Sequence[Chunk]]],
    *,
    dense: bool,
    context: int = 3,
    same: Same = eq,
) -> Iterator[CombinedHunk]:
    """The hunks of a combined difference.

    ``result`` are its lines (see `lines.split`); each parent is its lines and the chunks by which
    it became the result. ``dense``: leave out what only one parent, or all but one in the same way,
    has different. ``same`` compares lines that two parents lost.
    """
    places = [_Place(text.removesuffix(b"\n")) for text in result] + [_Place(b"")]
    ends: list[int] = []
    for index, (lines, chunks) in enumerate(parents):
        twin = next((at for at in range(index) if list(parents[at][0]) == list(lines)), None)
        if twin is None:
            _add_parent(places, lines, chunks, index, same)
        else:
            _add_twin(places, index, twin)
        ends.append(_number(places, 1 << index))
    for place in places:
        place.shown = place.changed
    if dense:
        _leave_out(places, (1 << len(parents)) - 1, context)
    _surround(places, context)
    yield from _written(places, ends, context)


def comparer(whitespace: str | None) -> Same:
    """How lost lines are compared: less white space with ``all``, ``change`` or ``eol``.

    As in git, where both lines begin with white space, its first byte counts.
    """
    if whitespace is None:
        return eq

    def less(text: bytes) -> tuple[bytes, bytes]:
        text = text.rstrip()
        begin = text[:1] if text[:1].isspace() else b""
        if whitespace == "all":
            return b"".join(text.split()), begin
        return (re.sub(rb"\s+", b" ", text) if whitespace == "change" else text), begin

    def same(one: bytes, other: bytes) -> bool:
        (text, begin), (text_too, begin_too) = less(one), less(other)
        return text == text_too and (not (begin and begin_too) or begin == begin_too)

    return same


def _add_parent(
    places: list[_Place],
    lines: Sequence[bytes],
    chunks: Sequence[Chunk],
    index: int,
    same: Same,
) -> None:
    bit = 1 << index
    for chunk in chunks:
        gone = lines[chunk.old.start : chunk.old.end]
        fresh = [Lost(text.removesuffix(b"\n"), bit) for text in gone]
        place = places[chunk.new.start]
        place.lost = _joined(place.lost, fresh, same)
        for at in range(chunk.new.start, chunk.new.end):
            places[at].added |= bit


def _add_twin(places: list[_Place], index: int, twin: int) -> None:
    """A parent with the same text as an earlier one."""
    bit, other = 1 << index, 1 << twin
    for place in places:
        if place.added & other:
            place.added |= bit
        for lost in place.lost:
            if lost.parents & other:
                lost.parents |= bit


def _number(places: list[_Place], bit: int) -> int:
    """Note at which line of a parent each place begins; returns the line after its last."""
    line = 1
    for place in places:
        place.starts.append(line)
        line += sum(1 for lost in place.lost if lost.parents & bit)
        line += not place.added & bit
    return line - 1


def _joined(known: list[Lost], fresh: list[Lost], same: Same) -> list[Lost]:
    """Both lists in order; what they share, by the longest common subsequence, only once."""
    if not known or not fresh:
        return known or fresh
    length = [[0] * (len(fresh) + 1) for _ in range(len(known) + 1)]
    for i, one in enumerate(known, 1):
        for j, other in enumerate(fresh, 1):
            if same(one.text, other.text):
                length[i][j] = length[i - 1][j - 1] + 1
            else:
                length[i][j] = max(length[i][j - 1], length[i - 1][j])
    found: list[Lost] = []
    i, j = len(known), len(fresh)
    while i or j:
        if i and j and same(known[i - 1].text, fresh[j - 1].text):
            i, j = i - 1, j - 1
            found.append(Lost(known[i].text, known[i].parents | fresh[j].parents))
        elif not i or (j and length[i][j - 1] >= length[i - 1][j]):
            j -= 1
            found.append(fresh[j])
        else:
            i -= 1
            found.append(known[i])
    return found[::-1]


def _tail(places: list[_Place], begin: int, end: int) -> int:
    """Where the context after [begin, end) begins: a last place that only lost lines is context."""
    return end - 1 if begin + 1 <= end and not places[end - 1].added else end


def _leave_out(places: list[_Place], everyone: int, context: int) -> None:
    count = len(places)
    at = 0
    while True:
        while at < count and not places[at].shown:
            at += 1
        if at == count:
            return
        begin, end = at, at + 1
        while end < count:
            if not places[end].shown:
                near = min(_tail(places, begin, end) + context, count)
                later = [one for one in range(end, near) if places[one].shown]
                if not later:
                    break
                end = later[-1]
            end += 1
        kinds = {place.added for place in places[begin:end] if place.added}
        kinds |= {lost.parents for place in places[begin:end] for lost in place.lost}
        if len(kinds) == 1 and kinds != {everyone}:
            for place in places[begin:end]:
                place.shown = False
        at = end


def _next(places: list[_Place], start: int, *, shown: bool) -> int:
    at = start
    while at < len(places) and places[at].shown != shown:
        at += 1
    return at


def _surround(places: list[_Place], context: int) -> None:
    """Show lines of context around what is shown, and the gaps that are too small to leave out."""
    count = len(places)
    at = _next(places, 0, shown=True)
    while at < count:
        for before in range(max(at - context, 0), at):
            if not places[before].shown:
                places[before].bare = True
            places[before].shown = True
        end = _next(places, at, shown=False)
        while end < count:
            following = _next(places, end, shown=True)
            begin = _tail(places, at, end)
            # As git: at the end of the text, too, a small rest is shown as a gap would be.
            near = following < begin + context
            for one in range(begin, following if near else min(begin + context, count)):
                places[one].shown = True
            at = following
            if not near:
                break
            end = _next(places, at, shown=False)
        else:
            return


def _written(places: list[_Place], ends: Sequence[int], context: int) -> Iterator[CombinedHunk]:
    last = len(places) - 1
    at = 0
    while True:
        skipped = at
        at = _next(places, at, shown=True)
        if at > last:
            return
        end = _next(places, at, shown=False)
        shown = places[at:end]
        # Without context, places without an own change only carry what was lost before them.
        empty = 0 if context else sum(1 for place in shown if not place.added)
        after = places[end].starts if end <= last else ends
        # Where only the end of the text is shown, git writes 2^64 - 1 instead of 0.
        spans = [
            (start, max(stop - start - empty, 0))
            for start, stop in zip(shown[0].starts, after, strict=True)
        ]
        spans.append((at + 1, max(min(end, last) - at - empty, 0)))
        rows = tuple(_rows(shown, context, ends=end > last))
        yield CombinedHunk(tuple(spans), rows, tuple(place.text for place in places[skipped:at]))
        at = end


def _rows(shown: Sequence[_Place], context: int, *, ends: bool) -> Iterator[Row]:
    for number, place in enumerate(shown, 1):
        if not place.bare:
            for lost in place.lost:
                yield Row(lost.text, lost.parents, kept=False)
        if ends and number == len(shown):
            return
        if place.added or context:
            yield Row(place.text, place.added, kept=True)
