# SPDX-License-Identifier: Apache-2.0
"""``for-each-ref``, ``show-ref``, ``symbolic-ref`` and ``check-ref-format`` answer as git's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents, write_history

pytestmark = pytest.mark.peer("git>=2.36")

ATOMS = [
    "refname", "refname:short", "refname:lstrip=2", "refname:lstrip=-1", "refname:rstrip=1",
    "refname:strip=1", "refname:rstrip=-2", "objectname", "objectname:short", "objectname:short=12",
    "objecttype", "objectsize", "subject", "subject:sanitize", "body", "contents",
    "contents:subject", "contents:body", "contents:size", "contents:lines=2", "author",
    "authorname", "authoremail", "authoremail:trim", "authoremail:localpart", "authordate",
    "authordate:iso", "authordate:short", "committer", "committername", "committerdate:unix",
    "committerdate:format:%Y-%m", "tagger", "taggername", "taggerdate:raw", "creator",
    "creatordate", "creatordate:iso-strict", "HEAD", "symref", "symref:short", "upstream",
    "upstream:short", "tag", "type", "object", "tree", "parent", "numparent", "*objectname",
    "*objecttype", "*subject", "*authorname", "color:red",
]  # fmt: skip

LINES = [
    [], ["refs/heads"], ["refs/heads/"], ["refs/he"], ["refs/tags/v*"], ["refs/heads/top*"],
    ["refs/*/main"], ["refs/heads/c1", "refs/tags"], ["refs/**"], ["refs/heads/c[12]"],
    ["refs/heads/c?"], ["refs/heads/[!a-d]*"], ["refs/heads/[\\]"],
    ["REFS/HEADS/C1"], ["--ignore-case", "--sort=refname"],
    ["--ignore-case", "refs/heads/C1"], ["--ignore-case", "REFS/HEADS"],
    ["--ignore-case", "refs/heads/TOP*/*"], ["--count=3"], ["nothing"],
    ["--sort=-refname"], ["--sort=committerdate"], ["--sort=-creatordate", "--count=2"],
    ["--sort=objectname"], ["--sort=refname", "--sort=-committerdate"], ["--sort=v:refname"],
    ["--sort=-version:refname"], ["--sort=authorname", "--format=%(authorname) %(refname)"],
    ["--sort=objecttype"], ["--sort=-taggerdate"], ["--sort=subject"], ["--sort=-objectsize"],
    ["--points-at=c3"], ["--points-at=v2"], ["--points-at", "c30"], ["--contains=c20"],
    ["--contains", "c20", "refs/heads"], ["--no-contains=c5"], ["--merged=c20"], ["--merged"],
    ["--no-merged=c20"], ["--no-merged", "main", "refs/tags"], ["--contains", "c9", "--merged",
    "c30"], ["--contains=c2", "--contains=c4"], ["--shell", "--format=x=%(subject)"],
    ["--perl", "--format=%(contents)"], ["--python", "--format=%(contents)"],
    ["--tcl", "--format=%(contents)"], ["--format=%%%41%(refname)%x"], ["--format="],
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with branches, tags of both kinds, a symbolic ref and an upstream."""
    folder = tmp_path_factory.mktemp("refs")
    path = folder / ".envgit"
    rng = random.Random(7)
    people = [("Ada Lovelace", "ada@example.org", "+0200"), ("Bob", "b@x", "-0330")]
    messages = ["one\n", "two\nlines\n\nbody\n\nmore\n", 'it\'s $x {y} [z] \\ "q"!\n\nb\tt\n']
    write_history(path, random_parents(rng, 40), messages=messages, people=people)
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
           "GIT_COMMITTER_DATE": "1700005000 +0100"}  # fmt: skip
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    git(path, "update-ref", "refs/heads/main", "c39")
    git(path, "update-ref", "refs/heads/topic/a", "c12")
    git(path, "tag", "v1", "c3")
    git(path, "tag", "-a", "-m", "annotated\n\nwith a body", "v2", "c30", env=who)
    git(path, "tag", "v10", "c4")
    git(path, "tag", "main", "c5")
    git(path, "update-ref", "refs/remotes/origin/main", "c38")
    git(path, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    git(path, "config", "remote.origin.url", "x")
    git(path, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    git(path, "config", "branch.main.remote", "origin")
    git(path, "config", "branch.main.merge", "refs/heads/main")
    return folder


def same(folder: Path, *argv: str) -> None:
    expected, got = run_git(folder, *argv), envgit(folder, *argv)
    assert got[1].decode() == expected[1].decode(), got[2].decode()
    assert got[0] == expected[0], (got[2], expected[2])


@pytest.mark.parametrize("atom", ATOMS)
def test_fields(folder: Path, atom: str) -> None:
    same(folder, "for-each-ref", f"--format=%({atom})|")


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_lines(folder: Path, line: list[str]) -> None:
    same(folder, "for-each-ref", *line)


@pytest.mark.parametrize("field", ["nothing", "refname:x", "objectname:x", "subject:x"])
def test_fields_that_are_none(folder: Path, field: str) -> None:
    argv = ["for-each-ref", f"--format=%({field})"]
    assert envgit(folder, *argv)[0] == run_git(folder, *argv)[0] == 128


@pytest.mark.parametrize(
    "line",
    ["", "-q", "--heads", "--tags", "--heads --tags", "-d", "--head", "--head -d --tags", "main",
     "v2", "-d v2", "heads/main", "in", "origin/main", "-s", "--hash", "--hash=9", "--abbrev",
     "--abbrev=10 v1", "-s -d v2", "nothing", "-q main", "-q nothing", "--verify refs/heads/main",
     "--verify main", "--verify HEAD", "--verify -q main", "--verify -q refs/tags/v1",
     "--verify -s refs/tags/v2", "--verify -d refs/tags/v2", "--verify", "--verify refs/heads/no",
     "--verify refs/heads/main refs/tags/v1", "--head nothing"],
)  # fmt: skip
def test_show_ref(folder: Path, line: str) -> None:
    same(folder, "show-ref", *line.split())


@pytest.mark.parametrize(
    "line", ["HEAD", "--short HEAD", "-q HEAD", "refs/remotes/origin/HEAD",
             "--short refs/remotes/origin/HEAD", "refs/heads/main", "-q refs/heads/main", "NONE",
             "-q refs/heads/none"]
)  # fmt: skip
def test_symbolic_ref(folder: Path, line: str) -> None:
    same(folder, "symbolic-ref", *line.split())


@pytest.mark.parametrize(
    "line", ["refs/heads/x", "x", "--allow-onelevel x", "refs/heads/x.lock", "a..b/c", "a/b.",
             "--normalize //a//b", "--normalize a/b/", "--branch x", "--branch a..b",
             "--branch HEAD", "a/b c", "@", "--allow-onelevel @", "--normalize a", "a/@{b"]
)  # fmt: skip
def test_check_ref_format(folder: Path, line: str) -> None:
    argv = ["check-ref-format", *line.rsplit(" ", line.count(" ") - line.startswith("a/b "))]
    same(folder, *argv)
