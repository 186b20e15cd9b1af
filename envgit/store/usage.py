# SPDX-License-Identifier: Apache-2.0
"""Measures what directories cost on disk: each inode once, since spans and layers share theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from envgit.store.failures import explained


class Usage(NamedTuple):
    """Bytes on disk (blocks of 512), bytes of content, and how many files and directories."""

    disk: int = 0
    content: int = 0
    files: int = 0
    directories: int = 0

    def plus(self, other: Usage) -> Usage:
        """The sum. (Plain ``+`` on a tuple would append.)"""
        return Usage(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Meter:
    """Counts inodes once over all the trees it measures: an earlier tree owns what it shares."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def measure(self, root: str) -> Usage:
        """What the tree at ``root`` costs beyond what was measured before; nothing if it is gone.

        Follows no symlinks; what vanishes meanwhile is not counted. Raises StoreError.
        """
        disk = content = files = directories = 0
        for st in _walk(root):
            if stat.S_ISDIR(st.st_mode):
                directories += 1
            else:
                if st.st_nlink > 1:
                    key = (st.st_dev, st.st_ino)
                    if key in self._seen:
                        continue
                    self._seen.add(key)
                files += 1
                content += st.st_size if stat.S_ISREG(st.st_mode) else 0
            disk += st.st_blocks * 512
        return Usage(disk, content, files, directories)

    def measure_all(self, roots: Iterable[str]) -> Usage:
        """The sum over ``roots``, in their order."""
        total = Usage()
        for root in roots:
            total = total.plus(self.measure(root))
        return total


def exclusive(roots: Iterable[str]) -> Usage:
    """What deleting all of ``roots`` would free: inodes that have no other name outside them."""
    return exclusive_each([roots])[0]


def exclusive_each(groups: Iterable[Iterable[str]]) -> list[Usage]:
    """What deleting the groups of roots, one after the other, would free each time.

    An inode with names in several groups is freed with the last of them.
    """
    links: dict[tuple[int, int], list[int]] = {}
    found = []
    for roots in groups:
        total = Usage()
        for root in roots:
            total = total.plus(_unshared(root, links))
        for key in [key for key, (wanted, seen, _, _) in links.items() if seen == wanted]:
            _, _, disk, content = links.pop(key)
            total = total.plus(Usage(disk, content, 1, 0))
        found.append(total)
    return found


def _unshared(root: str, links: dict[tuple[int, int], list[int]]) -> Usage:
    """The inodes of one name; those of several are noted in ``links``: [names, found, ...]."""
    disk = content = files = directories = 0
    for st in _walk(root):
        size = st.st_size if stat.S_ISREG(st.st_mode) else 0
        if stat.S_ISDIR(st.st_mode):
            disk, directories = disk + st.st_blocks * 512, directories + 1
        elif st.st_nlink == 1:
            disk, content, files = disk + st.st_blocks * 512, content + size, files + 1
        else:
            fresh = [st.st_nlink, 0, st.st_blocks * 512, size]
            links.setdefault((st.st_dev, st.st_ino), fresh)[1] += 1
    return Usage(disk, content, files, directories)


# Directories that stay open on the way down; the usual limit is 1024 a process.
_KEPT = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _walk(root: str) -> Iterator[os.stat_result]:
    """The status of ``root`` and all beneath it. Paths may be longer than the kernel takes at once,
    so every step is relative to an open directory."""
    try:
        with explained("measure", root, or_missing=True):
            top = os.lstat(root)
            yield top
            if not stat.S_ISDIR(top.st_mode):
                return
            stack: list[tuple[int, list[str]]] = [(os.open(root, _DIRECTORY), [])]
    except FileNotFoundError:
        return
    try:
        with explained("measure", root):
            yield from _listed(*stack[0])
            while stack:
                fd, pending = stack[-1]
                if not pending:
                    _up(stack)
                    continue
                try:
                    below = os.open(pending.pop(), _DIRECTORY, dir_fd=fd)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                stack.append((below, []))
                if len(stack) > _KEPT and stack[-_KEPT][0] >= 0:
                    os.close(stack[-_KEPT][0])
                    stack[-_KEPT] = (-1, stack[-_KEPT][1])
                yield from _listed(*stack[-1])
    finally:
        for fd, _ in stack:
            if fd >= 0:
                os.close(fd)


def _up(stack: list[tuple[int, list[str]]]) -> None:
    """Leave a directory; the one above is opened again if it had to be closed."""
    fd, _ = stack.pop()
    try:
        if stack and stack[-1][0] < 0:
            stack[-1] = (os.open("..", _DIRECTORY, dir_fd=fd), stack[-1][1])
    finally:
        os.close(fd)


def _listed(fd: int, folders: list[str]) -> Iterator[os.stat_result]:
    """The status of everything in a directory; the names of directories go into ``folders``."""
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                st = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(st.st_mode):
                folders.append(entry.name)
            yield st
