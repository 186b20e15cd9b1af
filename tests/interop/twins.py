# SPDX-License-Identifier: Apache-2.0
"""The same sequence of trees in a git repository and in an environment, for comparing diffs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import envgit
from tests.interop.dags import ENVIRONMENT

Tree = Mapping[str, tuple[bytes | str, int]]
"""Path -> (content, mode); a str content is a symlink's target."""

_WHO = {
    f"{program}_{role}_{what}": value
    for program in ("GIT", "ENVGIT")
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "T"), ("EMAIL", "t@x"))
}


class Twins:
    """Two repositories in ``folder``: ``plain`` is git's, ``lab`` an environment (needs root)."""

    def __init__(self, folder: Path) -> None:
        self.plain = folder / "plain"
        self.lab = folder / "lab"
        self._when = 1_700_000_000
        self.plain.mkdir()
        self.git("init", "-q", "-b", "main")
        environ = {**ENVIRONMENT, **_WHO, "ENVGIT_STORE": str(folder / "store")}
        self.lab.mkdir()
        self.environ = environ
        envgit.Repository.init(str(self.lab), source="scratch", environ=environ, branch="main")
        self.git("commit", "-q", "--allow-empty", "-m", "init: scratch")
        self.now: dict[str, tuple[bytes | str, int]] = {}

    def git(self, *argv: str) -> bytes:
        """Real git in ``plain``; its standard output."""
        when = f"{self._when} +0000"
        env = {**ENVIRONMENT, **_WHO, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        done = subprocess.run(
            ["git", *argv], cwd=self.plain, env=env, stdout=subprocess.PIPE, check=False
        )
        assert done.returncode in (0, 1)
        return done.stdout

    def change_to(self, tree: Tree) -> None:
        """Make both working trees equal to ``tree``, uncommitted."""
        repository = self.repository()
        upper = repository.store.upper_path(repository.worktree.state().changes)
        for root in (str(self.plain), upper):
            self._apply(root, tree, whiteouts=root == upper)
        self.now = dict(tree)
        self.git("add", "-A")

    def commit(self, message: str) -> None:
        """Commit in both."""
        self._when += 60
        self.git("commit", "-q", "--allow-empty", "-m", message)
        when = f"{self._when} +0000"
        self.environ |= {"ENVGIT_AUTHOR_DATE": when, "ENVGIT_COMMITTER_DATE": when}
        self.repository().commit(message, allow_empty=True)

    def repository(self) -> envgit.Repository:
        """The environment's repository, opened anew."""
        return envgit.Repository.open(str(self.lab), environ=self.environ)

    def _apply(self, root: str, tree: Tree, *, whiteouts: bool) -> None:
        for path in sorted(self.now, reverse=True):
            if path not in tree:
                self._remove(root, path, tree, whiteouts=whiteouts)
        for path, (content, mode) in tree.items():
            if self.now.get(path) == (content, mode):
                continue
            name = os.path.join(root, path)
            self._parents(root, path)
            if os.path.lexists(name):
                os.unlink(name)
            if isinstance(content, str):
                os.symlink(content, name)
                continue
            with open(name, "wb") as file:
                file.write(content)
            os.chmod(name, mode)
            os.utime(name, (self._when, self._when))

    def _parents(self, root: str, path: str) -> None:
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            name = os.path.join(root, *parts[:end])
            if os.path.lexists(name) and not os.path.isdir(name):
                os.unlink(name)
            if not os.path.isdir(name):
                os.mkdir(name)

    def _remove(self, root: str, path: str, tree: Tree, *, whiteouts: bool) -> None:
        """Take a path away, and directories that become empty, for git keeps none."""
        while path:
            name = os.path.join(root, path)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name)
            elif os.path.lexists(name):
                os.unlink(name)
            if whiteouts:
                self._parents(root, path)
                os.mknod(name, 0o020000, 0)
            path = path.rpartition("/")[0]
            if any(other.startswith(path + "/") for other in tree):
                break


def random_text(rng: random.Random, lines: int) -> bytes:
    """Lines that repeat now and then, so that diffs have something to choose."""
    words = ["alpha", "beta {", "}", "", "def gamma():", "    return 1", "delta  ", "\tepsilon"]
    return "".join(f"{rng.choice(words)} {rng.choice(['', rng.randint(1, 50)])}\n"
                   for _ in range(lines)).encode()  # fmt: skip


def edit(rng: random.Random, data: bytes) -> bytes:
    """Some lines changed, added and removed."""
    lines = data.splitlines(keepends=True)
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(lines))
        choice = rng.random()
        if choice < 0.4:
            lines[at:at] = [b"new %d\n" % rng.randint(0, 9)]
        elif choice < 0.7:
            del lines[at : at + rng.randint(1, 3)]
        else:
            lines[at : at + 1] = [b"changed %d  \n" % rng.randint(0, 9)]
    return b"".join(lines)


def evolve(rng: random.Random, tree: Tree) -> dict[str, tuple[bytes | str, int]]:
    """The next tree: edits, additions, deletions, renames, mode and type changes."""
    new = dict(tree)
    # A file that now ends in a newline, now not, and is never renamed: git 2.39 leaves a last line
    # without one out of the similarity.
    new.pop("etc/no-newline", None)
    text = edit(rng, random_text(rng, 5))
    for path in rng.sample(sorted(new), min(len(new), 6)):
        content, mode = new[path]
        choice = rng.random()
        if choice < 0.35 and isinstance(content, bytes):
            new[path] = (edit(rng, content), mode)
        elif choice < 0.45 and isinstance(content, bytes):
            new[path] = (content, mode ^ 0o111)
        elif choice < 0.6:
            del new[path]
        elif choice < 0.85:
            del new[path]
            if isinstance(content, bytes) and rng.random() < 0.5:
                content = edit(rng, content)
            new[_place(rng, new)] = (content, mode)
        elif choice < 0.92:
            new[path] = ("some/target", 0o777)
        else:
            new[path] = (rng.randbytes(rng.randint(1, 3000)) + b"\0", 0o644)
    new["etc/no-newline"] = (text.rstrip(b"\n") if rng.random() < 0.7 else text, 0o644)
    for _ in range(rng.randint(0, 3)):
        new[_place(rng, new)] = (random_text(rng, rng.randint(0, 40)), 0o644)
    return new


def _place(rng: random.Random, tree: Mapping[str, object]) -> str:
    """A new path that is no directory of another and has no file above it."""
    while True:
        depth = rng.randint(0, 3)
        names = [
            rng.choice(["usr", "lib", "etc", "share", "a b", "ä", "x-y"]) for _ in range(depth)
        ]
        path = "/".join([*names, f"file{rng.randint(0, 400)}{rng.choice(['', '.txt', '.so'])}"])
        above = ["/".join(names[:end]) for end in range(1, depth + 1)]
        clash = any(other.startswith(path + "/") for other in tree)
        if path not in tree and not clash and not any(one in tree for one in above):
            return path
