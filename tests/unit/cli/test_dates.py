# SPDX-License-Identifier: Apache-2.0
"""Dates are written as git writes them; the words were taken from git's output."""

from __future__ import annotations

import pytest

from envgit.cli.dates import DateFormatError, DateStyle, relative

NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("default", "Tue Nov 14 23:43:20 2023 +0130"),
        ("iso", "2023-11-14 23:43:20 +0130"),
        ("iso-strict", "2023-11-14T23:43:20+01:30"),
        ("rfc", "Tue, 14 Nov 2023 23:43:20 +0130"),
        ("short", "2023-11-14"),
        ("raw", "1700000000 +0130"),
        ("unix", "1700000000"),
        ("format:%d %z%Z %s %%z", "14 +0130 1700000000 %z"),
    ],
)
def test_forms(style: str, expected: str) -> None:
    assert DateStyle.parse(style, now=NOW).show(NOW, 90) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "in the future"), (0, "0 seconds ago"), (1, "1 second ago"), (89, "89 seconds ago"),
        (90, "2 minutes ago"), (5400, "2 hours ago"), (129600, "2 days ago"),
        (14 * 86400, "2 weeks ago"), (75 * 86400, "3 months ago"), (365 * 86400, "1 year ago"),
        (400 * 86400, "1 year, 1 month ago"), (2000 * 86400, "5 years ago"),
    ],
)  # fmt: skip
def test_relative(seconds: int, expected: str) -> None:
    assert relative(NOW - seconds, NOW) == expected


@pytest.mark.parametrize("text", ["nope", "format", "iso-nope", ""])
def test_unknown_forms_are_refused(text: str) -> None:
    with pytest.raises(DateFormatError):
        DateStyle.parse(text, now=NOW)


def test_negative_offsets() -> None:
    assert DateStyle.parse("iso", now=NOW).show(0, -210) == "1969-12-31 20:30:00 -0330"
