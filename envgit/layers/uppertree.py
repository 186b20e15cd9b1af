# SPDX-License-Identifier: Apache-2.0
"""The directories of a layer that is being unpacked, and what they become when all is known."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from envgit.fs.beneath import Walker
from envgit.layers.entry import Directory, Entry, join
from envgit.layers.marks import OPAQUE, ORIGIN
from envgit.layers.tarreader import Member
from envgit.layers.unpacking import Unpacker
from envgit.layers.view import Overlay
from envgit.layers.writer import UNLINKABLE, write_attributes


class Upper:
    """A directory that an entry of the layer was in, or is.

    ``lower`` is what of below shows through, None where nothing does; ``old`` the attributes that
    it has below, None where it is not there or hidden; ``member`` the entry that describes it.
    ``made`` tells whether it is there yet, ``whiteouts`` names what is not to show through,
    ``copied`` the files in it that are not the layer's but are links to files of below.
    """

    __slots__ = (
        "children",
        "copied",
        "depth",
        "lower",
        "made",
        "member",
        "name",
        "old",
        "parent",
        "path",
        "whiteouts",
    )

    def __init__(
        self, name: bytes, parent: Upper | None, lower: Directory | None, old: Entry | None
    ) -> None:
        self.name = name
        self.parent = parent
        self.path: bytes = name if parent is None else join(parent.path, name)
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.lower = lower
        self.old = old
        self.made = False
        self.member: Member | None = None
        self.children: dict[bytes, Upper] = {}
        self.whiteouts: set[bytes] = set()
        self.copied: set[bytes] = set()

    def shown(self, name: bytes) -> Entry | None:
        """What of below is visible under a name, this layer's own files apart."""
        if self.lower is None or name in self.whiteouts:
            return None
        return self.lower.lookup(name)


def finish(
    root: Upper,
    base: Directory | None,
    contents: Overlay | None,
    walker: Walker,
    make: Callable[[Upper], int],
    unpacker: Unpacker,
) -> None:
    """Write the whiteouts, the opaque marks and the attributes of directories."""
    whiteouts = _Whiteouts(walker, make)
    if base is not None and root.lower is None:
        # The root cannot be opaque (overlayfs does not look there), so each name is hidden.
        root.whiteouts.update(base.names())
    order: list[tuple[Upper, bool]] = []
    # What is below each directory, hidden or not, since overlayfs will find it there.
    pending: list[tuple[Upper, Directory | None]] = [(root, base)]
    while pending:
        item, below = pending.pop()
        opaque = item.lower is None and item is not root and _has_names(below)
        if opaque and item.old is not None:
            make(item)  # nothing but the opaque mark may have come for it
        through = below if item is root else item.lower
        whiteouts.write(item, through)
        order.append((item, opaque))
        for child in item.children.values():
            pending.append((child, through.directory(child.name) if through is not None else None))
    for item, opaque in reversed(order):
        if not item.made:
            continue
        fd = walker.enter(item.path)
        _attributes(fd, item, contents, unpacker)
        if opaque:
            os.setxattr(fd, OPAQUE, b"y")
        if item in whiteouts.hiding:
            os.setxattr(fd, ORIGIN, b"")


def _has_names(directory: Directory | None) -> bool:
    return directory is not None and any(True for _ in directory.names())


def _attributes(fd: int, item: Upper, contents: Overlay | None, unpacker: Unpacker) -> None:
    """Give a directory what its entry says, or what it has below, or else what mkdir(1) gives."""
    member, old = item.member, item.old
    if member is not None:
        when = member.mtime_ns
        unpacker.attributes(fd, member, member.xattrs, item.path, when, acl=member.acl)
    elif old is not None:
        st = contents.stat(item.path) if contents is not None else None
        write_attributes(fd, old, None if st is None else st.st_mtime_ns)
    else:
        os.fchmod(fd, 0o755)


class _Whiteouts:
    def __init__(self, walker: Walker, make: Callable[[Upper], int]) -> None:
        self._walker = walker
        self._make = make
        self._others: tuple[Upper, bytes] | None = None
        # Directories that hold whiteouts, which they must say (see `marks.ORIGIN`).
        self.hiding: set[Upper] = set()

    def write(self, item: Upper, through: Directory | None) -> None:
        """Hide names of a directory, where below has them and the layer has not."""
        if through is None:
            return
        for name in sorted(item.whiteouts):
            child = item.children.get(name)
            if (child is not None and child.made) or through.lookup(name) is None:
                continue
            fd = self._make(item)
            try:
                self._one(item, fd, name)
            except FileExistsError:
                continue
            self.hiding.add(item)

    def _one(self, item: Upper, fd: int, name: bytes) -> None:
        """All whiteouts of a layer share one inode, as overlayfs's own do."""
        if self._others is not None:
            home, old = self._others
            other = os.dup(self._walker.enter(home.path))
            try:
                fd = self._walker.enter(item.path)
                os.link(old, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
                return
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
            finally:
                os.close(other)
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)
        self._others = item, name
