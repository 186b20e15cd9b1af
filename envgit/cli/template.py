# SPDX-License-Identifier: Apache-2.0
"""Drafts what the editor shows for a commit: the message, then git's comments on what goes in."""

from __future__ import annotations

import copy
import io

from envgit.cli import statusview
from envgit.cli.app import App
from envgit.cli.output import Output

_INTRODUCTION = """
# Please enter the commit message for your changes. Lines starting
# with '#' will be ignored, and an empty message aborts the commit.
#
"""
_SCISSORS = """\
# ------------------------ >8 ------------------------
# Do not modify or remove the line above.
# Everything below it will be ignored.
"""


def template(app: App, draft: str, *, verbose: bool) -> str:
    """The text to edit; ``verbose`` puts the whole difference below git's scissors line."""
    plain = copy.copy(app)
    buffer = io.BytesIO()
    plain.out = Output(buffer, buffer, environ=app.environ, settings=lambda: app.settings)
    plain.out.colour_for(when="never")
    text = draft + _INTRODUCTION
    for line in statusview.long(plain, app.repository.status(), hints=False):
        text += f"#{'' if not line or line.startswith(chr(9)) else ' '}{line}\n"
    text = text.removesuffix("#\n") + "#\n"
    if verbose:
        _write_difference(plain)
        plain.out.flush()
        text += _SCISSORS + buffer.getvalue().decode("utf-8", "surrogateescape")
    return text


def _write_difference(app: App) -> None:
    from envgit.cli.diffview import DiffView
    from envgit.porcelain.difference import with_worktree
    from envgit.porcelain.foundation.comparing import Choice, TextOptions

    head = app.repository.git.head().commit
    view = DiffView(frozenset({"patch"}), TextOptions(), Choice())
    view.write(app, with_worktree(app.repository, head))
