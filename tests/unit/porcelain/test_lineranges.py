# SPDX-License-Identifier: Apache-2.0
"""The values of -L, as git reads them."""

from __future__ import annotations

import pytest

from envgit.layers.lines import Span, split
from envgit.porcelain.foundation.lineranges import (
    BadRange,
    MalformedRange,
    parse_log_range,
    parse_range,
)

LINES = split(b"a\n\nint f()\n{\n  x\n}\nint g()\n{\n}\n")

GOOD = {
    "1,3": (1, 3), "3,+2": (3, 4), "3,-2": (2, 3), "5,3": (3, 5), ",3": (1, 3), "3,": (3, 9),
    "/int/,/g/": (3, 7), "/x/": (5, 9), ":g": (7, 9), ":f": (3, 6), "5,-20": (1, 5), "": (1, 9),
    "2,99": (2, 9), "/int/,+1": (3, 3), ",+2": (1, 1),
}  # fmt: skip
BAD = {
    "0": "-L invalid line number: 0", "-1": "-L invalid line number: -1",
    "5,0": "-L invalid line number: 0", "5,-0": "-L invalid empty range",
    "5,+0": "-L invalid empty range", "20": "file f has only 9 lines",
    "/zzz/": "-L parameter 'zzz' starting at line 1: No match",
    "1,/zz/": "-L parameter 'zz' starting at line 2: No match",
    "/[/": "-L parameter '[' starting at line 1: Invalid regular expression",
    ":zz": "-L parameter 'zz' starting at line 1: no match",
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_ranges(text: str) -> None:
    first, last = GOOD[text]
    assert parse_range(text, LINES, path="f") == Span(first - 1, last)


@pytest.mark.parametrize("text", BAD)
def test_what_git_refuses_in_its_words(text: str) -> None:
    with pytest.raises(BadRange) as caught:
        parse_range(text, LINES, path="f")
    assert caught.value.message == BAD[text]


@pytest.mark.parametrize("text", ["x", "3x", "/x", ":", "1,2,3"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(MalformedRange):
        parse_range(text, LINES)


def test_a_search_begins_after_the_range_before() -> None:
    assert parse_range("/int/,+1", LINES, anchor=4) == Span(6, 7)
    assert parse_range("^/int/,+1", LINES, anchor=4) == Span(2, 3)
    assert parse_range(":g", LINES, anchor=5) == Span(6, 9)


def test_log_ranges_name_their_file() -> None:
    assert parse_log_range("1,5:etc/f") == ("1,5", "etc/f")
    assert parse_log_range(":main:src/a:b") == (":main", "src/a:b")
    assert parse_log_range("/a:b/,/c\\/d/:f") == ("/a:b/,/c\\/d/", "f")
    for bad in ("1,5", "etc/f", "1,5:", ":f"):
        with pytest.raises(BadRange):
            parse_log_range(bad)
