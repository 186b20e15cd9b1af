# SPDX-License-Identifier: Apache-2.0
"""``rev-parse``, ``merge-base``, ``ls-tree`` and ``show REV:PATH`` answer as git does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents, write_history
from tests.interop.test_git_simplify import write

REV_PARSE = [
    ["HEAD"], ["main", "v1"], ["main~2"], ["v2"], ["v2^{commit}"], ["v2^{}"], ["HEAD^"], ["^main"],
    ["c3..main"], ["c3...main"], ["main^@"], ["main^!"], ["..main"], ["--short", "HEAD"],
    ["--short=12", "HEAD"], ["--verify", "HEAD"], ["--verify", "-q", "nope"], ["--verify", "nope"],
    ["--verify", "HEAD", "main"], ["--abbrev-ref", "HEAD"], ["--abbrev-ref", "main"],
    ["--symbolic-full-name", "HEAD"], ["--symbolic-full-name", "v1", "main"],
    ["--symbolic", "main~1"], ["--all"], ["--branches"], ["--tags"], ["--not", "main", "c3"],
    ["--default", "main"], ["--", "x"], ["HEAD", "--", "a/b"], ["@"], ["-q",
    "--verify", "main"], ["--verify", "--short", "c5"], ["--is-bare-repository", "main"][1:],
    [":/commit 1"], ["main@{0}"], ["nope"],
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    path = folder / ".envgit"
    write_history(path, random_parents(random.Random(8), 25))
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x"}
    git(path, "config", "core.logAllRefUpdates", "true")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    git(path, "update-ref", "-m", "commit: c24", "refs/heads/main", "c24", env=who)
    git(path, "tag", "v1", "c3")
    git(path, "tag", "-a", "-m", "annotated", "v2", "c9", env=who)
    return folder


@pytest.mark.parametrize("argv", REV_PARSE, ids=" ".join)
def test_rev_parse(folder: Path, argv: list[str]) -> None:
    expected = run_git(folder, "rev-parse", *argv)
    got = envgit(folder, "rev-parse", *argv)
    if argv != ["nope"]:  # git echoes what it does not know before it complains
        assert got[1].decode() == expected[1].decode()
    assert got[0] == expected[0]
    assert got[2].decode().splitlines()[:1] == expected[2].decode().splitlines()[:1]


@pytest.mark.parametrize("seed", range(4))
def test_merge_base(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        names = [f"c{number}" for number in rng.sample(range(25), rng.randint(2, 3))]
        for options in ([], ["--all"], ["--independent"]):
            expected = run_git(folder, "merge-base", *options, *names)
            got = envgit(folder, "merge-base", *options, *names)
            assert got[0] == expected[0]
            assert sorted(got[1].split()) == sorted(expected[1].split())
        expected = run_git(folder, "merge-base", "--is-ancestor", *names[:2])
        assert envgit(folder, "merge-base", "--is-ancestor", *names[:2])[0] == expected[0]
    assert envgit(folder, "merge-base", "main", "nope")[0] == 128


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    write(folder / ".envgit", random.Random(2), 12)
    return folder


@pytest.mark.parametrize(
    "argv",
    [[], ["-r"], ["-d"], ["-r", "-t"], ["-r", "-d"], ["-z"], ["-z", "-r"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize(
    "paths",
    [[], ["dir"], ["dir/"], ["dir/sub"], ["dir/sub/"], ["a", "dir/c"], ["nothing"], ["dir/nothing"],
     ["dir", "dir/sub/"]],
    ids=" ".join,
)  # fmt: skip
def test_ls_tree(environment: Path, argv: list[str], paths: list[str]) -> None:
    theirs = ["main:rootfs", *paths]
    expected = run_git(environment, "ls-tree", "--name-only", *argv, *theirs)[1]
    got = envgit(environment, "ls-tree", "--name-only", *argv, "main", *paths)[1]
    end = b"\0" if "-z" in argv else b"\n"
    names = [name for name in expected.split(end) if not name.endswith(b"%dir")]
    assert got.split(end) == names


def test_ls_tree_columns(environment: Path) -> None:
    status, out, _ = envgit(environment, "ls-tree", "-l", "main:dir")
    assert status == 0
    for line in out.decode().splitlines():
        mode, kind, identity, size, owner = line.split("\t")[0].split()
        assert (mode, kind) in (("100644", "file"), ("040755", "dir"))
        assert owner == "0:0" and (size == "-") == (kind == "dir")
        assert len(identity) in (40, 64)


def test_show_directory(environment: Path) -> None:
    names = [
        line for line in run_git(environment, "show", "main:rootfs/dir")[1].decode().splitlines()
        if line != "%dir"
    ]  # fmt: skip
    names[0] = "tree main:dir"
    got = envgit(environment, "show", "main:dir")
    assert got[1].decode().splitlines() == names
    missing = envgit(environment, "show", "main:nothing")
    assert missing[0] == 128
    assert missing[2].decode().startswith("fatal: path 'nothing' does not exist in 'main'")
