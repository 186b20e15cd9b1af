# SPDX-License-Identifier: Apache-2.0
"""Archives of image layers, written by Python's tarfile, and what they show over a base."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from envgit.layers.apply import apply
from envgit.layers.entry import Directory, Node, walk
from envgit.layers.hashing import FreshHashes
from envgit.layers.ocilayer import DEFAULT_LIMITS, AppliedLayer, apply_layer
from envgit.layers.scan import scan
from envgit.layers.unpacking import Limits
from envgit.layers.view import Overlay

REG, LINK, SYMLINK, DIR = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE
CHAR, FIFO = tarfile.CHRTYPE, tarfile.FIFOTYPE

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes = REG, data: bytes = b"", **fields: object) -> Member:
    """A member that belongs to whoever runs the test; a directory's name gets no slash."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    info.uid, info.gid = os.getuid(), os.getgid()
    info.mode = 0o755 if kind == DIR else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Stack:
    """Layers that were unpacked one over the other, as an image's are."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.dirs: list[str] = []
        self.rootfs: Node | None = None

    def add(self, data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> AppliedLayer:
        """Unpack a layer over those before; where that fails nothing counts of it."""
        dest = self.scratch / f"layer{len(self.dirs)}"
        dest.mkdir()
        with Overlay(self.dirs) as view:
            contents = view if self.dirs else None
            fresh = FreshHashes()
            done = apply_layer(
                io.BytesIO(data), str(dest), self.rootfs, contents, limits=limits, hashes=fresh
            )
        # What was hashed on the way is what a scan finds.
        told = scan(os.fsencode(dest), overlay=True, hashes=fresh).node
        assert told == self.layer(str(dest))
        self.rootfs = apply(self.rootfs, self.layer(str(dest)))
        self.dirs.insert(0, str(dest))
        return done

    def layer(self, dest: str) -> Node:
        return scan(os.fsencode(dest), overlay=True).node

    @property
    def top(self) -> Node:
        """The last layer, as overlayfs will see it."""
        return self.layer(self.dirs[0])

    def shows(self) -> dict[str, str]:
        """Every path but the root with the content of files, the target of symlinks, the kind of
        others."""
        assert self.rootfs is not None
        found: dict[str, str] = {}
        with Overlay(self.dirs) as view:
            for path, entry in walk(self.rootfs):
                what = entry.kind
                if entry.kind == "file":
                    with view.open(path) as file:
                        what = "= " + file.read().decode()
                elif entry.kind == "symlink":
                    what = "-> " + os.fsdecode(entry.target)
                if path:
                    found[os.fsdecode(path)] = what
        return found


def paths(tree: Directory) -> list[str]:
    """The paths of a tree but the root."""
    return [os.fsdecode(path) for path, _ in walk(tree) if path]
