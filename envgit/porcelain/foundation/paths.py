# SPDX-License-Identifier: Apache-2.0
"""What a path means that a user names, and whether it is there at all."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.errors import Refused
from envgit.layers.entry import Directory, Kind, find_entry, join
from envgit.layers.pathspec import Item, Pathspec


class NoMatch(Refused):
    """A path specification that matches nothing."""


def plain_path(text: str) -> bytes:
    """A path of the environment as typed, without leading slash, ``.`` and ``..``."""
    plain = Pathspec.parse([f":(literal){text}"]).plain()
    assert plain is not None  # a literal one
    return plain[0]


def require_match(spec: Pathspec, trees: Sequence[Directory | None]) -> None:
    """Raise NoMatch for the first specification that matches nothing in any of ``trees``."""
    for item in spec.include:
        if not any(_matches_in(item, tree, b"") for tree in trees if tree is not None):
            text = item.text.decode("utf-8", "backslashreplace")
            raise NoMatch(f"pathspec '{text}' did not match any file(s) known to envgit")


def _matches_in(item: Item, tree: Directory, path: bytes) -> bool:
    if item.pattern is None and not item.icase:
        return not item.text or find_entry(tree, item.text) is not None
    for name in tree.names():
        entry = tree.lookup(name)
        below = join(path, name)
        is_directory = entry is not None and entry.kind == Kind.DIR
        if item.matches(below, is_directory=is_directory):
            return True
        if is_directory and item.may_match_beneath(below):
            directory = tree.directory(name)
            if directory is not None and _matches_in(item, directory, below):
                return True
    return False
