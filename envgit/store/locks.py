# SPDX-License-Identifier: Apache-2.0
"""Locks between processes whose waiters can say for whom they wait.

All locks are flock(2)s: the kernel drops them when their holder dies, however it dies, so no lock
is ever stale. Who holds one is taken from the kernel (/proc/locks); what the holder is doing, from
the one line it wrote into the lock file, or else from its command line.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable

from envgit.store.failures import StoreError, explained

_PAUSE_FIRST = 0.001
_PAUSE_LONGEST = 0.05
"""Seconds between tries while a timeout runs: flock(2) has none of its own."""


class LockHeld(StoreError):
    """Somebody else holds the lock and the caller did not want to wait (any longer)."""


class Held:
    """A lock that is held until ``release`` or the end of its ``with`` block."""

    __slots__ = ("exclusive", "fd", "path")

    def __init__(self, fd: int, path: str, *, exclusive: bool) -> None:
        self.fd = fd
        self.path = path
        self.exclusive = exclusive

    def release(self) -> None:
        """Let go. A second call does nothing."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        try:
            # Unlocks for every copy of the descriptor, should a forked child have kept one.
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(
    path: str,
    *,
    exclusive: bool,
    what: str,
    on_wait: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> Held:
    """Lock ``path`` (made if absent), and say in it ``what`` its exclusive holder does.

    ``timeout`` is in seconds: None waits as long as it takes, 0 does not wait. Before the first
    wait ``on_wait`` is called once with the holder, such as ``'envgit commit' (pid 12)``. Raises
    LockHeld, whose message names the holder, and StoreError when the file cannot be made.
    """
    operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    deadline = None if timeout is None else time.monotonic() + timeout
    told = False
    while True:
        with explained("open the lock", path):
            fd = _open(path, exclusive=exclusive)
        try:
            if not _try(fd, operation):
                if timeout != 0 and not told and on_wait is not None:
                    on_wait(holder(path))
                told = True
                _wait(fd, operation, path, deadline)
            if _is_current(fd, path):
                if exclusive:
                    _sign(fd, what)
                return Held(fd, path, exclusive=exclusive)
        except BaseException:
            os.close(fd)
            raise
        # The file was deleted (gc removes dead worktrees) between open and flock: start again.
        os.close(fd)


def _open(path: str, *, exclusive: bool) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError as error:
        # Whoever only reads may do so on a read-only file system; flock(2) needs no more.
        if exclusive or error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | flags)


def holder(path: str) -> str:
    """Who holds the lock at ``path`` now, for a message; "another process" when unknown."""
    try:
        with open(path, "rb") as file:
            pid_text, _, what = file.readline(4096).decode("utf-8", "replace").partition(" ")
            pids = _holders(os.fstat(file.fileno()).st_ino)
    except OSError:
        return "another process"
    signed = int(pid_text) if pid_text.isascii() and pid_text.isdigit() else 0
    if signed and (signed in pids or (not pids and os.path.exists(f"/proc/{signed}"))):
        return f"'{what.strip()}' (pid {signed})"
    texts = [_command(pid) for pid in pids[:3]]
    if not texts:
        return "another process"
    more = f" and {len(pids) - 3} more" if len(pids) > 3 else ""
    return ", ".join(texts) + more


def _try(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _wait(fd: int, operation: int, path: str, deadline: float | None) -> None:
    if deadline is None:
        fcntl.flock(fd, operation)
        return
    pause = _PAUSE_FIRST
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockHeld(
                f"{path} is held by {holder(path)}",
                hint="wait until that has ended, or end it, and try again",
            )
        time.sleep(min(pause, left))
        pause = min(pause * 2, _PAUSE_LONGEST)
        if _try(fd, operation):
            return


def _is_current(fd: int, path: str) -> bool:
    mine = os.fstat(fd)
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)


def _sign(fd: int, what: str) -> None:
    """Write who we are. Only talk: a full disk must not keep anybody from locking."""
    line = f"{os.getpid()} {' '.join(what.split())}\n".encode("utf-8", "surrogateescape")
    try:
        os.pwrite(fd, line, 0)
        os.ftruncate(fd, len(line))
    except OSError:
        return


def _holders(inode: int) -> list[int]:
    """The processes that hold a flock on ``inode`` (proc_locks(5)); waiters ("->") left out.

    The device is not compared: btrfs shows another number here than in stat(2).
    """
    pids = []
    with open("/proc/locks", encoding="ascii", errors="replace") as file:
        for line in file:
            fields = line.split()
            if len(fields) < 6 or fields[1] != "FLOCK":
                continue
            if fields[5].rpartition(":")[2] == str(inode) and fields[4].isdigit():
                pids.append(int(fields[4]))
    return [pid for pid in pids if pid > 0]


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).decode("utf-8", "replace").split("\0")
    except OSError:
        return f"a process that has ended (pid {pid})"
    words = [word for word in words if word]
    if words and os.path.basename(words[0]).startswith("python") and len(words) > 1:
        words = words[1:]
    if words:
        words[0] = os.path.basename(words[0])
    text = " ".join(words) or "?"
    return f"'{text if len(text) <= 60 else text[:57] + '...'}' (pid {pid})"
