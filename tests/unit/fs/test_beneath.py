# SPDX-License-Identifier: Apache-2.0
"""Walking beneath a root: nothing leads out, and length and depth do not matter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.fs import beneath, syscalls
from envgit.fs.beneath import Walker, hold_parent, open_beneath, open_root

LONG = [b"%03d" % n + b"x" * 200 for n in range(120)]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "outside").write_text("secret")
    top = tmp_path / "root"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_text("inside")
    (top / "up").symlink_to("..")
    (top / "a/link").symlink_to("b")
    (top / "absolute").symlink_to("/etc")
    fd = open_root(str(top))
    yield fd
    os.close(fd)


@pytest.fixture(params=["openat2", "stepwise"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: with the system call, and as on a kernel that does not have it."""
    if request.param == "stepwise":

        def absent(*_: object) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(syscalls, "openat2", absent)


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize(
    "path",
    [b"..", b"../outside", b"a/../../outside", b"up/outside", b"a/link/file", b"absolute/passwd"],
)
def test_no_path_leads_out_or_through_a_symlink(root: int, path: bytes) -> None:
    with pytest.raises(OSError) as caught:
        open_beneath(root, path, os.O_RDONLY)
    assert caught.value.errno in (18, 20, 40)  # EXDEV, ENOTDIR, ELOOP


@pytest.mark.usefixtures("opener")
def test_what_is_beneath_is_opened(root: int) -> None:
    fd = open_beneath(root, b"a/b/file", os.O_RDONLY)
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    fd = open_beneath(root, b"", os.O_RDONLY | os.O_DIRECTORY)
    assert "a" in os.listdir(fd)
    os.close(fd)


def make_long(root: int) -> None:
    fd = os.dup(root)
    for name in LONG:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)


def test_paths_may_be_longer_than_path_max(root: int, tmp_path: Path) -> None:
    make_long(root)
    path = b"/".join([*LONG, b"bottom"])
    os.close(open_beneath(root, path, os.O_RDONLY))
    with hold_parent(os.fsencode(tmp_path) + b"/root/" + path) as (parent, name):
        assert os.listdir(parent) == ["bottom"] and name == b"bottom"


def test_a_walker_goes_anywhere_with_few_descriptors(
    root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "_KEPT", 8)
    make_long(root)
    before = len(os.listdir("/proc/self/fd"))
    with Walker(root) as walker:
        walker.enter(b"/".join(LONG))
        assert len(os.listdir("/proc/self/fd")) - before < 12
        assert sorted(os.listdir(walker.enter(b"a"))) == ["b", "link"]
        for depth in (119, 3, 60, 1, 120):
            names = os.listdir(walker.enter(b"/".join(LONG[:depth])))
            assert names == [os.fsdecode(LONG[depth]) if depth < 120 else "bottom"]
        assert walker.parent(b"a/b/file")[1] == b"file"
        for path in (b"up", b"a/link", b"a/b/file", b"a/..", b"."):
            with pytest.raises(OSError):
                walker.enter(path)
        assert os.listdir(walker.enter(b"a/b")) == ["file"]
    assert len(os.listdir("/proc/self/fd")) == before
