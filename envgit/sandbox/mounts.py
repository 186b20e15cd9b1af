# SPDX-License-Identifier: Apache-2.0
"""What is mounted into an environment, as values that describe themselves before they act.

A plan is a tuple of these, executed in order by PID 1 in the new mount namespace. Each has
``describe()``, one line for ``--dry-run``, and ``execute(tree)``, which raises ``OSError``.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from envgit.sandbox import syscalls
from envgit.sandbox.roots import filesystem_context
from envgit.sandbox.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
)
from envgit.sandbox.targets import Targets

SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
"""Mount attributes of everything that only carries data of the kernel's or of one run."""


class Tree(NamedTuple):
    """Where operations act: the root's mount points, and an attached tmpfs that only we can see.

    ``scratch`` is a descriptor of that tmpfs; ``empty/`` in it stays empty. ``terminal`` is the
    master side of the pseudo-terminal and ``devpts`` the detached mount it came from, or -1.
    """

    targets: Targets
    scratch: int
    terminal: int = -1
    devpts: int = -1


class Filesystem(NamedTuple):
    """A new file system of the kernel's at a directory.

    Without ``links`` no component of ``target`` may be a symbolic link: an environment could else
    have its /proc mounted where the kernel's files are not guarded. With ``condition``, a path on
    the host, nothing is done where the host lacks it.
    """

    fstype: str
    target: str
    options: tuple[tuple[str, str], ...] = ()
    attributes: int = SAFE
    links: bool = False
    condition: str = ""

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        options = "".join(f",{key}={value}" for key, value in self.options)
        condition = f", where the host has {self.condition}" if self.condition else ""
        return f"{self.fstype:8} {self.target} ({_words(self.attributes)}{options}){condition}"

    def execute(self, tree: Tree) -> None:
        """Mount it."""
        if self.condition and not os.path.exists(self.condition):
            return
        target = tree.targets.open(self.target, directory=True, links=self.links)
        try:
            _attach(self._detached(tree), target)
        finally:
            os.close(target)

    def _detached(self, tree: Tree) -> int:
        if self.fstype == "devpts" and tree.devpts >= 0:
            return os.dup(tree.devpts)
        return new_filesystem(self.fstype, self.options, self.attributes)


class Bind(NamedTuple):
    """A file or directory of the host, with what is mounted beneath it.

    Device files in it do not work (see ``roots.open_root``), unless the source is itself one: then
    the user has named it, and asked for it. An ``optional`` one may be missing.
    """

    source: str
    target: str
    read_only: bool = False
    optional: bool = False

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return f"bind     {self.target} from {self.source}{' (ro)' if self.read_only else ''}"

    def execute(self, tree: Tree) -> None:
        """Mount it."""
        try:
            mount = syscalls.open_tree(AT_FDCWD, self.source, OPEN_TREE_CLONE | AT_RECURSIVE)
        except FileNotFoundError as error:
            if self.optional:
                return
            error.strerror, error.filename = "the host has no such file or directory", None
            raise
        try:
            mode = os.fstat(mount).st_mode
            device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
            set_ = (0 if device else MOUNT_ATTR_NODEV) | (
                MOUNT_ATTR_RDONLY if self.read_only else 0
            )
            if set_:
                syscalls.mount_setattr(mount, set_=set_, recursive=True)
            target = tree.targets.open(self.target, directory=stat.S_ISDIR(mode))
            try:
                syscalls.move_mount(mount, target)
            finally:
                os.close(target)
        finally:
            os.close(mount)


class Content(NamedTuple):
    """A file with the given text, which programs may write to and which ends with the run."""

    target: str
    text: str

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return f"file     {self.target} ({len(self.text)} characters)"

    def execute(self, tree: Tree) -> None:
        """Write it to the scratch tmpfs and mount it from there."""
        name = self.target.replace("/", "_")
        fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644, dir_fd=tree.scratch)
        try:
            os.write(fd, os.fsencode(self.text))
        finally:
            os.close(fd)
        target = tree.targets.open(self.target, directory=False)
        try:
            mount = syscalls.open_tree(tree.scratch, name, OPEN_TREE_CLONE)
            _attach(mount, target)
        finally:
            os.close(target)


