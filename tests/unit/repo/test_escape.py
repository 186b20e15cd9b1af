# SPDX-License-Identifier: Apache-2.0
"""The laws of names in trees; tests/interop/test_git_names.py asks git itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.entry import is_name
from envgit.repo.escape import (
    DIRECTORY_ENTRY,
    EscapeError,
    escape,
    unescape,
)

NAMES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(".gitGIT~1%\\ \u200c\ufeff:7eba2509modules", min_size=1, max_size=12).map(str.encode),
).filter(is_name)


@given(NAMES)
def test_round_trip(name: bytes) -> None:
    escaped = escape(name)
    assert unescape(escaped) == name
    assert escaped != DIRECTORY_ENTRY
    escaped.decode()
    assert not set(escaped) & {0x2F, 0x5C, 0x7F, *range(0x20)}


@given(st.binary(max_size=30))
def test_nothing_else_is_read(name: bytes) -> None:
    try:
        plain = unescape(name)
    except EscapeError:
        return
    assert escape(plain) == name


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        (b"plain.txt", b"plain.txt"),
        ("käse".encode(), "käse".encode()),
        (b".git", b"%2Egit"),
        (b".GitIgnore", b"%2EGitIgnore"),
        (b".gi\xe2\x80\x8ct", b"%2Egi\xe2\x80\x8ct"),
        (b".github", b"%2Egithub"),
        (b"a.git", b"a.git"),
        (b"GIT~1", b"GIT%7E1"),
        (b"gi7eba~1", b"gi7eba%7E1"),
        (b"~1234567", b"%7E1234567"),
        (b"notes~1", b"notes~1"),
        (b"backup~", b"backup~"),
        (b"100%", b"100%25"),
        (b"%dir", b"%25dir"),
        (b"a\\b", b"a%5Cb"),
        (b"new\nline", b"new%0Aline"),
        (b"\xff\xc3\xa9\xc3", b"%FF\xc3\xa9%C3"),
    ],
)
def test_examples(name: bytes, escaped: bytes) -> None:
    """For ever: changing one of these changes the ids of commits."""
    assert escape(name) == escaped
    assert unescape(escaped) == name


@pytest.mark.parametrize("name", [b"%41", b"%2egit", b"%dir", b"%", b"", b"..", b".git", b"%2F"])
def test_refused(name: bytes) -> None:
    with pytest.raises(EscapeError):
        unescape(name)
