# SPDX-License-Identifier: Apache-2.0
"""What settings decide about differences where the command line does not."""

from __future__ import annotations

import pytest

from envgit.cli.difference import diff
from envgit.cli.diffview import DiffView, view_of
from envgit.settings import Entry, Settings


def view(*words: str, **values: str) -> DiffView:
    entries = [
        Entry(name.replace("_", "."), value, "command", "command line:")
        for name, value in values.items()
    ]
    with diff.make_context("diff", list(words), obj=None) as context:
        return view_of(context.params, Settings(entries, {}))


@pytest.mark.parametrize(
    ("words", "values", "context", "renames"),
    [
        ((), {}, 3, 50),
        ((), {"diff_context": "5", "diff_renames": "false"}, 5, None),
        (("-U1", "-M90%"), {"diff_context": "5", "diff_renames": "false"}, 1, 90),
        (("--no-renames",), {"diff_renames": "copies"}, 3, None),
        ((), {"diff_renames": "copies"}, 3, 50),
    ],
)
def test_context_and_renames(
    words: tuple[str, ...], values: dict[str, str], context: int, renames: int | None
) -> None:
    made = view(*words, **values)
    assert (made.text.context, made.choice.renames) == (context, renames)
