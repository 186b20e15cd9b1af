# SPDX-License-Identifier: Apache-2.0
"""What bad networks and servers do between us and a real registry: success after retries, or a
clear error.
"""

from __future__ import annotations

import socket
import time
import zlib
from io import BytesIO

import pytest

from envgit.errors import EnvgitError
from envgit.image.descriptors import OCI_LAYER, BlobMismatch, Descriptor, digest_of
from envgit.image.references import parse_reference
from envgit.image.registry import client
from envgit.image.registry.docker import RegistryDestination, RegistrySource
from envgit.image.registry.errors import (
    NotInRegistry,
    RegistryBusy,
    RegistryDenied,
    RegistryError,
    RegistryUnauthorized,
    RegistryUnreachable,
)
from envgit.image.registry.retries import Policy
from tests.interop.registry.conftest import Opener, image, noise, pull, push
from tests.support.faultproxy import Fault, proxied
from tests.support.registries import Running

pytestmark = pytest.mark.peer("docker-registry")

BLOB = r"/blobs/sha256:"
UPLOADS = r"/blobs/uploads/"
SMALL = image(100_000)
LARGE = image(12_000_000, seed=2)

PULLED = {
    "cut before the answer": Fault("GET", BLOB, cut=0, times=2),
    "cut in the body": Fault("GET", BLOB, cut=5_000_000, times=1),
    "cut twice": Fault("GET", BLOB, cut=1_000_001, times=2),
    "error page": Fault("GET", BLOB, status=500, times=2),
    "bad gateway": Fault("GET", BLOB, status=502, body=b"<html>oops</html>"),
    "too many requests": Fault("GET", BLOB, status=429, headers={"Retry-After": "0"}, times=3),
    "slow": Fault("GET", BLOB, delay=0.002),
    "states too much": Fault("GET", BLOB, length=1000),
    "states too little": Fault("GET", BLOB, length=-1000),
    "manifest: cut": Fault("GET", "/manifests/", cut=30),
    "manifest: error page": Fault("GET", "/manifests/", status=503, times=2),
    "manifest: states too much": Fault("GET", "/manifests/", length=10),
}


@pytest.mark.parametrize("fault", PULLED)
def test_pulls_get_through(plain: Running, access: Opener, fault: str) -> None:
    push(f"{plain.host}/pulled:1", access(), LARGE)
    with proxied(plain.host, PULLED[fault]) as proxy:
        assert pull(f"{proxy.host}/pulled:1", access(), LARGE) == LARGE.layer
        assert PULLED[fault].times <= 0


