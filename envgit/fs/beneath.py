# SPDX-License-Identifier: Apache-2.0
"""Walking beneath a root that no name can lead out of, because trees and archives are hostile.

No path is ever joined and handed to the kernel as a whole: directories are entered one descriptor
at a time, never through a symlink, or by openat2(2) ``RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS``. So
neither depth nor PATH_MAX limits anything, and a directory that is replaced by a symlink while
someone works below it leads nowhere. Paths are bytes, relative, components joined by ``/``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Linux's PATH_MAX is 4096 with the final NUL; longer paths are walked in pieces.
_PIECE = 4095

# More ancestors than this are not kept open: the usual soft limit is 1024 descriptors a process.
_KEPT = 96


def open_root(path: str | bytes) -> int:
    """Open the directory that everything else is beneath; the path itself may contain symlinks."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open ``path`` beneath the directory ``root`` is open on, following no symlink at all.

    `OSError`: ELOOP for a symlink on the way or at the end, EXDEV for a path that would leave.
    """
    # ctypes takes 8 ms to load; whoever opens nothing should not pay for it.
    from envgit.fs import syscalls

    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    start = root
    try:
        while len(path) > _PIECE:
            cut = path.rindex(b"/", 0, _PIECE)
            below = syscalls.openat2(start, path[:cut], DIRECTORY, 0, resolve)
            if start != root:
                os.close(start)
            start, path = below, path[cut + 1 :]
        return syscalls.openat2(start, path or b".", flags, mode, resolve)
    except OSError as error:
        # ENOSYS before Linux 5.6; EPERM from seccomp filters that are older than the call.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return _open_stepwise(start, path, flags, mode)
    finally:
        if start != root:
            os.close(start)


def _open_stepwise(root: int, path: bytes, flags: int, mode: int) -> int:
    names = path.split(b"/") if path else [b"."]
    if b".." in names:
        raise OSError(errno.EXDEV, "the path leads out of its root", path)
    fd = root
    try:
        for name in names[:-1]:
            below = os.open(name, DIRECTORY, dir_fd=fd)
            if fd != root:
                os.close(fd)
            fd = below
        return os.open(names[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
    finally:
        if fd != root:
            os.close(fd)


@contextmanager
def hold_parent(path: bytes) -> Iterator[tuple[int, bytes]]:
    """The directory of a host path as a descriptor, and the last component, whatever the length.

    For paths of the store's, whose directories are known to be directories.
    """
    above, _, name = path.rpartition(b"/")
    above = above or (b"/" if path.startswith(b"/") else b".")
    cut = above.rfind(b"/", 0, _PIECE) if len(above) > _PIECE else len(above)
    fd = open_root(above[:cut])
    try:
        if cut < len(above):
            deeper = open_beneath(fd, above[cut + 1 :], DIRECTORY)
            os.close(fd)
            fd = deeper
        yield fd, name
    finally:
        os.close(fd)


class Walker:
    """Descriptors of the directories of a tree, for someone who visits it in about its own order.

    ``enter`` returns a descriptor that stays the walker's and is valid until the next call; going
    from one path to the next costs only the components in which they differ.
    """

    __slots__ = ("_fds", "_names", "_root")

    def __init__(self, root: str | bytes | int) -> None:
        self._root = os.dup(root) if isinstance(root, int) else open_root(root)
        self._names: list[bytes] = []
        # One for each name; -1 for ancestors that were closed to save descriptors.
        self._fds: list[int] = []

    def __enter__(self) -> Walker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        self._leave(0)
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _leave(self, depth: int) -> None:
        while len(self._fds) > depth:
            fd = self._fds.pop()
            if fd >= 0:
                os.close(fd)
        del self._names[depth:]

    def enter(self, path: bytes) -> int:
        """A descriptor of the directory ``path``.

        `OSError`: ENOTDIR or ELOOP when a component is no directory or a symlink.
        """
        names = path.split(b"/") if path else []
        common = 0
        for ours, wanted in zip(self._names, names, strict=False):
            if ours != wanted:
                break
            common += 1
        self._leave(common)
        if self._fds and self._fds[-1] < 0:
            # The ancestor we return to was closed: walk down to it again.
            self._leave(0)
        for name in names[len(self._names) :]:
            if name in (b"", b".", b".."):
                raise OSError(errno.EXDEV, "the path leads out of its root", path)
            parent = self._fds[-1] if self._fds else self._root
            self._fds.append(os.open(name, DIRECTORY, dir_fd=parent))
            self._names.append(name)
            if len(self._fds) > _KEPT and self._fds[-_KEPT] >= 0:
                os.close(self._fds[-_KEPT])
                self._fds[-_KEPT] = -1
        return self._fds[-1] if self._fds else self._root

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """A descriptor of the directory that holds ``path``, and the last component."""
        above, _, name = path.rpartition(b"/")
        return self.enter(above), name
