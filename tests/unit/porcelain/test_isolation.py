# SPDX-License-Identifier: Apache-2.0
"""The search for changes that make a test fail, with predicates in place of commands."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.porcelain.foundation.inside.isolation import Changes, Isolated, Outcome, Reduced, Search

FAILS, PASSES, UNRESOLVED = Outcome.FAILS, Outcome.PASSES, Outcome.UNRESOLVED
Predicate = Callable[[Changes], Outcome]


class Oracle:
    """Answers with a predicate, and sees that nothing is asked twice."""

    def __init__(self, predicate: Predicate, *, most: int = 1) -> None:
        self.predicate = predicate
        self.asked: list[Changes] = []
        self.rounds = 0
        self._most = most

    def __call__(self, sets: Sequence[Changes]) -> list[Outcome]:
        assert 0 < len(sets) <= self._most
        self.rounds += 1
        for each in sets:
            assert each not in self.asked
            self.asked.append(each)
        return [self.predicate(each) for each in sets]


def fails_with(*causes: Iterable[int]) -> Predicate:
    """Fails as soon as all of one of ``causes`` are there."""
    sets = [frozenset(each) for each in causes]
    return lambda changes: FAILS if any(each <= changes for each in sets) else PASSES


def searched(
    predicate: Predicate, count: int, *, jobs: int = 1, limit: int | None = None
) -> tuple[Reduced, Oracle]:
    """The search in 0 .. count - 1, whose ends are verified first, as a user of it does."""
    oracle = Oracle(predicate, most=max(jobs, 2))
    search = Search(oracle, jobs=jobs, limit=limit)
    assert search.ask(frozenset(range(count)), frozenset()) == [FAILS, PASSES]
    return search.smallest(range(count)), oracle


@pytest.mark.parametrize("count", [1, 2, 3, 40, 60, 1000])
@pytest.mark.parametrize("jobs", [1, 3])
def test_one_culprit_costs_a_logarithm(count: int, jobs: int) -> None:
    for culprit in {0, count // 3, count - 1}:
        oracle = Oracle(fails_with({culprit}), most=max(jobs, 2))
        search = Search(oracle, jobs=jobs)
        search.ask(frozenset(range(count)), frozenset())
        found = search.isolate(range(count), most=8)
        assert [cause.changes for cause in found.causes] == [(culprit,)]
        assert found.without is PASSES
        # Both ends, the search, the culprit alone, and everything but it.
        assert oracle.rounds <= 3 + math.ceil(math.log(count, jobs + 1)) + 1
        if jobs == 1:
            assert len(oracle.asked) <= 4 + math.ceil(math.log2(count))


def test_among_40_and_60_in_less_than_15() -> None:
    for count, culprit in itertools.product((40, 60), range(40)):
        oracle = Oracle(fails_with({culprit}), most=2)
        search = Search(oracle)
        search.ask(frozenset(range(count)), frozenset())
        search.isolate(range(count), most=8)
        assert len(oracle.asked) < 11


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_pairs_and_triples(jobs: int) -> None:
    rng = random.Random(jobs)
    for size in (2, 3):
        for _ in range(100):
            culprits = rng.sample(range(50), size)
            reduced, oracle = searched(fails_with(culprits), 50, jobs=jobs)
            assert reduced == Reduced(tuple(sorted(culprits)))
            assert oracle.rounds <= 1 + size * 8 + size


sets = st.frozensets(st.integers(0, 11), min_size=1, max_size=4)


@given(st.lists(sets, min_size=1, max_size=4), st.integers(1, 4))
def test_monotone_gives_a_minimal_cause(causes: list[frozenset[int]], jobs: int) -> None:
    predicate = fails_with(*causes)
    reduced, _ = searched(predicate, 12, jobs=jobs)
    found = frozenset(reduced.changes)
    assert found in causes and not any(each < found for each in causes)
    assert reduced.complete and not reduced.undecided


@given(st.integers(0, 2**32), st.integers(2, 7), st.integers(1, 4), st.integers(0, 3))
def test_any_predicate_gives_what_fails_and_no_single_one_can_be_left_out(
    seed: int, count: int, jobs: int, unresolved: int
) -> None:
    rng = random.Random(seed)
    weights = [1, 1, unresolved]
    table = {
        frozenset(each): rng.choices([FAILS, PASSES, UNRESOLVED], weights)[0]
        for size in range(count + 1)
        for each in itertools.combinations(range(count), size)
    }
    table[frozenset()], table[frozenset(range(count))] = PASSES, FAILS
    reduced, _ = searched(table.__getitem__, count, jobs=jobs)
    found = frozenset(reduced.changes)
    assert table[found] is FAILS and reduced.complete
    without = {each: table[found - {each}] for each in found}
    assert FAILS not in without.values()
    skipped = {each for each, one in without.items() if one is UNRESOLVED}
    assert set(reduced.undecided) == skipped
    assert list(reduced.changes) == sorted(found)


@given(st.data())
def test_unresolved_sets_do_not_hide_a_culprit(data: st.DataObject) -> None:
    """A large part of what is tried cannot be judged, unless it has the culprit alone."""
    count = data.draw(st.integers(2, 24))
    culprit = data.draw(st.integers(0, count - 1))
    seed = data.draw(st.integers(0, 1000))
    share = data.draw(st.floats(0, 0.9))

    def predicate(changes: Changes) -> Outcome:
        rng = random.Random(f"{seed} {sorted(changes)}")
        if changes in (frozenset(), frozenset(range(count)), frozenset({culprit})):
            return FAILS if culprit in changes else PASSES
        if rng.random() < share:
            return UNRESOLVED
        return FAILS if culprit in changes else PASSES

    reduced, _ = searched(predicate, count)
    found = frozenset(reduced.changes)
    assert culprit in found and predicate(found) is FAILS
    assert all(predicate(found - {each}) is not FAILS for each in found)


@given(st.lists(sets, min_size=1, max_size=3), st.integers(0, 30))
def test_a_limit_ends_with_the_best_that_failed(causes: list[frozenset[int]], limit: int) -> None:
    predicate = fails_with(*causes)
    reduced, oracle = searched(predicate, 12, limit=limit + 2)
    assert predicate(frozenset(reduced.changes)) is FAILS
    assert len(oracle.asked) <= limit + 2
    if not reduced.complete:
        assert len(oracle.asked) >= limit


@given(st.lists(sets, min_size=1, max_size=4), st.integers(1, 3))
def test_several_causes_are_all_found(causes: list[frozenset[int]], jobs: int) -> None:
    predicate = fails_with(*causes)
    oracle = Oracle(predicate, most=max(jobs, 2))
    search = Search(oracle, jobs=jobs)
    search.ask(frozenset(range(12)), frozenset())
    found = search.isolate(range(12), most=8)
    for cause in found.causes:
        assert frozenset(cause.changes) in causes
    culprits = {each for cause in found.causes for each in cause.changes}
    assert found.without is PASSES
    assert predicate(frozenset(range(12)) - culprits) is PASSES


# -- what needs something else ----------------------------------------------------------------


def related(needs: dict[int, set[int]]) -> tuple[Callable[[Changes], Changes], ...]:
    """``closed`` and ``opened`` for what each change needs."""

    def closed(changes: Changes) -> Changes:
        found, stack = set(changes), list(changes)
        while stack:
            for each in needs.get(stack.pop(), set()) - found:
                found.add(each)
                stack.append(each)
        return frozenset(found)

    def opened(changes: Changes) -> Changes:
        return frozenset(each for each in changes if closed(frozenset({each})) <= changes)

    return closed, opened


def isolated(predicate: Predicate, count: int, needs: dict[int, set[int]]) -> Isolated:
    closed, opened = related(needs)

    def checked(changes: Changes) -> Outcome:
        assert closed(changes) == changes, "tested with broken relations"
        return predicate(changes)

    oracle = Oracle(checked, most=2)
    search = Search(oracle, closed=closed, opened=opened)
    search.ask(frozenset(range(count)), frozenset())
    return search.isolate(range(count), most=8)


def test_what_comes_along_is_told_from_the_culprit() -> None:
    needs = {5: {2, 3}, 8: {5}}
    found = isolated(fails_with({5}), 10, needs)
    (cause,) = found.causes
    assert (cause.changes, cause.along, cause.bound) == ((5,), (2, 3), ())
    assert found.without is PASSES and found.left_out == (8,)
    found = isolated(fails_with({2}), 10, needs)
    assert [cause.changes for cause in found.causes] == [(2,)]
    assert found.left_out == (5, 8)


def test_what_needs_one_another_cannot_be_told_apart() -> None:
    found = isolated(fails_with({4}), 8, {3: {4}, 4: {3}, 5: {1}})
    (cause,) = found.causes
    assert {*cause.changes, *cause.bound} == {3, 4} and len(cause.changes) == 1
    assert found.without is PASSES


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14),
    st.lists(sets, min_size=1, max_size=2),
)
def test_nothing_is_tested_with_broken_relations(
    pairs: list[tuple[int, int]], causes: list[frozenset[int]]
) -> None:
    needs: dict[int, set[int]] = {}
    for one, other in pairs:
        needs.setdefault(max(one, other), set()).add(min(one, other))
    found = isolated(fails_with(*causes), 12, needs)
    closed, _ = related(needs)
    predicate = fails_with(*causes)
    for cause in found.causes:
        assert predicate(closed(frozenset(cause.changes))) is FAILS
        if cause.along:
            assert predicate(frozenset(cause.along)) is PASSES
    assert found.without is PASSES


def test_a_set_that_cannot_be_made_whole_is_unresolved_without_a_test() -> None:
    oracle = Oracle(fails_with({1}))
    search = Search(oracle, closed=lambda each: None if each == {1} else each)
    assert search.ask(frozenset({1})) == [UNRESOLVED] and not oracle.asked
