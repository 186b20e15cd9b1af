# SPDX-License-Identifier: Apache-2.0
"""A worktree's state and journal: whole or an error that names the file; runs; dirt."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.ids import ChangesId, CommitId, LayerId
from envgit.store import state as states
from envgit.store.journal import Journal, Record
from envgit.store.locks import LockHeld
from envgit.store.store import MissingChanges, Store
from envgit.store.worktree import State, StateError, Worktree, current_boot
from tests.support.builders import tree

FULL = State(
    repository=os.fsdecode(b"/home/\xff/.envgit"),
    changes=ChangesId("c" * 32),
    base=CommitId("b" * 40),
    depth=11,
    stack=(f"layers/{'1' * 40}", f"spans/{'2' * 40}.1/tree", f"layers/{'3' * 40}"),
    config={"Env": ["PATH=/bin"], "Labels": {"x": "y"}},
    boot_id=current_boot(),
    mountpoints=("dev/shm", os.fsdecode(b"odd \xfe")),
    committed_runs=2,
)
EMPTY = State(repository="/p/.envgit", changes=ChangesId("0" * 32))


@pytest.mark.parametrize("state", [FULL, EMPTY])
def test_states_round_trip(worktree: Worktree, state: State) -> None:
    worktree.write_state(state)
    assert worktree.state() == state
    assert states.parse(state.serialize()) == state


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "format"),
        ("repository", "relative", "repository"),
        ("repository", 7, "repository"),
        ("base", "HEAD", "base"),
        ("base", None, "depth"),
        ("depth", 0, "depth"),
        ("depth", True, "depth"),
        ("stack", [], "stack"),
        ("stack", ["../../etc"], "stack"),
        ("stack", ["layers/" + "1" * 39], "stack"),
        ("stack", ["layers/" + "1" * 40 + "/x"], "stack"),
        ("stack", ["spans/" + "1" * 40 + ".1"], "stack"),
        ("stack", ["spans/" + "1" * 40 + ".²/tree"], "stack"),
        ("stack", "layers", "stack"),
        ("config", [], "config"),
        ("changes", "../x", "changes"),
        ("boot_id", "", "boot_id"),
        ("mountpoints", ["/proc"], "mountpoints"),
        ("mountpoints", ["a/../.."], "mountpoints"),
        ("mountpoints", [""], "mountpoints"),
        ("committed_runs", -1, "committed_runs"),
        ("surprise", 1, "surprise"),
    ],
)
def test_edited_states_are_refused_with_the_place(
    worktree: Worktree, key: str, value: Any, says: str
) -> None:
    record = FULL.to_json() | {key: value}
    file = Path(worktree.path, "state")
    file.write_text(json.dumps(record))
    with pytest.raises(StateError, match=says) as caught:
        worktree.state()
    assert str(file) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 300, b"null", b"[" * 100000, b"\xff\xfe"])
def test_damaged_files_are_refused_with_the_place(worktree: Worktree, data: bytes) -> None:
    for name, read in (("state", worktree.state), ("journal", worktree.journal.read)):
        Path(worktree.path, name).write_bytes(data)
        with pytest.raises(StateError, match=f"{worktree.path}/{name} is damaged"):
            read()


def test_a_missing_state_is_named(worktree: Worktree) -> None:
    os.unlink(f"{worktree.path}/state")
    assert not worktree.exists()
    with pytest.raises(StateError, match="state is missing"):
        worktree.state()


@given(st.binary(max_size=40), st.integers(0, 600))
def test_no_byte_of_a_state_can_be_exchanged_for_a_traceback(junk: bytes, at: int) -> None:
    data = FULL.serialize()
    with contextlib.suppress(ValueError):
        states.parse(data[:at] + junk + data[at + len(junk) :])


# -- journal ---------------------------------------------------------------------------------

DECIDED = Record(
    seals=((ChangesId("c" * 32), LayerId("1" * 40)),),
    state=FULL,
    refs=(
        ("refs/heads/main", "a" * 40, "b" * 40, "commit: x"),
        ("refs/tags/v", "a" * 40, None, ""),
    ),
    head=("ref: refs/heads/main", "b" * 40, "checkout: moving"),
    discards=(ChangesId("d" * 32),),
    signature=("Ä", "a@b", 1704067200, -90),
)


def test_a_journal_is_pending_until_it_is_cleared(worktree: Worktree) -> None:
    journal = worktree.journal
    assert (journal.pending(), journal.read()) == (False, None)
    journal.write(DECIDED)
    again = Journal(journal.path)
    assert (again.pending(), again.read()) == (True, DECIDED)
    journal.clear()
    journal.clear()
    assert not again.pending()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 0),
        ("seals", [["c" * 32]]),
        ("seals", [["c" * 32, "../x"]]),
        ("refs", [["main", None, None, ""]]),
        ("refs", [["refs/heads/x", "short", None, ""]]),
        ("head", ["x"]),
        ("discards", ["/"]),
        ("discards", None),
        ("signature", ["a", "b", "c", 0]),
        ("state", {"format": 1}),
        ("state", 1),
    ],
)
def test_edited_journals_are_refused(worktree: Worktree, key: str, value: Any) -> None:
    worktree.journal.write(DECIDED)
    record = json.loads(Path(worktree.journal.path).read_text()) | {key: value}
    Path(worktree.journal.path).write_text(json.dumps(record))
    with pytest.raises(StateError, match="journal"):
        worktree.journal.read()


# -- runs ------------------------------------------------------------------------------------


def test_runs_are_kept_in_order_and_belong_to_the_change_set(
    opened: Store, worktree: Worktree
) -> None:
    other = opened.new_changes()
    for number in range(3):
        worktree.append_run({"argv": ["true", str(number)], "exit_code": 0})
    worktree.append_run({"argv": ["false"]}, other)
    assert [run["argv"][1] for run in worktree.runs()] == ["0", "1", "2"]
    assert worktree.runs(other) == [{"argv": ["false"]}]
    assert worktree.runs(ChangesId("e" * 32)) == []


def test_a_torn_line_is_left_out(opened: Store, worktree: Worktree) -> None:
    worktree.append_run({"argv": ["a"]})
    file = Path(opened.changes_path(worktree.state().changes), "runs")
    file.write_bytes(file.read_bytes() + b'{"argv": ["b"\n\0\0\0\n[]\n{"argv"')
    assert worktree.runs() == [{"argv": ["a"]}]


# -- dirt ------------------------------------------------------------------------------------


def test_dirt_is_what_the_user_did_not_what_the_sandbox_made(
    opened: Store, worktree: Worktree
) -> None:
    upper = opened.upper_path(worktree.state().changes)
    assert not worktree.is_dirty_quick()
    worktree.append_run({"argv": ["true"]})
    assert (worktree.is_dirty_quick(), worktree.has_changes_quick()) == (True, False)
    tree(upper, {"dev": {"shm": None}, "etc": {"hosts": ""}})
    assert worktree.has_changes_quick()
    made = worktree.state()._replace(mountpoints=("dev", "dev/shm", "etc", "etc/hosts"))
    assert not worktree.has_changes_quick(made)
    # Directories above a mount point that were there before are no change either.
    assert not worktree.has_changes_quick(made._replace(mountpoints=("dev/shm", "etc/hosts")))
    for file in ("etc/hosts", "dev/shm/x"):
        tree(upper, {file: "written"})
        assert worktree.has_changes_quick(made)
        os.unlink(f"{upper}/{file}")


def test_the_root_of_a_change_set_that_is_gone_is_named(opened: Store, worktree: Worktree) -> None:
    opened.delete_changes(worktree.state().changes)
    with pytest.raises(MissingChanges):
        worktree.is_dirty_quick()


def test_only_changes_of_another_boot_may_be_incomplete(opened: Store, worktree: Worktree) -> None:
    state = worktree.state()
    for boot, contents, expected in [
        (None, {"f": "x"}, False),
        (current_boot(), {"f": "x"}, False),
        ("an-earlier-one", {"f": "x"}, True),
        ("an-earlier-one", {}, False),
    ]:
        with opened.temporary("parked") as aside:
            tree(opened.upper_path(state.changes), contents)
            assert worktree.maybe_incomplete(state._replace(boot_id=boot)) is expected
            for name in contents:
                os.rename(f"{opened.upper_path(state.changes)}/{name}", f"{aside}/{name}")


def test_the_lock_of_a_worktree_names_its_holder(worktree: Worktree) -> None:
    with (
        worktree.lock(what="envgit commit"),
        pytest.raises(LockHeld, match="'envgit commit'"),
        worktree.lock(what="envgit run", timeout=0),
    ):
        pass
