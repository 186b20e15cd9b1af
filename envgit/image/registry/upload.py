# SPDX-License-Identifier: Apache-2.0
"""A blob's way into a registry: in one piece if it is small, else streamed, and resumed after cuts.

OCI distribution 1.1, "Pushing blobs". What is streamed goes as one PATCH without a Content-Range,
which is how docker and skopeo push and so what every registry knows well; some take parts of at
most 4 MiB (ghcr.io), others report ranges that are not true (ECR). Only after a cut, what the
registry says it lacks goes in parts with a Content-Range; and if it does not accept those (docker's
own registry forgets an upload that was cut within a part), everything is sent once more.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO
from urllib.parse import urlencode, urlsplit

import requests

from envgit.image.descriptors import Descriptor
from envgit.image.registry.client import Client
from envgit.image.registry.errors import NotInRegistry, RegistryError
from envgit.image.registry.retries import Transient
from envgit.image.transport import Counted

SMALL = 4 << 20
"""Blobs up to this size are held in memory and sent by one POST and one PUT."""

_BLOCK = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?(\d{1,19})-(\d{1,19})")
_OCTETS = {"Content-Type": "application/octet-stream"}
# Statuses of the registry's that mean: this upload is not what you think it is.
_LOST = frozenset({400, 404, 405, 409, 416})

Sent = Callable[[int], None]
"""Told how many more bytes went out; negative when some have to go again."""


class SourceFailed(Exception):
    """What was to be uploaded could not be read; the reason is the cause."""


class Replay:
    """A stream that can be gone back in: by seeking, or by a copy on disk while it is first read.

    Digests what passes the first time. ``scratch`` is a directory for that copy.
    """

    def __init__(self, stream: BinaryIO, hint: Descriptor, head: bytes, scratch: str) -> None:
        self._stream = stream
        self._counted = Counted(hint)
        self._base = stream.tell() - len(head) if stream.seekable() else None
        self._copy = _scratch_file(scratch) if self._base is None else None
        self._head = head
        self._high = 0
        self._ended = False
        self.descriptor: Descriptor | None = None
        self.position = 0

    def close(self) -> None:
        """Drop the copy."""
        if self._copy is not None:
            self._copy.close()

    def go_to(self, offset: int) -> None:
        """Have the next read begin at ``offset``, at most what was read so far."""
        if self._copy is not None:
            self._copy.seek(offset)
        elif self._base is not None and offset != self.position:
            self._stream.seek(self._base + offset)
            self._head = b""
        self.position = offset

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end, when the blob is known to be right.

        Raises `SourceFailed`, and `BlobMismatch` for what the hint did not promise.
        """
        try:
            data = self._read(size)
        except OSError as error:
            raise SourceFailed from error
        fresh = self.position + len(data) - self._high
        if fresh > 0:
            self._counted.update(data[-fresh:])
            self._high += fresh
        elif not data and self.position == self._high and self.descriptor is None:
            self.descriptor = self._counted.finish()
        self.position += len(data)
        return data

    def _read(self, size: int) -> bytes:
        if self._copy is not None and self.position < self._high:
            return self._copy.read(min(size, self._high - self.position))
        data, self._head = self._head[:size], self._head[size:]
        data = data or self._stream.read(size)
        if self._copy is not None:
            self._copy.write(data)
        return data

    def part(self, size: int) -> bytes:
        """As `read`, but short only at the end."""
        parts = []
        while size > 0 and (data := self.read(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


def _scratch_file(directory: str) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=directory)  # closed by `Replay.close`


class Upload:
    """One blob on its way. ``location`` is an upload session that is open already."""

    def __init__(
        self, client: Client, hint: Descriptor, *, sent: Sent | None = None, location: str = ""
    ) -> None:
        self._client = client
        self._hint = hint
        self._tell = sent
        self._told = 0
        self._location = location
        self._least = 0
        named = f" {hint.digest[:19]}" if hint.digest else ""
        self._doing = f"cannot upload the blob{named} to {client.reference.name}"

    def run(self, stream: BinaryIO) -> Descriptor:
        """Upload ``stream`` to its end. Raises `RegistryError`, `BlobMismatch`.

        An upload that fails is cancelled at the registry, as far as that can be reached.
        """
        head = b"".join(iter(_limited(stream, SMALL + 1), b""))
        try:
            if len(head) <= SMALL:
                counted = Counted(self._hint)
                counted.update(head)
                return self._put_small(head, counted.finish())
            scratch = self._client.access.environ.get("TMPDIR") or "/var/tmp"
            source = Replay(stream, self._hint, head, scratch)
            del head
            try:
                return self._stream(source)
            finally:
                source.close()
        except SourceFailed as failed:
            self._cancel()
            assert failed.__cause__ is not None
            raise failed.__cause__ from None
        except BaseException:
            self._cancel()
            raise

    # -- small ---------------------------------------------------------------------------------

    def _put_small(self, data: bytes, found: Descriptor) -> Descriptor:
        failures = 0
        while True:
            try:
                self._put(found.digest, data)
                self._report(len(data))
                return found
            except Transient as failed:
                failures += failed.weight
                self._location = ""
                self._client.access.policy.wait(failures, failed)

    # -- large ---------------------------------------------------------------------------------

    def _stream(self, source: Replay) -> Descriptor:
        failures = reached = 0
        resumed = False
        while True:
            try:
                if not self._location:
                    self._open()
                    source.go_to(0)
                    self._report(0)
                    resumed = False
                if resumed:
                    self._send_parts(source)
                elif source.descriptor is None or source.position != source.descriptor.size:
                    self._send_all(source)
                assert source.descriptor is not None
                self._put(source.descriptor.digest)
                return source.descriptor
            except Transient as failed:
                failures = failed.weight + (0 if self._told > reached else failures)
                reached = max(reached, self._told)
                self._client.access.policy.wait(failures, failed)
                resumed = self._find_out(source)

    def _send_all(self, source: Replay) -> None:
        start = source.position

        def body() -> Iterator[bytes]:
            source.go_to(start)  # it may be the second time, with another token
            while data := source.read(_BLOCK):
                yield data
                self._report(source.position)

        answer = self._patch(body, dict(_OCTETS))
        self._moved(answer)

    def _send_parts(self, source: Replay) -> None:
        size = max(self._client.access.hosts.chunk(self._client.host), self._least)
        while data := source.part(size):
            first = source.position - len(data)
            headers = {**_OCTETS, "Content-Range": f"{first}-{source.position - 1}"}
            self._moved(self._patch(data, headers))
            self._report(source.position)

    def _patch(
        self, body: bytes | Callable[[], Iterator[bytes]], headers: dict[str, str]
    ) -> requests.Response:
        answer = self._client.once(
            "PATCH", self._location, doing=self._doing, headers=headers, body=body
        )
        self._lost(answer)
        # Its Range is not looked at: ECR's stays behind. The digest in the end tells the truth.
        return self._client.check(answer, (201, 202, 204), self._doing)

    def _find_out(self, source: Replay) -> bool:
        """Go to where the registry's part ends; False when the upload has to begin anew."""
        try:
            answer = self._client.request("GET", self._location, doing=self._doing)
        except RegistryError:
            self._location = ""
            return False
        matched = _RANGE.fullmatch(answer.headers.get("Range", ""))
        if answer.status_code not in (202, 204) or matched is None or int(matched[1]) != 0:
            self._location = ""
            return False
        # "0-0" is what registries say of nothing, and of one byte: then nothing is sure.
        offset = int(matched[2]) + 1 if matched[2] != "0" else 0
        if offset == 0 or offset > source.position:
            self._cancel()
            return False
        if "Location" in answer.headers:
            self._moved(answer)
        source.go_to(offset)
        self._report(offset)
        return True

    # -- requests ------------------------------------------------------------------------------

    def _open(self) -> None:
        answer = self._client.request(
            "POST", self._client.url("blobs/uploads/"), doing=self._doing, body=b""
        )
        self._client.check(answer, (202,), self._doing)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self._least = min(int(least), 64 << 20) if least.isascii() and least.isdigit() else 0
        self._moved(answer)

    def _moved(self, answer: requests.Response) -> None:
        if "Location" in answer.headers:
            self._location = self._client.location(answer)

    def _put(self, digest: str, data: bytes = b"") -> None:
        """Close the upload. Raises `Transient`."""
        if not self._location:
            self._open()
        joint = "&" if urlsplit(self._location).query else "?"
        url = f"{self._location}{joint}{urlencode({'digest': digest})}"
        try:
            answer = self._client.once("PUT", url, doing=self._doing, headers=_OCTETS, body=data)
        except Transient:
            if is_there(self._client, digest):  # only the answer was lost
                self._location = ""
                return
            raise
        self._lost(answer)
        self._client.check(answer, (201, 202, 204), self._doing)
        self._location = ""

    def _lost(self, answer: requests.Response) -> None:
        """Raises `Transient`, with no session left, when the registry has lost the upload."""
        if answer.status_code in _LOST:
            self._location = ""
            error = self._client.failed(answer, self._doing)
            if isinstance(error, NotInRegistry):
                error = RegistryError(f"{self._doing}: the registry has lost the upload")
            raise Transient(error)

    def _cancel(self) -> None:
        """Free what the registry holds of an upload; nothing is lost if that fails."""
        location, self._location = self._location, ""
        if location:
            cancel(self._client, location)

    def _report(self, position: int) -> None:
        if self._tell is not None and position != self._told:
            self._tell(position - self._told)
        self._told = position


def is_there(client: Client, digest: str) -> bool:
    """Whether the repository has the blob. Raises `RegistryError`."""
    answer = client.request(
        "HEAD", client.url(f"blobs/{digest}"), doing=f"cannot look into {client.reference.name}"
    )
    if answer.status_code == 404:
        return False
    client.check(answer, (200,), f"cannot look into {client.reference.name}")
    return True


def mount(client: Client, digest: str, path: str) -> tuple[bool, str]:
    """Have the registry take a blob over from its repository ``path``: whether it did.

    If not, the second value is the upload session that it opened instead, or empty. Raises
    `RegistryError`.
    """
    query = urlencode({"mount": digest, "from": path})
    doing = f"cannot mount {digest[:19]} from {path}"
    answer = client.request(
        "POST",
        client.url(f"blobs/uploads/?{query}"),
        doing=doing,
        body=b"",
        scopes=(f"repository:{path}:pull",),
    )
    if answer.status_code == 201:
        return True, ""
    return False, client.location(answer) if answer.status_code == 202 else ""


def cancel(client: Client, location: str) -> None:
    """Free what the registry holds of an upload; nothing is lost if that fails."""
    try:
        client.once("DELETE", location, doing="cannot cancel an upload")
    except (Transient, RegistryError):
        return


def _limited(stream: BinaryIO, most: int) -> Callable[[], bytes]:
    left = most

    def read() -> bytes:
        nonlocal left
        data = stream.read(min(left, _BLOCK)) if left else b""
        left -= len(data)
        return data

    return read
