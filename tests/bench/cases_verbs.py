# SPDX-License-Identifier: Apache-2.0
"""Verbs that need git against their imports; moving about; status."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, milliseconds
from tests.bench.place import PYTHON, Repository
from tests.bench.report import Table, figure, ratio
from tests.support import builders

# Verbs in a clean repository, where they have next to no work of their own.
VERBS = (
    ("rev-parse", "HEAD"),
    ("log", "-n", "1"),
    ("show", "-s"),
    ("status",),
    ("diff",),
    ("branch",),
    ("tag",),
    ("ls-tree", "HEAD"),
    ("merge-base", "HEAD", "HEAD"),
    ("reflog", "-n", "1"),
    ("op", "log", "-n", "1"),
)

CHANGED = (0, 10, 100, 1_000, 10_000)


def imports(bench: Bench) -> list[Table]:
    """What each verb costs above the imports of click and pygit2."""
    repository = bench.small_repository(500)
    racers = [Competitor("imports", lambda _: Command([PYTHON, "-c", "import click, pygit2"]))]
    racers += [
        Competitor(" ".join(words), functools.partial(_command, repository, words))
        for words in VERBS
    ]
    found = bench.race(racers, bench.repeat * 2)
    floor = found["imports"]
    rows = [
        [
            name if name != "imports" else "python3 -c 'import click, pygit2'",
            figure(sample),
            milliseconds(sample.median - floor.median) if sample.times else "-",
        ]
        for name, sample in found.items()
    ]
    return [Table("Verbs that need git", ("Verb", "ms", "over the imports"), rows)]


def _command(repository: Repository, words: tuple[str, ...], _: int) -> Command:
    return repository.command(*words)


def moves(bench: Bench) -> list[Table]:
    """rollback and switch: by size of the environment, and by length of the history."""
    few, many = bench.small_repository(500), bench.small_repository(25_000)
    short, deep = bench.shallow_repository(), bench.deep_repository()
    if short.commits < 10:
        short.grow(10 - short.commits)
    rows = []
    for verb in ("rollback", "switch"):
        for what, one, other in (
            ("500 and 25,000 files", few, many),
            (f"10 and {deep.commits} commits", short, deep),
        ):
            racers = [_move(verb, "one", one), _move(verb, "other", other)]
            found = bench.race(racers, bench.repeat * 2)
            ones, others = found["one"], found["other"]
            rows.append([verb, what, figure(ones), figure(others), ratio(others, ones)])
    head = ("Verb", "Environments", "first", "second", "ratio")
    return [Table("rollback and switch", head, rows)]


def _move(verb: str, name: str, repository: Repository) -> Competitor:
    if verb == "rollback":
        return Competitor(
            name,
            lambda _: repository.command("rollback"),
            after=lambda _: _quietly(repository, "undo"),
        )
    if "other" not in repository.envgit("branch").replace("*", " ").split():
        repository.envgit("branch", "other", "HEAD~1")
    return Competitor(
        name,
        lambda number: repository.command("switch", "other" if number % 2 == 0 else "main"),
        # After an even number of switches the repository is where it began.
        after=lambda number: None,
    )


def _quietly(repository: Repository, *args: str) -> None:
    repository.envgit(*args)


def status(bench: Bench) -> list[Table]:
    """status: the number of changed files counts, not the size of the environment."""
    few, many = bench.small_repository(500), bench.small_repository(25_000)
    rows = []
    for changed in CHANGED:
        for repository in (few, many):
            _set_changed(repository, changed)
        racers = [
            Competitor("few", lambda _: few.command("status")),
            Competitor("many", lambda _: many.command("status")),
            # Times that differ from the cache's make it read and hash every changed file again.
            Competitor(
                "unknown", lambda _: many.command("status"), before=lambda n: _touch_all(many, n)
            ),
        ]
        found = bench.race(racers, bench.repeat)
        rows.append(
            [
                f"{changed:,}",
                figure(found["few"]),
                figure(found["many"]),
                ratio(found["many"], found["few"]),
                figure(found["unknown"]),
            ]
        )
    for repository in (few, many):
        repository.envgit("reset", "--hard")
    head = ("Changed files", "of 500", "of 25,000", "ratio", "of 25,000, nothing cached")
    return [Table("status", head, rows)]


def _set_changed(repository: Repository, count: int) -> None:
    target = Path(repository.upper(), "changed")
    shutil.rmtree(target, ignore_errors=True)
    if count:
        builders.many_files(target, count)


def _touch_all(repository: Repository, number: int) -> None:
    for directory, _, files in os.walk(os.path.join(repository.upper(), "changed")):
        for name in files:
            # A whole number of seconds in the past, another one in each round.
            os.utime(os.path.join(directory, name), (1_700_000_000 + number,) * 2)
