# SPDX-License-Identifier: Apache-2.0
"""The last steps before the user's program: who it is, what it may, and which file it is.

Runs in the process that becomes the command, inside the environment; never returns. Failures are
told in the words and with the exit statuses of a shell: 127 not found, 126 not executable.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import NoReturn

from envgit.sandbox import channel, syscalls
from envgit.sandbox.failure import (
    CommandNotExecutable,
    CommandNotFound,
    SandboxError,
    encode,
    explain,
)
from envgit.sandbox.plan import Plan
from envgit.sandbox.users import User


def main(plan: Plan, user: User, status: int, slave: int) -> NoReturn:
    """Becomes the command. ``slave`` is its terminal, or -1; ``status`` is closed by exec."""
    try:
        held, ignored = _own_status()
        _process_group(slave)
        _standard_streams(plan, slave)
        for number, soft, hard in plan.rlimits:
            _limit(number, soft, hard)
        _become(user, plan.capabilities, held)
        _enter(plan.cwd)
        _reset_signals(ignored)
        os.umask(0o022)
        syscalls.close_range(3, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC)
        _execute(plan, user)
    except SandboxError as error:
        channel.send(status, channel.FAILED, encode(error))
    except BaseException as error:
        text = f"starting the command: {type(error).__name__}: {error}"
        channel.send(status, channel.FAILED, encode(SandboxError(text)))
    finally:
        os._exit(125)


def _process_group(slave: int) -> None:
    os.setpgid(0, 0)
    if slave >= 0:
        os.tcsetpgrp(slave, os.getpid())  # SIGTTOU is blocked still


def _standard_streams(plan: Plan, slave: int) -> None:
    if slave >= 0:
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
    elif not plan.interactive:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
    for fd in (0, 1, 2):
        os.set_inheritable(fd, True)


def _limit(number: int, soft: int, hard: int) -> None:
    import resource

    try:
        resource.setrlimit(number, (soft, hard))
    except (OSError, ValueError) as error:
        raise SandboxError(f"setting resource limit {number} to {soft}:{hard}: {error}") from error


def _become(user: User, granted: int, held: int) -> None:
    for number in range(64):
        if granted >> number & 1:
            continue
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise explain(error, "dropping capabilities") from error
            break  # past the last one this kernel knows
    try:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise explain(error, f"becoming user {user.uid}:{user.gid}") from error
    if user.uid == 0:
        # Ours may be fewer than are granted: inside a container, or a user namespace.
        granted &= held
        syscalls.capset(effective=granted, permitted=granted, inheritable=0)


def _own_status() -> tuple[int, int]:
    """Capabilities we hold, and signals we ignore, as masks (proc_pid_status(5))."""
    with open("/proc/self/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status.read().splitlines())
    return int(fields[b"CapPrm"], 16), int(fields[b"SigIgn"], 16)


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        text = f"cannot start in {cwd!r} in the environment: {error.strerror}"
        raise CommandNotExecutable(text) from error


def _reset_signals(ignored: int) -> None:
    # Python ignores SIGPIPE, nohup SIGHUP, and a shell's "&" SIGINT: all of that is inherited.
    # Handlers are not: execve(2) itself resets those.
    for number in range(1, 65):
        if ignored >> (number - 1) & 1:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(plan: Plan, user: User) -> NoReturn:
    env = {"HOME": user.home, **dict(plan.env)}
    name = plan.argv[0]
    if "/" in name:
        candidates = [name]
    else:
        candidates = [f"{folder or '.'}/{name}" for folder in env.get("PATH", "").split(":")]
    refused: OSError | None = None
    for path in candidates:
        try:
            _not_ourselves(path)
            os.execve(path, plan.argv, env)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.exists(path):
                continue
            refused = refused or error
            if error.errno != errno.EACCES:
                break
    if refused is not None:
        raise _not_executable(name, refused)
    if "/" in name:
        raise CommandNotFound(f"{name}: no such file in the environment")
    raise CommandNotFound(f"{name}: command not found in the environment's PATH")


def _not_ourselves(path: str) -> None:
    # A file that leads to /proc/self/exe is the host's Python until exec has happened: the way
    # out of the container of CVE-2019-5736. One that a volume holds is not reached by such a link.
    ours = os.stat("/proc/self/exe")
    try:
        theirs = os.stat(path)
    except OSError:
        return
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        return
    try:
        resolve = syscalls.RESOLVE_NO_MAGICLINKS
        os.close(syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH, resolve))
    except OSError as error:
        raise PermissionError(errno.EPERM, "it leads out of the environment", path) from error


def _not_executable(name: str, error: OSError) -> CommandNotExecutable:
    path = os.fsdecode(error.filename or name)
    if os.path.isdir(path):
        return CommandNotExecutable(f"{name}: is a directory")
    if error.errno == errno.ENOENT:
        return CommandNotExecutable(
            f"{name}: {path} is there, but the interpreter or loader it names is not: "
            f"{_interpreter(path)}"
        )
    if error.errno == errno.ENOEXEC:
        return CommandNotExecutable(
            f"{name}: {path} is no program for this machine",
            hint="a script needs a first line like #!/bin/sh",
        )
    return CommandNotExecutable(f"{name}: {error.strerror}")


def _interpreter(path: str) -> str:
    """What a script's first line or an ELF file's PT_INTERP names (execve(2), elf(5))."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return "unreadable"
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        return os.fsdecode(words[0]) if words else "an empty first line"
    if head.startswith(b"\x7fELF\x02"):
        size, count = (int.from_bytes(head[at : at + 2], "little") for at in (54, 56))
        start = int.from_bytes(head[32:40], "little")
        for at in range(start, min(start + size * count, len(head)), size or 56):
            if int.from_bytes(head[at : at + 4], "little") == 3:
                offset = int.from_bytes(head[at + 8 : at + 16], "little")
                return os.fsdecode(head[offset:].split(b"\0", 1)[0])
    return "unknown"
