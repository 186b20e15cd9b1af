# SPDX-License-Identifier: Apache-2.0
"""``commit``: the whole process against podman, buildah, git and the floor; and in the library."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from tests.bench.bench import Bench
from tests.bench.measure import Competitor
from tests.bench.peers import Containers, GitTree, hasher
from tests.bench.place import KINDS, PYTHON, Repository, apply, touch_small
from tests.bench.report import Table, figure, ratio

Change = Callable[[str, int], None]

# git takes half a minute to compress a gigabyte and says nothing new by it.
GIT_KINDS = ("small", "medium")

_LIBRARY = """\
import os, pathlib, sys, time
import envgit
from envgit.porcelain.foundation.repository import Repository
repo = Repository.open(".", environ=os.environ)
for line in sys.stdin:
    upper = repo.store.upper_path(repo.worktree.state().changes)
    path = pathlib.Path(upper, "etc/bench.conf")
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    os.sync()
    started = time.perf_counter()
    repo.commit("bench")
    print((time.perf_counter() - started) * 1000, flush=True)
"""


class Restorable:
    """A repository that can be put back to its first commit, so that nothing is stored already."""

    def __init__(self, bench: Bench) -> None:
        self.repository = Repository(bench.place.root / "active")
        self._saved = bench.place.root / "saved"
        shutil.rmtree(self.repository.home, ignore_errors=True)
        shutil.rmtree(self._saved, ignore_errors=True)
        self.repository.init(f"rootfs:{bench.place.base}")
        self.repository.home.rename(self._saved)

    def restore(self) -> None:
        """Layers, which nobody writes to, by hard links; all else is copied."""
        home = self.repository.home
        shutil.rmtree(home, ignore_errors=True)
        (home / "store").mkdir(parents=True, mode=0o700)
        subprocess.run(["cp", "-a", str(self._saved / "lab"), str(home)], check=True)
        for entry in (self._saved / "store").iterdir():
            how = "-al" if entry.name == "layers" else "-a"
            subprocess.run(["cp", how, str(entry), str(home / "store")], check=True)


def commits(bench: Bench) -> list[Table]:
    """Each kind of change, each competitor in turn."""
    restorable = Restorable(bench)
    tables = [_kind(bench, restorable, kind) for kind in bench.kinds]
    rows = [row for row, _ in tables]
    head = (
        *("Change", "envgit", "podman", "buildah", "git", "sha256 + syncfs"),
        *("podman ÷ envgit", "buildah ÷ envgit", "envgit ÷ floor"),
    )
    notes = [note for _, note in tables if note]
    return [Table("commit, the whole process", head, rows, notes)]


def _kind(bench: Bench, restorable: Restorable, kind: str) -> tuple[list[str], str]:
    tree = bench.place.change(kind)

    def change(target: str, number: int) -> None:
        if kind == "small":
            touch_small(target, number)
        else:
            apply(tree, target)

    racers = [_envgit(restorable, change)]
    if bench.containers is not None:
        racers += _containers(bench.containers, change)
    if kind in GIT_KINDS and shutil.which("git"):
        racers.append(_git(bench.git_tree(), change))
    if kind != "small":
        racers.append(Competitor("floor", hasher(tree)))
    library = _Library(restorable) if kind == "small" else None
    if library is not None:
        racers.append(Competitor("library", own_clock=library.commit))
    found = bench.race(racers, bench.repeat if kind in ("small", "medium") else 3, sync=True)
    note = ""
    if library is not None:
        library.close()
        note = (
            f"One changed file through the library, in a running process: "
            f"{figure(found['library'])} ms; podman ÷ library "
            f"{ratio(found.get('podman'), found['library'])}."
        )
    ours = found["envgit"]
    cells = [figure(found.get(who)) for who in ("envgit", "podman", "buildah", "git", "floor")]
    ratios = [ratio(found.get("podman"), ours), ratio(found.get("buildah"), ours)]
    return [KINDS[kind], *cells, *ratios, ratio(ours, found.get("floor"))], note


def _envgit(restorable: Restorable, change: Change) -> Competitor:
    repository = restorable.repository

    def before(number: int) -> None:
        restorable.restore()
        change(repository.upper(), number)

    return Competitor("envgit", lambda _: repository.command("commit", "-q", "-m", "x"), before)


def _containers(containers: Containers, change: Change) -> list[Competitor]:
    current: dict[str, str] = {}

    def begin(who: str, number: int) -> None:
        make = containers.podman_container if who == "podman" else containers.buildah_container
        current[who], upper = make()
        change(upper, number)

    def podman_end(number: int) -> None:
        containers.podman("rm", "-f", current["podman"])
        containers.podman("rmi", "-f", f"podman:{number}")

    def buildah_end(number: int) -> None:
        containers.buildah("rm", current["buildah"])
        containers.buildah("rmi", "-f", f"buildah:{number}")

    racers = []
    if containers.has("podman"):
        racers.append(
            Competitor(
                "podman",
                lambda n: containers.command(
                    "podman", "commit", "-q", current["podman"], f"podman:{n}"
                ),
                lambda n: begin("podman", n),
                podman_end,
            )
        )
    if containers.has("buildah"):
        racers.append(
            Competitor(
                "buildah",
                lambda n: containers.command(
                    "buildah", "commit", "-q", current["buildah"], f"buildah:{n}"
                ),
                lambda n: begin("buildah", n),
                buildah_end,
            )
        )
    return racers


def _git(tree: GitTree, change: Change) -> Competitor:
    return Competitor(
        "git",
        lambda _: tree.commit(),
        lambda number: change(str(tree.tree), number),
        lambda _: tree.forget(),
    )


class _Library:
    """A process that has envgit loaded and a repository open, and commits when told to."""

    def __init__(self, restorable: Restorable) -> None:
        # A copy of its own: the other competitor puts the shared one back in every round.
        home = restorable.repository.home.parent / "library"
        shutil.rmtree(home, ignore_errors=True)
        repository = Repository(home).init(f"rootfs:{restorable.repository.home.parent}/base")
        self._process = subprocess.Popen(
            [PYTHON, "-c", _LIBRARY],
            cwd=repository.folder,
            env=repository.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._home = home

    def commit(self, number: int) -> float:
        """One commit of one changed file; its milliseconds, as the process saw them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"round {number} {os.urandom(4).hex()}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the library's process ended")
        return float(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)
