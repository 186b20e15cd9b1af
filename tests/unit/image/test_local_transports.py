# SPDX-License-Identifier: Apache-2.0
"""Layouts, archives and folders: what is read and refused; writing shows all or nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.image.descriptors import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    BlobMismatch,
    Descriptor,
    ImageError,
)
from envgit.image.directory import DirectoryDestination, DirectorySource
from envgit.image.dockerarchive import DockerArchiveDestination, DockerArchiveSource
from envgit.image.layout import LayoutDestination, LayoutSource
from envgit.image.layoutarchive import LayoutArchiveDestination, LayoutArchiveSource
from envgit.image.manifest import Manifest, build, parse
from envgit.image.transport import ImageDestination, ImageSource
from tests.support import ociimages
from tests.support.layertars import archive, member
from tests.support.ociimages import Layout, digest

LAYERS = [archive(member("a", data=b"1" * 3000)), archive(member("b", data=b"2"))]

Open = Callable[[Path], Any]
PLACES: dict[str, tuple[Open, Open]] = {
    "oci": (lambda p: LayoutSource(str(p), "t"), lambda p: LayoutDestination(str(p), "t")),
    "oci-archive": (
        lambda p: LayoutArchiveSource(str(p), "t"),
        lambda p: LayoutArchiveDestination(str(p), "t"),
    ),
    "docker-archive": (
        lambda p: DockerArchiveSource(str(p), "my/image"),
        lambda p: DockerArchiveDestination(str(p), "my/image:latest"),
    ),
    "dir": (lambda p: DirectorySource(str(p)), lambda p: DirectoryDestination(str(p))),
}


def config(*layers: bytes) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()


def put(destination: ImageDestination, *layers: bytes) -> str:
    """Put an image of uncompressed layers, without committing it."""
    described = destination.put_blob(Descriptor(OCI_CONFIG), io.BytesIO(config(*layers)))
    blobs = [destination.put_blob(Descriptor(OCI_LAYER), io.BytesIO(each)) for each in layers]
    return destination.put_manifest(build(OCI_MANIFEST, described, blobs), OCI_MANIFEST, "")


def image_of(source: ImageSource) -> Manifest:
    found = parse(*source.manifest())
    assert isinstance(found, Manifest)
    return found


def layers_of(source: ImageSource) -> list[bytes]:
    found = []
    for layer in image_of(source).layers:
        with source.blob(layer) as stream:
            found.append(stream.read())
    return found


@pytest.mark.parametrize("kind", PLACES)
def test_what_was_written_is_read(kind: str, tmp_path: Path) -> None:
    read, write = PLACES[kind]
    place = tmp_path / "place"
    for layers in (LAYERS, LAYERS[:1], [LAYERS[1], LAYERS[1]]):
        with write(place) as destination:
            put(destination, *layers)
            assert destination.has_blob(digest(layers[0]))
            destination.commit()
        with read(place) as source:
            assert layers_of(source) == layers
    assert os.listdir(tmp_path) == ["place"]


@pytest.mark.parametrize("kind", PLACES)
def test_equal_images_are_written_equally(kind: str, tmp_path: Path) -> None:
    if kind in ("oci", "dir"):
        return
    _, write = PLACES[kind]
    for name in ("one", "two"):
        with write(tmp_path / name) as destination:
            put(destination, *LAYERS)
            destination.commit()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", PLACES)
def test_without_commit_nothing_is_left(kind: str, tmp_path: Path) -> None:
    read, write = PLACES[kind]
    with pytest.raises(KeyError), write(tmp_path / "place") as destination:
        put(destination, *LAYERS)
        raise KeyError
    assert os.listdir(tmp_path) == []
    with write(tmp_path / "place") as destination:
        put(destination, LAYERS[0])
        destination.commit()
    with pytest.raises(BlobMismatch), write(tmp_path / "place") as destination:
        wrong = Descriptor(OCI_LAYER, digest(b"other"), 5)
        destination.put_blob(wrong, io.BytesIO(LAYERS[1]))
    with read(tmp_path / "place") as source:
        assert layers_of(source) == LAYERS[:1]
    assert os.listdir(tmp_path) == ["place"]


@pytest.mark.parametrize("kind", PLACES)
def test_what_a_killed_one_left_goes(kind: str, tmp_path: Path) -> None:
    _, write = PLACES[kind]
    parent = tmp_path / "parent"
    place = parent if kind == "oci" else parent / "place"
    parent.mkdir()
    left = parent / ".envgit-0123.part"
    left.mkdir()
    (left / "1").write_bytes(b"x")
    with write(place) as destination:
        assert not left.exists()
        put(destination, *LAYERS)
        destination.commit()


def test_other_images_of_a_layout_stay(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    layout.name(layout.manifest(LAYERS), "old")
    layout.name(layout.manifest(LAYERS[:1]))
    for name, layers in (("new", LAYERS[1:]), ("new", LAYERS), ("", LAYERS), ("", LAYERS)):
        with LayoutDestination(str(tmp_path / "oci"), name) as destination:
            put(destination, *layers)
            destination.commit()
    index = json.loads((tmp_path / "oci/index.json").read_text())
    key = "org.opencontainers.image.ref.name"
    names = [each.get("annotations", {}).get(key) for each in index["manifests"]]
    assert names == ["old", None, "new", None]
    assert len(layers_of(LayoutSource(str(tmp_path / "oci"), "new"))) == 2
    with pytest.raises(ImageError, match="4 images") as caught:
        LayoutSource(str(tmp_path / "oci"))
    assert caught.value.hint == "name one: new, old"
    with pytest.raises(ImageError, match="no image 'x'"):
        LayoutSource(str(tmp_path / "oci"), "x")
    by_digest = LayoutSource(str(tmp_path / "oci"), f"@{index['manifests'][1]['digest']}")
    assert len(image_of(by_digest).layers) == 1


def test_a_damaged_blob_of_a_layout_is_not_used_again(tmp_path: Path) -> None:
    with LayoutDestination(str(tmp_path / "oci"), "t") as destination:
        put(destination, *LAYERS)
        destination.commit()
    blob = tmp_path / "oci/blobs/sha256" / digest(LAYERS[0])[7:]
    blob.write_bytes(b"x" + LAYERS[0][1:])
    with LayoutSource(str(tmp_path / "oci"), "t") as source:
        with pytest.raises(BlobMismatch, match="damaged"):
            layers_of(source)
        # Who reads only a part is told, too.
        with pytest.raises(BlobMismatch), source.blob(image_of(source).layers[0]) as stream:
            stream.read(10)
    blob.write_bytes(LAYERS[0][:-1])
    with LayoutSource(str(tmp_path / "oci"), "t") as source, pytest.raises(BlobMismatch):
        layers_of(source)
    with LayoutDestination(str(tmp_path / "oci"), "t") as destination:
        assert not destination.has_blob(digest(LAYERS[0]))
        put(destination, *LAYERS)
        destination.commit()
    assert blob.read_bytes() == LAYERS[0]


def test_what_is_no_layout(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no OCI layout"):
        LayoutSource(str(tmp_path / "none"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(ImageError, match="not empty"):
        LayoutDestination(str(tmp_path / "full"))
    layout = Layout(tmp_path / "oci")
    with pytest.raises(ImageError, match="no image in"):
        LayoutSource(str(tmp_path / "oci"))
    layout.name({"mediaType": ociimages.MANIFEST, "digest": "sha256:../../x", "size": 1})
    with pytest.raises(ImageError, match="not a digest"):
        LayoutSource(str(tmp_path / "oci"))
    (tmp_path / "oci/oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    with pytest.raises(ImageError, match="version"):
        LayoutSource(str(tmp_path / "oci"))


# -- docker's archives -------------------------------------------------------------------------


def add(file: tarfile.TarFile, name: str, data: bytes = b"", link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
    file.addfile(info, io.BytesIO(data))


def docker_save(path: Path, *, packed: bool = False) -> None:
    """As docker up to 24 does: a folder a layer, symlinks for the ones that come twice."""
    layers = [LAYERS[0], LAYERS[1], LAYERS[0]]
    data = config(*layers)
    with tarfile.open(path, "w") as file:
        add(file, "one/layer.tar", gzip.compress(LAYERS[0]) if packed else LAYERS[0])
        add(file, "two/layer.tar", LAYERS[1])
        add(file, "three/layer.tar", link="../one/layer.tar")
        add(file, digest(data)[7:] + ".json", data)
        listed = {
            "Config": digest(data)[7:] + ".json",
            "RepoTags": ["my/image:1", "localhost:5000/x:latest"],
            "Layers": ["one/layer.tar", "two/layer.tar", "three/layer.tar"],
        }
        add(file, "manifest.json", json.dumps([listed]).encode())
        add(file, "repositories", b"{}")


@pytest.mark.parametrize("packed", [False, True])
def test_the_first_generation_of_docker_save(tmp_path: Path, packed: bool) -> None:
    docker_save(tmp_path / "a.tar", packed=packed)
    for name in ("", "@0", "my/image:1", "docker.io/my/image:1", "localhost:5000/x"):
        with DockerArchiveSource(str(tmp_path / "a.tar"), name) as source:
            assert layers_of(source) == [LAYERS[0], LAYERS[1], LAYERS[0]]
    for name in ("my/image", "@1", "other"):
        with pytest.raises(ImageError, match="no image"):
            DockerArchiveSource(str(tmp_path / "a.tar"), name)


def test_a_compressed_archive(tmp_path: Path) -> None:
    docker_save(tmp_path / "a.tar")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with DockerArchiveSource(str(tmp_path / "a.tar.gz")) as source:
        assert len(layers_of(source)) == 3


def test_damaged_archives(tmp_path: Path) -> None:
    docker_save(tmp_path / "a.tar")
    whole = (tmp_path / "a.tar").read_bytes()
    bad = tmp_path / "bad.tar"
    bad.write_bytes(whole.replace(b"1" * 3000, b"1" * 2999 + b"2"))
    with DockerArchiveSource(str(bad)) as source, pytest.raises(BlobMismatch, match="damaged"):
        layers_of(source)
    bad.write_bytes(whole.replace(b'"amd64"', b'"AMD64"'))
    with pytest.raises(BlobMismatch, match="config"):
        DockerArchiveSource(str(bad))
    for cut in range(0, len(whole), 1711):
        bad.write_bytes(whole[:cut])
        with pytest.raises(ImageError), DockerArchiveSource(str(bad)) as source:
            layers_of(source)
            raise ImageError("the end alone was missing")
    bad.write_bytes(os.urandom(5000))
    with pytest.raises(ImageError, match="not a sound tar"):
        DockerArchiveSource(str(bad))
    with tarfile.open(bad, "w") as file:
        add(file, "etc/passwd", b"x")
    with pytest.raises(ImageError, match="no archive of docker save") as caught:
        DockerArchiveSource(str(bad))
    assert caught.value.hint == f"for a root filesystem write tar:{bad}"


@pytest.mark.parametrize(
    "listed",
    [
        {},
        [],
        [{}],
        [{"Config": 1}],
        [{"Config": "/etc/passwd", "Layers": []}],
        [{"Config": "c.json", "Layers": "x"}],
        [{"Config": "c.json", "Layers": [1]}],
        [{"Config": "c.json", "Layers": ["../../etc/passwd"]}],
        [{"Config": "loop", "Layers": []}],
    ],
)
def test_impossible_lists(tmp_path: Path, listed: object) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        add(file, "c.json", config(LAYERS[0]))
        add(file, "loop", link="loop")
        add(file, "manifest.json", json.dumps(listed).encode())
    with pytest.raises(ImageError):
        DockerArchiveSource(str(tmp_path / "a.tar"))


def test_an_archive_for_docker_is_a_layout_too(tmp_path: Path) -> None:
    with DockerArchiveDestination(str(tmp_path / "a.tar"), "debian") as destination:
        put(destination, *LAYERS)
        destination.commit()
    with LayoutArchiveSource(str(tmp_path / "a.tar"), "latest") as source:
        assert layers_of(source) == LAYERS
    with tarfile.open(tmp_path / "a.tar") as file:
        listed = file.extractfile("manifest.json")
        assert listed is not None
        assert json.load(listed)[0]["RepoTags"] == ["debian:latest"]


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(ImageError, match="something else"):
        DirectoryDestination(str(tmp_path / "full"))
    with pytest.raises(ImageError, match="not a folder"):
        DirectorySource(str(tmp_path / "none"))
    with pytest.raises(ImageError, match=r"manifest\.json is missing"):
        DirectorySource(str(tmp_path / "full")).manifest()
    (tmp_path / "full/version").write_text("Directory Transport Version: 2.0\n")
    with pytest.raises(ImageError, match="not known here"):
        DirectorySource(str(tmp_path / "full"))
