# SPDX-License-Identifier: Apache-2.0
"""Chooses which commit to test next, so that each answer halves what is left; or which N at once.

Pure: it knows commits as ``Point`` values. With one trial at a time the commit is the one that git
proposes on the same graph (gitrevisions are the caller's). Source: git-bisect(1), git-rev-list(1)
``--bisect``, and C. Couder, "Fighting regressions with git bisect", for what weights and the
choice away from skipped commits are; the results were compared with ``git bisect``.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from envgit.layers.ids import CommitId
from envgit.repo.traversal import Point

_RANDOM = 32768
# Above so many candidates, several commits are chosen by their weights alone: comparing sets of
# ancestors costs the square of their number.
_REFINED = 4096


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do next.

    ``outcome`` is ``test`` (``commits``), ``found`` (``commits[0]`` is the first bad one),
    ``skipped`` (it is one of ``commits``, which cannot be tested, the bad one last), ``both`` (the
    bad commit is an ancestor of a good one) or ``nothing`` (no candidate touches the paths).
    ``total`` counts the candidates; ``left`` how many would be left after this test, as git says.
    """

    outcome: str
    commits: tuple[CommitId, ...] = ()
    total: int = 0
    left: int = 0

    @property
    def steps(self) -> int:
        """About how many tests are left after this one, as git estimates it."""
        return estimate(self.total)


def estimate(total: int) -> int:
    """About how many tests ``total`` candidates need after the next one, one at a time.

    With 2^n + x candidates, n - 1 steps become more likely than n where 3 x < 2^n.
    """
    if total < 3:
        return 0
    power = total.bit_length() - 1
    return power if (1 << power) < 3 * (total - (1 << power)) else power - 1


