# SPDX-License-Identifier: Apache-2.0
"""The client of one repository in one registry: oras's, with a transport that lasts.

What is overridden is `do_request`, through which all of oras's methods go: authentication with
scopes, redirects that take no credentials to other hosts, retries, bounded bodies, errors that are
ours. All requests ask for as much as the repository's use needs: pull, or pull and push.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from envgit.image.references import Reference
from envgit.image.registry import credentials
from envgit.image.registry.access import Access
from envgit.image.registry.errors import (
    RegistryError,
    RegistryProtocolError,
    certificate_error,
    from_answer,
    from_failure,
    lasting,
    printable,
    silent,
    speaks_no_tls,
)
from envgit.image.registry.hosts import endpoint
from envgit.image.registry.library import Container, Registry
from envgit.image.registry.proxies import shown
from envgit.image.registry.retries import AGAIN, Transient, retry_after
from envgit.image.registry.session import (
    CONNECT_TIMEOUT,
    FAILURES,
    READ_TIMEOUT,
    open_session,
    read_bounded,
    settled,
)
from envgit.image.registry.tokens import ScopedAuth
from envgit.image.transport import MAX_MANIFEST

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 8
_MOST_TOKEN = 1 << 20
_MOST_WORDS = 1 << 16
_MOST_PAGES = 1000
_SILENCE = 3  # a server that says nothing for a minute will hardly speak in the sixth

Body = bytes | Callable[[], Iterable[bytes]] | None
"""A request's body: bytes, or what makes a fresh iterator for each attempt."""


