# SPDX-License-Identifier: Apache-2.0
"""Takes one side of paths in conflict, for ``restore`` and ``checkout``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from envgit.cli.app import App
from envgit.errors import EnvgitError

Chosen = tuple[bool, bool, bool, str | None]
"""The options ``--ours``, ``--theirs``, ``--merge`` and ``--conflict``."""

_STYLES = ("merge", "diff3", "zdiff3")


def take_side(app: App, paths: Sequence[str], source: str | None, chosen: Chosen) -> int:
    """Do what the options say with the conflicts that ``paths`` pick."""
    ours, theirs, again, style = chosen
    if style is not None and style not in _STYLES:
        raise EnvgitError(f"unknown conflict style '{style}'")
    again = again or style is not None
    if ours and theirs:
        raise EnvgitError("options '--ours' and '--theirs' cannot be used together")
    if again and (ours or theirs):
        raise EnvgitError("options '--merge' and '--ours/--theirs' cannot be used together")
    if source is not None:
        raise EnvgitError("cannot take a side from a commit", hint="leave the commit out")
    from envgit.porcelain.resolve import take

    which = "ours" if ours else "theirs" if theirs else "merge"
    take(app.repository, [os.fsencode(path) for path in paths], which, style=style)
    return 0
