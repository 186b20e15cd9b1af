# SPDX-License-Identifier: Apache-2.0
"""What one file is, as a value and as text: every other part compares, stores and restores these.

The text, a *pointer*, is what git keeps in the place of a file; its format is fixed to the byte in
docs/design/layers.rst. Laws: ``Entry.parse(entry.pointer()) == entry``, and ``parse`` accepts no
text but the one ``pointer`` writes, so that equal entries have equal git ids on every machine.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from envgit.errors import EnvgitError
from envgit.layers.escape import escape, unescape

HEADER = "envgit-pointer 1"
"""First line of every pointer: the name of the format and its version."""

Xattrs = tuple[tuple[bytes, bytes], ...]


class PointerError(EnvgitError):
    """A pointer that this version of envgit does not understand, or that was tampered with."""


class Kind:
    """What an entry stands for; plain strings, for they are written and compared by the million."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    CHAR = "char"
    BLOCK = "block"
    WHITEOUT = "whiteout"


KINDS = frozenset({"file", "dir", "symlink", "fifo", "char", "block", "whiteout"})
_DEVICES = frozenset({Kind.CHAR, Kind.BLOCK})
_TIMELESS = frozenset({Kind.DIR, Kind.WHITEOUT})


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is kept of one path besides its content.

    ``mode`` is the permission bits with setuid, setgid and sticky (0o7777 at most); ``mtime`` whole
    seconds since 1970, 0 for directories and whiteouts; ``size`` bytes and ``sha256`` lower-case
    hexadecimal for files; ``rdev`` (major, minor) for devices; ``xattrs`` sorted by name.
    ``opaque`` marks a directory of a layer that hides what lies below it. ``hardlinks``: of a set
    of paths that are one file, the bytewise first names all the others in order, each other names
    only the first. In a layer these are the sets inside it, in a root filesystem the visible ones.
    """

    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    xattrs: Xattrs = ()
    opaque: bool = False
    hardlinks: tuple[bytes, ...] = ()

    def pointer(self) -> bytes:
        """The text that stands for this entry in git."""
        if self.kind == Kind.WHITEOUT:
            return f"{HEADER}\ntype whiteout\n".encode()
        text = f"{HEADER}\ntype {self.kind}\nmode {self.mode:04o}\nowner {self.uid}:{self.gid}\n"
        if self.kind == Kind.FILE:
            text += f"mtime {self.mtime}\nsize {self.size}\nsha256 {self.sha256}\n"
        elif self.kind != Kind.DIR:
            text += f"mtime {self.mtime}\n"
            if self.kind == Kind.SYMLINK:
                text += f"target {escape(self.target)}\n"
            elif self.kind in _DEVICES:
                text += f"device {self.rdev[0]}:{self.rdev[1]}\n"
        if self.opaque:
            text += "opaque\n"
        for name, value in self.xattrs:
            text += f"xattr {escape(name)} {base64.b64encode(value).decode()}\n"
        for path in self.hardlinks:
            text += f"hardlink {escape(path)}\n"
        return text.encode()

    @classmethod
    def parse(cls, data: bytes) -> Entry:
        """Read a pointer. `PointerError` for anything `pointer` would not have written."""
        try:
            entry = _parse(data)
        except (ValueError, KeyError, IndexError, binascii.Error) as error:
            raise PointerError(f"not a pointer of a version known here: {error}") from error
        if entry.pointer() != data:
            raise PointerError("no canonical pointer: unknown, missing or misplaced lines")
        return entry

    def same_but_links(self, other: Entry) -> bool:
        """Whether both are the same but for the names that they share with other paths."""
        if self.hardlinks == other.hardlinks:
            return self == other
        return replace(self, hardlinks=()) == replace(other, hardlinks=())

    def plain(self) -> Entry:
        """A layer's entry as it is in a root filesystem, where nothing is opaque."""
        return replace(self, opaque=False) if self.opaque else self

    def with_links(self, hardlinks: tuple[bytes, ...]) -> Entry:
        """This entry as a member of another set of hard links."""
        return self if hardlinks == self.hardlinks else replace(self, hardlinks=hardlinks)


