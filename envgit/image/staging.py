# SPDX-License-Identifier: Apache-2.0
"""Blobs on their way into a folder or an archive: written beside it, checked, then renamed in.

So that a destination is seen whole or not at all. What a killed envgit left is removed by the next
one that writes there.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from envgit.fs import durable
from envgit.image.descriptors import Descriptor, ImageError
from envgit.image.transport import Counted

_PREFIX = ".envgit-"
_SUFFIX = ".part"
_CHUNK = 1 << 20


class Staging:
    """A folder of blobs in ``parent``, gone when it is closed. Safe for several threads."""

    def __init__(self, parent: str) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._blobs: dict[str, str] = {}
        self._count = 0
        try:
            _remove_abandoned(parent)
            self.path = os.path.join(parent, f"{_PREFIX}{os.urandom(6).hex()}{_SUFFIX}")
            os.mkdir(self.path, 0o700)
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise ImageError(f"cannot write to '{parent}': {error.strerror}") from error

    def close(self) -> None:
        """Remove what was not taken."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                durable.remove_tree(self.path)
            os.close(self._fd)
            self._fd = -1

    def holds(self, digest: str) -> bool:
        """Whether the blob was put here."""
        with self._lock:
            return digest in self._blobs

    def blobs(self) -> Iterator[tuple[str, str]]:
        """Digest and file of each blob, in the order in which they came to their end."""
        yield from self._blobs.items()

    def file(self, digest: str) -> str:
        """The file of a blob that was put here."""
        return self._blobs[digest]

    def put(self, hint: Descriptor, stream: BinaryIO) -> Descriptor:
        """Write a blob to its end, checked against ``hint``. Raises BlobMismatch, ImageError."""
        with self._lock:
            self._count += 1
            path = os.path.join(self.path, str(self._count))
        counted = Counted(hint)
        try:
            with open(path, "xb", buffering=0) as file:
                while data := stream.read(_CHUNK):
                    counted.update(data)
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                os.fchmod(file.fileno(), 0o644)
            found = counted.finish()
        except BaseException as error:
            with suppress(FileNotFoundError):
                os.unlink(path)
            if isinstance(error, OSError) and error.filename in (None, path):
                raise ImageError(f"cannot write to '{self._parent}': {error.strerror}") from error
            raise
        with self._lock:
            if found.digest in self._blobs:
                os.unlink(path)
            else:
                self._blobs[found.digest] = path
        return found

    def put_bytes(self, descriptor: Descriptor, data: bytes) -> None:
        """Write a small blob."""
        import io

        self.put(descriptor, io.BytesIO(data))


def _remove_abandoned(parent: str) -> None:
    """Remove what killed processes left in ``parent``: a living one holds a lock on its folder."""
    for name in os.listdir(parent):
        if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
            continue
        path = os.path.join(parent, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            durable.remove_tree(path)
        except OSError:
            pass  # somebody is writing there right now, or it is not ours to remove
        finally:
            os.close(fd)


def remove_if_empty(path: str) -> None:
    """Remove a folder that was made for nothing."""
    with suppress(OSError):
        os.rmdir(path)
