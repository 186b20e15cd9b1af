# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts in a folder: ``oci:DIR[:TAG]``. Source: image-spec 1.1, image-layout.md.

A layout holds many images. A new one is written beside what is there: blobs first, and the last
step replaces ``index.json`` by one rename under a lock, so that readers see the old images or the
old and the new one. Blobs that nothing names yet are not visible and are found again by the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

from envgit.fs import durable
from envgit.image.descriptors import (
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    check_bytes,
    check_digest,
    digest_of,
    hasher,
)
from envgit.image.manifest import dump, load_object
from envgit.image.staging import Staging, remove_if_empty
from envgit.image.transport import MAX_MANIFEST, verified

REF_NAME = "org.opencontainers.image.ref.name"
VERSION = {"imageLayoutVersion": "1.0.0"}
_MARK = "oci-layout"
_INDEX = "index.json"
_MAX_NAMED = 40


def blob_name(digest: str) -> str:
    """The path of a blob within a layout."""
    algorithm, _, hexadecimal = check_digest(digest).partition(":")
    return f"blobs/{algorithm}/{hexadecimal}"


def named(index: dict[str, Any], name: str, where: str) -> Descriptor:
    """The image of that name in an ``index.json``; with no name, the only one. Raises ImageError.

    ``name`` may also be ``@DIGEST``.
    """
    listed = index.get("manifests")
    if not isinstance(listed, list):
        raise ImageError(f"{where} has no list of images")
    images = [
        image
        for image in (Descriptor.from_json(item, "an image") for item in listed)
        if image.media_type in INDEXES | MANIFESTS
    ]
    names = [image.annotations.get(REF_NAME, "") for image in images]
    if name:
        for image, found in zip(images, names, strict=True):
            if name in (found, f"@{image.digest}"):
                return image
        raise ImageError(f"there is no image '{name}' in {where}", hint=_listed(names))
    if not images:
        raise ImageError(f"there is no image in {where}")
    if len(images) > 1:
        raise ImageError(f"there are {len(images)} images in {where}", hint=_listed(names))
    return images[0]


def _listed(names: list[str]) -> str | None:
    known = sorted({name for name in names if name})
    more = "" if len(known) <= _MAX_NAMED else f" and {len(known) - _MAX_NAMED} more"
    return f"name one: {', '.join(known[:_MAX_NAMED])}{more}" if known else None


def check_mark(data: bytes, where: str) -> None:
    """Look at ``oci-layout``: a layout of another version is not read."""
    version = load_object(data, "oci-layout", 4096).get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageError(f"{where} is a layout of version {str(version)[:20]}; envgit knows 1.0.0")


class LayoutSource:
    """The image ``name`` of the layout in ``folder`` (empty: its only one), for reading."""

    def __init__(self, folder: str, name: str = "") -> None:
        self._folder = folder
        mark = self._read(_MARK, 4096)
        check_mark(mark, f"'{folder}'")
        index = load_object(self._read(_INDEX, MAX_MANIFEST * 4), _INDEX, MAX_MANIFEST * 4)
        self._image = named(index, name, f"'{folder}'")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def manifest(self, digest: str | None = None) -> tuple[bytes, str]:
        """See `ImageSource.manifest`."""
        wanted = check_digest(digest or self._image.digest)
        data = check_bytes(self._read(blob_name(wanted), MAX_MANIFEST), wanted, "the manifest")
        return data, self._image.media_type if wanted == self._image.digest else ""

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """See `ImageSource.blob`."""
        return verified(self._open(blob_name(descriptor.digest)), descriptor)

    def _read(self, name: str, limit: int) -> bytes:
        with self._open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ImageError(f"'{self._folder}/{name}' is too large: more than {limit} bytes")
        return data

    def _open(self, name: str) -> BinaryIO:
        path = os.path.join(self._folder, name)
        try:
            return open(path, "rb")
        except FileNotFoundError as error:
            if name in (_MARK, _INDEX):
                text = f"'{self._folder}' is no OCI layout: it has no {name}"
            else:
                text = f"'{self._folder}' is not whole: {name} is missing"
            raise ImageError(text) from error
        except OSError as error:
            raise ImageError(f"cannot read '{path}': {error.strerror}") from error


