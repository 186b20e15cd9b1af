# SPDX-License-Identifier: Apache-2.0
"""Where the benchmark works: its folder, root filesystem, changes, and repositories."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.bench.measure import Command, say
from tests.support import builders, cli

PYTHON = sys.executable

# What each kind of change is, for the table.
KINDS = {
    "small": "one changed file",
    "medium": "python3 and pip installed",
    "large": "1 GB in 20 files",
    "tiny": "50,000 small files",
}


class Repository:
    """An envgit repository with a store of its own: ``<home>/lab`` and ``<home>/store``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "lab"
        self.env = {
            **scrub(os.environ),
            "ENVGIT_STORE": str(home / "store"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Bench",
            "GIT_AUTHOR_EMAIL": "bench@example.org",
            "GIT_COMMITTER_NAME": "Bench",
            "GIT_COMMITTER_EMAIL": "bench@example.org",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
        }

    def command(self, *args: str, statuses: frozenset[int] = frozenset({0})) -> Command:
        """``envgit ARGS`` in this repository, to be timed."""
        return Command([*cli.program(), *args], str(self.folder), self.env, statuses=statuses)

    def envgit(self, *args: str) -> str:
        """Run ``envgit ARGS`` to its end, untimed; its standard output."""
        done = subprocess.run(
            [*cli.program(), *args],
            cwd=self.folder if self.folder.exists() else None,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OSError(f"envgit {' '.join(args)}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def init(self, source: str) -> Repository:
        """Make the repository from a source."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.envgit("init", str(self.folder), "--from", source)
        return self

    @property
    def commits(self) -> int:
        """How many commits HEAD has."""
        return len(self.envgit("log", "--format=%H").split())

    def upper(self) -> str:
        """Host path of the directory with the uncommitted changes."""
        from envgit.porcelain.foundation.repository import Repository as Library

        library = Library.open(str(self.folder), environ=self.env)
        return library.store.upper_path(library.worktree.state().changes)

    def grow(self, commits: int) -> None:
        """Add that many commits of one new file each, in one process of the library."""
        say(f"making {commits} commits in {self.home.name}")
        code = (
            "import os, sys, envgit\n"
            "repo = envgit.Repository.open('.', environ=os.environ)\n"
            "for number in range(int(sys.argv[1])):\n"
            "    repo.run(['sh', '-c', f'echo {number} > /srv/bench-{number}'])\n"
            "    repo.commit(f'commit {number}')\n"
        )
        subprocess.run(
            [PYTHON, "-c", code, str(commits)], cwd=self.folder, env=self.env, check=True
        )

    def disk(self) -> int:
        """Bytes that the repository and its store occupy on disk."""
        return occupied(self.home)


def occupied(path: Path) -> int:
    """Bytes on disk below ``path``, each inode once (as du(1) counts)."""
    done = subprocess.run(
        ["du", "-s", "-B1", str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0])


class Place:
    """The benchmark's folder; everything in it may be deleted at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "base"
        self.changes = root / "changes"

    def prepare(self) -> None:
        """Unpack the root filesystem."""
        if not (self.root / ".ready").exists():
            self.clean()
            self.root.mkdir(parents=True)
            say("unpacking the root filesystem")
            builders.debian_rootfs(self.base)
            (self.root / ".ready").touch()

    def base_tar(self) -> Path:
        """The root filesystem as an archive."""
        return builders.debian_tar()

    def change(self, kind: str) -> Path:
        """A tree that stands for a change, made when first asked for."""
        path = self.changes / kind
        if not (self.changes / f".{kind}").exists():
            say(f"making the {kind} change ({KINDS[kind]})")
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            getattr(self, f"_make_{kind}")(path)
            (self.changes / f".{kind}").touch()
            os.sync()
        return path

    def _make_small(self, path: Path) -> None:
        builders.tree(path, {"etc": {"bench.conf": "a changed file\n"}})

    def _make_large(self, path: Path) -> None:
        (path / "srv").mkdir()
        for number in range(20):
            with open(path / f"srv/large-{number}", "wb") as file:
                for _ in range(50):
                    file.write(os.urandom(1 << 20))

    def _make_tiny(self, path: Path) -> None:
        builders.many_files(path / "srv/tiny", 50_000)

    def _make_medium(self, path: Path) -> None:
        """What ``apt-get install python3 python3-pip`` leaves in the upper directory."""
        repository = Repository(self.root / "making").init(f"rootfs:{self.base}")
        # With apt's caches, which envgit's own Debian leaves out: they are in the usual container.
        install = (
            "apt-get install -y -q --no-install-recommends -o Dir::Cache::pkgcache=pkgcache.bin "
            "-o Dir::Cache::srcpkgcache=srcpkgcache.bin python3 python3-pip"
        )
        repository.envgit("run", "--", *install.split())
        subprocess.run(["cp", "-a", f"{repository.upper()}/.", str(path)], check=True)
        self._forget_overlay(path)
        shutil.rmtree(repository.home)

    @staticmethod
    def _forget_overlay(path: Path) -> None:
        """Drop whiteouts and the kernel's own attributes: peers get the tree as plain files."""
        for directory, folders, files in os.walk(path):
            for name in [*files, *folders]:
                full = os.path.join(directory, name)
                entry = os.lstat(full)
                if (entry.st_mode & 0o170000) == 0o020000 and entry.st_rdev == 0:
                    os.unlink(full)
                    continue
                for attribute in os.listxattr(full, follow_symlinks=False):
                    if attribute.startswith("trusted.overlay."):
                        os.removexattr(full, attribute, follow_symlinks=False)

    def clean(self) -> None:
        """Remove the folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.root)


def apply(change: Path, target: str | os.PathLike[str]) -> None:
    """Put a change into a directory by hard links: what is timed reads it, and does not mind.

    Writing and deleting a gigabyte for each round would take far longer than what is timed.
    """
    subprocess.run(
        ["cp", "-al", "--remove-destination", f"{change}/.", os.fspath(target)], check=True
    )


def touch_small(target: str | os.PathLike[str], number: int) -> None:
    """Make the one changed file of the small change differ from round to round."""
    path = Path(target, "etc/bench.conf")
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(f"a changed file, round {number}\n")


def scrub(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for peers: what programs need, nothing of envgit's or Python's."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("ENVGIT_", "PYTHON", "VIRTUAL_ENV"))
    }
