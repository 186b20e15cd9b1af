# SPDX-License-Identifier: Apache-2.0
"""The names that mean something in an image's layer, and what a name in one means.

Source: OCI image spec, layer.md, "Whiteouts" and "Opaque Whiteout"; aufs(5) for what else begins
with ``.wh.``, which Docker took whiteouts from.
"""

from __future__ import annotations

import os

from envgit.layers.decompression import ArchiveError
from envgit.layers.entry import is_name
from envgit.layers.unpacking import components

WHITEOUT = b".wh."
"""What a name begins with that hides the rest of the name in the layers below."""
META = b".wh..wh."
"""What a name begins with that is aufs's own: bookkeeping, but for the opaque mark."""
OPAQUE = b".wh..wh..opq"
"""A name that hides everything that the layers below have in its directory."""
LINKS = b".wh..wh.plnk"
"""aufs's directory, at the root, of files that hard links of the layer are links to."""


def resolve_name(name: bytes, verb: str) -> list[bytes]:
    """The components of a name in a layer; the root has none.

    As Docker, containerd and umoci do, a leading slash means the root of the layer and ``..`` is
    resolved by the text. Raises `ArchiveError` for what leads out (containerd and umoci stop at
    the root, podman refuses), and for impossible names.
    """
    parts = components(name, verb, WHITEOUT)
    if b".." not in parts:
        return parts
    done: list[bytes] = []
    for part in parts:
        if part != b"..":
            done.append(part)
        elif done:
            done.pop()
        else:
            shown = os.fsdecode(name[:200])
            raise ArchiveError(f"the layer {verb} a path that leaves its root: {shown!r}")
    return done


def hidden_name(name: bytes) -> bytes:
    """The name that a whiteout hides. Raises `ArchiveError` if nothing can be called that."""
    victim = name[len(WHITEOUT) :]
    if not is_name(victim):
        raise ArchiveError(f"the layer holds an impossible whiteout: {os.fsdecode(name)!r}")
    return victim
