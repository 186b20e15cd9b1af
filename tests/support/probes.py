# SPDX-License-Identifier: Apache-2.0
"""What this machine lets a test do, found out by doing it in a child process.

Only EPERM, EACCES, ENOSYS and their like mean "absent". Any other failure of a probe is a mistake
in the probe or a broken machine, and is raised.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_ABSENT = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL)

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
SYS_FSOPEN, SYS_OPENAT2 = 430, 437  # the same number on every architecture since Linux 5.2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.syscall.restype = ctypes.c_long


class ProbeFailed(Exception):
    """A probe ended in a way that means neither "present" nor "absent"."""


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2); a new mount namespace is made private at once."""
    _check(_libc.unshare(flags), "unshare")
    if flags & CLONE_NEWNS:
        _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate")


def mount(source: str, target: str, kind: str, options: str = "", flags: int = 0) -> None:
    """mount(2)."""
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()),
        f"mount -t {kind} {target}",
    )


def in_child(function: Callable[[], object]) -> object:
    """Run ``function`` in a forked child and return what it returns or raise what it raises.

    The result comes through a pipe that is read before the child is waited for, so its size does
    not matter.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                message: tuple[bool, object] = (True, function())
            except BaseException as problem:  # everything travels to the parent
                message = (False, problem)
            with open(writer, "wb") as pipe:
                pickle.dump(message, pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    if not data:
        raise ProbeFailed("the child died without a word")
    worked, value = pickle.loads(data)
    if not worked:
        assert isinstance(value, BaseException)
        raise value
    return value


def _attempt(function: Callable[[], object]) -> str:
    """An empty string if ``function`` works in a child, else why not."""
    try:
        in_child(function)
    except OSError as problem:
        if problem.errno in _ABSENT:
            return problem.strerror or str(problem)
        raise ProbeFailed(str(problem)) from problem
    return ""


def _root() -> str:
    if os.geteuid() != 0:
        return "not root"
    # The initial user namespace maps every id onto itself (user_namespaces(7)).
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return "root of a user namespace only"
    return ""


def _overlay() -> str:
    def try_it() -> None:
        unshare(CLONE_NEWNS)
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("lower", "upper", "work", "merged"):
                os.mkdir(f"{scratch}/{name}")
            options = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
            mount("overlay", f"{scratch}/merged", "overlay", options)
            Path(f"{scratch}/merged/file").touch()
            subprocess.run(["umount", f"{scratch}/merged"], check=True)

    return _attempt(try_it)


def _namespace(flags: int) -> Callable[[], str]:
    return lambda: _attempt(lambda: unshare(flags))


def _mknod() -> str:
    def try_it() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            os.mknod(f"{scratch}/whiteout", 0o020600, os.makedev(0, 0))
            # Whiteouts may be made without CAP_MKNOD, and a nodev file system makes what it cannot
            # open: only a real device shows that devices are allowed.
            os.mknod(f"{scratch}/null", 0o020666, os.makedev(1, 3))
            with open(f"{scratch}/null", "rb") as null:
                null.read(1)

    return _attempt(try_it)


def _xattr(name: str) -> Callable[[], str]:
    def try_it() -> None:
        with tempfile.NamedTemporaryFile() as file:
            os.setxattr(file.name, name, b"1")

    return lambda: _attempt(try_it)


def _mount_api() -> str:
    def try_it() -> None:
        _check(int(_libc.syscall(SYS_FSOPEN, b"overlay", 0)), "fsopen")

    return _attempt(try_it)


def _loop() -> str:
    def try_it() -> None:
        unshare(CLONE_NEWNS)
        with tempfile.TemporaryDirectory() as scratch:
            with open(f"{scratch}/image", "wb") as image:
                image.truncate(4 << 20)
            subprocess.run(["mkfs.ext4", "-q", f"{scratch}/image"], check=True)
            os.mkdir(f"{scratch}/mounted")
            done = subprocess.run(
                ["mount", "-o", "loop", f"{scratch}/image", f"{scratch}/mounted"],
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                raise OSError(errno.EPERM, done.stderr.strip())
            subprocess.run(["umount", f"{scratch}/mounted"], check=True)

    if shutil.which("mkfs.ext4") is None:
        return "no mkfs.ext4"
    return _attempt(try_it)


def _pty() -> str:
    def try_it() -> None:
        master, slave = os.openpty()
        os.close(master)
        os.close(slave)

    return _attempt(try_it)


def _cgroup() -> str:
    mounted = Path("/proc/self/mounts").read_text().splitlines()
    for line in mounted:
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            try:
                probe = Path(where, f"envgit-probe-{os.getpid()}")
                probe.mkdir()
                probe.rmdir()
            except OSError as problem:
                return str(problem)
            return ""
    return "no writable cgroup2 mount"


def _busybox() -> str:
    return "" if busybox_static() else "no static busybox (Debian: busybox-static)"


def _program(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


def _mirror() -> str:
    """Whether the first of this machine's Debian mirrors (or its proxy) answers."""
    from envgit.image import apt

    proxy = os.environ.get("http_proxy", "")
    for source in apt.sources_for("stable", apt.host_sources(), keyring=False):
        address = (proxy or source.uris[0]).partition("://")[2].partition("/")[0]
        host, _, port = address.rpartition("@")[2].partition(":")
        try:
            socket.create_connection((host, int(port or 80)), timeout=5).close()
        except OSError as problem:
            return f"{host}: {problem}"
        return ""
    return "no apt source"


def _pypi() -> str:
    """Whether pip reaches its index: the smallest package there is any use for (6 kB)."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "1"]
        done = subprocess.run(
            [*command, "--timeout", "20", "-d", scratch, "iniconfig==2.0.0"],
            capture_output=True,
            text=True,
        )
    return "" if done.returncode == 0 else (done.stderr.strip() or "pip failed").splitlines()[-1]


_PROBES: dict[str, Callable[[], str]] = {
    "root": _root,
    "overlay": _overlay,
    "mount_api": _mount_api,
    "mountns": _namespace(CLONE_NEWNS),
    "pidns": _namespace(CLONE_NEWPID),
    "netns": _namespace(CLONE_NEWNET),
    "userns": _namespace(CLONE_NEWUSER),
    "cgroup": _cgroup,
    "mknod": _mknod,
    "trusted_xattr": _xattr("trusted.envgit.probe"),
    "user_xattr": _xattr("user.envgit.probe"),
    "loop": _loop,
    "pty": _pty,
    "busybox": _busybox,
    "mirror": _mirror,
    "pypi": _pypi,
    "mmdebstrap": _program("mmdebstrap"),
    "strace": _program("strace"),
    "setfacl": _program("setfacl"),
    "setcap": _program("setcap"),
    "tar": _program("tar"),
    "sh": _program("sh"),
}

NAMES = frozenset(_PROBES)


@functools.cache
def why_not(name: str) -> str:
    """An empty string if this machine can do ``name``, else the reason. KeyError if unknown."""
    return _PROBES[name]()


def require(*names: str) -> None:
    """Skip the running test (or fail it, see ``ENVGIT_TEST_REQUIRE``) unless all are there."""
    from tests.support import gate

    for name in names:
        gate.demand(name, why_not(name))


@functools.cache
def busybox_static() -> str | None:
    """Path of a busybox that needs no libraries, or None."""
    for path in (os.environ.get("ENVGIT_TEST_BUSYBOX", ""), "/bin/busybox", "/usr/bin/busybox"):
        # A dynamic program names its loader in PT_INTERP; looking for its path is enough here.
        if path and os.path.isfile(path) and b"/lib64/ld-linux" not in Path(path).read_bytes():
            return path
    return None
