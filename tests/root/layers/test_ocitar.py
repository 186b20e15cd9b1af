# SPDX-License-Identifier: Apache-2.0
"""Layers of images that envgit writes: read back by itself, umoci and podman they show the tree.

Law: what is written of two trees, unpacked over the first, shows the second.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from envgit.fs import durable
from envgit.layers import tar, untar
from envgit.layers.apply import apply
from envgit.layers.compare import normalize
from envgit.layers.decompression import ArchiveError
from envgit.layers.entry import Directory, Entry, Kind, Node, walk
from envgit.layers.ocilayer import apply_layer
from envgit.layers.ocitar import WrittenLayer, write_difference, write_layer
from envgit.layers.scan import scan
from envgit.layers.view import Overlay
from tests.support import hardcases, trees
from tests.support.layertars import Stack
from tests.support.overlays import assert_same, photograph

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay", "mknod", "trusted_xattr")]

CONTENT = {hashlib.sha256(text).hexdigest(): text for text in (b"", b"1", b"2")}


def sized(tree: Node) -> Node:
    """A tree of `trees`, whose files have no sizes, with those of their contents."""
    for path, entry in list(walk(tree)):
        if entry.kind == Kind.FILE:
            trees.at(tree, path).entry = replace(entry, size=len(CONTENT[entry.sha256]))
    return tree


def content(tree: Node, path: bytes) -> io.BytesIO:
    return io.BytesIO(CONTENT[trees.at(tree, path).entry.sha256])


def written(old: Directory | None, new: Node) -> tuple[bytes, WrittenLayer]:
    out = io.BytesIO()
    done = write_difference(out, old, new, lambda path: content(new, path))
    return out.getvalue(), done


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    durable.remove_tree(str(tmp_path / "laws"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees.trees(), trees.trees())
def test_what_is_written_of_two_trees_makes_one_of_the_other(
    scratch: Path, old: Node, new: Node
) -> None:
    old, new = sized(old), sized(new)
    place = scratch / "laws"
    if place.exists():
        durable.remove_tree(str(place))
    for name in ("base", "upper", "first"):
        (place / name).mkdir(parents=True)
    whole, _ = written(None, old)
    apply_layer(io.BytesIO(whole), str(place / "first"), None)
    assert scan(os.fsencode(place / "first"), overlay=True).node == old
    plain = io.BytesIO()
    tar.write(plain, old, lambda path: content(old, path))
    untar.extract(io.BytesIO(plain.getvalue()), str(place / "base"))
    data, done = written(old, new)
    assert done.diff_id == hashlib.sha256(data).hexdigest()
    assert (done.size, done.skipped) == (len(data), ())
    with Overlay([str(place / "base")]) as view:
        applied = apply_layer(io.BytesIO(data), str(place / "upper"), old, view)
    assert applied.diff_id == done.diff_id and applied.skipped == ()
    layer = scan(os.fsencode(place / "upper"), overlay=True).node
    assert apply(old, layer) == new
    # Nothing that hides nothing, and what is written of the layer itself is the same.
    assert normalize(layer, old).unopaque == []
    again = io.BytesIO()
    write_layer(again, normalize(layer, old).layer, old, lambda path: content(new, path))
    (place / "again").mkdir()
    with Overlay([str(place / "base")]) as view:
        apply_layer(io.BytesIO(again.getvalue()), str(place / "again"), old, view)
    assert apply(old, scan(os.fsencode(place / "again"), overlay=True).node) == new


def directory(children: dict[bytes, Node], mode: int = 0o755) -> Node:
    return Node(Entry(Kind.DIR, mode), children)


def file(mtime: int = 0) -> Node:
    return Node(Entry(Kind.FILE, 0o644, mtime=mtime, sha256=hashlib.sha256(b"").hexdigest()))


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_whiteouts_come_first_and_the_shorter_way() -> None:
    old = directory(
        {
            b"many": directory({b"a": file(), b"b": file()}),
            b"one": directory({b"a": file()}),
            b"some": directory({b"a": file(), b"b": file(), b"c": file()}),
        }
    )
    new = directory(
        {
            b"many": directory({b"A": file()}),
            b"one": directory({b"A": file()}),
            b"some": directory({b"c": file(), b"A": file()}),
        }
    )
    data, _ = written(old, new)
    assert names(data) == [
        "many",
        "many/.wh..wh..opq",
        "many/A",
        "one",
        "one/.wh.a",
        "one/A",
        "some",
        "some/.wh.a",
        "some/.wh.b",
        "some/A",
    ]


def test_times_are_reproducible() -> None:
    tree = directory({b"d": directory({b"f": file(2000), b"g": file(-5)})})
    out = io.BytesIO()
    write_difference(out, None, tree, lambda path: io.BytesIO(), latest=1000, directory_mtime=5000)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert {m.name: m.mtime for m in archive} == {".": 1000, "d": 1000, "d/f": 1000, "d/g": -5}
    assert written(None, tree) == written(None, tree)


def test_a_name_like_a_whiteout_cannot_be_written() -> None:
    tree = directory({b".wh.x": file(), b"y": file()})
    with pytest.raises(ArchiveError, match=r"\.wh\.x"):
        written(None, tree)
    out = io.BytesIO()
    done = write_difference(out, None, tree, lambda path: io.BytesIO(), lenient=True)
    assert [s.path for s in done.skipped] == [b".wh.x"] and names(out.getvalue()) == [".", "y"]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Every hard case before and after every kind of change, but names like whiteouts."""
    roots = tmp_path / "old", tmp_path / "new"
    for root in roots:
        root.mkdir()
        hardcases.make(str(root))
    hardcases.change(str(roots[1]))
    hardcases.times(str(roots[1]))
    for root in roots:
        for name in os.listdir(root / "odd"):
            if name.startswith(".wh."):
                durable.remove_tree(str(root / "odd" / name))
        if os.path.lexists(root / "socket"):
            os.unlink(root / "socket")
    return roots


