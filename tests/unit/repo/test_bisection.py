# SPDX-License-Identifier: Apache-2.0
"""Bisection always finds the first bad commit, on any graph, whatever cannot be tested."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from envgit.layers.ids import CommitId
from envgit.repo import bisection
from envgit.repo.traversal import Point, Rules, Traversal


def oid(number: int) -> CommitId:
    return CommitId(f"{number:040x}")


def line(commits: int) -> list[list[int]]:
    """Parents of each commit of a history without branches."""
    return [[number - 1] if number else [] for number in range(commits)]


def graph(rng: random.Random, commits: int) -> list[list[int]]:
    """One root, branches, merges of two to four, and one last commit that has all before it."""
    parents: list[list[int]] = [[]]
    for number in range(1, commits - 1):
        reach = range(max(0, number - rng.choice([1, 3, 8, number])), number)
        count = rng.choice([1, 1, 1, 2, 2, 3, 4])
        parents.append(rng.sample(reach, min(count, len(reach))))
    inner = {parent for each in parents for parent in each}
    parents.append([number for number in range(len(parents)) if number not in inner])
    return parents


class History:
    """A graph, and which of its commits have the change."""

    def __init__(self, parents: Sequence[Sequence[int]], first_bad: int, skipped: set[int]) -> None:
        self.parents = parents
        self.first_bad = first_bad
        self.untestable = {oid(number) for number in skipped}
        self.bad: set[CommitId] = set()
        for number, above in enumerate(parents):
            if number == first_bad or any(oid(parent) in self.bad for parent in above):
                self.bad.add(oid(number))

    def point(self, commit: CommitId) -> Point:
        number = int(commit, 16)
        return Point(commit, tuple(map(oid, self.parents[number])), number, number)

    def solve(self, trials: int = 1) -> tuple[bisection.Choice, int, int]:
        """What is found in the end, in how many rounds, with how many tests."""
        bad, good, skipped = oid(len(self.parents) - 1), [oid(0)], set[CommitId]()
        rounds = tests = 0
        while True:
            steps = Traversal(self.point, [bad], good, rules=Rules()).candidates()
            choice = bisection.choose(steps, bad, skipped, trials=trials)
            if choice.outcome != "test":
                return choice, rounds, tests
            rounds += 1
            tests += len(choice.commits)
            assert len(set(choice.commits)) == len(choice.commits) <= trials
            found = []
            for commit in choice.commits:
                assert commit not in skipped and commit != bad
                if commit in self.untestable:
                    skipped.add(commit)
                elif commit in self.bad:
                    found.append(commit)
                else:
                    good.append(commit)
            if found:
                bad = min(found, key=lambda each: self.left(each, good))

    def left(self, bad: CommitId, good: Sequence[CommitId]) -> int:
        return len(Traversal(self.point, [bad], good, rules=Rules()).candidates())


@pytest.mark.parametrize("trials", [1, 2, 3, 7])
@pytest.mark.parametrize("commits", [2, 3, 10, 65, 1025])
def test_a_line_takes_as_many_rounds_as_it_must(commits: int, trials: int) -> None:
    """1,024 candidates: 10 rounds of one trial, 5 of three at once."""
    every = range(1, commits)
    chosen = every if commits < 100 else [1, 2, 511, 512, 513, 1023, 1024]
    for first_bad in chosen:
        choice, rounds, _ = History(line(commits), first_bad, set()).solve(trials)
        assert choice.outcome == "found" and choice.commits == (oid(first_bad),)
        assert rounds <= bisection.rounds(commits - 1, trials)
    assert bisection.rounds(1024, 1) == 10 and bisection.rounds(1024, 3) == 5


@pytest.mark.parametrize("seed", range(40))
def test_any_graph(seed: int, effort: Callable[[int, int], int]) -> None:
    """Whatever the first bad commit is, it is found; one trial a round needs no more tests than
    the candidates have bits, and some for merges."""
    rng = random.Random(seed)
    for _ in range(effort(3, 40)):
        commits = rng.choice([4, 12, 40, 150])
        parents = graph(rng, commits)
        first_bad = rng.randrange(1, commits)
        for trials in (1, 2, 3, 5):
            choice, rounds, tests = History(parents, first_bad, set()).solve(trials)
            assert choice.outcome == "found" and choice.commits == (oid(first_bad),)
            assert tests <= rounds * trials


@pytest.mark.parametrize("seed", range(40))
def test_skipped_commits_never_hide_the_culprit(
    seed: int, effort: Callable[[int, int], int]
) -> None:
    """It is found, or among those that are said to be possible."""
    rng = random.Random(seed)
    for _ in range(effort(3, 40)):
        commits = rng.choice([4, 12, 60])
        parents = graph(rng, commits) if rng.random() < 0.5 else line(commits)
        inner = range(1, commits - 1)
        skipped = set(rng.sample(inner, rng.randint(0, len(inner))))
        first_bad = rng.randrange(1, commits)
        for trials in (1, 3):
            choice, _, _ = History(parents, first_bad, skipped).solve(trials)
            if choice.outcome == "found":
                assert choice.commits == (oid(first_bad),)
            else:
                assert choice.outcome == "skipped"
                assert oid(first_bad) in choice.commits


def test_estimate_is_gits() -> None:
    assert [bisection.estimate(count) for count in range(1, 13)] == [
        *(0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3),
    ]  # fmt: skip
