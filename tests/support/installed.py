# SPDX-License-Identifier: Apache-2.0
"""Files on disk or in memory as what readers of packages look into."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from envgit.layers.entry import Directory, Entry, Kind, Node
from envgit.layers.scan import scan
from envgit.packages.inventory import Inventory
from envgit.packages.model import LARGEST, Unreadable


class NoCache:
    """Remembers nothing."""

    def get(self, key: str) -> bytes | None:
        return None

    def put(self, key: str, value: bytes) -> None:
        pass


class DiskFiles:
    """A root filesystem on disk, scanned once."""

    def __init__(self, root: Path | str) -> None:
        self.root = os.fsencode(root)
        self.tree: Directory = scan(self.root, hashes=None, overlay=False).node

    def read(self, path: bytes, limit: int = LARGEST) -> bytes:
        full = os.path.join(self.root, path)
        if os.path.islink(full) or not os.path.isfile(full):
            raise Unreadable(f"{path!r} is not a file")
        with open(full, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Unreadable(f"{path!r} is larger than {limit} bytes")
        return data


class MemoryFiles:
    """Files made up in memory: content by path."""

    def __init__(self, files: dict[bytes, bytes], *, links: dict[bytes, bytes] | None = None):
        self.files = files
        root = Node(Entry(Kind.DIR, 0o755))
        entries = {
            path: Entry(Kind.FILE, 0o644, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in files.items()
        }
        entries |= {
            path: Entry(Kind.SYMLINK, 0o777, target=target)
            for path, target in (links or {}).items()
        }
        for path, entry in entries.items():
            *parents, name = path.split(b"/")
            node = root
            for parent in parents:
                assert node.children is not None
                node = node.children.setdefault(parent, Node(Entry(Kind.DIR, 0o755)))
            assert node.children is not None
            node.children[name] = Node(entry)
        self.tree: Directory = root

    def read(self, path: bytes, limit: int = LARGEST) -> bytes:
        data = self.files.get(path)
        if data is None:
            raise Unreadable(f"{path!r} is not a file")
        if len(data) > limit:
            raise Unreadable(f"{path!r} is larger than {limit} bytes")
        return data


def inventory_of(files: DiskFiles | MemoryFiles) -> Inventory:
    """What those files have installed, read anew."""
    return Inventory(lambda: files, NoCache(), None)
