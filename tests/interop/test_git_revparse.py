# SPDX-License-Identifier: Apache-2.0
"""``rev-parse`` prints what git prints, words of failure and exit statuses included."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents, write_history

pytestmark = pytest.mark.peer("git>=2.30")

LINES = [
    "main", "main c3", "c3..main", "c3...main", "^c3 main", "main^!", "main^@", "main^-",
    "^main^@", "--verify main", "--verify nope", "-q --verify nope", "--verify main c3",
    "--verify", "--verify ^c3", "--verify c3..c4", "--short main", "--short=10 main",
    "--short=2 v2", "--short=99 main", "--abbrev-ref HEAD", "--abbrev-ref main c3~1",
    "--abbrev-ref @", "--symbolic-full-name HEAD main v1 c3~1",
    "--symbolic main~1 HEAD^! HEAD^@ HEAD^- c3..main", "--symbolic ^c3", "--abbrev-ref both",
    "--symbolic-full-name both", "both", "both~1", "--all", "--branches=c1*", "--tags",
    "--remotes", "--glob=heads/c2*", "--symbolic --branches", "--symbolic --tags --remotes",
    "--not --branches=c1* --not v1", "--exclude=c* --branches", "--exclude=refs/heads/c* --all",
    "--symbolic --all", "--default main", "--default nope", "--verify --default main",
    "--default main c3", "--verify -q --default nope", "--default", "--revs-only main --foo file",
    "--revs-only --max-count=3 main", "--no-revs main --foo -n3 f --",
    "--no-revs --no-flags main -- x", "--flags main --foo", "--no-flags --foo main", "--foo",
    "--flags --revs-only --all --foo -3", "--verify --foo", "main -- nope x", "nope -- x", "nope",
    "main nope", "c3..nope", "nope..c3", "^nope", "nope^!", "c3...nope", "main~99", "main^9",
    "main^{tree}", "v2^{tag} v2^{} v2^{commit}", "--verify main^{blob}", "-q --verify main^{tag}",
    "--sq main ^c3", "--sq-quote a b'c d!", "--end-of-options main", "--since=@1700000000",
    "--after=@1700000100 main", "--not main c3 --not c4", "HEAD@{0}", "HEAD@{1}", "HEAD@{99}",
    "main@{u}", "main@{upstream}", "c3@{u}", "nope@{u}", "main@{push}", "@{-1}", "HEAD:nope",
    "--short c3 c4", "--abbrev-ref=loose main", "--abbrev-ref=nope main",
    "0123456789012345678901234567890123456789",
    "--verify 0123456789012345678901234567890123456789", "nope:file", "--verify nope:file",
    "--bisect", ":/commit.3", ":/nothing", "main^{/commit.2}",
    "--abbrev-ref --symbolic-full-name v1", "--disambiguate=", "refs/heads/main heads/main",
    "c3 --not", "--all --not --all", "-n 3 main",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("revparse")
    path = folder / ".envgit"
    write_history(path, random_parents(random.Random(3), 30))
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
           "GIT_COMMITTER_DATE": "1700005000 +0100"}  # fmt: skip
    git(path, "config", "core.logAllRefUpdates", "true")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    for name in ("c10", "c29"):
        git(path, "update-ref", "-m", f"to {name}", "refs/heads/main", name, env=who)
    git(path, "tag", "v1", "c3")
    git(path, "tag", "-a", "-m", "annotated", "v2", "c20", env=who)
    for ref in ("heads/both", "tags/both", "remotes/origin/main", "bisect/bad", "bisect/good-1"):
        git(path, "update-ref", f"refs/{ref}", "c7", env=who)
    settings = {
        "remote.origin.url": "x",
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        "branch.main.remote": "origin",
        "branch.main.merge": "refs/heads/main",
        "branch.c3.remote": ".",
    }
    for key, value in settings.items():
        git(path, "config", key, value)
    return folder


def words(text: bytes) -> list[str]:
    """What is said, but for the programs' names and advice of more than a line."""
    lines = text.decode().replace("envgit", "git").splitlines()
    return [line for line in lines if not line.startswith("'git <command>")]


@pytest.mark.parametrize("line", LINES)
def test_line(folder: Path, line: str) -> None:
    expected = run_git(folder, "rev-parse", *line.split())
    got = envgit(folder, "rev-parse", *line.split())
    assert (got[0], got[1].decode()) == (expected[0], expected[1].decode()), got[2].decode()
    assert words(got[2]) == words(expected[2])


def test_ambiguous_ids(tmp_path: Path) -> None:
    """Candidates are listed as git does: tags, commits, trees, blobs; a commit is preferred."""
    folder = tmp_path
    path = folder / ".envgit"
    write_history(path, random_parents(random.Random(9), 500))
    for number in range(700):
        git(path, "hash-object", "-w", "--stdin", stdin=b"%d" % number)
    ids = git(path, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode()
    starts = [oid[:4] for oid in ids.split()]
    shared = sorted({start for start in starts if starts.count(start) > 1})
    assert shared
    for start in shared[:12]:
        for argv in (
            ["rev-parse", start],
            ["rev-parse", "--verify", start],
            ["log", "-1", "--format=%H", start],
            ["rev-parse", f"{start}^{{commit}}"],
        ):
            expected, got = run_git(folder, *argv), envgit(folder, *argv)
            assert (got[0], got[1]) == (expected[0], expected[1]), argv
            assert words(got[2]) == words(expected[2]), argv
