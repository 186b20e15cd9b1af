# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer: connections that are kept, TLS by host, bounded reading.

The requests library is told to leave the process's environment alone (``trust_env``): it would
send passwords of ``~/.netrc`` along redirects, and read proxies and CAs from variables that are an
argument here.
"""

from __future__ import annotations

import io
import ssl
import time
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from envgit.image.registry.errors import RegistryProtocolError
from envgit.image.registry.hosts import Hosts

FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ssl.SSLError,
    OSError,
)
"""What a connection that cannot be made or breaks raises, from the libraries' several layers."""

CONNECT_TIMEOUT = 20.0
READ_TIMEOUT = 60.0
"""Seconds in which something must arrive, or the connection counts as dead."""


class Connections(HTTPAdapter):
    """Pools of connections, each with the TLS context of its host."""

    def __init__(self, hosts: Hosts, *, most: int) -> None:
        self._hosts = hosts
        super().__init__(pool_connections=16, pool_maxsize=most, max_retries=0)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The pool's key: our context instead of the files of ``verify`` and ``cert``."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        if host["scheme"] != "https":
            return host, {}
        name = host["host"] if ":" not in host["host"] else f"[{host['host'].strip('[]')}]"
        if host.get("port"):
            name = f"{name}:{host['port']}"
        return host, {"ssl_context": self._hosts.context(name), "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection as its context has it: requests would add a bundle of its own."""


class _Session(requests.Session):
    """Without requests' redirects: it reads their bodies whole, even when it is not to follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nothing is one."""


def open_session(hosts: Hosts, *, most: int) -> requests.Session:
    """A session for at most ``most`` connections to a host that are kept."""
    session = _Session()
    session.trust_env = False
    adapter = Connections(hosts, most=most)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # Blobs are digested as they are: no compression on the way.
    session.headers.update({"User-Agent": "envgit", "Accept-Encoding": "identity"})
    return session


def read_bounded(
    response: requests.Response, most: int, what: str, *, seconds: float = 120.0
) -> bytes:
    """The whole body, of at most ``most`` bytes, within ``seconds``; the connection is free again.

    Raises `RegistryProtocolError` when it is longer, and any of `FAILURES`.
    """
    announced = response.headers.get("Content-Length", "")
    parts: list[bytes] = []
    size = 0
    until = time.monotonic() + seconds
    try:
        if announced.isascii() and announced.isdigit() and int(announced) > most:
            raise RegistryProtocolError(f"{what} has {announced} bytes; at most {most} are read")
        while data := response.raw.read1(1 << 16, decode_content=False):
            parts.append(data)
            size += len(data)
            if size > most:
                raise RegistryProtocolError(f"{what} has more than {most} bytes")
            if time.monotonic() > until:
                raise TimeoutError(f"{what} did not arrive within {seconds:.0f} seconds")
    except BaseException:
        response.close()
        raise
    if announced.isascii() and announced.isdigit() and int(announced) != size:
        response.close()
        raise ConnectionResetError(f"only {size} of {announced} bytes arrived")
    response.raw.release_conn()
    return b"".join(parts)


def settled(response: requests.Response, body: bytes) -> requests.Response:
    """The answer with its body at hand, for whoever expects requests' own interface."""
    response.raw = io.BytesIO(body)
    return response
