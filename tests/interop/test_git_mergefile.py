# SPDX-License-Identifier: Apache-2.0
"""Texts are merged as ``git merge-file`` merges them, to the byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.repo.mergefile import STYLES, TextMerger

pytestmark = pytest.mark.peer("git>=2.35")

LINES = st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d\r\n", b"\xff\xfe\n", b"e f\n", b"}\n"])
LABELS = ("base", "HEAD", "exp")


@st.composite
def _edits(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    """A text that was edited at a few places, perhaps without a newline at its end."""
    edited = list(lines)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(edited)))
        gone = draw(st.integers(0, 2))
        edited[place : place + gone] = draw(st.lists(LINES, max_size=2))
    text = b"".join(edited)
    return text.rstrip(b"\n") if draw(st.booleans()) and draw(st.booleans()) else text


@st.composite
def triples(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A text and two that were made of it."""
    lines = draw(st.lists(LINES, max_size=14))
    return b"".join(lines), draw(_edits(lines)), draw(_edits(lines))


def merge_file(folder: Path, texts: tuple[bytes, bytes, bytes], *options: str) -> tuple[bytes, int]:
    """What git prints, and how many conflicts it counts."""
    for name, text in zip(("base", "ours", "theirs"), texts, strict=True):
        (folder / name).write_bytes(text)
    labels = ["-L", "HEAD", "-L", "base", "-L", "exp"]
    argv = ["git", "merge-file", "-p", *options, *labels, "ours", "base", "theirs"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    assert done.stderr == b""
    return done.stdout, done.returncode


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=triples())
def test_same_bytes_as_git(
    tmp_path_factory: pytest.TempPathFactory, style: str, texts: tuple[bytes, bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("merge", numbered=True)
    options = [] if style == "merge" else [f"--{style}"]
    expected, conflicts = merge_file(folder, texts, *options)
    merged = TextMerger(LABELS, style=style, simplify=True).merge(*texts)
    assert (merged.content, merged.clean) == (expected, conflicts == 0)


@pytest.mark.parametrize("side", ["ours", "theirs"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=triples())
def test_a_favoured_side(
    tmp_path_factory: pytest.TempPathFactory, side: str, texts: tuple[bytes, bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("merge", numbered=True)
    expected, _ = merge_file(folder, texts, f"--{side}")
    merged = TextMerger(LABELS, favour=side, simplify=True).merge(*texts)
    assert (merged.content, merged.clean) == (expected, True)


def test_longer_markers() -> None:
    merged = TextMerger(LABELS, extra=2).merge(b"a\n", b"b\n", b"c\n")
    assert merged.content == b"<<<<<<<<< HEAD\nb\n=========\nc\n>>>>>>>>> exp\n"


def test_without_a_base_both_are_new() -> None:
    merged = TextMerger(LABELS).merge(None, b"a\nx\n", b"a\ny\n")
    assert merged.content == b"a\n<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> exp\n"
    assert not merged.clean
