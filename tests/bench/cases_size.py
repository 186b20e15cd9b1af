# SPDX-License-Identifier: Apache-2.0
"""Memory of verbs on large changes, and what many commits occupy on disk."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import Failed, milliseconds, say, timed
from tests.bench.place import Repository, apply, occupied
from tests.bench.report import Table

VERBS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("diff", "--stat"),
    ("commit", "-q", "-m", "large"),
    ("log", "--stat", "-n", "2"),
    ("show", "--stat"),
    ("diff", "--stat", "HEAD~1", "HEAD"),
    ("run", "--", "true"),
    ("export", "tar:{archive}"),
    ("du",),
    ("fsck",),
    ("gc",),
    ("rollback",),
    ("undo",),
)


def memory(bench: Bench) -> list[Table]:
    """Each verb on 50,000 changed files, and on one changed file of 1 GB."""
    columns = []
    for what, make in (("50,000 files", _fifty_thousand), ("one file of 1 GB", _one_large)):
        repository = Repository(bench.place.root / "memory").init(f"rootfs:{bench.place.base}")
        make(bench, Path(repository.upper()))
        columns.append((what, _each(bench, repository)))
        shutil.rmtree(repository.home)
    rows = [
        [" ".join(words).replace(":{archive}", ":FILE"), *(found[words] for _, found in columns)]
        for words in VERBS
    ]
    head = ("Verb", *(what for what, _ in columns))
    note = "Largest resident memory in MiB, and milliseconds of a single run."
    return [Table("Memory", head, rows, (note,))]


def _fifty_thousand(bench: Bench, upper: Path) -> None:
    apply(bench.place.change("tiny"), upper)


def _one_large(bench: Bench, upper: Path) -> None:
    with open(upper / "large", "wb") as file:
        for _ in range(1024):
            file.write(os.urandom(1 << 20))


def _each(bench: Bench, repository: Repository) -> dict[tuple[str, ...], str]:
    found = {}
    archive = bench.place.root / "archive.tar"
    for words in VERBS:
        args = [word.replace("{archive}", str(archive)) for word in words]
        try:
            took, mebibytes = timed(repository.command(*args))
        except Failed as problem:
            say(str(problem))
            found[words] = "failed"
            continue
        say(f"  {' '.join(words)}: {mebibytes:.0f} MiB, {milliseconds(took)} ms")
        found[words] = f"{mebibytes:.0f} MiB, {milliseconds(took)} ms"
        archive.unlink(missing_ok=True)
    return found


def disk(bench: Bench) -> list[Table]:
    """What commits add on disk beyond the changed files themselves."""
    rows = [_one_per_cent(bench), _many_small(bench)]
    head = ("What", "Changed files", "Added", "Over", "A commit", "git", "layers' folders", "spans")
    note = (
        "Blocks on disk. What is over the changed files themselves is git's objects, the "
        "directories of layers (a block each, as in every overlay) and those of spans, a commit."
    )
    return [Table("Disk", head, rows, (note,))]


def _row(what: str, whole: int, parts: dict[str, int], commits: int) -> list[str]:
    """``parts`` are bytes added, by part; ``all`` is the whole of them."""
    over = parts["all"] - whole
    return [
        what,
        f"{whole / (1 << 20):.1f} MiB",
        f"{parts['all'] / (1 << 20):.1f} MiB",
        f"{100 * over / whole:.1f} %",
        f"{over / commits / 1024:.1f} kB",
        *(f"{parts[name] / commits / 1024:.1f} kB" for name in ("git", "layers", "spans")),
    ]


def _parts(repository: Repository) -> dict[str, int]:
    """Bytes of the whole, of git's objects, and of directories in layers and spans."""
    store = repository.home / "store"
    return {
        "all": repository.disk(),
        "git": occupied(repository.folder / ".envgit"),
        "layers": _directories(store / "layers"),
        "spans": _directories(store / "spans"),
    }


def _directories(top: Path) -> int:
    return sum(os.lstat(folder).st_blocks * 512 for folder, _, _ in os.walk(top))


def _less(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in after.items()}


def _one_per_cent(bench: Bench) -> list[str]:
    """Ten commits; each changes the end of one in a hundred files."""
    repository = Repository(bench.place.root / "disk").init(f"rootfs:{bench.place.base}")
    files = [
        path.relative_to(bench.place.base)
        for folder in ("usr", "etc", "var/lib/dpkg")
        for path in sorted((bench.place.base / folder).rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 0
    ]
    chosen = random.Random(7).sample(files, len(files) // 10)
    before, whole = _parts(repository), 0
    for number in range(10):
        upper = Path(repository.upper())
        for path in chosen[number::10]:
            (upper / path).parent.mkdir(parents=True, exist_ok=True)
            _copy_directories(bench.place.base, upper, path.parent)
            subprocess.run(
                ["cp", "-p", str(bench.place.base / path), str(upper / path)], check=True
            )
            with open(upper / path, "ab") as file:
                file.write(b"changed\n")
            whole += os.stat(upper / path).st_blocks * 512
        repository.envgit("commit", "-q", "-m", f"one per cent {number}")
    added = _less(_parts(repository), before)
    shutil.rmtree(repository.home)
    return _row(f"10 commits of {len(chosen) // 10} files", whole, added, 10)


def _copy_directories(base: Path, upper: Path, path: Path) -> None:
    """Give the directories on the way the mode that they have below: they did not change."""
    for directory in [path, *path.parents][:-1]:
        (upper / directory).chmod((base / directory).stat().st_mode & 0o7777)


def _many_small(bench: Bench) -> list[str]:
    shallow, deep = bench.shallow_repository(), bench.deep_repository()
    commits = deep.commits - shallow.commits
    # Each of the commits wrote one file of one block.
    added = _less(_parts(deep), _parts(shallow))
    return _row(f"{commits} commits of one file", commits * 4096, added, commits)
