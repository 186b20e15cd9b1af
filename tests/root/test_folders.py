# SPDX-License-Identifier: Apache-2.0
"""Project folders that are moved, copied or replaced: nobody's states are taken for garbage."""

from __future__ import annotations

import os
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import builders, cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.fixture
def source(tmp_path: Path) -> str:
    builders.rootfs(tmp_path / "rootfs")
    return f"rootfs:{tmp_path}/rootfs"


@pytest.fixture
def lab(tmp_path: Path, source: str) -> Path:
    """A repository with an uncommitted file."""
    cli.run(["init", "-q", tmp_path / "lab", "--from", source]).ok()
    cli.run(["run", "sh", "-c", "echo new > /etc/new"], cwd=tmp_path / "lab").ok()
    return tmp_path / "lab"


def intact(folder: Path) -> None:
    assert cli.run(["status", "-s"], cwd=folder).ok().stdout == "A  etc/new\n"
    cli.run(["fsck"], cwd=folder).ok()


def test_another_repository_at_the_old_path_claims_nothing(lab: Path, tmp_path: Path) -> None:
    os.rename(lab, tmp_path / "old")
    cli.run(["init", "-q", lab, "--from", "scratch"]).ok()
    collected = cli.run(["gc"], cwd=lab).ok()
    assert "no longer at" in collected.stderr
    intact(tmp_path / "old")
    # Where it is now is known again.
    assert cli.run(["gc"], cwd=lab).ok().stderr == ""
    intact(tmp_path / "old")


def test_a_repository_that_was_moved_is_not_missed(lab: Path, tmp_path: Path) -> None:
    os.rename(lab, tmp_path / "there")
    intact(tmp_path / "there")
    assert cli.run(["gc"], cwd=tmp_path / "there").ok().stderr == ""
    intact(tmp_path / "there")


def test_a_copy_and_its_original_outlive_each_other(lab: Path, tmp_path: Path) -> None:
    shutil.copytree(lab, tmp_path / "copy", symlinks=True)
    assert cli.run(["status", "-s"], cwd=tmp_path / "copy").ok().stdout == ""
    cli.run(["gc"], cwd=tmp_path / "copy").ok()
    intact(lab)
    shutil.rmtree(lab)
    cli.run(["-c", "gc.repositoryExpire=now", "gc"], cwd=tmp_path / "copy").ok()
    cli.run(["fsck"], cwd=tmp_path / "copy").ok()


def test_a_lost_registration_costs_nothing(lab: Path, store: Path) -> None:
    for file in (store / "repositories").iterdir():
        file.unlink()
    cli.run(["gc"], cwd=lab).ok()
    intact(lab)
    assert len(list((store / "repositories").iterdir())) == 1


def test_of_several_that_make_one_repository_one_does(source: str, tmp_path: Path) -> None:
    def init(_: int) -> int:
        return cli.run(["init", "-q", tmp_path / "lab", "--from", source]).status

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(init, range(4))) == [0, 128, 128, 128]
    cli.run(["run", "sh", "-c", "echo new > /etc/new"], cwd=tmp_path / "lab").ok()
    cli.run(["init", "-q", tmp_path / "other", "--from", "scratch"]).ok()
    assert cli.run(["gc"], cwd=tmp_path / "other").ok().stderr == ""
    intact(tmp_path / "lab")


def test_a_failed_init_takes_its_folder_away_again(tmp_path: Path, store: Path) -> None:
    with tarfile.open(tmp_path / "deep.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("d/" * 2100 + "file"))  # deeper than git goes
    said = cli.run(["init", tmp_path / "a/b", "--from", f"tar:{tmp_path}/deep.tar"]).exited(128)
    assert "2101 levels" in said.stderr
    assert not (tmp_path / "a").exists()
    assert not any((store / "worktrees").iterdir())
