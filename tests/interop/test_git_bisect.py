# SPDX-License-Identifier: Apache-2.0
"""The commit that bisection proposes is the one that git proposes on the same graph."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import session
from envgit.porcelain.foundation.session import Session
from envgit.repo import bisection
from envgit.repo.repository import GitRepository
from envgit.repo.traversal import Rules, Traversal
from tests.interop import test_git_simplify
from tests.interop.dags import ENVIRONMENT, git, random_parents, write_history

if TYPE_CHECKING:
    from envgit.porcelain.foundation.repository import Repository

pytestmark = pytest.mark.peer("git>=2.39")


def proposed(
    repository: GitRepository,
    bad: str,
    good: list[str],
    skipped: set[str],
    *,
    first_parent: bool,
    trials: int = 1,
) -> bisection.Choice:
    """What envgit would test next."""
    traversal = Traversal(
        repository.point,
        [CommitId(bad)],
        [CommitId(oid) for oid in good],
        rules=Rules(first_parent=first_parent),
    )
    return bisection.choose(
        traversal.candidates(),
        CommitId(bad),
        frozenset(map(CommitId, skipped)),
        first_parent=first_parent,
        trials=trials,
    )


def by_git(
    path: Path, bad: str, good: list[str], skipped: set[str], *, first_parent: bool, paths: str = ""
) -> list[str]:
    """What git says to that: the lines that it prints."""
    git(path, "bisect", "reset")
    option = "'--first-parent'" if first_parent else ""
    lines = [f"git bisect start '--no-checkout' {option} '--' {paths}", f"git bisect bad {bad}"]
    lines += [f"git bisect good {oid}" for oid in good]
    lines += [f"git bisect skip {oid}" for oid in sorted(skipped)]
    log = path / "replayed"
    log.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["git", f"--git-dir={path}", "bisect", "replay", str(log)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("seed", range(6))
def test_proposes_what_git_proposes(
    seed: int, tmp_path: Path, effort: Callable[[int, int], int]
) -> None:
    """Random graphs, bad and good commits, skipped ones, first parents: the same commit and the
    same words about how much is left."""
    rng = random.Random(seed)
    path = tmp_path / "history"
    parents = random_parents(rng, rng.choice([8, 30, 120]), octopus=rng.choice([0, 0.1]))
    ids = write_history(path, parents, step=rng.choice([0, 60]))
    git(path, "symbolic-ref", "HEAD", "refs/heads/c0")
    repository = GitRepository.open(str(path))
    for _ in range(effort(15, 150)):
        bad = rng.choice(ids[len(ids) // 2 :])
        below = [oid for oid in repository.walk([bad]) if oid != bad]
        if not below:
            continue
        good: list[str] = list(rng.sample(below, min(len(below), rng.choice([1, 1, 1, 2, 3]))))
        skipped = set(rng.sample(ids, rng.choice([0, 0, 1, len(ids) // 4, len(ids) // 2])))
        first_parent = rng.random() < 0.25
        expected = by_git(path, bad, good, skipped, first_parent=first_parent)
        found = proposed(repository, bad, good, skipped, first_parent=first_parent)
        told = [line for line in expected if line.startswith("Bisecting: ")]
        if told and "merge base" not in told[-1]:
            assert found.outcome == "test", expected
            assert f"[{found.commits[0]}]" in expected[-1]
            assert told[-1].startswith(f"Bisecting: {found.left} revision")
            assert f"(roughly {found.steps} step" in told[-1]
        elif any("is the first bad commit" in line for line in expected):
            assert found.outcome == "found"
        elif any("'skip'ped" in line for line in expected):
            assert found.outcome == "skipped"
            assert [line for line in expected if len(line) == 40] == list(found.commits)
        else:
            assert any("both good and bad" in line for line in expected), expected
            assert found.outcome == "both"


SPECS = [
    ["a"], ["b", "f.txt"], ["dir"], ["dir/sub"], ["*.txt"], ["dir/c"], ["nothing"], ["d*"],
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_proposes_what_git_proposes_for_paths(
    seed: int, tmp_path: Path, effort: Callable[[int, int], int]
) -> None:
    """Random histories of environments, asked about paths. git is asked again by a process of its
    own: one that has just compared ancestors has read more commits and simplifies otherwise."""
    rng = random.Random(seed)
    path = tmp_path / "history"
    test_git_simplify.write(path, rng, (12, 45, 90)[seed % 3])
    repository = GitRepository.open(str(path))
    ids = [CommitId(oid) for oid in git(path, "rev-list", "--reverse", "--all").decode().split()]
    for _ in range(effort(20, 200)):
        bad = rng.choice(ids[len(ids) // 2 :])
        below = [oid for oid in repository.walk([bad]) if oid != bad]
        if not below:
            continue
        good = sorted(rng.sample(below, min(len(below), rng.choice([1, 1, 2, 3]))))
        skipped = sorted(rng.sample(ids, rng.choice([0, 0, 1, len(ids) // 4])))
        paths, first_parent = rng.choice(SPECS), rng.random() < 0.4
        found = Session(
            start="main", origin=bad, bad=bad, good=tuple(good), skipped=tuple(skipped),
            paths=tuple(paths), first_parent=first_parent,
        )  # fmt: skip
        theirs = " ".join(f"'rootfs/{each}'" for each in paths)
        by_git(path, bad, list(good), set(skipped), first_parent=first_parent, paths=theirs)
        told = subprocess.run(
            ["git", f"--git-dir={path}", "bisect", "next"],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        expected = told.stdout + told.stderr
        pool = session.candidates(cast("Repository", SimpleNamespace(git=repository)), found)
        choice = bisection.choose(pool, bad, frozenset(skipped), first_parent=first_parent)
        if choice.outcome == "test":
            assert f"Bisecting: {choice.left} revision" in expected
            assert f"(roughly {choice.steps} step" in expected
            assert f"[{choice.commits[0]}]" in expected
        elif choice.outcome == "found":
            assert f"{bad} is the first bad commit" in expected
        elif choice.outcome == "skipped":
            assert [CommitId(line) for line in expected.splitlines() if len(line) == 40] == list(
                choice.commits
            )
        else:
            assert choice.outcome == "nothing" and "No testable commit found." in expected
