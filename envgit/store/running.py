# SPDX-License-Identifier: Apache-2.0
"""Who runs in a worktree: records that live exactly as long as the environments they describe.

A record is a file that its environment keeps locked (flock). The descriptor is inherited by the
environment's first process, so the kernel ends the record when that ends, even by kill -9; a
record nobody locks is dead and is removed by whoever sees it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from envgit.store.failures import explained

_READ_TRIES = 5
_READ_PAUSE = 0.002
"""A record that is being rewritten may be read half: look again a moment later."""
_END_TRIES = 500
"""A second: exiting takes milliseconds, and on a loaded machine tens of them."""


class Running(NamedTuple):
    """An environment that is running, as its record tells."""

    pid: int
    """The process that started it (envgit's own)."""
    init_pid: int
    """The environment's first process; 0 while it is not started yet."""
    info: dict[str, Any]
    path: str

    @property
    def command(self) -> str:
        """What runs, for a message."""
        return str(self.info.get("command", "?"))


class RunningRecord:
    """Our own record; ``fd`` is to be inherited by the environment's first process."""

    __slots__ = ("fd", "info", "path")

    def __init__(self, path: str, fd: int, info: dict[str, Any]) -> None:
        self.path = path
        self.fd = fd
        self.info = info

    def started(self, init_pid: int, **info: Any) -> None:
        """Name the environment's first process, and add to the record, such as ``mounted=True``."""
        self.info.update(info)
        data = _serialize(init_pid, self.info)
        with explained("record what runs", self.path):
            os.pwrite(self.fd, data, 0)
            os.ftruncate(self.fd, len(data))

    def remove(self) -> None:
        """The environment has ended: remove the record. A second call does nothing."""
        if self.fd < 0:
            return
        with suppress(FileNotFoundError):  # its worktree was removed
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Let go of our descriptor only; the record lives on while the environment has its own."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> RunningRecord:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register(folder: str, info: Mapping[str, Any]) -> RunningRecord:
    """Make a record in ``folder``, before the environment starts.

    ``info`` is JSON: ``command`` is for messages, ``gc`` keeps what ``stack`` (directories relative
    to the store), ``changes`` and ``below`` (a list of change sets) name; everything else is the
    caller's.
    """
    data = _serialize(0, dict(info))
    while True:
        path = os.path.join(folder, f"{time.time_ns():020d}-{os.urandom(4).hex()}")
        with explained("record what runs", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, data)
                fcntl.flock(fd, fcntl.LOCK_EX)
                alive = os.fstat(fd).st_nlink > 0
            except BaseException:
                os.close(fd)
                raise
        if alive:
            os.set_inheritable(fd, True)
            return RunningRecord(path, fd, dict(info))
        os.close(fd)  # somebody took it for dead before we had locked it: once more


def living(folder: str) -> list[Running]:
    """The records in ``folder`` whose environments run, oldest first. Removes the dead ones."""
    try:
        with explained("see what runs", folder, or_missing=True):
            names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        record = _examine(os.path.join(folder, name))
        if record is not None:
            found.append(record)
    return found


def _examine(path: str) -> Running | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(fd, path)
        _wait_for_end(_read(fd, path).init_pid)
        with suppress(OSError):  # removed by another reader, or a read-only store: dead anyway
            os.unlink(path)
        return None
    finally:
        os.close(fd)


def _wait_for_end(init_pid: int) -> None:
    """Wait until the environment's first process is gone, with all that ran under it.

    A process that is killed lets go of its files, and so of our lock, before the kernel kills the
    rest of its pid namespace (do_exit in kernel/exit.c): for an instant there are still writers.
    The wait is bounded, since the number may belong to another process by now.
    """
    for _ in range(_END_TRIES):
        if init_pid <= 0 or not os.path.exists(f"/proc/{init_pid}"):
            return
        time.sleep(_READ_PAUSE)


def _read(fd: int, path: str) -> Running:
    for _ in range(_READ_TRIES):
        try:
            record = json.loads(os.pread(fd, 1 << 20, 0))
        except ValueError:
            time.sleep(_READ_PAUSE)
            continue
        if isinstance(record, dict):
            pid, init_pid, info = (record.get(key) for key in ("pid", "init_pid", "info"))
            if isinstance(pid, int) and isinstance(init_pid, int) and isinstance(info, dict):
                return Running(pid, init_pid, info, path)
        break
    return Running(0, 0, {}, path)


def _serialize(init_pid: int, info: dict[str, Any]) -> bytes:
    record = {"format": 1, "pid": os.getpid(), "init_pid": init_pid, "info": info}
    return (json.dumps(record) + "\n").encode()
