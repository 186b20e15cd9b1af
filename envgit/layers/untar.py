# SPDX-License-Identifier: Apache-2.0
"""Unpacking a root filesystem's tar archive, compressed or not, beneath an empty directory.

An archive is hostile: each name is taken apart, each parent entered by descriptor and through no
symlink, and nothing that was unpacked is ever opened again by name but directories. Whatever no tar
of a directory would hold refuses the archive as a whole (docs/design/layers.rst). How a layer of an
image is unpacked, where more is allowed, is in `ocilayer`.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from envgit.fs.beneath import Walker
from envgit.layers.decompression import Archive, ArchiveError, decompressed
from envgit.layers.entry import Kind
from envgit.layers.scan import Skipped
from envgit.layers.tarreader import HARD_LINK, Member, Reader
from envgit.layers.unpacking import Limits, Progress, Unpacker, components

__all__ = ["ArchiveError", "Extracted", "Progress", "decompressed", "extract"]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was unpacked: entries, bytes of content, and what could not be kept, with the reason."""

    entries: int
    size: int
    skipped: tuple[Skipped, ...]


def extract(
    stream: BinaryIO,
    dest: str | bytes,
    *,
    max_entries: int = 20_000_000,
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Unpack a tar archive, compressed or not, into the existing empty directory ``dest``.

    ``max_bytes`` bounds the content of all files together. Raises `ArchiveError` for anything wrong
    with the archive (``dest`` is then partly filled and should be thrown away), and `OSError` for
    what the filesystem cannot do.
    """
    with Archive(stream) as archive:
        reader = Reader(archive)
        extractor = _Extractor(dest, reader, Limits(max_entries, max_bytes), progress)
        try:
            while (member := reader.next()) is not None:
                extractor.member(member)
            extractor.finish()
        finally:
            extractor.close()
        archive.drain()
    unpacker = extractor.unpacker
    return Extracted(unpacker.entries, unpacker.size, unpacker.all_skipped())


class _Extractor:
    def __init__(
        self, dest: str | bytes, reader: Reader, limits: Limits, progress: Progress | None
    ) -> None:
        self.unpacker = Unpacker(reader, limits, progress)
        self.walker = Walker(dest)
        self.others = Walker(dest)
        # Directories get their attributes last; those that no entry describes have none.
        self.directories: dict[bytes, Member | None] = {}

    def close(self) -> None:
        self.walker.close()
        self.others.close()

    def member(self, member: Member) -> None:
        self.unpacker.count()
        path = _beneath(member.name, "holds")
        try:
            self._member(member, path)
        except OSError as error:
            _explain(error, path)

    def _member(self, member: Member, path: bytes) -> None:
        if member.kind == Kind.DIR:
            self._parents(path)
            if path and path not in self.directories:
                parent, name = self.walker.parent(path)
                os.mkdir(name, 0o700, dir_fd=parent)
            self.directories[path] = member
            return
        if not path:
            raise ArchiveError("the archive's root is not a directory")
        self._parents(path)
        if member.kind == HARD_LINK:
            target = _beneath(member.target, "links to")
            if not target or target in self.directories:
                raise ArchiveError(f"{member} is a hard link to a directory")
            other, old = self.others.parent(target)
            parent, name = self.walker.parent(path)
            os.link(old, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
            return
        parent, name = self.walker.parent(path)
        if member.kind == Kind.FILE:
            self.unpacker.file(parent, name, member, path)
        else:
            self.unpacker.special(parent, name, member, path)

    def _parents(self, path: bytes) -> None:
        """Make the directories on the way that no entry has made."""
        above, _, _ = path.rpartition(b"/")
        if not above or above in self.directories:
            return
        names = above.split(b"/")
        for depth in range(1, len(names) + 1):
            here = b"/".join(names[:depth])
            if here not in self.directories:
                self.unpacker.count()
                parent, name = self.walker.parent(here)
                try:
                    os.mkdir(name, 0o755, dir_fd=parent)
                except FileExistsError:
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory", here) from None
                self.directories[here] = None

    def finish(self) -> None:
        """Give the directories their attributes, the deepest first."""
        for path, member in sorted(self.directories.items(), reverse=True):
            fd = self.walker.enter(path)
            if member is None:
                os.fchmod(fd, 0o755)
            else:
                xattrs, when = member.xattrs, member.mtime_ns
                self.unpacker.attributes(fd, member, xattrs, path, when, acl=member.acl)


def _beneath(name: bytes, verb: str) -> bytes:
    """The path that a name in the archive means. `ArchiveError` if that is not beneath the root."""
    shown = os.fsdecode(name[:200])
    if name.startswith(b"/"):
        raise ArchiveError(
            f"the archive {verb} an absolute path: {shown!r}",
            hint="pack it again with `tar -C DIRECTORY -cf FILE .`",
        )
    parts = components(name, verb)
    if b".." in parts:
        raise ArchiveError(f"the archive {verb} a path that leaves its root: {shown!r}")
    return b"/".join(parts)


def _explain(error: OSError, path: bytes) -> NoReturn:
    """Say what an errno means where it comes from the archive and not from the machine."""
    name = os.fsdecode(path[:200])
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        message = f"the archive puts {name!r} beneath something that is no directory"
    elif error.errno == errno.EEXIST:
        message = f"the archive holds {name!r} twice"
    elif error.errno == errno.ENOENT:
        message = f"the archive links {name!r} to something that is not in it before"
    else:
        raise error
    raise ArchiveError(message) from error
