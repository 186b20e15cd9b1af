# SPDX-License-Identifier: Apache-2.0
"""Copy files between the host and the environment, in either direction.

The environment's side is walked beneath a descriptor of its root: links in it mean its own files
and never lead out. The host's side is an ordinary path.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from envgit.errors import Refused, UsageError
from envgit.layers.copying import Copier
from envgit.layers.entry import is_overlay_xattr
from envgit.porcelain.foundation import chain
from envgit.porcelain.foundation.occupants import note_unflushed, root_of
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.roots import OverlayRoot, Root
from envgit.sandbox.view import Inside, call_inside

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class CopyError(Refused):
    """A file could not be copied."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """How many files, directories and bytes were copied."""

    files: int
    directories: int
    size: int


@dataclass(frozen=True, slots=True)
class _Place:
    """One side of a copy: a path of the host, or of the environment at ``revision``."""

    path: str
    inside: bool
    revision: str | None = None


Opener = Callable[[str, int], int]


def copy(
    repository: Repository,
    sources: Sequence[str],
    dest: str,
    *,
    keep_owner: bool = False,
    follow_links: bool = False,
) -> CopyResult:
    """Copy ``sources`` to ``dest``: ``:PATH`` is the worktree's, ``REV:PATH`` a commit's.

    As cp(1): into a directory that exists a source goes under its own name. Modes, times and
    extended attributes are kept, owners only with ``keep_owner``. ``follow_links`` copies what a
    source leads to when it is itself a symbolic link. Raises CopyError.
    """
    origins = [_place(text) for text in sources]
    target = _place(dest)
    if target.revision is not None:
        raise UsageError(f"'{dest}': a commit cannot be changed", hint="copy to :PATH and commit")
    sides = {origin.inside for origin in origins}
    revisions = {origin.revision for origin in origins}
    if len(sides | revisions) > 2 or len(sides) > 1 or len(revisions) > 1:
        raise UsageError("all sources must be on the host, or in the same state")
    inward = target.inside
    if sides.pop() == inward:
        where = "in the environment" if inward else "on the host"
        raise UsageError(f"source and destination are both {where}", hint="use cp there")

    def work(inside: Inside) -> bytes:
        within: Opener = inside.open
        task = _Task(within if not inward else _on_host, within if inward else _on_host)
        task.keep_owner, task.follow_links = keep_owner, follow_links
        task.run([origin.path for origin in origins], target.path)
        return json.dumps([task.files, task.directories, task.size]).encode()

    with repository.locked("cp"):
        root = _root(repository, revisions.pop(), writes=inward)
        files, directories, size = json.loads(call_inside(root, work))
    return CopyResult(files, directories, size)


def _place(text: str) -> _Place:
    """Read one argument. As scp: a slash before the first colon means a path of the host."""
    before, colon, path = text.partition(":")
    if not colon or "/" in before:
        return _Place(text, inside=False)
    return _Place(path or "/", inside=True, revision=before or None)


def _root(repository: Repository, revision: str | None, *, writes: bool) -> Root:
    if revision is not None:
        stack, _ = chain.resolve(repository, repository.git.resolve(revision))
        return OverlayRoot(lowers=chain.directories(repository, stack))
    state = repository.worktree.state()
    return root_of(repository, note_unflushed(repository, state) if writes else state)


def _on_host(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC)


class _Task:
    """A copy that is under way, with an opener for each side."""

    def __init__(self, source: Opener, target: Opener) -> None:
        self._source = source
        self._target = target
        self._copier = Copier()
        self.keep_owner = False
        self.follow_links = False
        self.files = self.directories = self.size = 0

    def run(self, sources: Sequence[str], dest: str) -> None:
        """Copy each source, into ``dest`` if that is a directory."""
        folder = self._directory(dest)
        if folder is None and (len(sources) > 1 or dest.endswith("/")):
            raise CopyError(f"'{dest}' is no directory")
        for source in sources:
            name = os.path.basename(source.rstrip("/"))
            if folder is not None:
                parent, target = os.dup(folder), name
            else:
                parent = self._target(os.path.dirname(dest) or ".", _DIRECTORY)
                target = os.path.basename(dest)
            try:
                self._one(source, parent, target)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                raise CopyError(f"cannot copy '{source}': {reason}") from error
            finally:
                os.close(parent)
        if folder is not None:
            os.close(folder)

    def _directory(self, path: str) -> int | None:
        try:
            return self._target(path, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _one(self, source: str, parent: int, target: str) -> None:
        path = source.rstrip("/") or "/"
        if self.follow_links or path == "/":
            fd = self._source(path, os.O_PATH)
        else:
            fd = self._source(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            if not target:  # the root itself: what is in it goes into the directory
                self._children(self._reopened(fd, _DIRECTORY), parent)
            else:
                self._entry(fd, parent, target)
        finally:
            os.close(fd)

    def _entry(self, fd: int, parent: int, name: str) -> None:
        """Copy what ``fd`` (O_PATH) is to ``name`` in the directory ``parent``."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
            below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                source = self._reopened(fd, _DIRECTORY)
                self._children(source, below)
                self._attributes(fd, below, status)
            finally:
                os.close(below)
            self.directories += 1
            return
        _remove(name, parent)
        if stat.S_ISREG(status.st_mode):
            self._regular(fd, parent, name, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink("", dir_fd=fd), name, dir_fd=parent)
            self._owner(parent, name, status)
        elif stat.S_ISSOCK(status.st_mode):
            return
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=parent)
            self._owner(parent, name, status)
        self.files += 1

    def _children(self, source: int, target: int) -> None:
        try:
            for name in sorted(os.listdir(source)):
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
                try:
                    self._entry(fd, target, name)
                finally:
                    os.close(fd)
        finally:
            os.close(source)

    def _regular(self, fd: int, parent: int, name: str, status: os.stat_result) -> None:
        source = self._reopened(fd, _FILE & ~os.O_NOFOLLOW)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            self._copier.copy(source, target, status)
            self._attributes(source, target, status)
            self.size += status.st_size
        finally:
            os.close(source)
            os.close(target)

    def _attributes(self, source: int, target: int, status: os.stat_result) -> None:
        if self.keep_owner:
            os.fchown(target, status.st_uid, status.st_gid)
            readable = f"/proc/self/fd/{source}"
            for name in os.listxattr(readable):
                if not is_overlay_xattr(os.fsencode(name)):
                    os.setxattr(target, name, os.getxattr(readable, name))
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _owner(self, parent: int, name: str, status: os.stat_result) -> None:
        if self.keep_owner:
            os.chown(name, status.st_uid, status.st_gid, dir_fd=parent, follow_symlinks=False)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    @staticmethod
    def _reopened(fd: int, flags: int) -> int:
        """The same file, opened for reading: what an O_PATH descriptor cannot do."""
        return os.open(f"/proc/self/fd/{fd}", flags)


def _remove(name: str, parent: int) -> None:
    """Make room for a file, as cp(1) does with --remove-destination."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
