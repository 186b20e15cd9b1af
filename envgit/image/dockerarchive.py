# SPDX-License-Identifier: Apache-2.0
"""What ``docker save`` writes and ``docker load`` reads: ``docker-archive:FILE[:REFERENCE]``.

Two generations exist, both with a ``manifest.json`` that names files of the archive. Up to docker
24: ``<id>.json`` and ``<id>/layer.tar``, symlinks for layers that occur twice. Since docker 25 the
archive is an OCI layout, too. The manifest that an image has here is made up of that. We write the
second form, with layers uncompressed, which every reader of the first form also takes.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from envgit.image.archive import TarFiles
from envgit.image.config import parse_config
from envgit.image.descriptors import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    check_bytes,
    digest_of,
)
from envgit.image.layout import REF_NAME, blob_name
from envgit.image.layoutarchive import ArchiveDestination
from envgit.image.manifest import MAX_IMAGES, MAX_LAYERS, Manifest, build, dump, parse
from envgit.image.references import ImageNameError, parse_reference
from envgit.image.transport import MAX_CONFIG, MAX_MANIFEST, VerifiedReader
from envgit.layers.untar import ArchiveError, decompressed

_LIST = "manifest.json"
_NAMED_BY_DIGEST = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")


class DockerArchiveSource:
    """The image ``name`` of the archive: a reference, ``@N`` counted from 0, or the only one."""

    def __init__(self, path: str, name: str = "") -> None:
        self._files = TarFiles(path)
        try:
            if _LIST not in self._files:
                raise ImageError(
                    f"'{path}' is no archive of docker save: it has no {_LIST}",
                    hint=(
                        f"read it as oci-archive:{path}"
                        if "oci-layout" in self._files
                        else f"for a root filesystem write tar:{path}"
                    ),
                )
            self._image = _chosen(_images(self._files), name, path)
            self._config = self._files.read(self._image["Config"], MAX_CONFIG)
            named = _NAMED_BY_DIGEST.fullmatch(self._image["Config"])
            if named is not None:
                check_bytes(self._config, f"sha256:{named[1]}", "the image's config")
            self._manifest = self._made_up()
        except BaseException:
            self._files.__exit__(None, None, None)
            raise

    def _made_up(self) -> bytes:
        """A manifest of docker's schema 2 whose layers are described by their diff ids."""
        config = parse_config(self._config)
        files = self._image["Layers"]
        if len(files) != len(config.diff_ids):
            raise ImageError(
                f"the archive has {len(files)} layers; the image's config says"
                f" {len(config.diff_ids)}"
            )
        self._names = dict(zip(config.diff_ids, files, strict=True))
        layers = [
            Descriptor(DOCKER_LAYER, diff_id, self._files.size(name))
            for diff_id, name in zip(config.diff_ids, files, strict=True)
        ]
        described = Descriptor(DOCKER_CONFIG, digest_of(self._config), len(self._config))
        return build(DOCKER_MANIFEST, described, layers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def manifest(self, digest: str | None = None) -> tuple[bytes, str]:
        """See `ImageSource.manifest`."""
        if digest is not None:
            check_bytes(self._manifest, digest, "the manifest")
        return self._manifest, DOCKER_MANIFEST

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[BinaryIO]:
        """See `ImageSource.blob`. A layer may be compressed in the archive; it never is here."""
        if descriptor.digest == digest_of(self._config):
            yield io.BytesIO(self._config)
            return
        name = self._names.get(descriptor.digest)
        if name is None:
            raise ImageError(f"there is no layer {descriptor.digest} in '{self._files.path}'")
        with self._files.open(name) as file:
            if self._files.size(name) == 0:
                raise ImageError(f"{name} in '{self._files.path}' is empty")
            try:
                # The size is that of the file in the archive, maybe compressed.
                plain = replace(descriptor, size=-1)
                reader = VerifiedReader(decompressed(file), plain)
                yield cast(BinaryIO, reader)
                reader.finish()
            except ArchiveError as error:
                raise ImageError(f"{name} in '{self._files.path}': {error.message}") from error


def _images(files: TarFiles) -> list[dict[str, Any]]:
    """The images that ``manifest.json`` lists, each with ``Config``, ``RepoTags``, ``Layers``."""
    try:
        listed = json.loads(files.read(_LIST, MAX_MANIFEST))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{_LIST} is not JSON: {str(error)[:200]}") from error
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_IMAGES:
        raise ImageError(f"{_LIST} lists no images")
    for image in listed:
        if not isinstance(image, dict) or not isinstance(image.get("Config"), str):
            raise ImageError(f"{_LIST} lists an image without a config")
        layers = image.get("Layers") or []
        if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
            raise ImageError(f"{_LIST} has an image with impossible layers")
        if not all(isinstance(name, str) for name in layers):
            raise ImageError(f"{_LIST} has an image with impossible layers")
        tags = image.get("RepoTags") or []
        image["Layers"] = layers
        image["RepoTags"] = [tag for tag in tags if isinstance(tag, str)]
    return listed


def _chosen(images: list[dict[str, Any]], name: str, path: str) -> dict[str, Any]:
    tags = [tag for image in images for tag in image["RepoTags"]]
    hint = f"name one: {', '.join(tags[:20])}" if tags else "name one by its number: @0, @1, ..."
    if not name:
        if len(images) > 1:
            raise ImageError(f"there are {len(images)} images in '{path}'", hint=hint)
        return images[0]
    if name.startswith("@") and name[1:].isdecimal() and len(name) < 6:
        if int(name[1:]) < len(images):
            return images[int(name[1:])]
        raise ImageError(f"there is no image {name} in '{path}'", hint=hint)
    for image in images:
        if any(_same(name, tag) for tag in image["RepoTags"]):
            return image
    raise ImageError(f"there is no image '{name}' in '{path}'", hint=hint)


def _same(name: str, tag: str) -> bool:
    try:
        wanted, found = parse_reference(name), parse_reference(tag)
    except ImageNameError:
        return name == tag
    return wanted.with_default_tag() == found.with_default_tag()


class DockerArchiveDestination(ArchiveDestination):
    """Writes the archive ``path`` with one image, which ``docker load`` calls ``name``."""

    # Docker's or OCI's: the archive is a layout, too, and a layout's manifest is OCI's.
    manifest_types = (OCI_MANIFEST,)
    compressions = ("none",)

    def __init__(self, path: str, name: str = "") -> None:
        self._reference = parse_reference(name).with_default_tag() if name else None
        if self._reference is not None and self._reference.digest:
            raise ImageError("an image in an archive has a name and a tag, no digest")
        super().__init__(path, name)

    def _members(self, manifest: Descriptor) -> list[tuple[str, bytes | str]]:
        with open(self._staging.file(manifest.digest), "rb") as file:
            image = parse(file.read(), manifest.media_type)
        assert isinstance(image, Manifest)
        annotations = {}
        tags = []
        if self._reference is not None:
            familiar = f"{self._reference.familiar_name}:{self._reference.tag}"
            tags = [familiar]
            annotations = {
                "io.containerd.image.name": str(self._reference),
                REF_NAME: self._reference.tag or "",
            }
        listed = [
            {
                "Config": blob_name(image.config.digest),
                "RepoTags": tags or None,
                "Layers": [blob_name(layer.digest) for layer in image.layers],
            }
        ]
        entry = Descriptor(manifest.media_type, manifest.digest, manifest.size, annotations)
        return [(_LIST, dump(listed)), *self._layout_members(entry)]
