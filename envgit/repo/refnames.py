# SPDX-License-Identifier: Apache-2.0
"""What may be the name of a ref: git-check-ref-format(1), and how short names are looked up."""

from __future__ import annotations

import re

from envgit.errors import EnvgitError

HEADS = "refs/heads/"
TAGS = "refs/tags/"
REMOTES = "refs/remotes/"
INTERNAL = "refs/envgit/"
"""Refs that envgit keeps for itself: no part of the user's history, and in no ``--all``."""
LINKED = f"{INTERNAL}linked/"
"""The record of each linked worktree while there is one (porcelain/foundation/linking.py)."""
PER_WORKTREE = ("refs/bisect/", "refs/worktree/", "refs/rewritten/")
"""Each worktree has these for itself (gitrepository-layout(5), ``refs``)."""
PRIVATE = (INTERNAL, "refs/worktree/envgit/")
"""All of those: the second are one worktree's alone (git-worktree(1), "Refs")."""
STASH = "refs/stash"
"""The newest entry of the stash, as in git; envgit/repo/stash.py has the others."""
SYMBOLIC = "ref: "
"""What a ref that leads to another one, such as HEAD, begins with."""

# gitrevisions(7), "<refname>": in this order.
LOOKUP_RULES = (
    "{}",
    "refs/{}",
    "refs/tags/{}",
    "refs/heads/{}",
    "refs/remotes/{}",
    "refs/remotes/{}/HEAD",
)

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|\.$")
_PSEUDO = re.compile(r"\A[A-Z][A-Z_]*\Z")
_OTHERS = re.compile(r"\A(?:main-worktree|worktrees/([^/]+))/(.+)\Z", re.DOTALL)


class BadRefName(EnvgitError):
    """A name that git would not take for a ref."""


def is_ref_name(name: str, *, one_level: bool = False) -> bool:
    """Whether git-check-ref-format(1) accepts the full name (``refs/heads/main``)."""
    if not name or name == "@" or name.startswith("/") or name.endswith("/"):
        return False
    if not one_level and "/" not in name:
        return False
    return _FORBIDDEN.search(name) is None


def is_storable(name: str) -> bool:
    """Whether a ref of that full name can be written: under ``refs/``, or like ``ORIG_HEAD``; of
    another worktree, as ``in_worktree`` takes it, only what each has for itself."""
    if name.startswith("refs/"):
        return is_ref_name(name)
    found = in_worktree(name)
    if found is not None:
        name = found[1]
        return name.startswith(PER_WORKTREE) or _PSEUDO.match(name) is not None
    return _PSEUDO.match(name) is not None


def in_worktree(name: str) -> tuple[str, str] | None:
    """``main-worktree/X`` as ("", X) and ``worktrees/NAME/X`` as (NAME, X), git-worktree(1) "REFS";
    None for any other name."""
    found = _OTHERS.match(name)
    if found is None or not is_ref_name(name):
        return None
    return found[1] or "", found[2]


def is_other_head(name: str) -> bool:
    """Whether that is the HEAD of a worktree named outright, whose value may be symbolic."""
    found = in_worktree(name)
    return found is not None and found[1] == "HEAD"


def check_branch(name: str) -> str:
    """The full name of a branch; raises BadRefName, worded as git's."""
    if name.startswith("-") or name == "HEAD" or not is_ref_name(HEADS + name):
        raise BadRefName(f"'{name}' is not a valid branch name")
    return HEADS + name


def check_tag(name: str) -> str:
    """The full name of a tag; raises BadRefName, worded as git's."""
    if name.startswith("-") or name == "HEAD" or not is_ref_name(TAGS + name):
        raise BadRefName(f"'{name}' is not a valid tag name.")
    return TAGS + name


def shorten(name: str) -> str:
    """A full name as people write it: without ``refs/heads/`` and its like."""
    for prefix in (HEADS, TAGS, REMOTES):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name
