# SPDX-License-Identifier: Apache-2.0
"""Made-up states of dpkg in memory: packages, what their lists say, and what else is there."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.layers.entry import Entry, Kind, Node
from tests.support.installed import MemoryFiles


def debian(
    packages: Mapping[str, tuple[str, list[str]]],
    more: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    folders: tuple[str, ...] = (),
) -> MemoryFiles:
    """Packages by name, with their versions and what their lists say; ``folders`` are empty."""
    files = {path: text.encode() for path, text in (more or {}).items()}
    status = ""
    for name, (version, listed) in packages.items():
        status += f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
        status += "Architecture: all\n\n"
        files[f"var/lib/dpkg/info/{name}.list"] = "".join(f"/{one}\n" for one in listed).encode()
        for path in listed:
            if path not in folders and path not in (links or {}):
                files.setdefault(path, f"{name} {version}".encode())
    files["var/lib/dpkg/status"] = status.encode()
    made = MemoryFiles(
        {path.encode(): data for path, data in files.items()},
        links={path.encode(): to.encode() for path, to in (links or {}).items()},
    )
    for folder in folders:
        node = made.tree
        for part in folder.encode().split(b"/"):
            assert isinstance(node, Node) and node.children is not None
            node = node.children.setdefault(part, Node(Entry(Kind.DIR, 0o755)))
    return made
