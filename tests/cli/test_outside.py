# SPDX-License-Identifier: Apache-2.0
"""`cp`, `mount`, `umount` and `export` from the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return cli.changed_project(tmp_path)


def test_copying(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    assert cli.run(["cp", "../file", ":/root/"], cwd=project).ok().stdout == ""
    assert cli.run(["run", "cat", "/root/file"], cwd=project).ok().stdout == "from the host\n"
    cli.run(["cp", ":etc/new", "HEAD~0"], cwd=project).exited(0)
    assert (project / "HEAD~0").read_text() == "new\n"
    gone = cli.run(["cp", "HEAD:etc/new", "."], cwd=project)
    assert gone.status != 0 and "etc/new" in gone.stderr
    counted = cli.run(["cp", "--json", ":etc/new", tmp_path], cwd=project).ok()
    assert json.loads(counted.stdout)["files"] == 1
    cli.run(["cp", "x"], cwd=project).exited(129)
    both = cli.run(["cp", "a", "b"], cwd=project).exited(129)
    assert both.stderr.startswith("error: source and destination are both on the host\nhint: ")


def test_mounting(project: Path, tmp_path: Path) -> None:
    commit, worktree = tmp_path / "commit", tmp_path / "worktree"
    commit.mkdir()
    worktree.mkdir()
    said = cli.run(["mount", "HEAD", commit], cwd=project).ok().stdout
    assert cli.normalise(said, dir=str(commit)) == (
        "<id> init: rootfs:rootfs is mounted at <dir>, read-only\n"
    )
    said = cli.run(["mount", worktree], cwd=project).ok().stdout
    assert said == f"The worktree is mounted at {worktree}\n"
    try:
        assert not (commit / "etc/new").exists()
        assert (worktree / "etc/new").read_text() == "new\n"
        listed = cli.run(["mount"], cwd=project).ok().lines
        assert [line.partition("\t")[0] for line in listed] == [str(commit), str(worktree)]
        again = cli.run(["mount", worktree], cwd=project).exited(128)
        assert again.stderr.startswith("fatal: an environment is mounted at ")
    finally:
        cli.run(["umount", commit, worktree], cwd=project).ok()
    assert cli.run(["mount"], cwd=project).ok().stdout == ""
    nothing = cli.run(["umount", commit], cwd=project).exited(128)
    assert nothing.stderr.startswith("fatal: nothing of this repository is mounted at ")
    missing = cli.run(["mount", "HEAD", tmp_path / "nope"], cwd=project).exited(128)
    assert missing.stderr.endswith("nope' is no directory\n")


@pytest.mark.parametrize("place", [".", "..", ".envgit", ".envgit/refs"])
def test_no_mount_hides_the_repository(project: Path, place: str) -> None:
    said = cli.run(["mount", place], cwd=project).exited(128).stderr
    assert said == f"fatal: a mount at '{place}' would hide {project}/.envgit\n"


def test_no_mount_hides_the_store(project: Path, store: Path) -> None:
    for place in (store, store / "layers"):
        said = cli.run(["mount", place], cwd=project).exited(128).stderr
        assert said == f"fatal: a mount at '{place}' would hide {store}\n"


def test_exporting(project: Path, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar.gz"
    said = cli.run(["export", f"tar:{archive}"], cwd=project).ok().stdout
    assert cli.normalise(said) == f"Exported <id> init: rootfs:rootfs to {archive}\n"
    names = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True)
    assert any(name.endswith("etc/passwd") for name in names.stdout.splitlines())
    piped = cli.run(["export", "HEAD", "tar:-"], cwd=project).ok()
    assert b"etc/passwd" in piped.stdout_bytes
    assert (
        cli.run(["export", "zip:x"], cwd=project)
        .exited(129)
        .stderr.startswith("error: unknown destination 'zip:x'\nhint: ")
    )
    nowhere = cli.run(["export", "tar:/nope/x.tar"], cwd=project).exited(128)
    assert nowhere.stderr.startswith("fatal: cannot write '/nope/x.tar")
