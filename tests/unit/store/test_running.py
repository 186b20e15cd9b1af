# SPDX-License-Identifier: Apache-2.0
"""Records of running environments live exactly as long as whoever holds the descriptor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from envgit.store.worktree import Worktree


def _wait_until_gone(worktree: Worktree) -> float:
    began = time.monotonic()
    while worktree.running() and time.monotonic() - began < 10:
        time.sleep(0.005)
    return time.monotonic() - began


def test_a_record_says_what_it_was_told(worktree: Worktree) -> None:
    assert worktree.running() == []
    with worktree.register({"command": "apt-get update", "stack": ["layers/x"]}) as record:
        record.started(4242, mounted=True)
        (found,) = worktree.running()
        assert (found.pid, found.init_pid, found.command) == (os.getpid(), 4242, "apt-get update")
        assert found.info == {"command": "apt-get update", "stack": ["layers/x"], "mounted": True}
    assert worktree.running() == []
    assert os.listdir(f"{worktree.path}/running") == []


def test_it_lives_on_with_the_environment_and_dies_with_it(worktree: Worktree) -> None:
    record = worktree.register({"command": "sleep"})
    init = subprocess.Popen(["sleep", "1000"], pass_fds=[record.fd])
    record.started(init.pid)
    record.close()
    try:
        assert [found.init_pid for found in worktree.running()] == [init.pid]
    finally:
        init.send_signal(signal.SIGKILL)
        init.wait()
    assert _wait_until_gone(worktree) < 10
    assert os.listdir(f"{worktree.path}/running") == []


def test_kill_9_of_its_only_holder_ends_it(worktree: Worktree) -> None:
    script = (
        "import os, sys, time; from envgit.store import running;"
        "running.register(sys.argv[1], {}); print('on', flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, f"{worktree.path}/running"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        assert [found.pid for found in worktree.running()] == [process.pid]
        process.kill()
    assert worktree.running() == []


def test_what_cannot_be_read_still_counts_while_it_is_locked(worktree: Worktree) -> None:
    with worktree.register({}) as record:
        Path(record.path).write_text("{")
        assert [(found.pid, found.command) for found in worktree.running()] == [(0, "?")]
        Path(record.path).write_text('{"pid": "x"}')
        assert len(worktree.running()) == 1


def test_records_survive_readers_that_look_all_the_time(worktree: Worktree) -> None:
    """A reader that saw a record before its writer had locked it must not take it away."""
    reader = os.fork()
    if reader == 0:
        try:
            while True:
                worktree.running()
        finally:
            os._exit(1)
    try:
        for number in range(300):
            with worktree.register({}) as record:
                record.started(number)
                assert os.path.exists(record.path)
                assert number in [found.init_pid for found in worktree.running()]
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
