# SPDX-License-Identifier: Apache-2.0
"""What the processes of a run tell each other, drawn once so that both sides agree.

::

    envgit (host)                 PID 1 (envgit-init)               command
    ─────────────                 ───────────────────               ───────
    two pipes
    unshare(pid), fork ─────────▶ die with the parent
    restore pid namespace         unshare(mount ipc uts cgroup)
                                  root, mounts, pivot_root
                     ◀─ MOUNTED ─ mount points it made
    on_mounted(pid)               user, seccomp
                                  fork ───────────────────────────▶ own process group, terminal
                                  drop capabilities                 user, capabilities, umask
                     ◀─ FAILED ──────────────────────────────────── only if exec fails
    signal ─── order ───────────▶ kill the command, or its group
                     ◀─ STOPPED ─ the command stopped (Ctrl-Z)
    stop too; when continued:
    SIGCONT ── order ───────────▶ continue its group
                                  reap orphans
                                  reap the command ◀─────────────── exit
                     ◀─ EXITED ── wait status
    drain the terminal            exit: the kernel kills the rest
    reap PID 1

A message is a byte of kind, four bytes of length and the payload; an order is two bytes, a signal
number and whether it is for the whole process group. The end of either pipe is the other's death.
"""

from __future__ import annotations

import contextlib
import os

MOUNTED = 77  # "M": payload: the created mount points, each followed by NUL
FAILED = 69  # "E": payload: failure.encode()
STOPPED = 83  # "S": payload: one byte, the signal
EXITED = 88  # "X": payload: the wait status in decimal

_HEADER = 5


def send(fd: int, kind: int, payload: bytes = b"") -> None:
    """Writes a message whole; the reader always reads, so that long ones do not block for ever."""
    data = bytes((kind,)) + len(payload).to_bytes(4, "little") + payload
    while data:
        data = data[os.write(fd, data) :]


class Inbox:
    """Cuts what arrives on a pipe into messages."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.open = True
        self._data = b""

    def receive(self) -> list[tuple[int, bytes]]:
        """Reads once (blocking when there is nothing) and returns complete (kind, payload)s."""
        chunk = os.read(self.fd, 65536)
        if not chunk:
            self.open = False
        self._data += chunk
        messages: list[tuple[int, bytes]] = []
        while len(self._data) >= _HEADER:
            length = int.from_bytes(self._data[1:_HEADER], "little")
            if len(self._data) < _HEADER + length:
                break
            messages.append((self._data[0], self._data[_HEADER : _HEADER + length]))
            self._data = self._data[_HEADER + length :]
        return messages


def order(fd: int, signal: int, *, group: bool) -> None:
    """Asks PID 1 to send ``signal`` to the command, or to its process group."""
    with contextlib.suppress(BrokenPipeError):  # it has ended; EXITED is on the way
        os.write(fd, bytes((signal, group)))
