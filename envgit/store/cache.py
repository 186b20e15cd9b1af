# SPDX-License-Identifier: Apache-2.0
"""Keeps what was derived from content under the content's own name; all of it may be deleted.

One file a value in ``cache/KIND/``, written under another name and renamed. Nothing is flushed and
nothing here raises because of the file system: what cannot be kept is made anew, and a value cut
short by a power cut does not match its checksum.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import suppress

_DAY = 86400
_DIGEST = 32


class ContentCache:
    """Values of one kind in the store at ``store``."""

    __slots__ = ("_folder",)

    def __init__(self, store: str, kind: str) -> None:
        self._folder = os.path.join(store, "cache", kind)

    def get(self, key: str) -> bytes | None:
        """The value, or None. Reading it keeps it from expiring."""
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
        draft = f"{path}.{secrets.token_hex(4)}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "xb") as file:
                file.write(hashlib.sha256(value).digest() + value)
            os.rename(draft, path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)

    def expire(self, unused: float) -> int:
        """Delete what has not been used for ``unused`` seconds; how many bytes that freed."""
        freed = 0
        limit = time.time() - unused
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    status = os.lstat(path)
                    if status.st_mtime < limit:
                        os.unlink(path)
                        freed += status.st_blocks * 512
        return freed

    def _path(self, key: str) -> str:
        name = hashlib.sha256(key.encode()).hexdigest()
        return os.path.join(self._folder, name[:2], name)
