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
from types import TracebackType
from typing import Any, NamedTuple

from envgit.store.failures import explained

_READ_TRIES = 5
_READ_PAUSE = 0.002
"""A record that is being rewritten may be read half: look again a moment later."""


class Live(NamedTuple):
    """An environment that is running: its first process (0: not started yet) and its record."""

    pid: int
    info: dict[str, Any]
    path: str


class Running:
    """Our own record; ``fd`` is to be inherited by the environment's first process."""

    __slots__ = ("fd", "info", "path", "pid")

    def __init__(self, path: str, fd: int, pid: int, info: dict[str, Any]) -> None:
        self.path = path
        self.fd = fd
        self.pid = pid
        self.info = info

    def update(self, *, pid: int | None = None, **info: Any) -> None:
        """Replace the process id or add to the record, such as ``mounted=True``."""
        self.pid = self.pid if pid is None else pid
        self.info.update(info)
        data = _serialize(self.pid, self.info)
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

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def register(folder: str, pid: int, info: Mapping[str, Any]) -> Running:
    """Make a record in ``folder`` before the environment starts; ``pid`` 0 says: not started yet.

    ``info`` is JSON. ``gc`` keeps what it finds there under ``stack`` (directories relative to the
    store) and ``changes``; everything else is the caller's.
    """
    data = _serialize(pid, dict(info))
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
            return Running(path, fd, pid, dict(info))
        os.close(fd)  # somebody took it for dead before we had locked it: once more


def living(folder: str) -> list[Live]:
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


def _examine(path: str) -> Live | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(fd, path)
        with suppress(OSError):  # removed by another reader, or a read-only store: dead anyway
            os.unlink(path)
        return None
    finally:
        os.close(fd)


def _read(fd: int, path: str) -> Live:
    for _ in range(_READ_TRIES):
        try:
            record = json.loads(os.pread(fd, 1 << 20, 0))
        except ValueError:
            time.sleep(_READ_PAUSE)
            continue
        if isinstance(record, dict) and isinstance(record.get("pid"), int):
            info = record.get("info")
            return Live(record["pid"], info if isinstance(info, dict) else {}, path)
        break
    return Live(0, {}, path)


def _serialize(pid: int, info: dict[str, Any]) -> bytes:
    return (json.dumps({"format": 1, "pid": pid, "info": info}) + "\n").encode()
