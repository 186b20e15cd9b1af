# SPDX-License-Identifier: Apache-2.0
"""What is made of apt's record: folded steps, messages, and nothing at all of hostile lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.porcelain.foundation.transactions import Step, folded, message, parse


def steps(*lines: str) -> list[Step]:
    return [step for line in lines if (step := parse(line)) is not None]


def test_each_package_has_one_step_from_first_to_last() -> None:
    found = folded(
        steps(
            "install curl amd64 7.88.1-10",
            "upgrade curl amd64 7.88.1-10 7.88.1-11",
            "install gone amd64 1",
            "remove gone amd64 1",
            "upgrade libc6 amd64 2.36-9 2.36-10",
            "upgrade libc6 i386 2.36-9 2.36-10",
            "remove back all 1",
            "install back all 1",
        )
    )
    assert [str(step) for step in found] == [
        "install curl 7.88.1-11",
        "upgrade libc6 2.36-9 -> 2.36-10",
        "upgrade libc6 2.36-9 -> 2.36-10",
    ]


def test_the_message_names_first_what_was_asked_for() -> None:
    done = steps("install dep amd64 1", "downgrade tool amd64 2:1.0~rc1 1:9")
    assert message(done[:1]) == "apt: install dep 1\n"
    assert message(done, ["sh", "-c", "apt-get install tool; true"]) == (
        "apt: downgrade tool 2:1.0~rc1 -> 1:9, +1 more\n\n"
        "downgrade tool 2:1.0~rc1 -> 1:9\ninstall dep 1\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "install",
        "install curl amd64",
        "install curl amd64 1 2",
        "install Curl amd64 1",
        "install c\x1b[31mred amd64 1",
        "install curl amd64 -1",
        "install curl amd64 1\n",
        "install curl amd64 " + "1" * 200,
        "purge curl amd64 1",
        "install ../../etc amd64 1",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert parse(line) is None


@given(st.text())
def test_no_line_breaks_it(line: str) -> None:
    step = parse(line)
    assert step is None or "\n" not in str(step)
