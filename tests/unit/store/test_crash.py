# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at each durable step of the store: afterwards the old state or the new, never a third."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.fs import crashpoint
from envgit.layers.ids import LayerId
from envgit.store import sweep
from envgit.store.failures import StoreFull
from envgit.store.journal import Record
from envgit.store.store import DIRECTORIES, Store
from envgit.store.worktree import State, Worktree
from tests.support.builders import tree
from tests.support.faults import filled, small_filesystem
from tests.unit.store import test_spans as histories

LAYER = LayerId("7" * 40)


def killed(action: Callable[[], object], nth: int) -> bool:
    """Do ``action`` in a child that kills itself at its ``nth`` durable step; was it reached?"""
    child = os.fork()
    if child == 0:
        left = [nth]

        def hook(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        crashpoint.install(hook)
        try:
            action()
            os._exit(0)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def at_every_step(action: Callable[[], object], check: Callable[[bool], None]) -> int:
    """Kill at step 1, 2, ... and ``check(finished)`` after each, until the action gets through."""
    nth = 1
    while killed(action, nth):
        check(False)
        nth += 1
    check(True)
    return nth - 1


def test_making_a_store(store: Path) -> None:
    def check(finished: bool) -> None:
        assert Store.open(str(store)).names("layers") == []
        for name in (*DIRECTORIES, "format"):
            assert Path(store, name).exists()
        if not finished:
            os.unlink(store / "format")

    assert at_every_step(lambda: Store.open(str(store)), check) >= 4


def test_sealing(opened: Store, worktree: Worktree) -> None:
    changes = worktree.state().changes
    tree(opened.upper_path(changes), {"etc": {"hosts": "x"}})

    def seal() -> None:
        if opened.changes_exist(changes):
            opened.adopt_layer(opened.upper_path(changes), LAYER)

    def check(finished: bool) -> None:
        assert opened.has_layer(LAYER) != opened.changes_exist(changes)
        place = opened.layer_path(LAYER) if finished else None
        assert place is None or Path(place, "etc/hosts").read_text() == "x"

    at_every_step(seal, check)
    assert opened.has_layer(LAYER)


def test_state_and_journal(opened: Store, worktree: Worktree) -> None:
    old = worktree.state()
    new = old._replace(changes=opened.new_changes())
    record = Record(state=new)

    def publish() -> None:
        worktree.journal.write(record)
        worktree.write_state(new)
        worktree.journal.clear()

    def check(finished: bool) -> None:
        state, pending = worktree.state(), worktree.journal.read()
        assert state in (old, new)
        assert pending in (None, record)
        assert not finished or (state, pending) == (new, None)
        worktree.write_state(old)
        worktree.journal.clear()

    assert at_every_step(publish, check) >= 8


def test_new_changes_and_worktrees(opened: Store) -> None:
    def make() -> None:
        opened.new_changes()
        Worktree.create(opened)
        opened.register("/p/.envgit", [])

    def check(_: bool) -> None:
        assert all(map(opened.changes_exist, opened.all_changes()))
        assert len(opened.repositories()) <= 1

    assert at_every_step(make, check) >= 5


def test_merging_spans(opened: Store) -> None:
    for depth in range(1, 41):
        histories.seal(opened, depth, {f"f{depth}": str(depth)})

    def resolve() -> tuple[tuple[str, ...], int]:
        return opened.spans.resolve(histories.commit(40), histories.parent_of)

    def check(finished: bool) -> None:
        units = opened.spans.chain(histories.commit(40), histories.parent_of)
        stack = tuple(unit.directory for unit in units)
        assert len(histories.content(opened, stack)) == 40
        assert len(stack) <= 24 or not finished
        for name in opened.all_spans():
            opened.trash(f"{opened.path}/spans/{name}")

    assert at_every_step(resolve, check) >= 9


def test_sweeping(opened: Store, worktree: Worktree) -> None:
    for depth in range(1, 6):
        histories.seal(opened, depth, {f"f{depth}": "x"})
    kept = histories.layer(3)

    def collect() -> None:
        with opened.lock(exclusive=True, what="gc") as lock:
            plan = sweep.plan(
                opened, layers={kept}, changes=(), commits=(), worktrees={worktree.id}
            )
            sweep.execute(opened, plan, lock)

    def check(finished: bool) -> None:
        assert opened.has_layer(kept) and worktree.state()
        for name in opened.all_layers():
            assert len(os.listdir(opened.layer_path(name))) == 1, "whole, or not there"
        if finished:
            assert opened.all_layers() == [kept]
            assert opened.names("trash") == []

    assert at_every_step(collect, check) >= 1


@pytest.mark.root
@pytest.mark.needs("loop")
def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    with small_filesystem(tmp_path, 8) as disk:
        store = Store.open(str(disk / "store"))
        worktree = Worktree.create(store)
        changes = store.new_changes()
        state = State(repository="/p/.envgit", changes=changes, config={"Env": ["x" * 9000]})
        worktree.write_state(state)
        for depth in range(1, 41):
            histories.seal(store, depth, {f"f{depth}": "x"})
        larger = state._replace(config={"Env": ["y" * 20000]})
        with filled(disk):
            for attempt in (
                lambda: worktree.write_state(larger),
                lambda: worktree.journal.write(Record(state=larger)),
                store.new_changes,
                lambda: worktree.append_run({"argv": ["x" * 9000]}),
                lambda: store.register("/p/.envgit", []),
            ):
                with pytest.raises(StoreFull, match="No space left") as caught:
                    attempt()
                assert caught.value.hint
            stack, _ = store.spans.resolve(histories.commit(40), histories.parent_of)
            assert len(stack) == 40, "merging is put off"
            assert worktree.state() == state
            assert worktree.journal.read() is None
        assert worktree.runs() == []
        worktree.append_run({"argv": ["true"]})
        worktree.write_state(larger)
        assert (worktree.state(), worktree.runs()) == (larger, [{"argv": ["true"]}])
        stack, _ = store.spans.resolve(histories.commit(40), histories.parent_of)
        assert len(stack) <= 24
        assert store.names("tmp") == []
