# SPDX-License-Identifier: Apache-2.0
"""cherry-pick, revert and stash: their time follows the change, not the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Competitor
from tests.bench.place import Repository
from tests.bench.report import Table, figure, ratio

_SIZES = (500, 25_000)
_CHANGED = 10


def picks(bench: Bench) -> list[Table]:
    """Each verb on a change of ten files, by size of the environment."""
    racers = []
    for files in _SIZES:
        repository = bench.small_repository(files)
        _grow(repository, files)
        racers += [
            _one(repository, f"cherry-pick {files}", ("cherry-pick", "picked")),
            _one(repository, f"revert {files}", ("revert", "--no-edit", "reverted")),
            _one(repository, f"stash push {files}", ("stash", "-q"), _dirty(repository, files),
                 after=("reset", "-q", "--hard")),
            _one(repository, f"stash pop {files}", ("stash", "pop", "-q"),
                 _stashed(repository, files), after=("reset", "-q", "--hard")),
        ]  # fmt: skip
    found = bench.race(racers, bench.repeat * 2)
    for files in _SIZES:
        repository = bench.small_repository(files)
        repository.envgit("reset", "-q", "--hard", "unpicked")
        repository.envgit("stash", "clear")
    rows = []
    for name in ("cherry-pick", "revert", "stash push", "stash pop"):
        few, many = (found[f"{name} {files}"] for files in _SIZES)
        rows.append([name, figure(few), figure(many), ratio(many, few)])
    head = ("A change of 10 files", "500 files", "25,000 files", "ratio")
    return [Table("cherry-pick, revert and stash", head, rows)]


def _write(repository: Repository, files: int, text: str, first: int) -> None:
    chosen = range(0, files, files // 40)
    for number in list(chosen)[first : first + _CHANGED]:
        target = Path(repository.upper(), f"srv/data/{number // 100:04}/f{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _grow(repository: Repository, files: int) -> None:
    """HEAD, which is to be reverted, and a commit beside it to pick."""
    repository.envgit("branch", "-f", "unpicked", "HEAD")
    repository.envgit("switch", "-q", "-C", "picked")
    _write(repository, files, "picked", 0)
    repository.envgit("commit", "-q", "-m", "picked")
    repository.envgit("switch", "-q", "main")
    _write(repository, files, "reverted", 20)
    repository.envgit("commit", "-q", "-m", "reverted")
    repository.envgit("branch", "-f", "reverted", "HEAD")


def _dirty(repository: Repository, files: int) -> Callable[[int], None]:
    return lambda number: _write(repository, files, f"dirty {number}", 0)


def _stashed(repository: Repository, files: int) -> Callable[[int], None]:
    def before(number: int) -> None:
        _write(repository, files, f"dirty {number}", 0)
        repository.envgit("stash", "-q")

    return before


def _one(
    repository: Repository,
    name: str,
    line: tuple[str, ...],
    before: Callable[[int], None] = lambda _: None,
    *,
    after: tuple[str, ...] = ("undo", "-q"),
) -> Competitor:
    def put_back(_: int) -> None:
        repository.envgit(*after)

    return Competitor(name, lambda _: repository.command(*line), before=before, after=put_back)
