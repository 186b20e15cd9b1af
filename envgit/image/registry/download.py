# SPDX-License-Identifier: Apache-2.0
"""A blob as a stream that survives cut connections: it goes on by Range where it was cut.

Requests and answers are those of RFC 9110, section 14. A server that knows no Range sends all
again, and what is already there is passed over. Nothing here digests: `VerifiedReader` is laid over
it, so that a server that sends something else the second time is found out.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import requests

from envgit.image.descriptors import BlobMismatch, Descriptor, ImageError
from envgit.image.registry.client import Client
from envgit.image.registry.errors import RegistryError, RegistryUnreachable, from_failure
from envgit.image.registry.retries import Transient
from envgit.image.registry.session import FAILURES
from envgit.image.transport import Counted

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_SLOW_BYTES = 64 << 10
_SLOW_SECONDS = 60.0
"""Less than that in that time counts as a connection that has died slowly."""


class BlobStream(io.RawIOBase):
    """The bytes of a blob from ``offset`` on; ``descriptor`` has to have its size.

    ``arrived`` is told how many bytes came with each read. Raises `RegistryError` when several
    attempts in a row brought nothing, and `BlobMismatch` when the server has another size.
    """

    def __init__(
        self,
        client: Client,
        descriptor: Descriptor,
        *,
        offset: int = 0,
        arrived: Callable[[int], None] | None = None,
    ) -> None:
        if descriptor.size < 0:
            raise ImageError(f"the size of {descriptor.digest} is not known")
        self._client = client
        self._descriptor = descriptor
        self._url = client.url(f"blobs/{descriptor.digest}")
        self._doing = f"cannot read {descriptor.digest[:19]} of {client.reference.name}"
        self._arrived = arrived
        self._response: requests.Response | None = None
        self._failures = 0
        self._watched = (time.monotonic(), offset)
        self.position = offset

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def open(self) -> None:
        """Find out now whether the blob can be read. Raises as `read`."""
        while self._response is None and self.position < self._descriptor.size:
            try:
                self._response = self._open()
            except Transient as failed:
                self._failures += failed.weight
                self._client.access.policy.wait(self._failures, failed)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, as many as are there; all that is left if that is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(1 << 18), b""))
        left = self._descriptor.size - self.position
        while size > 0 and left > 0:
            try:
                data = self._next(min(size, left))
            except Transient as failed:
                self._drop()
                self._failures += failed.weight
                self._client.access.policy.wait(self._failures, failed)
                continue
            self._failures = 0
            self.position += len(data)
            if self._arrived is not None:
                self._arrived(len(data))
            return data
        self._finish()
        return b""

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._drop()
        super().close()

    # -- beneath -------------------------------------------------------------------------------

    def _next(self, size: int) -> bytes:
        """The next bytes, at least one. Raises `Transient`."""
        if self._response is None:
            self._response = self._open()
        data = self._raw(self._response, size)
        if not data:
            raise self._broken(f"it ended after {self.position} of {self._descriptor.size} bytes")
        self._watch(len(data))
        return data

    def _raw(self, response: requests.Response, size: int) -> bytes:
        try:
            return response.raw.read1(size, decode_content=False) or b""
        except FAILURES as error:
            host = self._client.host
            raise Transient(from_failure(error, doing=self._doing, host=host)) from error

    def _broken(self, why: str) -> Transient:
        return Transient(RegistryUnreachable(f"{self._doing}: {why}", hint="try again"))

    def _open(self) -> requests.Response:
        """Ask for what is still wanted, and come to where it begins. Raises `Transient`."""
        headers = {"Range": f"bytes={self.position}-"} if self.position else {}
        response = self._client.once(
            "GET", self._url, doing=self._doing, headers=headers, stream=True
        )
        try:
            if response.status_code == 206 and self.position:
                self._check_range(response)
            elif response.status_code == 200:
                self._check_length(response)
                self._skip(response)
            elif response.status_code == 416:
                raise BlobMismatch(
                    f"{self._doing}: the registry has no more than {self.position} bytes of it"
                )
            else:
                raise self._client.failed(response, self._doing)
        except BaseException:
            response.close()
            raise
        self._watched = (time.monotonic(), self.position)
        return response

    def _check_range(self, response: requests.Response) -> None:
        matched = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if matched is None or int(matched[1]) != self.position:
            raise self._broken("another part than what was asked for came")
        if matched[3] not in ("*", str(self._descriptor.size)):
            raise self._wrong_size(matched[3])

    def _check_length(self, response: requests.Response) -> None:
        length = response.headers.get("Content-Length")
        if length is not None and length != str(self._descriptor.size):
            raise self._wrong_size(length)

    def _wrong_size(self, found: str) -> Transient:
        """Not believed at once: a proxy's error page comes with status 200, too."""
        return Transient(
            RegistryError(
                f"{self._doing}: {self._client.host} has {found[:20]} bytes of it, "
                f"not {self._descriptor.size}",
                hint="the image is damaged in the registry, or a proxy changes it",
            )
        )

    def _skip(self, response: requests.Response) -> None:
        """The server has begun anew: pass over what is there."""
        left = self.position
        while left:
            data = self._raw(response, min(left, 1 << 18))
            if not data:
                raise self._broken("it was cut short")
            left -= len(data)

    def _watch(self, count: int) -> None:
        began, position = self._watched
        now = time.monotonic()
        if now - began >= _SLOW_SECONDS:
            if self.position + count - position < _SLOW_BYTES:
                raise self._broken(f"nearly nothing came for {_SLOW_SECONDS:.0f} seconds")
            self._watched = (now, self.position + count)

    def _finish(self) -> None:
        """At the end: one more byte would be one too many; the connection can serve others."""
        response, self._response = self._response, None
        if response is None:
            return
        try:
            more = response.raw.read1(1, decode_content=False)
        except FAILURES:
            response.close()  # what was announced beyond the size has not come: no harm
            return
        if more:
            response.close()
            raise BlobMismatch(
                f"{self._doing}: it is longer than the {self._descriptor.size} bytes it should have"
            )
        response.raw.release_conn()

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


def save(
    client: Client,
    descriptor: Descriptor,
    file: BinaryIO,
    *,
    arrived: Callable[[int], None] | None = None,
) -> None:
    """Complete ``file`` (open for reading and writing) with the blob, whatever part of it is there.

    Of what an earlier attempt left, the longest beginning that can be right is kept; if the whole
    then has another digest, all is fetched once more. Raises as `BlobStream`, and `BlobMismatch`
    when that is wrong, too: the file is empty then. Syncing the file is the caller's.
    """
    have = min(file.seek(0, os.SEEK_END), descriptor.size)
    for offset in (have, 0) if have else (0,):
        file.seek(0)
        file.truncate(offset)
        counted = Counted(descriptor)
        while data := file.read(1 << 20):
            counted.update(data)
        if arrived is not None and offset:
            arrived(offset)
        try:
            with BlobStream(client, descriptor, offset=offset, arrived=arrived) as stream:
                while data := stream.read(1 << 20):
                    counted.update(data)
                    file.write(data)
            counted.finish()
            file.flush()
            return
        except BlobMismatch:
            if arrived is not None:
                arrived(-counted.size)
            file.seek(0)
            file.truncate(0)
            if not offset:
                raise
