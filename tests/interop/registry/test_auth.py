# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and whom we trust: basic and token authentication, TLS, redirects, proxies."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from envgit.image.descriptors import OCI_LAYER, Descriptor, digest_of
from envgit.image.parallel import each
from envgit.image.references import ImageNameError, parse_reference
from envgit.image.registry.docker import RegistryDestination, RegistrySource
from envgit.image.registry.errors import (
    RegistryError,
    RegistryUnauthorized,
    RegistryUnreachable,
    RegistryUntrusted,
)
from tests.interop.registry.conftest import Opener, image, noise, pull, push
from tests.support.connectproxy import connect_proxy
from tests.support.faultproxy import Fault, proxied
from tests.support.registries import Certificates, Running, free_port, registry
from tests.support.tokenserver import TokenServer, token_server

pytestmark = pytest.mark.peer("docker-registry")

SMALL = image(50_000)


def login(folder: Path, key: str, user: str = "ada", password: str = "secret") -> dict[str, str]:
    """The environment of one who has logged in by podman."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    file = folder / "auth.json"
    file.write_text(json.dumps({"auths": {key: {"auth": auth}}}))
    return {"REGISTRY_AUTH_FILE": str(file)}


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with registry(tmp_path_factory.mktemp("accounts"), accounts={"ada": "secret"}) as running:
        yield running


def test_basic_authentication(accounts: Running, access: Opener, tmp_path: Path) -> None:
    name = f"{accounts.host}/team/app:1"
    known = access(environ=login(tmp_path, f"{accounts.host}/team"))
    push(name, known, SMALL)
    assert pull(name, known, SMALL) == SMALL.layer
    wrong = login(tmp_path, accounts.host, password="wrong")
    for environ in ({}, wrong):
        with pytest.raises(RegistryUnauthorized) as raised:
            pull(name, access(environ=environ), SMALL)
        assert f"skopeo login {accounts.host}" in (raised.value.hint or "")
        assert "wrong" not in raised.value.message


def test_a_credential_helper_knows(accounts: Running, access: Opener, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.mkdir()
    helper = tmp_path / "docker-credential-tests"
    helper.write_text(
        "#!/bin/sh\nread -r server\n"
        f'[ "$1 $server" = "get {accounts.host}" ] || '
        '{ echo "credentials not found in native keychain"; exit 1; }\n'
        'echo "{\\"ServerURL\\":\\"x\\",\\"Username\\":\\"ada\\",\\"Secret\\":\\"secret\\"}"\n'
    )
    helper.chmod(0o755)
    environ = {"DOCKER_CONFIG": str(docker), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    for config in ({"credsStore": "tests"}, {"credHelpers": {accounts.host: "tests"}}):
        (docker / "config.json").write_text(json.dumps(config))
        push(f"{accounts.host}/helped:1", access(environ=environ), SMALL)
    (docker / "config.json").write_text(json.dumps({"credsStore": "gone"}))
    with pytest.raises(RegistryUnauthorized) as raised:
        push(f"{accounts.host}/helped:1", access(environ=environ), SMALL)
    assert "docker-credential-gone is not installed" in (raised.value.hint or "")


# -- tokens ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens(certs: Certificates) -> Iterator[TokenServer]:
    with token_server(certs.certificate, certs.key) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer, certs: Certificates
) -> Iterator[Running]:
    realm = (tokens.realm, certs.authority)
    with registry(tmp_path_factory.mktemp("guarded"), token_realm=realm) as running:
        yield running


@pytest.fixture
def server(tokens: TokenServer) -> TokenServer:
    """The token server as it is at first."""
    tokens.accounts, tokens.identity_tokens, tokens.failures = {}, set(), []
    tokens.seconds, tokens.says_lifetime = 300, True
    tokens.asked.clear()
    return tokens


def test_one_token_serves_a_push(guarded: Running, access: Opener, server: TokenServer) -> None:
    push(f"{guarded.host}/tokens:1", access(), SMALL)
    assert server.asked == [["repository:tokens:pull,push"]]
    assert pull(f"{guarded.host}/tokens:1", access(), SMALL) == SMALL.layer
    assert server.asked[1:] == [["repository:tokens:pull"]]


def test_tokens_by_password_and_by_identity(
    guarded: Running, access: Opener, server: TokenServer, tmp_path: Path
) -> None:
    server.accounts = {"ada": "secret"}
    push(f"{guarded.host}/known:1", access(environ=login(tmp_path, guarded.host)), SMALL)
    with pytest.raises(RegistryUnauthorized, match="incorrect username or password"):
        push(f"{guarded.host}/known:1", access(), SMALL)
    server.identity_tokens = {"long-lived"}
    file = tmp_path / "identity.json"
    entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "long-lived"}
    file.write_text(json.dumps({"auths": {guarded.host: entry}}))
    push(f"{guarded.host}/known:2", access(environ={"REGISTRY_AUTH_FILE": str(file)}), SMALL)


def test_tokens_are_renewed_before_they_end_and_when_they_are_refused(
    guarded: Running, access: Opener, server: TokenServer
) -> None:
    server.seconds = 1
    name = parse_reference(f"{guarded.host}/brief:1")
    with RegistryDestination(name, access()) as destination:
        for seed in range(3):
            destination.put_blob(Descriptor(OCI_LAYER), BytesIO(noise(1000, seed)))
            threading.Event().wait(0.6)
    assert len(server.asked) >= 3
    # Refused in the middle: the registry says 401 to a token that we take for good.
    server.seconds = 300
    server.asked.clear()
    unauthorized = {"WWW-Authenticate": f'Bearer realm="{server.realm}",service="tests"'}
    for method in ("PATCH", "PUT", "POST", "HEAD"):
        fault = Fault(method, "/blobs/", status=401, headers=unauthorized)
        with proxied(guarded.host, fault) as proxy:
            push(f"{proxy.host}/brief:2", access(), image(6_000_000, seed=ord(method[1])))


def test_a_token_server_in_trouble_is_asked_again(
    guarded: Running, access: Opener, server: TokenServer
) -> None:
    server.failures = [500, 429, 503]
    push(f"{guarded.host}/trouble:1", access(), SMALL)
    server.failures = [500] * 99
    with pytest.raises(RegistryError, match="cannot get a token from"):
        push(f"{guarded.host}/trouble:1", access(), SMALL)


def test_threads_share_one_token(guarded: Running, access: Opener, server: TokenServer) -> None:
    name = parse_reference(f"{guarded.host}/threads:1")
    with RegistryDestination(name, access()) as destination:
        each(
            lambda seed, stop: destination.put_blob(
                Descriptor(OCI_LAYER), BytesIO(noise(200_000, seed))
            ),
            range(12),
            most=6,
        )
    assert len(server.asked) == 1


def test_blobs_are_mounted_across_repositories(
    guarded: Running, access: Opener, server: TokenServer
) -> None:
    push(f"{guarded.host}/base/image:1", access(), SMALL)
    base = parse_reference(f"{guarded.host}/base/image:1")
    with proxied(guarded.host) as proxy:
        name = parse_reference(f"{proxy.host}/derived:1")
        mounts = [
            parse_reference(f"{proxy.host}/absent"),
            parse_reference(f"{proxy.host}/{base.path}"),
        ]
        with RegistryDestination(name, access(), mounts=mounts) as destination:
            assert not destination.has_blob(digest_of(b"nowhere"))
            assert destination.has_blob(digest_of(SMALL.layer))
        assert proxy.asked("PATCH") == proxy.asked("PUT") == []
    assert ["repository:base/image:pull", "repository:derived:pull,push"] in server.asked


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certs: Certificates) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("secure")
    with registry(folder, tls=certs, client_authority=True) as running:
        yield running


def test_tls_by_an_own_authority_and_a_client_certificate(
    secure: Running, access: Opener, certs: Certificates, tmp_path: Path
) -> None:
    name = f"{secure.host}/secure:1"
    with pytest.raises(RegistryUntrusted) as raised:
        push(name, access(), SMALL)
    assert f"registry.{secure.host}.ca" in (raised.value.hint or "")
    trusting = {f"registry.{secure.host}.ca": str(certs.authority)}
    with pytest.raises(RegistryUntrusted) as raised:
        push(name, access(trusting), SMALL)
    assert f"registry.{secure.host}.cert" in (raised.value.hint or "")
    ours = {
        f"registry.{secure.host}.cert": str(certs.client_certificate),
        f"registry.{secure.host}.key": str(certs.client_key),
    }
    push(name, access({**trusting, **ours}), SMALL)
    for directory in (
        "etc/containers/certs.d",
        "etc/docker/certs.d",
        "home/.config/containers/certs.d",
    ):
        folder = tmp_path / directory / secure.host
        folder.mkdir(parents=True)
        shutil.copy(certs.authority, folder / "ca.crt")
        shutil.copy(certs.client_certificate, folder / "client.cert")
        shutil.copy(certs.client_key, folder / "client.key")
        assert pull(name, access(), SMALL) == SMALL.layer
        shutil.rmtree(folder)


def test_the_name_in_the_certificate_counts(
    secure: Running, access: Opener, certs: Certificates
) -> None:
    other = secure.host.replace("127.0.0.1", "localhost")
    with pytest.raises(RegistryUntrusted, match="localhost"):
        pull(f"{other}/secure:1", access({f"registry.{other}.ca": str(certs.authority)}), SMALL)


def test_tls_through_a_proxy_that_wants_a_password(
    secure: Running, access: Opener, certs: Certificates
) -> None:
    settings = {
        "registry.images.invalid.ca": str(certs.authority),
        "registry.images.invalid.cert": str(certs.client_certificate),
        "registry.images.invalid.key": str(certs.client_key),
    }
    expected = f"Basic {base64.b64encode(b'ada:open').decode()}"
    with connect_proxy(secure.host, password=expected) as (proxy, heads):
        right = access(settings, environ={"HTTPS_PROXY": f"http://ada:open@{proxy}"})
        push("images.invalid/tunnel:1", right, SMALL)
        assert pull("images.invalid/tunnel:1", right, SMALL) == SMALL.layer
        assert heads[0].startswith("CONNECT images.invalid:443 ") and len(heads) == 2
        wrong = access(settings, environ={"https_proxy": f"ada:secret@{proxy}"})
        with pytest.raises(RegistryUnreachable, match="407") as raised:
            pull("images.invalid/tunnel:1", wrong, SMALL)
        assert "secret" not in raised.value.message
        excepted = access(
            settings, environ={"https_proxy": f"ada:open@{proxy}", "no_proxy": ".invalid"}
        )
        with pytest.raises(RegistryUnreachable, match="could not resolve"):
            pull("images.invalid/tunnel:1", excepted, SMALL)


def test_plain_http_is_for_loopback_and_listed_hosts(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/loopback:1", access(), SMALL)
    only_tls = access({f"registry.{plain.host}.plainHttp": "false"})
    with pytest.raises(RegistryUntrusted) as raised:
        pull(f"{plain.host}/loopback:1", only_tls, SMALL)
    assert "plainHttp" in (raised.value.hint or "")
    # A name that is not loopback's by itself, reached through a proxy that leads to the registry.
    through = {"http_proxy": f"http://{plain.host}", "https_proxy": f"http://{plain.host}"}
    listed = access({"registry.images.invalid.plainHttp": "true"}, environ=through)
    assert pull("images.invalid/loopback:1", listed, SMALL) == SMALL.layer
    with pytest.raises(RegistryUnreachable, match="through the proxy"):
        pull("images.invalid/loopback:1", access(environ=through), SMALL)


def test_hosts_that_are_not_there(access: Opener) -> None:
    with pytest.raises(RegistryUnreachable, match="refuses connections"):
        pull(f"127.0.0.1:{free_port()}/x:1", access(), SMALL)
    with pytest.raises(RegistryUnreachable, match="could not resolve host"):
        pull("images.invalid/x:1", access(), SMALL)


# -- redirects, mirrors --------------------------------------------------------------------------


class _Elsewhere(BaseHTTPRequestHandler):
    """Another host, where blobs are: tells what it was sent."""

    seen: list[dict[str, str]]

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self.seen.append({k.lower(): v for k, v in self.headers.items()})
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(SMALL.layer)))
        self.end_headers()
        self.wfile.write(SMALL.layer)


def test_credentials_are_not_sent_where_a_redirect_leads(
    accounts: Running, access: Opener, tmp_path: Path
) -> None:
    push(f"{accounts.host}/redirected:1", access(environ=login(tmp_path, accounts.host)), SMALL)
    handler = type("Handler", (_Elsewhere,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/bucket?signature=1"
        away = Fault("GET", "/blobs/sha256", status=307, headers={"Location": url}, times=9)
        with proxied(accounts.host, away) as proxy:
            known = access(environ=login(tmp_path, proxy.host))
            assert pull(f"{proxy.host}/redirected:1", known, SMALL) == SMALL.layer
        assert proxy.asked("GET", "/blobs/sha256")[0].headers["authorization"]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(_seen(handler)) == 1 and "authorization" not in _seen(handler)[0]


def _seen(handler: type) -> list[dict[str, str]]:
    found = handler.__dict__["seen"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "realm",
    [
        "http://tokens.invalid/token",
        "file:///etc/passwd",
        "",
        "ftp://127.0.0.1/",
        "https://[bad/",
        "https://x:99999/",
        "https://",
    ],
)
def test_passwords_go_to_no_token_server_without_tls(
    plain: Running, access: Opener, tmp_path: Path, realm: str
) -> None:
    asks = Fault(
        "*", "", status=401, times=9, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}
    )
    with (
        proxied(plain.host, asks) as proxy,
        pytest.raises(RegistryUnauthorized, match="cannot be trusted"),
    ):
        pull(f"{proxy.host}/x:1", access(environ=login(tmp_path, proxy.host)), SMALL)


@pytest.mark.parametrize("target", ["https://[bad/", "http://x:99999/", "http://x.invalid/"])
def test_nobody_is_followed_to_what_is_no_address(
    plain: Running, access: Opener, target: str
) -> None:
    away = Fault("*", "", status=307, headers={"Location": target}, times=99)
    with proxied(plain.host, away) as proxy:
        for act in (pull, push):
            with pytest.raises(RegistryError, match="leads to"):
                act(f"{proxy.host}/away:1", access(), SMALL)


def test_mirrors_are_asked_first(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/cache/library/debian:12", access(), SMALL)
    settings = {"registry.docker.io.mirror": f"{plain.host}/cache"}
    through = {"https_proxy": f"http://127.0.0.1:{free_port()}"}
    assert pull("debian:12", access(settings, environ=through), SMALL) == SMALL.layer
    # What the mirror has not is asked of the registry, which cannot be reached from here.
    with (
        RegistrySource(parse_reference("debian:13"), access(settings, environ=through)) as source,
        pytest.raises(RegistryUnreachable, match="registry-1"),
    ):
        source.manifest()
    for wrong in ("mirror", "a b", "https://", "x.example/UPPER"):
        with pytest.raises(ImageNameError):
            pull("debian:12", access({"registry.docker.io.mirror": wrong}), SMALL)