def layers_of(two: tuple[Path, Path], scratch: Path) -> list[Path]:
    made = []
    old: Node | None = None
    for number, root in enumerate(two):
        new = scan(os.fsencode(root), overlay=False).node
        path = scratch / f"{number}.tar"
        with open(path, "wb") as stream, Overlay([str(root)]) as view:
            write_difference(stream, old, new, view.open)
        old = new
        made.append(path)
    return made


def test_every_hard_case_and_change_reads_back(two: tuple[Path, Path], tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    for archive in layers_of(two, tmp_path):
        assert stack.add(gzip.compress(archive.read_bytes(), 1)).skipped == ()
    assert stack.rootfs is not None
    expected = scan(os.fsencode(two[1]), overlay=False).node
    assert_same(dict(walk(stack.rootfs)), dict(walk(expected)))


@pytest.mark.peer("umoci>=0.4")
def test_umoci_reads_every_hard_case_and_change(two: tuple[Path, Path], tmp_path: Path) -> None:
    # Go's archive/tar knows neither attributes without a value nor GNU tar's "=" in their names,
    # and umoci hands whole paths to the kernel.
    for root in two:
        os.unlink(root / "etc/user-xattrs")
        durable.remove_tree(str(root / "deep"))
    archives = layers_of(two, tmp_path)
    commands = [
        ["init", "--layout", "image"],
        ["new", "--image", "image:x"],
        *(["raw", "add-layer", "--image", "image:x", str(path)] for path in archives),
        ["unpack", "--image", "image:x", "bundle"],
    ]
    for command in commands:
        subprocess.run(["umoci", *command], cwd=tmp_path, check=True, capture_output=True)
    back = photograph(str(tmp_path / "bundle/rootfs"), seconds=True)
    assert_same(back, photograph(str(two[1]), seconds=True))


def without_fractions(root: Path) -> None:
    for path, directories, files in os.walk(root):
        for name in directories + files:
            when = os.lstat(f"{path}/{name}").st_mtime_ns // 10**9 * 10**9
            os.utime(f"{path}/{name}", ns=(when, when), follow_symlinks=False)


@pytest.mark.peer("umoci>=0.4")
@pytest.mark.peer("skopeo>=1")
def test_what_umoci_writes_is_read(two: tuple[Path, Path], tmp_path: Path) -> None:
    """umoci repacks the second tree over the first. Go's archive/tar rounds times to seconds."""
    for root in two:
        os.unlink(root / "etc/user-xattrs")
        durable.remove_tree(str(root / "deep"))
        without_fractions(root)
    first = layers_of(two, tmp_path)[0]
    image = ["--image", "image:x"]
    commands = [
        ["umoci", "init", "--layout", "image"],
        ["umoci", "new", *image],
        ["umoci", "raw", "add-layer", *image, str(first)],
        ["umoci", "unpack", *image, "bundle"],
        ["rm", "-r", "bundle/rootfs"],
        ["cp", "-a", str(two[1]), "bundle/rootfs"],
        ["umoci", "repack", *image, "bundle"],
        ["skopeo", "copy", "oci:image:x", "dir:flat"],
    ]
    for command in commands:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    manifest = json.loads((tmp_path / "flat/manifest.json").read_text())
    stack = Stack(tmp_path)
    for layer in manifest["layers"]:
        done = stack.add((tmp_path / "flat" / layer["digest"].partition(":")[2]).read_bytes())
        assert f"sha256:{done.digest}" == layer["digest"]
    assert stack.rootfs is not None
    expected = dict(walk(scan(os.fsencode(two[1]), overlay=False).node))
    assert_same(dict(walk(stack.rootfs)), expected)
