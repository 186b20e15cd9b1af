# SPDX-License-Identifier: Apache-2.0
"""Writing what changed between two root filesystems as the archive of an OCI image's layer.

The rules are those of the OCI image spec, layer.md, "Representing Changes" and "Whiteouts". Every
directory on the way to a change has an entry, so that no program need guess its attributes;
whiteouts come before their siblings; a directory of which more than one name goes and none stays
is opaque; all names of a set of hard links are in the layer when one is, since few programs can
link to what lies below. Equal trees give equal bytes.

Law: unpacking (`ocilayer.apply_layer`) what was written of ``old`` and ``new`` over ``old`` shows
``new``, but for times that were clamped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from envgit.layers.compare import difference
from envgit.layers.decompression import ArchiveError
from envgit.layers.entry import Directory, Entry, Kind, Node, join
from envgit.layers.layernames import OPAQUE, WHITEOUT
from envgit.layers.scan import Skipped
from envgit.layers.tar import FLAGS, LINK, Progress, TarWriter, Writable

# What stands for a whiteout: an empty file, for its name alone counts.
_MARK = Entry(Kind.FILE, 0o600)


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """An archive that was written: its sha256 in hexadecimal, its size in bytes, its entries, and
    what could not be put into it."""

    diff_id: str
    size: int
    entries: int
    skipped: tuple[Skipped, ...]


def write_difference(
    stream: Writable,
    old: Directory | None,
    new: Directory,
    open: Callable[[bytes], BinaryIO],
    *,
    latest: int | None = None,
    directory_mtime: int = 0,
    lenient: bool = False,
    progress: Progress | None = None,
) -> WrittenLayer:
    """Write the layer that makes ``new`` of ``old`` (None is an empty filesystem), uncompressed.

    ``open`` gives the content of a path of ``new``. ``latest`` bounds all times, as
    SOURCE_DATE_EPOCH wants it (reproducible-builds.org); directories, which have no time of their
    own in envgit, get ``directory_mtime``; both in seconds. A name that begins with ``.wh.`` can be
    in no layer: `ArchiveError`, or with ``lenient`` it is skipped and told. Raises `ArchiveError`
    also when a file is not as long as its entry says.
    """
    layer = difference(old, new)
    return write_layer(
        stream,
        layer,
        old,
        open,
        latest=latest,
        directory_mtime=directory_mtime,
        lenient=lenient,
        progress=progress,
    )


def write_layer(
    stream: Writable,
    layer: Node,
    base: Directory | None,
    open: Callable[[bytes], BinaryIO],
    *,
    latest: int | None = None,
    directory_mtime: int = 0,
    lenient: bool = False,
    progress: Progress | None = None,
) -> WrittenLayer:
    """Write ``layer``, as it lies over ``base``; everything else as in `write_difference`.

    A whiteout or an opaque mark that hides nothing of ``base`` is not written.
    """
    hashed = _Hashed(stream)
    writer = _LayerWriter(TarWriter(hashed), open, latest, directory_mtime, lenient, progress)
    writer.write(layer, base)
    tar = writer.tar
    return WrittenLayer(hashed.hash.hexdigest(), tar.position, tar.entries, tuple(writer.skipped))


class _Hashed:
    """Passes on what is written, and hashes it."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self.hash.update(data)
        self._stream.write(data)
        return len(data)


class _LayerWriter:
    def __init__(
        self,
        tar: TarWriter,
        open: Callable[[bytes], BinaryIO],
        latest: int | None,
        directory_mtime: int,
        lenient: bool,
        progress: Progress | None,
    ) -> None:
        self.tar = tar
        self.open = open
        self.latest = latest
        self.directory_mtime = directory_mtime
        self.lenient = lenient
        self.progress = progress
        self.skipped: list[Skipped] = []
        # For each set of hard links, by its first path, the member that has the content.
        self.first: dict[bytes, bytes] = {}

    def write(self, layer: Node, base: Directory | None) -> None:
        if base is None or base.entry != layer.entry.plain():
            self._entry(b"", layer.entry)
        stack = [self._directory(b"", layer, base)]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
            else:
                stack.append(self._directory(*below))
        self.tar.end()

    def _directory(
        self, path: bytes, node: Node, below: Directory | None
    ) -> Iterator[tuple[bytes, Node, Directory | None]]:
        """Write what is in a directory; each sub-directory, once its entry is written, is given."""
        children = node.children or {}
        if node.entry.opaque:
            if below is not None:
                self._hidden(path, below, children)
            below = None
        elif below is not None:
            for name in sorted(children):
                if children[name].entry.kind == Kind.WHITEOUT and below.lookup(name) is not None:
                    self._whiteout(path, name)
        for name in sorted(children):
            child = children[name]
            here = join(path, name)
            if child.entry.kind == Kind.WHITEOUT:
                continue
            if name.startswith(WHITEOUT):
                self._impossible(here)
                continue
            self._entry(here, child.entry)
            if child.entry.kind == Kind.DIR:
                yield here, child, below.directory(name) if below is not None else None

    def _hidden(self, path: bytes, below: Directory, children: dict[bytes, Node]) -> None:
        """Write what makes a directory opaque, the shorter way."""
        names = sorted(below.names())
        if len(names) == 1 and names[0] not in children:
            self._whiteout(path, names[0])
        elif names:
            self._mark(join(path, OPAQUE))

    def _whiteout(self, path: bytes, name: bytes) -> None:
        if name.startswith(WHITEOUT):
            self._impossible(join(path, name))
        else:
            self._mark(join(path, WHITEOUT + name))

    def _mark(self, path: bytes) -> None:
        when = self._time(self.directory_mtime)
        self.tar.header(path, _MARK, FLAGS[Kind.FILE], b"", 0, when)

    def _impossible(self, path: bytes) -> None:
        shown = os.fsdecode(path)
        if not self.lenient:
            raise ArchiveError(
                f"{shown!r} cannot be in an image: in a layer, names that begin with .wh. mean "
                "what is deleted"
            )
        self.skipped.append(Skipped(path, "a name that means a deletion in an image's layer"))

    def _time(self, mtime: int) -> int:
        return mtime if self.latest is None else min(mtime, self.latest)

    def _entry(self, path: bytes, entry: Entry) -> None:
        tar, mtime = self.tar, self._time(entry.mtime)
        if entry.hardlinks:
            leader = min(path, entry.hardlinks[0])
            if leader in self.first:
                tar.header(path, entry, LINK, self.first[leader], 0, mtime)
                return
            self.first[leader] = path
        flag = FLAGS[entry.kind]
        if entry.kind == Kind.FILE:
            tar.header(path, entry, flag, b"", entry.size, mtime)
            with self.open(path) as content:
                tar.content(path, content, entry.size)
        elif entry.kind == Kind.DIR:
            name = path + b"/" if path else b"./"
            tar.header(name, entry, flag, b"", 0, self._time(self.directory_mtime))
        else:
            tar.header(path, entry, flag, entry.target, 0, mtime)
        if self.progress is not None:
            self.progress(tar.entries, tar.position)
