# SPDX-License-Identifier: Apache-2.0
"""Path specifications pick what gitglossary(7) says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.pathspec import Pathspec, PathspecError

NAMES = st.lists(st.sampled_from([b"a", b"b", b"usr", b"x.txt", b"\xff"]), min_size=1, max_size=4)
SPECS = [b"a", b"a*", b"*b", b"usr/*", b":(glob)a/**", b":!b", b":(icase)A", b"us?/x.txt", b"/"]


@pytest.mark.parametrize(
    ("specs", "picked", "left"),
    [
        (["etc"], [b"etc", b"etc/x", b"etc/a/b"], [b"etcetera", b"usr/etc"]),
        ([r"[\d]"], [b"d"], [b"1"]),
        ([r"[\]]"], [b"]"], [b"\\"]),
        ([r"[a\-c]"], [b"-", b"a"], [b"b"]),
        (["/etc/"], [b"etc/x"], [b"usr"]),
        (["."], [b"anything", b"a/b"], []),
        (["*.txt"], [b"a.txt", b"d/e/a.txt"], [b"a.txt.gz"]),
        ([":(glob)*.txt"], [b"a.txt"], [b"d/a.txt"]),
        ([":(glob)**/a.txt"], [b"a.txt", b"d/e/a.txt"], [b"ba.txt"]),
        ([":(glob)usr/**"], [b"usr/a", b"usr/a/b"], [b"us"]),
        ([":(glob)usr/**/x"], [b"usr/x", b"usr/a/b/x"], [b"usr/a/bx"]),
        ([":(literal)*"], [b"*", b"*/a"], [b"a"]),
        ([":(icase)USR"], [b"usr/x", b"Usr"], [b"us"]),
        (["usr", ":!usr/share"], [b"usr/lib"], [b"usr/share", b"usr/share/x", b"etc"]),
        ([":^usr"], [b"etc"], [b"usr/x"]),
        (["[a-c]?"], [b"ax", b"b/"], [b"dx", b"abc"]),
        (["[!a]"], [b"b"], [b"a"]),
        (["[[:digit:]]x"], [b"1x"], [b"ax", b":x"]),
        (["a\\*"], [b"a*"], [b"ab"]),
        (["[a"], [b"[a"], [b"a"]),
        ([":/etc"], [b"etc/x"], [b"usr"]),
    ],
)
def test_matches(specs: list[str], picked: list[bytes], left: list[bytes]) -> None:
    spec = Pathspec.parse(specs)
    assert [path for path in picked if not spec.matches(path)] == []
    assert [path for path in left if spec.matches(path)] == []


def test_a_trailing_slash_means_a_directory() -> None:
    spec = Pathspec.parse(["etc/"])
    assert spec.matches(b"etc", is_directory=True) and not spec.matches(b"etc")


@pytest.mark.parametrize("spec", [":(bogus)x", ":(glob", "../x", "a/../../b", ":(glob,literal)x"])
def test_nonsense_is_refused(spec: str) -> None:
    with pytest.raises(PathspecError):
        Pathspec.parse([spec])


@given(NAMES, st.lists(st.sampled_from(SPECS), max_size=3))
def test_a_walk_finds_everything_that_matches(names: list[bytes], specs: list[bytes]) -> None:
    """``may_match_beneath`` is never wrongly False for a directory above a match."""
    spec = Pathspec.parse(specs)
    path = b"/".join(names)
    if spec.matches(path):
        for end in range(1, len(names)):
            assert spec.may_match_beneath(b"/".join(names[:end]))


@given(st.binary(min_size=1, max_size=12))
def test_any_bytes_are_a_specification_or_an_error(data: bytes) -> None:
    try:
        spec = Pathspec.parse([data])
    except PathspecError:
        return
    spec.matches(b"a/b")
    spec.may_match_beneath(b"a")
