# SPDX-License-Identifier: Apache-2.0
"""Measures what directories cost on disk: each inode once, since spans and layers share theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
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
        try:
            pending = [root]
            top = os.lstat(root)
        except FileNotFoundError:
            return Usage()
        disk, directories = top.st_blocks * 512, 1
        while pending:
            folder = pending.pop()
            for entry in _entries(folder):
                try:
                    st = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if st.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    key = (st.st_dev, st.st_ino)
                    if key in self._seen:
                        continue
                    self._seen.add(key)
                disk += st.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    directories += 1
                    pending.append(entry.path)
                else:
                    files += 1
                    content += st.st_size if entry.is_file(follow_symlinks=False) else 0
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
    pending: list[str] = []
    try:
        st = os.lstat(root)
    except FileNotFoundError:
        return Usage()
    if stat.S_ISDIR(st.st_mode):
        pending, disk, directories = [root], st.st_blocks * 512, 1
    elif st.st_nlink == 1:
        return Usage(st.st_blocks * 512, st.st_size if stat.S_ISREG(st.st_mode) else 0, 1, 0)
    while pending:
        for entry in _entries(pending.pop()):
            try:
                st = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            size = st.st_size if entry.is_file(follow_symlinks=False) else 0
            if entry.is_dir(follow_symlinks=False):
                disk, directories = disk + st.st_blocks * 512, directories + 1
                pending.append(entry.path)
            elif st.st_nlink == 1:
                disk, content, files = disk + st.st_blocks * 512, content + size, files + 1
            else:
                fresh = [st.st_nlink, 0, st.st_blocks * 512, size]
                links.setdefault((st.st_dev, st.st_ino), fresh)[1] += 1
    return Usage(disk, content, files, directories)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with explained("measure", folder, or_missing=True), os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