def _parse(data: bytes) -> Entry:
    """The values in a pointer's lines; what is wrong with their order the caller finds out."""
    text = data.decode("utf-8")
    if not text.startswith(f"{HEADER}\n") or not text.endswith("\n"):
        raise ValueError(f"first line is {text.split(chr(10), 1)[0][:60]!r}")
    fields: dict[str, str] = {}
    xattrs: list[tuple[bytes, bytes]] = []
    hardlinks: list[bytes] = []
    for line in text[:-1].split("\n")[1:]:
        key, _, value = line.partition(" ")
        if key == "xattr":
            name, _, encoded = value.partition(" ")
            xattrs.append((unescape(name), base64.b64decode(encoded, validate=True)))
        elif key == "hardlink":
            hardlinks.append(unescape(value))
        elif key in fields:
            raise ValueError(f"{key!r} given twice")
        else:
            fields[key] = value
    kind = fields["type"]
    if kind not in KINDS:
        raise ValueError(f"unknown type {kind!r}")
    if kind == Kind.WHITEOUT:
        return Entry(kind=kind)
    uid, gid = _pair(fields["owner"])
    entry = Entry(
        kind=kind,
        mode=int(fields["mode"], 8),
        uid=uid,
        gid=gid,
        mtime=0 if kind in _TIMELESS else int(fields["mtime"]),
        size=int(fields["size"]) if kind == Kind.FILE else 0,
        sha256=fields["sha256"] if kind == Kind.FILE else "",
        target=unescape(fields["target"]) if kind == Kind.SYMLINK else b"",
        rdev=_pair(fields["device"]) if kind in _DEVICES else (0, 0),
        xattrs=tuple(xattrs),
        opaque="opaque" in fields,
        hardlinks=tuple(hardlinks),
    )
    _check(entry)
    return entry


def _pair(text: str) -> tuple[int, int]:
    first, second = text.split(":")
    return int(first), int(second)


def _check(entry: Entry) -> None:
    """Reject values that no filesystem holds, before they reach a system call."""
    if not 0 <= entry.mode <= 0o7777:
        raise ValueError(f"impossible mode {entry.mode:o}")
    # (uid_t)-1 means "leave it alone" to chown(2) and is no owner.
    if not (0 <= entry.uid < 2**32 - 1 and 0 <= entry.gid < 2**32 - 1):
        raise ValueError(f"impossible owner {entry.uid}:{entry.gid}")
    if not (-(2**63) <= entry.mtime < 2**63 and 0 <= entry.size < 2**63):
        raise ValueError("impossible time or size")
    if entry.kind == Kind.FILE and not (
        len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef")
    ):
        raise ValueError("impossible sha256")
    if entry.kind == Kind.SYMLINK and (not entry.target or b"\0" in entry.target):
        raise ValueError("impossible link target")
    # A device is a 12-bit major and a 20-bit minor (linux/kdev_t.h); character device 0:0 is
    # overlayfs's whiteout and therefore no device.
    if not (0 <= entry.rdev[0] < 2**12 and 0 <= entry.rdev[1] < 2**20):
        raise ValueError("impossible device number")
    if entry.kind == Kind.CHAR and entry.rdev == (0, 0):
        raise ValueError("character device 0:0 is a whiteout")
    if entry.kind == Kind.DIR:
        if entry.hardlinks:
            raise ValueError("a directory has no hard links")
    elif entry.opaque:
        raise ValueError("only a directory can be opaque")
    _check_names(entry)


def _check_names(entry: Entry) -> None:
    names = [name for name, _ in entry.xattrs]
    if names != sorted(set(names)):
        raise ValueError("extended attributes out of order or given twice")
    for name in names:
        if not 0 < len(name) <= 255 or b"\0" in name or is_overlay_xattr(name):
            raise ValueError(f"impossible extended attribute {name!r}")
    if list(entry.hardlinks) != sorted(set(entry.hardlinks)):
        raise ValueError("hard links out of order or given twice")
    for path in entry.hardlinks:
        if not is_path(path):
            raise ValueError(f"impossible path {path!r}")


