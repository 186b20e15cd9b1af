# SPDX-License-Identifier: Apache-2.0
"""PID 1 of an environment: builds the mounts, starts the command, reaps, and passes signals on.

Runs in a forked child and never returns. The order of the steps is the security of the sandbox; it
is drawn in ``channel`` and argued in docs/design/sandbox.rst.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
from typing import NamedTuple, NoReturn

from envgit.sandbox import capabilities, channel, command, syscalls, users
from envgit.sandbox.failure import SandboxError, encode, explain
from envgit.sandbox.mounts import SAFE, Tree, new_filesystem
from envgit.sandbox.plan import Plan
from envgit.sandbox.roots import open_root
from envgit.sandbox.syscalls import AT_FDCWD, MNT_DETACH, MS_PRIVATE, MS_REC
from envgit.sandbox.targets import Targets

_NAME = b"envgit-init"


class Wiring(NamedTuple):
    """The descriptors a child inherits on purpose: all others are closed at once.

    ``terminal`` and ``devpts`` are -1 without a terminal. ``kept`` stay open in PID 1 (a lock that
    shall live as long as the environment), and only there.
    """

    status: int
    orders: int
    terminal: int
    devpts: int
    kept: tuple[int, ...]


def main(plan: Plan, wiring: Wiring, filters: tuple[bytes, ...]) -> NoReturn:
    """The life of PID 1. ``filters`` are the seccomp programs to install, in order."""
    gc.disable()  # a file object of the caller's that is collected here would close a number reused
    status = 1
    try:
        status = _life(plan, wiring, filters)
    except SandboxError as error:
        channel.send(wiring.status, channel.FAILED, encode(error))
    except BaseException as error:
        text = f"the sandbox failed: {type(error).__name__}: {error}"
        channel.send(wiring.status, channel.FAILED, encode(SandboxError(text)))
    finally:
        os._exit(status)


def _life(plan: Plan, wiring: Wiring, filters: tuple[bytes, ...]) -> int:
    _close_others(wiring)
    _die_with_parent(wiring.orders)
    _forget_command_line()
    os.setsid()
    targets = _build(plan, wiring)
    channel.send(wiring.status, channel.MOUNTED, b"".join(p + b"\0" for p in targets.created))
    user = users.find(plan.user, users.read("/etc/passwd"), users.read("/etc/group"))
    slave = _take_terminal(wiring.terminal, user.uid) if plan.tty else -1
    _install(filters)
    pid = os.fork()
    if pid == 0:
        command.main(plan, user, wiring.status, slave)
    _own_group(pid, slave)
    _let_go()
    return _reap(pid, wiring)


def _close_others(wiring: Wiring) -> None:
    for fd in (0, 1, 2):
        _fill(fd)
    # Not only hygiene: a lock of the caller's that stayed open here would stay locked.
    wanted = (wiring.status, wiring.orders, wiring.terminal, wiring.devpts, *wiring.kept)
    syscalls.close_all_but((0, 1, 2, *wanted))


def _fill(fd: int) -> None:
    try:
        os.fstat(fd)
    except OSError:
        os.open("/dev/null", os.O_RDWR)  # the lowest free number is this one


def _die_with_parent(orders: int) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(orders, 0)
    if poll.poll(0):  # POLLHUP: it died before prctl(2) took effect
        os._exit(1)
    # Not readable through /proc/1 by the command, which may have the same user id.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


def _forget_command_line() -> None:
    # /proc/1/cmdline is world-readable and /proc/1/environ holds what the host's user exported.
    syscalls.set_process_name(_NAME.decode())
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    # proc_pid_stat(5): fields 48 to 51, counted from 3 here.
    start, middle, _, end = (int(field) for field in fields[45:49])
    if len(_NAME) < middle - start - 1 < end - start:
        # Without its last NUL the kernel takes the line for one that a program has set: up to the
        # first NUL (fs/proc/base.c, get_mm_cmdline).
        syscalls.overwrite(start, _NAME.ljust(middle - start - 1, b"\0") + b".", end - start)


def _build(plan: Plan, wiring: Wiring) -> Targets:
    try:
        syscalls.unshare(plan.namespaces & ~syscalls.CLONE_NEWPID)
        syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
        with open("/proc/sys/kernel/hostname", "w") as hostname:
            hostname.write(plan.hostname)
        if plan.namespaces & syscalls.CLONE_NEWNET:
            syscalls.loopback_up()
    except OSError as error:
        raise explain(error, "making the namespaces") from error
    scratch = _scratch()
    root = open_root(plan.root, f"/proc/self/fd/{scratch}/empty")
    try:
        # On top of the old root, where no path leads: this process's "/" stays the old one.
        syscalls.move_mount(root, AT_FDCWD, "/")
    except OSError as error:
        raise explain(error, "mounting the environment") from error
    targets = Targets(root)
    tree = Tree(targets, scratch, wiring.terminal, wiring.devpts)
    for operation in plan.mounts:
        try:
            operation.execute(tree)
        except OSError as error:
            doing = f"mounting {' '.join(operation.describe().split())}"
            failure = explain(error, doing)
            failure.created = tuple(targets.created)
            raise failure from error
    _pivot(root)
    os.close(scratch)
    os.close(root)
    if wiring.devpts >= 0:
        os.close(wiring.devpts)
    return targets


def _scratch() -> int:
    try:
        mount = new_filesystem("tmpfs", (("mode", "0700"), ("size", "1m")), SAFE)
        syscalls.move_mount(mount, AT_FDCWD, "/")
        os.mkdir("empty", 0o755, dir_fd=mount)
        return mount
    except OSError as error:
        raise explain(error, "mounting a scratch tmpfs") from error


def _pivot(root: int) -> None:
    try:
        os.fchdir(root)
        # The old root lands on top of the new one, whence it is taken away: no directory for it
        # is needed in the environment (pivot_root(2), "pivot_root(\".\", \".\")").
        syscalls.pivot_root(".", ".")
        syscalls.umount2(".", MNT_DETACH)  # the scratch tmpfs on top of the old root
        syscalls.umount2(".", MNT_DETACH)  # the old root with everything beneath it
        os.chdir("/")
    except OSError as error:
        raise explain(error, "entering the environment") from error


def _take_terminal(terminal: int, uid: int) -> int:
    import fcntl
    import termios

    slave = os.open("/dev/pts/0", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, uid, -1)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    os.close(terminal)
    return slave


def _install(filters: tuple[bytes, ...]) -> None:
    # In PID 1, while it has CAP_SYS_ADMIN: no need for no_new_privs, which would break sudo and
    # ping inside; and PID 1 itself is confined as the command is.
    try:
        for program in filters:
            syscalls.set_seccomp_filter(program)
    except OSError as error:
        raise explain(error, "installing the system call filter") from error


def _own_group(pid: int, slave: int) -> None:
    # Both sides do this, so that it has happened for whichever goes on first (setpgid(2)).
    try:
        os.setpgid(pid, pid)
        if slave >= 0:
            os.tcsetpgrp(slave, pid)
    except OSError:
        pass  # it has executed its program, and did it itself before; or it is gone already


def _let_go() -> None:
    # The streams are the command's. Only the terminal does PID 1 keep: one that all programs have
    # let go of for a moment would be hung up.
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    # All that PID 1 still does with privilege is to signal processes of any user.
    kill = capabilities.mask(("KILL",))
    syscalls.capset(effective=kill, permitted=kill, inheritable=0)


def _reap(pid: int, wiring: Wiring) -> int:
    ignored = {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - ignored)
    signals = syscalls.signalfd(1 << (signal.SIGCHLD - 1))
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.register(wiring.orders, select.POLLIN)
    while True:
        status = _collect(pid, wiring.status)
        if status is not None:
            channel.send(wiring.status, channel.EXITED, str(status).encode())
            return 0
        for fd, _ in poll.poll():
            if fd == signals:
                os.read(signals, 128 * 8)
            elif not _obey(pid, wiring.orders):
                return 1


def _collect(pid: int, status_fd: int) -> int | None:
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return None
        if found == 0:
            return None
        if found != pid:
            continue
        if not os.WIFSTOPPED(status):
            return status
        channel.send(status_fd, channel.STOPPED, bytes((os.WSTOPSIG(status),)))


def _obey(pid: int, orders: int) -> bool:
    data = os.read(orders, 2)
    if len(data) < 2:
        return False
    number, group = data
    with contextlib.suppress(ProcessLookupError):  # about to be reaped
        os.kill(-pid if group else pid, number)
    return True
