# SPDX-License-Identifier: Apache-2.0
"""``fsck`` against sha256sum, ``gc`` against ``git gc``, and what gc foretells against du."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Command, Competitor, say
from tests.bench.place import Repository, apply, scrub
from tests.bench.report import Table, figure, ratio

KINDS = (("50,000 small files", "tiny"), ("20 files of 50 MiB", "large"))


def upkeep(bench: Bench) -> list[Table]:
    """The three tables."""
    return [_fsck(bench), _gc(bench), _foretold(bench)]


def _made(bench: Bench, kind: str, *, copied: bool = False) -> Repository:
    """A repository with such a commit; its files are names of the prepared ones unless copied."""
    home = bench.place.root / f"upkeep-{kind}"
    shutil.rmtree(home, ignore_errors=True)
    repository = Repository(home).init("scratch")
    change = bench.place.change(kind)
    if copied:
        subprocess.run(["cp", "-a", f"{change}/.", repository.upper()], check=True)
    else:
        apply(change, repository.upper())
    repository.envgit("commit", "-q", "-m", kind)
    return repository


def _fsck(bench: Bench) -> Table:
    rows = []
    for what, kind in KINDS:
        repository = _made(bench, kind)
        layers = repository.home / "store" / "layers"
        # The floor: the same bytes read and hashed, by as many processes as there are processors.
        hashing = f"find . -type f -print0 | xargs -0 -P{os.cpu_count()} -n{_share(kind)} sha256sum"
        found = bench.race(
            [
                Competitor("fsck", functools.partial(_command, repository, "fsck")),
                Competitor("no-full", functools.partial(_command, repository, "fsck", "--no-full")),
                Competitor(
                    "connectivity",
                    functools.partial(_command, repository, "fsck", "--connectivity-only"),
                ),
                Competitor("sha256sum", functools.partial(_shell, layers, hashing)),
            ],
            bench.repeat,
        )
        rows.append(
            [
                what,
                *(figure(found[name]) for name in ("fsck", "sha256sum")),
                ratio(found["fsck"], found["sha256sum"]),
                *(figure(found[name]) for name in ("no-full", "connectivity")),
            ]
        )
        shutil.rmtree(repository.home)
    head = ("Environment", "fsck", "sha256sum", "ratio", "--no-full", "--connectivity-only")
    note = (
        "sha256sum: of every file of the layers, through xargs on all processors. fsck reads each "
        "file's pointer, too, and hashes and parses it."
    )
    return Table("fsck", head, rows, (note,))


def _share(kind: str) -> int:
    return 500 if kind == "tiny" else 1


def _command(repository: Repository, *words: str | int) -> Command:
    return repository.command(*[word for word in words if isinstance(word, str)])


def _shell(folder: Path, script: str, _: int) -> Command:
    return Command(["sh", "-c", script], str(folder), scrub(os.environ))


def _gc(bench: Bench) -> Table:
    """The same repository packed by gc and by git gc, from what 50,000 files and a few commits
    left."""
    repository = _made(bench, "tiny")
    for number in range(5):
        Path(repository.upper(), f"file{number}").write_text(f"{number}\n")
        repository.envgit("commit", "-q", "-m", f"commit {number}")
    kept = repository.home / "kept"
    folder = repository.folder / ".envgit"
    subprocess.run(["cp", "-a", str(folder), str(kept)], check=True)
    sizes: dict[str, int] = {}

    def again(_: int) -> None:
        shutil.rmtree(folder)
        subprocess.run(["cp", "-a", str(kept), str(folder)], check=True)

    def note(name: str, _: int) -> None:
        packs = (folder / "objects/pack").iterdir()
        sizes[name] = sum(path.stat().st_size for path in packs)

    git = ["git", f"--git-dir={folder}", "gc", "--quiet"]
    found = bench.race(
        [
            Competitor(
                "envgit gc",
                functools.partial(_command, repository, "gc", "-q"),
                again,
                functools.partial(note, "envgit gc"),
            ),
            Competitor(
                "git gc",
                lambda _: Command(git, str(repository.folder), scrub(os.environ)),
                again,
                functools.partial(note, "git gc"),
            ),
        ],
        bench.repeat,
    )
    rows = [[name, figure(found[name]), f"{size / 1e6:.2f} MB"] for name, size in sizes.items()]
    shutil.rmtree(repository.home)
    return Table("gc: git objects of 50,000 files", ("Program", "ms", "Packs after"), rows)


def _foretold(bench: Bench) -> Table:
    """What gc says it will free, against du of repository and store before and after."""
    rows = []
    for what, kind in (*KINDS, ("python and pip", "medium")):
        # With files of its own: where each has another name outside, nothing is given back.
        repository = _made(bench, kind, copied=True)
        repository.envgit("tag", "again")
        repository.envgit("rollback", "-q", "HEAD~1")
        repository.envgit("tag", "-d", "again")
        repository.envgit("tag", "other")
        (repository.folder / ".envgit/ORIG_HEAD").unlink(missing_ok=True)
        before = repository.disk()
        said = json.loads(repository.envgit("gc", "--json", "--expire=now"))
        gone = before - repository.disk()
        told = said["predicted"]["total"]
        say(f"  {what}: foretold {told}, counted {said['freed']}, du {gone}")
        off = 100 * abs(told - gone) / gone
        rows.append([what, *(f"{size:,}" for size in (told, said["freed"], gone)), f"{off:.3f} %"])
        shutil.rmtree(repository.home)
    head = ("Freed", "Foretold", "Counted", "du", "off by")
    return Table("gc: bytes it gives back", head, rows)
