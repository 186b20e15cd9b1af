# SPDX-License-Identifier: Apache-2.0
"""Locks exclude, are dropped with their holder, and a waiter learns for whom it waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envgit.store import locks
from envgit.store.failures import StoreError

_HOLD = """
import sys
from envgit.store import locks
from envgit.store.failures import StoreError
held = locks.acquire(sys.argv[1], exclusive=sys.argv[2] == "x", what="envgit commit")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


def test_whoever_does_not_wait_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path, "x") as process, pytest.raises(locks.LockHeld) as caught:
        locks.acquire(str(path), exclusive=True, what="me", timeout=0)
    assert caught.value.message == f"{path} is held by 'envgit commit' (pid {process.pid})"
    assert caught.value.hint


def test_shared_holders_are_named_by_their_command_line(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path, "s") as process:
        with locks.acquire(str(path), exclusive=False, what="me", timeout=0):
            pass
        with pytest.raises(locks.LockHeld, match=rf"\(pid {process.pid}\)"):
            locks.acquire(str(path), exclusive=True, what="me", timeout=0.05)


def test_old_talk_in_the_file_is_not_believed(tmp_path: Path) -> None:
    """The last exclusive holder's line stays in the file, and its process may live."""
    path = tmp_path / "lock"
    with locks.acquire(str(path), exclusive=True, what="something long past"):
        pass
    with held_elsewhere(path, "s") as process:
        assert "long past" not in locks.holder(str(path))
        assert str(process.pid) in locks.holder(str(path))


def test_waiting_is_announced_once_and_ends_with_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    heard: list[str] = []
    with held_elsewhere(path, "x") as process:
        timer = threading.Timer(0.2, process.send_signal, [signal.SIGKILL])
        timer.start()
        began = time.monotonic()
        with locks.acquire(str(path), exclusive=True, what="me", on_wait=heard.append):
            assert time.monotonic() - began >= 0.1
        timer.join()
    assert heard == [f"'envgit commit' (pid {process.pid})"]


def test_a_timeout_ends_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    heard: list[str] = []
    with held_elsewhere(path, "x"):
        began = time.monotonic()
        with pytest.raises(locks.LockHeld):
            locks.acquire(str(path), exclusive=False, what="me", on_wait=heard.append, timeout=0.1)
        assert 0.1 <= time.monotonic() - began < 5
    assert len(heard) == 1


def test_a_lock_whose_file_was_deleted_meanwhile_is_taken_on_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = locks.acquire(str(path), exclusive=True, what="gc")
    got: list[locks.Held] = []
    waiter = threading.Thread(
        target=lambda: got.append(locks.acquire(str(path), exclusive=True, what="me"))
    )
    waiter.start()
    time.sleep(0.1)
    path.unlink()
    first.release()
    waiter.join(10)
    with got[0], pytest.raises(locks.LockHeld):
        locks.acquire(str(path), exclusive=True, what="third", timeout=0)


def test_release_unlocks_for_forked_copies_too(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    held = locks.acquire(path, exclusive=True, what="me")
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        held.release()
        held.release()
        locks.acquire(path, exclusive=True, what="next", timeout=0).release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(StoreError, match="cannot open the lock"):
        locks.acquire(str(tmp_path / "lock"), exclusive=True, what="me")
    assert not (tmp_path / "elsewhere").exists()
