# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts in one tar archive: ``oci-archive:FILE[:TAG]``.

Such an archive is written anew, with one image; a file of that name is replaced.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from types import TracebackType
from typing import BinaryIO, Self

from envgit.image import archive
from envgit.image.archive import TarFiles
from envgit.image.descriptors import (
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    check_bytes,
    check_digest,
    digest_of,
)
from envgit.image.layout import REF_NAME, VERSION, blob_name, check_mark, named
from envgit.image.manifest import build_index, dump, load_object
from envgit.image.staging import Staging
from envgit.image.transport import MAX_MANIFEST, verified


class LayoutArchiveSource:
    """The image ``name`` (empty: the only one) of a layout in the archive ``path``."""

    def __init__(self, path: str, name: str = "") -> None:
        self._files = TarFiles(path)
        try:
            for needed in ("oci-layout", "index.json"):
                if needed not in self._files:
                    raise ImageError(f"'{path}' is no OCI archive: it has no {needed}")
            check_mark(self._files.read("oci-layout", 4096), f"'{path}'")
            limit = MAX_MANIFEST * 4
            index = load_object(self._files.read("index.json", limit), "index.json", limit)
            self._image = named(index, name, f"'{path}'")
        except BaseException:
            self._files.__exit__(None, None, None)
            raise

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
        wanted = check_digest(digest or self._image.digest)
        data = self._files.read(blob_name(wanted), MAX_MANIFEST)
        kind = self._image.media_type if wanted == self._image.digest else ""
        return check_bytes(data, wanted, "the manifest"), kind

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """See `ImageSource.blob`."""
        return verified(self._files.open(blob_name(descriptor.digest)), descriptor)


class ArchiveDestination:
    """What both kinds of archive share: blobs are staged beside the file, then written in one go.

    Subclasses say what the archive's members are.
    """

    manifest_types: tuple[str, ...] = (OCI_MANIFEST, OCI_INDEX)
    compressions: tuple[str, ...] = ("gzip", "zstd", "none")

    def __init__(self, path: str, name: str = "") -> None:
        self._path = os.path.abspath(path)
        self._name = name
        parent = os.path.dirname(self._path)
        if os.path.isdir(self._path):
            raise ImageError(f"'{path}' is a folder, not an archive")
        if os.path.lexists(self._path) and not os.path.isfile(self._path):
            import tempfile

            parent = tempfile.gettempdir()  # beside a device nothing should be put
        self._staging = Staging(parent)
        self._manifest: Descriptor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._staging.close()

    def has_blob(self, digest: str) -> bool:
        """See `ImageDestination.has_blob`."""
        return self._staging.holds(digest)

    def put_blob(self, hint: Descriptor, stream: BinaryIO) -> Descriptor:
        """See `ImageDestination.put_blob`."""
        return self._staging.put(hint, stream)

    def put_manifest(self, data: bytes, media_type: str, reference: str | None = None) -> str:
        """See `ImageDestination.put_manifest`."""
        if media_type not in self.manifest_types:
            raise ImageError(f"such an archive cannot hold {media_type}")
        descriptor = Descriptor(media_type, digest_of(data), len(data))
        self._staging.put_bytes(descriptor, data)
        if reference is not None:
            self._name = reference or self._name
            self._manifest = descriptor
        return descriptor.digest

    def commit(self) -> None:
        """See `ImageDestination.commit`."""
        assert self._manifest is not None
        archive.write(self._path, self._members(self._manifest))

    def _members(self, manifest: Descriptor) -> list[tuple[str, bytes | str]]:
        raise NotImplementedError

    def _layout_members(self, entry: Descriptor) -> list[tuple[str, bytes | str]]:
        """The members of an OCI layout whose one image is ``entry``."""
        blobs = sorted(self._staging.blobs())
        return [
            ("oci-layout", dump(VERSION)),
            ("index.json", build_index(OCI_INDEX, [entry])),
            *((blob_name(digest), path) for digest, path in blobs),
        ]


class LayoutArchiveDestination(ArchiveDestination):
    """Writes the archive ``path`` with one image, under ``name`` unless that is empty."""

    def _members(self, manifest: Descriptor) -> list[tuple[str, bytes | str]]:
        annotations = {REF_NAME: self._name} if self._name else {}
        return self._layout_members(
            Descriptor(manifest.media_type, manifest.digest, manifest.size, annotations)
        )
