# SPDX-License-Identifier: Apache-2.0
"""Turns the arguments of ``log``, ``show`` and ``diff`` into commits, ranges and paths.

Source: gitrevisions(7), "Specifying ranges"; git-rev-parse(1) for ``--all`` and its like.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgit.errors import EnvgitError
from envgit.layers.compare import changes
from envgit.layers.entry import Directory, Kind, find_entry
from envgit.layers.ids import CommitId
from envgit.layers.pathspec import Pathspec
from envgit.layers.renames import classify, detect
from envgit.porcelain.repository import Repository

GROUPS = {"--branches": "refs/heads/", "--tags": "refs/tags/", "--remotes": "refs/remotes/"}
INTERNAL = "refs/envgit/"
"""Refs that envgit keeps for itself: ``--all`` leaves them out."""


@dataclass(slots=True)
class Tips:
    """Where a walk starts and what it leaves out; ``left`` is the left side of ``A...B``."""

    include: list[CommitId] = field(default_factory=list)
    exclude: list[CommitId] = field(default_factory=list)
    left: list[CommitId] = field(default_factory=list)


def tips_of(repository: Repository, revisions: Sequence[str]) -> Tips:
    """The commits that revision arguments name, in order; HEAD when there are none."""
    tips = Tips()
    named = False
    negated = False
    for argument in revisions:
        if argument == "--not":
            negated = not negated
            continue
        named = True
        if argument.startswith("--"):
            side = tips.exclude if negated else tips.include
            side += _group(repository, argument)
        else:
            _add(repository, argument, tips, negated=negated)
    if not named:
        head = repository.git.head().commit
        if head is not None:
            tips.include.append(head)
    return tips


def _group(repository: Repository, argument: str) -> list[CommitId]:
    git = repository.git
    option, _, pattern = argument.partition("=")
    found: list[CommitId] = []
    if option == "--all":
        names = [name for name in git.refs("refs/") if not name.startswith(INTERNAL)]
    elif option in GROUPS or option == "--glob":
        prefix = GROUPS.get(option, "refs/")
        names = [name for name in git.refs(prefix) if _fits(name, prefix, pattern)]
    else:
        raise EnvgitError(f"unrecognized argument: {argument}")
    for name in names:
        oid = git.ref(name)
        if oid is not None and git.read(oid)[0] in ("commit", "tag"):
            found.append(git.peel(oid))
    head = git.head().commit
    if option == "--all" and head is not None:
        found.append(head)
    return found


def _fits(name: str, prefix: str, pattern: str) -> bool:
    """As git: a pattern without a wildcard stands for all beneath it."""
    if name.startswith(INTERNAL):
        return False
    if not pattern:
        return True
    pattern = pattern if pattern.startswith("refs/") else prefix + pattern
    if not any(char in pattern for char in "*?["):
        pattern = pattern.rstrip("/") + "/*"
    return fnmatch.fnmatchcase(name, pattern)


def _add(repository: Repository, argument: str, tips: Tips, *, negated: bool) -> None:
    git = repository.git
    include, exclude = (tips.exclude, tips.include) if negated else (tips.include, tips.exclude)
    if argument.startswith("^"):
        exclude.append(git.resolve(argument[1:]))
        return
    sides = split_range(argument)
    if sides is not None:
        left, right, symmetric = sides
        old, new = git.resolve(left), git.resolve(right)
        if symmetric:
            include += (old, new)
            exclude += git.merge_bases(old, new)
            tips.left.append(old)
        else:
            exclude.append(old)
            include.append(new)
        return
    for suffix in ("^@", "^!"):
        if argument.endswith(suffix):
            commit = git.git_commit(git.resolve(argument[:-2]))
            if suffix == "^!":
                include.append(commit.id)
                exclude += commit.parents
            else:
                include += commit.parents
            return
    include.append(git.resolve(argument))


def split_range(argument: str) -> tuple[str, str, bool] | None:
    """(left, right, symmetric) of ``A..B`` or ``A...B``, HEAD for a missing side; else None."""
    symmetric = "..." in argument
    left, dots, right = argument.partition("..." if symmetric else "..")
    # ``..`` alone is the parent directory, and dots after a colon belong to a path.
    if not dots or argument == ".." or ":" in left:
        return None
    return left or "HEAD", right or "HEAD", symmetric


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
                if not _exists(repository, path):
                    raise
            return list(arguments[:index]), rest
    return list(arguments), []


def _exists(repository: Repository, argument: str) -> bool:
    if any(char in argument for char in "*?[") or argument.startswith(":("):
        return True
    head = repository.git.head().commit
    if head is None:
        return False
    path = Pathspec.parse([argument]).plain()
    tree = repository.git.rootfs(head)
    return path is not None and find_entry(tree, path[0]) is not None


def renamed_from(old: Directory | None, new: Directory, path: bytes) -> bytes | None:
    """Where the file at ``path`` of ``new`` was in ``old``, if it is there under another name."""
    if old is None or find_entry(old, path) is not None:
        return None
    entry = find_entry(new, path)
    if entry is None or entry.kind == Kind.DIR:
        return None
    for change in detect(classify(changes(old, new))):
        if change.status == "R" and change.path == path:
            return change.old_path
    return None
