# SPDX-License-Identifier: Apache-2.0
"""Whether the paths a user named are there at all, in the words git uses when they are not."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.errors import Refused
from envgit.layers.entry import Directory, Kind, find_entry
from envgit.layers.pathspec import Item, Pathspec


class NoSuchPath(Refused):
    """A path specification that matches nothing."""


def require_match(spec: Pathspec, trees: Sequence[Directory | None]) -> None:
    """Raise NoSuchPath for the first specification that matches nothing in any of ``trees``."""
    for item in spec.include:
        if not any(_matches_in(item, tree, b"") for tree in trees if tree is not None):
            text = item.text.decode("utf-8", "backslashreplace")
            raise NoSuchPath(f"pathspec '{text}' did not match any file(s) known to envgit")


def _matches_in(item: Item, tree: Directory, path: bytes) -> bool:
    if item.pattern is None and not item.icase:
        return not item.text or find_entry(tree, item.text) is not None
    for name in tree.names():
        entry = tree.lookup(name)
        below = path + b"/" + name if path else name
        is_directory = entry is not None and entry.kind == Kind.DIR
        if item.matches(below, is_directory=is_directory):
            return True
        if is_directory and item.may_match_beneath(below):
            directory = tree.directory(name)
            if directory is not None and _matches_in(item, directory, below):
                return True
    return False
