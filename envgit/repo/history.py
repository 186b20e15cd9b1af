# SPDX-License-Identifier: Apache-2.0
"""Walks the graph of commits: order, common ancestors, reachability, unique prefixes.

Orders are git's to the tie (revision.c, commit.c): commits of one second are the rule here, not the
exception, and libgit2 (1.9) orders those its own way. Which commits a range holds, libgit2 says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from envgit.errors import UsageError
from envgit.layers.ids import CommitId
from envgit.repo.libgit2 import native

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

ORDERS = ("default", "date", "author-date", "topo")
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
    if order not in ORDERS:
        raise UsageError(f"unknown order of commits: {order}")
    tips = list(dict.fromkeys(repository.peel(oid) for oid in include))
    wanted = _reachable(repository, tips, exclude) if exclude else None
    found = _by_date(repository, tips, wanted, first_parent=first_parent)
    if order != "default":
        found = _topological(repository, list(found), order, first_parent=first_parent)
    return reversed(list(found)) if reverse else found


def _reachable(repository: GitRepository, tips: Sequence[str], exclude: Sequence[str]) -> set[str]:
    """The ids reachable from ``tips`` and not from ``exclude``."""
    walker = repository.library.walk(None)
    for oid in tips:
        walker.push(oid)
    for oid in exclude:
        walker.hide(repository.peel(oid))
    return {str(commit.id) for commit in walker}


def _by_date(
    repository: GitRepository,
    tips: Sequence[str],
    wanted: set[str] | None,
    *,
    first_parent: bool,
) -> Iterator[CommitId]:
    """Newest commit date first among what was reached; ties in the order they were reached."""
    ticket = count()
    links = repository.links
    seen: set[str] = set()
    queue: list[tuple[int, int, str]] = []

    def push(oid: str) -> None:
        if oid not in seen and (wanted is None or oid in wanted):
            seen.add(oid)
            heapq.heappush(queue, (-links(oid)[1], next(ticket), oid))

    for oid in tips:
        push(oid)
    while queue:
        oid = heapq.heappop(queue)[2]
        parents = links(oid)[0]
        for parent in parents[:1] if first_parent else parents:
            push(parent)
        yield CommitId(oid)


def _topological(
    repository: GitRepository, listed: list[CommitId], order: str, *, first_parent: bool
) -> Iterator[CommitId]:
    """Children before parents (git's commit.c, sort_in_topological_order)."""

    def parents_of(oid: str) -> Sequence[str]:
        parents = repository.links(oid)[0]
        return parents[:1] if first_parent else parents

    children = dict.fromkeys(listed, 0)
    for oid in listed:
        for parent in parents_of(oid):
            if parent in children:
                children[CommitId(parent)] += 1
    rank = _rank(repository, order)
    ticket = count()
    queue = [(rank(oid), next(ticket), oid) for oid in listed if not children[oid]]
    if order == "topo":
        queue.reverse()  # a stack; the first tip comes out first
    else:
        heapq.heapify(queue)
    while queue:
        oid = queue.pop()[2] if order == "topo" else heapq.heappop(queue)[2]
        yield oid
        for name in parents_of(oid):
            parent = CommitId(name)
            if parent not in children:
                continue
            children[parent] -= 1
            if not children[parent]:
                item = (rank(parent), next(ticket), parent)
                if order == "topo":
                    queue.append(item)
                else:
                    heapq.heappush(queue, item)


def _rank(repository: GitRepository, order: str) -> Callable[[str], int]:
    if order == "author-date":
        return lambda oid: -repository.git_commit(oid).author.time
    if order == "date":
        return lambda oid: -repository.links(oid)[1]
    return lambda oid: 0


def merge_bases(repository: GitRepository, first: str, others: Sequence[str]) -> list[CommitId]:
    """The best common ancestors, newest first (git's commit-reach.c, paint_down_to_common)."""
    one = repository.peel(first)
    two = [repository.peel(oid) for oid in others]
    if one in two:
        return [one]
    flags: dict[str, int] = {one: _PARENT1}
    for other in two:
        flags[other] = flags.get(other, 0) | _PARENT2
    links = repository.links
    ticket = count()
    queue = [(-links(oid)[1], next(ticket), oid) for oid in flags]
    heapq.heapify(queue)
    results: list[CommitId] = []
    while any(not flags[item[2]] & _STALE for item in queue):
        oid = heapq.heappop(queue)[2]
        mark = flags[oid] & (_PARENT1 | _PARENT2 | _STALE)
        if mark == _PARENT1 | _PARENT2:
            if not flags[oid] & _RESULT:
                flags[oid] |= _RESULT
                results.append(CommitId(oid))
            mark |= _STALE
        for parent in links(oid)[0]:
            if flags.get(parent, 0) & mark != mark:
                flags[parent] = flags.get(parent, 0) | mark
                heapq.heappush(queue, (-links(parent)[1], next(ticket), parent))
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
