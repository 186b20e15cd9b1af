# SPDX-License-Identifier: Apache-2.0
"""Combined differences of small texts, written out."""

from __future__ import annotations

from envgit.layers.combine import CombinedHunk, comparer, hunks
from envgit.layers.lines import split
from envgit.repo.diff import changed_lines


def _hunks(result: str, *parents: str, dense: bool = True, context: int = 3) -> list[CombinedHunk]:
    new, old = result.encode(), [parent.encode() for parent in parents]
    sides = [(split(text), changed_lines(text, new)) for text in old]
    return list(hunks(split(new), sides, dense=dense, context=context))


def _drawn(found: list[CombinedHunk]) -> list[str]:
    return [
        "".join("+-"[not row.kept] if row.parents >> bit & 1 else " " for bit in range(2))
        + row.text.decode()
        for hunk in found
        for row in hunk.rows
    ]


def test_a_line_of_neither_parent_is_marked_for_both() -> None:
    found = _hunks("1\nX\n3\n", "1\na\n3\n", "1\nb\n3\n")
    assert _drawn(found) == ["  1", "- a", " -b", "++X", "  3"]
    assert found[0].spans == ((1, 3), (1, 3), (1, 3))


def test_what_is_as_in_one_parent_is_left_out_when_dense() -> None:
    text = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    ours, theirs = text.replace("1", "a"), text.replace("9", "z")
    merged = text.replace("1", "a").replace("9", "z")
    assert _hunks(merged, ours, theirs) == []
    kept = _hunks(merged, ours, theirs, dense=False)
    assert _drawn(kept)[:2] == [" -1", " +a"] and _drawn(kept)[-2:] == ["- 9", "+ z"]


def test_a_line_lost_by_both_is_one() -> None:
    assert _drawn(_hunks("1\n3\n", "1\n2\n3\n", "1\n2\n3\n")) == ["  1", "--2", "  3"]


def test_the_end_alone_has_no_lines_without_context() -> None:
    (hunk,) = _hunks("1\n", "1\n2\n", "1\n3\n", context=0)
    assert hunk.spans[-1] == (2, 0)
    assert _drawn([hunk]) == ["- 2", " -3"]


def test_white_space_at_the_begin_of_both_counts_by_its_first_byte() -> None:
    same = comparer("all")
    assert same(b" a b", b"ab") and same(b"  ab", b" a b ") and not same(b"\tab", b" ab")
    assert comparer("change")(b"a  b", b"a b ") and not comparer("change")(b"ab", b"a b")
    assert comparer("eol")(b"a \t", b"a") and not comparer(None)(b"a ", b"a")
