# SPDX-License-Identifier: Apache-2.0
"""Making the mount that becomes ``/``: a fresh overlay, or the one a running environment has.

Everything here returns a detached mount as a descriptor; nothing is attached anywhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from envgit.sandbox import syscalls
from envgit.sandbox.failure import RootGone, SandboxError, explain
from envgit.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
)

# The values of the start path are named tuples and not frozen dataclasses because defining a class
# of the former takes 0.08 ms here and one of the latter 0.6 ms, in each process that starts.


class OverlayRoot(NamedTuple):
    """A fresh overlay. All paths are absolute host paths.

    ``lowers`` lists the lower directories, topmost first; without ``upper`` and ``work`` the root
    is read-only. ``volatile`` makes fsync inside free: after a power cut the upper directory may
    be incomplete (Documentation/filesystems/overlayfs.rst, "Volatile mount").
    """

    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None
    volatile: bool = False

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        if self.upper is None:
            return f"overlay of {len(self.lowers)} layers, read-only"
        kind = ", volatile" if self.volatile else ""
        return f"overlay of {len(self.lowers)} layers, changes in {self.upper}{kind}"


class JoinRoot(NamedTuple):
    """The root of a running environment, by the process id of its PID 1 as the host sees it."""

    pid: int

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return f"the overlay that process {self.pid} has mounted"


class MountedRoot(NamedTuple):
    """The root that is mounted on the host's directory ``path`` (by ``envgit mount``)."""

    path: str

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return f"the overlay that is mounted at {self.path}"


Root = OverlayRoot | JoinRoot | MountedRoot

# What keeps a layer portable: no entry in an upper directory may need another one, or another
# file system, to be understood. redirect_dir and metacopy would leave "renamed from" and "data is
# below" marks instead of whole directories and files, index a table of inode numbers in work/.
OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"))
_DOING = "mounting the environment"
_LONGEST_STRING = 255  # fsconfig(2) takes 256 bytes with the final NUL


def open_root(root: Root, empty: str, *, nosuid: bool = False) -> int:
    """The detached mount for ``root``, never with device files that work.

    ``empty`` names an empty directory on the host, the lower directory of an environment that has
    no layers. A working device file in an environment would be a way out of it: root inside holds
    CAP_MKNOD (package managers make nodes), and opening a host disk's node reads the host's disk.
    Raises ``SandboxError``, and ``RootGone`` when the environment to join has ended.
    """
    attributes = MOUNT_ATTR_NODEV | (MOUNT_ATTR_NOSUID if nosuid else 0)
    if not isinstance(root, OverlayRoot):
        fd = _join(root.pid) if isinstance(root, JoinRoot) else _mounted(root.path)
        cleared = MOUNT_ATTR_RDONLY | (0 if nosuid else MOUNT_ATTR_NOSUID)
        try:
            syscalls.mount_setattr(fd, set_=attributes, clear=cleared)
        except OSError as error:
            raise explain(error, "joining the running environment") from error
        return fd
    _forget_volatile(root)
    return _overlay(root, empty, attributes)


def _join(pid: int) -> int:
    doing = f"joining the running environment of process {pid}"
    try:
        theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RootGone(f"{doing}: it has ended") from error
    except OSError as error:
        raise explain(error, doing) from error
    try:
        ours = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            # A mount can only be cloned from inside its own namespace, so this process pays a
            # visit; coming home, it would find itself on top of whatever covers its root.
            syscalls.setns(theirs, syscalls.CLONE_NEWNS)
            try:
                return syscalls.open_tree(syscalls.AT_FDCWD, "/", OPEN_TREE_CLONE)
            finally:
                syscalls.setns(ours, syscalls.CLONE_NEWNS)
                os.fchdir(root)
                os.chroot(".")
        finally:
            os.close(ours)
            os.close(root)
    except OSError as error:
        raise explain(error, doing) from error
    finally:
        os.close(theirs)


def _mounted(path: str) -> int:
    try:
        return syscalls.open_tree(syscalls.AT_FDCWD, path, OPEN_TREE_CLONE)
    except FileNotFoundError as error:
        raise RootGone(f"{path} is not mounted any more") from error
    except OSError as error:
        raise explain(error, f"joining the environment that is mounted at {path}") from error


def _forget_volatile(root: OverlayRoot) -> None:
    # The kernel refuses an upper directory that a volatile mount has left behind, for it may lack
    # writes. Who calls knows better: the store compares boot ids before it lets anybody mount.
    if root.work is None:
        return
    mark = os.path.join(root.work, "work/incompat/volatile")
    try:
        # Each for itself: a crash between the two leaves the directory, which is the mark.
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(mark, "dirty"))
        with suppress(FileNotFoundError):
            os.rmdir(mark)
    except OSError as error:
        raise explain(error, f"preparing {root.work}") from error


