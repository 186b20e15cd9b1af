# SPDX-License-Identifier: Apache-2.0
"""How runs live and die: signals, orphans, kill -9, joining, freezing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.sandbox import freezer
from envgit.sandbox.roots import JoinRoot
from envgit.sandbox.view import Inside, call_inside
from tests.support.sandboxed import Box

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once ``what`` is true; fail after a while."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)


def say(box: Box, name: str) -> Callable[[], bool]:
    """Whether the command has made the file /tmp/NAME."""
    return (box.upper / "tmp" / name).exists


def finish(started: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Status, output and messages of a run that is about to end."""
    out, err = started.communicate(timeout=30)
    return started.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command(box: Box, number: signal.Signals) -> None:
    started = box.start("sh", "-c", "touch /tmp/ready; exec sleep 30")
    wait_for(say(box, "ready"))
    started.send_signal(number)
    assert finish(started)[0] == 128 + number


def test_the_command_may_handle_them(box: Box) -> None:
    script = "trap 'echo caught; exit 7' TERM; touch /tmp/ready; while :; do sleep 0.05; done"
    started = box.start("sh", "-c", script)
    wait_for(say(box, "ready"))
    started.terminate()
    assert finish(started)[:2] == (7, "caught\n")


def test_orphans_are_reaped_and_end_with_the_command(box: Box) -> None:
    script = """
    i=0; while [ $i -lt 20 ]; do (sleep 0.01 &) ; i=$((i+1)); done
    sleep 0.5; ps -o pid,stat | grep -c Z; (sleep 1000 &); (trap '' TERM HUP; sleep 1001 &)
    """
    started = box.start("sh", "-c", script)
    status, out, _ = finish(started)
    assert (status, out) == (1, "0\n") or (status, out) == (0, "0\n")


def test_kill_9_leaves_nothing(box: Box) -> None:
    script = "(trap '' HUP TERM INT; touch /tmp/ready; sleep 1000) & sleep 1000"
    started = box.start("sh", "-c", script)
    wait_for(say(box, "ready"))
    init = box.init_pid()
    family = freezer._family([init])
    assert len(family) >= 3
    started.kill()
    started.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family))
    assert box.run("echo", "again").out == "again\n"


def test_killed_pid_1_is_told(box: Box) -> None:
    started = box.start("sh", "-c", "touch /tmp/ready; sleep 1000")
    wait_for(say(box, "ready"))
    os.kill(box.init_pid(), signal.SIGKILL)
    status, _, err = finish(started)
    assert status == 125 and "killed from outside" in err


def test_two_runs_share_one_mount_even_after_the_first(box: Box) -> None:
    first = box.start(
        "sh", "-c", "echo one >/tmp/one; while [ ! -e /tmp/two ]; do sleep 0.02; done"
    )
    wait_for(say(box, "one"))
    pid = box.init_pid()
    script = "cat /tmp/one; echo two >/tmp/two; touch /tmp/up; read x; cat /tmp/one; hostname; ps"
    second = box.start("sh", "-c", script, join=pid, hostname="second")
    assert finish(first)[0] == 0
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    out, err = second.communicate("\n", timeout=30)
    assert second.returncode == 0, err
    assert out.startswith("one\none\nsecond\n") and "envgit-init" in out
    assert "sleep" not in out  # each run has its own processes
    done = box.run("true", join=pid)
    assert done.status == 125 and "has ended" in done.err


def test_a_joined_root_is_the_overlay_and_nothing_else(box: Box) -> None:
    first = box.start("sh", "-c", "touch /tmp/ready; read x", read_only=True, tmpfs=["/srv"])
    wait_for((box.top / "report").exists)
    script = "touch /new && grep -c . /proc/self/mountinfo; grep /srv /proc/mounts"
    done = box.run("sh", "-c", script, join=box.init_pid())
    assert done.out.split()[0].isdigit() and "/srv" not in done.out
    assert (box.upper / "new").exists()
    first.communicate("\n", timeout=30)


@pytest.mark.parametrize("method", ["cgroup2", "freezer", "SIGSTOP"])
def test_frozen_environments_do_not_write(
    box: Box, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = freezer.hierarchies()
    wanted = [(path, name) for path, name in found if {"": "cgroup2"}.get(name, name) == method]
    if method != "SIGSTOP" and not wanted:
        pytest.skip(f"no {method} here")
    monkeypatch.setattr(freezer, "hierarchies", lambda: wanted)
    script = "touch /tmp/ready; while :; do (echo x >>/tmp/log); (true); done"
    started = box.start("sh", "-c", script)
    log = box.upper / "tmp/log"
    wait_for(log.exists)
    with freezer.frozen([box.init_pid(), 0, 1 << 30]):
        before = log.stat().st_size
        time.sleep(0.1)
        assert log.stat().st_size == before
    wait_for(lambda: log.stat().st_size > before)
    assert not [left for path, _ in found for left in Path(path).glob("envgit-freeze-*")]
    started.terminate()
    finish(started)


def test_thawed_when_the_freezer_is_killed(box: Box) -> None:
    started = box.start("sh", "-c", "while :; do (echo x >>/tmp/log); done")
    log = box.upper / "tmp/log"
    wait_for(log.exists)
    pid = os.fork()
    if pid == 0:
        with freezer.frozen([box.init_pid()]):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    before = log.stat().st_size
    wait_for(lambda: log.stat().st_size > before)
    started.terminate()
    finish(started)


def test_looking_into_a_running_environment(box: Box) -> None:
    started = box.start("sh", "-c", "echo inside >/tmp/file; touch /tmp/ready; read x")
    wait_for(say(box, "ready"))

    def read(inside: Inside) -> bytes:
        fd = inside.open("/tmp/file", os.O_RDONLY)
        return os.read(fd, 100) + b"x" * 1_000_000

    assert call_inside(JoinRoot(box.init_pid()), read) == b"inside\n" + b"x" * 1_000_000
    started.communicate("\n", timeout=30)
