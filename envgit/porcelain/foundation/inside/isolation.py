# SPDX-License-Identifier: Apache-2.0
"""Which of many changes make a test fail: delta debugging, with halving where halving will do.

Pure: changes are numbers, in an order in which what others need comes first; a test answers for
sets of them. A. Zeller, R. Hildebrandt: Simplifying and Isolating Failure-Inducing Input (IEEE TSE
28:2, 2002) has ``ddmin`` and the three outcomes. Where more changes never mend what fewer break
(monotony), the shortest failing beginning of the order ends with a change that is needed, which
costs log2(n) tests, and the rest of what is needed lies before it (U. Junker, QuickXplain, AAAI
2004); ``ddmin`` is for what that leaves when tests are unresolved or not monotone.

Laws (tests/unit/porcelain/test_isolation.py): what `Search.smallest` returns fails; without any one
of its changes it does not fail, unless the limit was reached; no set is tested twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

Changes = frozenset[int]


class Outcome(Enum):
    """What a test says of a set of changes."""

    FAILS = "bad"
    PASSES = "good"
    UNRESOLVED = "skip"


Test = Callable[[Sequence[Changes]], Sequence[Outcome]]
"""Tests some sets, at once where it can, and says how each went, in their order."""

Adjust = Callable[[Changes], "Changes | None"]
"""Makes a set one that can be tested; None where that cannot be."""

_AT_ONCE = 4
"""Up to so many changes, taking them away one by one is as cheap as ``ddmin``."""


class OverLimit(Exception):
    """The tests that were allowed are used up."""


def _same(changes: Changes) -> Changes:
    return changes


@dataclass(frozen=True, slots=True)
class Reduced:
    """A set of changes that fails, in order.

    ``undecided`` are those without which the test is unresolved; ``complete`` that no single one
    can be left out for all that is known: False if the search was ended before.
    """

    changes: tuple[int, ...]
    undecided: tuple[int, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Cause:
    """Changes that together make the test fail, in order.

    ``along`` are changes that had to come with them, because they need them, and do not make it
    fail; ``bound`` those that cannot be told from them, since neither can be without the other.
    ``undecided`` and ``complete`` are those of `Reduced`.
    """

    changes: tuple[int, ...]
    along: tuple[int, ...] = ()
    bound: tuple[int, ...] = ()
    undecided: tuple[int, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Isolated:
    """All causes that were found. ``without`` is how the test goes with everything but them, and
    ``left_out`` what had to go with them, because it needs them."""

    causes: tuple[Cause, ...]
    without: Outcome
    left_out: tuple[int, ...]


class Search:
    """Tests sets of changes, and remembers; ``jobs`` of them at once, ``limit`` at most.

    ``patience``: so many unresolved sets in one halving end the search as the limit does; without,
    ``ddmin`` takes over. ``closed`` adds what a set needs, ``opened`` takes away what cannot be in
    it; where they say None, the set is unresolved without a test.
    """

    def __init__(
        self,
        test: Test,
        *,
        jobs: int = 1,
        limit: int | None = None,
        patience: int | None = None,
        closed: Adjust = _same,
        opened: Adjust = _same,
    ) -> None:
        self._test = test
        self._jobs = jobs
        self._limit = limit
        self._patience = patience
        self._closed = closed
        self._opened = opened
        self._known: dict[Changes, Outcome] = {}
        self._closures: dict[Changes, Changes | None] = {}
        self._best: Changes = frozenset()
        self.tests = 0

    def learn(self, changes: Changes, outcome: Outcome) -> None:
        """Take an outcome that is known already."""
        self._known[changes] = outcome

    def ask(self, *sets: Changes) -> list[Outcome]:
        """How the test goes with each of the sets; those that are new are tested at once."""
        return self.ask_all(sets)

    def ask_all(self, sets: Sequence[Changes]) -> list[Outcome]:
        """The same, as a `Test` that remembers."""
        closures = [self._closure(each) for each in sets]
        new = [
            each for each in dict.fromkeys(closures) if each is not None and each not in self._known
        ]
        if self._limit is not None and self.tests + len(new) > self._limit:
            raise OverLimit
        if new:
            self.tests += len(new)
            self._known.update(zip(new, self._test(new), strict=True))
        return [Outcome.UNRESOLVED if each is None else self._known[each] for each in closures]

    def _closure(self, changes: Changes) -> Changes | None:
        if changes not in self._closures:
            self._closures[changes] = self._closed(changes)
        return self._closures[changes]

    def _fails(self, *sets: Changes) -> Changes | None:
        """The first of the sets that fails; as many at once as may be."""
        for start in range(0, len(sets), self._jobs):
            batch = sets[start : start + self._jobs]
            for each, outcome in zip(batch, self.ask(*batch), strict=True):
                if outcome is Outcome.FAILS:
                    self._best = each
                    return each
        return None

    # -- one set ----------------------------------------------------------------------------------

    def smallest(self, changes: Sequence[int]) -> Reduced:
        """A set as small as can be of ``changes``, which fail together while nothing passes."""
        order = {change: place for place, change in enumerate(changes)}
        self._best = frozenset(changes)
        try:
            found = self._without_single(self._gathered(changes), order)
            if len(found) > 1:
                outcomes = self.ask(*(found - {each} for each in found))
                pairs = zip(found, outcomes, strict=True)
                undecided = [each for each, one in pairs if one is Outcome.UNRESOLVED]
            else:
                undecided = []
            undecided.sort(key=order.__getitem__)
            return Reduced(_sorted(found, order), tuple(undecided))
        except OverLimit:
            return Reduced(_sorted(self._best, order), complete=False)

    def _gathered(self, changes: Sequence[int]) -> Changes:
        """What the shortest failing beginnings end with, one after the other, until it fails."""
        kept: Changes = frozenset()
        rest = list(changes)
        while rest:
            needed, rest = self._needed(kept, rest)
            kept = kept.union(needed)
            self._best = kept.union(rest)
            if not rest or self._alone(kept, changes, rest) is Outcome.FAILS:
                break
        self._best = kept
        return kept

    def _alone(self, kept: Changes, changes: Sequence[int], rest: list[int]) -> Outcome:
        """How the test goes with ``kept``. Where several are tested at once, what is likely to be
        asked next comes along: everything else, and the beginnings of ``rest``."""
        ahead = []
        if self._jobs > 1:
            others = self._opened(frozenset(changes) - kept)
            ahead = [others] if others is not None else []
            ahead += [kept.union(rest[:place]) for place in self._places(0, len(rest), set())]
        return self.ask(kept, *ahead[: self._jobs - 1])[0]

    def _needed(self, kept: Changes, rest: list[int]) -> tuple[list[int], list[int]]:
        """The change at which longer and longer beginnings of ``rest``, with ``kept``, come to
        fail, and what is before it. It is several where what lies between is unresolved."""
        low, high = 0, len(rest)
        unresolved: set[int] = set()
        patience = 2 * math.ceil(math.log2(len(rest) + 1)) + 2
        while high - low > 1:
            places = self._places(low, high, unresolved)
            if not places or len(unresolved) > patience:
                break
            outcomes = self.ask(*(kept.union(rest[:place]) for place in places))
            found = dict(zip(places, outcomes, strict=True))
            high = min((p for p in places if found[p] is Outcome.FAILS), default=high)
            low = max((p for p in places if found[p] is Outcome.PASSES and p < high), default=low)
            new = [p for p in places if found[p] is Outcome.UNRESOLVED]
            if new and low < new[0] < high:
                half = kept.union(rest[new[0] : high])
                if self._fails(half) is not None:
                    rest, low, high = rest[new[0] : high], 0, high - new[0]
                    unresolved.clear()
                    continue
            unresolved.update(new)
            if self._patience is not None and len(unresolved) >= self._patience:
                raise OverLimit
        return rest[low:high], rest[:low]

    def _places(self, low: int, high: int, unresolved: set[int]) -> list[int]:
        """Where to cut what is between: evenly, and beside what is unresolved."""
        free = [place for place in range(low + 1, high) if place not in unresolved]
        if len(free) <= self._jobs:
            return free
        places: list[int] = []
        for number in range(1, self._jobs + 1):
            wanted = low + (high - low) * number / (self._jobs + 1)
            best = min((p for p in free if p not in places), key=lambda p: abs(p - wanted))
            places.append(best)
        return sorted(places)

    def _without_single(self, found: Changes, order: dict[int, int]) -> Changes:
        """Leave out single changes until nothing that is left can be."""
        while len(found) > 1:
            if len(found) > _AT_ONCE:
                smaller: Changes | None = self._ddmin(found, order)
            else:
                listed = _sorted(found, order)
                smaller = self._fails(*(found - {each} for each in reversed(listed)))
            if smaller is None or smaller == found:
                break
            found = smaller
        return found

    def _ddmin(self, found: Changes, order: dict[int, int]) -> Changes:
        """The algorithm of the paper's figure 5."""
        parts = 2
        while len(found) > 1:
            listed = _sorted(found, order)
            size, more = divmod(len(listed), parts)
            subsets, start = [], 0
            for number in range(parts):
                end = start + size + (number < more)
                subsets.append(frozenset(listed[start:end]))
                start = end
            smaller = self._fails(*subsets)
            if smaller is not None:
                found, parts = smaller, 2
                continue
            smaller = self._fails(*(found - each for each in subsets)) if parts > 2 else None
            if smaller is not None:
                found, parts = smaller, max(parts - 1, 2)
            elif parts < len(found):
                parts = min(2 * parts, len(found))
            else:
                break
        return found

    # -- all of them ------------------------------------------------------------------------------

    def isolate(self, changes: Sequence[int], *, most: int) -> Isolated:
        """The causes among ``changes``, which fail together: one after the other is found in what
        is left when those before are taken away, until that passes; ``most`` at most."""
        order = {change: place for place, change in enumerate(changes)}
        causes: list[Cause] = []
        left: Changes = frozenset(changes)
        culprits: set[int] = set()
        while True:
            cause = self._cause(_sorted(left, order), order)
            causes.append(cause)
            culprits.update(cause.changes, cause.bound)
            remaining = self._opened(left.difference(culprits))
            without = Outcome.UNRESOLVED
            if remaining is not None:
                without = self._one(remaining)
            if remaining is not None:
                left = remaining
            if without is not Outcome.FAILS or len(causes) >= most or not cause.complete:
                break
        dropped = frozenset(changes) - left - culprits
        return Isolated(tuple(causes), without, _sorted(dropped, order))

    def untestable(self, found: Isolated, changes: Sequence[int]) -> tuple[int, ...]:
        """Where the test is unresolved with all ``changes`` but the causes: a few others without
        which it passes then; none where there are no such few."""
        order = {change: place for place, change in enumerate(changes)}
        culprits = {each for one in found.causes for each in (*one.changes, *one.bound)}
        left = self._opened(frozenset(changes) - culprits)
        if found.without is not Outcome.UNRESOLVED or left is None or len(left) < 2:
            return ()

        def passes(sets: Sequence[Changes]) -> list[Outcome]:
            states = [self._opened(left - each) for each in sets]
            some = [each for each in states if each is not None]
            passed = {
                each
                for each, one in zip(some, self.ask_all(some), strict=True)
                if one is Outcome.PASSES
            }
            return [Outcome.FAILS if each in passed else Outcome.PASSES for each in states]

        limit = 2 * math.ceil(math.log2(len(left) + 1)) + 6
        search = Search(passes, jobs=self._jobs, limit=limit)
        search.learn(left, Outcome.FAILS)
        search.learn(frozenset(), Outcome.PASSES)
        reduced = search.smallest(_sorted(left, order))
        few = reduced.complete and 2 * len(reduced.changes) <= len(left)
        return reduced.changes if few else ()

    def _one(self, changes: Changes) -> Outcome:
        try:
            return self.ask(changes)[0]
        except OverLimit:
            return Outcome.UNRESOLVED

    def _cause(self, changes: tuple[int, ...], order: dict[int, int]) -> Cause:
        """One cause, and the part of what had to come with it."""
        while True:
            reduced = self.smallest(changes)
            core = frozenset(reduced.changes)
            whole = self._closure(core) or core
            along = self._opened(whole - core) if whole != core else frozenset()
            if along is None:
                along = frozenset()
            # What came along fails by itself: it was not only needed. Look there.
            if along and self._one(along) is Outcome.FAILS and along < frozenset(changes):
                changes = _sorted(along, order)
                continue
            return Cause(
                reduced.changes,
                _sorted(along, order),
                _sorted(whole - core - along, order),
                reduced.undecided,
                reduced.complete,
            )


def _sorted(changes: Changes, order: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted(changes, key=order.__getitem__))
