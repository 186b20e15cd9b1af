# SPDX-License-Identifier: Apache-2.0
"""``rev-list`` and ``log`` choose, mark and order the commits that git does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents, write_history
from tests.interop.test_git_simplify import write

pytestmark = pytest.mark.peer("git>=2.30")

COMMITS = 45


@pytest.fixture(scope="module", params=range(4))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random history of empty trees, with tags, remote branches and a reflog."""
    folder = tmp_path_factory.mktemp("ranges")
    path = folder / ".envgit"
    rng = random.Random(request.param)
    write_history(path, random_parents(rng, COMMITS), step=rng.choice([60, 60, 0]))
    who = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@x",
           "GIT_COMMITTER_DATE": "1700005000 +0100"}  # fmt: skip
    git(path, "config", "core.logAllRefUpdates", "true")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")
    for index in (10, 20, COMMITS - 1):
        git(path, "update-ref", "-m", f"commit: c{index}", "refs/heads/main", f"c{index}", env=who)
    git(path, "tag", "v1", "c3")
    git(path, "tag", "-a", "-m", "annotated", "v2", "c30", env=who)
    for index in (8, 38):
        git(path, "update-ref", f"refs/remotes/origin/r{index}", f"c{index}", env=who)
    git(path, "update-ref", "refs/bisect/bad", "c40", env=who)
    for index in (2, 21):
        git(path, "update-ref", f"refs/bisect/good-{index}", f"c{index}", env=who)
    return folder


def same(folder: Path, *argv: str) -> None:
    expected, got = run_git(folder, *argv), envgit(folder, *argv)
    assert got[1].decode() == expected[1].decode(), (argv, got[2].decode())
    assert got[0] == expected[0], (argv, got[2].decode(), expected[2].decode())


ARGUMENTS = [
    "main", "--all", "--all --not c20", "--not c20 --not main", "main --not c5 c9",
    "--not c5 --all", "--branches=c1*", "--branches=c1* --not --tags", "--remotes",
    "--tags --remotes", "--exclude=c1* --branches", "--exclude=refs/heads/c2* --all",
    "--exclude=*1 --exclude=*2 --branches", "--exclude=r8 --remotes main",
    "--exclude=refs/heads/* --glob=heads/c3*", "--glob=heads", "--glob=refs/remotes/*",
    "--branches=nothing", "--tags=v*", "^c9 main", "^c9", "c20^@", "c20^! c7", "^c20^@ main",
    "c30^- c31", "c40^-1", "main~3..main", "c9...main", "^c9...main c40", "main~2 ^main~5",
    "--not --branches=c1* --not c40", "c12 c13 c14 ^c3",
]  # fmt: skip


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments(folder: Path, arguments: str) -> None:
    for order in ([], ["--topo-order"], ["--reverse", "--parents"]):
        same(folder, "rev-list", *order, *arguments.split())


