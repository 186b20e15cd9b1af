# SPDX-License-Identifier: Apache-2.0
"""The transport ``docker://``: one repository of a registry as a source and as a destination."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import IO, BinaryIO, Self, TypeVar, cast

from envgit.image import descriptors
from envgit.image.descriptors import BlobMismatch, Descriptor, ImageError, check_bytes, digest_of
from envgit.image.progress import Item, Progress
from envgit.image.references import ImageNameError, Reference, parse_reference
from envgit.image.registry import upload
from envgit.image.registry.access import Access
from envgit.image.registry.client import Client
from envgit.image.registry.download import BlobStream, save
from envgit.image.registry.errors import (
    NotInRegistry,
    RegistryError,
    RegistryProtocolError,
    RegistryUnreachable,
    printable,
)
from envgit.image.transport import MAX_MANIFEST, verified

_ACCEPTED = ", ".join(
    (
        descriptors.OCI_INDEX,
        descriptors.OCI_MANIFEST,
        descriptors.DOCKER_LIST,
        descriptors.DOCKER_MANIFEST,
        # Asked for so that the registry gives them and we can say that they are too old.
        *sorted(descriptors.DOCKER_SCHEMA1),
    )
)
_Result = TypeVar("_Result")
_MOST_MOUNTS = 4  # repositories that a blob is looked for in before it is uploaded


class RegistrySource:
    """An image, or an index of several, in a registry (`ImageSource`)."""

    def __init__(
        self, reference: Reference, access: Access, *, progress: Progress | None = None
    ) -> None:
        self.reference = reference
        self._progress = progress or Progress()
        self._clients = [
            Client(place, access, push=False) for place in (*_mirrors(reference, access), reference)
        ]

    def manifest(self, digest: str | None = None) -> tuple[bytes, str]:
        """The bytes and media type, from the first mirror that has it, else the registry.

        Raises `NotInRegistry`, `BlobMismatch` and other errors of `RegistryError`.
        """
        wanted = digest or self.reference.identifier
        return self._first(lambda client: _get_manifest(client, wanted))

    @contextmanager
    def blob(self, descriptor: Descriptor) -> Iterator[BinaryIO]:
        """As of `ImageSource`: resumed where it is cut, verified where it ends."""
        item = self._progress.start(descriptor.digest, descriptor.size)
        opened = self._first(lambda client: _open_blob(client, descriptor, item))
        with verified(cast(IO[bytes], opened), descriptor) as stream:
            yield stream
        item.finish(size=descriptor.size)

    def save(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Complete a file with a blob, whatever part of it is there already; then it is verified.

        See `download.save`. Raises `RegistryError`, `BlobMismatch`.
        """
        item = self._progress.start(descriptor.digest, descriptor.size)
        self._first(lambda client: save(client, descriptor, file, arrived=item.advance))
        item.finish(size=descriptor.size)

    def _first(self, ask: Callable[[Client], _Result]) -> _Result:
        """What the first of the mirrors that can, or the registry itself, answers."""
        for client in self._clients[:-1]:
            try:
                return ask(client)
            except (RegistryError, BlobMismatch):
                continue
        return ask(self._clients[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()


class RegistryDestination:
    """A repository that takes one image (`ImageDestination`).

    ``mounts``: names of other repositories in the same registry that may have its blobs.
    """

    manifest_types = (
        descriptors.OCI_MANIFEST,
        descriptors.DOCKER_MANIFEST,
        descriptors.OCI_INDEX,
        descriptors.DOCKER_LIST,
    )
    compressions = ("gzip", "zstd", "none")

    def __init__(
        self,
        reference: Reference,
        access: Access,
        *,
        progress: Progress | None = None,
        mounts: Sequence[Reference] = (),
    ) -> None:
        self.reference = reference
        self._client = Client(reference, access, push=True)
        self._progress = progress or Progress()
        self._mounts = [
            place.path
            for place in mounts
            if place.domain == reference.domain and place.path != reference.path
        ][:_MOST_MOUNTS]
        self._lock = threading.Lock()
        self._sessions: dict[str, str] = {}
        self._named: list[tuple[str, bytes, str]] = []

    def has_blob(self, digest: str) -> bool:
        """Whether it is in the repository, or could be mounted from one of ``mounts``."""
        if upload.is_there(self._client, digest):
            self._progress.start(digest, 0).finish("already there")
            return True
        for path in self._mounts:
            try:
                mounted, location = upload.mount(self._client, digest, path)
            except RegistryUnreachable:
                raise
            except RegistryError:
                continue  # no right to read there, or no such thing as mounts: then it is uploaded
            if mounted:
                self._progress.start(digest, 0).finish("mounted")
                return True
            # It has opened an upload instead, which `put_blob` goes on with.
            with self._lock:
                one = self._sessions.setdefault(digest, location)
            if location and one != location:
                upload.cancel(self._client, location)
        return False

    def put_blob(self, hint: Descriptor, stream: BinaryIO) -> Descriptor:
        """As of `ImageDestination`. Streams that cannot be sought in are copied to disk on the way
        (TMPDIR, else ``/var/tmp``), for registries that want a cut upload from the beginning.
        """
        item = self._progress.start(hint.digest or hint.media_type, hint.size)
        with self._lock:
            location = self._sessions.pop(hint.digest, "") if hint.digest else ""
        one = upload.Upload(self._client, hint, sent=item.advance, location=location)
        found = one.run(stream)
        item.finish(size=found.size)
        return found

    def put_manifest(self, data: bytes, media_type: str, reference: str | None = None) -> str:
        """A manifest under its digest is put at once, one under a name by `commit`."""
        if len(data) > MAX_MANIFEST:
            raise ImageError(f"a manifest of {len(data)} bytes is more than registries take")
        digest = digest_of(data)
        if reference is None:
            self._put_manifest(digest, data, media_type)
            return digest
        name = reference or self.reference.identifier
        if ":" in name:
            check_bytes(data, name, f"what is to be pushed as {name}")
            digest = name
        self._named.append((name, data, media_type))
        return digest

    def commit(self) -> None:
        """Give the manifests their names, in the order in which they were put."""
        while self._named:
            name, data, media_type = self._named[0]
            self._put_manifest(name, data, media_type)
            del self._named[0]

    def _put_manifest(self, name: str, data: bytes, media_type: str) -> None:
        doing = f"cannot push {self.reference.name}{'@' if ':' in name else ':'}{name}"
        answer = self._client.request(
            "PUT",
            self._client.url(f"manifests/{name}"),
            doing=doing,
            headers={"Content-Type": media_type},
            body=data,
        )
        self._client.check(answer, (201, 200, 202), doing)
        _check_said(answer.headers.get("Docker-Content-Digest"), data, doing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for location in self._sessions.values():
            upload.cancel(self._client, location)
        self._client.close()


def _open_blob(client: Client, descriptor: Descriptor, item: Item) -> BlobStream:
    stream = BlobStream(client, descriptor, arrived=item.advance)
    stream.open()
    return stream


def _get_manifest(client: Client, wanted: str) -> tuple[bytes, str]:
    """Raises `NotInRegistry`, `BlobMismatch`, `RegistryError`."""
    separator = "@" if ":" in wanted else ":"
    what = f"{client.reference.name}{separator}{wanted}"
    doing = f"cannot read {what}"
    answer = client.request(
        "GET", client.url(f"manifests/{wanted}"), doing=doing, headers={"Accept": _ACCEPTED}
    )
    client.check(answer, (200,), doing)
    data = answer.content
    if ":" in wanted:
        check_bytes(data, wanted, f"the manifest {what}")
    else:
        _check_said(answer.headers.get("Docker-Content-Digest"), data, doing)
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not media_type or media_type in ("text/html", "text/plain"):
        raise RegistryProtocolError(
            f"{doing}: {client.host} gives a {media_type or 'nameless'} document, not a manifest",
            hint="is it a registry? a proxy's page looks like this, too",
        )
    return data, media_type


def _check_said(stated: str | None, data: bytes, doing: str) -> None:
    """Compare with the digest that the registry stated, if it is of a kind that can be compared."""
    if not stated:
        return
    try:
        check_bytes(data, stated, "the manifest")
    except BlobMismatch:
        raise BlobMismatch(
            f"{doing}: what arrived is not what the registry says it is ({stated[:80]})"
        ) from None
    except ImageError:
        return


def _mirrors(reference: Reference, access: Access) -> Iterator[Reference]:
    for text in access.hosts.mirrors(reference.domain):
        host, _, prefix = (text.partition("://")[2] or text).rstrip("/").partition("/")
        path = f"{prefix}/{reference.path}" if prefix else reference.path
        place = parse_reference(f"{host}/{path}")
        if place.domain != host:
            raise ImageNameError(
                f"'{printable(text)}' is not the address of a mirror",
                hint=f"registry.{reference.domain}.mirror is HOST[:PORT][/PREFIX]",
            )
        yield Reference(host, path, reference.tag, reference.digest)


__all__ = ["NotInRegistry", "RegistryDestination", "RegistrySource"]
