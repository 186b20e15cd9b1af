# SPDX-License-Identifier: Apache-2.0
"""Lists the regular files of a stack of layers, directory by directory, without mounting it.

Made for reading all of them: each directory is opened once in each layer that has it, its files are
opened beneath that descriptor, and what a layer hides is told as overlayfs tells it. No symlink is
followed, so a program that changes the topmost directory meanwhile leads nobody astray.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from envgit.fs.beneath import DIRECTORY, open_beneath, open_root
from envgit.layers.entry import join
from envgit.layers.marks import is_opaque

OPENED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""How to open a file that may be anything by the time it is opened."""

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


@dataclass(slots=True)
class Listing:
    """One directory: ``files`` as (name, index of its layer, inode number), and the directories in
    it with the layers that have them, top first."""

    path: bytes
    files: list[tuple[bytes, int, int]] = field(default_factory=list)
    directories: dict[bytes, list[int]] = field(default_factory=dict)


class Walk:
    """The directories beneath ``dirs`` (host paths, top first); a context manager.

    ``wanted(path)`` says whether to look into a directory.
    """

    def __init__(
        self, dirs: Sequence[str | bytes], wanted: Callable[[bytes], bool] | None = None
    ) -> None:
        self._roots: list[int] = []
        self._wanted = wanted
        try:
            for path in dirs:
                self._roots.append(open_root(path))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        while self._roots:
            os.close(self._roots.pop())

    def open(self, path: bytes, layer: int) -> int:
        """Open a file that was listed; the descriptor is the caller's."""
        return open_beneath(self._roots[layer], path, OPENED)

    def directory(self, path: bytes, layer: int) -> int:
        """Open a directory of one layer; the descriptor is the caller's."""
        return open_beneath(self._roots[layer], path, DIRECTORY)

    def listings(self) -> Iterator[Listing]:
        """Every directory, parents first, those of one parent in bytewise order of names."""
        todo: list[tuple[bytes, Sequence[int]]] = [(b"", range(len(self._roots)))]
        while todo:
            path, layers = todo.pop()
            if self._wanted is not None and path and not self._wanted(path):
                continue
            listing = self._list(path, layers)
            yield listing
            below = sorted(listing.directories.items(), reverse=True)
            todo += [(join(path, name), indexes) for name, indexes in below]

    def _list(self, path: bytes, layers: Sequence[int]) -> Listing:
        listing = Listing(path)
        seen: set[bytes] = set()
        for index in layers:
            try:
                fd = self.directory(path, index)
            except OSError as error:
                if not is_gone(error):
                    raise
                continue
            try:
                self._add(listing, seen, index, fd)
                if len(layers) > 1 and is_opaque(fd):
                    break
            finally:
                os.close(fd)
        listing.files.sort()
        return listing

    def _add(self, listing: Listing, seen: set[bytes], index: int, fd: int) -> None:
        hidden = set(seen)
        with os.scandir(fd) as found:
            for entry in found:
                name = os.fsencode(entry.name)
                if name in hidden:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    # What lies below shows through until something that is no directory hides it.
                    listing.directories.setdefault(name, []).append(index)
                    continue
                seen.add(name)
                if name not in listing.directories and entry.is_file(follow_symlinks=False):
                    listing.files.append((name, index, entry.inode()))


def is_gone(error: OSError) -> bool:
    """Whether something that was listed is not there any more, or is something else by now."""
    return error.errno in _GONE


def read_at(fd: int, name: bytes, most: int) -> bytes | None:
    """The first ``most`` bytes of a regular file in a directory; None when it is none any more.

    Raises OSError when it cannot be read.
    """
    try:
        opened = os.open(name, OPENED, dir_fd=fd)
    except OSError as error:
        if not is_gone(error):
            raise
        return None
    return read_and_close(opened, most)


def read_and_close(opened: int, most: int) -> bytes | None:
    """Read a regular file and close it; None when the descriptor is of anything else."""
    try:
        st = os.fstat(opened)
        if not stat.S_ISREG(st.st_mode):
            return None
        # One byte more than it should have, so that the usual file takes one read.
        data = os.read(opened, min(st.st_size, most) + 1)
        if len(data) <= st.st_size and len(data) < min(st.st_size, most):
            parts = [data]
            size = len(data)
            while size < most and (more := os.read(opened, min(most - size, 1 << 24))):
                parts.append(more)
                size += len(more)
            data = b"".join(parts)
        return data[:most]
    finally:
        os.close(opened)
