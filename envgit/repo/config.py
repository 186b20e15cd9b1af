# SPDX-License-Identifier: Apache-2.0
"""Writes git config files without losing comments or layout; settings.py only reads them."""

from __future__ import annotations

import os

from envgit.config_syntax import parse


def set_value(path: str, name: str, value: str) -> None:
    """Set ``section.key`` or ``section.sub.key`` in the file ``path``, replacing its last value."""
    import pygit2

    if not os.path.exists(path):
        with open(path, "a"):
            pass
    pygit2.Config(path)[name] = value


def upstream(repository: str, branch: str) -> str | None:
    """The full name of the ref that a branch tracks, by ``branch.<name>.remote`` and ``.merge``."""
    try:
        with open(os.path.join(repository, "config"), "rb") as file:
            items = parse(file.read(), "config")
    except FileNotFoundError:
        return None
    values = {item.name: item.value for item in items}
    remote, merge = values.get(f"branch.{branch}.remote"), values.get(f"branch.{branch}.merge")
    if not remote or not merge:
        return None
    if remote == ".":
        return merge
    return f"refs/remotes/{remote}/{merge.removeprefix('refs/heads/')}"
