# SPDX-License-Identifier: Apache-2.0
"""Plain git on linked worktrees that envgit made, and envgit on what git makes of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import labs, linked
from tests.support.labs import Lab
from tests.support.linked import Linked

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr"),
    pytest.mark.peer("git>=2.36"),
]


@pytest.fixture
def lab(tmp_path: Path, hermetic: Path) -> Lab:
    made = labs.make(tmp_path / "lab")
    there = linked.link(made)
    linked.write(there, "etc/new", "new\n")
    there.call(["commit", "-q", "-m", "in linked"]).ok()
    return made


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", f"--git-dir={folder}", *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_git_lists_locks_and_keeps_them(lab: Lab) -> None:
    main, place = lab.project / ".envgit", lab.project / ".envgit/worktrees/linked"
    commit = lab.call(["rev-parse", "linked"]).ok().said.strip()
    blocks = git(main, "worktree", "list", "--porcelain").split("\n\n")
    assert blocks[1].split("\n") == [
        f"worktree {lab.project}/linked/.envgit",
        f"HEAD {commit}",
        "branch refs/heads/linked",
    ]
    git(main, "worktree", "prune", "-v")
    git(main, "worktree", "lock", "--reason", "by git", f"{lab.project}/linked/.envgit")
    assert "locked: by git" in lab.call(["worktree", "list", "-v"]).ok().said
    lab.call(["worktree", "unlock", "linked"]).ok()
    assert "locked" not in git(main, "worktree", "list")
    assert git(place, "log", "--format=%s").startswith("in linked\n")
    assert git(place, "rev-parse", "--git-common-dir").strip() == str(main)
    git(place, "fsck", "--strict")
    git(place, "gc", "--quiet", "--prune=now")
    lab.fsck()


def test_git_moves_a_branch_under_a_worktree(lab: Lab) -> None:
    """As in the main one: HEAD is elsewhere then, and the files are as they were."""
    git(lab.project / ".envgit", "update-ref", "refs/heads/linked", "refs/heads/main")
    assert Linked(lab.top).call(["status", "-s"]).ok().said == "A  etc/new\n"


def test_git_refuses_what_is_checked_out(lab: Lab) -> None:
    """It knows the linked ones for what they are (the main one is bare to it)."""
    done = subprocess.run(
        ["git", f"--git-dir={lab.project}/.envgit", "branch", "-D", "linked"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Cannot delete branch 'linked' checked out at" in done.stderr


def test_a_worktree_that_git_added(lab: Lab, tmp_path: Path) -> None:
    """It has pointers for files and is nobody's environment: listed, and forgotten when it goes."""
    added = tmp_path / "added"
    git(lab.project / ".envgit", "worktree", "add", "-q", "-b", "gits", str(added))
    assert str(added) in lab.call(["worktree", "list"]).ok().said
    assert lab.call(["switch", "gits"]).status == 128
    assert lab.call(["worktree", "remove", str(added)]).status == 128
    place = lab.project / ".envgit/worktrees/added"
    answer = labs.call(["run", "true"], lab.project, {**lab.environ, "ENVGIT_DIR": str(place)})
    assert "names no worktree" in answer.said  # and not the main one's
    lab.call(["gc", "-q"]).ok()
    subprocess.run(["rm", "-r", str(added)], check=True)
    lab.call(["worktree", "prune"]).ok()
    assert set(linked.paths(lab)) == {"", "linked"}
    assert not os.path.exists(place)
    lab.fsck()
