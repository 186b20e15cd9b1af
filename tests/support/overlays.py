# SPDX-License-Identifier: Apache-2.0
"""Real overlay mounts for tests, in a mount namespace that dies with the child that uses it."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec

import pytest

from tests.support import probes

P = ParamSpec("P")

# As envgit mounts: an upper directory can serve as a layer anywhere.
OPTIONS = "index=off,metacopy=off,redirect_dir=off"


def isolated(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a forked child with its own mount namespace, so that no mount can be left."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        read, write = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read)
                probes.unshare(probes.CLONE_NEWNS)
                test(*args, **kwargs)
                status = 0
            except BaseException:
                with open(write, "w") as pipe:
                    pipe.write(traceback.format_exc())
            finally:
                os._exit(status)
        os.close(write)
        # The pipe first: a child that waits for us to read would never end.
        with open(read) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        if status:
            pytest.fail(text or f"the child ended with status {status}", pytrace=False)

    return run


@contextmanager
def mounted(target: str, lowers: Sequence[str], upper: str = "", work: str = "") -> Iterator[str]:
    """An overlay mount as envgit makes it; ``lowers`` top first."""
    options = f"{OPTIONS},lowerdir={':'.join(lowers)}"
    if upper:
        options += f",upperdir={upper},workdir={work}"
        os.makedirs(work, exist_ok=True)
    elif len(lowers) == 1:
        # A single lower directory without an upper one is no overlay to the kernel.
        options += f":{target}.empty"
        os.makedirs(f"{target}.empty", exist_ok=True)
    os.makedirs(target, exist_ok=True)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@dataclass(frozen=True)
class Shot:
    """Everything lstat(2) and friends say of one path."""

    mode: int
    owner: tuple[int, int]
    mtime: int | None
    size: int | None
    rdev: int
    target: bytes | None
    content: str | None
    xattrs: tuple[tuple[str, bytes], ...]
    links: tuple[bytes, ...]


Shots = dict[bytes, Shot]


def photograph(root: str, *, seconds: bool = False, directory_times: bool = False) -> Shots:
    """A directory path by path, read without any of envgit; sockets are left out.

    ``seconds`` rounds times down as pointers do; the times of directories only on demand.
    """
    shots: Shots = {}
    inodes: dict[tuple[int, int], list[bytes]] = {}
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    pending = [(b"", fd)]
    while pending:
        path, fd = pending.pop()
        shots[path] = _shot(os.fstat(fd), fd, seconds, directory_times)
        for name in os.listdir(fd):
            encoded = os.fsencode(name)
            child = path + b"/" + encoded if path else encoded
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(st.st_mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                pending.append((child, os.open(name, flags, dir_fd=fd)))
            elif not stat.S_ISSOCK(st.st_mode):
                inodes.setdefault((st.st_dev, st.st_ino), []).append(child)
                shots[child] = _shot(st, (fd, name), seconds, directory_times)
        os.close(fd)
    for paths in inodes.values():
        for path in paths:
            shots[path] = replace(shots[path], links=tuple(sorted(paths)))
    return shots


def _shot(
    st: os.stat_result, where: int | tuple[int, str], seconds: bool, directory_times: bool
) -> Shot:
    kind = stat.S_IFMT(st.st_mode)
    place = f"/proc/self/fd/{where}" if isinstance(where, int) else _place(*where)
    follow = isinstance(where, int)
    names = os.listxattr(place, follow_symlinks=follow)
    mtime: int | None = st.st_mtime_ns // 10**9 if seconds else st.st_mtime_ns
    content = target = None
    if kind == stat.S_IFREG:
        with open(place, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif kind == stat.S_IFLNK:
        target = os.fsencode(os.readlink(place))
    elif kind == stat.S_IFDIR and not directory_times:
        mtime = None
    return Shot(
        mode=st.st_mode,
        owner=(st.st_uid, st.st_gid),
        mtime=mtime,
        size=st.st_size if kind == stat.S_IFREG else None,
        rdev=st.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        target=target,
        content=content,
        xattrs=tuple(
            (name, os.getxattr(place, name, follow_symlinks=follow))
            for name in sorted(names)
            if ".overlay." not in name
        ),
        links=(),
    )


def _place(fd: int, name: str) -> str:
    return f"/proc/self/fd/{fd}/{name}"


def assert_same(actual: Mapping[bytes, object], expected: Mapping[bytes, object]) -> None:
    """Fail with the first few paths that differ, for whole photographs are unreadable."""
    wrong = [
        f"{path[:200]!r}:\n  is     {actual.get(path)}\n  should {expected.get(path)}"
        for path in sorted({*actual, *expected})
        if actual.get(path) != expected.get(path)
    ]
    assert not wrong, "\n".join([f"{len(wrong)} paths differ", *wrong[:5]])