def rounds(total: int, trials: int) -> int:
    """How many rounds of ``trials`` at once ``total`` candidates on a line need."""
    count = 0
    while total > 1:
        total = -(-total // (trials + 1))
        count += 1
    return count


def choose(
    candidates: Sequence[tuple[Point, bool]],
    bad: CommitId,
    skipped: Collection[CommitId] = (),
    *,
    trials: int = 1,
    first_parent: bool = False,
) -> Choice:
    """What to test next, of ``candidates``: the ancestors of ``bad`` that are not those of a good
    commit, newest first, each with whether it changes nothing of interest (git's TREESAME)."""
    graph = _Graph(candidates, first_parent=first_parent)
    if not candidates:
        return Choice("both")
    ranked, reaches = graph.ranked(every=bool(skipped))
    tried: list[CommitId] = []
    away = False
    if skipped:
        away = ranked[0] in skipped
        if away:
            tried = [oid for oid in ranked if oid in skipped]
            ranked = [oid for oid in ranked if oid not in skipped]
            if ranked:
                ranked = [_away(ranked, bad)]
    if not ranked:
        return Choice("skipped", tuple(tried), graph.total)
    if not graph.total:
        return Choice("nothing")
    best = ranked[0]
    if best == bad:
        if tried:
            return Choice("skipped", (*tried, bad), graph.total)
        return Choice("found", (bad,), graph.total)
    chosen: tuple[CommitId, ...] = (best,)
    if trials > 1:
        chosen = graph.several(trials, bad, frozenset(skipped)) or chosen
    return Choice("test", chosen, graph.total, graph.total - reaches - 1)


def _away(free: Sequence[CommitId], bad: CommitId, turn: int = 0) -> CommitId:
    """One of ``free`` (best first), away from the best: what lies around a skipped commit is likely
    to be skipped, too. git's own pseudo-random choice, so that both propose the same."""
    count = len(free)
    number = ((count + turn) * 1103515245 + 12345) % (1 << 32) // 65536 % _RANDOM
    index = (count * number // _RANDOM) * _root(number) // _root(_RANDOM)
    if index >= count:
        return free[0]
    if free[index] != bad:
        return free[index]
    return free[index - 1] if index else free[0]


def _root(value: int) -> int:
    """An integer square root by Newton's method in single precision, as git rounds it."""
    if not value:
        return 0
    guess = _single(float(value))
    while True:
        better = _single(_single(guess + _single(value / guess)) / 2)
        change = _single(abs(better - guess))
        guess = better
        if change < 0.5:
            return int(guess)


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@dataclass(slots=True)
class _Node:
    """A candidate; ``weight`` counts those that it reaches and that change something, with itself;
    -1 while unknown. ``parents`` are those that are candidates."""

    id: CommitId
    parents: tuple[CommitId, ...]
    dull: bool
    weight: int = -1


class _Graph:
    """The candidates, oldest first, which is the order in which git looks at them."""

    def __init__(self, candidates: Sequence[tuple[Point, bool]], *, first_parent: bool) -> None:
        inside = {point.id for point, _ in candidates}
        self.nodes = [
            _Node(
                point.id,
                tuple(
                    oid
                    for oid in (point.parents[:1] if first_parent else point.parents)
                    if oid in inside
                ),
                dull,
            )
            for point, dull in reversed(candidates)
        ]
        self.by_id = {node.id: node for node in self.nodes}
        self.total = sum(not node.dull for node in self.nodes)

    def ranked(self, *, every: bool) -> tuple[list[CommitId], int]:
        """The best candidate, or all that change something from the best down (``every``), and the
        weight of the best."""
        halfway = self._weigh(every=every)
        if halfway is not None:
            return [halfway.id], halfway.weight
        bright = [node for node in self.nodes if not node.dull]
        if not bright:
            return [self.nodes[0].id], 0
        if every:
            bright.sort(key=lambda node: (-self._distance(node), node.id))
            return [node.id for node in bright], bright[0].weight
        best = max(bright, key=self._distance)  # the first of equals, as git takes it
        return [best.id], best.weight

    def _distance(self, node: _Node) -> int:
        return min(node.weight, self.total - node.weight)

    def _halfway(self, node: _Node) -> bool:
        if node.dull:
            return False
        off = abs(2 * node.weight - self.total)
        return off <= 1 or off < self.total // 1024

    def _weigh(self, *, every: bool) -> _Node | None:
        """Give each its weight, in git's order; stop at the first that is about half way."""
        merges = [node for node in self.nodes if len(node.parents) > 1]
        reached = self._reaches({node.id for node in merges}) if merges else {}
        counted = 0
        for node in self.nodes:
            if not node.parents:
                node.weight = 0 if node.dull else 1
                counted += not node.dull
        for node in merges:
            node.weight = reached[node.id]
            if not every and self._halfway(node):
                return node
            counted += 1
        waiting = [node for node in self.nodes if node.weight < 0]
        while counted < self.total and waiting:
            later = []
            for node in waiting:
                below = self.by_id[node.parents[0]].weight
                if below < 0:
                    later.append(node)
                    continue
                node.weight = below + (not node.dull)
                counted += not node.dull
                if not every and self._halfway(node):
                    return node
            waiting = later
        return None

    def _reaches(self, wanted: Collection[CommitId]) -> dict[CommitId, int]:
        """How many candidates that change something each of ``wanted`` reaches, itself included."""
        return self._sets(keep=False, wanted=wanted)

    def _sets(self, *, keep: bool, wanted: Collection[CommitId] = ()) -> dict[CommitId, int]:
        """For each candidate the set of candidates that it reaches, as the bits of a number. With
        ``keep`` false, only how many these are, for ``wanted``: a set is let go when all its
        children have theirs."""
        order = self._parents_first()
        bright = (node.id for node in order if not node.dull)
        number = {oid: place for place, oid in enumerate(bright)}
        children = dict.fromkeys(self.by_id, 0)
        for node in order:
            for oid in node.parents:
                children[oid] += 1
        sets: dict[CommitId, int] = {}
        counts: dict[CommitId, int] = {}
        for node in order:
            found = 0 if node.dull else 1 << number[node.id]
            for oid in node.parents:
                found |= sets[oid]
                children[oid] -= 1
                if not keep and not children[oid]:
                    del sets[oid]
            if node.id in wanted:
                counts[node.id] = found.bit_count()
            if keep or children[node.id]:
                sets[node.id] = found
        return sets if keep else counts

    def _parents_first(self) -> list[_Node]:
        """Oldest first is nearly that already; clocks that went wrong make it less."""
        done: set[CommitId] = set()
        order: list[_Node] = []
        for start in self.nodes:
            stack = [start]
            while stack:
                node = stack[-1]
                if node.id in done:
                    stack.pop()
                    continue
                missing = [self.by_id[oid] for oid in node.parents if oid not in done]
                if missing:
                    stack += missing
                else:
                    done.add(node.id)
                    order.append(node)
                    stack.pop()
        return order

    # Several at once ----------------------------------------------------------------------------

    def several(
        self, trials: int, bad: CommitId, skipped: Collection[CommitId]
    ) -> tuple[CommitId, ...]:
        """Up to ``trials`` commits whose verdicts together cut the candidates most evenly.

        On a line these stand at i/(N+1) of it. On any graph: the answer to "is the first bad commit
        an ancestor of c?" for each c cuts the candidates into cells, and what counts is the sum of
        the squares of their sizes, that is how many are left on average. From the commits with the
        weights of a line, each is exchanged in turn for one that makes the sum smaller.
        """
        free = [
            node
            for node in self.nodes
            if not node.dull and node.id != bad and node.id not in skipped
        ]
        self._weigh_all()
        chosen: list[CommitId] = []
        for turn in range(1, trials + 1):
            aim = self.total * turn / (trials + 1)
            rest = [node for node in free if node.id not in chosen]
            if not rest:
                break
            rest.sort(key=lambda node: (abs(node.weight - aim), node.id))
            pick = rest[0].id
            if skipped and self._is_skipped_at(aim, skipped, bad):
                pick = _away([node.id for node in rest], bad, turn)
            chosen.append(pick)
        even = -(-self.total // (trials + 1))
        if skipped or len(self.nodes) > _REFINED or self._is_line():
            return tuple(chosen)
        sets = self._sets(keep=True)
        return tuple(_refined(chosen, [node.id for node in free], sets, sets[bad], even))

    def _weigh_all(self) -> None:
        if self._is_line():
            for weight, node in enumerate(self._parents_first(), 1):
                node.weight = weight
            return
        counts = self._reaches(self.by_id)
        for node in self.nodes:
            node.weight = counts[node.id]

    def _is_line(self) -> bool:
        return not any(node.dull for node in self.nodes) and (
            sum(not node.parents for node in self.nodes) == 1
            and len({oid for node in self.nodes for oid in node.parents}) == len(self.nodes) - 1
            and all(len(node.parents) <= 1 for node in self.nodes)
        )

    def _is_skipped_at(self, aim: float, skipped: Collection[CommitId], bad: CommitId) -> bool:
        """Whether the commit one would like to test there is one that cannot be tested."""
        bright = (node for node in self.nodes if not node.dull and node.id != bad)
        return min(bright, key=lambda node: (abs(node.weight - aim), node.id)).id in skipped


def _refined(
    chosen: list[CommitId],
    free: Sequence[CommitId],
    sets: dict[CommitId, int],
    everything: int,
    even: int,
) -> list[CommitId]:
    """``chosen`` with members exchanged as long as that cuts ``everything`` more evenly."""
    best = _uneven(_cells([sets[oid] for oid in chosen], everything))
    for _ in range(3):
        before = best
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            cells = _cells([sets[oid] for oid in others], everything)
            if max(cell.bit_count() for cell in cells) <= even:
                continue
            for oid in free:
                if oid in chosen:
                    continue
                found = _uneven(_cells([sets[oid]], *cells))
                if found < best:
                    best, chosen = found, [*chosen[:place], oid, *chosen[place + 1 :]]
        if best == before:
            break
    return chosen


def _cells(ancestors: Iterable[int], *cells: int) -> list[int]:
    """``cells`` cut by each of the sets."""
    found = [cell for cell in cells if cell]
    for each in ancestors:
        found = [part for cell in found for part in (cell & each, cell & ~each) if part]
    return found


def _uneven(cells: Iterable[int]) -> int:
    return sum(cell.bit_count() ** 2 for cell in cells)
