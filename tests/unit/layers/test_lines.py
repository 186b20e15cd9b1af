# SPDX-License-Identifier: Apache-2.0
"""Spans of lines through changes: every line that survives is followed, nothing else is."""

from __future__ import annotations

from difflib import SequenceMatcher

from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.lines import Chunk, Span, passed_on, split, trace, union, without

TEXTS = st.lists(st.sampled_from("abcde"), max_size=12)


def _chunks(old: list[str], new: list[str]) -> list[Chunk]:
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [Chunk(Span(a, b), Span(c, d)) for kind, a, b, c, d in found if kind != "equal"]


def _pairs(old: list[str], new: list[str]) -> dict[int, int]:
    """New line -> old line, of those that are equal."""
    return {
        c + step: a + step
        for kind, a, b, c, _ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if kind == "equal"
        for step in range(b - a)
    }


@given(st.binary())
def test_lines_joined_are_the_text(data: bytes) -> None:
    lines = split(data)
    assert b"".join(lines) == data
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 and line for line in lines)


@given(TEXTS, TEXTS, st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=3))
def test_blamed_lines_are_kept_or_passed_to_their_own_place(
    old: list[str], new: list[str], wanted: list[tuple[int, int]]
) -> None:
    spans = [Span(a, min(a + n, len(new))) for a, n in wanted if a < len(new)]
    groups = [(span.start + 100, span.start, len(span)) for span in union(spans)]
    kept, passed = passed_on(groups, _chunks(old, new))
    pairs = _pairs(old, new)
    seen = set()
    for final, start, number in kept:
        for line in range(number):
            assert final + line == start + line + 100 and start + line not in pairs
            seen.add(start + line)
    for final, start, number in passed:
        for line in range(number):
            assert pairs[final + line - 100] == start + line
            seen.add(final + line - 100)
    assert seen == {line for span in spans for line in range(span.start, span.end)}


@given(TEXTS, TEXTS, st.integers(0, 11), st.integers(1, 12))
def test_a_traced_span_holds_all_that_its_lines_came_from(
    old: list[str], new: list[str], start: int, length: int
) -> None:
    span = Span(start, min(start + length, len(new)))
    if span.start >= span.end:
        return
    chunks = _chunks(old, new)
    found = trace([span], chunks)
    lines = {line for one in found.spans for line in range(one.start, one.end)}
    pairs = _pairs(old, new)
    assert {pairs[line] for line in range(span.start, span.end) if line in pairs} <= lines
    assert all(chunk.new.overlaps(span) for chunk in found.touched)
    if not found.touched:
        assert len(lines) == len(span)


def test_a_removal_inside_touches_and_one_at_the_edge_does_not() -> None:
    inside = Chunk(Span(5, 7), Span(5, 5))
    assert trace([Span(3, 8)], [inside]).touched == (inside,)
    assert trace([Span(5, 8)], [inside]).touched == ()
    assert trace([Span(5, 8)], [inside]).spans == (Span(7, 10),)


def test_union_and_difference() -> None:
    assert union([Span(5, 6), Span(1, 2)], [Span(2, 4), Span(9, 9)]) == (Span(1, 4), Span(5, 6))
    assert without([Span(0, 10)], [Span(2, 3), Span(8, 12)]) == [Span(0, 2), Span(3, 8)]
