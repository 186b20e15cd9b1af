# SPDX-License-Identifier: Apache-2.0
"""Merges: their time follows the change, not the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor
from tests.bench.place import Repository, scrub
from tests.bench.report import Table, figure, ratio
from tests.support import builders

_SIZES = (500, 25_000)
_CHANGED = 10


def merges(bench: Bench) -> list[Table]:
    """``merge --no-ff`` of two branches that changed ten files each, one of them both, by size of
    the environment, and git on the same files."""
    racers = []
    for files in _SIZES:
        repository = bench.small_repository(files)
        _diverge(repository, files)
        racers.append(_ours(f"envgit {files}", repository))
        racers.append(_gits(f"git {files}", bench, files))
    found = bench.race(racers, bench.repeat * 2)
    for files in _SIZES:
        bench.small_repository(files).envgit("reset", "-q", "--hard", "before")
    rows = []
    for name in ("envgit", "git"):
        few, many = (found[f"{name} {files}"] for files in _SIZES)
        rows.append([name, figure(few), figure(many), ratio(many, few)])
    head = ("Merge of 10 and 10 files", "500 files", "25,000 files", "ratio")
    return [Table("merge", head, rows)]


def _paths(files: int) -> list[str]:
    """Where some of the many files are."""
    chosen = range(0, files, files // 40)
    return [f"srv/data/{number // 100:04}/f{number}" for number in chosen]


def _change(root: Path, paths: list[str], shared: str, text: str, *, first: bool) -> None:
    """Ten changed files, the last of them changed on both sides, at other lines."""
    for path in paths[: _CHANGED - 1]:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    lines = [f"line {number}" for number in range(20)]
    lines[0 if first else -1] = text
    (root / shared).parent.mkdir(parents=True, exist_ok=True)
    (root / shared).write_text("\n".join(lines) + "\n")


def _diverge(repository: Repository, files: int) -> None:
    paths = _paths(files)
    shared = "srv/shared"
    repository.envgit("branch", "-f", "before", "HEAD")
    base = Path(repository.upper())
    (base / "srv").mkdir(exist_ok=True)
    (base / shared).write_text("".join(f"line {number}\n" for number in range(20)))
    repository.envgit("commit", "-q", "-m", "shared")
    repository.envgit("switch", "-q", "-C", "theirs")
    _change(Path(repository.upper()), paths[:15], shared, "theirs", first=True)
    repository.envgit("commit", "-q", "-m", "theirs")
    repository.envgit("switch", "-q", "main")
    _change(Path(repository.upper()), paths[20:], shared, "ours", first=False)
    repository.envgit("commit", "-q", "-m", "ours")


def _ours(name: str, repository: Repository) -> Competitor:
    return Competitor(
        name,
        lambda _: repository.command("merge", "-q", "-m", "merged", "theirs"),
        after=lambda _: _undo(repository),
    )


def _undo(repository: Repository) -> None:
    repository.envgit("undo", "-q")


def _gits(name: str, bench: Bench, files: int) -> Competitor:
    folder = bench.place.root / f"git-{files}"
    shutil.rmtree(folder, ignore_errors=True)
    builders.many_files(folder / "srv/data", files)
    (folder / "srv/shared").write_text("".join(f"line {number}\n" for number in range(20)))
    env = scrub(os.environ) | {
        **{f"GIT_{who}_NAME": "Bench" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "bench@example.org" for who in ("AUTHOR", "COMMITTER")},
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(bench.place.root),
    }

    def git(*args: str) -> None:
        subprocess.run(["git", *args], cwd=folder, env=env, check=True, capture_output=True)

    paths = _paths(files)
    for args in (("init", "-q", "-b", "main"), ("config", "gc.auto", "0"), ("add", "-A")):
        git(*args)
    git("commit", "-qm", "base")
    git("switch", "-qc", "theirs")
    _change(folder, paths[:15], "srv/shared", "theirs", first=True)
    git("commit", "-qam", "theirs")
    git("switch", "-q", "main")
    _change(folder, paths[20:], "srv/shared", "ours", first=False)
    git("commit", "-qam", "ours")
    return Competitor(
        name,
        lambda _: Command(["git", "merge", "-q", "-m", "merged", "theirs"], str(folder), env),
        after=lambda _: git("reset", "-q", "--hard", "HEAD~1"),
    )
