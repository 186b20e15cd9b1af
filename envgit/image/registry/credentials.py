# SPDX-License-Identifier: Apache-2.0
"""Who we are at a registry: what ``docker login`` and ``podman login`` have written.

Files in the order of containers-auth.json(5): the one that REGISTRY_AUTH_FILE names or the one in
XDG_RUNTIME_DIR, then ``~/.config/containers/auth.json``, then docker's ``config.json`` (in
DOCKER_CONFIG or ``~/.docker``) and ``~/.dockercfg``. In a file, a helper named for the host comes
first, then the keys from the whole repository's name down to the host, then ``credsStore``.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envgit.image.references import DEFAULT_DOMAIN
from envgit.image.registry import keyhelper
from envgit.image.registry.errors import RegistryError

_MOST = 4 << 20
_DOCKER_HUB = "https://index.docker.io/v1/"
# Keys under which docker.io's credentials are found, besides its own name.
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # docker: the secret is an identity token, no password


class CredentialsError(RegistryError):
    """A file with credentials that cannot be read, or says what no such file does."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or an identity token (OAuth2's refresh token), or a bearer token.

    Their values are kept out of ``repr``, so that no traceback shows them.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617), empty without a password."""
        if not self.password:
            return ""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search; ``problems`` are told when the registry then refuses."""

    credentials: Credentials | None
    problems: tuple[str, ...] = ()


def files(environ: Mapping[str, str], user: int) -> list[str]:
    """Where credentials may be, in the order in which they count; most do not exist."""
    named = environ.get("REGISTRY_AUTH_FILE")
    home = environ.get("HOME", "")
    runtime = environ.get("XDG_RUNTIME_DIR")
    first = os.path.join(runtime, "containers") if runtime else f"/run/containers/{user}"
    found = [named or os.path.join(first, "auth.json")]
    config = environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    if config:
        found.append(os.path.join(config, "containers", "auth.json"))
    docker = environ.get("DOCKER_CONFIG") or (home and os.path.join(home, ".docker"))
    if docker:
        found.append(os.path.join(docker, "config.json"))
    if home:
        found.append(os.path.join(home, ".dockercfg"))
    return found


def find(domain: str, path: str, environ: Mapping[str, str], *, user: int | None = None) -> Found:
    """Look for the credentials of the repository ``domain/path``. Raises `CredentialsError`.

    A helper that fails is no error yet: public images need none. It is told as a problem.
    """
    problems: list[str] = []
    for name in files(environ, os.getuid() if user is None else user):
        content = _read(name, must=name == environ.get("REGISTRY_AUTH_FILE"))
        if content is None:
            continue
        found = _in_file(name, content, domain, path, environ, problems)
        if found is not None:
            return Found(found, tuple(problems))
    return Found(None, tuple(problems))


def _read(name: str, *, must: bool) -> dict[str, Any] | None:
    try:
        with open(name, "rb") as file:
            data = file.read(_MOST + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if must:
            raise CredentialsError(
                f"unable to read credentials from '{name}': {error.strerror}",
                hint="REGISTRY_AUTH_FILE names it",
            ) from None
        return None
    except PermissionError as error:
        if must or os.path.basename(name) != "auth.json":
            raise CredentialsError(
                f"unable to read credentials from '{name}': {error.strerror}"
            ) from None
        return None  # another user's /run/containers
    except OSError as error:
        raise CredentialsError(
            f"unable to read credentials from '{name}': {error.strerror}"
        ) from error
    if not data.strip():
        return None  # podman logout leaves such files
    try:
        content = json.loads(data) if len(data) <= _MOST else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise CredentialsError(
            f"'{name}' is not a file of credentials",
            hint="it should be a JSON object; 'docker login' and 'skopeo login' write it",
        )
    return content


def _table(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _in_file(
    name: str,
    content: Mapping[str, Any],
    domain: str,
    path: str,
    environ: Mapping[str, str],
    problems: list[str],
) -> Credentials | None:
    hub = domain == DEFAULT_DOMAIN
    servers = [domain, *((_DOCKER_HUB, *_HUB_NAMES) if hub else ())]
    helpers = _table(content, "credHelpers")
    for server in servers:
        helper = helpers.get(server)
        if isinstance(helper, str) and helper:
            # It stands for the file: containers-auth.json(5) does not look further either.
            return _from_helper(helper, [server], environ, problems)
    auths = content if os.path.basename(name) == ".dockercfg" else _table(content, "auths")
    by_key = {_normal(key): value for key, value in auths.items() if isinstance(value, dict)}
    for key in _keys(domain, path):
        found = _entry(name, key, by_key[key]) if key in by_key else None
        if found is not None:
            return found
    store = content.get("credsStore")
    if isinstance(store, str) and store:
        return _from_helper(store, [_DOCKER_HUB, domain] if hub else [domain], environ, problems)
    return None


def _keys(domain: str, path: str) -> Iterator[str]:
    """``host/a/b``, ``host/a``, ``host``, then the other names of the host."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((domain, *parts[:count]))
    yield domain
    if domain == DEFAULT_DOMAIN:
        yield from _HUB_NAMES


def _normal(key: str) -> str:
    """Docker's keys may be URLs, with the version of the API behind them."""
    rest = key.partition("://")[2] or key
    if rest != key or rest.endswith(("/v1/", "/v2/", "/v1", "/v2")):
        rest = rest.partition("/")[0]
    return rest.rstrip("/")


def _entry(name: str, key: str, value: Mapping[str, Any]) -> Credentials | None:
    texts = {
        field: found if isinstance(found := value.get(field), str) else ""
        for field in ("auth", "username", "password", "identitytoken", "registrytoken")
    }
    user, password = texts["username"], texts["password"]
    if texts["auth"]:
        try:
            pair = base64.b64decode(texts["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        # Docker pads passwords with NUL bytes.
        user, colon, password = pair.rstrip("\0").partition(":")
        if not colon:
            raise CredentialsError(
                f"the credentials of {key} in '{name}' are damaged",
                hint=f"log in again: 'skopeo login {key}' or 'docker login {key}'",
            )
    found = Credentials(user, password, texts["identitytoken"], texts["registrytoken"])
    return found if password or found.identity_token or found.bearer else None


def _from_helper(
    helper: str, servers: list[str], environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    for server in servers:
        try:
            found = keyhelper.ask(helper, server, environ)
        except keyhelper.HelperFailed as error:
            problems.append(str(error))
            return None
        if found is not None:
            user, secret = found
            if user == _TOKEN_USER:
                return Credentials(identity_token=secret)
            return Credentials(user, secret)
    return None
