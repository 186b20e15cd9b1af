# SPDX-License-Identifier: Apache-2.0
"""Runs on a real terminal: the command's own, joined to the user's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import sandboxed
from tests.support.sandboxed import Box

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


class Screen:
    """A user at a terminal: types, and waits for words to appear."""

    def __init__(self, argv: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(sandboxed.PROJECT)
            os.execv(argv[0], argv)
        self.seen = ""

    def expect(self, text: str, seconds: float = 20.0) -> str:
        """Read until ``text`` has appeared; returns what came before it."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            poll = select.poll()  # select(2) knows no descriptors above 1023
            poll.register(self.fd, select.POLLIN)
            ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
            assert ready, f"{text!r} did not appear in {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 65536).decode()
            except OSError:
                raise AssertionError(f"{text!r} did not appear in {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        """Type ``text``; ``\\x03`` is Ctrl-C."""
        os.write(self.fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[object]:
        """The terminal's modes."""
        return list(termios.tcgetattr(self.fd))

    def status(self) -> int:
        """Wait for the program to end; its exit status."""
        with contextlib.suppress(OSError):  # EIO: the last one has closed the terminal
            while True:
                poll = select.poll()
                poll.register(self.fd, select.POLLIN)
                assert poll.poll(30_000), f"the program does not end; last seen {self.seen!r}"
                self.seen += os.read(self.fd, 65536).decode()
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@contextmanager
def screen(argv: list[str]) -> Iterator[Screen]:
    """A terminal with ``argv`` running on it, killed at the end if it still does."""
    it = Screen(argv)
    try:
        yield it
    finally:
        os.close(it.fd)
        if it.pid:
            os.kill(it.pid, signal.SIGKILL)
            os.waitpid(it.pid, 0)


def test_the_command_has_a_terminal_of_its_own(box: Box) -> None:
    argv = box.command(
        "sh", "-c", "tty; stty size; ls /dev/console; test -t 2 && read x; exit 5", tty=True
    )
    with screen(["/bin/sh", "-c", f"stty rows 33 cols 99; {quoted(argv)}"]) as user:
        before = user.modes()
        assert user.expect("/dev/console").split() == ["/dev/pts/0", "33", "99"]
        assert user.modes() != before
        user.type("\n")
        assert user.status() == 5
        assert user.modes() == before


def test_ctrl_c_interrupts_what_is_in_the_foreground(box: Box) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    with screen(box.command("sh", "-c", script, tty=True)) as user:
        user.expect("ready")
        user.type("\x03")
        user.expect("caught")
        assert user.status() == 4
    with screen(box.command("sh", "-c", "echo ready; exec sleep 30", tty=True)) as user:
        user.expect("ready")
        user.type("\x03")
        assert user.status() == 130


def test_ctrl_c_without_a_terminal_of_its_own(box: Box) -> None:
    with screen(box.command("sh", "-c", "echo ready; sleep 30; echo after")) as user:
        user.expect("ready")
        user.type("\x03")  # reaches the whole group, as it would outside
        assert user.status() == 130


def test_window_size_follows(box: Box) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    with screen(box.command("sh", "-c", script, tty=True)) as user:
        user.expect("ready")
        user.resize(17, 71)
        user.expect("17 71")


@pytest.mark.parametrize("tty", [True, False])
def test_ctrl_z_stops_us_and_fg_continues(box: Box, tty: bool) -> None:
    argv = box.command(
        "sh", "-c", "echo ready; sleep 1; echo resumed; read x; echo got $x", tty=tty
    )
    with screen(["/bin/bash", "--norc", "-i"]) as user:
        user.type("PS1='prompt> '\n")
        user.expect("prompt> ")
        user.expect("prompt> ")
        user.type(f"{quoted(argv)}\n")
        user.expect("\nready")
        user.type("\x1a")
        user.expect("Stopped")
        user.expect("prompt> ")
        user.type("echo $((6 * 7)) > /dev/tty; fg\n")
        user.expect("42")
        user.expect("resumed")
        user.type("word\n")
        user.expect("got word")
        user.expect("prompt> ")
        user.type("exit $?\n")
        assert user.status() == 0


def test_an_interactive_shell_controls_its_jobs(box: Box) -> None:
    with screen(box.command("sh", "-i", tty=True, env=[("PS1", "inside> ")])) as user:
        user.expect("inside> ")
        user.type("sleep 1000\n")
        user.expect("sleep 1000\r\n")
        time.sleep(0.3)  # until it is in the foreground
        user.type("\x1a")
        user.expect("Stopped")
        user.expect("inside> ")
        user.type("kill -9 %1; wait; exit 9\n")  # with a stopped job, ash wants it said twice
        user.expect("stopped jobs")
        user.expect("inside> ")
        user.type("exit 9\n")
        assert user.status() == 9


def test_pipes_with_a_terminal(box: Box) -> None:
    argv = box.command("sh", "-c", "cat; tty", tty=True)
    done = subprocess.run(
        argv, input="hi\nthere", capture_output=True, text=True, cwd=sandboxed.PROJECT
    )
    # The terminal echoes what it is given, and ends lines as terminals do.
    assert done.returncode == 0 and done.stdout.endswith("/dev/pts/0\n"), done
    assert done.stdout.count("there") == 2


def test_much_output_arrives_whole(box: Box) -> None:
    with screen(box.command("sh", "-c", "seq 100000; echo the end", tty=True)) as user:
        lines = user.expect("the end").split()
        assert lines == [str(number) for number in range(1, 100_001)]
        assert user.status() == 0


def test_a_closed_window_ends_the_command(box: Box) -> None:
    script = "trap 'echo x >/tmp/hup; exit' HUP; touch /tmp/ready; while :; do sleep 0.02; done"
    with screen(box.command("sh", "-c", script, tty=True)) as user:
        until = time.monotonic() + 20
        while not (box.upper / "tmp/ready").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        pid = user.pid
    assert not os.path.exists(f"/proc/{pid}")


def quoted(argv: list[str]) -> str:
    """For a shell's command line."""
    return "cd " + sandboxed.PROJECT + " && " + " ".join(
        "'" + word.replace("'", "'\\''") + "'" for word in argv
    )  # fmt: skip
