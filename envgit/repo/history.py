# SPDX-License-Identifier: Apache-2.0
"""Answers about the graph of commits: common ancestors, reachability, unique prefixes, order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo.libgit2 import native
from envgit.repo.traversal import Rules, Traversal

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_PARENT1, _PARENT2, _STALE, _RESULT = 1, 2, 4, 8


def walk(
    repository: GitRepository,
    include: Sequence[str],
    exclude: Sequence[str] = (),
    *,
    order: str = "default",
    first_parent: bool = False,
    reverse: bool = False,
) -> Iterator[CommitId]:
    """See :meth:`envgit.repo.repository.GitRepository.walk`."""
    traversal = Traversal(
        repository.point,
        [repository.peel(oid) for oid in include],
        [repository.peel(oid) for oid in exclude],
        rules=Rules(order=order, first_parent=first_parent),
    )
    found = (step.point.id for step in traversal.steps())
    return reversed(list(found)) if reverse else found


def merge_bases(repository: GitRepository, first: str, others: Sequence[str]) -> list[CommitId]:
    """The best common ancestors, newest first (git's commit-reach.c, paint_down_to_common)."""
    one = repository.peel(first)
    two = [repository.peel(oid) for oid in others]
    if one in two:
        return [one]
    flags: dict[CommitId, int] = {one: _PARENT1}
    for other in two:
        flags[other] = flags.get(other, 0) | _PARENT2
    point = repository.point
    ticket = count()
    queue = [(-point(oid).time, next(ticket), oid) for oid in flags]
    heapq.heapify(queue)
    results: list[CommitId] = []
    while any(not flags[item[2]] & _STALE for item in queue):
        oid = heapq.heappop(queue)[2]
        mark = flags[oid] & (_PARENT1 | _PARENT2 | _STALE)
        if mark == _PARENT1 | _PARENT2:
            if not flags[oid] & _RESULT:
                flags[oid] |= _RESULT
                results.append(oid)
            mark |= _STALE
        for parent in point(oid).parents:
            if flags.get(parent, 0) & mark != mark:
                flags[parent] = flags.get(parent, 0) | mark
                heapq.heappush(queue, (-point(parent).time, next(ticket), parent))
    best = [oid for oid in results if not flags[oid] & _STALE]
    if len(best) > 1:
        best = [
            oid
            for oid in best
            if not any(other != oid and is_ancestor(repository, oid, other) for other in best)
        ]
    return best


def is_ancestor(repository: GitRepository, ancestor: str, descendant: str) -> bool:
    """Whether ``ancestor`` is ``descendant`` or reachable from it."""
    old, new = repository.peel(ancestor), repository.peel(descendant)
    return old == new or repository.library.descendant_of(new, old)


def abbreviate(repository: GitRepository, oid: str, length: int) -> str:
    """The shortest prefix of at least ``length`` digits that only one object has."""
    for size in range(max(length, 4), 40):
        try:
            repository.library.expand_id(oid[:size])
        except (ValueError, native.GitError):
            continue  # ambiguous
        return oid[:size]
    return oid
