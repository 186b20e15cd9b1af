# SPDX-License-Identifier: Apache-2.0
"""The graph beside the log equals real git's, on random histories, to the character."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.cli.graph import Graph
from tests.interop.dags import git, random_parents, write_history

COLORS = [f"\x1b[{code}m" for code in (31, 32, 33, 34, 35, 36)]
COLORS += [f"\x1b[1;{code}m" for code in (31, 32, 33, 34, 35, 36)]
SHAPES = [
    (seed, commits, octopus)
    for seed in range(12)
    for commits, octopus in ((12, 0.0), (25, 0.15), (60, 0.3))
]


def draw(graph: Graph, order: list[tuple[str, list[str]]], *, short: bool) -> str:
    """What ``git log --graph`` prints with subject lines (``short``) or two-line messages."""
    out: list[str] = []
    for commit, parents in order:
        graph.update(commit, parents)
        shown = False
        while not shown:
            prefix, shown = graph.next_line()
            out.append(prefix + (commit if shown else "") + ("" if shown else "\n"))
        out.append("\n")
        if not short:
            out.append(graph.padding_line() + "second\n")
        if not graph.finished:
            while not graph.finished:
                out.append(graph.next_line()[0] + "\n")
    return "".join(out)


def order_of(path: Path, *options: str) -> list[tuple[str, list[str]]]:
    lines = git(path, "rev-list", "--parents", "--all", *options).decode().splitlines()
    return [(fields[0], fields[1:]) for fields in map(str.split, lines)]


@pytest.mark.parametrize(("seed", "commits", "octopus"), SHAPES)
def test_graph_equals_git(tmp_path: Path, seed: int, commits: int, octopus: float) -> None:
    path = tmp_path / "r.git"
    write_history(path, random_parents(random.Random(seed), commits, octopus=octopus))
    order = order_of(path, "--topo-order")
    expected = git(path, "log", "--graph", "--all", "--format=%H").decode()
    assert draw(Graph(), order, short=True) == expected
    tall = git(path, "log", "--graph", "--all", "--format=%H%nsecond").decode()
    assert draw(Graph(), order, short=False) == tall
    colored = git(path, "log", "--graph", "--all", "--format=%H", "--color=always").decode()
    assert draw(Graph(COLORS, "\x1b[m"), order, short=True) == colored


def test_graph_in_date_order(tmp_path: Path) -> None:
    path = tmp_path / "r.git"
    write_history(path, random_parents(random.Random(99), 80, octopus=0.2))
    expected = git(path, "log", "--graph", "--date-order", "--all", "--format=%H").decode()
    assert draw(Graph(), order_of(path, "--date-order"), short=True) == expected
