# SPDX-License-Identifier: Apache-2.0
"""What is a range and what only looks like one; git-rev-parse(1) is asked in tests/interop."""

from __future__ import annotations

import pytest

from envgit.repo.revisions import split_range


@pytest.mark.parametrize(
    ("spec", "sides"),
    [
        ("a..b", ("a", "b", False)),
        ("a...b", ("a", "b", True)),
        ("a..", ("a", "HEAD", False)),
        ("..b", ("HEAD", "b", False)),
        ("...b", ("HEAD", "b", True)),
        ("main~2..v1.0", ("main~2", "v1.0", False)),
        ("HEAD^{/a..b}..b", ("HEAD^{/a..b}", "b", False)),
        ("main@{2.days.ago}..main", ("main@{2.days.ago}", "main", False)),
    ],
)
def test_ranges(spec: str, sides: tuple[str, str, bool]) -> None:
    assert split_range(spec) == sides


@pytest.mark.parametrize(
    "spec", ["main", "..", "...", "../etc", "a/../b", "HEAD:a..b", ":/fix..that", "HEAD^{/a..b}"]
)
def test_what_is_none(spec: str) -> None:
    assert split_range(spec) is None
