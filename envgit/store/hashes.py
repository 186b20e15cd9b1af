# SPDX-License-Identifier: Apache-2.0
"""Remembers the sha256 of uncommitted files, so that ``status`` does not hash them again.

As git's index: a file whose device, inode, size, mtime and ctime are as they were is taken for
unchanged. ctime cannot be set back by a program, so what must be excluded are changes too close
together for the clock to tell apart: see ``StatCache``. A cache that is lost or damaged costs time,
never correctness; nothing here raises because of the file.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress

_MAGIC = b"envgit-hashes 1\n"
_KEY = struct.Struct("<QQQqq")
"""Device, inode, size in bytes, mtime and ctime in ns."""
_RECORD = _KEY.size + 32
_DIGEST = 32

SETTLED_NS = 20_000_000
"""How old a ctime must be for the next change to get another one. The kernel stamps files with the
time of its last tick, at most 10 ms ago (CONFIG_HZ=100); twice that."""

COARSE_NS = 2_000_000_000
"""The same for a file system whose times have no fractions of a second."""

SETTLED_LIVE_NS = 60_000_000_000
"""The same while programs run. One that writes through a memory mapping changes ctime once, when it
first touches a page, and again only after that page was written back, which takes the kernel up to
35 s (vm.dirty_expire_centisecs and dirty_writeback_centisecs; proc(5))."""


class StatCache:
    """The cache of one change set, from ``load`` to ``save``.

    Law: ``get`` answers only if the file cannot have changed since it was hashed. For that an entry
    is taken in only if the file's ctime was older, when this cache was loaded (so before any
    hashing began), than a change that came right after could hide.
    """

    __slots__ = ("_changed", "_known", "_limit", "_limit_coarse", "_path", "_seen")

    def __init__(self, path: str, known: dict[bytes, bytes], now_ns: int, *, live: bool) -> None:
        self._path = path
        self._known = known
        self._seen: dict[bytes, bytes] = {}
        self._changed = False
        self._limit = now_ns - (SETTLED_LIVE_NS if live else SETTLED_NS)
        self._limit_coarse = min(self._limit, now_ns - COARSE_NS)

    @classmethod
    def load(
        cls, path: str, *, live: bool = False, clock: Callable[[], int] = time.time_ns
    ) -> StatCache:
        """The cache in the file ``path``, empty when there is none that can be trusted.

        ``live`` says that programs run in the worktree. ``clock`` gives ns since the epoch.
        """
        now = clock()
        return cls(path, _read(path), now, live=live)

    def get(self, st: os.stat_result) -> str | None:
        """The sha256 of the file with this status if it is certain, else None."""
        key = _KEY.pack(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        digest = self._known.get(key) or self._seen.get(key)
        if digest is None:
            return None
        self._seen[key] = digest
        return digest.hex()

    def put(self, st: os.stat_result, sha256: str) -> None:
        """Remember; ``st`` was taken before the file was read and still held after."""
        changed = st.st_ctime_ns
        if changed >= self._limit:
            return
        if changed % 1_000_000_000 == 0 and changed >= self._limit_coarse:
            return
        key = _KEY.pack(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, changed)
        self._seen[key] = bytes.fromhex(sha256)
        self._changed = True

    def save(self) -> None:
        """Write what was asked for or put since ``load``; the rest belongs to files that are gone.

        Atomic, not synced (the digest tells a torn file). On any error the old file stays.
        """
        if not self._changed and len(self._seen) == len(self._known):
            return
        body = b"".join((_MAGIC, *(key + digest for key, digest in self._seen.items())))
        temporary = f"{self._path}.{os.urandom(4).hex()}.new"
        try:
            with open(temporary, "xb") as file:
                file.write(body)
                file.write(hashlib.sha256(body).digest())
            os.replace(temporary, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)


def _read(path: str) -> dict[bytes, bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    start, size = len(_MAGIC), _KEY.size
    if not body.startswith(_MAGIC) or (len(body) - start) % _RECORD:
        return {}
    if hashlib.sha256(body).digest() != digest:
        return {}
    return {
        body[at : at + size]: body[at + size : at + _RECORD]
        for at in range(start, len(body), _RECORD)
    }
