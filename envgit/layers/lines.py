# SPDX-License-Identifier: Apache-2.0
"""Follows lines of a text back through its versions: pure arithmetic on spans of lines.

Lines are counted from 0 and spans are half open. A list of chunks says how one version became the
next: what lies between two chunks is equal. Source: the behaviour of ``git log -L`` and
``git blame``, with which the results were compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The lines from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether the two share a line; an empty span counts when it lies inside the other."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines ``old`` of the older text became ``new`` of the newer one; either may be empty."""

    old: Span
    new: Span

    @property
    def growth(self) -> int:
        """How many lines the newer text has more."""
        return len(self.new) - len(self.old)


@dataclass(frozen=True, slots=True)
class Traced:
    """Where spans of a text were in its older version, and the chunks that changed them."""

    spans: tuple[Span, ...]
    touched: tuple[Chunk, ...]


def split(data: bytes) -> list[bytes]:
    """The lines of a text, each with its newline; only ``\\n`` ends a line."""
    lines = data.split(b"\n")
    last = lines.pop()
    found = [line + b"\n" for line in lines]
    return [*found, last] if last else found


def union(*groups: Iterable[Span]) -> tuple[Span, ...]:
    """The lines of all the spans: sorted, those that touch merged, empty ones left out."""
    found: list[Span] = []
    for span in sorted(span for group in groups for span in group if len(span)):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)


def without(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """What is left of sorted ``spans`` without the lines of sorted ``taken``."""
    found: list[Span] = []
    for span in spans:
        start = span.start
        for hole in taken:
            if hole.end <= start or hole.start >= span.end:
                continue
            if hole.start > start:
                found.append(Span(start, hole.start))
            start = max(start, hole.end)
        if start < span.end:
            found.append(Span(start, span.end))
    return found


def trace(spans: Sequence[Span], chunks: Sequence[Chunk]) -> Traced:
    """Follow sorted ``spans`` of the newer text into the older one.

    What a chunk replaced counts whole: the older lines of every chunk that touches a span are
    part of the result. A chunk that only removed lines touches a span when it lies inside it.
    """
    touched = tuple(chunk for chunk in chunks if any(chunk.new.overlaps(span) for span in spans))
    moved: list[Span] = []
    for span in without(spans, [chunk.new for chunk in touched]):
        shift = -sum(chunk.growth for chunk in chunks if chunk.new.start <= span.start)
        moved.append(Span(span.start + shift, span.end + shift))
    return Traced(union(moved, (chunk.old for chunk in touched)), touched)


def passed_on(
    spans: Iterable[tuple[int, int, int]], chunks: Sequence[Chunk]
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Split blamed lines by whether the older text has them too.

    Each of ``spans`` is (first line in the final text, first line in the newer text, how many), the
    second ascending. Returns (those kept by the newer text, those passed on, with their line there
    in the older one).
    """
    kept: list[tuple[int, int, int]] = []
    passed: list[tuple[int, int, int]] = []
    # The newer text as pieces: (start, end, shift to the older text, None where it is new).
    pieces: list[tuple[int, int, int | None]] = []
    at = shift = 0
    for chunk in chunks:
        pieces.append((at, chunk.new.start, shift))
        pieces.append((chunk.new.start, chunk.new.end, None))
        at = chunk.new.end
        shift -= chunk.growth
    pieces.append((at, 1 << 62, shift))
    index = 0
    for final, start, count in sorted(spans, key=lambda one: one[1]):
        end = start + count
        while index > 0 and pieces[index][0] > start:
            index -= 1
        while pieces[index][1] <= start:
            index += 1
        here = index
        while start < end:
            _, stop, moved = pieces[here]
            size = min(end, stop) - start
            if size > 0:
                if moved is None:
                    kept.append((final, start, size))
                else:
                    passed.append((final, start + moved, size))
                final, start = final + size, start + size
            here += 1
    return kept, passed