def is_overlay_xattr(name: bytes) -> bool:
    """Whether the attribute is overlayfs's own: it never enters an entry nor leaves one."""
    return name.startswith((b"trusted.overlay.", b"user.overlay."))


def is_name(name: bytes) -> bool:
    """Whether these bytes can name a file within a directory (NAME_MAX is 255 bytes)."""
    return (
        0 < len(name) <= 255 and name not in (b".", b"..") and not (b"/" in name or b"\0" in name)
    )


def is_path(path: bytes) -> bool:
    """Whether ``path`` is a path as entries use them: relative, plain, and not the root."""
    return all(is_name(name) for name in path.split(b"/"))


class Directory(Protocol):
    """A directory of a root filesystem or of a layer, wherever it comes from.

    Implementations may also have an attribute ``identity``: two directories whose identities are
    equal have equal content, which lets comparison skip them unread. And they may have a method
    ``unlike(other)``: the names that are not known to be the same in both, or None when ``other``
    is of a kind that cannot be asked.
    """

    @property
    def entry(self) -> Entry:
        """The directory's own metadata."""

    def names(self) -> Iterable[bytes]:
        """The names within, in no particular order."""

    def lookup(self, name: bytes) -> Entry | None:
        """The entry of that name (a directory's own metadata for a directory), or None."""

    def directory(self, name: bytes) -> Directory | None:
        """The directory of that name, or None when there is none or it is something else."""


class Node:
    """A tree in memory; ``children`` is None for everything that is no directory."""

    __slots__ = ("children", "entry")

    def __init__(self, entry: Entry, children: dict[bytes, Node] | None = None) -> None:
        self.entry = entry
        self.children = {} if children is None and entry.kind == Kind.DIR else children

    def names(self) -> Iterable[bytes]:
        return self.children or ()

    def lookup(self, name: bytes) -> Entry | None:
        child = (self.children or {}).get(name)
        return None if child is None else child.entry

    def directory(self, name: bytes) -> Node | None:
        child = (self.children or {}).get(name)
        return None if child is None or child.children is None else child

    def find(self, path: bytes) -> Node | None:
        """The node at a path, or None; the empty path is this node."""
        node: Node | None = self
        for name in path.split(b"/") if path else ():
            node = None if node is None else (node.children or {}).get(name)
        return node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and list(walk(self)) == list(walk(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Node({dict(walk(self))!r})"


def join(parent: bytes, name: bytes) -> bytes:
    """The path of ``name`` in the directory ``parent`` (empty for the root)."""
    return parent + b"/" + name if parent else name


def walk(directory: Directory) -> Iterator[tuple[bytes, Entry]]:
    """Every path beneath and including ``directory``: parents first, names in bytewise order."""
    yield b"", directory.entry
    stack = [(b"", directory, iter(sorted(directory.names())))]
    while stack:
        path, parent, names = stack[-1]
        for name in names:
            entry = parent.lookup(name)
            if entry is None:
                continue
            child = join(path, name)
            yield child, entry
            if entry.kind == Kind.DIR:
                below = parent.directory(name)
                if below is not None:
                    stack.append((child, below, iter(sorted(below.names()))))
                    break
        else:
            stack.pop()


def read_tree(directory: Directory) -> Node:
    """The whole of a directory as a tree in memory."""
    root = Node(directory.entry)
    nodes = {b"": root}
    for path, entry in walk(directory):
        if path:
            parent, _, name = path.rpartition(b"/")
            node = Node(entry)
            children = nodes[parent].children
            assert children is not None
            children[name] = node
            if entry.kind == Kind.DIR:
                nodes[path] = node
    return root


def find_directory(root: Directory, path: bytes) -> Directory | None:
    """The directory at a path beneath ``root``, or None."""
    found: Directory | None = root
    for name in path.split(b"/") if path else ():
        found = None if found is None else found.directory(name)
    return found


def find_entry(root: Directory, path: bytes) -> Entry | None:
    """The entry at a path beneath ``root``, or None; nothing is resolved through symlinks."""
    if not path:
        return root.entry
    parent, _, name = path.rpartition(b"/")
    directory = find_directory(root, parent)
    return None if directory is None else directory.lookup(name)
