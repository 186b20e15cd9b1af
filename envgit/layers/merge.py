# SPDX-License-Identifier: Apache-2.0
"""Several layers as one directory that means the same, made of hard links: what a span is.

Law: overlayfs shows the same with the merged directory in place of the layers, whatever lies below
them. Costs the names in the layers, not their content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack

from envgit.fs.beneath import Walker
from envgit.layers.copying import Copier
from envgit.layers.entry import Entry, Kind, is_overlay_xattr, join
from envgit.layers.marks import is_opaque, is_whiteout
from envgit.layers.scan import HOST_XATTRS, SPECIAL_KINDS
from envgit.layers.writer import UNLINKABLE, Writer, write_attributes

_DIR = "d"
_OTHER = "o"
_WHITEOUT = "w"


def merge(dest: str | bytes, layers: Sequence[bytes], *, keep_whiteouts: bool) -> None:
    """Merge ``layers``, bottom first, into the empty directory ``dest``.

    Without ``keep_whiteouts`` nothing may lie below, and neither whiteouts nor opaque marks are
    left. With them, a directory that took the place of something else becomes opaque, for what
    hid it is no longer a layer of its own.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(dest))
        walkers = [stack.enter_context(Walker(layer)) for layer in reversed(layers)]
        _Merger(writer, walkers).run(keep_whiteouts)
        writer.finish()


class _Merger:
    """``walkers`` are the layers, top first."""

    def __init__(self, writer: Writer, walkers: Sequence[Walker]) -> None:
        self.writer = writer
        self.walkers = walkers
        self.copier = Copier()

    def run(self, keep: bool) -> None:
        # A directory to make: its path, the layers that contribute to it (top first), whether
        # whiteouts within still hide something below, whether it is opaque.
        pending = [(b"", tuple(range(len(self.walkers))), keep, False)]
        while pending:
            path, sources, keep, opaque = pending.pop()
            self._directory(path, sources[0], opaque=opaque)
            for name, (kind, where, closed) in self._names(path, sources).items():
                here = join(path, name)
                if kind == _DIR:
                    hides = keep and closed
                    pending.append((here, tuple(where), keep and not closed, hides))
                elif kind == _OTHER:
                    self._link(where[0], path, name)
                elif keep:
                    self.writer.whiteout(here)

    def _names(
        self, path: bytes, sources: Sequence[int]
    ) -> dict[bytes, tuple[str, list[int], bool]]:
        """What each name is: its kind, the layers that make it up, whether nothing below does."""
        found: dict[bytes, tuple[str, list[int], bool]] = {}
        for source in sources:
            fd = self.walkers[source].enter(path)
            with os.scandir(fd) as items:
                for item in items:
                    name = os.fsencode(item.name)
                    known = found.get(name)
                    if known is not None and (known[0] != _DIR or known[2]):
                        continue
                    kind = self._kind(fd, item)
                    if known is None:
                        closed = kind != _DIR or is_opaque(f"/proc/self/fd/{fd}/{item.name}")
                        found[name] = (kind, [source], closed)
                    elif kind == _DIR:
                        closed = is_opaque(f"/proc/self/fd/{fd}/{item.name}")
                        found[name] = (kind, [*known[1], source], closed)
                    else:
                        found[name] = (known[0], known[1], True)
        return found

    @staticmethod
    def _kind(fd: int, item: os.DirEntry[str]) -> str:
        if item.is_dir(follow_symlinks=False):
            return _DIR
        if item.is_file(follow_symlinks=False) or item.is_symlink():
            return _OTHER
        st = os.stat(item.name, dir_fd=fd, follow_symlinks=False)
        return _WHITEOUT if is_whiteout(st) else _OTHER

    def _directory(self, path: bytes, source: int, *, opaque: bool) -> None:
        """Make a directory with the attributes that the topmost layer gives it."""
        fd = self.walkers[source].enter(path)
        st = os.fstat(fd)
        entry = Entry(
            Kind.DIR,
            stat.S_IMODE(st.st_mode),
            st.st_uid,
            st.st_gid,
            xattrs=_xattrs(fd),
            opaque=opaque,
        )
        self.writer.directory(path, entry, st.st_mtime_ns)

    def _link(self, source: int, path: bytes, name: bytes) -> None:
        fd = self.walkers[source].enter(path)
        parent, _ = self.writer.parent(join(path, name))
        try:
            os.link(name, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            self._copy(fd, join(path, name), name)

    def _copy(self, fd: int, path: bytes, name: bytes) -> None:
        """Copy where one more link cannot be made."""
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        place = b"/proc/self/fd/%d/%s" % (fd, name)
        kind = SPECIAL_KINDS.get(stat.S_IFMT(st.st_mode), Kind.FILE)
        entry = Entry(
            kind,
            stat.S_IMODE(st.st_mode),
            st.st_uid,
            st.st_gid,
            target=os.readlink(name, dir_fd=fd) if kind == Kind.SYMLINK else b"",
            rdev=(os.major(st.st_rdev), os.minor(st.st_rdev)),
            xattrs=_xattrs(place),
        )
        if kind != Kind.FILE:
            self.writer.special(path, entry, st.st_mtime_ns)
            return
        original = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            target = self.writer.create(path)
            try:
                self.copier.copy(original, target, st)
                write_attributes(target, entry, st.st_mtime_ns)
            finally:
                os.close(target)
        finally:
            os.close(original)


def _xattrs(file: int | bytes) -> tuple[tuple[bytes, bytes], ...]:
    """All attributes but overlayfs's own."""
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return ()
    kept = [name for name in names if not is_overlay_xattr(os.fsencode(name))]
    kept = [name for name in kept if name not in HOST_XATTRS]
    return tuple((os.fsencode(n), os.getxattr(file, n, follow_symlinks=follow)) for n in kept)