def _overlay(root: OverlayRoot, empty: str, attributes: int) -> int:
    lowers = root.lowers or (empty,)
    if root.upper is None and len(lowers) == 1:
        lowers = (*lowers, empty)  # overlay wants two lower directories when there is no upper one
    try:
        return _new_overlay(root, lowers, attributes, _lowers_one_by_one)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise _name_the_culprit(root, explain(error, _DOING)) from error
        try:
            return _new_overlay(root, lowers, attributes, _lowers_in_one_string)
        except OSError:
            raise _name_the_culprit(root, explain(error, _DOING)) from error


def _new_overlay(
    root: OverlayRoot,
    lowers: tuple[str, ...],
    attributes: int,
    give_lowers: Callable[[int, tuple[str, ...], _ShortPaths], None],
) -> int:
    with filesystem_context("overlay") as context:
        with _ShortPaths() as short:
            syscalls.fsconfig_string(context, "source", "envgit")
            give_lowers(context, lowers, short)
            if root.upper is not None and root.work is not None:
                syscalls.fsconfig_string(context, "upperdir", short(root.upper))
                syscalls.fsconfig_string(context, "workdir", short(root.work))
                if root.volatile:
                    syscalls.fsconfig_flag(context, "volatile")
            else:
                attributes |= MOUNT_ATTR_RDONLY
            for key, value in OPTIONS:
                syscalls.fsconfig_string(context, key, value)
            syscalls.fsconfig_create(context)
        return syscalls.fsmount(context, attributes)


def _lowers_one_by_one(context: int, lowers: tuple[str, ...], short: _ShortPaths) -> None:
    for lower in lowers:
        syscalls.fsconfig_string(context, "lowerdir+", short(lower))


def _lowers_in_one_string(context: int, lowers: tuple[str, ...], short: _ShortPaths) -> None:
    # Before Linux 6.8. All of them must go into 255 bytes: as numbers of descriptors, relative to
    # the directory that has them, that is room for 80.
    names = ":".join(short.number(lower) for lower in lowers)
    short.resolve_numbers()
    syscalls.fsconfig_string(context, "lowerdir", names)


class _ShortPaths:
    """Gives the kernel a path it takes literally, however long or odd the real one is.

    A descriptor's path in /proc stands in for a path longer than fsconfig(2) takes, and for one
    with a backslash, colon or comma, which overlay would unescape in some options but not in all.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._before = -1

    def __enter__(self) -> _ShortPaths:
        return self

    def __call__(self, path: str) -> str:
        if len(os.fsencode(path)) <= _LONGEST_STRING and not set(path) & set("\\:,"):
            return path
        return f"/proc/self/fd/{self.number(path)}"

    def number(self, path: str) -> str:
        """The name of ``path`` in /proc/self/fd."""
        self._fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return str(self._fds[-1])

    def resolve_numbers(self) -> None:
        """Makes relative paths mean descriptors; old kernels resolve them only when mounting."""
        self._before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._fds.append(self._before)
        os.chdir("/proc/self/fd")

    def __exit__(self, *_: object) -> None:
        if self._before >= 0:
            os.fchdir(self._before)
        for fd in self._fds:
            os.close(fd)


@contextmanager
def filesystem_context(fstype: str) -> Iterator[int]:
    """A file system configuration context (fsopen(2)); what the kernel says on it joins errors."""
    context = syscalls.fsopen(fstype)
    try:
        yield context
    except OSError as error:
        log = _kernel_log(context)
        if log:
            error.strerror = f"{error.strerror}: {'; '.join(log)}"
        raise
    finally:
        os.close(context)


def _kernel_log(context: int) -> list[str]:
    """What the kernel says about a file system context: fsopen(2), "e message" lines."""
    lines: list[str] = []
    while len(lines) < 32:
        try:
            line = os.read(context, 4096)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EINVAL):
                raise
            return lines
        kind, _, text = line.decode("utf-8", "replace").strip().partition(" ")
        if kind in ("e", "w"):
            lines.append(text)
    return lines


def _name_the_culprit(root: OverlayRoot, error: SandboxError) -> SandboxError:
    # Overlay says ENOENT, ENOTDIR or EINVAL for the whole mount; which of the directories it was
    # is what the user needs to know.
    for path in (*root.lowers, root.upper, root.work):
        if path is not None and not os.path.isdir(path):
            what = "is not a directory" if os.path.lexists(path) else "is missing"
            return SandboxError(
                f"{_DOING}: {path} {what}", hint="run 'envgit fsck' to see what is damaged"
            )
    if root.upper and root.work and os.stat(root.upper).st_dev != os.stat(root.work).st_dev:
        return SandboxError(f"{_DOING}: {root.upper} and {root.work} are on different disks")
    return error
