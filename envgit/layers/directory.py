# SPDX-License-Identifier: Apache-2.0
"""Layers as directories on disk: made, settled and checked, in the form overlayfs mounts.

A whiteout is a character device 0:0; an opaque directory carries ``trusted.overlay.opaque=y``
(linux/Documentation/filesystems/overlayfs.rst). No function here follows a symlink of a layer.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from envgit.fs import crashpoint
from envgit.fs.beneath import Walker, hold_parent
from envgit.layers.compare import Normalized
from envgit.layers.copying import Copier
from envgit.layers.entry import Entry, Kind, Node, join, walk
from envgit.layers.marks import OPAQUE_NAMES
from envgit.layers.scan import Progress, scan
from envgit.layers.writer import (
    UNLINKABLE,
    WriteError,
    Writer,
    make_special,
    write_attributes,
)

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def build(dest: str | bytes, node: Node, source: Callable[[bytes], bytes | None]) -> None:
    """Make the layer ``node`` in the empty directory ``dest`` from files that exist.

    ``source`` tells where on the host the content of a path is: a sealed layer's file, of which
    ``dest`` gets another name. Sets of hard links become exactly those of ``node``. Raises
    `WriteError` where there is no source.
    """
    made: dict[bytes, bytes] = {}
    owners: dict[tuple[int, int], bytes] = {}
    copier = Copier()
    with Writer(dest) as writer:
        for path, entry in walk(node):
            if _simple(writer, path, entry, None):
                continue
            leader = _leader(path, entry)
            if leader in made:
                writer.link(made[leader], path)
                continue
            place = source(path)
            if place is None:
                raise WriteError(f"no layer holds {os.fsdecode(path)!r}")
            if not _link(writer, place, path, leader, owners):
                with hold_parent(place) as (parent, name):
                    _copy(writer, copier, parent, name, path, entry)
            made[leader] = path
        writer.finish()


def _leader(path: bytes, entry: Entry) -> bytes:
    """The bytewise first path of the set of hard links that ``path`` is in."""
    return min(path, entry.hardlinks[0]) if entry.hardlinks else path


def _simple(writer: Writer, path: bytes, entry: Entry, mtime_ns: int | None) -> bool:
    """Make what has no content and needs no source; False for everything else."""
    if entry.kind == Kind.DIR:
        writer.directory(path, entry, mtime_ns)
    elif entry.kind == Kind.WHITEOUT:
        writer.whiteout(path)
    else:
        return False
    return True


def _link(
    writer: Writer, place: bytes, path: bytes, leader: bytes, owners: dict[tuple[int, int], bytes]
) -> bool:
    """Make ``path`` a name of the file ``place``; False where it has to be a copy.

    That is so where link(2) cannot, and where the same file already stands for another set of
    links: the two would be one.
    """
    try:
        st = writer.link_from(place, path)
    except OSError as error:
        if error.errno not in UNLINKABLE:
            raise
        return False
    if owners.setdefault((st.st_dev, st.st_ino), leader) == leader:
        return True
    parent, name = writer.parent(path)
    os.unlink(name, dir_fd=parent)
    return False


def _copy(
    writer: Writer, copier: Copier, parent: int, name: bytes, path: bytes, entry: Entry
) -> None:
    """Copy one file, symlink, fifo or device with all that belongs to it."""
    copy_entry(copier, (parent, name), writer.parent(path), entry, path)


def copy_entry(
    copier: Copier,
    source: tuple[int, bytes],
    target: tuple[int, bytes],
    entry: Entry,
    path: bytes,
) -> None:
    """Make ``target`` a copy of ``source``, which is what ``entry`` describes; no directory.

    Both are names in open directories; ``path`` is for the error. Raises `WriteError` when the
    source is no longer what was described.
    """
    parent, name = source
    if entry.kind != Kind.FILE:
        st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        make_special(*target, entry)
        write_attributes(target, entry, st.st_mtime_ns)
        return
    original = os.open(name, _FILE, dir_fd=parent)
    try:
        st = os.fstat(original)
        if not stat.S_ISREG(st.st_mode) or st.st_size != entry.size:
            raise WriteError(f"{os.fsdecode(path)!r} changed since it was read")
        made = os.open(target[1], _NEW_FILE, 0o600, dir_fd=target[0])
        try:
            copier.copy(original, made, st)
            write_attributes(made, entry, st.st_mtime_ns)
        finally:
            os.close(made)
    finally:
        os.close(original)


def copy(dest: str | bytes, node: Node, upper: str | bytes) -> None:
    """Make the layer ``node`` in the empty directory ``dest`` by copying from ``upper``.

    For an upper directory that is mounted: nothing is shared with it but blocks. Times are kept to
    the nanosecond. Raises `WriteError` when a file is no longer what was scanned.
    """
    made: dict[bytes, bytes] = {}
    copier = Copier()
    with Writer(dest) as writer, Walker(upper) as walker:
        for path, entry in walk(node):
            mtime_ns = os.fstat(walker.enter(path)).st_mtime_ns if entry.kind == Kind.DIR else None
            if _simple(writer, path, entry, mtime_ns):
                continue
            leader = _leader(path, entry)
            if leader in made:
                writer.link(made[leader], path)
                continue
            parent, name = walker.parent(path)
            _copy(writer, copier, parent, name, path, entry)
            made[leader] = path
        writer.finish()


def settle(root: str | bytes, normalized: Normalized) -> None:
    """Make an upper directory, unmounted, equal to ``normalized.layer``, from which it was scanned.

    What overlayfs shows with the base below it stays the same at every step, so an interruption
    does no harm. Only what the scan saw and left out goes: dropped paths, sockets, and empty files
    and directories (mount points); anything else that is found raises `WriteError`.
    """
    drops = set(normalized.drops)
    with Walker(root) as walker:
        # First the marks: taking one away shows nothing while everything below is still covered.
        for path in normalized.unopaque:
            _remove_mark(walker.enter(path))
        crashpoint.reach("layers:unmarked")
        for path, entry in walk(normalized.layer):
            if entry.kind == Kind.DIR:
                node = normalized.layer.find(path)
                assert node is not None
                _remove_others(walker, path, node, drops)
        crashpoint.reach("layers:settled")


def _remove_mark(fd: int) -> None:
    for name in OPAQUE_NAMES:
        try:
            os.removexattr(fd, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise


def _remove_others(walker: Walker, path: bytes, node: Node, drops: set[bytes]) -> None:
    """Remove from one directory what the layer does not have there."""
    children = node.children or {}
    # A stack of paths to remove, each directory a second time after what is in it.
    stack = [(join(path, name), False) for name in _names(walker.enter(path), children)]
    while stack:
        victim, emptied = stack.pop()
        parent, name = walker.parent(victim)
        if emptied:
            os.rmdir(name, dir_fd=parent)
            continue
        st = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(st.st_mode):
            stack.append((victim, True))
            stack.extend((join(victim, n), False) for n in _names(walker.enter(victim), {}))
        elif victim in drops or stat.S_ISSOCK(st.st_mode) or _is_empty_file(st):
            os.unlink(name, dir_fd=parent)
        else:
            raise WriteError(
                f"{os.fsdecode(victim)!r} appeared while the changes were being committed",
                hint="run the command again",
            )


def _is_empty_file(st: os.stat_result) -> bool:
    return stat.S_ISREG(st.st_mode) and st.st_size == 0


def _names(fd: int, but: dict[bytes, Node]) -> list[bytes]:
    with os.scandir(fd) as items:
        return [name for item in items if (name := os.fsencode(item.name)) not in but]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a layer on disk, in words."""

    path: bytes
    what: str


