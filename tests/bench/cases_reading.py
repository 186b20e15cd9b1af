# SPDX-License-Identifier: Apache-2.0
"""Reading the history: blame over many commits, grep over many files."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor
from tests.bench.place import Repository
from tests.bench.report import Table, figure, ratio
from tests.support import builders

_STATUSES = frozenset({0, 1})


def blame(bench: Bench) -> list[Table]:
    """blame of paths and of lines, in a long history."""
    repository = bench.deep_repository()
    asked = (
        ("a file of the first commit", ("blame", "etc/passwd")),
        ("all of one directory", ("blame", "srv")),
        ("the root directory", ("blame", "/")),
        ("lines of a file", ("blame", "--lines", "etc/passwd")),
    )
    racers = [
        Competitor(name, functools.partial(_command, repository, words)) for name, words in asked
    ]
    racers.append(Competitor("floor", lambda _: repository.command("rev-parse", "HEAD")))
    found = bench.race(racers, bench.repeat)
    rows = [[name, figure(found[name]), ratio(found[name], found["floor"])] for name, _ in asked]
    head = (f"blame, {repository.commits} commits", "ms", "to rev-parse HEAD")
    return [Table("blame", head, rows)]


def _command(repository: Repository, words: tuple[str, ...], _: int) -> Command:
    return repository.command(*words)


def grep(bench: Bench) -> list[Table]:
    """grep over 25,000 files, beside git grep and grep -r on the same files."""
    repository = bench.small_repository(25_000)
    plain = bench.place.root / "grep-plain"
    shutil.rmtree(plain, ignore_errors=True)
    builders.many_files(plain, 25_000)
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "files"]):
        subprocess.run(["git", *argv], cwd=plain, env=repository.env, check=True)
    rows = []
    for what, pattern in (("nothing", "nowhere"), ("11 lines", "number 2499.$"), ("all", "small")):
        racers = [
            Competitor("worktree", functools.partial(_grep, repository, (pattern,))),
            Competitor("commit", functools.partial(_grep, repository, (pattern, "HEAD"))),
            Competitor(
                "git", functools.partial(_peer, repository, plain, ("git", "grep", pattern))
            ),
            Competitor(
                "grep",
                functools.partial(
                    _peer, repository, plain, ("grep", "-r", "--exclude-dir=.git", pattern, ".")
                ),
            ),
        ]
        found = bench.race(racers, bench.repeat)
        rows.append([what, *(figure(found[one]) for one in ("worktree", "commit", "git", "grep"))])
    head = ("Matches", "envgit, worktree", "envgit, HEAD", "git grep", "grep -r")
    return [Table("grep in 25,000 files", head, rows)]


def _grep(repository: Repository, words: tuple[str, ...], _: int) -> Command:
    return repository.command("grep", *words, "--", "srv/data", statuses=_STATUSES)


def _peer(repository: Repository, folder: Path, argv: tuple[str, ...], _: int) -> Command:
    return Command(list(argv), str(folder), repository.env, statuses=_STATUSES)
