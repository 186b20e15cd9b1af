# SPDX-License-Identifier: Apache-2.0
"""A small environment under envgit, seen as a whole: refs, HEAD and every file with its metadata.

The file system is read through an overlay mount of the test's own, never through envgit, in a child
with a mount namespace that dies with it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import envgit
from envgit.porcelain.foundation import pending
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import PRIVATE
from envgit.repo.stash import PREFIX as STASHES
from tests.support import builders, overlays, probes
from tests.support.overlays import Shot

T = TypeVar("T")

# mount(2)
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18

Photograph = dict[bytes, Shot]

# What a test sees when it looks: short enough to be made in a moment, with one of each of the
# things that move differently: a directory, a link set, a symlink, an owner, an odd name.
CONTENT: builders.Tree = {
    "bin": {"tool": "#!/bin/sh\nexit 0\n"},
    "etc": {"conf": "one\n", "passwd": "root:x:0:0:root:/root:/bin/sh\n", "link": "-> conf"},
    "usr": {"lib": {"a": "library a\n", "b": "library b\n"}, "share": {"doc": {"x": "text\n"}}},
    "var": {"empty": None},
}


@dataclass(frozen=True)
class Sight:
    """Everything a user could notice: where HEAD and the refs are, and the worktree's files.

    Commits are told apart by what they are (tree, message, ancestry), not by their ids, which hold
    the times of the commands that made them.
    """

    head: str
    refs: dict[str, tuple[tuple[str, str], ...]]
    files: Photograph = field(repr=False)


@dataclass
class Lab:
    """A repository with its worktree and a store of its own, all beneath ``top``."""

    top: Path

    @property
    def project(self) -> Path:
        """The project folder."""
        return self.top / "project"

    @property
    def environ(self) -> dict[str, str]:
        """The environment that envgit gets."""
        return {**os.environ, "ENVGIT_STORE": str(self.top / "store")}

    def open(self, notify: Callable[[str], None] | None = None) -> Repository:
        """The repository, opened anew, as another process would."""
        return Repository.open(str(self.project), environ=self.environ, notify=notify)

    # -- the worktree's files ---------------------------------------------------------------------

    def inside(self, function: Callable[[str], T]) -> T:
        """Call ``function`` with the mounted worktree's path; what it writes is uncommitted."""
        repository = self.open()
        state = repository.worktree.state()
        store = repository.store
        return mounted(
            store.stack_paths(state.stack),
            function,
            self.top / "mounted",
            upper=store.upper_path(state.changes),
            work=_work(store.changes_path(state.changes)),
        )

    def at(self, revision: str, function: Callable[[str], T]) -> T:
        """Call ``function`` with the path of a commit, mounted read-only, its layers one by one."""
        repository = self.open()
        lowers, commit = [], repository.git.commit(repository.git.resolve(revision))
        while True:
            lowers.append(repository.store.layer_path(commit.layer))
            if not commit.parents:
                break
            commit = repository.git.commit(commit.parents[0])
        # Equal layers are one directory, which overlayfs refuses twice; the topmost says it all.
        return mounted(list(dict.fromkeys(lowers)), function, self.top / "mounted")

    def photograph(self, revision: str | None = None) -> Photograph:
        """The files of the worktree, or of a commit."""
        return self.inside(_photograph) if revision is None else self.at(revision, _photograph)

    # -- all of it --------------------------------------------------------------------------------

    def sight(self) -> Sight:
        """What there is to see now; finishes first what a crash left half done."""
        repository = self.open()
        with repository.locked("looking"):
            pass
        git = repository.git
        refs = {
            name: self._story(repository, oid)
            for name, oid in git.refs("refs/").items()
            if not name.startswith(PRIVATE) or name.startswith(STASHES)
        }
        refs |= _under_way(repository)
        head = git.head()
        value = head.value
        if head.symbolic is None and head.commit is not None:
            value = repr(self._story(repository, head.commit))
        return Sight(value, refs, self.photograph())

    def _story(self, repository: Repository, oid: str) -> tuple[tuple[str, str], ...]:
        """The trees and messages of a commit and its first parents; of a tag, its message too."""
        git = repository.git
        told: list[tuple[str, str]] = []
        tag = git.tag(oid)
        if tag is not None:
            told.append(("tag", tag.message))
            oid = tag.target
        while True:
            commit = git.commit(oid)
            told.append((commit.rootfs, commit.message))
            if not commit.parents:
                return tuple(told)
            oid = commit.parents[0]

    def fsck(self) -> None:
        """Fail unless git and envgit find everything whole, down to the bytes of each layer."""
        done = subprocess.run(
            ["git", f"--git-dir={self.project}/.envgit", "fsck", "--strict", "--no-dangling"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "missing" not in done.stdout + done.stderr, done.stdout + done.stderr
        from envgit.porcelain.fsck import fsck

        problems = [f"{each.severity}: {each.text}" for each in fsck(self.open())]
        assert not problems, "\n".join(problems)

    # -- commands ---------------------------------------------------------------------------------

    def call(self, args: Sequence[str], hook: Callable[[str], None] | None = None) -> Answer:
        """Run ``envgit ARGS`` in a forked child of this process, which has imported it already.

        ``hook`` is called at every named step (`envgit.fs.crashpoint`), in the child.
        """
        return call(args, self.project, self.environ, hook)


@dataclass(frozen=True)
class Answer:
    """How a forked command ended: exit status (negative: a signal), both streams together."""

    status: int
    said: str

    def ok(self) -> Answer:
        """This answer, or a failure with what was said."""
        assert self.status == 0, f"exit status {self.status}\n{self.said}"
        return self


@contextlib.contextmanager
def scratch(fallback: Path) -> Iterator[Path]:
    """A directory for labs, in memory where that knows all that is needed (Linux 6.6 and newer).

    Flushing a disk that others write to is most of what thousands of small commands cost.
    """
    memory = Path("/dev/shm")
    try:
        made = Path(tempfile.mkdtemp(prefix="envgit-test-", dir=memory))
    except OSError:
        yield fallback
        return
    try:
        try:
            for name in ("user.envgit.probe", "trusted.envgit.probe"):
                os.setxattr(made, name, b"1")
                os.removexattr(made, name)
        except OSError:
            yield fallback
            return
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def make(top: Path, content: builders.Tree | None = None) -> Lab:
    """A lab whose first commit is ``content``."""
    from envgit.porcelain.init import init

    lab = Lab(top)
    builders.tree(top / "rootfs", CONTENT if content is None else content)
    lab.project.mkdir(exist_ok=True)
    init(str(lab.project), source=f"rootfs:{top / 'rootfs'}", environ=lab.environ)
    return lab


def mounted(
    lowers: Sequence[str],
    function: Callable[[str], T],
    target: Path,
    *,
    upper: str = "",
    work: str = "",
) -> T:
    """Call ``function`` with the path of an overlay, in a child; its result must be picklable."""

    def child() -> T:
        if not lowers:
            return function(upper)
        probes.unshare(probes.CLONE_NEWNS)
        probes.mount("", "/", "", flags=_MS_REC | _MS_PRIVATE)
        stack = list(lowers)
        if not upper and len(stack) == 1:
            # A single lower directory without an upper one is no overlay to the kernel.
            (target.parent / "nothing").mkdir(exist_ok=True)
            stack.append(str(target.parent / "nothing"))
        options = f"{overlays.OPTIONS},lowerdir={':'.join(stack)}"
        if upper:
            options += f",upperdir={upper},workdir={work}"
        target.mkdir(exist_ok=True)
        probes.mount("overlay", str(target), "overlay", options)
        return function(str(target))

    return cast(T, probes.in_child(child))


def _work(changes: str) -> str:
    """The work directory, without the mark that a volatile mount leaves and the kernel refuses."""
    work = os.path.join(changes, "work")
    shutil.rmtree(os.path.join(work, "work", "incompat"), ignore_errors=True)
    return work


def call(
    args: Sequence[str],
    cwd: Path,
    environ: dict[str, str],
    hook: Callable[[str], None] | None = None,
) -> Answer:
    """See `Lab.call`. Imports are paid for once, so that thousands of kills take minutes."""
    reader, pid = start(args, cwd, environ, hook)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    answer = Answer(os.waitstatus_to_exitcode(status), said)
    assert "Traceback" not in said and "has a bug" not in said, f"{' '.join(args)}:\n{said}"
    return answer


def start(
    args: Sequence[str],
    cwd: Path,
    environ: dict[str, str],
    hook: Callable[[str], None] | None = None,
) -> tuple[int, int]:
    """Fork ``envgit ARGS``; the reading end of its two streams, and its process id."""
    _preload()
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    status = 70
    with contextlib.suppress(BaseException):
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, target in ((null, 0), (writer, 1), (writer, 2)):
            os.dup2(fd, target)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(cwd)
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(fd, mode)) for fd, mode in ((0, "rb"), (1, "wb"), (2, "wb"))
        )
        status = _main(list(args), hook)
    os._exit(status)


@functools.cache
def _preload() -> None:
    """Import what any verb imports, once, before forking."""
    for _, name, _ in pkgutil.walk_packages(envgit.__path__, "envgit."):
        if not name.endswith("__main__"):
            importlib.import_module(name)


def _main(args: list[str], hook: Callable[[str], None] | None) -> int:
    from envgit.cli.main import main
    from envgit.fs import crashpoint

    crashpoint.install(hook)
    status = main(args)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _under_way(repository: Repository) -> dict[str, tuple[tuple[str, str], ...]]:
    """The merge, pick or revert that stopped, if one did."""
    found = pending.read(repository)
    if found is None:
        return {}
    git = repository.git
    facts = {
        "verb": found.verb,
        "theirs": [git.commit(oid).message for oid in found.theirs],
        "todo": [git.commit(oid).message for oid in found.todo],
        "message": found.message,
        "conflicts": [conflict.path for conflict in found.conflicts],
        "marked": found.marked,
    }
    return {"pending": tuple((name, repr(value)) for name, value in facts.items())}


def _photograph(root: str) -> Photograph:
    return overlays.photograph(root)
