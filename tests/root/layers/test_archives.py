# SPDX-License-Identifier: Apache-2.0
"""Archives of a tree with every hard case, between envgit and GNU tar, in both directions."""

from __future__ import annotations

import gzip
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from envgit.fs import durable
from envgit.layers import tar, untar
from envgit.layers.entry import walk
from envgit.layers.scan import Scan, scan
from envgit.layers.view import Overlay
from tests.support import hardcases
from tests.support.overlays import assert_same, photograph

pytestmark = [pytest.mark.root, pytest.mark.needs("mknod", "trusted_xattr")]

GNU = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    hardcases.make(str(root))
    return root


def described(root: Path) -> Scan:
    return scan(os.fsencode(root), overlay=False)


def written(root: Path, archive: Path) -> None:
    with Overlay([str(root)]) as view, open(archive, "wb") as stream:
        tar.write(stream, described(root).node, view.open)


def extracted(archive: Path, dest: Path) -> untar.Extracted:
    dest.mkdir()
    with open(archive, "rb") as stream:
        return untar.extract(stream, str(dest))


def test_what_is_written_reads_back_equal(tree: Path, tmp_path: Path) -> None:
    written(tree, tmp_path / "a.tar")
    result = extracted(tmp_path / "a.tar", tmp_path / "back")
    assert result.skipped == ()
    assert_same(
        photograph(str(tmp_path / "back"), seconds=True), photograph(str(tree), seconds=True)
    )
    assert dict(walk(described(tmp_path / "back").node)) == dict(walk(described(tree).node))
    assert os.stat(tmp_path / "back/sparse").st_blocks * 512 < 1 << 20
    written(tmp_path / "back", tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@pytest.mark.peer("tar>=1.30")
def test_gnu_tar_reads_what_is_written(tree: Path, tmp_path: Path) -> None:
    # GNU tar hands whole paths to the kernel and cannot unpack those longer than PATH_MAX.
    durable.remove_tree(str(tree / "deep"))
    written(tree, tmp_path / "a.tar")
    (tmp_path / "back").mkdir()
    done = subprocess.run(
        [*GNU, "--warning=no-timestamp", "-C", str(tmp_path / "back"), "-xpf", tmp_path / "a.tar"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    back = photograph(str(tmp_path / "back"), seconds=True)
    assert_same(back, photograph(str(tree), seconds=True))


@pytest.mark.peer("tar>=1.30")
@pytest.mark.parametrize("form", ["pax", "gnu"])
@pytest.mark.parametrize("compression", ["", "--gzip", "--xz", "--zstd", "--bzip2"])
def test_what_gnu_tar_writes_is_read(
    tree: Path, tmp_path: Path, form: str, compression: str
) -> None:
    # GNU tar does not see that two names are one device, and its own format has no place for
    # extended attributes.
    os.unlink(tree / "null2")
    command = GNU if form == "pax" else ["tar", "--numeric-owner"]
    options = [f"--format={form}", "--sparse", *compression.split()]
    archive = tmp_path / "a.tar"
    subprocess.run([*command, *options, "-C", str(tree), "-cf", str(archive), "."], check=True)
    result = extracted(archive, tmp_path / "back")
    assert result.skipped == ()
    expected, actual = (
        photograph(str(tree), seconds=True),
        photograph(str(tmp_path / "back"), seconds=True),
    )
    if form == "gnu":
        for shots in (expected, actual):
            for path, shot in shots.items():
                # Without its ACL a file's group bits are those of the group, not the ACL's mask.
                shots[path] = replace(shot, xattrs=(), mode=shot.mode & ~0o070)
    assert_same(actual, expected)
    if form == "pax":
        assert (tmp_path / "back/sparse").stat().st_mtime_ns == (tree / "sparse").stat().st_mtime_ns


def test_a_cut_anywhere_is_an_error(tree: Path, tmp_path: Path) -> None:
    os.unlink(tree / "sparse")
    written(tree, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512
    packed = gzip.compress(data, 1)
    for number, cut in enumerate([0, 3, 511, 512, 1000, 5120, end // 2, end // 2 + 7, end]):
        for kind, content in (
            ("plain", data[:cut]),
            ("gzip", packed[: cut * len(packed) // len(data)]),
        ):
            path = tmp_path / f"{kind}{number}.tar"
            path.write_bytes(content)
            with pytest.raises(untar.ArchiveError):
                extracted(path, tmp_path / f"{kind}{number}")


@pytest.mark.peer("umoci>=0.4")
def test_umoci_reads_what_is_written(tree: Path, tmp_path: Path) -> None:
    # In an OCI layer these names are whiteouts, and Go's archive/tar knows neither attributes
    # without a value nor GNU tar's way of writing "=" in their names.
    for name in os.listdir(tree / "odd"):
        if name.startswith(".wh."):
            durable.remove_tree(str(tree / "odd" / name))
    os.unlink(tree / "etc/user-xattrs")
    durable.remove_tree(str(tree / "deep"))
    written(tree, tmp_path / "a.tar")
    for command in (
        ["init", "--layout", "image"],
        ["new", "--image", "image:x"],
        ["raw", "add-layer", "--image", "image:x", "a.tar"],
        ["unpack", "--image", "image:x", "bundle"],
    ):
        subprocess.run(["umoci", *command], cwd=tmp_path, check=True, capture_output=True)
    back = photograph(str(tmp_path / "bundle/rootfs"), seconds=True)
    assert_same(back, photograph(str(tree), seconds=True))
