# SPDX-License-Identifier: Apache-2.0
"""Making files from entries: the one place that writes into a layer or a root filesystem.

Order matters everywhere here. chown(2) clears setuid bits and file capabilities, so owners come
first; a directory gets its attributes after its content, for a default ACL would change what is
made in it, a missing write permission would prevent it, and every new name moves its mtime.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Protocol

from envgit.errors import EnvgitError
from envgit.fs.beneath import Walker, hold_parent
from envgit.layers.entry import Entry, Kind
from envgit.layers.marks import OPAQUE, ORIGIN

_TYPES = {Kind.FIFO: stat.S_IFIFO, Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK}

# link(2) cannot: too many names for one inode (65000 on ext4), another filesystem, or a kernel that
# protects hard links (proc(5), fs.protected_hardlinks) of files that are not ours. Copy then.
UNLINKABLE = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM})


class WriteError(EnvgitError):
    """A tree that cannot be written as it should be: its source is missing or has changed."""


# An open file, or a name in an open directory.
File = int | tuple[int, bytes]


class Described(Protocol):
    """What these functions need to know of a file: an `Entry`, or a member of an archive."""

    @property
    def kind(self) -> str: ...
    @property
    def mode(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def target(self) -> bytes: ...
    @property
    def rdev(self) -> tuple[int, int]: ...


def write_owner_mode(file: File, entry: Described) -> None:
    """Give a file its owner, then its mode."""
    if isinstance(file, int):
        os.fchown(file, entry.uid, entry.gid)
        os.fchmod(file, entry.mode)
        return
    parent, name = file
    os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
    if entry.kind != Kind.SYMLINK:
        # fchmodat(2) follows symlinks, but this name was made by us as something else, in a
        # directory that is ours alone.
        os.chmod(name, entry.mode, dir_fd=parent)


def write_time(file: File, mtime_ns: int) -> None:
    """Give a file its mtime, and the same atime."""
    if isinstance(file, int):
        os.utime(file, ns=(mtime_ns, mtime_ns))
    else:
        os.utime(file[1], ns=(mtime_ns, mtime_ns), dir_fd=file[0], follow_symlinks=False)


def write_attributes(file: File, entry: Entry, mtime_ns: int | None) -> None:
    """Give a file everything of ``entry`` but its content.

    ``mtime_ns`` None takes the entry's seconds, and leaves the time of directories alone.
    """
    write_owner_mode(file, entry)
    # There is no setxattrat(2) before Linux 6.13.
    place = file if isinstance(file, int) else b"/proc/self/fd/%d/%s" % file
    for name, value in entry.xattrs:
        os.setxattr(place, name, value, follow_symlinks=isinstance(file, int))
    if mtime_ns is not None:
        write_time(file, mtime_ns)
    elif entry.kind != Kind.DIR:
        write_time(file, entry.mtime * 1_000_000_000)


def make_special(parent: int, name: bytes, entry: Described) -> None:
    """Make a symlink, fifo or device, without its attributes."""
    if entry.kind == Kind.SYMLINK:
        os.symlink(entry.target, name, dir_fd=parent)
    else:
        os.mknod(name, _TYPES[entry.kind] | 0o600, os.makedev(*entry.rdev), dir_fd=parent)


class Writer:
    """Writes a tree beneath a directory that exists and is ours alone; a context manager.

    Paths must come parents first. Directories get their attributes when `finish` is called.
    """

    def __init__(self, root: str | bytes) -> None:
        self._walker = Walker(root)
        # Another walker for the other end of hard links, so that neither disturbs the other.
        self._others = Walker(root)
        self._directories: list[tuple[bytes, Entry, int | None]] = []
        self._whiteout: bytes | None = None
        # Directories that hold whiteouts.
        self._hiding: set[bytes] = set()
        # The directory that the last link was made from: the next one mostly comes from there, too.
        self._source: tuple[bytes, int] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._walker.close()
        self._others.close()
        if self._source is not None:
            os.close(self._source[1])
            self._source = None

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory that ``path`` is in, as a descriptor until the next call, and its name."""
        return self._walker.parent(path)

    def directory(self, path: bytes, entry: Entry, mtime_ns: int | None = None) -> None:
        """Make a directory, or take the existing root; `finish` gives it its attributes."""
        if path:
            parent, name = self._walker.parent(path)
            os.mkdir(name, 0o700, dir_fd=parent)
        self._directories.append((path, entry, mtime_ns))

    def special(self, path: bytes, entry: Entry, mtime_ns: int | None = None) -> None:
        """Make a symlink, fifo or device."""
        parent, name = self._walker.parent(path)
        make_special(parent, name, entry)
        write_attributes((parent, name), entry, mtime_ns)

    def whiteout(self, path: bytes) -> None:
        """Make a whiteout; all of a tree share one inode, as overlayfs's own do."""
        self._hiding.add(path.rpartition(b"/")[0])
        if self._whiteout is not None:
            try:
                self.link(self._whiteout, path)
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
            else:
                return
        parent, name = self._walker.parent(path)
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        self._whiteout = path

    def link(self, existing: bytes, path: bytes) -> None:
        """Make ``path`` another name of a path of this tree."""
        parent, name = self._walker.parent(path)
        other, old = self._others.parent(existing)
        os.link(old, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)

    def link_from(self, source: bytes, path: bytes) -> os.stat_result:
        """Make ``path`` another name of a file of the host, however long that one's path is."""
        parent, name = self._walker.parent(path)
        above, _, old = source.rpartition(b"/")
        if self._source is None or self._source[0] != above:
            with hold_parent(source) as (fd, _):
                other = os.dup(fd)
            if self._source is not None:
                os.close(self._source[1])
            self._source = above, other
        os.link(old, name, src_dir_fd=self._source[1], dst_dir_fd=parent, follow_symlinks=False)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def create(self, path: bytes) -> int:
        """Make an empty file and return its descriptor, which is the caller's."""
        parent, name = self._walker.parent(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, 0o600, dir_fd=parent)

    def finish(self) -> None:
        """Give every directory its attributes, the deepest first."""
        for path, entry, mtime_ns in reversed(self._directories):
            fd = self._walker.enter(path)
            write_attributes(fd, entry, mtime_ns)
            if entry.opaque:
                os.setxattr(fd, OPAQUE, b"y")
            if path in self._hiding:
                os.setxattr(fd, ORIGIN, b"")
        self._directories.clear()
