# SPDX-License-Identifier: Apache-2.0
"""`describe` and `shortlog` say what git says, on random histories with tags of all kinds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop import both
from tests.interop.dags import git, random_parents, write_history

pytestmark = pytest.mark.peer("git>=2.30")

PEOPLE = (
    ("Ada Ä", "ada@example.org", "+0100"), ("Bob", "b@x", "-0530"), ("bob", "b@y", "+0000"),
    ("Cid C", "cid@example.net", "+0000"), ("Bob", "bob@z", "+0000"),
)  # fmt: skip
MESSAGES = (
    "one subject\n", "[PATCH 1/2] a patch\n\nbody\n", "a subject\nof two lines\n\nbody\n",
    "a rather long subject that goes on and on so that it must be wrapped somewhere, twice even"
    " if the width is small enough\n",
    "s\n\nReviewed-by: Zoe <z@x>\nReviewed-by: Ada <a@y>\nHelped-by: nobody at all\n",
    "  indented\n", "t\n\nReviewed-by: Zoe <z@x>\nReviewed-by: Zoe <z@x>\n", "[no end\n", "äöü\n",
)  # fmt: skip


def _history(folder: Path, seed: int, commits: int = 30, *, step: int = 60) -> None:
    rng = random.Random(seed)
    path = folder / ".envgit"
    write_history(
        path, random_parents(rng, commits), step=step, messages=MESSAGES, people=PEOPLE
    )  # fmt: skip
    git(path, "symbolic-ref", "HEAD", f"refs/heads/c{commits - 1}")


def _tag(folder: Path, rng: random.Random, commits: int) -> None:
    path = folder / ".envgit"
    for number in range(rng.randint(1, 8)):
        target = f"c{rng.randrange(commits)}"
        who = {
            "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
            "GIT_COMMITTER_DATE": f"{1_700_000_000 + rng.randrange(5000)} +0000",
        }  # fmt: skip
        if rng.random() < 0.5:
            git(path, "tag", f"{rng.choice('ab')}{number}", target)
        else:
            git(path, "tag", "-a", "-m", "x", f"v{rng.randint(0, 1)}.{number}", target, env=who)


FORMS: tuple[list[str], ...] = (
    [], ["--tags"], ["--all"], ["--always"], ["--long"], ["--tags", "--long"], ["--abbrev=0"],
    ["--abbrev=12", "--tags"], ["--exact-match"], ["--exact-match", "--tags"], ["--match", "v0*"],
    ["--tags", "--exclude", "v*"], ["--tags", "--match=a*", "--match=v*", "--exclude=*2"],
    ["--first-parent", "--tags"], ["--candidates=1", "--tags"], ["--candidates=2"],
    ["--tags", "--candidates=0"], ["--contains"], ["--contains", "--all"], ["--all", "--match=v*"],
    ["--contains", "--match=v*"], ["--contains", "--always"], ["--all", "--long"],
    ["--abbrev=4", "--always"], ["--long", "--abbrev=0"],
)  # fmt: skip


def _compare(folder: Path, *argv: str) -> None:
    said, ours = both.git(folder, *argv), both.envgit(folder, *argv)
    assert ours == said, argv


@pytest.mark.parametrize("seed", range(6))
def test_describe_on_random_histories(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    _history(tmp_path, seed, step=rng.choice([60, 60, 0]))
    _tag(tmp_path, rng, 30)
    for argv in FORMS:
        for number in rng.sample(range(30), 4):
            _compare(tmp_path, "describe", *argv, f"c{number}")
    _compare(tmp_path, "describe", "--always")
    _compare(tmp_path, "describe", "--tags", "--always", "c1", "c2", "c3")
    _compare(tmp_path, "describe", "nope")


def test_without_any_tag(tmp_path: Path) -> None:
    _history(tmp_path, 9, 3)
    for argv in ([], ["--tags"], ["--always"], ["--all"], ["--contains"], ["--dirty", "c1"]):
        _compare(tmp_path, "describe", *argv)


def test_a_tag_that_calls_itself_otherwise(tmp_path: Path) -> None:
    _history(tmp_path, 9, 6)
    path = tmp_path / ".envgit"
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x"}
    git(path, "tag", "-a", "-m", "x", "right", "c5", env=who)
    oid = git(path, "rev-parse", "right").decode().strip()
    git(path, "update-ref", "refs/tags/wrong", oid)
    git(path, "tag", "-d", "right")
    for argv in ([], ["--all"], ["--abbrev=0"]):
        _compare(tmp_path, "describe", *argv)


SHORT: tuple[list[str], ...] = (
    [], ["-s"], ["-n"], ["-sn"], ["-se"], ["-e"], ["-c"], ["-cse"], ["-w"], ["-w40"], ["-w60,2,4"],
    ["-w0,3,5"], ["--group=trailer:reviewed-by", "-se"], ["--group=trailer:Helped-by"],
    ["--group=author", "--group=committer", "-s"], ["--no-merges", "-s"], ["--merges"],
    ["--format=%h %s (%an)"], ["--all", "-sn"], ["--author=Bob", "-s"], ["--first-parent"],
    ["--group=trailer:reviewed-by", "-s", "--group=author"], ["--max-count=5", "-s"],
    ["--group=nope"], ["--since=2023-11-14T22:20:00Z", "-s"], ["--grep=patch"],
)  # fmt: skip


@pytest.mark.parametrize("argv", SHORT, ids=" ".join)
def test_shortlog(tmp_path: Path, argv: list[str]) -> None:
    _history(tmp_path, 4)
    _compare(tmp_path, "shortlog", *argv, "HEAD")
    _compare(tmp_path, "shortlog", *argv, "c20..c29")
