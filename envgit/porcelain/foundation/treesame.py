# SPDX-License-Identifier: Apache-2.0
"""Tells a walk through the history which commits changed what somebody is interested in.

Source: git-log(1), "History Simplification" and ``--cherry-mark``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from envgit.porcelain.foundation.plaintext import plain
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.traversal import Point

if TYPE_CHECKING:
    from envgit.layers.entry import Entry
    from envgit.layers.pathspec import Pathspec


def treesame(
    repository: Repository, spec: Pathspec | None, packages: Sequence[str]
) -> Callable[[Point, Point | None], bool] | None:
    """Whether a commit left alone what is asked for: the paths, or the packages."""
    paths = _same(repository, spec) if spec else None
    if not packages:
        return paths
    named = _same_packages(repository, packages)
    return named if paths is None else lambda *ends: paths(*ends) or named(*ends)


def _same_packages(
    repository: Repository, packages: Sequence[str]
) -> Callable[[Point, Point | None], bool]:
    from envgit.porcelain.foundation.packages.found import Named
    from envgit.porcelain.foundation.packages.history import History

    history, names = History(repository), [Named.parse(name) for name in packages]
    said: set[str] = set()

    def same(point: Point, parent: Point | None) -> bool:
        found = history.between(None if parent is None else parent.id, point.id)
        for one in found.problems:
            if one.reason not in said:
                said.add(one.reason)
                repository.notify(f"warning: not all packages are known: {plain(one.reason)}")
        return not found.only(names)

    return same


def _same(repository: Repository, spec: Pathspec) -> Callable[[Point, Point | None], bool]:
    from envgit.layers.interest import differs

    git = repository.git

    def same(point: Point, parent: Point | None) -> bool:
        old = git.files(None if parent is None else parent.id)
        return not differs(old, git.files(point.id), spec)

    return same


def changes(repository: Repository, spec: Pathspec | None) -> Callable[[Point], Hashable]:
    """What a commit changed within ``spec``, as a value that is equal for equal changes: path, and
    what it was and became but for times. (git compares the lines of its patch.)"""
    from envgit.layers import compare
    from envgit.layers.interest import picks

    git = repository.git

    def content(entry: Entry | None) -> Entry | None:
        return None if entry is None else replace(entry, mtime=0, hardlinks=())

    def value(point: Point) -> Hashable:
        old = git.files(point.parents[0] if point.parents else None)
        return frozenset(
            (change.path, content(change.old), content(change.new))
            for change in compare.changes(old, git.files(point.id))
            if spec is None or picks(spec, change)
        )

    return value
