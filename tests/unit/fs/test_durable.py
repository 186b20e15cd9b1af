# SPDX-License-Identifier: Apache-2.0
"""Durable writes and removal: whole files or none, no symlink followed, any depth."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.fs import crashpoint, durable


def test_a_file_is_replaced_whole_with_its_exact_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    before = os.umask(0o077)
    try:
        durable.write_file(str(path), b"one", mode=0o664)
        durable.write_file(str(path), b"two" * 100_000, mode=0o640)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two" * 100_000
    assert path.stat().st_mode & 0o7777 == 0o640
    assert os.listdir(tmp_path) == ["f"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    durable.write_file(str(path), b"old")

    def fail(name: str) -> None:
        if name == "fs:file-synced":
            raise OSError(28, "no space left on device")

    crashpoint.install(fail)
    try:
        with pytest.raises(OSError, match="no space"):
            durable.write_file(str(path), b"new")
    finally:
        crashpoint.install(None)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_the_points_of_a_write_come_in_order(tmp_path: Path) -> None:
    reached: list[str] = []
    crashpoint.install(reached.append)
    try:
        durable.write_file(str(tmp_path / "f"), b"x")
    finally:
        crashpoint.install(None)
    assert reached == ["fs:file-written", "fs:file-synced", "fs:file-renamed"]


def test_a_filesystem_and_a_directory_can_be_synced(tmp_path: Path) -> None:
    durable.sync_filesystem(str(tmp_path))
    durable.sync_directory(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        durable.sync_filesystem(str(tmp_path / "nothing"))


def test_removal_follows_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("kept")
    victim = tmp_path / "victim"
    (victim / "d").mkdir(parents=True)
    (victim / "d/link").symlink_to(tmp_path / "outside")
    (victim / "link").symlink_to("../outside")
    (victim / "locked").mkdir(mode=0o500)
    (tmp_path / "direct").symlink_to("outside")
    durable.remove_tree(str(victim))
    durable.remove_tree(str(tmp_path / "direct"))
    durable.remove_tree(str(tmp_path / "nothing"))
    durable.remove_tree(str(tmp_path / "outside/kept"))
    assert os.listdir(tmp_path) == ["outside"] and os.listdir(tmp_path / "outside") == []


def test_removal_of_a_tree_deeper_than_descriptors_and_paths_allow(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("d" * 100, dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        below = os.open("d" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    durable.remove_tree(str(root))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500, 0o600, 0o300])
def test_who_locked_himself_out_can_still_remove(tmp_path: Path, mode: int) -> None:
    locked = tmp_path / "tree/locked"
    (locked / "below").mkdir(parents=True)
    (locked / "file").touch()
    locked.chmod(mode)
    durable.remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == []
