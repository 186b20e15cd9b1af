# SPDX-License-Identifier: Apache-2.0
"""How each host is reached: addresses, plain http or TLS, whose certificates count, proxies.

Certificates: settings ``registry.<host>.*``, else the first directory of containers-certs.d(5) and
docker's that there is for the host: ``*.crt`` are CAs, ``NAME.cert`` with ``NAME.key`` the client's
own. The system's CAs count besides (OpenSSL's store, SSL_CERT_FILE and SSL_CERT_DIR), not the
bundle that comes with the requests library: a company's own CA is in the former.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from envgit.image.references import DEFAULT_DOMAIN
from envgit.image.registry.errors import RegistryError
from envgit.image.registry.proxies import is_loopback, proxy_for
from envgit.settings import Settings

# docker.io is a name; its API is served here.
_HUB_ENDPOINT = "registry-1.docker.io"


class CertificateError(RegistryError):
    """A certificate or a key on this machine that cannot be used."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files: CAs that count besides the system's, and the client's own certificate and key."""

    authorities: tuple[str, ...] = ()
    client: tuple[str, str] | None = None


def endpoint(domain: str) -> str:
    """Host and port that serve the registry ``domain``."""
    return _HUB_ENDPOINT if domain == DEFAULT_DOMAIN else domain


class Hosts:
    """What is known of hosts; TLS contexts are made once. May be used by several threads."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, root: str = "/") -> None:
        self._settings = settings
        self.environ = environ
        self._root = root
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    # -- plain http ----------------------------------------------------------------------------

    def plain(self, host: str) -> bool | None:
        """Whether ``host[:port]`` is spoken to in plain http; None: it may be, if TLS is not there.

        Only loopback may, unless the settings list the host. Raises `SettingsError`.
        """
        name = f"registry.{host}.plainHttp"
        if self._settings.entry(name) is not None:
            return self._settings.get_bool(name)
        return None if is_loopback(urlsplit(f"//{host}").hostname or "") else False

    def may_fetch(self, url: str, *, plain: bool) -> bool:
        """Whether a server may send us to ``url``: https, or http to a host that is listed for it.

        One that is itself spoken to in ``plain`` http may send us to loopback, too: others have no
        business with this machine's services.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.scheme == "https":
            return bool(host)
        allowed = self.plain(parts.netloc.rpartition("@")[2]) if host else False
        return parts.scheme == "http" and (allowed is True or (allowed is None and plain))

    def chunk(self, host: str) -> int:
        """Bytes of a part when an upload is resumed. Raises `SettingsError`."""
        name = f"registry.{host}.chunkSize"
        size = self._settings.get_int(name) if self._settings.entry(name) else 4 << 20
        return min(max(size, 1 << 16), 64 << 20)

    def mirrors(self, domain: str) -> list[str]:
        """``HOST[/PREFIX]`` of each mirror that is asked before ``domain`` itself."""
        return self._settings.get_all(f"registry.{domain}.mirror")

    def proxy(self, url: str) -> str:
        """The proxy for ``url``, empty for none. Raises `ProxyError`."""
        return proxy_for(url, self.environ)

    # -- TLS -----------------------------------------------------------------------------------

    def certificates(self, host: str) -> Certificates:
        """The files for ``host[:port]``. Raises `CertificateError`, `SettingsError`."""
        authority = self._settings.get_path(f"registry.{host}.ca")
        certificate = self._settings.get_path(f"registry.{host}.cert")
        key = self._settings.get_path(f"registry.{host}.key")
        if certificate is None and key is not None:
            raise CertificateError(f"registry.{host}.key is set without registry.{host}.cert")
        if authority is not None or certificate is not None:
            return Certificates(
                (authority,) if authority else (),
                (certificate, key or certificate) if certificate else None,
            )
        for directory in self._directories(host):
            if os.path.isdir(directory):
                return _from_directory(directory)
        return Certificates()

    def _directories(self, host: str) -> Iterator[str]:
        home = self.environ.get("HOME")
        config = self.environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
        if config:
            yield os.path.join(config, "containers/certs.d", host)
        yield os.path.join(self._root, "etc/containers/certs.d", host)
        yield os.path.join(self._root, "etc/docker/certs.d", host)

    def context(self, host: str) -> ssl.SSLContext:
        """The TLS context for ``host[:port]``; another host's client certificate is not in it."""
        with self._lock:
            found = self._contexts.get(host)
            if found is None:
                found = self._contexts[host] = self._make_context(self.certificates(host))
            return found

    def _make_context(self, files: Certificates) -> ssl.SSLContext:
        context = ssl.create_default_context()
        named = {
            "cafile": self.environ.get("SSL_CERT_FILE"),
            "capath": self.environ.get("SSL_CERT_DIR"),
        }
        if any(named.values()):
            _load(context, named["cafile"], named["capath"])
        for path in files.authorities:
            _load(context, path, None)
        if files.client is not None:
            certificate, key = files.client
            try:
                # A key with a passphrase would have OpenSSL ask on the terminal.
                context.load_cert_chain(certificate, key, password=lambda: b"")
            except (OSError, ValueError) as error:
                raise CertificateError(
                    f"cannot use the client certificate '{certificate}' with '{key}': "
                    f"{_reason(error)}",
                    hint="both are PEM files; the key must be without a passphrase",
                ) from None
        return context


def _load(context: ssl.SSLContext, file: str | None, directory: str | None) -> None:
    try:
        context.load_verify_locations(file, directory)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"cannot read CA certificates from '{file or directory}': {_reason(error)}",
            hint="it should be a PEM file",
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is not in PEM form"
    return getattr(error, "strerror", None) or str(error)


def _from_directory(directory: str) -> Certificates:
    """Raises `CertificateError`, for instance for a certificate without its key."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise CertificateError(f"unable to read '{directory}': {error.strerror}") from None
    authorities = tuple(os.path.join(directory, n) for n in names if n.endswith(".crt"))
    client = None
    for name in names:
        stem, dot, kind = name.rpartition(".")
        other = {"cert": "key", "key": "cert"}.get(kind)
        if not dot or other is None:
            continue
        if f"{stem}.{other}" not in names:
            raise CertificateError(
                f"'{os.path.join(directory, name)}' needs {stem}.{other} beside it",
                hint="CAs have names that end in .crt" if kind == "cert" else None,
            )
        if client is None:
            pair = (os.path.join(directory, f"{stem}.{end}") for end in ("cert", "key"))
            client = (next(pair), next(pair))
    return Certificates(authorities, client)