def test_a_cut_download_goes_on_where_it_was(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/ranged:1", access(), LARGE)
    with proxied(plain.host, Fault("GET", BLOB, cut=7_000_000)) as proxy:
        assert pull(f"{proxy.host}/ranged:1", access(), LARGE) == LARGE.layer
        assert [one.headers.get("range") for one in proxy.asked("GET", BLOB)] == [
            None,
            "bytes=7000000-",
        ]


def test_a_server_without_ranges_sends_all_again(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/whole:1", access(), LARGE)
    cut = Fault("GET", BLOB, cut=7_000_000)
    with proxied(plain.host, cut, Fault("GET", BLOB, ignore_range=True, times=9)) as proxy:
        assert pull(f"{proxy.host}/whole:1", access(), LARGE) == LARGE.layer


def test_another_part_than_asked_for_is_not_taken(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/part:1", access(), LARGE)

    def lie(headers: dict[str, str]) -> None:
        headers["Content-Range"] = f"bytes 1000-{len(LARGE.layer) - 1}/{len(LARGE.layer)}"

    cut = Fault("GET", BLOB, cut=7_000_000)
    with proxied(plain.host, cut, Fault("GET", BLOB, rewrite=lie)) as proxy:
        assert pull(f"{proxy.host}/part:1", access(), LARGE) == LARGE.layer


def test_progress_lets_a_bad_line_be_cut_any_number_of_times(
    plain: Running, access: Opener
) -> None:
    push(f"{plain.host}/cuts:1", access(), LARGE)
    with proxied(plain.host, Fault("GET", BLOB, cut=500_000, times=30)) as proxy:
        assert pull(f"{proxy.host}/cuts:1", access(), LARGE) == LARGE.layer


def test_a_wrong_byte_is_found_before_the_end_is_reported(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/flipped:1", access(), LARGE)
    with proxied(plain.host, Fault("GET", BLOB, corrupt=9_000_000, times=99)) as proxy:
        with (
            RegistrySource(parse_reference(f"{proxy.host}/flipped:1"), access()) as source,
            pytest.raises(BlobMismatch, match="damaged"),
            source.blob(LARGE.layer_descriptor) as stream,
        ):
            while stream.read(1 << 20):
                pass
        # By its tag nobody knows what is right but the registry; it has stated the digest.
        proxy.faults.append(Fault("GET", "/manifests/", corrupt=50))
        with (
            RegistrySource(parse_reference(f"{proxy.host}/flipped:1"), access()) as source,
            pytest.raises(BlobMismatch),
        ):
            source.manifest()


def test_a_blob_of_another_size_is_told_of(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/sizes:1", access(), SMALL)
    name = parse_reference(f"{plain.host}/sizes:1")
    for size in (len(SMALL.layer) - 1, len(SMALL.layer) + 1):
        wrong = Descriptor(OCI_LAYER, digest_of(SMALL.layer), size)
        with (
            RegistrySource(name, access()) as source,
            pytest.raises(EnvgitError, match=f"not {size}"),
            source.blob(wrong) as stream,
        ):
            stream.read()


PUSHED = {
    "begin: cut": Fault("POST", UPLOADS, cut=0),
    "begin: error page": Fault("POST", UPLOADS, status=500, times=2),
    "begin: too many requests": Fault("POST", UPLOADS, status=429, times=2),
    "data: cut": Fault("PATCH", UPLOADS, cut=0, times=2),
    "data: cut in the middle": Fault("PATCH", UPLOADS, cut_request=6_000_000, times=2),
    "data: answer lost": Fault("PATCH", UPLOADS, cut_answer=True),
    "data: error page": Fault("PATCH", UPLOADS, status=500, times=2),
    "data: too many requests": Fault("PATCH", UPLOADS, status=429, times=2),
    "data: upload forgotten": Fault("PATCH", UPLOADS, status=404, times=2),
    "data: range not liked": Fault("PATCH", UPLOADS, status=416, times=1),
    "end: cut": Fault("PUT", UPLOADS, cut=0, times=2),
    "end: answer lost": Fault("PUT", UPLOADS, cut_answer=True),
    "end: error page": Fault("PUT", UPLOADS, status=502, times=2),
    "end: upload forgotten": Fault("PUT", UPLOADS, status=404),
    "look: error page": Fault("HEAD", BLOB, status=500, times=2),
    "look: cut": Fault("HEAD", BLOB, cut=0),
    "manifest: cut": Fault("PUT", "/manifests/", cut=0),
    "manifest: answer lost": Fault("PUT", "/manifests/", cut_answer=True),
    "manifest: error page": Fault("PUT", "/manifests/", status=503, times=2),
}


class Pipe(BytesIO):
    """A stream that cannot be gone back in."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("a pipe")


def _pushes() -> list[tuple[str, bool, int]]:
    """Data of small blobs goes along with the end; only cuts in data differ by what is kept."""
    return [
        (name, remembers, size)
        for name in PUSHED
        for remembers in ((False, True) if name.startswith("data") else (False,))
        for size in ((12_000_000,) if name.startswith("data") else (100_000, 12_000_000))
    ]


@pytest.mark.parametrize(("fault", "remembers", "size"), _pushes())
def test_pushes_get_through(
    plain: Running, access: Opener, fault: str, remembers: bool, size: int
) -> None:
    one = PUSHED[fault]
    what = image(size, seed=zlib.crc32(f"{fault}{remembers}{size}".encode()))
    used = Fault(**{**vars(one)})
    name = f"pushed-{'r' if remembers else 'f'}-{size}"
    with proxied(plain.host, used, remembers=remembers) as proxy:
        push(f"{proxy.host}/{name}:1", access(), what)
    assert pull(f"{plain.host}/{name}:1", access(), what) == what.layer


def test_a_cut_upload_goes_on_where_it_was(plain: Running, access: Opener) -> None:
    data = noise(14_000_000, seed=3)
    for stream in (BytesIO(data), Pipe(data)):
        fault = Fault("PATCH", UPLOADS, cut_request=6_000_000)
        with (
            proxied(plain.host, fault, remembers=True) as proxy,
            RegistryDestination(
                parse_reference(f"{proxy.host}/resumed:1"),
                access({f"registry.{proxy.host}.chunkSize": "3m"}),
            ) as destination,
        ):
            found = destination.put_blob(Descriptor(OCI_LAYER), stream)
            assert (found.digest, found.size) == (digest_of(data), len(data))
            assert [one.headers.get("content-range") for one in proxy.asked("PATCH")] == [
                None,
                "6000000-9145727",
                "9145728-12291455",
                "12291456-13999999",
            ]


def test_a_registry_that_forgets_gets_even_a_pipe_from_its_beginning(
    plain: Running, access: Opener
) -> None:
    data = noise(14_000_000, seed=4)
    fault = Fault("PATCH", UPLOADS, cut_request=6_000_000, times=3)
    with (
        proxied(plain.host, fault) as proxy,
        RegistryDestination(parse_reference(f"{proxy.host}/forgot:1"), access()) as destination,
    ):
        found = destination.put_blob(Descriptor(OCI_LAYER), Pipe(data))
        assert found.digest == digest_of(data)
        assert destination.has_blob(found.digest)


def test_what_is_not_what_it_was_said_to_be_is_not_uploaded(plain: Running, access: Opener) -> None:
    data = noise(6_000_000, seed=5)
    with RegistryDestination(parse_reference(f"{plain.host}/liar:1"), access()) as destination:
        for hint in (
            Descriptor(OCI_LAYER, digest_of(b"else"), len(data)),
            Descriptor(OCI_LAYER, digest_of(data), len(data) + 1),
            Descriptor(OCI_LAYER, digest_of(data), len(data) - 1),
        ):
            with pytest.raises(BlobMismatch):
                destination.put_blob(hint, BytesIO(data))
        assert not destination.has_blob(digest_of(data))


ENDLESS = {
    "refused": (Fault("*", "", cut=0, times=999), RegistryUnreachable),
    "broken server": (Fault("*", "", status=500, times=999), RegistryBusy),
    "too many requests": (
        Fault("*", "", status=429, times=999, body=b'{"errors":[{"code":"TOOMANYREQUESTS",'
              b'"message":"pull rate limit \\u001b[31mreached"}]}'),
        RegistryBusy,
    ),
    "unauthorized": (Fault("*", "", status=401, times=999), RegistryUnauthorized),
    "denied": (
        Fault("*", "", status=403, times=999, body=b'{"errors":[{"code":"DENIED","message":'
              b'"storage quota exceeded"}]}'),
        RegistryDenied,
    ),
    "nothing there": (Fault("*", "", status=404, times=999), NotInRegistry),
    "teapot": (Fault("*", "", status=418, times=999), RegistryError),
    "endless redirects": (
        Fault("*", "", status=302, headers={"Location": "/v2/x"}, times=999),
        RegistryError,
    ),
    "redirect to a file": (
        Fault("*", "", status=302, headers={"Location": "file:///etc/passwd"}, times=999),
        RegistryError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDLESS)
def test_what_does_not_pass_is_a_clear_error(plain: Running, access: Opener, case: str) -> None:
    fault, kind = ENDLESS[case]
    with proxied(plain.host, Fault(**vars(fault))) as proxy:
        for act in (pull, push):
            with pytest.raises(kind) as raised:
                act(f"{proxy.host}/endless:1", access(), SMALL)
            assert raised.value.message.isprintable() and len(raised.value.message) < 500
            assert "endless" in raised.value.message or proxy.host in raised.value.message
            assert raised.value.hint or kind is RegistryError
        assert len(proxy.seen) <= 40


def test_a_wait_that_is_asked_for_is_kept_to(plain: Running, access: Opener) -> None:
    push(f"{plain.host}/waits:1", access(), SMALL)
    waited: list[float] = []
    policy = Policy(first=0.01, longest=0.02, sleep=waited.append)
    busy = Fault("GET", "/manifests/", status=429, headers={"Retry-After": "7"})
    with proxied(plain.host, busy) as proxy:
        assert pull(f"{proxy.host}/waits:1", access(policy=policy), SMALL) == SMALL.layer
        assert waited == [7.0]
        proxy.faults.append(
            Fault("GET", "/manifests/", status=429, headers={"Retry-After": "3600"})
        )
        with pytest.raises(RegistryError) as raised:
            pull(f"{proxy.host}/waits:1", access(policy=policy), SMALL)
        assert raised.value.hint == "it asks to come back in 3600 seconds"


def test_a_manifest_without_end_is_not_read(plain: Running, access: Opener) -> None:
    huge = Fault("GET", "/manifests/", status=200, body=b" " * (5 << 20), times=9)
    with proxied(plain.host, huge) as proxy, pytest.raises(RegistryError, match="at most 4194304"):
        pull(f"{proxy.host}/huge:1", access(), SMALL)


def test_defaults_give_up_within_half_a_minute(plain: Running, access: Opener) -> None:
    waited: list[float] = []
    with proxied(plain.host, Fault("*", "", status=503, times=99)) as proxy:
        began = time.monotonic()
        with pytest.raises(RegistryBusy):
            pull(f"{proxy.host}/gone:1", access(policy=Policy(sleep=waited.append)), SMALL)
        assert time.monotonic() - began < 10
    assert 7 < sum(waited) < 30 and waited == sorted(waited)


def test_a_server_that_says_nothing_is_given_up(
    access: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "READ_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = {f"registry.{host}.plainHttp": "true"}
        began = time.monotonic()
        with pytest.raises(RegistryUnreachable, match="does not answer"):
            pull(f"{host}/silent:1", access(settings), SMALL)
        assert time.monotonic() - began < 2
