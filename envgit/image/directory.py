# SPDX-License-Identifier: Apache-2.0
"""One image in a plain folder, as ``skopeo copy ... dir:DIR`` has it: ``dir:DIR``.

The form is containers/image's (docs/containers-transports.5, ``dir:``): ``version``,
``manifest.json``, ``<hex>.manifest.json`` for the images of an index, and each blob in a file named
by the hexadecimal digits of its digest; since version 1.2 with ``ALGORITHM-`` before those of other
algorithms than sha256.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from types import TracebackType
from typing import BinaryIO, Self

from envgit.fs import durable
from envgit.fs.syscalls import exchange
from envgit.image.descriptors import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    check_bytes,
    check_digest,
    digest_of,
)
from envgit.image.staging import Staging
from envgit.image.transport import MAX_MANIFEST, verified

_VERSION = b"Directory Transport Version: 1.1\n"
_KNOWN = b"Directory Transport Version: 1."


def _name(digest: str) -> str:
    algorithm, _, hexadecimal = check_digest(digest).partition(":")
    return hexadecimal if algorithm == "sha256" else f"{algorithm}-{hexadecimal}"


class DirectorySource:
    """The image in ``folder``, for reading."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        if not os.path.isdir(folder):
            raise ImageError(f"'{folder}' is not a folder")
        version = os.path.join(folder, "version")
        if os.path.exists(version):  # images of long ago have none
            with open(version, "rb") as file:
                text = file.read(100)
            if not text.startswith(_KNOWN):
                raise ImageError(f"'{folder}' has an image in a form that is not known here")

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
        name = "manifest.json" if digest is None else f"{_name(digest)}.manifest.json"
        with self._open(name) as file:
            data = file.read(MAX_MANIFEST + 1)
        if len(data) > MAX_MANIFEST:
            raise ImageError(f"'{self._folder}/{name}' is too large")
        return (data if digest is None else check_bytes(data, digest, "the manifest")), ""

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """See `ImageSource.blob`."""
        return verified(self._open(_name(descriptor.digest)), descriptor)

    def _open(self, name: str) -> BinaryIO:
        try:
            return open(os.path.join(self._folder, name), "rb")
        except FileNotFoundError as error:
            raise ImageError(
                f"'{self._folder}' holds no image: {name} is missing"
                if name == "manifest.json"
                else f"'{self._folder}' is not whole: {name} is missing"
            ) from error
        except OSError as error:
            raise ImageError(f"cannot read '{self._folder}/{name}': {error.strerror}") from error


class DirectoryDestination:
    """Puts an image into ``folder``: missing, empty, or with an image, which is replaced."""

    manifest_types = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST)
    compressions = ("gzip", "zstd", "none")

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)
        self._replaces = os.path.lexists(self._folder)
        if self._replaces:
            self._check()
        self._staging = Staging(os.path.dirname(self._folder))
        self._manifests: dict[str, bytes] = {}

    def _check(self) -> None:
        if not os.path.isdir(self._folder) or os.path.islink(self._folder):
            raise ImageError(f"'{self._folder}' is not a folder")
        names = os.listdir(self._folder)
        if names and not {"version", "manifest.json"} <= set(names):
            raise ImageError(f"'{self._folder}' holds something else than an image")

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
        digest = digest_of(data)
        name = "manifest.json" if reference is not None else f"{_name(digest)}.manifest.json"
        self._manifests[name] = data
        return digest

    def commit(self) -> None:
        """See `ImageDestination.commit`. The finished folder takes its place at once."""
        made = os.path.join(self._staging.path, "image")
        try:
            os.mkdir(made, 0o755)
            os.chmod(made, 0o755)
            for digest, path in self._staging.blobs():
                os.rename(path, os.path.join(made, _name(digest)))
            for name, data in {**self._manifests, "version": _VERSION}.items():
                with open(os.path.join(made, name), "xb") as file:
                    file.write(data)
            durable.sync_filesystem(made)
            if self._replaces:
                self._check()
                exchange(made, self._folder)  # the old one goes with the staging folder
            else:
                os.rename(made, self._folder)
            durable.sync_directory(os.path.dirname(self._folder))
        except OSError as error:
            raise ImageError(f"cannot write '{self._folder}': {error.strerror}") from error
