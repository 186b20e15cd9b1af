# SPDX-License-Identifier: Apache-2.0
"""Refs and reflogs: git reads ours, we read git's, and kill -9 leaves no third state."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envgit.fs import crashpoint
from envgit.repo.refnames import BadRefName, check_branch, is_ref_name, shorten
from envgit.repo.refs import (
    CorruptRef,
    HeadUpdate,
    RefConflict,
    RefLocked,
    RefMoved,
    Refs,
    RefUpdate,
)
from envgit.repo.repository import GitRepository
from tests.interop.dags import ENVIRONMENT, git
from tests.support.history import History, who

pytestmark = pytest.mark.peer("git>=2.30")


Parts = Sequence[tuple[Sequence[RefUpdate], HeadUpdate | None]]


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "r.git")
    for number in range(3):
        made.commit({b"f": b"%d" % number}, message=f"c{number}")
    return made


def ids(history: History) -> list[str]:
    return git(history.path, "rev-list", "main").decode().split()


def seen_by_git(path: Path) -> dict[str, str]:
    lines = git(path, "for-each-ref", "--format=%(refname) %(objectname)").decode().splitlines()
    return dict(line.split() for line in lines)


def test_names_of_any_bytes(history: History) -> None:
    new, *_ = ids(history)
    refs = Refs(str(history.path))
    names = [b"refs/heads/\x80x", b"refs/heads/\xc3\xa9", b"refs/heads/a\xff/b"]
    for name in names:
        refs.apply([RefUpdate(os.fsdecode(name), None, new, "made")], None, who())
    refs.apply([], HeadUpdate("ref: refs/heads/main", f"ref: {os.fsdecode(names[0])}"), who())
    assert git(history.path, "symbolic-ref", "HEAD").strip() == names[0]
    for pack in (lambda: refs.pack(), lambda: git(history.path, "pack-refs", "--all")):
        pack()
        listed = git(history.path, "for-each-ref", "--format=%(refname)", "refs/heads").split()
        assert set(listed) == {*names, b"refs/heads/main"}
        again = Refs(str(history.path))
        assert set(map(os.fsdecode, names)) < set(again.all())
        assert again.head().symbolic == os.fsdecode(names[0])
    git(history.path, "fsck", "--strict")
    for name in names:
        refs.apply([RefUpdate(os.fsdecode(name), new, None)], None, who())
    foreign = os.fsdecode(b"refs/heads/git\xfe")
    git(history.path, "update-ref", foreign, new)
    assert set(Refs(str(history.path)).all("refs/heads/")) == {"refs/heads/main", foreign}


@pytest.mark.parametrize("name", ["x" * 251, "a/" * 2030 + "x"])
def test_a_name_without_room_for_its_lock_is_refused_before(history: History, name: str) -> None:
    new, *_ = ids(history)
    with pytest.raises(BadRefName, match="too long"):
        Refs(str(history.path)).check([RefUpdate(f"refs/heads/{name}", None, new)], None)
    assert Refs(str(history.path)).raw("refs/heads/" + "x" * 5000) is None


def test_both_ways(history: History) -> None:
    new, old, oldest = ids(history)
    repository = history.git
    updates = [
        RefUpdate("refs/heads/a/b", None, old, "branch: Created from HEAD~1"),
        RefUpdate("refs/tags/t", None, new),
        RefUpdate("refs/heads/main", new, oldest, "reset: moving to HEAD~2"),
    ]
    repository.apply(updates, HeadUpdate("ref: refs/heads/main", old, "checkout: x"), who(9))
    assert repository.refs() == seen_by_git(history.path)
    assert git(history.path, "rev-parse", "HEAD").decode().strip() == old
    log = git(history.path, "reflog", "--format=%H %gs").decode().splitlines()
    assert log[:2] == [f"{old} checkout: x", f"{oldest} reset: moving to HEAD~2"]
    git(history.path, "pack-refs", "--all", "--prune")
    git(history.path, "symbolic-ref", "HEAD", "refs/heads/a/b")
    again = GitRepository.open(str(history.path))
    assert again.refs() == repository.refs() == seen_by_git(history.path)
    assert again.head().symbolic == "refs/heads/a/b" and again.head().commit == old
    # A packed ref is removed for good, and its name can become a directory's, and back.
    who_ = who(10)
    again.apply([RefUpdate("refs/heads/a/b", old, None)], None, who_)
    assert again.ref("refs/heads/a/b") is None and "refs/heads/a/b" not in seen_by_git(history.path)
    again.apply([RefUpdate("refs/heads/a", None, new)], None, who_)
    again.apply([RefUpdate("refs/heads/a", new, None)], None, who_)
    again.apply([RefUpdate("refs/heads/a/b/c", None, new)], None, who_)
    assert again.pack_refs() == len(seen_by_git(history.path)) == 4
    assert again.refs() == seen_by_git(history.path)
    assert git(history.path, "fsck", "--strict", "--no-dangling") == b""


def test_refusals(history: History) -> None:
    new, old, _ = ids(history)
    repository = history.git

    def refused(error: type[Exception], update: RefUpdate) -> None:
        before = repository.refs()
        with pytest.raises(error):
            repository.check_updates([update], None)
        with pytest.raises(error):
            repository.apply([update], None, who())
        assert repository.refs() == before

    refused(RefMoved, RefUpdate("refs/heads/main", "1" * 40, old))
    refused(RefMoved, RefUpdate("refs/heads/gone", old, new))
    refused(RefConflict, RefUpdate("refs/heads/main/sub", None, new))
    refused(BadRefName, RefUpdate("refs/heads/a..b", None, new))
    refused(BadRefName, RefUpdate("config", None, new))
    refused(BadRefName, RefUpdate("refs/heads/x", None, "main"))
    with pytest.raises(RefMoved):
        repository.apply([], HeadUpdate("ref: refs/heads/other", new), who())
    lock = history.path / "refs/heads/main.lock"
    lock.touch()
    with pytest.raises(RefLocked):
        repository.apply([RefUpdate("refs/heads/main", new, old)], None, who())
    assert lock.exists()  # it is somebody else's
    lock.unlink()
    (history.path / "refs/heads/main").write_text("junk\n")
    with pytest.raises(CorruptRef):
        repository.head()


def test_applying_twice_changes_nothing(history: History) -> None:
    new, old, oldest = ids(history)
    updates = [
        RefUpdate("refs/heads/main", new, old, "reset: moving"),
        RefUpdate("refs/heads/b", None, oldest, "branch: Created"),
        RefUpdate("refs/tags/gone", None, None),
    ]
    head = HeadUpdate("ref: refs/heads/main", "ref: refs/heads/b", "checkout: moving")
    history.git.apply(updates, head, who(9))
    once = _files(history.path)
    history.git.apply(updates, head, who(9))
    assert _files(history.path) == once


def _files(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for part in ("refs", "logs")
        for file in (path / part).rglob("*")
        if file.is_file()
    } | {"HEAD": (path / "HEAD").read_bytes()}


def _killed_at(point: int, action: Callable[[], None]) -> bool:
    """Run ``action`` in a child that kills itself at a named point; whether it came there."""
    child = os.fork()
    if child == 0:
        left = point

        def hook(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        crashpoint.install(hook)
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.crash
def test_kill_and_replay(tmp_path: Path) -> None:
    """As the journal does: killed at any point, applied again, the result is the same."""
    results: list[dict[str, bytes]] = []
    for point in range(-1, 100):
        history = History(tmp_path / f"{point}.git")
        for number in range(2):
            history.commit({b"f": b"%d" % number})
        new, old = ids(history)
        git(history.path, "pack-refs", "--all")
        updates = [
            RefUpdate("refs/heads/main", new, old, "reset: moving"),
            RefUpdate("refs/heads/new", None, new, "branch: Created"),
        ]
        head = HeadUpdate("ref: refs/heads/main", "ref: refs/heads/new", "checkout: moving")

        parts: Parts = ((updates[:1], None), (updates[1:2], None), ([], head))

        def everything(path: Path = history.path, parts: Parts = parts) -> None:
            for part, moved in parts:
                Refs(str(path)).apply(part, moved, who(9))

        killed = point >= 0 and _killed_at(point, everything)
        subprocess.run(
            ["git", f"--git-dir={history.path}", "fsck", "--strict", "--no-dangling"],
            env=ENVIRONMENT, check=True, capture_output=True,
        )  # fmt: skip
        everything()
        assert not list(history.path.rglob("*.lock"))
        results.append(_files(history.path))
        assert results[-1] == results[0]
        if point >= 0 and not killed:
            return
    raise AssertionError("it never came to an end")


@pytest.mark.crash
def test_kill_while_deleting(tmp_path: Path) -> None:
    for point in range(100):
        history = History(tmp_path / f"{point}.git")
        commit = history.commit({b"f": b"1"})
        history.git.apply([RefUpdate("refs/heads/x/y", None, commit, "made")], None, who())
        git(history.path, "pack-refs", "--all")
        history.git.apply([RefUpdate("refs/heads/x/y", commit, "1" * 40, "moved")], None, who())
        update = RefUpdate("refs/heads/x/y", "1" * 40, None)

        def delete(update: RefUpdate = update, path: Path = history.path) -> None:
            Refs(str(path)).apply([update], None, who())

        killed = _killed_at(point, delete)
        # Never the older, packed value: that would be a third state.
        assert Refs(str(history.path)).raw("refs/heads/x/y") in (None, "1" * 40)
        delete()
        assert Refs(str(history.path)).raw("refs/heads/x/y") is None
        if not killed:
            return
    raise AssertionError("it never came to an end")


NAMES = st.text("ab/.@{}~^:?*[\\ \x01\x7flock-é", max_size=12)


def test_ref_names_as_git(tmp_path: Path) -> None:
    @given(st.lists(NAMES, min_size=20, max_size=20))
    @example(["a.lock", "a.lock/b", "@", "a@", "@{", "a/@", ".a", "a/.b", "a.", "a//b"])
    def check(names: list[str]) -> None:
        for name in names:
            for full in (name, f"refs/heads/{name}"):
                if "\0" in full:
                    continue
                result = subprocess.run(
                    ["git", "check-ref-format", full], env=ENVIRONMENT, check=False
                )
                assert is_ref_name(full) == (result.returncode == 0), full

    check()


@pytest.mark.parametrize("name", ["", "-x", "HEAD", "a b", "a..b", "x.lock", "/x", "x/", "@{-1}"])
def test_bad_branches(name: str) -> None:
    with pytest.raises(BadRefName):
        check_branch(name)


def test_shorten() -> None:
    assert check_branch("a/b") == "refs/heads/a/b"
    assert [shorten(name) for name in ("refs/heads/a", "refs/tags/t/u", "refs/remotes/o/m")] == [
        "a", "t/u", "o/m",
    ]  # fmt: skip
