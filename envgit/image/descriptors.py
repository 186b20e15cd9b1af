# SPDX-License-Identifier: Apache-2.0
"""What images are put together from: digests, media types, descriptors and platforms.

Sources: OCI image specification 1.1 (descriptor.md, media-types.md, image-index.md) and docker's
"Image Manifest Version 2, Schema 2". Values from outside are checked here, before they are used as
file names, sizes or headers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envgit.errors import EnvgitError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
_OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

DOCKER_SCHEMA1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

# Layer media type -> how it is compressed. Docker's has its suffix without the plus; both suffixes
# of either occur in the wild.
COMPRESSIONS: Mapping[str, str] = {
    base + suffix: compression
    for base in (OCI_LAYER, _OCI_FOREIGN, DOCKER_LAYER, _DOCKER_FOREIGN)
    for suffix, compression in (
        ("", "none"),
        ("+gzip", "gzip"),
        (".gzip", "gzip"),
        ("+zstd", "zstd"),
        (".zstd", "zstd"),
    )
}

_ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")
# RFC 6838, section 4.2, with both names at most 127 characters.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}")
_WORD = re.compile(r"[\w.+-]{1,64}")
MAX_SIZE = 1 << 50
"""No blob is larger: a petabyte is beyond every registry and every disk."""


class ImageError(EnvgitError):
    """An image that is damaged, or of a kind that envgit cannot use."""


class BlobMismatch(ImageError):
    """Bytes that are not what their digest or size says: damaged, cut short or forged."""


def check_digest(text: object) -> str:
    """``text`` if it is a digest of an algorithm known here, in canonical form."""
    matched = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    if matched is None or len(matched[2]) != _ALGORITHMS[matched[1]]:
        raise ImageError(f"not a digest known here: {str(text)[:80]!r}")
    return matched[0]


def hasher(digest: str) -> hashlib._Hash:
    """A fresh hash object of the algorithm that ``digest`` names."""
    return hashlib.new(digest.partition(":")[0])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def check_bytes(data: bytes, digest: str, what: str) -> bytes:
    """``data`` if it has that digest; raises `BlobMismatch`, naming ``what``."""
    found = digest_of(data, check_digest(digest).partition(":")[0])
    if found != digest:
        raise BlobMismatch(f"{what} is damaged: its digest is {found}, not {digest}")
    return data


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in Go's words: ``linux``/``arm64``/``v8``."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def from_json(cls, value: object) -> Platform | None:
        """The ``platform`` of a descriptor; None when there is none."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ImageError("a platform is not an object")
        words = [value.get(key) or "" for key in ("os", "architecture", "variant", "os.version")]
        features = value.get("os.features") or []
        if not all(isinstance(word, str) and len(word) <= 256 for word in words):
            raise ImageError("a platform has an impossible name")
        if not isinstance(features, list) or len(features) > 64:
            raise ImageError("a platform has impossible features")
        system, architecture, variant, version = words
        return cls(
            system, architecture, variant, version, tuple(str(item)[:256] for item in features)
        )

    def to_json(self) -> dict[str, Any]:
        """The object of an index, without what is not known."""
        found: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            found["os.version"] = self.os_version
        if self.os_features:
            found["os.features"] = list(self.os_features)
        if self.variant:
            found["variant"] = self.variant
        return found


def parse_platform(text: str) -> Platform:
    """``OS/ARCH[/VARIANT]`` as in docker's ``--platform``; a lone word is an architecture."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise ImageError(
            f"'{text}' is not a platform", hint="write, for instance, linux/amd64 or linux/arm64/v8"
        )
    if len(parts) == 1:
        parts.insert(0, "linux")
    return Platform(parts[0], parts[1], "/".join(parts[2:]))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a blob: ``size`` in bytes, ``digest`` as ``algorithm:hex``.

    As a hint to `ImageDestination.put_blob` the digest may be empty and the size -1: not known.
    """

    media_type: str
    digest: str = ""
    size: int = -1
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()
    platform: Platform | None = None
    artifact_type: str = ""

    @property
    def compression(self) -> str | None:
        """Of a layer: ``none``, ``gzip`` or ``zstd``; None for what is no layer's media type."""
        return COMPRESSIONS.get(self.media_type)

    @classmethod
    def from_json(cls, value: object, what: str) -> Descriptor:
        """Check and read a descriptor; ``what`` names it in errors. Raises `ImageError`."""
        if not isinstance(value, dict):
            raise ImageError(f"{what} is not described by an object")
        media_type, size = value.get("mediaType"), value.get("size")
        if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
            raise ImageError(f"{what} has no media type")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise ImageError(f"{what} has an impossible size: {str(size)[:40]}")
        urls = value.get("urls") or []
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise ImageError(f"{what} has impossible urls")
        artifact = value.get("artifactType") or ""
        return cls(
            media_type,
            check_digest(value.get("digest")),
            size,
            annotations_from(value.get("annotations"), what),
            tuple(urls),
            Platform.from_json(value.get("platform")),
            artifact if isinstance(artifact, str) else "",
        )

    def to_json(self) -> dict[str, Any]:
        """The object of a manifest or an index, in the order in which the specification has it."""
        found: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.urls:
            found["urls"] = list(self.urls)
        if self.annotations:
            found["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform is not None:
            found["platform"] = self.platform.to_json()
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        return found


def annotations_from(value: object, what: str) -> dict[str, str]:
    """A map of strings to strings, or nothing. Raises `ImageError`."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ImageError(f"{what} has impossible annotations")
    return dict(value)
