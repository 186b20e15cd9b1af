# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in a sandbox, in words: the kernel's errno alone often misleads.

``explain`` turns an ``OSError`` and what was being done into one sentence and, where something
helps, a hint. ``encode`` gives the form in which an error crosses the pipe from the child.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar

from envgit.errors import EnvgitError


class SandboxError(EnvgitError):
    """The environment could not be entered; the command was not run (exit status 125).

    ``created`` lists the mount points that had been made in the environment by then.
    """

    exit_code: ClassVar[int] = 125

    def __init__(
        self, message: str, *, hint: str | None = None, created: tuple[bytes, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.created = created


class CommandNotExecutable(SandboxError):
    """The command exists in the environment but cannot be executed (exit status 126)."""

    exit_code: ClassVar[int] = 126


class CommandNotFound(SandboxError):
    """The environment has no such command (exit status 127)."""

    exit_code: ClassVar[int] = 127


class RootGone(SandboxError):
    """The environment to be joined ended in the meantime: mount afresh and try again."""


_KINDS: dict[str, type[SandboxError]] = {
    kind.__name__: kind for kind in (SandboxError, CommandNotExecutable, CommandNotFound, RootGone)
}


def encode(error: SandboxError) -> bytes:
    """The error as bytes for a pipe; ``decode`` is its inverse."""
    fields = (type(error).__name__, error.message, error.hint or "")
    return "\0".join(field.replace("\0", "?") for field in fields).encode(
        "utf-8", "surrogateescape"
    )


def decode(data: bytes, created: tuple[bytes, ...] = ()) -> SandboxError:
    """The error that ``encode`` wrote, with the mount points made before it."""
    kind, message, hint = data.decode("utf-8", "surrogateescape").split("\0")
    return _KINDS[kind](message, hint=hint or None, created=created)


def explain(error: OSError, doing: str) -> SandboxError:
    """A sentence for ``error``, met while ``doing`` ("mounting /proc"), and a hint."""
    reason = error.strerror or str(error)
    if error.filename and os.fsdecode(error.filename) not in doing:
        reason = f"{reason} ({os.fsdecode(error.filename)!r})"
    return SandboxError(f"{doing}: {reason}", hint=_hint(error))


def _hint(error: OSError) -> str | None:
    call = (error.strerror or "").partition(":")[0]
    code = error.errno
    for calls, codes, hint in _HINTS:
        if code in codes and any(call.startswith(prefix) for prefix in calls):
            return hint
    return None


_MOUNTING = ("fsopen", "fsconfig", "fsmount", "move_mount", "open_tree", "mount")
# What an errno means here when the usual text for it says something else.
_HINTS: tuple[tuple[tuple[str, ...], tuple[int, ...], str], ...] = (
    (
        ("fsopen",),
        (errno.ENODEV,),
        "the running kernel does not have this file system; try: modprobe overlay",
    ),
    (
        (*_MOUNTING, "unshare", "setns", "pivot_root", "mount_setattr"),
        (errno.EPERM,),
        "this needs CAP_SYS_ADMIN; inside a container, that container must be privileged",
    ),
    (
        (*_MOUNTING, "openat2", "mount_setattr"),
        (errno.ENOSYS,),
        "envgit needs Linux 5.12 or newer for the mount calls it uses",
    ),
    (
        ("move_mount", "fsmount", "mount", "open_tree"),
        (errno.ENOSPC,),
        "not the disk is full, but the number of mounts: see /proc/sys/fs/mount-max",
    ),
    (
        ("unshare",),
        (errno.ENOSPC, errno.EUSERS),
        "not the disk is full, but the number of namespaces: see /proc/sys/user/max_*_namespaces",
    ),
    (
        ("fsconfig create", "mount"),
        (errno.ESTALE,),
        "the upper directory belongs to other lower directories than these",
    ),
    (
        ("fsconfig create", "mount"),
        (errno.ELOOP,),
        "upper, work and lower directories overlap, or one of them is an overlay itself",
    ),
    (
        ("fsconfig create", "mount"),
        (errno.EINVAL,),
        "the store must lie on a file system that overlay accepts as upper directory "
        "(ext4, xfs, btrfs, tmpfs; not another overlay, NFS or FUSE)",
    ),
    (
        ("pivot_root",),
        (errno.EINVAL,),
        "the root file system of this process is an initramfs or a chroot, not a mount",
    ),
)
