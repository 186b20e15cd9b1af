# SPDX-License-Identifier: Apache-2.0
"""A token server on loopback for docker-registry: signs what it is asked for, and keeps count.

Tokens are those of the distribution project's spec/auth/jwt.md: signed by openssl(1), with the
certificate in ``x5c``, so that the registry needs to know the certificate alone.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_ASKED_AGAIN = 401


@dataclass
class TokenServer:
    """What it demands and what it saw. ``accounts``: name -> password; none lets everybody in."""

    certificate: Path
    key: Path
    realm: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    identity_tokens: set[str] = field(default_factory=set)
    seconds: int = 300
    says_lifetime: bool = True
    failures: list[int] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    """The scopes of each request that was granted."""

    def grant(self, scopes: list[str]) -> bytes:
        """The body of an answer with a token for these scopes."""
        self.asked.append(scopes)
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": "",
            "aud": "tests",
            "exp": now + self.seconds,
            "nbf": now - 60,
            "iat": now,
            "jti": str(len(self.asked)),
            "access": access,
        }
        found: dict[str, object] = {"token": self._signed(claims)}
        if self.says_lifetime:
            found["expires_in"] = self.seconds
        return json.dumps(found).encode()

    def _signed(self, claims: dict[str, object]) -> str:
        lines = self.certificate.read_text().split("-----")[2].split()
        head = {"typ": "JWT", "alg": "ES256", "x5c": ["".join(lines)]}
        text = f"{_url64(json.dumps(head).encode())}.{_url64(json.dumps(claims).encode())}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)],
            input=text.encode(),
            capture_output=True,
            check=True,
        ).stdout
        return f"{text}.{_url64(_raw(signature))}"


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw(der: bytes) -> bytes:
    """An ECDSA signature as JWS has it (RFC 7518, 3.4): two numbers of 32 bytes, not DER."""
    length = der[3]
    first, rest = der[4 : 4 + length], der[4 + length :]
    second = rest[2 : 2 + rest[1]]
    return b"".join(part.lstrip(b"\0").rjust(32, b"\0") for part in (first, second))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: TokenServer

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        account = self.headers.get("Authorization", "")
        state = self.server_state
        known = {
            "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
            for name, password in state.accounts.items()
        }
        self._answer(not known or account in known, query.get("scope", []))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = form["grant_type"] == ["refresh_token"]
        known = form["refresh_token"][0] in self.server_state.identity_tokens
        self._answer(good and known, form["scope"][0].split())

    def _answer(self, good: bool, scopes: list[str]) -> None:
        state = self.server_state
        if state.failures:
            status, body = state.failures.pop(0), b"{}"
        elif good:
            status, body = 200, state.grant(scopes)
        else:
            status, body = _ASKED_AGAIN, b'{"details": "incorrect username or password"}'
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def token_server(certificate: Path, key: Path) -> Iterator[TokenServer]:
    """A running token server at ``realm``; the key has to be an elliptic one (P-256)."""
    state = TokenServer(certificate, key)
    handler = type("Handler", (_Handler,), {"server_state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.realm = f"http://127.0.0.1:{server.server_address[1]}/token"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
