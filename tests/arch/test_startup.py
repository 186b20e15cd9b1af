# SPDX-License-Identifier: Apache-2.0
"""What a command loads, by the interpreter's own list: a clock would prove less and flicker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import builders, cli

# On the way to run and shell nothing of these may be loaded; each costs more than all the rest.
NEVER_IN_RUN = {
    "asyncio",
    "concurrent.futures",
    "http",
    "importlib.metadata",
    "logging",
    "multiprocessing",
    "pygit2",
    "pyroute2",
    "rich",
    "socket",
    "ssl",
    "tarfile",
    "unittest",
    "zstandard",
}


def loaded(*args: str, cwd: Path) -> set[str]:
    """The modules that ``envgit ARGS`` imports, by PYTHONPROFILEIMPORTTIME."""
    done = cli.run(args, cwd=cwd, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.status == 0, done.describe("0")
    return {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of the small root filesystem."""
    builders.rootfs(tmp_path / "rootfs")
    project = tmp_path / "project"
    cli.run(["init", project, "--from", f"rootfs:{tmp_path}/rootfs"]).ok()
    return project


@pytest.mark.root
@pytest.mark.needs("overlay")
@pytest.mark.parametrize(
    "command",
    [
        ("run", "--", "true"),
        ("run", "sh", "-c", "echo x > /root/changed"),
        ("run", "-e", "A=1", "--tmpfs", "/mnt", "--", "true"),
        ("run", "--rm", "true"),
    ],
)
def test_run_loads_nothing_that_is_slow(project: Path, command: tuple[str, ...]) -> None:
    for _ in range(2):  # clean, and on top of uncommitted changes
        names = loaded(*command, cwd=project)
        assert not names & NEVER_IN_RUN, sorted(names & NEVER_IN_RUN)
        # A line without an option of ours needs no option parser, which costs half of the start.
        assert ("click" in names) == (command[1].startswith("-") and command[1] != "--")


@pytest.mark.root
@pytest.mark.needs("overlay")
def test_packages_are_loaded_where_something_changed(project: Path) -> None:
    for command in (("status",), ("log", "--stat"), ("diff",), ("status", "-s")):
        names = loaded(*command, cwd=project)
        assert not [name for name in names if name.startswith("envgit.packages")], command
    cli.run(["run", "sh", "-c", "echo x > /root/changed"], cwd=project).ok()
    names = loaded("status", "--porcelain", cwd=project)
    assert not [name for name in names if name.startswith("envgit.packages")]
    # Libraries for versions and archives are for those whose packages changed.
    names = loaded("status", cwd=project)
    assert "envgit.packages.changes" in names
    assert not names & {"univers", "debian", "packaging", "zipfile", "email"}


def test_version_and_help_load_no_git(tmp_path: Path) -> None:
    for command in (("--version",), ("help",)):
        names = loaded(*command, cwd=tmp_path)
        assert not names & {"pygit2", "pyroute2", "rich"}
