# SPDX-License-Identifier: Apache-2.0
"""Registries that the tests of this folder share, and images to move."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from envgit.image.descriptors import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, digest_of
from envgit.image.references import parse_reference
from envgit.image.registry.access import Access
from envgit.image.registry.docker import RegistryDestination, RegistrySource
from envgit.image.registry.retries import Policy
from envgit.settings import Settings
from tests.support import gate, peers
from tests.support.registries import Certificates, Running, certificates, registry

# Waits are what the tests of retries count, not sit through.
FAST = Policy(first=0.01, longest=0.02)

Opener = Callable[..., Access]


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA and its certificates."""
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A registry that speaks plain http and lets everybody do everything."""
    for name in ("docker-registry",):
        gate.demand(name, peers.Peer.parse(name).why_not())
    with registry(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture
def access(tmp_path: Path) -> Opener:
    """``access(policy=..., environ=..., **settings)``: nothing of this machine's counts."""

    def make(
        settings: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        policy: Policy = FAST,
    ) -> Access:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        given = {"HOME": str(home), "TMPDIR": str(tmp_path), **(environ or {})}
        given.setdefault("XDG_RUNTIME_DIR", str(home))
        loaded = Settings.load(
            environ={"ENVGIT_CONFIG_NOSYSTEM": "1"}, overrides=list((settings or {}).items())
        )
        return Access(loaded, given, policy, root=str(tmp_path))

    return make


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer, by its bytes."""

    layer: bytes
    config: bytes

    @property
    def layer_descriptor(self) -> Descriptor:
        return Descriptor(OCI_LAYER, digest_of(self.layer), len(self.layer))

    @property
    def manifest(self) -> bytes:
        config = Descriptor(OCI_CONFIG, digest_of(self.config), len(self.config))
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": config.to_json(),
                "layers": [self.layer_descriptor.to_json()],
            }
        ).encode()


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress, the same each time."""
    return random.Random(seed).randbytes(size)


def image(size: int, seed: int = 1) -> Image:
    """An image whose layer is noise: what is moved is not looked into."""
    layer = noise(size, seed)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    return Image(layer, json.dumps(config).encode())


def push(name: str, access: Access, what: Image) -> str:
    """Push an image as a verb would; the manifest's digest."""
    with RegistryDestination(parse_reference(name), access) as destination:
        for data, kind in ((what.layer, OCI_LAYER), (what.config, OCI_CONFIG)):
            hint = Descriptor(kind, digest_of(data), len(data))
            if not destination.has_blob(hint.digest):
                destination.put_blob(hint, BytesIO(data))
        digest = destination.put_manifest(what.manifest, OCI_MANIFEST, "")
        destination.commit()
    return digest


def pull(name: str, access: Access, what: Image) -> bytes:
    """Read the manifest and then the layer, which is returned."""
    with RegistrySource(parse_reference(name), access) as source:
        data, kind = source.manifest()
        assert (data, kind) == (what.manifest, OCI_MANIFEST)
        with source.blob(what.layer_descriptor) as stream:
            return stream.read()


def skopeo() -> str:
    """The path of skopeo, for tests marked with it."""
    found = shutil.which("skopeo")
    assert found is not None
    return found