class _Unread:
    """A `HashCache` that knows every file, so that a scan reads none."""

    def get(self, st: os.stat_result) -> str | None:
        return _UNREAD

    def put(self, st: os.stat_result, sha256: str) -> None:
        raise AssertionError("a file was read")


_UNREAD = "0" * 64


def verify(
    root: str | bytes,
    node: Node,
    *,
    content: bool,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Problem]:
    """Compare a layer on disk with what it should be; ``content`` reads every file.

    ``threads`` and ``progress`` as for `scan`.
    """
    if not os.path.isdir(root):
        yield Problem(b"", "the layer is missing")
        return
    found = scan(
        os.fsencode(root),
        overlay=True,
        hashes=None if content else _Unread(),
        threads=threads,
        progress=progress,
    )
    for skipped in found.skipped:
        yield Problem(skipped.path, f"does not belong in a layer: {skipped.reason}")
    on_disk = dict(walk(found.node))
    for path, wanted in walk(node):
        actual = on_disk.pop(path, None)
        if actual is None:
            yield Problem(path, "is missing")
            continue
        for what in _differences(wanted, actual, content=content):
            yield Problem(path, what)
    for path in sorted(on_disk):
        yield Problem(path, "should not be there")


def _differences(wanted: Entry, actual: Entry, *, content: bool) -> Iterator[str]:
    if wanted.kind != actual.kind:
        yield f"is of type {actual.kind} instead of {wanted.kind}"
        return
    if wanted.size != actual.size:
        yield f"has {actual.size} bytes instead of {wanted.size}"
    elif content and wanted.sha256 != actual.sha256:
        yield f"has other content: sha256 {actual.sha256} instead of {wanted.sha256}"
    if wanted.mode != actual.mode:
        yield f"has mode {actual.mode:04o} instead of {wanted.mode:04o}"
    if (wanted.uid, wanted.gid) != (actual.uid, actual.gid):
        yield f"belongs to {actual.uid}:{actual.gid} instead of {wanted.uid}:{wanted.gid}"
    if wanted.mtime != actual.mtime:
        yield f"was modified at {actual.mtime} instead of {wanted.mtime}"
    if wanted.target != actual.target:
        yield f"leads to {os.fsdecode(actual.target)!r} instead of {os.fsdecode(wanted.target)!r}"
    if wanted.rdev != actual.rdev:
        yield "is another device"
    if wanted.xattrs != actual.xattrs:
        yield "has other extended attributes"
    if wanted.opaque != actual.opaque:
        yield f"is {'' if actual.opaque else 'not '}opaque"
    if wanted.hardlinks != actual.hardlinks:
        yield "has other hard links"
