# SPDX-License-Identifier: Apache-2.0
"""What this host lets envgit do, tried for real and explained: the checks of ``doctor``.

Nothing is concluded from a version number. Each check does the thing in a child process, which
takes whatever it made with it when it ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from envgit.sandbox import capabilities, freezer, seccomp, syscalls
from envgit.sandbox.mounts import SAFE, new_filesystem
from envgit.sandbox.roots import OPTIONS
from envgit.sandbox.syscalls import MS_PRIVATE, MS_REC


class Probe(NamedTuple):
    """One thing tried. ``detail`` says what was found, ``remedy`` what to do when not ``ok``.

    ``needed`` is false for what envgit can do without, with the loss that ``detail`` names.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def examine(store: str, programs: tuple[tuple[str, str], ...] = ()) -> list[Probe]:
    """All checks. ``store`` is the directory that holds (or will hold) the store, and must exist.

    ``programs`` are (name, what for) of helpers to look for in the usual places.
    """
    return [
        _root(),
        _namespaces(),
        _mount_api(),
        _overlay(store),
        _lowerdir_plus(store),
        _xattrs(store),
        _whiteouts(store),
        _seccomp(),
        _freezer(),
        _terminal(),
        _disk(store),
        *(_program(name, purpose) for name, purpose in programs),
    ]


def _root() -> Probe:
    if os.geteuid() != 0:
        return Probe("root", False, f"running as user {os.geteuid()}", "run envgit as root")
    with open("/proc/self/uid_map") as uid_map:
        whole = uid_map.read().split() == ["0", "0", "4294967295"]
    detail = "in the initial user namespace" if whole else "of a user namespace"
    return Probe("root", True, detail)


def _namespaces() -> Probe:
    kinds = (
        ("mount", syscalls.CLONE_NEWNS),
        ("pid", syscalls.CLONE_NEWPID),
        ("ipc", syscalls.CLONE_NEWIPC),
        ("uts", syscalls.CLONE_NEWUTS),
        ("cgroup", syscalls.CLONE_NEWCGROUP),
        ("network", syscalls.CLONE_NEWNET),
    )
    wrong = [
        f"{name}: {problem}"
        for name, flag in kinds
        if (problem := attempt(functools.partial(syscalls.unshare, flag)))
    ]
    if wrong:
        remedy = "inside a container, that container must be privileged"
        return Probe("namespaces", False, "; ".join(wrong), remedy)
    return Probe("namespaces", True, ", ".join(name for name, _ in kinds))


def _mount_api() -> Probe:
    def try_it() -> None:
        _private()
        os.close(new_filesystem("tmpfs", (), SAFE))
        root = os.open("/", os.O_PATH)
        os.close(syscalls.openat2(root, ".", os.O_PATH, syscalls.RESOLVE_IN_ROOT))
        tree = syscalls.open_tree(syscalls.AT_FDCWD, "/", syscalls.OPEN_TREE_CLONE)
        syscalls.mount_setattr(tree, set_=syscalls.MOUNT_ATTR_RDONLY)

    remedy = "envgit needs Linux 5.12 or newer and CAP_SYS_ADMIN"
    return _judge("mount calls", try_it, "fsopen, open_tree, mount_setattr, openat2", remedy)


def _overlay(store: str) -> Probe:
    def try_it() -> None:
        with _playground(store) as place:
            _mount_overlay(place, "lowerdir")

    remedy = (
        "the store must lie on ext4, xfs, btrfs or tmpfs (not on an overlay, NFS or FUSE): "
        "set core.store or ENVGIT_STORE; or load the module: modprobe overlay"
    )
    return _judge("overlay", try_it, f"works in {store}", remedy)


def _lowerdir_plus(store: str) -> Probe:
    def try_it() -> None:
        with _playground(store) as place:
            _mount_overlay(place, "lowerdir+")

    detail = "layers are given one by one"
    probe = _judge("overlay lowerdir+", try_it, detail, "Linux 6.8 has it; the older way is used")
    return probe._replace(needed=False)


