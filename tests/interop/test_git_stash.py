# SPDX-License-Identifier: Apache-2.0
"""The stash by git and by envgit, on equal histories: words, statuses, files, order of entries."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.dags import ENVIRONMENT
from tests.interop.test_git_merge import text
from tests.interop.test_git_picks import ASIDE, BASE, Picker, with_line

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.38"),
]


class Stasher(Picker):
    """Twins with a stash."""

    def say(self, *argv: str, status: int = 0) -> str:
        """Run in both: statuses and words must be the same, but for the status that follows
        ``apply`` and ``pop``, whose sections are other ones here; so must files and list be."""
        self.tick()
        answers = []
        for code, out, err in self.ask("stash", *argv):
            said = re.sub(r"On branch \S+\n(?!fatal).*?\n\n?(?=Dropped|The stash|\Z)", "", out,
                          flags=re.DOTALL)  # fmt: skip
            answers.append((code, said, ASIDE.sub("", err)))
        assert answers[0] == answers[1]
        assert answers[0][0] == status
        self.same_files()
        self.same("stash", "list")
        self.now = {path: (content, mode) for path, (content, mode) in self.files()[0].items()}
        return answers[1][1] + answers[1][2]

    def write(self, **files: str) -> None:
        """Change files. git, too, is to have no staged ones, which it treats in ways of their own;
        but for new ones, which it would not put away otherwise."""
        new = any(name not in self.now for name in files)
        self.change_to({**self.now, **{name: text(line) for name, line in files.items()}})
        if not new:
            subprocess.run(["git", "reset", "-q"], cwd=self.plain, env=ENVIRONMENT, check=True)


@pytest.fixture
def pair(tmp_path: Path) -> Stasher:
    pair = Stasher(tmp_path)
    pair.make("base", BASE)
    pair.tick()
    return pair


def test_push_and_pop(pair: Stasher) -> None:
    pair.say()
    pair.write(f="changed")
    pair.say()
    pair.write(g="other", new="new")
    pair.say("push", "-m", "a message")
    pair.write(f="third")
    pair.say("save", "words of", "an older form")
    for line in (
        ("show",), ("show", "1"), ("show", "--name-status", "stash@{1}"), ("show", "-p", "2"),
        ("show", "--numstat", "stash@{2}"), ("list", "-1"), ("list", "--format=%gd %gs %s"),
        ("list", "--oneline"), ("drop", "stash@{1}"), ("drop", "1"), ("pop",),
    ):  # fmt: skip
        pair.say(*line)
    pair.say("pop", status=1)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("pop", 1),
        ("apply", 1),
        ("drop", 1),
        ("show", 1),
        ("list", 0),
        ("clear", 0),
        ("branch b", 1),
        ("drop 1 2", 1),
        ("wrong", 128),
    ],
)
def test_without_entries(pair: Stasher, line: str, status: int) -> None:
    pair.say(*line.split(), status=status)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("drop 5", 128),
        ("drop nope", 1),
        ("drop HEAD", 128),
        ("show HEAD", 128),
        ("pop nope", 1),
        ("apply 7", 128),
        ("push -- nope", 1),
        ("branch main", 1),
        ("branch", 1),
    ],
)
def test_errors(pair: Stasher, line: str, status: int) -> None:
    pair.write(f="changed")
    pair.say()
    plain, ours = pair.ask("stash", *line.split())
    assert (ours[0], ours[1]) == (plain[0], plain[1])
    assert ours[0] == status
    if "pathspec" not in plain[2]:
        assert ours[2] == plain[2]


def test_some_paths(pair: Stasher) -> None:
    pair.write(f="changed", g="other")
    pair.say("push", "f")
    pair.say("push", "--", "bin/x")
    pair.say("push", "-m", "the other", "--", "g*", "bin")
    pair.say("pop", "1")
    pair.say("pop")


def test_another_head(pair: Stasher) -> None:
    """The change is merged into what came meanwhile; where it clashes, the entry is kept."""
    pair.change_to(with_line(pair.now, "f", 2, "zwei"))
    pair.say()
    pair.make("later", with_line(pair.now, "f", 8, "acht"))
    pair.say("apply")
    pair.go("commit", "-q", "-a", "-m", "both")
    pair.now = {path: (content, mode) for path, (content, mode) in pair.files()[0].items()}
    pair.make("clash", with_line(pair.now, "f", 2, "deux"))
    pair.say("pop", status=1)
    assert pair.ask("stash", "pop")[1][0] != 0


def test_in_the_way(pair: Stasher) -> None:
    pair.write(f="changed")
    pair.say()
    pair.write(f="in the way")
    pair.say("pop", status=1)
    pair.write(f="in the way", g="as well")
    pair.say("apply", status=1)


def test_a_branch(pair: Stasher) -> None:
    pair.write(f="changed", new="new")
    pair.say()
    pair.make("later", {**pair.now, "g": text("later")})
    pair.say("branch", "fresh")
    pair.same("log", "--format=%s")


def test_create_and_store(pair: Stasher) -> None:
    pair.write(f="changed")
    made = [answer[1].strip() for answer in pair.ask("stash", "create", "by hand")]
    assert made == ["ID", "ID"]


def test_detached(pair: Stasher) -> None:
    pair.go("checkout", "-q", "--detach")
    pair.write(f="changed")
    pair.say()
