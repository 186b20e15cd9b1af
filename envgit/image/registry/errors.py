# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a registry, in words that say what to do about it.

Codes are those of the OCI distribution specification 1.1, "Error Codes". What a registry says is
shown, but as one short line without control characters: it must not move a terminal's cursor.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator

from envgit.errors import EnvgitError
from envgit.image.descriptors import ImageError

# OpenSSL's reasons when what answers is no TLS at all, by its version and by the server.
_NO_TLS = frozenset(
    {
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
        "UNEXPECTED_EOF_WHILE_READING",
        "UNKNOWN_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)
_SAID = 300  # characters of a registry's words that are repeated


class RegistryError(EnvgitError):
    """A registry did not do what it was asked for."""


class RegistryUnreachable(RegistryError):
    """No answer: the name is not known, nobody listens, or the connection broke each time."""


class RegistryUntrusted(RegistryError):
    """TLS failed: the server is not, provably, the one that was named."""


class RegistryUnauthorized(RegistryError):
    """The registry wants credentials, or others than it was given."""


class RegistryDenied(RegistryError):
    """The registry knows who asks and refuses: rights, a quota, an immutable tag."""


class RegistryBusy(RegistryError):
    """The registry answered 429 or an error of its own, and still did after several attempts."""


class NotInRegistry(RegistryError, ImageError):
    """There is no such repository, image or blob, or it is not shown to the one who asks."""


class RegistryProtocolError(RegistryError):
    """The server's answers are not those of a registry."""


def printable(text: str, limit: int = _SAID) -> str:
    """One line without control characters, cut to ``limit``."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def said(body: bytes) -> tuple[str, str]:
    """From an answer's body: the code of its first error, and its words; empty if there are none.

    Understands the specification's ``{"errors": [...]}`` and the ``{"details"|"message": ...}`` of
    token servers; other bodies (pages of proxies) say nothing that helps.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    errors = found.get("errors")
    entry = errors[0] if isinstance(errors, list) and errors else found
    if not isinstance(entry, dict):
        return "", ""
    words = [entry.get(key) for key in ("message", "details", "error_description", "error")]
    code = entry.get("code")
    message = next((word for word in words if isinstance(word, str) and word), "")
    detail = entry.get("detail")
    if isinstance(detail, str) and detail and detail not in message:
        message = f"{message}: {detail}" if message else detail
    return (printable(code, 60) if isinstance(code, str) else ""), printable(message)


def from_answer(
    status: int, body: bytes, *, doing: str, host: str, problems: tuple[str, ...] = ()
) -> RegistryError:
    """The error for an answer that is none of the good ones.

    ``doing`` says what was asked ("cannot read docker.io/library/debian:12"); ``problems`` what
    went wrong while credentials were looked for.
    """
    code, words = said(body)
    tail = f": {words}" if words else f": {code}" if code else f": HTTP status {status}"
    if status == 401 or code == "UNAUTHORIZED":
        hint = (
            f"log in with 'skopeo login {host}' or 'docker login {host}'; "
            "what does not exist is often refused like this, too"
        )
        return RegistryUnauthorized(
            f"{doing}: {host} wants other credentials ({words or 'unauthorized'})",
            hint="; ".join(problems) if problems else hint,
        )
    if status == 429 or code == "TOOMANYREQUESTS":
        return RegistryBusy(f"{doing}{tail}", hint="wait a while, or log in: limits are then wider")
    if status in (403, 413, 507) or code == "DENIED":
        low = words.lower()
        hint = (
            "make room in the registry, or ask for a larger quota"
            if any(word in low for word in ("quota", "storage", "space", "exceed", "limit"))
            or status in (413, 507)
            else f"the account that is logged in at {host} lacks the right to do this"
        )
        return RegistryDenied(f"{doing}: refused by {host}{tail}", hint=hint)
    if status == 404:
        return NotInRegistry(
            f"{doing}: not found in {host}" + (f" ({words})" if words else ""),
            hint="check the name; private repositories are only shown to who is logged in",
        )
    if status >= 500:
        return RegistryBusy(f"{doing}{tail}", hint=f"{host} has trouble of its own; try later")
    if status in (405, 415) or code == "UNSUPPORTED":
        return RegistryProtocolError(f"{doing}: {host} does not support it{tail}")
    return RegistryError(f"{doing}{tail}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from: urllib3 and requests wrap in several ways."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        this = waiting.pop()
        if id(this) in seen:
            continue
        seen.add(id(this))
        yield this
        inner = (getattr(this, "reason", None), this.__cause__, this.__context__, *this.args)
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def certificate_error(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that no further attempt will mend, or None."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
    return None


def speaks_no_tls(error: BaseException) -> bool:
    """Whether the handshake failed as it does with a server that speaks plain http."""
    return any(
        isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS for cause in _causes(error)
    )


def refused(error: BaseException) -> bool:
    """Whether nobody listens there."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def unresolved(error: BaseException) -> bool:
    """Whether the name is not known."""
    return any(isinstance(cause, socket.gaierror) for cause in _causes(error))


def lasting(error: BaseException) -> bool:
    """Whether a host that has never answered will hardly do so a second later."""
    return refused(error) or unresolved(error) or _tls_error(error) is not None


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)


def silent(error: BaseException) -> bool:
    """Whether nothing came for so long that we gave up."""
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def from_failure(error: BaseException, *, doing: str, host: str, proxy: str = "") -> RegistryError:
    """The error for a request that got no answer."""
    by = f" through the proxy {proxy}" if proxy else ""
    bad = certificate_error(error)
    if bad is not None:
        why = getattr(bad, "verify_message", "") or str(bad)
        return RegistryUntrusted(
            f"{doing}: the certificate of {host} cannot be trusted: {printable(why)}",
            hint=f"put the CA's certificate into /etc/containers/certs.d/{host}/ca.crt, "
            f"or set registry.{host}.ca",
        )
    causes = list(_causes(error))
    tls = _tls_error(error)
    if tls is not None:
        return RegistryUntrusted(
            f"{doing}: no TLS with {host}{by}: {printable(tls.reason or str(tls))}",
            hint=f"if it speaks plain http, allow that: registry.{host}.plainHttp true"
            if speaks_no_tls(error)
            else "the server may want a client certificate: "
            f"registry.{host}.cert and registry.{host}.key",
        )
    if unresolved(error):
        return RegistryUnreachable(
            f"{doing}: could not resolve host{by}: {host}",
            hint="check the name and the network, and https_proxy if there is a proxy",
        )
    if refused(error):
        return RegistryUnreachable(
            f"{doing}: {host} refuses connections{by}", hint="is a registry running there?"
        )
    if silent(error):
        return RegistryUnreachable(
            f"{doing}: {host} does not answer{by}", hint="check the network, or try later"
        )
    last = next((c for c in causes if isinstance(c, OSError) and c.strerror), None)
    why = last.strerror if last is not None else str(causes[-1]) or type(error).__name__
    return RegistryUnreachable(
        f"{doing}: the connection to {host}{by} failed: {printable(str(why))}",
        hint="try again: what has arrived is not lost" if not proxy else "check the proxy",
    )