OPTIONS = [
    "--left-right c9...main", "--left-only c9...main", "--right-only c9...main", "--count main",
    "--count --left-right c9...main", "--count --left-right --cherry-mark c9...main",
    "--count --cherry-mark c9...main", "--boundary c9..main", "--boundary c9...main",
    "--boundary -3 main", "--boundary --topo-order c9..main", "--boundary --parents c12..main",
    "--boundary --date-order ^c9 ^c20 --all", "--left-right --boundary c9...c40",
    "--ancestry-path c9..main", "--ancestry-path ^c5 ^c12 main",
    "--ancestry-path --topo-order c3..c40", "--ancestry-path --parents c3..main",
    "--ancestry-path --boundary c3..main", "--cherry-pick c9...main", "--cherry-mark c30...c40",
    "--cherry-mark --left-right c30...c40", "--cherry c30...c40",
    "--cherry-pick --left-only c20...main", "--cherry-pick --no-merges c20...c41",
    "--children main", "--children --topo-order c9..main", "--children --all",
    "--parents --no-merges main", "--no-walk c3 c9 c5", "--no-walk=unsorted c3 c9 c5",
    "--no-walk --all", "--no-walk=sorted --do-walk c9", "--timestamp -4 main",
    "--abbrev-commit -4 main", "--max-parents=1 main", "--min-parents=2 main",
    "--first-parent main", "--first-parent c9..main",
    "--skip=3 --max-count=4 main", "--skip=1 -3 --reverse main", "--author-date-order --all",
    "--oneline -4 main", "--format=%h%m%s -4 main", "--pretty=short -2 main", "--graph main",
    "--graph --boundary c9..main", "--format=%m%h --boundary c9...main", "--quiet main",
    "--oneline --left-right --boundary c9...main", "--since=1700001000 main",
    "--until=1700001000 main", "--since=1700000600 --boundary main", "--merges --count main",
    "--grep=commit.1 main",
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_options(folder: Path, options: str) -> None:
    same(folder, "rev-list", *options.split())


LOGS = [
    "--boundary c9..main", "--boundary --graph c9..main", "--cherry-mark c30...c40",
    "--cherry-mark --left-right --graph c30...c40", "--graph --boundary --left-right c9...main",
    "--no-walk c3 v2", "--no-walk=unsorted --oneline c3 c9", "--all --not c30 c31",
    "--left-right --boundary c9...main", "--cherry c30...c40",
    "--format=%m%h --cherry-mark --boundary c30...c40", "-2 --boundary main",
]  # fmt: skip


@pytest.mark.parametrize("options", LOGS)
def test_log(folder: Path, options: str) -> None:
    for form in ("--oneline", "--pretty=medium"):
        same(folder, "log", form, *options.split())


def test_groups_without_an_order(folder: Path) -> None:
    for argument in ("--reflog", "--bisect", "--reflog --not c20"):
        argv = ["log", "--format=%H", *argument.split()]
        expected, got = run_git(folder, *argv), envgit(folder, *argv)
        assert sorted(got[1].split()) == sorted(expected[1].split())


AT_ODDS: list[set[str]] = [
    {"--children", "--parents"}, {"--first-parent", "--boundary"}, {"--skip=2", "--boundary"},
    {"--first-parent", "--topo-order"}, {"--first-parent", "--date-order"},
    {"--first-parent", "--children"},
]  # fmt: skip


def test_at_random(folder: Path) -> None:
    rng = random.Random(str(folder))
    names = [f"c{number}" for number in range(COMMITS)] + ["HEAD~3", "v2", "main^", "c40~2"]
    switches = ["--topo-order", "--date-order", "--first-parent", "--boundary", "--parents",
                "--reverse",
                "--no-merges", "--merges", "--left-right", "--all", "--count", "-5", "--skip=2",
                "--children", "--branches=c2*"]  # fmt: skip
    for _ in range(60):
        chosen = rng.sample(switches, rng.randint(0, 3))
        # What git does with these pairs follows from its implementation, not from its manual.
        if any(pair <= {*chosen} for pair in AT_ODDS):
            continue
        for _ in range(rng.randint(1, 3)):
            one, other = rng.sample(names, 2)
            form = rng.choice(["{0}", "^{0}", "{0}..{1}", "{0}...{1}", "--not {0} --not", "{0}^@"])
            chosen += form.format(one, other).split()
        same(folder, "rev-list", *chosen)


@pytest.fixture(scope="module", params=range(4))
def environments(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environments")
    write(folder / ".envgit", random.Random(100 + request.param), 45)
    return folder


@pytest.mark.parametrize(
    "options",
    ["c12..main", "--boundary c12..main", "--parents --boundary c12..main",
     "--parents c12..main", "--ancestry-path c5..main",
     "--parents main", "--children main", "--left-right c20...main", "--count c20..main",
     "--children c20..main", "--ancestry-path --parents c5..main",
     "--cherry-mark c30...main"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["a", "dir"])
def test_paths(environments: Path, options: str, path: str) -> None:
    ours, theirs = ["--", path], ["--", f"rootfs/{path}"]
    expected = run_git(environments, "rev-list", *options.split(), *theirs)
    got = envgit(environments, "rev-list", *options.split(), *ours)
    assert got[1].decode() == expected[1].decode(), got[2].decode()
