# SPDX-License-Identifier: Apache-2.0
"""The same command lines in git and in envgit: what they print and exit with must be the same.

Both start from two commits without content. Ids, the name of the program and paths are made equal
before the comparison; nothing else is.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.cli.main import main
from tests.support import cli

pytestmark = [pytest.mark.peer("git>=2.39"), pytest.mark.usefixtures("fixed_clock")]

Conversation = list[tuple[list[str], str, str, int]]


def _equal(text: str, folder: Path) -> str:
    """The text without what must differ: which program, where, and which ids."""
    text = text.replace(str(folder), "<folder>")
    text = re.sub(r"\b[0-9a-f]{7,40}\b", "<id>", text)
    return text.replace("envgit", "git")


def _talk(program: Callable[[list[str]], tuple[str, str, int]], lines: list[str]) -> Conversation:
    heard: Conversation = []
    for line in lines:
        words = re.findall(r"'([^']*)'|(\S+)", line)
        args = [quoted or bare for quoted, bare in words]
        heard.append((args, *program(args)))
    return heard


@pytest.fixture
def both(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., None]:
    """Run lines in a git and in an envgit repository and compare what they say."""
    theirs, ours = tmp_path / "theirs" / "project", tmp_path / "ours" / "project"
    theirs.mkdir(parents=True)

    def git(args: list[str]) -> tuple[str, str, int]:
        done = subprocess.run(
            ["git", *args], cwd=theirs, capture_output=True, text=True, check=False
        )
        return _equal(done.stdout, theirs), _equal(done.stderr, theirs), done.returncode

    def envgit(args: list[str]) -> tuple[str, str, int]:
        # In this process, for the start of another costs more than all that is compared here.
        with contextlib.chdir(ours):
            status = main(args)
        out, err = capfdbinary.readouterr()
        return _equal(out.decode(), ours), _equal(err.decode(), ours), status

    git(["init", "-q", "-b", "main", "."])
    cli.run(["init", "-q", "-b", "main", ours]).ok()
    for message in ("one", "two"):
        git(["commit", "-q", "--allow-empty", "-m", message])
        envgit(["commit", "-q", "--allow-empty", "-m", message])

    def compare(*lines: str) -> None:
        expected = _talk(git, list(lines))
        heard = _talk(envgit, list(lines))
        for one, other in zip(heard, expected, strict=True):
            assert one == other

    return compare


def test_branches(both: Callable[..., None]) -> None:
    both(
        "branch",
        "branch exp",
        "branch exp",
        "branch a..b",
        "branch old HEAD~1",
        "branch -v",
        "branch -d nope",
        "branch --show-current",
        "branch --contains HEAD",
        "branch --contains HEAD~1",
        "branch --merged",
        "branch --merged old",
        "branch --no-merged old",
        "branch -l 'e*'",
        "branch --points-at HEAD~1",
        "branch --format '%(HEAD) %(refname:short) %(refname) %(subject)'",
        "branch --sort=-refname",
        "branch n2 nope",
        "branch -m",
        "branch -m exp old",
        "branch -M exp old",
        "branch -m old older",
        "branch -c older oldest",
        "branch",
        "branch -D nope",
        "branch -D oldest",
        "branch -d older",
        "branch -d main",
        "branch -q",
    )


def test_deleting_what_is_not_merged(both: Callable[..., None]) -> None:
    both(
        "switch -c exp",
        "commit -q --allow-empty -m three",
        "switch main",
        "branch -d exp",
        "branch -D exp",
    )


def test_switching(both: Callable[..., None]) -> None:
    both(
        "switch main",
        "switch nope",
        "switch",
        "switch a b",
        "switch -c",
        "switch -c main",
        "switch -c exp",
        "switch -",
        "switch -c new HEAD~1",
        "switch -c other nope",
        "switch -C exp HEAD~1",
        "switch HEAD~1",
        "switch -d main",
        "switch main",
        "switch --detach HEAD~1",
        "branch -v",
        "switch -q main",
        "switch -C main",
        "branch -v",
    )


def test_checking_out(both: Callable[..., None]) -> None:
    both(
        "checkout",
        "checkout main",
        "checkout -b exp",
        "checkout -b exp",
        "checkout -",
        "checkout nope",
        "checkout -b zz nope",
        "checkout -B exp HEAD~1",
        "checkout -B exp HEAD",
        "checkout main",
        "checkout HEAD~1",
        "checkout -q main",
        "checkout --detach",
        "checkout exp",
        "checkout -- nope",
        "checkout HEAD -- nope",
        "checkout main --",
    )


def test_tags(both: Callable[..., None]) -> None:
    both(
        "tag",
        "tag v1",
        "tag v1",
        "tag -f v1 HEAD~1",
        "tag -a v2 -m 'a message'",
        "tag -m light v3 HEAD~1",
        "tag -n",
        "tag -l 'v*'",
        "tag -l 'x*'",
        "tag --points-at HEAD",
        "tag --contains HEAD",
        "tag b..c",
        "tag v9 nope",
        "tag -d v1",
        "tag -d nope",
        "tag",
        "tag --format '%(refname:short) %(subject)'",
    )


def test_resetting(both: Callable[..., None]) -> None:
    both(
        "reset --soft HEAD~1",
        "branch -v",
        "reset --hard HEAD@{1}",
        "reset nope",
        "reset --hard HEAD~5",
        "reset --hard HEAD~1",
        "reset --soft --hard",
    )


def test_committing(both: Callable[..., None]) -> None:
    both(
        "commit --allow-empty -m three",
        "commit --allow-empty -m subject -m body",
        "commit --amend --allow-empty -m 'three again'",
        "commit --amend --allow-empty --no-edit --author 'Bob <b@example.org>'",
        "commit -m nothing",
        "commit --allow-empty -m ''",
        "commit --allow-empty -F nope",
        "commit --allow-empty -m x -F y",
        "commit --allow-empty -m x --author zork",
        "commit --allow-empty -m x --date zork",
        "commit -m x -- nope",
        "commit -q --allow-empty -m quiet",
        "checkout -q --detach",
        "commit --allow-empty -m detached",
        "commit -m nothing",
    )


def test_restoring(both: Callable[..., None]) -> None:
    both("restore", "restore nope", "restore --source=nope x")


def test_settings(both: Callable[..., None]) -> None:
    both(
        "config foo",
        "config a.b",
        "config a.b 1",
        "config a.b",
        "config --add a.b 2",
        "config a.b",
        "config --get-all a.b",
        "config --unset a.b",
        "config --replace-all a.b 3",
        "config --get-all a.b",
        "config --unset-all a.b",
        "config --unset a.b",
        "config section.Sub.Key 'a value # with; \"quotes\" '",
        "config section.Sub.key",
        "config section.sub.key",
        "config --get-regexp '^section'",
        "config --bool core.filemode",
        "config --type=int --get core.filemode",
        "config --show-origin section.Sub.key",
        "config --show-scope section.Sub.key",
        "config --name-only --get-regexp '^section'",
        "config --default x --get q.r",
        "config a.b_c x",
        "config --rename-section section.Sub other.Sub",
        "config other.Sub.key",
        "config --remove-section other.Sub",
        "config --remove-section other.Sub",
        "config --rename-section nope x",
    )


def test_worktrees(both: Callable[..., None]) -> None:
    both(
        "worktree list",
        "worktree add linked",
        "worktree add linked",
        "worktree add other linked",
        "worktree add other main",
        "worktree add -q -d detached",
        "worktree add old HEAD~1",
        "branch there HEAD~1",
        "worktree add there",
        "worktree add -b new deep/er/one",
        "worktree add -B new another",
        "worktree add nowhere nope",
        "worktree add -b a -d nowhere",
        "worktree add --reason x nowhere",
        "worktree list",
        "worktree list -v",
        "worktree list --porcelain",
        "worktree list --porcelain -z",
        "worktree list -z",
        "worktree list -v --porcelain",
        "branch",
        "branch -v",
        "branch -vv",
        "switch linked",
        "checkout linked",
        "branch -f linked HEAD",
        "branch -M new linked",
        "branch -d linked",
        "branch -D linked",
        "-C linked branch --show-current",
        "-C linked switch main",
        "-C linked rev-parse HEAD main-worktree/HEAD worktrees/there/HEAD --git-dir",
        "-C linked rev-parse --git-path HEAD --git-path refs/heads/x --git-path logs/HEAD",
        "-C linked commit -q --allow-empty -m three",
        "-C linked reflog",
        "-C detached commit -q --allow-empty -m 'on no branch'",
        "log --oneline --all",
        "rev-parse --all",
        "branch -m linked renamed",
        "-C linked branch --show-current",
        "worktree list",
        "checkout --ignore-other-worktrees renamed",
        "switch main",
    )


def test_worktrees_locked_and_removed(both: Callable[..., None]) -> None:
    both(
        "worktree add -q linked",
        "worktree add -q -d --lock --reason 'on a disk' held",
        "worktree lock linked",
        "worktree lock linked",
        "worktree lock held",
        "worktree lock nope",
        "worktree lock .",
        "worktree list",
        "worktree list -v",
        "worktree list --porcelain",
        "worktree remove linked",
        "worktree remove -f linked",
        "worktree move held elsewhere",
        "worktree unlock linked",
        "worktree unlock linked",
        "worktree move linked elsewhere",
        "worktree move elsewhere held",
        "worktree move nope there",
        "worktree move . there",
        "worktree list",
        "worktree remove .",
        "worktree remove nope",
        "worktree remove -f -f held",
        "worktree remove elsewhere",
        "worktree prune -v",
        "worktree repair",
        "worktree list",
        "branch",
    )
