# SPDX-License-Identifier: Apache-2.0
"""skopeo as the referee, both ways: what we push it copies and inspects, what it pushes we read."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
import time
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest

from envgit.image.descriptors import OCI_LAYER, BlobMismatch, Descriptor, digest_of
from envgit.image.parallel import each
from envgit.image.progress import Progress
from envgit.image.references import parse_reference
from envgit.image.registry.docker import RegistryDestination, RegistrySource
from tests.interop.registry.conftest import Opener, image, noise, push, skopeo
from tests.support.faultproxy import Fault, proxied
from tests.support.registries import Running

pytestmark = [pytest.mark.peer("docker-registry"), pytest.mark.peer("skopeo")]


def _skopeo(*arguments: str) -> str:
    return subprocess.run(
        [skopeo(), "--insecure-policy", *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_skopeo_reads_what_we_push(plain: Running, access: Opener, tmp_path: Path) -> None:
    what = image(5_000_000, seed=11)
    digest = push(f"{plain.host}/ours:1", access(), what)
    name = f"docker://{plain.host}/ours:1"
    said = json.loads(_skopeo("inspect", "--tls-verify=false", name))
    assert said["Digest"] == digest and said["Layers"] == [digest_of(what.layer)]
    _skopeo("copy", "--src-tls-verify=false", name, f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy" / digest_of(what.layer).partition(":")[2]).read_bytes() == what.layer


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_we_read_what_skopeo_pushes(
    plain: Running, access: Opener, tmp_path: Path, form: str
) -> None:
    what = image(5_000_000, seed=12)
    push(f"{plain.host}/theirs:1", access(), what)
    _skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "-f", form,
            f"docker://{plain.host}/theirs:1", f"docker://{plain.host}/{form}:1")  # fmt: skip
    with RegistrySource(parse_reference(f"{plain.host}/{form}:1"), access()) as source:
        data, kind = source.manifest()
        assert json.loads(data)["mediaType"] == kind
        layer = Descriptor.from_json(json.loads(data)["layers"][0], "the layer")
        with source.blob(layer) as stream:
            found = stream.read()
        assert (gzip.decompress(found) if layer.compression == "gzip" else found) == what.layer
        assert source.manifest(digest_of(data)) == (data, kind)


def test_many_blobs_at_once_with_one_progress(plain: Running, access: Opener) -> None:
    blobs = [noise(3_000_000 + seed, seed) for seed in range(20, 28)]
    name = parse_reference(f"{plain.host}/parallel:1")
    progress = Progress()
    with RegistryDestination(name, access(), progress=progress) as destination:
        found = each(
            lambda data, stop: destination.put_blob(
                Descriptor(OCI_LAYER, digest_of(data), len(data)), BytesIO(data)
            ),
            blobs,
            most=4,
        )
    sent = progress.snapshot()
    assert (sent.finished, sent.done) == (8, sent.total) == (8, sum(map(len, blobs)))
    progress = Progress()
    with (
        proxied(plain.host, Fault("GET", "/blobs/", cut=1_000_000, times=5)) as proxy,
        RegistrySource(
            parse_reference(f"{proxy.host}/parallel:1"), access(), progress=progress
        ) as source,
    ):

        def read(descriptor: Descriptor, stop: threading.Event) -> bytes:
            with source.blob(descriptor) as stream:
                return stream.read()

        assert each(read, found, most=4) == blobs
    assert progress.snapshot().done == sum(map(len, blobs))


def test_a_file_is_completed_from_what_is_there(
    plain: Running, access: Opener, tmp_path: Path
) -> None:
    what = image(8_000_000, seed=13)
    push(f"{plain.host}/saved:1", access(), what)
    file = tmp_path / "blob"
    with proxied(plain.host) as proxy:
        name = parse_reference(f"{proxy.host}/saved:1")
        for there, asked in (
            (b"", [None]),
            (what.layer[:3_000_000], ["bytes=3000000-"]),
            (what.layer, []),
            (b"wrong" + what.layer[5:3_000_000], ["bytes=3000000-", None]),
            (what.layer + b"more", []),
        ):
            file.write_bytes(there)
            proxy.seen.clear()
            progress = Progress()
            with (
                RegistrySource(name, access(), progress=progress) as source,
                open(file, "r+b") as opened,
            ):
                source.save(what.layer_descriptor, opened)
            assert file.read_bytes() == what.layer
            assert [one.headers.get("range") for one in proxy.asked("GET", "/blobs/")] == asked
            assert progress.snapshot().done == len(what.layer)
        proxy.faults.append(Fault("GET", "/blobs/", corrupt=5, times=9))
        file.write_bytes(b"")
        with (
            RegistrySource(name, access()) as source,
            open(file, "r+b") as opened,
            pytest.raises(BlobMismatch),
        ):
            source.save(what.layer_descriptor, opened)
        assert file.read_bytes() == b""


def test_a_first_failure_ends_all(plain: Running, access: Opener) -> None:
    what = image(3_000_000, seed=14)
    push(f"{plain.host}/ends:1", access(), what)
    missing = Descriptor(OCI_LAYER, digest_of(b"nowhere"), 5)
    began = time.monotonic()
    with (
        RegistrySource(parse_reference(f"{plain.host}/ends:1"), access()) as source,
        pytest.raises(Exception, match="not found"),
    ):

        def read(descriptor: Descriptor, stop: threading.Event) -> int:
            with source.blob(descriptor) as stream:
                return len(stream.read())

        each(read, [missing, *[what.layer_descriptor] * 50], most=3)
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_memory_does_not_grow_with_blobs(plain: Running, access: Opener, tmp_path: Path) -> None:
    file = tmp_path / "large"
    block = noise(1 << 20, seed=15)
    with open(file, "wb") as opened:
        for _ in range(150):
            opened.write(block)
    name = parse_reference(f"{plain.host}/memory:1")
    tracemalloc.start()
    with RegistryDestination(name, access()) as destination, open(file, "rb") as opened:
        found = destination.put_blob(Descriptor(OCI_LAYER), opened)
    with RegistrySource(name, access()) as source, source.blob(found) as stream:
        while stream.read(1 << 18):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 << 20