class LayoutDestination:
    """Puts one image, under ``name`` unless that is empty, into the layout in ``folder``.

    The folder is made if it is not there. Other images stay; one of that name is replaced.
    """

    manifest_types = (OCI_MANIFEST, OCI_INDEX)
    compressions = ("gzip", "zstd", "none")

    def __init__(self, folder: str, name: str = "") -> None:
        self._folder = os.path.abspath(folder)
        self._name = name
        self._made: list[str] = []
        self._entry: Descriptor | None = None
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._check()
        self._make(self._folder)
        try:
            self._staging = Staging(self._folder)
        except BaseException:
            self._unmake()
            raise

    def _check(self) -> None:
        if not os.path.lexists(self._folder):
            return
        if not os.path.isdir(self._folder):
            raise ImageError(f"'{self._folder}' is not a folder")
        if os.path.exists(os.path.join(self._folder, _MARK)):
            with open(os.path.join(self._folder, _MARK), "rb") as file:
                check_mark(file.read(4096), f"'{self._folder}'")
        elif any(not name.startswith(".") for name in os.listdir(self._folder)):
            raise ImageError(f"'{self._folder}' is no OCI layout, and not empty")

    def _make(self, path: str) -> None:
        above = path
        missing = []
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        try:
            for each in reversed(missing):
                os.mkdir(each)
                self._made.append(each)
        except OSError as error:
            self._unmake()
            raise ImageError(f"cannot make '{path}': {error.strerror}") from error

    def _unmake(self) -> None:
        for each in reversed(self._made):
            remove_if_empty(each)
        self._made.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._staging.close()
        self._unmake()  # does nothing to what was committed: that is not empty

    def has_blob(self, digest: str) -> bool:
        """See `ImageDestination.has_blob`. What is there is read, lest a damaged blob be reused."""
        with self._lock:
            if digest in self._known or self._staging.holds(digest):
                return True
        try:
            with open(os.path.join(self._folder, blob_name(digest)), "rb") as file:
                hash_ = hasher(digest)
                while data := file.read(1 << 20):
                    hash_.update(data)
        except OSError:
            return False
        good: bool = hash_.hexdigest() == digest.partition(":")[2]
        if good:
            with self._lock:
                self._known.add(digest)
        return good

    def put_blob(self, hint: Descriptor, stream: BinaryIO) -> Descriptor:
        """See `ImageDestination.put_blob`."""
        return self._staging.put(hint, stream)

    def put_manifest(self, data: bytes, media_type: str, reference: str | None = None) -> str:
        """See `ImageDestination.put_manifest`."""
        if media_type == DOCKER_MANIFEST or media_type not in self.manifest_types:
            raise ImageError(f"an OCI layout cannot hold {media_type}")
        digest = digest_of(data)
        descriptor = Descriptor(media_type, digest, len(data))
        self._staging.put_bytes(descriptor, data)
        if reference is not None:
            name = reference or self._name
            annotations = {REF_NAME: name} if name else {}
            self._entry = Descriptor(media_type, digest, len(data), annotations)
        return digest

    def commit(self) -> None:
        """See `ImageDestination.commit`."""
        for digest, path in self._staging.blobs():
            target = os.path.join(self._folder, blob_name(digest))
            folder = os.path.dirname(target)
            self._make(folder)
            os.rename(path, target)
        durable.sync_filesystem(self._folder)
        with self._locked():
            index = self._index()
            if self._entry is not None:
                _replace(index, self._entry)
            mark = os.path.join(self._folder, _MARK)
            if not os.path.exists(mark):
                durable.write_file(mark, dump(VERSION))
            durable.write_file(os.path.join(self._folder, _INDEX), dump(index))
        self._made.clear()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other envgits from writing the index at once; others know no lock."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _index(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        with suppress(FileNotFoundError):
            with open(os.path.join(self._folder, _INDEX), "rb") as file:
                data = file.read(MAX_MANIFEST * 4 + 1)
            found = load_object(data, _INDEX, MAX_MANIFEST * 4)
            if not isinstance(found.get("manifests"), list):
                raise ImageError(f"'{self._folder}/{_INDEX}' has no list of images")
            return found
        return fresh


def _replace(index: dict[str, Any], entry: Descriptor) -> None:
    """Put an image into the list, in the place of the one of its name (or, unnamed, its digest)."""
    name = entry.annotations.get(REF_NAME)

    def is_old(item: Any) -> bool:
        annotations = item.get("annotations") if isinstance(item, dict) else None
        found = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
        if name is not None:
            return bool(found == name)
        return found is None and isinstance(item, dict) and item.get("digest") == entry.digest

    kept = [item for item in index["manifests"] if not is_old(item)]
    index["manifests"] = [*kept, json.loads(dump(entry.to_json()))]