class Client(Registry):  # type: ignore[misc] # oras has no py.typed
    """One repository. May be used by several threads; close it in the end.

    ``host`` serves it (for docker.io it is not the domain); ``push`` says what tokens are for.
    """

    session: requests.Session

    def __init__(self, reference: Reference, access: Access, *, push: bool) -> None:
        self.host = endpoint(reference.domain)
        super().__init__(hostname=self.host)
        self.session.close()
        self.session = open_session(access.hosts, most=access.parallel + 2)
        self.access = access
        self.reference = reference
        self.container = _container(self.host, reference)
        self.scopes = (f"repository:{reference.path}:{'pull,push' if push else 'pull'}",)
        self.auth = ScopedAuth(
            self.host,
            fetch=self._fetch_token,
            found=lambda: credentials.find(reference.domain, reference.path, access.environ),
            trusted=self._may_fetch,
        )
        self._probe = threading.Lock()
        self._probed = False
        self._answered = False

    def close(self) -> None:
        """Close the connections that were kept."""
        self.session.close()

    # -- addresses -----------------------------------------------------------------------------

    def url(self, rest: str) -> str:
        """``rest`` of the repository's address: ``blobs/...`` or ``manifests/...``.

        Raises `RegistryError` if nobody answers there.
        """
        self._choose_scheme()
        return f"{self.prefix}://{self.host}/v2/{self.reference.path}/{rest}"

    def _choose_scheme(self) -> None:
        """https, or http where the settings say so, or on loopback where there is no TLS."""
        if self._probed:
            return
        with self._probe:
            if self._probed:
                return
            plain = self.access.hosts.plain(self.host)
            if plain is None:
                plain = self._lacks_tls()
            self.prefix = "http" if plain else "https"
            self._probed = True

    def _lacks_tls(self) -> bool:
        try:
            response = self._send("GET", f"https://{self.host}/v2/", {}, None)
        except FAILURES as error:
            # What else is wrong shows in the first request, with its retries.
            return speaks_no_tls(error)
        response.close()
        return False

    # -- requests ------------------------------------------------------------------------------

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """The one way out of oras's own methods: as `request`, which has no ``json``."""
        assert json is None
        return self.request(
            method, url, headers=headers, body=data, stream=stream, doing=f"cannot use {url}"
        )

    def tags(self) -> list[str]:
        """All tags of the repository, sorted. Raises `RegistryError`."""
        found: list[str] = []
        pages = 0

        def page(response: requests.Response) -> bool:
            nonlocal pages
            pages += 1
            try:
                names = response.json().get("tags") or []
            except (ValueError, AttributeError, RecursionError):
                names = None
            if not isinstance(names, list) or pages > _MOST_PAGES:
                raise RegistryProtocolError(f"{self.host} gives no list of tags")
            found.extend(name for name in names if isinstance(name, str))
            return bool(names)

        self._do_paginated_request(self.url("tags/list"), page)
        return sorted(set(found))

    def _check_200_response(self, response: requests.Response) -> None:
        """As oras's, but with errors of ours."""
        self.check(response, (200, 201, 202), f"cannot use {self.reference.name}")

    def request(
        self,
        method: str,
        url: str,
        *,
        doing: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        stream: bool = False,
        scopes: tuple[str, ...] = (),
    ) -> requests.Response:
        """Send a request again until it is answered with something that another attempt will not
        change, which may be a 404; the body of that answer is at hand unless ``stream``.

        ``doing`` begins the message of errors. Raises `RegistryError`.
        """
        failures = 0
        while True:
            try:
                return self.once(
                    method,
                    url,
                    doing=doing,
                    headers=headers,
                    body=body,
                    stream=stream,
                    scopes=scopes,
                )
            except Transient as failed:
                failures += failed.weight
                self.access.policy.wait(failures, failed)

    def once(
        self,
        method: str,
        url: str,
        *,
        doing: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        stream: bool = False,
        scopes: tuple[str, ...] = (),
    ) -> requests.Response:
        """One attempt (authentication included): as `request`, but raises `Transient`, too."""
        sent = dict(headers or {})
        wanted = (*self.scopes, *scopes)
        mine = self.is_mine(url)
        if mine:
            sent.update(self.auth.header_for(wanted))
        response = self._answer(method, url, sent, body, stream, doing)
        if response.status_code == 401 and mine:
            answer, changed = self.auth.authenticate_request(response, sent, scopes=wanted)
            if changed:
                response = self._answer(method, url, dict(answer), body, stream, doing)
        if response.status_code == 401:
            raise self.failed(response, doing)
        if response.status_code in AGAIN:
            raise Transient(self.failed(response, doing), retry_after(response.headers))
        return response

    def check(
        self, response: requests.Response, good: Iterable[int], doing: str
    ) -> requests.Response:
        """``response`` if its status is one of ``good``. Raises `RegistryError`."""
        if response.status_code not in good:
            raise self.failed(response, doing)
        return response

    def is_mine(self, url: str) -> bool:
        """Whether credentials for this registry may go to ``url``: the same host, port, scheme."""
        parts = urlsplit(url)
        return parts.scheme == self.prefix and parts.netloc == self.host

    def location(self, response: requests.Response) -> str:
        """The absolute URL that an answer sends us to. Raises `RegistryProtocolError`."""
        target = response.headers.get("Location", "")
        if not target or len(target) > 16384:
            raise RegistryProtocolError(f"{self.host} does not say where to go on")
        try:
            url = urljoin(response.url or self.url(""), target)
            parts = urlsplit(url)
        except ValueError:
            raise RegistryProtocolError(f"{self.host} leads to no address at all") from None
        if parts.scheme == "http" and parts.netloc == self.host and self.prefix == "https":
            # A registry behind a proxy that does not know that its clients come by TLS.
            url = parts._replace(scheme="https").geturl()
        if not self._may_fetch(url):
            raise RegistryProtocolError(
                f"{self.host} leads to '{printable(url, 200)}', which is no address with TLS",
                hint="plain http is for loopback, and for hosts with registry.<host>.plainHttp",
            )
        return url

    def _may_fetch(self, url: str) -> bool:
        return self.access.hosts.may_fetch(url, plain=self.prefix == "http")

    # -- beneath -------------------------------------------------------------------------------

    def _answer(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Body,
        stream: bool,
        doing: str,
    ) -> requests.Response:
        """What a URL and its redirects lead to, with the body at hand unless ``stream`` and good.

        Only the registry itself gets the Authorization.
        """
        for _ in range(_MOST_REDIRECTS):
            response = self._attempt(method, url, headers, body, doing)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                good = response.status_code < 300
                return response if stream and good else self._settle(method, response, doing)
            self._discard(response)
            if method not in ("GET", "HEAD") and response.status_code not in (307, 308):
                raise RegistryProtocolError(f"{doing}: {self.host} redirects what is uploaded")
            url = self.location(response)
            if not self.is_mine(url):
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
        raise RegistryProtocolError(f"{doing}: {self.host} redirects again and again")

    def _attempt(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, doing: str
    ) -> requests.Response:
        try:
            response = self._send(method, url, headers, body)
        except FAILURES as error:
            proxy = shown(self.access.hosts.proxy(url))
            host = urlsplit(url).netloc
            found = from_failure(error, doing=doing, host=host, proxy=proxy)
            if certificate_error(error) is not None or (not self._answered and lasting(error)):
                raise found from error
            raise Transient(found, weight=_SILENCE if silent(error) else 1) from error
        self._answered = True
        return response

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body
    ) -> requests.Response:
        proxy = self.access.hosts.proxy(url)
        return self.session.request(
            method,
            url,
            headers=dict(headers),
            data=body() if callable(body) else body,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            proxies={"http": proxy, "https": proxy} if proxy else {},
        )

    def _settle(self, method: str, response: requests.Response, doing: str) -> requests.Response:
        """The answer with its bounded body. Raises `RegistryError`, `Transient` if it breaks."""
        if method == "HEAD":
            response.raw.read()  # nothing, but it frees the connection
            return settled(response, b"")
        if response.status_code >= 400:
            return settled(response, self._discard(response))
        try:
            return settled(
                response, read_bounded(response, MAX_MANIFEST, f"an answer of {self.host}")
            )
        except FAILURES as error:
            raise Transient(from_failure(error, doing=doing, host=self.host)) from error

    def _discard(self, response: requests.Response) -> bytes:
        """The body of an answer that is of no use but for its words; a long one is dropped."""
        try:
            return read_bounded(response, _MOST_WORDS, "an error", seconds=20)
        except (RegistryError, *FAILURES):
            return b""

    def failed(self, response: requests.Response, doing: str) -> RegistryError:
        """The error for an answer of `once` or `request` that is of no use."""
        return from_answer(
            response.status_code,
            response.content,
            doing=doing,
            host=self.reference.domain,
            problems=self.auth.problems,
        )

    def _fetch_token(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """`tokens.Fetch`: redirects are not followed, credentials stay where they were sent."""
        doing = f"cannot get a token from {urlsplit(url).netloc}"
        failures = 0
        while True:
            try:
                response = self._attempt(method, url, headers, body, doing)
                data = read_bounded(response, _MOST_TOKEN, "a token")
                if response.status_code not in AGAIN:
                    return response.status_code, data
                error = from_answer(response.status_code, data, doing=doing, host=self.host)
                raise Transient(error, retry_after(response.headers))
            except FAILURES as error:
                broken = Transient(from_failure(error, doing=doing, host=urlsplit(url).netloc))
            except Transient as failed:
                broken = failed
            failures += broken.weight
            self.access.policy.wait(failures, broken)


def _container(host: str, reference: Reference) -> Container:
    """Oras's own form of a reference; its parser takes the first word with a dot for a host."""
    found = Container("x")
    namespace, _, name = reference.path.rpartition("/")
    found.registry, found.namespace, found.repository = host, namespace or None, name
    found.tag, found.digest = reference.tag or "latest", reference.digest
    return found
