# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy on loopback that does to a registry's traffic what bad networks and servers do.

Each request is held against the faults in order; the first that fits and is not used up is done to
it. With ``remembers`` the proxy lets uploads go on after a cut, as other registries do and Debian's
docker-registry does not: it puts the upload's newest state into the client's older URLs.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}


@dataclass
class Fault:
    """What is done to the next ``times`` requests of ``method`` whose path fits ``path``.

    ``status`` answers for the registry, with ``headers`` and ``body``. ``cut`` closes the
    connection: before anything is sent on (0), or after that many bytes of the answer's body;
    ``cut_request`` after that many bytes of the request's; ``cut_answer`` when all was done but the
    answer. ``corrupt`` flips a bit of the answer's byte at that place. ``length`` is added to the
    Content-Length that is stated. ``ignore_range`` hides the request's Range from the registry.
    ``delay`` is in seconds, before each 64 kB of the answer.
    """

    method: str
    path: str
    times: int = 1
    skip: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    cut: int | None = None
    cut_request: int | None = None
    cut_answer: bool = False
    corrupt: int | None = None
    length: int = 0
    ignore_range: bool = False
    rewrite: Callable[[dict[str, str]], None] | None = None
    delay: float = 0.0

    def takes(self, method: str, path: str) -> bool:
        """Whether it is to be done to this request; counts it."""
        if self.method not in ("*", method) or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the proxy got it."""

    method: str
    path: str
    headers: dict[str, str]
    size: int


class Proxy:
    """A running proxy: ``host`` is what clients use instead of the registry's."""

    def __init__(self, upstream: str, faults: list[Fault], *, remembers: bool) -> None:
        self.upstream = upstream
        self.faults = faults
        self.remembers = remembers
        self.seen: list[Seen] = []
        self.newest: dict[str, str] = {}
        self.lock = threading.Lock()
        self.host = ""

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault for a request, used once more."""
        with self.lock:
            return next((one for one in self.faults if one.takes(method, path)), None)

    def asked(self, method: str, path: str = "") -> list[Seen]:
        """The requests of that kind that came."""
        return [one for one in self.seen if one.method == method and re.search(path, one.path)]

    def current(self, path: str) -> str:
        """The path with the newest state of its upload."""
        found = re.search(r"/blobs/uploads/([0-9a-f-]{36})", path)
        if not self.remembers or found is None or found[1] not in self.newest:
            return path
        digest = re.search(r"digest=[^&]*", path)
        newest = self.newest[found[1]]
        return f"{newest}&{digest[0]}" if digest else newest

    def remember(self, location: str) -> None:
        """Note an upload's newest state."""
        parts = urlsplit(location)
        found = re.search(r"/blobs/uploads/([0-9a-f-]{36})", parts.path)
        if found is not None:
            self.newest[found[1]] = f"{parts.path}?{parts.query}"


class _Cut(Exception):
    """The connection is closed now."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, format: str, *args: object) -> None:
        return

    def _serve(self) -> None:
        fault = self.proxy.fault(self.command, self.path)
        try:
            self._do(fault or Fault("", ""))
        except (_Cut, OSError, http.client.HTTPException):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _do(self, fault: Fault) -> None:
        if fault.cut_request is not None:
            self._partial(fault.cut_request)
        body = b"".join(self._body())
        self.proxy.seen.append(
            Seen(
                self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, len(body)
            )
        )
        if fault.cut == 0:
            raise _Cut
        if fault.status:
            self._answer(fault.status, {**fault.headers}, fault.body)
            return
        status, headers, data = self._forward(body, ignore_range=fault.ignore_range)
        if fault.cut_answer:
            raise _Cut
        if fault.rewrite is not None:
            fault.rewrite(headers)
        self._answer(status, headers, data, fault)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (data := self.rfile.read(min(left, 1 << 20))):
            left -= len(data)
            yield data

    def _partial(self, count: int) -> None:
        """Give the registry the first ``count`` bytes of the body, and the client nothing."""
        data = b""
        for part in self._body():
            data += part
            if len(data) >= count:
                break
        self.proxy.seen.append(
            Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, count)
        )
        if self.proxy.remembers:
            self._forward(data[:count])
        raise _Cut

    def _forward(
        self, body: bytes, *, ignore_range: bool = False
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        if ignore_range:
            headers.pop("Range", None)
        if self.command in ("PATCH", "PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        if self.proxy.remembers and "Content-Range" in headers and self.command == "PATCH":
            first = int(headers["Content-Range"].partition("-")[0])
            headers["Content-Range"] = f"{first}-{first + len(body) - 1}"
        connection.request(self.command, self.proxy.current(self.path), body or None, headers)
        answer = connection.getresponse()
        data = answer.read()
        found = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        if "Location" in found:
            self.proxy.remember(found["Location"])
        connection.close()
        return answer.status, found, data

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, fault: Fault | None = None
    ) -> None:
        fault = fault or Fault("", "")
        if fault.corrupt is not None:
            data = (
                bytes([*data[: fault.corrupt], data[fault.corrupt] ^ 1]) + data[fault.corrupt + 1 :]
            )
        self.send_response_only(status)
        stated = headers.pop("Content-Length", None)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            head = self.command == "HEAD"
            length = int(stated or 0) if head else len(data)
            self.send_header("Content-Length", str(length + fault.length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut is not None:
            self.wfile.write(data[: fault.cut])
            raise _Cut
        for start in range(0, len(data), 1 << 16):
            if fault.delay:
                time.sleep(fault.delay)
            self.wfile.write(data[start : start + (1 << 16)])
        if fault.length:
            raise _Cut


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        return


@contextmanager
def proxied(upstream: str, *faults: Fault, remembers: bool = False) -> Iterator[Proxy]:
    """A proxy before the registry ``upstream`` (``HOST:PORT``) with these faults."""
    proxy = Proxy(upstream, list(faults), remembers=remembers)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = _Server(("127.0.0.1", 0), handler)
    proxy.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
