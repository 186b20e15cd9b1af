# SPDX-License-Identifier: Apache-2.0
"""The terminal of a run: a pseudo-terminal of the environment's own, joined to the user's.

The user's terminal is in raw mode meanwhile, so that Ctrl-C and Ctrl-Z are bytes which the inner
terminal turns into signals for the program in its foreground. The command never holds a descriptor
of the user's terminal: nothing it does to its own (TIOCSTI included) reaches the shell outside.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import termios
from collections.abc import Iterator
from typing import Any

from envgit.sandbox.mounts import Filesystem, new_filesystem

_CHUNK = 65536
_TIOCSPTLCK = 0x40045431  # ioctl_tty(2); asm-generic, which termios does not name before 3.13
_END_OF_FILE = b"\x04"  # VEOF of a fresh terminal: Ctrl-D


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


class Terminal:
    """Both sides of the run's terminal, as the parent holds them; use it as a context manager.

    ``master`` and ``devpts`` are for the child to inherit: the slave is number 0 of that instance
    of devpts, which is made here so that its master needs no passing of descriptors.
    """

    def __init__(self, devpts: Filesystem, *, interactive: bool) -> None:
        self.devpts = new_filesystem(devpts.fstype, devpts.options, devpts.attributes)
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self.master = os.open("ptmx", flags, dir_fd=self.devpts)
        except OSError:
            os.close(self.devpts)
            raise
        fcntl.ioctl(self.master, _TIOCSPTLCK, b"\0\0\0\0")  # 0: unlocked
        self._input = 0 if interactive else -1
        self._raw = interactive and _is_terminal(0)
        self._modes: list[Any] | None = None
        self._pending = b""
        self._last = b"\n"
        self._output_open = True

    def __enter__(self) -> Terminal:
        self.resize()
        self.enter_raw()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave_raw()
        os.close(self.master)
        os.close(self.devpts)

    def resize(self) -> None:
        """Gives the inner terminal the size of the user's."""
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
                return

    def enter_raw(self) -> None:
        """Raw mode, as cfmakeraw(3); a job in the background stops here until it is continued."""
        if not self._raw:
            return
        with _unblocked(signal.SIGTTOU):
            try:
                modes = termios.tcgetattr(0)
                raw = _made_raw(modes)
                termios.tcsetattr(0, termios.TCSADRAIN, raw)
            except termios.error:
                return  # EIO: nobody's foreground, or hung up
        self._modes = modes

    def leave_raw(self) -> None:
        """The modes that the terminal had, unless it is in others' hands by now."""
        modes, self._modes = self._modes, None
        if modes is None:
            return
        with contextlib.suppress(termios.error, OSError):
            if os.tcgetpgrp(0) == os.getpgrp():
                termios.tcsetattr(0, termios.TCSADRAIN, modes)

    def interests(self) -> dict[int, int]:
        """What to poll for: descriptor -> poll(2) events."""
        wanted = {self.master: select.POLLIN | (select.POLLOUT if self._pending else 0)}
        if self._input >= 0 and len(self._pending) < _CHUNK:
            wanted[self._input] = select.POLLIN
        return wanted

    def handle(self, fd: int, events: int) -> None:
        """Moves what it can. Raises ``BrokenPipeError`` once, when nobody reads our output."""
        if fd == self.master:
            if events & select.POLLOUT:
                self._write_master()
            if events & ~select.POLLOUT:
                self._read_master()
        else:
            self._read_input()

    def drain(self) -> None:
        """Shows what the command wrote last; only when all that could write has ended."""
        while self._read_master():
            pass

    def _read_master(self) -> bool:
        try:
            data = os.read(self.master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody holds the slave any more
                raise
            return False
        if self._output_open:
            try:
                _write_all(1, data)
            except BrokenPipeError:
                self._output_open = False
                raise
        return bool(data)

    def _read_input(self) -> None:
        try:
            data = os.read(self._input, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: the user's terminal hung up
        if data:
            self._last = data[-1:]
        else:
            self._input = -1
            # In the middle of a line, the first only hands over the line (termios(3), VEOF).
            data = _END_OF_FILE if self._last == b"\n" else _END_OF_FILE * 2
        self._pending += data
        self._write_master()

    def _write_master(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._pending:
                self._pending = self._pending[os.write(self.master, self._pending) :]


def _made_raw(modes: list[Any]) -> list[Any]:
    t = termios
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = modes
    iflag &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    oflag &= ~t.OPOST
    cflag = cflag & ~(t.CSIZE | t.PARENB) | t.CS8
    lflag &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    characters = list(characters)
    characters[t.VMIN], characters[t.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody else made our standard output non-blocking
            poll = select.poll()  # select(2) knows no descriptors above 1023
            poll.register(fd, select.POLLOUT)
            poll.poll()


@contextlib.contextmanager
def _unblocked(number: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
