# SPDX-License-Identifier: Apache-2.0
"""Answers about the graph of commits: common ancestors, reachability, unique prefixes, order."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo.commits import ObjectMissing
from envgit.repo.packindex import PackIndex, index_paths
from envgit.repo.traversal import Rules, Traversal

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_PARENT1, _PARENT2, _STALE, _RESULT = 1, 2, 4, 8
_LEAST = 7
"""Digits of a short id at least, as in git."""


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


def ancestors(repository: GitRepository, commit: CommitId) -> set[CommitId]:
    """The commit and all that is reachable from it; no date, which may be wrong, is trusted."""
    seen, stack = {commit}, [commit]
    while stack:
        for parent in repository.point(stack.pop()).parents:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return seen


def containing(
    repository: GitRepository, commit: CommitId, tips: Iterable[CommitId]
) -> set[CommitId]:
    """Those of ``tips`` (commits, or tags of one) from which ``commit`` is reachable, found in one
    walk for all of them."""
    peeled: dict[CommitId, CommitId] = {}
    for tip in tips:
        with suppress(ObjectMissing):
            peeled[tip] = repository.peel(tip)
    children: dict[CommitId, list[CommitId]] = {oid: [] for oid in peeled.values()}
    stack = [oid for oid in children if oid != commit]
    while stack:
        child = stack.pop()
        for parent in repository.point(child).parents:
            if parent not in children:
                children[parent] = []
                if parent != commit:
                    stack.append(parent)
            children[parent].append(child)
    found, stack = {commit}, [commit]
    while stack:
        fresh = [child for child in children.get(stack.pop(), ()) if child not in found]
        found.update(fresh)
        stack += fresh
    return {tip for tip, oid in peeled.items() if oid in found}


class Abbreviator:
    """Shortens ids to what no other object of the repository begins with.

    Looks at the neighbours of an id in each index: libgit2 takes 190 us for one id, this 20. With
    ``still`` what came or went after the first id is not looked for: a log shortens thousands.
    """

    def __init__(self, path: str, *, still: bool = False) -> None:
        self._objects = os.path.join(path, "objects")
        self._stamp = -1
        self._indexes: list[PackIndex] = []
        self._usual = _LEAST
        self._still = still
        self._folders: dict[str, list[str]] = {}

    def shorten(self, oid: str, length: int | None) -> str:
        """The shortest unique prefix of at least ``length`` (and 4) digits, or git's own number."""
        if self._stamp < 0 or not self._still:
            self._refresh()
        if length is None:
            length = self._usual
        binary = bytes.fromhex(oid)
        shared = 0
        for index in self._indexes:
            for other in index.neighbours(binary):
                shared = max(shared, _common(oid, other.hex()))
        for name in self._loose(oid[:2]):
            if name != oid[2:]:
                shared = max(shared, _common(oid, oid[:2] + name))
        return oid[: max(length, 4, shared + 1)]

    def _refresh(self) -> None:
        """Open the indexes anew when packs came or went."""
        packs = os.path.join(self._objects, "pack")
        stamp = os.stat(packs).st_mtime_ns
        if stamp == self._stamp:
            return
        for index in self._indexes:
            index.close()
        self._indexes = []
        for path in index_paths(packs):
            with suppress(FileNotFoundError):
                self._indexes.append(PackIndex(path))
        self._stamp = stamp
        # git's rule (object-name.c, repo_find_unique_abbrev_r): half as many digits as the number
        # of packed objects has bits, which is twice what makes a collision likely.
        objects = sum(index.count for index in self._indexes)
        self._usual = max(_LEAST, (objects.bit_length() + 1) // 2)

    def _loose(self, folder: str) -> list[str]:
        known = self._folders.get(folder) if self._still else None
        if known is not None:
            return known
        try:
            found = os.listdir(os.path.join(self._objects, folder))
        except FileNotFoundError:
            found = []
        self._folders[folder] = found
        return found


def _common(one: str, other: str) -> int:
    return 40 - ((int(one, 16) ^ int(other, 16)).bit_length() + 3) // 4
