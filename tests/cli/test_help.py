# SPDX-License-Identifier: Apache-2.0
"""The texts of help are kept as files, so that a change of them is seen and meant.

``ENVGIT_TEST_UPDATE=1 pytest tests/cli/test_help.py`` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.cli import table
from envgit.cli.helping import overview
from envgit.cli.main import load
from envgit.cli.verb import Group, Verb

SNAPSHOTS = Path(__file__).parent / "snapshots"


def verbs() -> list[tuple[str, Verb]]:
    """Every visible verb, and the verbs of groups."""
    found: list[tuple[str, Verb]] = []
    targets = table.verbs()
    for name in table.summaries():
        command = load(targets[name])
        found.append((name, command))
        if isinstance(command, Group):
            found += command.verbs.items()
    return found


def compare(name: str, text: str) -> None:
    """Compare with the snapshot, or write it when asked to."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("ENVGIT_TEST_UPDATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_the_overview() -> None:
    compare("overview", overview())


@pytest.mark.parametrize("name", table.summaries())
def test_help_of_each_verb(name: str) -> None:
    command = load(table.verbs()[name])
    compare(name, command.manual())
    if isinstance(command, Group):
        for part, verb in command.verbs.items():
            compare(part.replace(" ", "-"), verb.manual())


@pytest.mark.parametrize("name", table.summaries())
def test_the_table_says_what_the_verbs_say(name: str) -> None:
    command = load(table.verbs()[name])
    first = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
    assert first == f"{table.summaries()[name]}."


@pytest.mark.parametrize("name", table.summaries())
def test_help_fits_a_terminal_and_every_option_is_explained(name: str) -> None:
    command = load(table.verbs()[name])
    for line in command.manual().splitlines():
        assert len(line) <= 100, line
    for option in command.options():
        assert option.hidden or option.help, option.opts
