# SPDX-License-Identifier: Apache-2.0
"""Walks history in git's orders and simplifies it to paths, so that ``log`` lists what git lists.

Pure: it knows commits as ``Point`` values from a function. Not left to libgit2, whose orders differ
from git's where dates tie and which has no history simplification. Source: git-log(1), "Commit
Ordering" and "History Simplification"; the results were compared with ``git log``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId


class Point(NamedTuple):
    """A commit as the walk sees it; times are seconds since the epoch.

    It and Step are tuples, for there are as many as commits: they are made in half the time.
    """

    id: CommitId
    parents: tuple[CommitId, ...]
    time: int
    author_time: int


class Step(NamedTuple):
    """A commit to show. ``parents`` are those left after simplification; ``edges`` those of them
    that will be shown (what a graph draws); ``left``: from the left side of ``A...B``; ``same``:
    the other side has a commit of the same changes; ``boundary``: not of the range, but a parent
    of what is; ``children``, where asked for, are those in the range, the last found first."""

    point: Point
    parents: tuple[CommitId, ...]
    edges: tuple[CommitId, ...]
    left: bool
    same: bool = False
    boundary: bool = False
    children: tuple[CommitId, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How to walk.

    ``order`` is ``default`` (newest first as reached), ``topo``, ``date`` or ``author-date``.
    ``treesame(commit, parent)`` (parent None: the empty tree) says that nothing the caller is
    interested in changed; ``ancestry`` keeps the shape of the history for a graph. ``wanted``
    decides on single commits (authors, messages); ``since`` stops the walk at older commits,
    ``until`` only hides newer ones.

    ``boundary`` adds the parents at which the range ends. ``ancestry_path`` keeps what descends
    from an excluded tip. ``side`` is ``left`` or ``right`` to show one side of ``A...B``.
    ``cherry`` is ``mark`` or ``omit`` for commits that have an equal on the other side, by
    ``changes(commit)``: a value that is equal for equal changes (None: not to be compared).
    ``children`` (with ``ancestry``) gives each step its children.
    """

    order: str = "default"
    first_parent: bool = False
    full_history: bool = False
    ancestry: bool = False
    treesame: Callable[[Point, Point | None], bool] | None = None
    wanted: Callable[[Point, int], bool] | None = None
    since: int | None = None
    until: int | None = None
    boundary: bool = False
    ancestry_path: bool = False
    side: str = ""
    cherry: str = ""
    changes: Callable[[Point], Hashable] | None = None
    children: bool = False


_Queued = tuple[int, int, Point]
"""By date, the newest first, then as met."""


class NoBottom(EnvgitError):
    """``--ancestry-path`` without an excluded commit to descend from."""


