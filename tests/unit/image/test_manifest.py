# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes: what is read, what is refused, and that writing is the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envgit.image.descriptors import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    Platform,
    check_digest,
    parse_platform,
)
from envgit.image.manifest import Index, Manifest, build, build_index, parse
from envgit.image.platforms import choose, of_machine, suitability

DIGEST = "sha256:" + "ab" * 32
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": DIGEST, "size": 3}
GOOD: dict[str, Any] = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
LIST: dict[str, Any] = {"schemaVersion": 2, "manifests": []}


def text(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST, ""])
def test_a_manifest_is_read_and_written_back(kind: str) -> None:
    data = text({**GOOD, "mediaType": kind} if kind else GOOD)
    found = parse(data, kind)
    assert isinstance(found, Manifest)
    assert found.media_type == (kind or OCI_MANIFEST)
    assert found.layers[0].compression == "gzip"
    again = parse(build(found.media_type, found.config, found.layers))
    assert isinstance(again, Manifest)
    assert (again.config, again.layers) == (found.config, found.layers)


def test_annotations_are_kept() -> None:
    found = parse(text({**GOOD, "annotations": {"b": "2", "a": "1"}}))
    assert isinstance(found, Manifest)
    written = build(OCI_MANIFEST, found.config, found.layers, found.annotations)
    assert json.loads(written)["annotations"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        (b"", "", "not JSON"),
        (b"[]", "", "not a JSON object"),
        (b"[" * 100_000, "", "not JSON"),
        (b'{"schemaVersion": NaN}', "", "not JSON"),
        (b" " * ((4 << 20) + 1), "", "more than"),
        (text({"schemaVersion": 1, "fsLayers": []}), "", "schema 1"),
        (
            text(GOOD),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "schema 1",
        ),
        (text({**GOOD, "manifests": []}), "", "that of several"),
        (text({**GOOD, "mediaType": OCI_INDEX}), "", "something else"),
        (text({**GOOD, "mediaType": DOCKER_MANIFEST}), OCI_MANIFEST, "came as"),
        (text({**GOOD, "mediaType": "application/x"}), "", "no image"),
        (text({**GOOD, "schemaVersion": 3}), "", "schemaVersion"),
        (text({**GOOD, "layers": [LAYER] * 5000}), "", "list of layers"),
        (text({**GOOD, "layers": [{**LAYER, "size": -1}]}), "", "layer 1 has an impossible size"),
        (text({**GOOD, "layers": [{**LAYER, "size": True}]}), "", "impossible size"),
        (text({**GOOD, "layers": [{**LAYER, "digest": "sha256:../x"}]}), "", "not a digest"),
        (text({**GOOD, "layers": [{**LAYER, "digest": "md5:00"}]}), "", "not a digest"),
        (text({**GOOD, "layers": [{**LAYER, "mediaType": "x\ny/z"}]}), "", "media type"),
        (text({**GOOD, "layers": ["x"]}), "", "not described by an object"),
        (text({**GOOD, "config": None}), "", "config is not described"),
        (text({**GOOD, "annotations": {"a": 1}}), "", "annotations"),
        (text({**LIST, "manifests": [LAYER] * 5000}), "", "list of images"),
    ],
)
def test_what_is_refused(document: bytes, kind: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        parse(document, kind)


def image(platform: str, digit: str, **fields: Any) -> Descriptor:
    return Descriptor(
        OCI_MANIFEST, "sha256:" + digit * 64, 10, platform=parse_platform(platform), **fields
    )


def test_an_index_is_read_and_written_back() -> None:
    images = [image("linux/amd64", "1"), image("linux/arm/v7", "2")]
    for kind in (OCI_INDEX, DOCKER_LIST):
        found = parse(build_index(kind, images))
        assert isinstance(found, Index)
        assert list(found.manifests) == images


@pytest.mark.parametrize(
    ("wanted", "digit"),
    [
        ("linux/amd64", "1"),
        ("amd64", "1"),
        ("linux/x86_64", "1"),
        ("linux/amd64/v4", "5"),
        ("linux/arm64", "2"),
        ("linux/arm64/v8", "2"),
        ("linux/arm/v7", "4"),
        ("linux/arm", "4"),
        ("linux/armhf", "4"),
        ("linux/arm/v6", "3"),
        ("linux/arm/v8", "4"),
    ],
)
def test_the_best_that_runs_is_chosen(wanted: str, digit: str) -> None:
    attestation = {"vnd.docker.reference.type": "attestation-manifest"}
    images = [
        image("unknown/unknown", "9", annotations=attestation),
        image("linux/arm/v5", "8"),
        image("linux/amd64", "1"),
        image("linux/amd64/v3", "5"),
        image("linux/arm/v6", "3"),
        image("linux/arm/v7", "4"),
        image("linux/arm64/v8", "2"),
        image("linux/amd64", "7"),
        image("windows/amd64", "6"),
    ]
    chosen = choose(images, parse_platform(wanted), of_machine("x86_64"))
    assert chosen.digest == "sha256:" + digit * 64


def test_nothing_for_the_platform() -> None:
    images = [image("linux/amd64", "1"), image("linux/s390x", "2")]
    with pytest.raises(ImageError, match="linux/amd64, linux/s390x") as caught:
        choose(images, None, of_machine("riscv64"))
    assert "--platform" in (caught.value.hint or "")
    older, machine = [image("linux/arm/v6", "1"), images[0]], of_machine("x86_64")
    with pytest.raises(ImageError, match="no image for linux/arm/v5"):
        choose(older, parse_platform("linux/arm/v5"), machine)
    # A lone image is taken when nobody asked for a platform.
    assert choose(images[1:], None, of_machine("x86_64")) == images[1]


def test_words() -> None:
    assert suitability(Platform("linux", "amd64"), Platform("linux", "amd64", "v2")) == -1
    assert str(parse_platform("linux/arm/v7")) == "linux/arm/v7"
    for wrong in ("", "a/b/c/d", "linux/", "li nux/amd64", "/"):
        with pytest.raises(ImageError):
            parse_platform(wrong)
    for digest in ("sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha512:" + "a" * 64, None, 1):
        with pytest.raises(ImageError):
            check_digest(digest)
