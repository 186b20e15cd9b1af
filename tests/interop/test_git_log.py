# SPDX-License-Identifier: Apache-2.0
"""``envgit log`` prints what ``git log`` prints on the same repository, to the letter."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents, write_history

PLACEHOLDERS = [
    "%H", "%h", "%T", "%t", "%P", "%p", "%an", "%aN", "%ae", "%aE", "%al", "%aL", "%ad", "%aD",
    "%ar", "%at", "%ai", "%aI", "%as", "%ah", "%cn", "%cN", "%ce", "%cl", "%cd", "%cD", "%cr",
    "%ct", "%ci", "%cI", "%cs", "%ch", "%d", "%D", "%e", "%s", "%f", "%b", "%B", "%N", "%m",
    "%gD", "%gd", "%gs", "%gn", "%ge", "%n", "%%", "%x41%x0a", "%x", "%z", "%", "%Cred%h%Creset",
    "%C(bold blue)%s%C(reset)", "%C(auto)%h%d %s", "%C(auto)%H%Cgreen %an", "%C(always,red)x",
    "%<(20)%s|", "%<(10,trunc)%s|", "%<(10,ltrunc)%s|", "%<(10,mtrunc)%s|", "%>(30)%s|",
    "%>>(5)%s|", "   %>>(12)%s|", "%><(31)%s|", "%h %<|(30)%s|", "%h %>|(40)%an|", "%<(14)%Cred%h|",
    "%+b|", "%-b|", "% b|", "a%n%n%-bz", "x%+sz", "x% sz", "x%+dz", "%w(30,4,8)%s %B", "%w(20)%B",
    "%w(0,3,6)%B", "%w(40,1,2)%s%w()|%s", "%(trailers)", "%(trailers:only)",
    "%(trailers:key=Signed-off-by)", "%(trailers:key=Signed-off-by,valueonly)",
    "%(trailers:key=Reviewed-by,separator=%x2C )", "%(trailers:unfold,only)", "%(trailers:bogus)",
    "%(nothing)", "%a", "%ax", "%<(x)%s", "%<(0)%s", "%C(nothing", "%G?", "tab\there",
]  # fmt: skip

OPTIONS = [
    [], ["--oneline"], ["--graph"], ["--graph", "--oneline", "--all"], ["--all", "--date-order"],
    ["--graph", "--all", "--decorate"], ["--oneline", "--decorate=full"], ["-5"], ["-n", "3"],
    ["--skip=4", "-n2", "--oneline"], ["--reverse", "--oneline"], ["--merges", "--oneline"],
    ["--no-merges", "--oneline"], ["--first-parent"], ["--first-parent", "--graph"],
    ["--min-parents=3", "--oneline"], ["--max-parents=0"], ["--topo-order", "--format=%s"],
    ["--author-date-order", "--format=%s"], ["--pretty=short"], ["--pretty=full"],
    ["--pretty=fuller"], ["--pretty=raw"], ["--pretty=oneline"], ["--pretty=reference"],
    ["--pretty=one"], ["--pretty=medium", "--no-expand-tabs"],
    ["--abbrev-commit"], ["--abbrev-commit", "--pretty=fuller", "--graph"],
    ["--pretty=full", "--graph"], ["--format=%h%n%b", "--graph", "--all"],
    ["--format=format:%h%n%B", "--graph"], ["--pretty=format:%h %s"], ["--pretty=tformat:%h"],
    ["--format="], ["-z", "--format=%H"], ["-z", "--pretty=format:%H"], ["-z", "--oneline"],
    ["--author=Ada", "--oneline"], ["--author=ada", "-i", "--oneline"],
    ["--author=^B", "--oneline"],
    ["--committer=example", "--oneline", "-3"], ["--grep=second", "--oneline"],
    ["--grep=^Signed", "--oneline"], ["--grep=1", "--grep=2", "--oneline"],
    ["--grep=1", "--grep=2", "--all-match", "--oneline"],
    ["--grep=1", "--invert-grep", "--oneline"],
    ["--grep=commit \\(1\\|2\\)$", "--oneline"], ["-E", "--grep=commit (1|2)$", "--oneline"],
    ["-F", "--grep=(x) [y]", "--oneline"], ["--grep=a+b", "--oneline"],
    ["-P", "--grep=\\bcommit\\b 1", "--oneline"], ["--grep=1", "--graph", "--oneline"],
    ["--since=2023-11-14T22:25:00Z", "--oneline"], ["--until=@1700000600", "--oneline"],
    ["--after=@1700000300", "--before=@1700001000", "--oneline", "--graph"],
    ["--branches", "--oneline"], ["--branches=c1*", "--oneline"], ["--tags", "--oneline"],
    ["--tags=v1", "--oneline"], ["c3..main", "--oneline"], ["main...c5", "--oneline"],
    ["--left-right", "main...c7", "--oneline"],
    ["--left-right", "--graph", "main...c7", "--oneline"],
    ["^c9", "main", "--oneline", "--graph"],
    ["--left-right", "main...c7", "--format=%m %h"], ["c20^!", "--oneline"], ["c20^@", "--oneline"],
    ["v2", "-1"], ["v2~1..main", "--format=%h"], ["main~3", "-2", "--decorate"],
    ["--date=iso", "-3"], ["--date=iso-strict", "-3"], ["--date=rfc", "-3"], ["--date=short", "-3"],
    ["--date=raw", "-3"], ["--date=unix", "-3"], ["--date=local", "-3"], ["--date=relative", "-3"],
    ["--date=human", "-3"], ["--date=iso-local", "-3"], ["--date=raw-local", "-3"],
    ["--date=format:%Y %j %z %Z %s %%z", "-3"], ["--date=format-local:%H:%M %z", "-3"],
    ["--relative-date", "-3"], ["--date=short-local", "-3", "--pretty=fuller"],
    ["-g", "-3"], ["-g", "--oneline"], ["-g", "--oneline", "main"], ["-g", "main", "-2"],
    ["-g", "--format=%gd %gD %gs %gn %h"], ["-g", "--date=iso", "--oneline"],
    ["-g", "--format=%gd", "--date=short"], ["--oneline", "--no-abbrev-commit"],
    ["--color=always"], ["--color=always", "--graph", "--all", "--decorate"],
    ["--color=always", "--oneline", "--graph", "--decorate"], ["--oneline", "--no-decorate"],
    ["--color=always", "--left-right", "main...c7", "--decorate"],
]  # fmt: skip

MESSAGES = [
    "commit 1\n\nsecond paragraph\nof two lines\n\nSigned-off-by: A <a@x>\nReviewed-by: B\n",
    "commit 2\nwith a long subject that goes on\n\nbody\twith\ttabs\n\n\nmore\n",
    "wide äöü 漢字 (x) [y]\n\n - list a+b\n - another item that is rather long, so that it wraps\n",
    "Only: a subject\n",
    "commit\n\nbody\n\nSigned-off-by: A <a@x>\n (folded: yes)\nReviewed-by: C\nReviewed-by: D\n",
    "a very long subject line, longer than eighty columns, to be cut in the middle or wrapped\n",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with merges, tags, a reflog, several people and odd messages."""
    folder = tmp_path_factory.mktemp("log")
    path = folder / ".envgit"
    rng = random.Random(5)
    people = [("Ada Lovelace", "ada@example.org", "+0200"), ("Bob", "b@x", "-0330"),
              ("Çelik", "c@x", "+0000")]  # fmt: skip
    write_history(path, random_parents(rng, 40), messages=MESSAGES, people=people)
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
           "GIT_COMMITTER_DATE": "1700005000 +0100"}  # fmt: skip
    git(path, "config", "core.logAllRefUpdates", "true")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    for index in (10, 20, 39):
        git(path, "update-ref", "-m", f"commit: c{index}", "refs/heads/main", f"c{index}", env=who)
    git(path, "tag", "v1", "c3")
    git(path, "tag", "-a", "-m", "annotated", "v2", "c30", env=who)
    git(path, "update-ref", "refs/remotes/origin/main", "c38", env=who)
    return folder


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, for this process too."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def same(folder: Path, *argv: str) -> None:
    expected = run_git(folder, *argv, env={"TZ": "Europe/Berlin"})
    got = envgit(folder, *argv)
    assert got[1].decode() == expected[1].decode(), got[2].decode()
    assert got[0] == expected[0], got[2].decode()


