# SPDX-License-Identifier: Apache-2.0
"""Hashing files as fast as the processors do, since that is most of what a commit waits for.

Small files are hashed where they are found: handing them to another thread would cost more than the
hash. Larger ones are queued with their open descriptor and hashed by a few threads, which run in
parallel because hashlib and read(2) release the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.layers.entry import Node
    from envgit.layers.scan import HashCache

# Measured on two cores: below this size a hand-over (two lock switches, about 20 us) costs more
# than hashing at 1.3 GB/s does.
SMALL = 32 * 1024
_CHUNK = 1 << 20
_ATTEMPTS = 3
# Queued files hold an open descriptor each; the usual limit is 1024 a process.
_QUEUED = 128


class ChangingError(EnvgitError):
    """A file that was written to each time it was read."""


_Job = tuple[bytes, int, os.stat_result, "Node"]


class Hasher:
    """Fills in the sha256 of nodes; a context manager that owns the threads and queued files."""

    def __init__(self, *, threads: int | None, cache: HashCache | None) -> None:
        self._limit = max(1, threads or len(os.sched_getaffinity(0)))
        self._cache = cache
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_QUEUED)
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        # Bytes hashed by the threads, under the lock, and by the caller of `at_once`.
        self._done = 0
        self._at_once = 0
        self._results: list[tuple[os.stat_result, str]] = []

    def __enter__(self) -> Hasher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._error = self._error or error
        self._join()

    def at_once(self, fd: int, st: os.stat_result) -> str:
        """The hash if it is known or quickly had, else an empty string; ``fd`` is at its start."""
        if self._cache is not None and (known := self._cache.get(st)):
            return known
        size = st.st_size
        if size > SMALL:
            return ""
        data = os.read(fd, size + 1)
        if len(data) != size:
            return ""
        sha256 = hashlib.sha256(data).hexdigest()
        self._at_once += size
        if self._cache is not None:
            self._cache.put(st, sha256)
        return sha256

    def later(self, path: bytes, fd: int, st: os.stat_result, node: Node) -> None:
        """Give ``node`` its hash before `finish` returns; ``fd`` belongs to the hasher now."""
        try:
            if self._error is not None:
                raise self._error
            if len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name="envgit-hash", daemon=True)
                thread.start()
                self._threads.append(thread)
            self._room.acquire()
        except BaseException:
            os.close(fd)
            raise
        self._queue.put((path, fd, st, node))

    @property
    def bytes_hashed(self) -> int:
        """The bytes hashed so far, not counting what the cache knew."""
        return self._done + self._at_once

    def finish(self) -> None:
        """Wait for everything that is queued. Raises what a thread met."""
        self._join()
        if self._error is not None:
            raise self._error
        # Only here, in the caller's thread, so that a cache need not be safe for several.
        if self._cache is not None:
            for st, sha256 in self._results:
                self._cache.put(st, sha256)

    def _join(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        buffer = memoryview(bytearray(_CHUNK))
        while (job := self._queue.get()) is not None:
            path, fd, st, node = job
            try:
                if self._error is None:
                    self._hash(path, fd, st, node, buffer)
            except BaseException as error:
                self._error = self._error or error
            finally:
                os.close(fd)
                self._room.release()

    def _hash(
        self, path: bytes, fd: int, st: os.stat_result, node: Node, buffer: memoryview
    ) -> None:
        st, sha256 = _hash_file(path, fd, st, buffer)
        mtime = st.st_mtime_ns // 1_000_000_000
        node.entry = replace(node.entry, sha256=sha256, size=st.st_size, mtime=mtime)
        self._results.append((st, sha256))
        with self._lock:
            self._done += st.st_size


def _hash_file(
    path: bytes, fd: int, st: os.stat_result, buffer: memoryview
) -> tuple[os.stat_result, str]:
    """Hash a whole file; again if it was written to meanwhile, with the status it has then."""
    for _ in range(_ATTEMPTS):
        os.lseek(fd, 0, os.SEEK_SET)
        digest = hashlib.sha256()
        size = 0
        while count := os.readv(fd, [buffer]):
            digest.update(buffer[:count])
            size += count
        after = os.fstat(fd)
        if size == st.st_size and after.st_mtime_ns == st.st_mtime_ns:
            return st, digest.hexdigest()
        st = after
    raise ChangingError(
        f"{os.fsdecode(path)!r} is being written to while it is read",
        hint="stop the program that writes to it, or wait for it",
    )
