# SPDX-License-Identifier: Apache-2.0
"""What nothing needs goes, what anybody uses stays, and the prediction of what it frees is true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.layers.ids import CommitId, LayerId, WorktreeId
from envgit.store import registry, sweep
from envgit.store.journal import Record
from envgit.store.registry import RegistrationError
from envgit.store.store import Store
from envgit.store.sweep import NotExclusive
from envgit.store.usage import Meter, exclusive
from envgit.store.worktree import StateError, Worktree
from tests.support.builders import tree


def layer(digit: str) -> LayerId:
    return LayerId(digit * 40)


def seal(store: Store, digit: str, size: int = 10000) -> LayerId:
    with store.temporary("test") as made:
        tree(f"{made}/layer", {"data": os.urandom(size), "etc": None})
        store.adopt_layer(f"{made}/layer", layer(digit))
    return layer(digit)


def disk(store: Store) -> int:
    return Meter().measure(store.path).disk


def test_only_what_nobody_names_goes(opened: Store, worktree: Worktree) -> None:
    kept, mounted, running, dropped = (seal(opened, digit) for digit in "1234")
    state = worktree.state()._replace(
        base=CommitId("a" * 40), depth=1, stack=(f"layers/{mounted}",)
    )
    worktree.write_state(state)
    parked, forgotten, unsealed = (opened.new_changes() for _ in range(3))
    os.rmdir(opened.upper_path(unsealed))  # a crash between the rename and its end
    dead = Worktree.create(opened)
    span = f"{opened.path}/spans/{'b' * 40}.1"
    tree(span, {"tree": {"x": "y"}})
    with worktree.register({"stack": [f"layers/{running}"], "changes": "0" * 32}):
        plan = sweep.plan(
            opened,
            layers={kept},
            changes={parked, unsealed},
            commits={CommitId("a" * 40)},
            worktrees={worktree.id},
        )
    assert plan.layers == (dropped,)
    assert plan.spans == ("b" * 40 + ".1",)
    assert set(plan.changes) == {forgotten, unsealed}
    assert plan.worktrees == (dead.id,)
    with opened.lock(exclusive=True, what="gc") as lock:
        before = disk(opened)
        sweep.execute(opened, plan, lock)
    assert before - disk(opened) == plan.frees.disk > 10000
    assert opened.all_layers() == [kept, mounted, running]
    assert set(opened.all_changes()) == {state.changes, parked}
    assert opened.all_worktrees() == [worktree.id]


def test_what_a_journal_will_need_stays(opened: Store, worktree: Worktree) -> None:
    changes, following = opened.new_changes(), opened.new_changes()
    already = seal(opened, "5")
    following_state = worktree.state()._replace(changes=following)
    worktree.journal.write(Record(seals=((changes, already),), state=following_state))
    used = sweep.in_use(opened)
    assert used.changes == {worktree.state().changes, changes, following}
    assert used.directories == {f"layers/{already}"}


def test_nothing_is_planned_while_a_worktree_cannot_be_read(
    opened: Store, worktree: Worktree
) -> None:
    Path(worktree.path, "state").write_text("?")
    everything: dict[str, set[str]] = {"layers": set(), "changes": set(), "commits": set()}
    with pytest.raises(StateError):
        sweep.plan(opened, **everything, worktrees={worktree.id})  # type: ignore[arg-type]
    plan = sweep.plan(opened, **everything, worktrees=set())  # type: ignore[arg-type]
    assert plan.worktrees == (worktree.id,), "unless it is given up"


def test_what_crashes_left_goes(opened: Store, worktree: Worktree) -> None:
    tree(opened.path, {"tmp": {"span-1": {"a": "b"}}, "trash": {"old": {"a": "b"}}})
    for place in (worktree.path, f"{opened.path}/repositories"):
        Path(place, "state.123.new").write_text("half")
    with opened.lock(exclusive=True, what="gc") as lock:
        plan = sweep.plan(
            opened, layers=(), changes=(), commits=(), worktrees=opened.all_worktrees()
        )
        assert len(plan.remains) == 4
        sweep.execute(opened, plan, lock)
    assert opened.names("tmp") == opened.names("trash") == opened.names("repositories") == []
    assert worktree.exists()


def test_the_exclusive_lock_is_not_a_matter_of_trust(opened: Store) -> None:
    plan = sweep.plan(opened, layers=(), changes=(), commits=(), worktrees=())
    with opened.lock(exclusive=False, what="gc") as shared, pytest.raises(NotExclusive):
        sweep.execute(opened, plan, shared)
    released = opened.lock(exclusive=True, what="gc")
    released.release()
    with pytest.raises(NotExclusive):
        sweep.execute(opened, plan, released)


# -- registrations ---------------------------------------------------------------------------


def test_a_repository_that_cannot_be_found_is_missed_not_forgotten(opened: Store) -> None:
    opened.register("/gone/.envgit", [WorktreeId("1" * 16)])
    (entry,) = opened.repositories()
    registry.note_presence(opened, entry, present=False, now=1000)
    (entry,) = opened.repositories()
    registry.note_presence(opened, entry, present=False, now=2000)
    (entry,) = opened.repositories()
    assert entry.missing_since == 1000
    registry.note_presence(opened, entry, present=True, now=3000)
    (entry,) = opened.repositories()
    assert entry.missing_since is None
    opened.unregister("/gone/.envgit", [WorktreeId("1" * 16)])
    opened.unregister("/gone/.envgit", [WorktreeId("1" * 16)])
    assert opened.repositories() == []


def test_a_worktree_belongs_to_one_repository_and_a_path_to_several(opened: Store) -> None:
    one, two = WorktreeId("1" * 16), WorktreeId("2" * 16)
    opened.register("/lab/.envgit", [one])
    opened.register("/lab/.envgit", [two])  # mv lab old; envgit init lab
    found = [(entry.path, entry.worktrees) for entry in opened.repositories()]
    assert found == [("/lab/.envgit", (one,)), ("/lab/.envgit", (two,))]
    opened.register("/old/.envgit", [one])  # the moved one is used again
    found = [(entry.path, entry.worktrees) for entry in opened.repositories()]
    assert found == [("/lab/.envgit", (two,)), ("/old/.envgit", (one,))]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 9}', '{"format": 1, "path": "x"}'])
def test_a_damaged_registration_stops_gc_and_is_mended_by_registering(
    opened: Store, text: str
) -> None:
    opened.register("/a/.envgit", [])
    file = Path(opened.path, "repositories", opened.names("repositories")[0])
    file.write_text(text)
    with pytest.raises(RegistrationError, match=str(file)):
        opened.repositories()
    opened.register("/a/.envgit", [])
    assert [entry.path for entry in opened.repositories()] == ["/a/.envgit"]


# -- sizes -----------------------------------------------------------------------------------


def test_an_inode_counts_once_wherever_its_names_are(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", {"a": b"x" * 5000, "own": b"y" * 100, "link": "->a"})
    two = tree(tmp_path / "two", {"sub": None})
    os.link(one / "a", two / "sub" / "b")
    os.link(one / "a", two / "c")
    meter = Meter()
    first, second = meter.measure(str(one)), meter.measure(str(two))
    assert (first.content, first.files, first.directories) == (5100, 3, 1)
    assert (second.content, second.files, second.directories) == (0, 0, 2)
    assert first.plus(second) == Meter().measure_all([str(one), str(two)])
    assert Meter().measure(str(tmp_path / "absent")).disk == 0
    assert exclusive([str(one)]).content == 100, "the rest has other names"
    assert exclusive([str(two), str(one)]).content == 5100
