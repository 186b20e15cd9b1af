# SPDX-License-Identifier: Apache-2.0
"""Authentication at registries: oras's token backend, with scopes, expiry, and threads.

Protocols: RFC 7617 (Basic) and the distribution project's token specification (spec/auth/token.md,
oauth.md, scope.md). oras's backend keeps one token for everything, until it is refused; here a
token belongs to what it may do, is renewed before it expires, and is fetched once however many
threads need it. Credentials go to the registry itself, and to the token server it names if that is
reached by TLS (or is one of those hosts that plain http is allowed for), and nowhere else.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import requests

from envgit.image.registry.challenges import Challenge, choose
from envgit.image.registry.credentials import Credentials, Found
from envgit.image.registry.errors import (
    RegistryError,
    RegistryUnauthorized,
    from_answer,
    printable,
)
from envgit.image.registry.library import TokenAuth

_LEAST_LIFE = 60  # seconds a token lives if its server does not say (token.md)
_MOST_LIFE = 3600 * 24
_HEADER_VALUE = re.compile(r"[!-~]{1,65536}")
_MARGIN = 10.0  # seconds before its end in which a token is not used any more

Fetch = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]
"""Sends a request to a token server: method, URL, headers, body; gives status and body."""


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    until: float


class ScopedAuth(TokenAuth):  # type: ignore[misc] # oras has no py.typed
    """The authentication of one registry. May be used by several threads.

    ``fetch`` reaches token servers, ``found`` looks for credentials when they are first needed,
    ``trusted`` says whether credentials may be sent to a URL.
    """

    def __init__(
        self,
        host: str,
        *,
        fetch: Fetch,
        found: Callable[[], Found],
        trusted: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._host = host
        self._fetch = fetch
        self._look = found
        self._trusted = trusted
        self._clock = clock
        self._lock = threading.RLock()
        self._credentials: Found | None = None
        self._challenge: Challenge | None = None
        self._tokens: dict[frozenset[str], _Token] = {}
        self._identity_token = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong when credentials were looked for."""
        return self._credentials.problems if self._credentials is not None else ()

    def header_for(self, scopes: Iterable[str]) -> dict[str, str]:
        """What to send with a request at once: nothing before the registry has asked.

        Raises `RegistryError`, and `Transient` when the token server fails in a way that may pass.
        """
        with self._lock:
            if self._challenge is None:
                return {}
            return self._answer(self._challenge, frozenset(scopes))

    def authenticate_request(
        self,
        original: requests.Response,
        headers: MutableMapping[str, str],
        refresh: bool = False,
        scopes: Iterable[str] = (),
    ) -> tuple[MutableMapping[str, str], bool]:
        """Answer a 401: the headers for another attempt, and whether one is of any use.

        ``headers`` are those that were refused. Raises as `header_for`.
        """
        challenge = choose(original.headers.get("WWW-Authenticate", ""))
        if challenge is None:
            return headers, False
        with self._lock:
            self._challenge = challenge
            wanted = frozenset(scopes)
            refused = headers.get("Authorization")
            held = self._tokens.get(wanted)
            if held is not None and held.header == refused:
                del self._tokens[wanted]
            answer = self._answer(challenge, wanted)
            if not answer or (answer["Authorization"] == refused and challenge.scheme == "basic"):
                return headers, False
            return {**headers, **answer}, True

    # -- beneath the lock ----------------------------------------------------------------------

    def _who(self) -> Credentials | None:
        if self._credentials is None:
            self._credentials = self._look()
        return self._credentials.credentials

    def _answer(self, challenge: Challenge, scopes: frozenset[str]) -> dict[str, str]:
        who = self._who()
        if challenge.scheme == "basic":
            return {"Authorization": who.basic} if who is not None and who.basic else {}
        if who is not None and who.bearer:
            return {"Authorization": f"Bearer {who.bearer}"}
        held = self._tokens.get(scopes)
        if held is None or held.until <= self._clock():
            held = self._tokens[scopes] = self._new_token(challenge, scopes, who)
        return {"Authorization": held.header}

    def _new_token(
        self, challenge: Challenge, scopes: frozenset[str], who: Credentials | None
    ) -> _Token:
        realm = challenge.parameters.get("realm", "")
        if not self._trusted(realm):
            raise RegistryUnauthorized(
                f"{self._host} names a token server that cannot be trusted: "
                f"'{printable(realm, 200)}'",
                hint="it must be https; plain http is for loopback, and for hosts "
                "with registry.<host>.plainHttp",
            )
        # What the registry asks for may be more than what we know to need ("repository:x:delete").
        wanted = _united(scopes | set(challenge.parameters.get("scope", "").split()))
        service = challenge.parameters.get("service", "")
        identity = self._identity_token or (who.identity_token if who is not None else "")
        status, body = self._ask(realm, service, wanted, who, identity)
        if status != 200:
            raise from_answer(
                status,
                body,
                doing=f"cannot get a token from {urlsplit(realm).netloc}",
                host=self._host,
                problems=self.problems,
            )
        return self._read(body, renewable=bool(identity))

    def _ask(
        self,
        realm: str,
        service: str,
        scopes: list[str],
        who: Credentials | None,
        identity: str,
    ) -> tuple[int, bytes]:
        pairs = [("service", service)] if service else []
        if identity:
            form = [
                *pairs,
                ("scope", " ".join(scopes)),
                ("grant_type", "refresh_token"),
                ("refresh_token", identity),
                ("client_id", "envgit"),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._fetch("POST", realm, headers, urlencode(form).encode())
        headers = {"Authorization": who.basic} if who is not None and who.basic else {}
        if headers:
            pairs.append(("account", who.username if who is not None else ""))
        pairs += [("scope", scope) for scope in scopes]
        query = urlencode(pairs)
        joint = "&" if urlsplit(realm).query else "?"
        return self._fetch("GET", f"{realm}{joint}{query}" if query else realm, headers, None)

    def _read(self, body: bytes, *, renewable: bool) -> _Token:
        try:
            found = json.loads(body)
            token = found.get("token") or found.get("access_token")
            renewed = found.get("refresh_token")
            life = _lifetime(found.get("expires_in"))
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not _HEADER_VALUE.fullmatch(token):
            raise RegistryError(f"the token server of {self._host} gave no token")
        if renewable and isinstance(renewed, str) and renewed:
            self._identity_token = renewed
        return _Token(f"Bearer {token}", self._clock() + max(life - _MARGIN, life / 2))


def _united(scopes: Iterable[str]) -> list[str]:
    """One scope a resource (``type:name:action,...``), with the actions of all of them."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, listed = scope.rpartition(":")
        actions.setdefault(resource, set()).update(listed.split(","))
    return [f"{resource}:{','.join(sorted(found))}" for resource, found in sorted(actions.items())]


def _lifetime(stated: object) -> float:
    """Seconds; what is no sensible number is taken for not stated."""
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated > 0:
        return _LEAST_LIFE
    return float(min(stated, _MOST_LIFE))
