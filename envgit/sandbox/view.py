# SPDX-License-Identifier: Apache-2.0
"""An environment seen from the host without running anything in it: mounted, or copied from.

Everything happens in a forked child, because joining a running environment's mount namespace takes
a process with one thread, and because a private mount then goes away by itself.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from envgit.errors import EnvgitError
from envgit.sandbox import syscalls
from envgit.sandbox.failure import SandboxError, explain
from envgit.sandbox.mounts import SAFE, new_filesystem
from envgit.sandbox.roots import Root, open_root
from envgit.sandbox.syscalls import (
    AT_FDCWD,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    UMOUNT_NOFOLLOW,
)


class Inside(NamedTuple):
    """The environment for ``call_inside``: ``root`` is a descriptor of its top directory."""

    root: int

    def open(self, path: str | bytes, flags: int = os.O_PATH, mode: int = 0) -> int:
        """A descriptor of ``path``, whose links and ``..`` mean the environment's root.

        ``O_NOFOLLOW`` keeps the last component from being followed, as in open(2). Raises
        ``OSError``.
        """
        relative = os.fsdecode(path).lstrip("/") or "."
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        return syscalls.openat2(self.root, relative, flags, resolve, mode)


class FailedInside(EnvgitError):
    """What a function given to ``call_inside`` raised, as text."""

    exit_code = 1
    prefix = "error"


def mount_at(root: Root, target: str, *, read_only: bool) -> None:
    """Mounts ``root`` on the host's directory ``target``, for everybody to see.

    Neither setuid bits nor device files in it work: they are the environment's, not the host's.
    Raises ``SandboxError``.
    """
    place = os.path.realpath(target)
    if not os.path.isdir(place):
        raise SandboxError(f"{target} is not a directory")

    def attach() -> bytes:
        with scratch_directory() as empty:
            mount = open_root(root, empty, nosuid=True)
            try:
                if read_only:
                    syscalls.mount_setattr(mount, set_=MOUNT_ATTR_RDONLY)
                syscalls.move_mount(mount, AT_FDCWD, place)
            except OSError as error:
                raise explain(error, f"mounting at {target}") from error
        return b""

    _in_child(attach)


def unmount(target: str) -> None:
    """Unmounts what ``mount_at`` mounted. Raises ``SandboxError``, saying who uses it if in use."""
    place = os.path.realpath(target)
    if _filesystem_at(place) != "overlay":
        raise SandboxError(f"{target} is not the mount point of an environment")
    try:
        syscalls.umount2(place, UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise explain(error, f"unmounting {target}") from error
        users = _users_of(place)
        hint = f"in use by {', '.join(users)}" if users else "something beneath it is in use"
        raise SandboxError(f"unmounting {target}: it is busy", hint=hint) from error


def call_inside(root: Root, function: Callable[[Inside], bytes]) -> bytes:
    """What ``function`` returns when it is called with ``root`` mounted, in a child of its own.

    The host's files are visible to it as always, the environment's only through the ``Inside`` it
    is given. An ``OSError`` it raises is raised here; so is an ``EnvgitError``, as ``FailedInside``
    with its message and hint; anything else as ``FailedInside`` with its text. The result may be
    of any size.
    """

    def call() -> bytes:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
        except OSError as error:
            raise explain(error, "making a mount namespace") from error
        with scratch_directory() as empty:
            mount = open_root(root, empty)
        return function(Inside(mount))

    return _in_child(call)


class scratch_directory:
    """The path of an empty directory for ``open_root``: on a tmpfs nobody else can see."""

    def __enter__(self) -> str:
        self._mount = new_filesystem("tmpfs", (("mode", "0755"), ("size", "64k")), SAFE)
        return f"/proc/self/fd/{self._mount}"

    def __exit__(self, *_: object) -> None:
        os.close(self._mount)


def _in_child(function: Callable[[], bytes]) -> bytes:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _answer(function, write)
    os.close(write)
    try:
        # All of it before waiting: a result larger than a pipe would otherwise never end.
        with open(read, "rb") as pipe:
            data = pipe.read()
    finally:
        os.waitpid(pid, 0)
    if data[:1] == b"=":
        return data[1:]
    if not data:
        raise SandboxError("the process that looked into the environment was killed")
    raise _rebuilt(json.loads(data))


def _answer(function: Callable[[], bytes], write: int) -> NoReturn:
    try:
        try:
            data = b"=" + function()
        except BaseException as error:
            data = json.dumps(_described(error)).encode()
        with contextlib.suppress(BrokenPipeError), open(write, "wb") as pipe:
            pipe.write(data)
    finally:
        os._exit(0)


def _described(error: BaseException) -> dict[str, object]:
    if isinstance(error, EnvgitError):
        kind = "sandbox" if isinstance(error, SandboxError) else "envgit"
        return {"kind": kind, "message": error.message, "hint": error.hint}
    if isinstance(error, OSError) and error.errno is not None:
        # os.listdir(descriptor) names the number.
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
        return {"kind": "os", "errno": error.errno, "message": error.strerror, "name": name}
    return {"kind": "envgit", "message": f"{type(error).__name__}: {error}", "hint": None}


def _rebuilt(fields: dict[str, object]) -> Exception:
    message, hint = str(fields["message"]), fields.get("hint")
    if fields["kind"] == "os":
        assert isinstance(fields["errno"], int)
        return OSError(fields["errno"], message, fields["name"])
    kind = SandboxError if fields["kind"] == "sandbox" else FailedInside
    return kind(message, hint=None if hint is None else str(hint))


def is_mounted(target: str) -> bool:
    """Whether an environment is mounted on the host's directory ``target`` now."""
    return _filesystem_at(os.path.realpath(target)) == "overlay"


def _filesystem_at(place: str) -> str:
    """The type of what is mounted exactly at ``place``, "" for nothing (proc_pid_mountinfo(5))."""
    found = ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            path = before.split()[4]
            for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                path = path.replace(code, char)
            if path == place:
                found = after.split()[0]
    return found


def _users_of(place: str) -> list[str]:
    users: list[str] = []
    prefix = place.rstrip("/") + "/"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}"
            links = [f"{folder}/cwd", f"{folder}/root"]
            links += [f"{folder}/fd/{fd}" for fd in os.listdir(f"{folder}/fd")]
            if any((os.readlink(link) + "/").startswith(prefix) for link in links):
                with open(f"{folder}/comm") as comm:
                    users.append(f"{comm.read().strip()} ({pid})")
    return users
