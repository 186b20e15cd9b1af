# SPDX-License-Identifier: Apache-2.0
"""``run -- true``: against podman and the floors, and at the end of a long history."""

from __future__ import annotations

import shutil

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, Sample, milliseconds
from tests.bench.place import PYTHON, Repository
from tests.bench.report import Table, figure, ratio


def bubblewrap(bench: Bench) -> Command:
    """bwrap with the namespaces that envgit makes, around the same root filesystem."""
    return Command(
        [
            *("bwrap", "--bind", str(bench.place.base), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "true"),
        ]
    )


def run_true(bench: Bench) -> list[Table]:
    """``true`` inside, cold command line."""
    repository = bench.base_repository()
    racers = [
        Competitor("envgit run", lambda _: repository.command("run", "--", "true")),
        Competitor("python, click", lambda _: Command([PYTHON, "-c", "import click"])),
    ]
    if shutil.which("bwrap"):
        racers.append(Competitor("bwrap", lambda _: bubblewrap(bench)))
    if bench.containers is not None and bench.containers.has("podman"):
        containers = bench.containers
        racers.append(Competitor("podman run", lambda _: containers.podman_run()))
    found = bench.race(racers, bench.repeat * 3)
    rows = [
        [name, figure(sample), ratio(sample, found["envgit run"])] for name, sample in found.items()
    ]
    over = _over(found, "envgit run", "python, click", "bwrap")
    return [
        Table(
            "run -- true",
            ("What", "ms", "÷ envgit"),
            rows,
            (f"envgit over (python3 -c 'import click') + bwrap: {over} ms.",),
        )
    ]


def _over(found: dict[str, Sample], ours: str, *floors: str) -> str:
    if any(name not in found or not found[name].times for name in (ours, *floors)):
        return "-"
    return milliseconds(found[ours].median - sum(found[name].median for name in floors))


def depth(bench: Bench) -> list[Table]:
    """Starting things costs the same at commit 2 and at commit 1,000."""
    shallow, deep = bench.shallow_repository(), bench.deep_repository()
    rows = []
    for what, words in (
        ("run -- true", ("true",)),
        ("run -- python3 -c pass", ("python3", "-c", "pass")),
        ("run -- pip --version", ("pip", "--version")),
    ):
        found = bench.race(_pair(shallow, deep, *words), bench.repeat * 2)
        at_2, at_1000 = found["shallow"], found["deep"]
        rows.append([what, figure(at_2), figure(at_1000), ratio(at_1000, at_2)])
    head = ("What", "at commit 2", f"at commit {bench.depth}", "ratio")
    return [Table("A long history", head, rows)]


def _pair(shallow: Repository, deep: Repository, *words: str) -> list[Competitor]:
    return [
        Competitor("shallow", lambda _: shallow.command("run", "--", *words)),
        Competitor("deep", lambda _: deep.command("run", "--", *words)),
    ]
