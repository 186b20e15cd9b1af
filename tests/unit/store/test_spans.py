# SPDX-License-Identifier: Apache-2.0
"""Spans keep stacks short at a cost that follows the changes; the plan of merges is pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.ids import CommitId, LayerId
from envgit.store import spans
from envgit.store.failures import StoreError
from envgit.store.spans import Merge, Span, Unit, plan
from envgit.store.store import Store
from envgit.store.usage import Meter
from tests.support.builders import Tree, tree


def commit(depth: int) -> CommitId:
    return CommitId(f"{depth:040x}")


def layer(depth: int) -> LayerId:
    return LayerId(f"{depth:039x}a")


def parent_of(oid: CommitId) -> tuple[CommitId | None, LayerId]:
    depth = int(oid, 16)
    return (commit(depth - 1) if depth > 1 else None), layer(depth)


def seal(store: Store, depth: int, content: Tree) -> None:
    with store.temporary("test") as made:
        store.adopt_layer(str(tree(f"{made}/layer", content)), layer(depth))


def chain(depth: int) -> list[Unit]:
    """A chain without spans, top first."""
    return [
        Unit(f"layers/{layer(d)}", commit(d), commit(d), commit(d - 1) if d > 1 else None, 1)
        for d in range(depth, 0, -1)
    ]


def applied(units: list[Unit], merges: list[Merge]) -> list[Unit]:
    for merge in merges:
        top, bottom = merge.units[0], merge.units[-1]
        at = units.index(top)
        assert tuple(units[at : at + len(merge.units)]) == merge.units, "neighbours, in order"
        count = sum(unit.commits for unit in merge.units)
        merged = Unit(
            f"spans/{top.last}.{merge.level}/tree", bottom.first, top.last, bottom.below, count
        )
        units = [*units[:at], merged, *units[at + len(merge.units) :]]
    return units


# -- the plan --------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(40, 400), st.integers(1, 64))
def test_any_chain_gets_short_without_its_root_layer(depth: int, maximum: int, target: int) -> None:
    merges = plan(chain(depth), maximum, target=target)
    units = applied(chain(depth), merges)
    assert sum(unit.commits for unit in units) == depth
    assert len(units) <= max(target, 1 + 7 * 4)
    assert units[-1].first == units[-1].last == commit(1), "the root layer stays as it is"
    for merge in merges:
        count = sum(unit.commits for unit in merge.units)
        first = int(merge.units[-1].first, 16)
        assert count == spans.FANOUT**merge.level
        assert (first - 2) % count == 0, "aligned by depth, so that branches share it"
        assert merge.depth == first + count - 1


def test_a_history_that_grows_merges_each_layer_once_a_level() -> None:
    units: list[Unit] = []
    cost = [0] * 6
    longest = 0
    for depth in range(1, 1001):
        units = [chain(depth)[0], *units]
        merges = plan(units, 64)
        assert len(merges) <= 2, "no commit pays for many"
        for merge in merges:
            cost[merge.level] += sum(unit.commits for unit in merge.units)
        units = applied(units, merges)
        longest = max(longest, len(units))
    assert longest == spans.TARGET
    assert all(paid <= 1000 for paid in cost)
    assert cost[4:] == [0, 0]


def test_short_histories_never_merge() -> None:
    assert plan(chain(spans.TARGET), 64) == []


def test_a_clones_long_chain_is_covered_with_the_largest_blocks_at_once() -> None:
    merges = plan(chain(1000), 64)
    assert len(merges) < 20
    merged = [unit for merge in merges for unit in merge.units]
    assert len(merged) == len(set(merged)) < 1000, "no layer is merged twice"


# -- on disk ---------------------------------------------------------------------------------


def content(store: Store, stack: tuple[str, ...]) -> dict[str, str]:
    """Files by path, as a stack without whiteouts shows them."""
    found: dict[str, str] = {}
    for top in reversed(store.stack_paths(stack)):
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                found[str(path.relative_to(top))] = path.read_text()
    return found


def grow(store: Store, upto: int, change: Callable[[int], Tree]) -> tuple[tuple[str, ...], int]:
    """A history that is shortened after each commit."""
    resolved: tuple[tuple[str, ...], int] = ((), 0)
    for depth in range(1, upto + 1):
        seal(store, depth, change(depth))
        resolved = store.spans.resolve(commit(depth), parent_of)
        assert resolved[1] == depth
        assert len(resolved[0]) <= spans.TARGET
    return resolved


def test_every_commit_of_a_long_history_mounts_few_directories_that_say_the_same(
    opened: Store,
) -> None:
    def change(depth: int) -> Tree:
        return {"etc": {"version": str(depth)}, f"d{depth % 11}": {f"f{depth}": "new"}}

    grow(opened, 150, change)
    assert {name.partition(".")[2] for name in opened.all_spans()} == {"1", "2"}
    for depth in (1, 2, 9, 10, 25, 64, 65, 66, 100, 149, 150):
        stack, found = opened.spans.resolve(commit(depth), parent_of)
        assert (found, len(stack) <= spans.TARGET) == (depth, True)
        assert stack[-1] == f"layers/{layer(1)}"
        assert content(opened, stack) == {
            "etc/version": str(depth),
            **{f"d{d % 11}/f{d}": "new" for d in range(1, depth + 1)},
        }


def test_branches_share_spans(opened: Store) -> None:
    grow(opened, 60, lambda depth: {f"f{depth}": "x"})
    before = opened.all_spans()

    def branch(oid: CommitId) -> tuple[CommitId | None, LayerId]:
        # A branch that left the history at depth 50: its own commits count down from f...f.
        if not oid.startswith("f"):
            return parent_of(oid)
        number = 0x10 - int(oid[-2:], 16) % 0x10
        below = CommitId("f" * 38 + f"{int(oid[-2:], 16) + 1:02x}") if number > 1 else commit(50)
        return below, layer(number)

    stack, depth = opened.spans.resolve(CommitId("f" * 38 + "f0"), branch)
    assert depth == 66
    shared = [name for name in stack if name.startswith("spans/")]
    assert shared and {name.split("/")[1] for name in shared} & set(before)


def test_disk_follows_the_changes(opened: Store) -> None:
    seal(opened, 1, {f"lib{number}": {"big": "x" * 4096} for number in range(300)})
    base = Meter().measure(opened.path).disk

    def change(depth: int) -> Tree:
        if depth == 1:
            return {}
        return {"opt": {"app": {f"version-{depth}": {"data": "x" * 4096}}}}

    grow(opened, 200, change)
    grown = Meter().measure(opened.path).disk - base
    files = 199 * 4096
    assert (grown - files) / 199 < 40 << 10, "all directories, layers and spans, each commit"


def test_spans_that_are_damaged_or_gone_are_made_again(opened: Store) -> None:
    grow(opened, 40, lambda depth: {f"f{depth}": "x"})
    stack, _ = opened.spans.resolve(commit(40), parent_of)
    names = [name.split("/")[1] for name in stack if name.startswith("spans/")]
    assert len(names) >= 3
    Path(opened.path, "spans", names[0], "meta.json").write_text("{}")
    opened.trash(f"{opened.path}/spans/{names[1]}/tree")
    opened.trash(f"{opened.path}/spans/{names[2]}")
    assert opened.spans.resolve(commit(40), parent_of) == (stack, 40)
    assert len(content(opened, stack)) == 40


def test_a_merge_that_fails_is_put_off_while_the_stack_fits(opened: Store) -> None:
    for depth in range(1, 31):
        seal(opened, depth, {f"f{depth}": "x"})
    opened.trash(opened.layer_path(layer(2)))
    stack, depth = opened.spans.resolve(commit(30), parent_of)
    assert (len(stack), depth) == (30, 30)
    assert (opened.all_spans(), opened.names("tmp")) == ([], [])
    for depth in range(31, 60):
        seal(opened, depth, {f"f{depth}": "x"})
    with pytest.raises(StoreError, match=layer(2)):
        opened.spans.resolve(commit(59), parent_of, maximum=1)


def test_the_record_of_a_span(opened: Store) -> None:
    grow(opened, 25, lambda depth: {f"f{depth}": "x"})
    (name,) = opened.all_spans()
    assert name == f"{commit(9)}.1"
    assert opened.spans.span_at(commit(9)) == Span(
        last=commit(9), level=1, first=commit(2), below=commit(1), commits=8, depth=9
    )
    assert opened.spans.span_at(commit(8)) is None
