# SPDX-License-Identifier: Apache-2.0
"""The walk lists the commits that git lists, in git's order, on random histories."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.layers.ids import CommitId
from envgit.repo.traversal import Point, Rules, Traversal
from tests.interop.dags import git, random_parents, write_history


def load_all(path: Path) -> dict[CommitId, Point]:
    lines = git(path, "log", "--all", "--format=%H,%P,%ct,%at").decode().splitlines()
    found = {}
    for line in lines:
        oid, parents, time, author = line.split(",")
        ids = tuple(CommitId(parent) for parent in parents.split())
        found[CommitId(oid)] = Point(CommitId(oid), ids, int(time), int(author))
    return found


def listed(path: Path, *arguments: str) -> list[str]:
    return git(path, "rev-list", *arguments).decode().split()


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("step", [0, 60])
def test_order_and_range(tmp_path: Path, seed: int, step: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "r.git"
    ids = [CommitId(oid) for oid in write_history(path, random_parents(rng, 40), step=step)]
    points = load_all(path)
    every = [
        CommitId(oid)
        for oid in git(path, "for-each-ref", "--format=%(objectname)").decode().split()
    ]
    for order, option in (
        ("default", ()),
        ("topo", ("--topo-order",)),
        ("date", ("--date-order",)),
        ("author-date", ("--author-date-order",)),
    ):
        rules = Rules(order=order)
        steps = Traversal(points.__getitem__, every, rules=rules).steps()
        assert [step.point.id for step in steps] == listed(path, "--all", *option)
        include, exclude = rng.sample(ids, 3), rng.sample(ids, 2)
        steps = Traversal(points.__getitem__, include, exclude, rules=rules).steps()
        wanted = listed(path, *include, *(f"^{oid}" for oid in exclude), *option)
        assert [step.point.id for step in steps] == wanted
    tip = ids[-1]
    steps = Traversal(points.__getitem__, [tip], rules=Rules(first_parent=True)).steps()
    assert [step.point.id for step in steps] == listed(path, "--first-parent", tip)
    middle = points[ids[20]].time
    steps = Traversal(points.__getitem__, [tip], rules=Rules(since=middle)).steps()
    assert [step.point.id for step in steps] == listed(path, f"--since=@{middle}", tip)
