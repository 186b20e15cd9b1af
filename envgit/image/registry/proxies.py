# SPDX-License-Identifier: Apache-2.0
"""Which proxy a URL is reached through, by the environment's variables.

As in curl and Go's ``http.ProxyFromEnvironment``: the lower-case variable goes before the upper,
loopback is always direct, and NO_PROXY has names (with their subdomains), addresses, networks,
each with or without a port, or ``*``. The requests library's own function changes the process's
environment while it looks, which threads must not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from envgit.image.registry.errors import RegistryError

_PORTS = {"http": 80, "https": 443}


class ProxyError(RegistryError):
    """A proxy that the environment names and that cannot be used."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without port and brackets) is this machine, by itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """The proxy's URL, or the empty text for none. Raises `ProxyError`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if is_loopback(host) or _is_excepted(host, port, _variable("no", environ)):
        return ""
    proxy = _variable(parts.scheme, environ) or _variable("all", environ)
    if not proxy:
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = urlsplit(proxy).scheme.lower()
    if scheme not in _PORTS:
        raise ProxyError(
            f"cannot use a proxy of the kind {scheme}: for {host}",
            hint="only http:// and https:// proxies are supported; NO_PROXY makes exceptions",
        )
    return proxy


def shown(proxy: str) -> str:
    """Host and port of a proxy's URL: the rest may be a password."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def _variable(name: str, environ: Mapping[str, str]) -> str:
    variable = f"{name}_proxy"
    return environ.get(variable) or environ.get(variable.upper()) or ""


def _is_excepted(host: str, port: int, listed: str) -> bool:
    return any(_fits(host, port, entry.strip()) for entry in listed.lower().split(","))


def _fits(host: str, port: int, entry: str) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").removeprefix(".")
    return host == entry or host.endswith(f".{entry}")
