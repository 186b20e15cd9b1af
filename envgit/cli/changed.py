# SPDX-License-Identifier: Apache-2.0
"""Small pieces of text that several verbs share: a commit in one line, changes by letter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envgit.cli.app import App

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.layers.ids import CommitId
    from envgit.porcelain.moves import MoveResult


def letter(change: Change) -> str:
    """How git would mark the change: A, M, D or T."""
    if change.old is None:
        return "A"
    if change.new is None:
        return "D"
    return "M" if change.old.kind == change.new.kind else "T"


def list_short(app: App, changes: Iterable[Change]) -> None:
    """Print ``M<TAB>path`` for each change, as `git switch` lists what it takes along."""
    for change in changes:
        app.out.line(f"{letter(change)}\t{app.out.path(change.path) or '/'}")


def one_line(app: App, commit: CommitId | None) -> str:
    """A commit as ``2a35b70 subject``."""
    if commit is None:
        return ""
    git = app.repository.git
    return f"{git.abbrev(commit)} {git.commit(commit).subject}"


@contextmanager
def listing_overwritten(app: App) -> Iterator[None]:
    """List the paths that a refused move would overwrite, and what can be done, as git does."""
    from envgit.porcelain.foundation.carry import WouldOverwrite

    try:
        yield
    except WouldOverwrite as error:
        listed = "".join(f"\t{app.out.path(path) or '/'}\n" for path in error.paths)
        error.message += (
            f"\n{listed}Please commit your changes or set them aside (--discard-changes) before you"
            " switch branches.\nAborting"
        )
        raise


@contextmanager
def listing_merge_blockers(app: App) -> Iterator[None]:
    """The same where a merge, pick or stash entry would overwrite them."""
    from envgit.porcelain.foundation.carry import WouldOverwrite

    try:
        yield
    except WouldOverwrite as error:
        listed = "".join(f"\t{app.out.path(path) or '/'}\n" for path in error.paths)
        error.message = (
            "Your local changes to the following files would be overwritten by merge:\n"
            f"{listed}Please commit your changes or stash them before you merge.\nAborting"
        )
        raise


def say_parked(app: App, result: MoveResult) -> None:
    """Tell that uncommitted changes were set aside, and how to have them back."""
    if result.parked and app.settings.get_bool("advice.parkedChanges"):
        app.out.hint("the uncommitted changes were set aside; 'envgit undo' brings them back")
