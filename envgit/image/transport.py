# SPDX-License-Identifier: Apache-2.0
"""What every place that holds images can do, be it a registry, a folder or an archive.

A source is opened for one reference, a destination for one. Both are context managers; leaving a
destination without `ImageDestination.commit` leaves nothing behind. Blobs are streams: no blob is
ever held in memory, and none counts before its digest and size were checked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import IO, Any, BinaryIO, Protocol, Self, cast

from envgit.image.descriptors import BlobMismatch, Descriptor, hasher

MAX_MANIFEST = 4 << 20
"""Bytes that a manifest or an index may have: what registries must take at least (OCI
distribution 1.1, "Pushing Manifests") and most take at most."""
MAX_CONFIG = 16 << 20
"""Bytes that an image's config may have; it is read into memory. Real ones have 2 to 50 kB."""

_CHUNK = 1 << 18


class ImageSource(Protocol):
    """An image, or an index of several, opened for reading."""

    def manifest(self, digest: str | None = None) -> tuple[bytes, str]:
        """The raw bytes and the media type of what the reference names, or of ``digest``.

        The bytes are checked against the digest. Raises `ImageError` when there is no such one.
        """

    def blob(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """A blob's bytes as a stream, verified while it is read.

        A wrong digest or size raises `BlobMismatch` before the end of file is reported. Leaving
        the context without an error reads and verifies what was left: afterwards it was all right.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ImageDestination(Protocol):
    """A place that takes one image."""

    @property
    def manifest_types(self) -> tuple[str, ...]:
        """Media types of manifests that can be put here, the best first."""

    @property
    def compressions(self) -> tuple[str, ...]:
        """Of ``gzip``, ``zstd`` and ``none`` those that layers can have here, the best first."""

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is there, so that it need not be put.

        A registry may make it so: by mounting it from another repository.
        """

    def put_blob(self, hint: Descriptor, stream: BinaryIO) -> Descriptor:
        """Take a blob to its end and return ``hint`` with the digest and size it has.

        A digest or size that ``hint`` states is checked: `BlobMismatch`, and nothing is kept.
        May be called by several threads at once.
        """

    def put_manifest(self, data: bytes, media_type: str, reference: str | None = None) -> str:
        """Take a manifest, under the name ``reference`` (None: only by its digest); its digest.

        For the destination's own name give ``reference`` the empty text.
        """

    def commit(self) -> None:
        """Make everything visible, at once and durably."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class VerifiedReader(io.RawIOBase):
    """Reads a blob and raises `BlobMismatch`, never reports its end, if it is not the right one.

    ``descriptor``: a digest is required; a size of -1 is not checked.
    """

    def __init__(self, stream: IO[bytes], descriptor: Descriptor) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._hash = hasher(descriptor.digest)
        self._ended = False
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; all that is left if that is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if size == 0 or self._ended:
            return b""
        data = self._stream.read(size)
        if not data:
            self._check()
            self._ended = True
            return b""
        self.position += len(data)
        if 0 <= self._descriptor.size < self.position:
            raise BlobMismatch(
                f"blob {self._descriptor.digest} is longer than the {self._descriptor.size} bytes"
                " it should have"
            )
        self._hash.update(data)
        return data

    def finish(self) -> None:
        """Read what is left, so that all of it is checked."""
        while self.read(_CHUNK):
            pass

    def _check(self) -> None:
        wanted = self._descriptor
        if wanted.size >= 0 and self.position != wanted.size:
            raise BlobMismatch(
                f"blob {wanted.digest} is cut short: {self.position} of {wanted.size} bytes"
            )
        found = f"{wanted.digest.partition(':')[0]}:{self._hash.hexdigest()}"
        if found != wanted.digest:
            raise BlobMismatch(f"blob {wanted.digest} is damaged: its digest is {found}")


@contextmanager
def verified(stream: IO[bytes], descriptor: Descriptor) -> Iterator[BinaryIO]:
    """``stream`` (closed in the end) as `ImageSource.blob` gives it."""
    with stream:
        reader = VerifiedReader(stream, descriptor)
        yield cast(BinaryIO, reader)
        reader.finish()


class Counted:
    """Counts and digests what passes, for `ImageDestination.put_blob`."""

    def __init__(self, hint: Descriptor) -> None:
        self._hint = hint
        self._hash = hasher(hint.digest or "sha256")
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes. Raises `BlobMismatch` as soon as they are too many."""
        self.size += len(data)
        self._hash.update(data)
        if 0 <= self._hint.size < self.size:
            raise BlobMismatch(f"a blob is longer than the {self._hint.size} bytes it should have")

    def finish(self) -> Descriptor:
        """The blob's descriptor. Raises `BlobMismatch` when it is not what the hint said."""
        algorithm = self._hint.digest.partition(":")[0] or "sha256"
        digest = f"{algorithm}:{self._hash.hexdigest()}"
        if self._hint.size not in (-1, self.size):
            raise BlobMismatch(f"a blob is cut short: {self.size} of {self._hint.size} bytes")
        if self._hint.digest not in ("", digest):
            raise BlobMismatch(f"blob {self._hint.digest} is damaged: its digest is {digest}")
        return replace(self._hint, digest=digest, size=self.size)
