# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes: OCI image specification 1.1 and docker's schema 2, read and written.

Sources: opencontainers/image-spec manifest.md, image-index.md, considerations.md; distribution's
"Image Manifest Version 2, Schema 2". Bytes in, values out; nothing is asked of a network here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envgit.image.descriptors import (
    DOCKER_SCHEMA1,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    Platform,
    annotations_from,
    check_bytes,
    digest_of,
)
from envgit.image.platforms import choose
from envgit.image.transport import MAX_MANIFEST, ImageSource

MAX_LAYERS = 4096
"""Docker makes at most 127; this is far above every image and far below what hurts."""
MAX_IMAGES = 4096
_MAX_NESTED = 4


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image's manifest; ``raw`` is its bytes as they came, which ``digest`` is of."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    raw: bytes = b""

    @property
    def digest(self) -> str:
        """The digest of the raw bytes."""
        return digest_of(self.raw)


@dataclass(frozen=True, slots=True)
class Index:
    """An image index or manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    raw: bytes = b""


def parse(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; ``media_type`` is what came with it, empty if nothing did.

    Where text and ``media_type`` disagree, or the text could be both kinds, it is refused
    (CVE-2021-41190). Raises `ImageError`.
    """
    document = load_object(data, "the manifest", MAX_MANIFEST)
    kind = _kind(document, media_type)
    if kind in INDEXES:
        return _parse_index(document, kind, data)
    version = document.get("schemaVersion")
    if version != 2 or isinstance(version, bool):
        raise ImageError(f"the manifest has schemaVersion {str(version)[:20]}, not 2")
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ImageError("the manifest has no list of layers that could be meant")
    artifact = document.get("artifactType")
    return Manifest(
        kind,
        Descriptor.from_json(document.get("config"), "the image's config"),
        tuple(Descriptor.from_json(item, f"layer {n}") for n, item in enumerate(layers, 1)),
        annotations_from(document.get("annotations"), "the manifest"),
        artifact if isinstance(artifact, str) else "",
        data,
    )


def load_object(data: bytes, what: str, limit: int) -> dict[str, Any]:
    """A JSON object of bounded size. Raises `ImageError`, naming ``what``."""
    if len(data) > limit:
        raise ImageError(f"{what} has {len(data)} bytes; more than {limit} are not read")
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise ImageError(f"{what} is not a JSON object")
    return document


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON's")


def _kind(document: dict[str, Any], told: str) -> str:
    """The media type of a document, by what it says, what came with it and what it holds."""
    said = document.get("mediaType") or ""
    told = told.partition(";")[0].strip()
    if document.get("schemaVersion") == 1 or "fsLayers" in document or told in DOCKER_SCHEMA1:
        raise ImageError(
            "the image has a manifest of docker's schema 1, which envgit does not read",
            hint="it is from before 2016: push it again, or copy it with skopeo copy --format oci",
        )
    known = INDEXES | MANIFESTS
    if not isinstance(said, str) or (said in known and told in known and said != told):
        raise ImageError(f"a manifest that says it is {said!r} came as {told!r}")
    kind = said if said in known else told if told in known else ""
    held = {"manifests"} & set(document), {"layers", "config", "fsLayers"} & set(document)
    if all(held):
        raise ImageError("the manifest could be that of one image and that of several")
    if not kind and said:
        raise ImageError(f"'{said}' is no image that envgit reads")
    if not kind:
        kind = OCI_INDEX if held[0] else OCI_MANIFEST
    if (kind in INDEXES) != bool(held[0]):
        raise ImageError(f"the manifest says it is {kind} and is something else")
    return kind


def _parse_index(document: dict[str, Any], kind: str, data: bytes) -> Index:
    listed = document.get("manifests")
    if not isinstance(listed, list) or len(listed) > MAX_IMAGES:
        raise ImageError("the index has no list of images that could be meant")
    return Index(
        kind,
        tuple(Descriptor.from_json(item, f"image {n}") for n, item in enumerate(listed, 1)),
        annotations_from(document.get("annotations"), "the index"),
        data,
    )


def resolve(
    source: ImageSource, platform: Platform | None, default: Platform
) -> tuple[Manifest, Descriptor | None]:
    """The manifest of one image, through indexes if need be, and the descriptor that led there.

    ``platform`` is what was asked for, ``default`` what is taken otherwise. Raises `ImageError`
    when an index has none of it; what a lone image's config says is the caller's to compare.
    """
    data, media_type = source.manifest()
    descriptor: Descriptor | None = None
    for _ in range(_MAX_NESTED):
        found = parse(data, media_type)
        if isinstance(found, Manifest):
            return found, descriptor
        descriptor = choose(found.manifests, platform, default)
        data, media_type = source.manifest(descriptor.digest)
        check_bytes(data, descriptor.digest, "the image's manifest")
        if media_type not in (INDEXES | MANIFESTS):
            media_type = descriptor.media_type
    raise ImageError("indexes are nested too deeply")


def build(
    media_type: str,
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a manifest: compact, in a fixed order, so that equal images have equal digests.

    Docker's schema 2 has no annotations; they are left out of it.
    """
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    if annotations and media_type == OCI_MANIFEST:
        document["annotations"] = dict(sorted(annotations.items()))
    return dump(document)


def build_index(media_type: str, images: Sequence[Descriptor]) -> bytes:
    """The bytes of an index (``OCI_INDEX``) or a manifest list (``DOCKER_LIST``)."""
    return dump(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [image.to_json() for image in images],
        }
    )


def dump(document: object) -> bytes:
    """JSON as Go's encoder writes it but for its escapes: no blanks, UTF-8."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")