class Traversal:
    """One walk from ``include`` without what is reachable from ``exclude``.

    ``load`` gives a commit's Point. ``left`` are the tips of the left side of ``A...B``.
    """

    def __init__(
        self,
        load: Callable[[CommitId], Point],
        include: Sequence[CommitId],
        exclude: Sequence[CommitId] = (),
        *,
        left: Sequence[CommitId] = (),
        rules: Rules | None = None,
    ) -> None:
        self._load = load
        self._include = list(dict.fromkeys(include))
        self._exclude = list(dict.fromkeys(exclude))
        self._bottom = frozenset(exclude)
        self._rules = rules or Rules()
        self._left = set(left)
        self._points: dict[CommitId, Point] = {}
        self._same: set[CommitId] = set()
        self._dull: set[CommitId] = set()
        # Of the range and yet not shown: the other side's equals, or all of the other side.
        self._hidden: set[CommitId] = set()
        self._equal: set[CommitId] = set()
        self._children: dict[CommitId, list[CommitId]] = {}

    def steps(self) -> Iterator[Step]:
        """The commits to show, in order. Lazy when the order and range allow it."""
        rules = self._rules
        ordered = rules.order != "default"
        asked = rules.ancestry or rules.ancestry_path or rules.side or rules.cherry
        points: Iterator[Point] | list[Point] = self._stream()
        if self._exclude or ordered or asked:
            points = self._narrowed(self._limited())
            if ordered:
                points = self._sorted(points, rules.order)
            for point in points if rules.children else ():
                for parent in point.parents:
                    self._children.setdefault(parent, []).insert(0, point.id)
        for point in points:
            if self._shown(point):
                yield self._step(point)

    def boundary(self, shown: Sequence[Step]) -> Iterator[Step]:
        """The parents of what was shown that were not shown themselves."""
        inside = {step.point.id for step in shown}
        edge = dict.fromkeys(oid for step in shown for oid in step.parents)
        found = [oid for oid in edge if oid not in inside]
        order = "topo" if self._rules.order == "default" else self._rules.order
        points = self._sorted([self._point(oid) for oid in reversed(found)], order)
        known = inside | {point.id for point in points}
        for point in points:
            parents = self._parents(point)
            edges = tuple(oid for oid in parents if oid in known) if self._rules.ancestry else ()
            left = point.id in self._left
            same, children = point.id in self._equal, tuple(self._children.get(point.id, ()))
            yield Step(point, parents, edges, left, same, boundary=True, children=children)

    def candidates(self) -> list[tuple[Point, bool]]:
        """All commits of the range, newest first, each with whether nothing of interest changed in
        it: what a bisection chooses from."""
        return [(point, point.id in self._same) for point in self._limited()]

    # Gathering ------------------------------------------------------------------------------

    def _point(self, oid: CommitId) -> Point:
        found = self._points.get(oid)
        if found is None:
            found = self._points[oid] = self._load(oid)
        return found

    def _stream(self) -> Iterator[Point]:
        queue: list[_Queued] = []
        seen: set[CommitId] = set()
        counter = self._push(queue, self._include, seen, 0)
        simplified = self._rules.treesame is not None
        while queue:
            point = heapq.heappop(queue)[2]
            if self._too_old(point):
                continue
            if simplified:
                self._simplify(point)
                point = self._point(point.id)
            counter = self._push(queue, self._followed(point), seen, counter)
            if self._left:
                self._pass_left(point)
            yield point

    def _push(
        self, queue: list[_Queued], ids: Sequence[CommitId], seen: set[CommitId], counter: int
    ) -> int:
        for oid in ids:
            if oid not in seen:
                seen.add(oid)
                point = self._point(oid)
                heapq.heappush(queue, (-point.time, counter, point))
                counter += 1
        return counter

    def _limited(self) -> list[Point]:
        """All commits of the range, newest first; what is excluded is known before any is shown."""
        queue: list[_Queued] = []
        seen: set[CommitId] = set()
        done: set[CommitId] = set()
        self._dull = set(self._exclude)
        # As git: what an excluded tip is made of is known to be excluded before the walk begins.
        self._dull.update(oid for tip in self._exclude for oid in self._point(tip).parents)
        counter = self._push(queue, [*self._include, *self._exclude], seen, 0)
        waiting = sum(1 for _, _, point in queue if point.id not in self._dull)
        found: list[Point] = []
        oldest: int | None = None
        while queue:
            # Dull commits go on until none of them can still reach a commit that was found.
            if waiting == 0 and (oldest is None or -queue[0][0] < oldest):
                break
            point = heapq.heappop(queue)[2]
            done.add(point.id)
            dull = point.id in self._dull
            waiting -= not dull
            if not dull and self._too_old(point):
                dull = True
                self._dull.add(point.id)
            if dull:
                waiting -= sum(oid in seen and oid not in done for oid in self._mark_dull(point))
            else:
                self._simplify(point)
                point = self._point(point.id)
                self._pass_left(point)
                found.append(point)
                oldest = point.time
            # What is excluded is so through all parents: only what is shown follows first ones.
            follow = point.parents if dull else self._followed(point)
            fresh = [oid for oid in follow if oid not in seen]
            counter = self._push(queue, fresh, seen, counter)
            waiting += sum(1 for oid in set(fresh) if oid not in self._dull)
        return [point for point in found if point.id not in self._dull]

    def _narrowed(self, points: list[Point]) -> list[Point]:
        """Without what other rules than exclusion leave out."""
        rules = self._rules
        if rules.cherry:
            self._compare_sides(points)
        if rules.side:
            self._hidden.update(
                point.id for point in points if (point.id in self._left) != (rules.side == "left")
            )
        if rules.ancestry_path:
            points = self._descending(points)
        return points

    def _compare_sides(self, points: list[Point]) -> None:
        """Find commits that have an equal on the other side; merges have none (patch-ids.c)."""
        assert self._rules.changes is not None
        sides: tuple[dict[Hashable, list[CommitId]], ...] = ({}, {})
        for point in points:
            if len(point.parents) < 2:
                value = self._rules.changes(point)
                if value is not None:
                    sides[point.id in self._left].setdefault(value, []).append(point.id)
        for value in sides[0].keys() & sides[1].keys():
            self._equal.update(sides[0][value], sides[1][value])
        if self._rules.cherry == "omit":
            self._hidden |= self._equal

    def _descending(self, points: list[Point]) -> list[Point]:
        """What descends from an excluded tip, by links that are in the range."""
        if not self._exclude:
            raise NoBottom("--ancestry-path given but there are no bottom commits")
        marked = set(self._exclude)
        progress = True
        while progress:
            progress = False
            for point in reversed(points):
                if point.id not in marked and any(oid in marked for oid in point.parents):
                    marked.add(point.id)
                    progress = True
        self._dull.update(point.id for point in points if point.id not in marked)
        return [point for point in points if point.id in marked]

    def _mark_dull(self, point: Point) -> list[CommitId]:
        """Mark the ancestors known so far; returns those that were not marked before.

        The parents are read for it, so that theirs are marked at once, as git does: what a merge
        is simplified to depends on which of its parents are known to be excluded by then.
        """
        fresh = [oid for oid in dict.fromkeys(point.parents) if oid not in self._dull]
        self._dull.update(fresh)
        stack = [oid for parent in point.parents for oid in self._point(parent).parents]
        while stack:
            oid = stack.pop()
            if oid in self._dull:
                continue
            self._dull.add(oid)
            fresh.append(oid)
            known = self._points.get(oid)
            if known is not None:
                stack += known.parents
        return fresh

    def _too_old(self, point: Point) -> bool:
        return self._rules.since is not None and point.time < self._rules.since

    def _followed(self, point: Point) -> tuple[CommitId, ...]:
        return point.parents[:1] if self._rules.first_parent else point.parents

    def _pass_left(self, point: Point) -> None:
        if point.id in self._left:
            self._left.update(self._followed(point))

    def _sorted(self, points: list[Point], order: str) -> list[Point]:
        """Children before parents, all of them; among those free to come, by the order."""
        inside = {point.id: point for point in points}
        waiting = dict.fromkeys(inside, 0)
        for point in points:
            for parent in point.parents:
                if parent in waiting:
                    waiting[parent] += 1
        tips = [point for point in points if waiting[point.id] == 0]
        queue = _Queue(order, tips)
        out: list[Point] = []
        while queue:
            point = queue.pop()
            out.append(point)
            for parent in point.parents:
                if parent in waiting:
                    waiting[parent] -= 1
                    if waiting[parent] == 0:
                        queue.push(inside[parent])
        return out

    # Simplifying ----------------------------------------------------------------------------

    def _simplify(self, point: Point) -> None:
        """Note whether nothing of interest changed, and follow one such parent of a merge alone."""
        same = self._rules.treesame
        if same is None:
            return
        if not point.parents:
            if same(point, None):
                self._same.add(point.id)
            return
        # By whether the parent counts: one of an excluded side does only where there is no other.
        differs: dict[bool, bool] = {}
        for parent in self._followed(point):
            counts = self._counts(parent)
            if not same(point, self._point(parent)):
                differs[counts] = True
            elif not self._rules.full_history and counts:
                self._points[point.id] = point._replace(parents=(parent,))
                self._same.add(point.id)
                return
            else:
                differs.setdefault(counts, False)
        # git counts the second parent before it passes over it (revision.c).
        if self._rules.first_parent and any(map(self._counts, point.parents[1:2])):
            differs.setdefault(True, False)
        if not differs.get(True, differs.get(False, False)):
            self._same.add(point.id)

    def _counts(self, oid: CommitId) -> bool:
        """Whether a parent is part of the history that is shown; where a range ends counts too."""
        return oid not in self._dull or oid in self._bottom

    def _shown(self, point: Point) -> bool:
        rules = self._rules
        if point.id in self._dull or point.id in self._hidden or self._too_old(point):
            return False
        if rules.until is not None and point.time > rules.until:
            return False
        if rules.wanted is not None and not rules.wanted(point, len(point.parents)):
            return False
        if point.id not in self._same:
            return True
        return rules.ancestry and sum(map(self._counts, point.parents)) >= 2

    def _step(self, point: Point) -> Step:
        left, same = point.id in self._left, point.id in self._equal
        parents = self._parents(point)
        if not self._rules.ancestry:
            return Step(point, parents, (), left, same)
        children = tuple(self._children.get(point.id, ()))
        drawn = parents[:1] if self._rules.first_parent else parents
        if not self._rules.boundary:
            drawn = tuple(oid for oid in drawn if self._shown(self._point(oid)))
        return Step(point, parents, drawn, left, same, children=children)

    def _parents(self, point: Point) -> tuple[CommitId, ...]:
        """The parents of a commit, rewritten to what says something if a graph is drawn."""
        if not self._rules.ancestry or self._rules.treesame is None:
            return point.parents
        rewritten = (self._rewrite(parent) for parent in point.parents)
        return tuple(dict.fromkeys(oid for oid in rewritten if oid is not None))

    def _rewrite(self, oid: CommitId) -> CommitId | None:
        """The nearest ancestor that says something, None when there is none."""
        while oid not in self._dull and oid in self._same:
            parents = self._followed(self._point(oid))
            if not parents:
                return None
            relevant = [parent for parent in parents if self._counts(parent)]
            if len(parents) > 1 and len(relevant) != 1:
                break
            oid = relevant[0] if relevant else parents[0]
        return oid


class _Queue:
    """Commits free to be shown: a stack for ``topo``, else the newest first."""

    def __init__(self, order: str, tips: Sequence[Point]) -> None:
        self._order = order
        self._counter = 0
        self._heap: list[tuple[int, int, Point]] = []
        self._stack: list[Point] = []
        if order == "topo":
            self._stack = list(reversed(tips))
        else:
            for tip in tips:
                self.push(tip)

    def __bool__(self) -> bool:
        return bool(self._heap or self._stack)

    def push(self, point: Point) -> None:
        if self._order == "topo":
            self._stack.append(point)
            return
        when = point.author_time if self._order == "author-date" else point.time
        heapq.heappush(self._heap, (-when, self._counter, point))
        self._counter += 1

    def pop(self) -> Point:
        return self._stack.pop() if self._order == "topo" else heapq.heappop(self._heap)[2]