def _xattrs(store: str) -> Probe:
    def try_it() -> None:
        with _playground(store) as place:
            for name in ("trusted.overlay.opaque", "security.envgit", "user.envgit"):
                os.setxattr(f"{place}/lower", name, b"y")

    remedy = "file capabilities and access lists could not be kept on this file system"
    return _judge("extended attributes", try_it, "trusted, security and user", remedy)


def _whiteouts(store: str) -> Probe:
    def try_it() -> None:
        with _playground(store) as place:
            os.mknod(f"{place}/lower/whiteout", 0o020000, os.makedev(0, 0))
            os.mknod(f"{place}/lower/device", 0o060600, os.makedev(7, 0))

    remedy = "deleted files and device nodes cannot be recorded without CAP_MKNOD"
    return _judge("device nodes", try_it, "whiteouts and devices can be made", remedy)


def _seccomp() -> Probe:
    try:
        programs = seccomp.load(capabilities.mask(capabilities.DEFAULT), None)
    except seccomp.Unavailable as error:
        return Probe(
            "system call filter",
            False,
            f"{error}; commands run without one",
            "install libseccomp2",
            needed=False,
        )

    def try_it() -> None:
        for program in programs:
            syscalls.set_seccomp_filter(program)

    detail = f"{sum(map(len, programs)) // 8} instructions"
    return _judge("system call filter", try_it, detail, "the kernel lacks CONFIG_SECCOMP_FILTER")


def _freezer() -> Probe:
    name = "freezing"
    for hierarchy, kind in freezer.hierarchies():
        group = os.path.join(hierarchy, f"envgit-probe-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.mkdir(group)
            os.rmdir(group)
            return Probe(name, True, f"cgroup {'v1' if kind else 'v2'} in {hierarchy}")
    return Probe(name, True, "no cgroup can be made: SIGSTOP is used, which shells may notice")


def _terminal() -> Probe:
    def try_it() -> None:
        _private()
        os.close(new_filesystem("devpts", (("ptmxmode", "0666"),), syscalls.MOUNT_ATTR_NOEXEC))

    return _judge("terminals", try_it, "devpts can be mounted", "run -t will not work")


def _disk(store: str) -> Probe:
    space = os.statvfs(store)
    free, files = space.f_bavail * space.f_frsize, space.f_favail
    detail = f"{free / 1e9:.1f} GB and {files} files free in {store}"
    if space.f_files == 0:  # btrfs counts no inodes
        detail, files = f"{free / 1e9:.1f} GB free in {store}", 1 << 20
    ok = free > 1 << 30 and files > 50_000
    return Probe("disk", ok, detail, "" if ok else "run 'envgit gc', or move the store")


def _program(name: str, purpose: str) -> Probe:
    for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return Probe(name, True, path)
    return Probe(name, False, f"not installed; {purpose}", f"apt-get install {name}", needed=False)


def _judge(name: str, function: Callable[[], None], detail: str, remedy: str) -> Probe:
    problem = attempt(function)
    return Probe(name, False, problem, remedy) if problem else Probe(name, True, detail)


def attempt(function: Callable[[], None]) -> str:
    """ "" if ``function`` works in a child process, else the reason why not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell(function, write)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    if text == "works":
        return ""
    return text or "the process that tried was killed"


def _tell(function: Callable[[], None], write: int) -> NoReturn:
    try:
        try:
            function()
            text = "works"
        except OSError as error:
            text = error.strerror or str(error)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            os.write(write, text.encode()[:4096])
    finally:
        os._exit(0)


def _private() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)


class _playground:
    """A directory in ``store`` with lower, upper, work and merged; removed afterwards."""

    def __init__(self, store: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="probe-", dir=store)

    def __enter__(self) -> str:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(os.path.join(self._folder.name, name))
        return self._folder.name

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _mount_overlay(place: str, lower_option: str) -> None:
    _private()
    options = (
        (lower_option, f"{place}/lower"),
        ("upperdir", f"{place}/upper"),
        ("workdir", f"{place}/work"),
        *OPTIONS,
    )
    mount = new_filesystem("overlay", options, SAFE)
    try:
        file = os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=mount)
        os.close(file)
    finally:
        os.close(mount)
