# SPDX-License-Identifier: Apache-2.0
"""What `gc` must not touch although no branch, tag or operation leads to it: what is mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return cli.changed_project(tmp_path)


def test_gc_keeps_what_is_mounted(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    long_ago = {"ENVGIT_COMMITTER_DATE": "@1700000000 +0000"}

    def old(*words: str) -> None:
        cli.run(words, cwd=project, env=long_ago).ok()

    old("switch", "-q", "-c", "side")
    old("commit", "-q", "-m", "new")
    cli.run(["mount", "side", place], cwd=project).ok()
    try:
        old("switch", "-q", "main")
        old("branch", "-q", "-D", "side")
        cli.run(["commit", "-q", "--allow-empty", "-m", "last"], cwd=project).ok()
        cli.run(["gc", "--expire=now"], cwd=project).ok()
        assert (place / "etc/new").read_text() == "new\n"
    finally:
        cli.run(["umount", place], cwd=project).ok()
    gone = cli.run(["gc", "--expire=now"], cwd=project).ok()
    assert gone.stdout.startswith("Deleted 1 layer")
