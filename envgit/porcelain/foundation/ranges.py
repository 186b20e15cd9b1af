# SPDX-License-Identifier: Apache-2.0
"""Turns the arguments of ``log``, ``show`` and ``diff`` into commits, ranges and paths.

Source: gitrevisions(7), "Specifying ranges"; git-rev-parse(1) for ``--all`` and its like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError, UsageError
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.revisions import NoSuchPath as NoSuchPath
from envgit.repo.revisions import UnknownRevision as UnknownRevision
from envgit.repo.revisions import split_range as split_range
from envgit.repo.selection import Selection, select
from envgit.repo.selection import grouped as of_group
from envgit.repo.selection import parents_of as parents_of


class TooManySides(UsageError):
    """``diff`` was given more than two commits."""


class NoMergeBase(EnvgitError):
    """Two commits without a common ancestor."""


def tips_of(repository: Repository, revisions: Sequence[str]) -> Selection:
    """The commits that revision arguments name, ``--all`` and its like in their order; HEAD when
    there are none (and it has a commit)."""
    git = repository.git
    default = "HEAD" if not revisions and git.head().commit is not None else None
    return select(git, revisions, default=default)


def grouped(
    repository: Repository, argument: str, excluded: Sequence[str] = ()
) -> Iterator[tuple[str, str, bool]]:
    """(name, object id, whether it is left out) of what ``--all`` and its like stand for."""
    return of_group(repository.git, argument, excluded)


@dataclass(frozen=True, slots=True)
class Sides:
    """What ``diff`` compares: two commits, or a commit (None: nothing yet) with the worktree."""

    old: CommitId | None
    new: CommitId | None
    worktree: bool = False


def sides_of(repository: Repository, revisions: Sequence[str], *, merge_base: bool) -> Sides:
    """The two sides that the revision arguments of ``diff`` name. Raises TooManySides."""
    git = repository.git
    if not revisions:
        return Sides(git.head().commit, None, worktree=True)
    if len(revisions) == 1:
        parts = split_range(revisions[0])
        if parts is None:
            old = git.resolve(revisions[0])
            head = git.head().commit
            if merge_base and head is not None:
                old = _common(repository, old, head)
            return Sides(old, None, worktree=True)
        old, new = git.resolve(parts[0]), git.resolve(parts[1])
        return Sides(_common(repository, old, new) if parts[2] else old, new)
    if len(revisions) > 2:
        raise TooManySides(f"diff compares two commits, not {len(revisions)}")
    # ``diff ^A B`` is the range A..B.
    old, new = (git.resolve(revision.removeprefix("^")) for revision in revisions)
    if revisions[1].startswith("^"):
        old, new = new, old
    return Sides(_common(repository, old, new) if merge_base else old, new)


def _common(repository: Repository, old: CommitId, new: CommitId) -> CommitId:
    base = repository.git.merge_base(old, new)
    if base is None:
        raise NoMergeBase("no merge base")
    return base


def split_arguments(
    repository: Repository, arguments: Sequence[str], paths: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Tell revisions from paths as git does: once something is no revision, the rest are paths.

    ``paths`` is what followed ``--`` (then all ``arguments`` are revisions). Raises what resolving
    raises when an argument is neither a revision nor a path that exists in HEAD.
    """
    if paths is not None:
        return list(arguments), list(paths)
    for index, argument in enumerate(arguments):
        if argument.startswith("--"):
            continue
        try:
            tips_of(repository, [argument])
        except EnvgitError:
            rest = list(arguments[index:])
            for path in rest:
                if not exists(repository, path):
                    raise
            return list(arguments[:index]), rest
    return list(arguments), []


def split_objects(
    repository: Repository, arguments: Sequence[str], paths: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """As split_arguments, where ``REV:PATH`` is an object too."""
    if paths is not None:
        return list(arguments), list(paths)
    for index, argument in enumerate(arguments):
        if ":" not in argument:
            head, rest = split_arguments(repository, arguments[index:], None)
            if rest:
                return [*arguments[:index], *head], rest
    return list(arguments), []


def exists(repository: Repository, argument: str) -> bool:
    """Whether an argument can be meant as a path: it is in HEAD or in the worktree."""
    from envgit.layers.entry import find_entry
    from envgit.layers.pathspec import Pathspec
    from envgit.porcelain.foundation.contents import contents

    if any(char in argument for char in "*?[") or argument.startswith(":("):
        return True
    path = Pathspec.parse([argument]).plain()
    if path is None:
        return False
    tree = repository.git.files(repository.git.head().commit)
    if tree is not None and find_entry(tree, path[0]) is not None:
        return True
    if repository.settings.get("envgit.worktree") is None:
        return False  # a repository without an environment, such as a mirror
    with contents(repository, None) as files:
        return files.find(path[0]) is not None
