# SPDX-License-Identifier: Apache-2.0
"""Questions about a history of 10,000 commits, put to envgit and to git on the same repository."""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
from pathlib import Path

from envgit.layers.entry import Entry
from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, say
from tests.bench.place import Repository, scrub
from tests.bench.report import Table, figure, ratio
from tests.support import cli

COMMITS = 10_000
FOLDERS = 40
RARE = "etc/rare.conf"
"""Changed by one commit in 500; the other files by one in some hundred each."""

QUESTIONS: tuple[tuple[tuple[str, ...], tuple[str, ...] | None], ...] = (
    (("log", "-n", "10"), None),
    (("log", "--oneline"), None),
    (("log", "--oneline", "--graph", "--all"), None),
    (("log", "--oneline", "--", RARE), ("log", "--oneline", "--", f"rootfs/{RARE}")),
    (("log", "-n", "1", "--", RARE), ("log", "-n", "1", "--", f"rootfs/{RARE}")),
    (("log", "--oneline", "--grep=commit 77"), None),
    (("rev-list", "--count", "HEAD"), None),
    (("rev-list", "--count", "v50..HEAD"), None),
    (("merge-base", "HEAD", "topic"), None),
    (("merge-base", "--is-ancestor", "v1", "HEAD"), None),
    (("branch", "--contains", "v50"), None),
    (("branch", "--merged"), None),
    (("rev-parse", "HEAD~9000"), None),
    (("rev-parse", ":/commit 12$"), None),
    (("reflog", "-n", "10"), None),
)  # fmt: skip
"""The question, and how git is asked where its paths differ."""


def graph(bench: Bench) -> list[Table]:
    """Each question, in turn to envgit and to git (without a commit-graph file)."""
    folder = bench.place.root / "graph"
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making {COMMITS} commits")
    repository = make(folder, COMMITS)
    racers = []
    for ours, theirs in QUESTIONS:
        name = " ".join(ours)
        racers += [
            Competitor(name, functools.partial(_command, repository, ours)),
            Competitor(f"git {name}", functools.partial(_git, repository, theirs or ours)),
        ]
    found = bench.race(racers, bench.repeat)
    rows = []
    for ours, _ in QUESTIONS:
        name = " ".join(ours)
        one, other = found[name], found[f"git {name}"]
        rows.append([name, figure(one), figure(other), ratio(one, other)])
    shutil.rmtree(folder)
    head = ("Question", "envgit, ms", "git, ms", "ratio")
    note = f"{COMMITS} commits, one in twelve a merge, 120 branches and tags; whole processes."
    return [Table("Long histories", head, rows, (note,))]


def _command(repository: Repository, words: tuple[str, ...], _: int) -> Command:
    return repository.command(*words)


def _git(repository: Repository, words: tuple[str, ...], _: int) -> Command:
    argv = ["git", f"--git-dir={repository.folder / '.envgit'}", *words]
    return Command(argv, str(repository.folder), repository.env)


def make(home: Path, commits: int, seed: int = 1) -> Repository:
    """A repository with a history of that many commits: a trunk, side branches merged back, some
    that are not, tags. The commits hold environments; their layers are not in the store."""
    repository = Repository(home)
    repository.folder.mkdir(parents=True)
    subprocess.run(
        [*cli.program(), "init"], cwd=repository.folder, env=repository.env, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    git = ["git", f"--git-dir={repository.folder / '.envgit'}"]
    stream = _History(commits, seed).stream()
    subprocess.run(
        [*git, "fast-import", "--quiet", "--force"],
        input=stream.encode(), env=scrub(os.environ), check=True,
    )  # fmt: skip
    return repository


class _History:
    """Writes the stream for git-fast-import(1)."""

    def __init__(self, commits: int, seed: int) -> None:
        self._commits = commits
        self._rng = random.Random(seed)
        self._out: list[str] = []
        self._made = 0
        self._tagged = 0

    def stream(self) -> str:
        self._commit("main", [], first=True)
        trunk = 1
        while self._made < self._commits:
            for _ in range(self._rng.randint(4, 10)):
                self._commit("main", [])
                trunk = self._made
            start = self._rng.choice([trunk, max(1, trunk - 3)])
            self._out.append(f"reset refs/heads/side\nfrom :{start}\n")
            for _ in range(self._rng.randint(1, 4)):
                self._commit("side", [])
            side = self._made
            if self._made % 100 < 12:
                self._out.append(f"reset refs/heads/open-{self._made}\nfrom :{side}\n")
            if self._rng.random() < 0.9:
                self._commit("main", [side])
                trunk = self._made
            if self._made * 100 // self._commits > self._tagged:
                self._tagged = self._made * 100 // self._commits
                name = f"v{self._tagged}"
                self._out.append(f"reset refs/tags/{name}\nfrom :{trunk}\n")
            if self._made // 50 == self._commits // 100:
                self._out.append(f"reset refs/heads/topic\nfrom :{side}\n")
        return "".join(self._out)

    def _commit(self, branch: str, merged: list[int], *, first: bool = False) -> None:
        self._made += 1
        number = self._made
        when = 1_700_000_000 + 60 * number
        text = f"commit {number}\n"
        self._out.append(
            f"commit refs/heads/{branch}\nmark :{number}\n"
            f"committer Bench <bench@example.org> {when} +0000\ndata {len(text)}\n{text}\n"
        )
        self._out += [f"merge :{other}\n" for other in merged]
        if first:
            self._first()
            return
        path = f"srv/d{self._rng.randrange(FOLDERS)}/f{self._rng.randrange(5)}"
        if number % 500 == 250:
            path = RARE
        self._out.append("D layer\n")
        self._file("layer/%dir", DIRECTORY)
        for root in ("layer", "rootfs"):
            self._file(f"{root}/{path}", _pointer(number))

    def _first(self) -> None:
        self._file("envgit.json", '{\n  "config": {},\n  "format": 1,\n  "runs": []\n}\n')
        for root in ("layer", "rootfs"):
            names = ["", "srv/", "etc/", *(f"srv/d{number}/" for number in range(FOLDERS))]
            for name in names:
                self._file(f"{root}/{name}%dir", DIRECTORY)
            self._file(f"{root}/{RARE}", _pointer(0))

    def _file(self, name: str, text: str) -> None:
        self._out.append(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n")


DIRECTORY = Entry("dir", 0o755).pointer().decode()


def _pointer(number: int) -> str:
    return Entry("file", 0o644, size=1, sha256=f"{number:064x}").pointer().decode()
