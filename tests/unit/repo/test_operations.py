# SPDX-License-Identifier: Apache-2.0
"""Undo and redo as a linear stack, against a model that is one; records survive their JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.ids import ChangesId, CommitId, OperationId
from envgit.repo.operations import (
    Operation,
    OperationError,
    WorktreePoint,
    find,
    ordinary,
    redo_target,
    truncate,
    undo_target,
)
from envgit.repo.refs import RefUpdate
from tests.support.history import CLOCK, History, who


def operation(name: str, *, undoes: str | None = None, redoes: str | None = None) -> Operation:
    found = Operation(
        verb="x",
        command=(),
        time=0,
        offset=0,
        worktree="w",
        undoes=OperationId(undoes) if undoes else None,
        redoes=OperationId(redoes) if redoes else None,
    )
    return replace(found, id=OperationId(name))


@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=40))
def test_linear_stack(steps: list[str]) -> None:
    log: list[Operation] = []
    done: list[str] = []
    undone: list[str] = []
    for number, step in enumerate(steps):
        undo, redo = undo_target(log), redo_target(log)
        assert (undo.id if undo else None) == (done[-1] if done else None)
        assert redo == (undone[-1] if undone else None)
        standing = [each.id for each, is_undone in ordinary(log) if not is_undone]
        assert standing == done[::-1]
        name = f"op{number}"
        if step == "do":
            log.insert(0, operation(name))
            done.append(name)
            undone.clear()
        elif step == "undo" and undo is not None:
            log.insert(0, operation(name, undoes=undo.id))
            undone.append(done.pop())
        elif step == "redo" and redo is not None:
            log.insert(0, operation(name, redoes=redo))
            done.append(undone.pop())


def test_record_round_trip() -> None:
    record = Operation(
        verb="commit",
        command=("envgit", "commit", "\udcff"),
        time=CLOCK,
        offset=-330,
        worktree="0" * 16,
        refs=(("refs/heads/main", None, "1" * 40),),
        head=("ref: refs/heads/main", "2" * 40),
        before=WorktreePoint(CommitId("3" * 40), ChangesId("4" * 32)),
        after=WorktreePoint(None, None),
        sealed=(ChangesId("4" * 32), CommitId("1" * 40)),
        description="käse\n",
    )
    parsed = Operation.parse("5" * 40, record.encode())
    assert parsed == replace(record, id=OperationId("5" * 40))
    assert parsed.commits() == ["1" * 40, "2" * 40, "3" * 40]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1}'])
def test_bad_record(data: bytes) -> None:
    with pytest.raises(OperationError):
        Operation.parse("5" * 40, data)


def test_log_find_and_truncate(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    for number in range(5):
        history.commit({b"f": b"%d" % number}, message=f"c{number}")
    git = history.git
    log = list(git.operations())
    assert [each.description for each in log] == ["c4", "c3", "c2", "c1", "c0"]
    assert len(list(git.operations(2))) == 2
    assert find(git, "@") == log[0]
    assert find(git, "@~3") == log[3]
    assert find(git, log[2].id[:12]) == log[2]
    for name in ("@~5", "", "0" * 40):
        with pytest.raises(OperationError):
            find(git, name)
    with git.writer() as writer:
        update = truncate(git, writer, CLOCK + 4)
        assert update is not None
        writer.flush()
    git.apply([update], None, who())
    assert list(git.operations()) == log[:2]
    with git.writer() as writer:
        assert truncate(git, writer, CLOCK + 4) is None
    history.commit({b"f": b"x"}, message="after")
    assert [each.id for each in git.operations()][1:] == [each.id for each in log[:2]]


def test_annotated_tags_come_back(tmp_path: Path) -> None:
    from envgit.repo.operations import restore_tags

    history = History(tmp_path / "r.git")
    commit = history.commit({b"f": b""})
    git = history.git
    with git.writer() as writer:
        tag = writer.add_tag(commit, "v1", who(), "one")
        record = Operation(
            verb="tag",
            command=(),
            time=CLOCK,
            offset=0,
            worktree="w",
            refs=(("refs/tags/v1", None, tag),),
        )
        name, update = git.append_operation(writer, record, who())
        writer.flush()
    git.apply([update, RefUpdate("refs/tags/v1", None, tag)], None, who())
    logged = next(iter(git.operations()))
    assert logged.id == name
    with git.writer() as writer:
        restore_tags(git, writer, logged)
        assert writer.read(tag) == git.read(tag)
    found = git.tag(tag)
    assert found is not None and (found.target, found.name, found.message) == (
        commit,
        "v1",
        "one\n",
    )
