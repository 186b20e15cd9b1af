# SPDX-License-Identifier: Apache-2.0
"""Reading files of a stack of layers without mounting it, as overlayfs would show them.

Log, diff and export read contents of commits that are mounted nowhere. The topmost directory may be
the upper directory of a running environment, so every file is opened with openat2(2) beneath its
layer and through no symlink: a program inside can make nothing outside readable.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

from envgit.errors import EnvgitError
from envgit.fs.beneath import open_beneath, open_root
from envgit.layers.entry import is_name, join
from envgit.layers.marks import is_opaque, is_whiteout

# Linux follows at most 40 symlinks in a path (path_resolution(7)).
_MAX_SYMLINKS = 40

# What says that there is nothing of that name, or nothing that could be reached without a symlink.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG})


class ViewError(EnvgitError):
    """A path of an environment that cannot be read as the file it is asked for."""


class Overlay:
    """The merged view of layer directories, ``dirs`` top first; a context manager.

    Paths are bytes without a leading slash. Directories are remembered, so that reading many files
    costs one look-up each; do not keep one over a change of the upper directory.
    """

    def __init__(self, dirs: Sequence[str | bytes]) -> None:
        self._roots: list[int] = []  # first, for __del__ even if what follows fails
        self._dirs = [os.fsencode(path) for path in dirs]
        self._roots = [-1] * len(self._dirs)
        # For each directory, the layers that contribute to it, top first.
        self._sources: dict[bytes, tuple[int, ...]] = {b"": tuple(range(len(self._dirs)))}

    def __enter__(self) -> Overlay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Most are forgotten rather than closed, and a long-running program would run out.
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        for index, fd in enumerate(self._roots):
            if fd >= 0:
                os.close(fd)
                self._roots[index] = -1

    def find(self, path: bytes) -> bytes | None:
        """Where on the host the topmost visible object of a path is, or None; follows nothing."""
        found = self._locate(path)
        return None if found is None else join(self._dirs[found[0]], path)

    def stat(self, path: bytes) -> os.stat_result | None:
        """The status of the visible object, or None; follows nothing."""
        found = self._locate(path)
        return None if found is None else found[1]

    def open(self, path: bytes) -> BinaryIO:
        """Open a regular file for reading. Raises `ViewError` if there is none of that path."""
        found = self._locate(path)
        if found is None:
            raise ViewError(f"{os.fsdecode(path)!r} does not exist in this state")
        if not stat.S_ISREG(found[1].st_mode):
            raise ViewError(f"{os.fsdecode(path)!r} is not a regular file")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        fd = open_beneath(self._root(found[0]), path, flags)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ViewError(f"{os.fsdecode(path)!r} changed while it was opened")
        return open(fd, "rb")

    def readlink(self, path: bytes) -> bytes:
        """The target of a symlink. Raises `ViewError` if the path is none."""
        found = self._locate(path)
        if found is None or not stat.S_ISLNK(found[1].st_mode):
            raise ViewError(f"{os.fsdecode(path)!r} is not a symlink")
        fd = open_beneath(self._root(found[0]), path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink(b"", dir_fd=fd)
        finally:
            os.close(fd)

    def resolve(self, path: bytes) -> bytes:
        """The path with all symlinks followed, as the environment itself would: ``/`` is its root.

        Raises `ViewError` for a loop; what does not exist stays as it is.
        """
        todo = path.split(b"/")[::-1]
        done: list[bytes] = []
        followed = 0
        while todo:
            name = todo.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                del done[-1:]
                continue
            here = b"/".join((*done, name))
            found = self._locate(here)
            if found is None or not stat.S_ISLNK(found[1].st_mode):
                done.append(name)
                continue
            followed += 1
            if followed > _MAX_SYMLINKS:
                raise ViewError(f"too many symlinks on the way to {os.fsdecode(path)!r}")
            target = self.readlink(here)
            if target.startswith(b"/"):
                done.clear()
            todo.extend(target.split(b"/")[::-1])
        return b"/".join(done)

    def _root(self, index: int) -> int:
        if self._roots[index] < 0:
            self._roots[index] = open_root(self._dirs[index])
        return self._roots[index]

    def _locate(self, path: bytes) -> tuple[int, os.stat_result] | None:
        """The topmost layer in which a path is visible, with its status there."""
        if not path:
            return 0, os.fstat(self._root(0))
        above, _, name = path.rpartition(b"/")
        if not is_name(name):
            return None
        for index in self._contributing(above):
            st = self._status(index, path)
            if st is not None:
                return None if is_whiteout(st) else (index, st)
        return None

    def _contributing(self, path: bytes) -> tuple[int, ...]:
        """The layers whose directory of that path shows through, top first."""
        known = self._sources.get(path)
        if known is not None:
            return known
        # Down from the deepest directory that is known already.
        names = path.split(b"/")
        depth = len(names)
        while (sources := self._sources.get(b"/".join(names[:depth]))) is None:
            depth -= 1
        for end in range(depth + 1, len(names) + 1):
            here = b"/".join(names[:end])
            sources = self._sources[here] = self._merged(here, sources)
        return sources

    def _merged(self, path: bytes, sources: tuple[int, ...]) -> tuple[int, ...]:
        found: list[int] = []
        if not is_name(path.rpartition(b"/")[2]):
            return ()
        for index in sources:
            st = self._status(index, path)
            if st is None:
                continue
            if not stat.S_ISDIR(st.st_mode):
                break
            found.append(index)
            if self._is_opaque(index, path):
                break
        return tuple(found)

    def _status(self, index: int, path: bytes) -> os.stat_result | None:
        try:
            fd = open_beneath(self._root(index), path, os.O_PATH | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _is_opaque(self, index: int, path: bytes) -> bool:
        fd = open_beneath(self._root(index), path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return is_opaque(fd)
        finally:
            os.close(fd)
