# SPDX-License-Identifier: Apache-2.0
"""Keeps what was derived from content under the content's own name; all of it may be deleted.

One file a value in ``cache/KIND/``, written under another name and renamed. Nothing is flushed and
nothing here raises because of the file system: what cannot be kept is made anew, and a value cut
short by a power cut does not match its checksum.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress

UNUSED = 30 * 86400
"""Seconds after which a value that nobody asked for is deleted by ``gc``."""

_DAY = 86400
_DIGEST = 32


class ContentCache:
    """Values of one kind in the store at ``store``."""

    __slots__ = ("_folder",)

    def __init__(self, store: str, kind: str) -> None:
        self._folder = os.path.join(store, "cache", kind)

    def get(self, key: str) -> bytes | None:
        """The value, or None. Reading it keeps it from being deleted by ``gc``."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                data = file.read()
                used = os.fstat(file.fileno()).st_mtime
        except OSError:
            return None
        value, digest = data[_DIGEST:], data[:_DIGEST]
        if hashlib.sha256(value).digest() != digest:
            return None
        if used < time.time() - _DAY:
            with suppress(OSError):
                os.utime(path)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep a value until it has not been used for long."""
        path = self._path(key)
        draft = f"{path}.{os.urandom(4).hex()}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "xb") as file:
                file.write(hashlib.sha256(value).digest() + value)
            os.rename(draft, path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)

    def _path(self, key: str) -> str:
        name = hashlib.sha256(key.encode()).hexdigest()
        return os.path.join(self._folder, name[:2], name)


def stale(store: str) -> Iterator[str]:
    """The values that have not been used for long: paths relative to the store."""
    limit = time.time() - UNUSED
    for folder, _, names in os.walk(os.path.join(store, "cache")):
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):
                # What lies in ``cache/`` itself are files of others.
                if os.lstat(path).st_mtime < limit and folder != os.path.join(store, "cache"):
                    yield os.path.relpath(path, store)
