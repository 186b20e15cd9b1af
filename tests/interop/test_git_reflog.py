# SPDX-License-Identifier: Apache-2.0
"""``reflog expire`` and ``reflog delete`` leave the logs that git leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, write_history

pytestmark = pytest.mark.peer("git>=2.30")

START = 1_700_000_000


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal repositories: main was at c9, then at commits of which it holds some no longer."""
    one, other = tmp_path / "one", tmp_path / "other"
    path = one / ".envgit"
    write_history(path, [[], *([number] for number in range(8)), [3]])
    git(path, "config", "core.logAllRefUpdates", "true")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    for number, name in enumerate(["c9", "c2", "c5", "c9", "c7", "c8"]):
        who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
               "GIT_COMMITTER_DATE": f"{START + 1000 * number} +0000"}  # fmt: skip
        git(path, "update-ref", "-m", f"to {name}", "refs/heads/main", name, env=who)
        git(path, "update-ref", "-m", f"side {name}", "refs/heads/side", name, env=who)
    shutil.copytree(one, other)
    return one, other


CASES = [
    ["expire", "--expire=@1700002500", "--expire-unreachable=never", "main"],
    ["expire", "--expire=never", "--expire-unreachable=now", "main"],
    ["expire", "--expire=never", "--expire-unreachable=now", "HEAD", "side"],
    ["expire", "--expire=never", "--expire-unreachable=@1700002500", "--all"],
    ["expire", "--expire=all", "--all"], ["expire", "--all"], ["expire"],
    ["expire", "--expire=never", "--expire-unreachable=never", "--all"],
    ["expire", "--rewrite", "--expire=never", "--expire-unreachable=now", "--all"],
    ["expire", "--dry-run", "--expire=all", "--all"], ["delete", "main@{1}"],
    ["delete", "HEAD@{0}", "side@{3}"], ["delete", "--rewrite", "main@{2}"],
    ["delete", "--dry-run", "main@{1}"], ["delete", "main@{99}"],
    ["delete", "main"], ["delete", "nope@{0}"], ["delete"], ["expire", "nope"],
    ["expire", "--expire=nonsense", "main"], ["exists", "refs/heads/main"], ["exists", "main"],
    ["show", "nope"], ["nope"],
]  # fmt: skip


@pytest.mark.parametrize("argv", CASES, ids=" ".join)
def test_as_git(folders: tuple[Path, Path], argv: list[str]) -> None:
    ours, theirs = folders
    got, expected = envgit(ours, "reflog", *argv), run_git(theirs, "reflog", *argv)
    assert got[0] == expected[0], got[2].decode()
    if expected[0]:
        assert got[2].splitlines()[:1] == expected[2].splitlines()[:1]
    logs = [{str(path.relative_to(top)): path.read_bytes()
             for path in sorted((top / ".envgit/logs").rglob("*")) if path.is_file()}
            for top in folders]  # fmt: skip
    assert logs[0] == logs[1]
    git(ours / ".envgit", "fsck", "--strict")


def test_verbose_and_json(folders: tuple[Path, Path]) -> None:
    ours, theirs = folders
    argv = ["expire", "--verbose", "--expire=never", "--expire-unreachable=now", "main"]
    got, expected = envgit(ours, "reflog", *argv), run_git(theirs, "reflog", *argv)
    assert got[1] == expected[1]
    assert b'"dropped": true' in envgit(ours, "reflog", "delete", "--json", "side@{1}")[1]


def test_the_ref_stays(folders: tuple[Path, Path]) -> None:
    assert envgit(folders[0], "reflog", "delete", "--updateref", "main@{0}")[0] == 128