@pytest.mark.parametrize("format", PLACEHOLDERS)
def test_placeholder(folder: Path, format: str) -> None:
    for color in ("never", "always"):
        same(folder, "log", "--all", f"--color={color}", f"--format=[{format}]")


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options(folder: Path, options: list[str]) -> None:
    same(folder, "log", *options)


@pytest.mark.parametrize(
    "options",
    [[], ["c5"], ["v2"], ["v1", "c4"], ["--oneline", "c3", "c4"], ["--format=%h", "c3", "v2"],
     ["c3..c6"], ["-s", "main"], ["--no-patch", "v2", "v2"]],
    ids=" ".join,
)  # fmt: skip
def test_show(folder: Path, options: list[str]) -> None:
    same(folder, "show", *options)


@pytest.mark.parametrize(
    "options", [[], ["main"], ["show", "HEAD"], ["-n1"], ["--date=iso"], ["--format=%gd %gs"],
                ["exists", "refs/heads/main"], ["exists", "refs/heads/nope"]],
    ids=" ".join,
)  # fmt: skip
def test_reflog(folder: Path, options: list[str]) -> None:
    same(folder, "reflog", *options)


def test_errors(folder: Path) -> None:
    for argv in (
        ["log", "nope"], ["log", "main@{99}"], ["log", "--graph", "--reverse"],
        ["log", "--pretty=nope"], ["log", "--date=nope"], ["show", "main:nope"],
    ):  # fmt: skip
        expected, got = run_git(folder, *argv), envgit(folder, *argv)
        assert got[:2] == expected[:2]
        first = expected[2].decode().splitlines()[0]
        assert got[2].decode().splitlines()[0] == first