class Devices(NamedTuple):
    """The new /dev: the host's device files ``names``, symbolic ``links``, and the console.

    The files are the host's, mounted one by one over empty files, because the tmpfs itself is
    mounted nodev: CAP_MKNOD inside must not make a disk appear.
    """

    names: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    console: bool

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        names = (*self.names, *(["console"] if self.console else []))
        links = ",".join(name for name, _ in self.links)
        return f"devices  /dev/{{{','.join(names)}}}, links /dev/{{{links}}}"

    def execute(self, tree: Tree) -> None:
        """Mount and make them; a device that the host lacks stays away, but for null."""
        dev = tree.targets.find("dev", links=False)
        try:
            for name in self.names:
                try:
                    mount = syscalls.open_tree(AT_FDCWD, f"/dev/{name}", OPEN_TREE_CLONE)
                except FileNotFoundError:
                    if name == "null":
                        raise
                    continue
                _attach_file(mount, dev, name)
            for name, target in self.links:
                os.symlink(target, name, dir_fd=dev)
            if self.console:
                # The one terminal of the new devpts.
                _attach_file(syscalls.open_tree(dev, "pts/0", OPEN_TREE_CLONE), dev, "console")
        finally:
            os.close(dev)


class Guarded(NamedTuple):
    """Kernel files and directories beneath ``base`` that tell or do too much.

    ``masked`` ones read as empty, ``read_only`` ones cannot be written; what the kernel does not
    have is passed over.
    """

    base: str
    masked: tuple[str, ...]
    read_only: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        read_only = f", read-only {{{','.join(self.read_only)}}}" if self.read_only else ""
        return f"guard    {self.base}, masked {{{','.join(self.masked)}}}{read_only}"

    def execute(self, tree: Tree) -> None:
        """Mount nothing over the former, and the latter over themselves."""
        base = tree.targets.find(self.base, links=False)
        try:
            for names, cover in ((self.masked, self._nothing), (self.read_only, self._itself)):
                for name in names:
                    path = _beneath(base, name)
                    if path >= 0:
                        try:
                            _attach(cover(tree, path), path)
                        finally:
                            os.close(path)
        finally:
            os.close(base)

    def _nothing(self, tree: Tree, path: int) -> int:
        if not stat.S_ISDIR(os.fstat(path).st_mode):
            return syscalls.open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE)
        mount = syscalls.open_tree(tree.scratch, "empty", OPEN_TREE_CLONE)
        syscalls.mount_setattr(mount, set_=SAFE | MOUNT_ATTR_RDONLY)
        return mount

    def _itself(self, tree: Tree, path: int) -> int:
        flags = OPEN_TREE_CLONE | AT_RECURSIVE | syscalls.AT_EMPTY_PATH
        mount = syscalls.open_tree(path, "", flags)
        syscalls.mount_setattr(mount, set_=MOUNT_ATTR_RDONLY, recursive=True)
        return mount


class WorkingDirectory(NamedTuple):
    """The directory the command starts in, made when missing, as Docker does."""

    path: str

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return f"workdir  {self.path}"

    def execute(self, tree: Tree) -> None:
        """Make it."""
        os.close(tree.targets.open(self.path, directory=True))


class ReadOnlyRoot:
    """The environment's own files may not be changed."""

    def describe(self) -> str:
        """One line for ``--dry-run``."""
        return "readonly /"

    def execute(self, tree: Tree) -> None:
        """Make the root mount read-only."""
        syscalls.mount_setattr(tree.targets.root, set_=MOUNT_ATTR_RDONLY)


Operation = Filesystem | Bind | Content | Devices | Guarded | WorkingDirectory | ReadOnlyRoot
"""One step of a plan."""


def new_filesystem(fstype: str, options: tuple[tuple[str, str], ...], attributes: int) -> int:
    """A detached mount of a new file system. Raises ``OSError`` with the kernel's log."""
    with filesystem_context(fstype) as context:
        for key, value in options:
            syscalls.fsconfig_string(context, key, value)
        syscalls.fsconfig_create(context)
        return syscalls.fsmount(context, attributes)


def _attach(mount: int, target: int, name: str = "") -> None:
    try:
        syscalls.move_mount(mount, target, name)
    finally:
        os.close(mount)


def _attach_file(mount: int, folder: int, name: str) -> None:
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder))
    except OSError:
        os.close(mount)
        raise
    _attach(mount, folder, name)


def _beneath(base: int, name: str) -> int:
    try:
        return syscalls.openat2(base, name, os.O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        return -1


def _words(attributes: int) -> str:
    names = (
        ("ro", MOUNT_ATTR_RDONLY),
        ("nosuid", MOUNT_ATTR_NOSUID),
        ("nodev", MOUNT_ATTR_NODEV),
        ("noexec", MOUNT_ATTR_NOEXEC),
    )
    return ",".join(name for name, bit in names if attributes & bit)
