# SPDX-License-Identifier: Apache-2.0
"""Images of a few layers, made by hand, in OCI layouts: what nobody's program would write, too."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI layout that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._index()

    def _index(self) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.images}
        (self.folder / "index.json").write_text(json.dumps(index))

    def blob(self, data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        """Write a blob; its descriptor."""
        (self.folder / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data), **fields}

    def manifest(
        self,
        layers: Sequence[bytes],
        config: Mapping[str, Any] | None = None,
        *,
        compressed: bool = True,
        **fields: Any,
    ) -> dict[str, Any]:
        """Write an image of these uncompressed layers; the descriptor of its manifest.

        ``config`` adds to (or replaces parts of) the image's config.
        """
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            **(config or {}),
        }
        packed = [
            self.blob(gzip.compress(layer, mtime=0), f"{LAYER}+gzip")
            if compressed
            else self.blob(layer, LAYER)
            for layer in layers
        ]
        found = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json.dumps(document).encode(), CONFIG),
            "layers": packed,
            **fields,
        }
        return self.blob(json.dumps(found).encode(), MANIFEST)

    def name(self, descriptor: Mapping[str, Any], name: str = "") -> None:
        """List an image, under a name unless that is empty."""
        named = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        self.images.append({**descriptor, **named})
        self._index()
