# SPDX-License-Identifier: Apache-2.0
"""Taking a file of the layers below into a layer, as it is, without copying where that can be."""

from __future__ import annotations

import os

from envgit.fs.beneath import hold_parent
from envgit.layers.copying import Copier
from envgit.layers.directory import copy_entry
from envgit.layers.entry import Entry
from envgit.layers.view import Overlay
from envgit.layers.writer import UNLINKABLE, WriteError


class CopyUp:
    """Takes files of ``contents``; each of its sets of hard links is taken once."""

    def __init__(self, contents: Overlay | None) -> None:
        self._contents = contents
        self._copier = Copier()
        # Files below that are in the layer by another name: two sets of links that happen to be
        # one file there (spans are merged by hard links) must not become one here.
        self._taken: set[tuple[int, int]] = set()

    def take(self, path: bytes, entry: Entry, target: tuple[int, bytes]) -> None:
        """Make ``target``, a name in an open directory, the file ``path`` of below.

        Raises `WriteError` when it is not there.
        """
        place = self._contents.find(path) if self._contents is not None else None
        if place is None:
            raise WriteError(f"no layer holds {os.fsdecode(path)!r}")
        with hold_parent(place) as (parent, name):
            st = os.stat(name, dir_fd=parent, follow_symlinks=False)
            key = st.st_dev, st.st_ino
            if key not in self._taken:
                self._taken.add(key)
                fd, new = target
                try:
                    os.link(name, new, src_dir_fd=parent, dst_dir_fd=fd, follow_symlinks=False)
                except OSError as error:
                    if error.errno not in UNLINKABLE:
                        raise
                else:
                    return
            copy_entry(self._copier, (parent, name), target, entry, path)
