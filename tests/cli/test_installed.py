# SPDX-License-Identifier: Apache-2.0
"""What a wheel of envgit holds, by installing one into a virtual environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with envgit from a wheel; its dependencies are this Python's."""
    top = tmp_path_factory.mktemp("installed")
    source = top / "source"
    for name in ("envgit", "hooks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "-w", str(top), str(source)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    place = top / "venv"
    venv.create(place, with_pip=False)
    (wheel,) = top.glob("*.whl")
    python = place / "bin" / "python"
    install = ["--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return place


def test_the_hooks_come_along(installed: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", tmp_path / "sources"], check=True)
    done = subprocess.run(
        [installed / "bin" / "envgit", "hook", "install", "shell", "git", "--into", "../sources"],
        cwd=project,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for shipped, target in (
        ("shell/envgit-prompt.sh", tmp_path / "data/envgit/envgit-prompt.sh"),
        ("git/post-checkout", tmp_path / "sources/.git/hooks/post-checkout"),
        ("git/post-merge", tmp_path / "sources/.git/hooks/post-merge"),
    ):
        assert target.read_bytes() == (ROOT / "hooks" / shipped).read_bytes()
    assert os.access(tmp_path / "sources/.git/hooks/post-merge", os.X_OK)


def test_every_shipped_file_is_in_the_wheel(installed: Path) -> None:
    for path in (ROOT / "hooks").rglob("*"):
        if path.is_file():
            there = installed / "share/envgit/hooks" / path.relative_to(ROOT / "hooks")
            assert there.read_bytes() == path.read_bytes()
