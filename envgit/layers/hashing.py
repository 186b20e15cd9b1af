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


class FreshHashes:
    """Hashes of files that were just made and that nobody else can write to: a `scan.HashCache`.

    Of a hundred thousand files at most, that is 30 MB; a scan reads the others.
    """

    _MOST = 100_000

    def __init__(self) -> None:
        # Not by the ctime: a hard link changes it.
        self._known: dict[tuple[int, int, int, int], bytes] = {}

    def get(self, st: os.stat_result) -> str | None:
        """The sha256 of the file with this status if it was made here."""
        known = self._known.get((st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns))
        return None if known is None else known.hex()

    def put(self, st: os.stat_result, sha256: str) -> None:
        """Remember."""
        if len(self._known) < self._MOST:
            key = st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns
            self._known[key] = bytes.fromhex(sha256)

    def clear(self) -> None:
        """Forget all: a file was removed, and what is made next may get its inode."""
        self._known.clear()


_Job = tuple[int, os.stat_result, "Node"]


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

    def later(self, fd: int, st: os.stat_result, node: Node) -> None:
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
        self._queue.put((fd, st, node))

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
            fd, st, node = job
            try:
                if self._error is None:
                    self._hash(fd, st, node, buffer)
            except BaseException as error:
                self._error = self._error or error
            finally:
                os.close(fd)
                self._room.release()

    def _hash(self, fd: int, st: os.stat_result, node: Node, buffer: memoryview) -> None:
        st, sha256, steady = self._hash_file(fd, st, buffer)
        mtime = st.st_mtime_ns // 1_000_000_000
        node.entry = replace(node.entry, sha256=sha256, size=st.st_size, mtime=mtime)
        if steady:
            self._results.append((st, sha256))
        with self._lock:
            self._done += st.st_size

    def _hash_file(
        self, fd: int, st: os.stat_result, buffer: memoryview
    ) -> tuple[os.stat_result, str, bool]:
        """Hash a file, again if it was written to meanwhile: its status, hash, whether it is so.

        A program that never stops writing must not keep `status` from answering, so that the last
        attempt stands for some moment; a commit is made while such programs are frozen. Once
        another file has failed, or the user pressed Ctrl-C, nobody waits for the hash: a sparse
        file of a terabyte would keep the terminal for a quarter of an hour.
        """
        for _ in range(_ATTEMPTS):
            os.lseek(fd, 0, os.SEEK_SET)
            digest = hashlib.sha256()
            left = st.st_size
            while left and (count := os.readv(fd, [buffer[: min(left, _CHUNK)]])):
                digest.update(buffer[:count])
                left -= count
                if self._error is not None:
                    raise self._error
            before, st = st, os.fstat(fd)
            same = (st.st_size, st.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            if same and not left:
                return st, digest.hexdigest(), True
        return before, digest.hexdigest(), False
