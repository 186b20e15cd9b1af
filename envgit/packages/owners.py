# SPDX-License-Identifier: Apache-2.0
"""Which package a file belongs to, in a form to search: a table is bytes, and is never parsed.

A row for each package of a unit, in their order: ``NUL # NUMBER NUL``, then ``/PATH NUL`` for each
of its files. No path has a NUL.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from envgit.layers.entry import Directory, Entry, Kind
from envgit.packages.model import LARGEST, Shipped

SHARED = (b"/dpkg/diversions",)
"""Ends of paths of databases that say where the files of any package are."""

_FEW = 30
"""Paths that are searched for one by one: above, going through the table is cheaper."""


def lines(files: Iterable[Shipped]) -> bytes:
    """The files of one package, as in its row."""
    return b"".join(b"/%b\0" % one.path for one in files)


def table(manifests: Sequence[Iterable[Shipped]]) -> bytes:
    """The table of packages with these files."""
    return join([lines(files) for files in manifests])


def join(rows_of: Sequence[bytes]) -> bytes:
    """The table whose rows have these files."""
    return b"".join(b"\0#%d\0%b" % (number, row) for number, row in enumerate(rows_of))


def rows(data: bytes) -> list[bytes]:
    """The files of each row, as `join` takes them."""
    return [row.partition(b"\0")[2] for row in data.split(b"\0#")[1:]]


def look_up(data: bytes, paths: Collection[bytes]) -> Iterator[tuple[bytes, int]]:
    """(path, number of the first package that has it) for those of ``paths`` that any has."""
    if len(paths) <= _FEW:
        for path in paths:
            at = data.find(b"\0/%b\0" % path)
            if at >= 0:
                start = data.rfind(b"\0#", 0, at + 1) + 2
                yield path, int(data[start : data.index(b"\0", start)])
        return
    number = 0
    left = set(paths)
    for field in data.split(b"\0"):
        if field[:1] == b"#":
            number = int(field[1:])
        elif field[1:] in left:
            left.discard(field[1:])
            yield field[1:], number


def paths(data: bytes) -> Iterator[bytes]:
    """All files in a table."""
    return (field[1:] for field in data.split(b"\0") if field[:1] == b"/")


def packed(data: bytes) -> bytes:
    """A table as it is kept: paths have much in common."""
    return zlib.compress(data, 1)


def unpacked(data: bytes | None) -> bytes | None:
    """A table as it was before it was kept, None for what is none."""
    if data is None:
        return None
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(data, LARGEST)
    return None


def links(root: Directory) -> dict[bytes, Entry]:
    """The links right in the root directory: of ``lib`` depends where files of a package are."""
    found = ((name, root.lookup(name)) for name in root.names())
    return {name: entry for name, entry in found if entry and entry.kind == Kind.SYMLINK}
