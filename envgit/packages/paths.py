# SPDX-License-Identifier: Apache-2.0
"""Paths that databases give, as the paths of a tree: plain, and with directory links resolved.

Managers write ``/lib/x`` where a merged ``/usr`` has the file at ``usr/lib/x``; what they write is
not to be believed either, so that a path which is no path of a tree is dropped.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from envgit.layers.entry import Directory, Kind, find_directory, is_path, join
from envgit.packages.model import Files

T = TypeVar("T")

LONGEST = 4096
"""Bytes of a path, PATH_MAX of linux/limits.h."""

_HOPS = 40
"""Links followed on the way to one directory, as the kernel does (path_resolution(7))."""

_STEPS = 3_000_000
"""Names looked up for one tree: seconds' worth. A Debian of 840 packages takes 84,000; links that
lead through long paths, 80,000 for each of many directories, would take for ever."""


def plain(path: bytes) -> bytes | None:
    """An absolute or relative path from the root as the tree has it, None if it is none there."""
    if len(path) > LONGEST:
        return None
    path = path.strip(b"/")
    if b"//" in path or b"./" in path or path[:1] == b"." or b"/." in path:
        path = b"/".join(name for name in path.split(b"/") if name not in (b"", b"."))
    return path if is_path(path) else None


def target_of(link: bytes, text: bytes) -> bytes:
    """Where a link with this text leads by its words alone, from the root; empty is the root."""
    start = b"/" + link.rpartition(b"/")[0]
    return posixpath.normpath(posixpath.join(start, text)).strip(b"/")


class Resolver:
    """Where in a tree a path leads when the links among its directories are followed.

    The last name is not followed: it is what the package installed. Nothing leads outside.
    """

    def __init__(self, tree: Directory) -> None:
        self._tree = tree
        self._known: dict[bytes, bytes | None] = {b"": b""}
        self._left = _STEPS

    def resolve(self, path: bytes) -> bytes | None:
        """The real path of a file, whether it is there or not. None for what is no path."""
        checked = plain(path)
        if checked is None:
            return None
        parent, _, name = checked.rpartition(b"/")
        directory = self._known[parent] if parent in self._known else self._directory(parent)
        if directory is None:
            return None
        return b"%b/%b" % (directory, name) if directory else name

    def directory(self, path: bytes) -> bytes | None:
        """The real path of a directory, the last name followed too. None for what is no path."""
        inside = self.resolve(join(path, b"x"))
        return None if inside is None else inside.rpartition(b"/")[0]

    def is_directory(self, path: bytes) -> bool:
        """Whether a real path is a directory."""
        return find_directory(self._tree, path) is not None

    def _directory(self, path: bytes) -> bytes | None:
        """A directory's real path; where nothing is, what is written. None: too many links."""
        names = path.split(b"/")[::-1]
        done: list[bytes] = []
        at: list[Directory | None] = [self._tree]
        hops = 0
        while names:
            name = names.pop()
            self._left -= 1
            if name in (b"", b"."):
                continue
            if name == b"..":
                if done:
                    done.pop()
                    at.pop()
                continue
            here = at[-1]
            entry = here.lookup(name) if here is not None else None
            if entry is not None and entry.kind == Kind.SYMLINK:
                hops += 1
                if hops > _HOPS or self._left < 0:
                    self._known[path] = None
                    return None
                if entry.target.startswith(b"/"):
                    done, at = [], [self._tree]
                names.extend(entry.target.split(b"/")[::-1])
                continue
            done.append(name)
            at.append(here.directory(name) if entry is not None and here is not None else None)
        found = b"/".join(done)
        self._known[path] = found
        return found


def remembered(make: Callable[[Files], T]) -> Callable[[Files], T]:
    """Keep what ``make`` finds for as long as the files it looked at are kept by anybody else."""
    known: WeakKeyDictionary[Files, T] = WeakKeyDictionary()

    @wraps(make)
    def found(files: Files) -> T:
        if files not in known:
            known[files] = make(files)
        return known[files]

    return found


@remembered
def resolver(files: Files) -> Resolver:
    """The resolver of a state, which knows the directories that were asked for before."""
    return Resolver(files.tree)
