# SPDX-License-Identifier: Apache-2.0
"""The host's side of a run: starts PID 1, passes signals and terminal bytes, returns the outcome.

The process that calls ``run`` is left as it was: signal mask, terminal modes and the namespace of
its children are put back. Nothing of the run outlives it, not even when it is killed with SIGKILL:
PID 1 then dies, and the kernel kills everything in its namespace (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from envgit.sandbox import channel, child, seccomp, syscalls
from envgit.sandbox.failure import SandboxError, decode, explain
from envgit.sandbox.mounts import Filesystem
from envgit.sandbox.plan import Plan

if TYPE_CHECKING:
    from envgit.sandbox.terminal import Terminal

_FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGWINCH,
)
_SI_KERNEL = 0x80  # siginfo of a signal that a terminal's driver sent: sigaction(2)
_SIGINFO = 128  # bytes of a struct signalfd_siginfo: signalfd(2)


class Outcome(NamedTuple):
    """How the command ended. ``exit_code`` is its status, or 128 + ``signal`` if that killed it.

    ``created`` lists the mount points made in the environment, outermost first, as environment
    paths; the caller may remove those that are still empty.
    """

    exit_code: int
    signal: int | None
    created: tuple[bytes, ...]


def run(
    plan: Plan,
    *,
    on_mounted: Callable[[int, tuple[bytes, ...]], None] = lambda pid, created: None,
    inherit_fds: Collection[int] = (),
    warn: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Executes ``plan`` and waits for the command.

    ``on_mounted`` is called with the host's process id of PID 1 and the mount points made (as in
    ``Outcome.created``) once the root can be joined; when it raises,
    the run is killed and the exception passes through. ``inherit_fds`` stay open in
    PID 1, and in nothing else, until the environment has ended. ``warn`` is told, before the
    command starts, what protection is missing. Raises ``SandboxError`` and its subclasses.
    """
    programs = _filters(plan, warn)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_blocked_signals())
        status_read, status_write = stack.enter_context(_pipe())
        orders_read, orders_write = stack.enter_context(_pipe())
        terminal = stack.enter_context(_terminal(plan)) if plan.tty else None
        wiring = child.Wiring(
            status=status_write.number,
            orders=orders_read.number,
            terminal=terminal.master if terminal else -1,
            devpts=terminal.devpts if terminal else -1,
            kept=tuple(inherit_fds),
        )
        pid = _start(plan, wiring, programs)
        status_write.close()
        orders_read.close()
        watch = _Watch(pid, status_read.number, orders_write.number, on_mounted, terminal)
        try:
            watch.loop()
        finally:
            watch.end()
        return watch.outcome()


def _filters(plan: Plan, warn: Callable[[str], None]) -> tuple[bytes, ...]:
    if not plan.seccomp:
        return ()
    try:
        return seccomp.load(plan.capabilities, plan.seccomp_cache)
    except seccomp.Unavailable as error:
        warn(f"the command runs without a system call filter: {error}")
        return ()


def _terminal(plan: Plan) -> Terminal:
    from envgit.sandbox.terminal import Terminal  # termios: 0.4 ms that a pipe need not pay

    devpts = next(m for m in plan.mounts if isinstance(m, Filesystem) and m.fstype == "devpts")
    try:
        return Terminal(devpts, interactive=plan.interactive)
    except OSError as error:
        raise explain(error, "making a terminal") from error


class _End:
    """One end of a pipe, closed once."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        if self.number >= 0:
            os.close(self.number)
            self.number = -1


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[_End, _End]]:
    ends = tuple(_End(_above_standard(fd)) for fd in os.pipe())
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.close()


def _above_standard(fd: int) -> int:
    # With stdin closed on the host, a pipe would get number 0, which the command uses.
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_FORWARDED, signal.SIGTTOU))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(plan: Plan, wiring: child.Wiring, programs: tuple[bytes, ...]) -> int:
    ours = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        except OSError as error:
            raise explain(error, "making the namespaces") from error
        try:
            pid = os.fork()
            if pid == 0:
                child.main(plan, wiring, programs)
            return pid
        finally:
            # unshare(2) meant the children of this thread, and only one of them was meant.
            syscalls.setns(ours, syscalls.CLONE_NEWPID)
    finally:
        os.close(ours)


class _Watch:
    """The loop of the parent: messages from PID 1, signals from the host, bytes of the terminal."""

    def __init__(
        self,
        pid: int,
        status: int,
        orders: int,
        on_mounted: Callable[[int, tuple[bytes, ...]], None],
        terminal: Terminal | None,
    ) -> None:
        self._pid = pid
        self._inbox = channel.Inbox(status)
        self._orders = orders
        self._on_mounted = on_mounted
        self._terminal = terminal
        self._created: tuple[bytes, ...] = ()
        self._failure: SandboxError | None = None
        self._status: int | None = None

    def loop(self) -> None:
        signals = syscalls.signalfd(sum(1 << (number - 1) for number in _FORWARDED))
        try:
            while self._inbox.open:
                for fd, events in self._wait(signals):
                    if fd == signals:
                        self._forward(signals)
                    elif fd == self._inbox.fd:
                        for kind, payload in self._inbox.receive():
                            self._handle(kind, payload)
                    else:
                        self._move(fd, events)
        finally:
            os.close(signals)

    def end(self) -> None:
        """Makes sure that PID 1 is gone, whether it ended by itself or we gave up."""
        if self._inbox.open:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        if self._terminal:
            with contextlib.suppress(BrokenPipeError):
                self._terminal.drain()

    def _wait(self, signals: int) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        poll.register(self._inbox.fd, select.POLLIN)
        if self._terminal:
            for fd, events in self._terminal.interests().items():
                poll.register(fd, events)
        return poll.poll()

    def _move(self, fd: int, events: int) -> None:
        assert self._terminal is not None
        try:
            self._terminal.handle(fd, events)
        except BrokenPipeError:
            # Nobody looks any more: for the command, its terminal has been closed.
            channel.order(self._orders, signal.SIGHUP, group=True)

    def outcome(self) -> Outcome:
        if self._failure is not None:
            self._failure.created = self._failure.created or self._created
            raise self._failure
        if self._status is None:
            raise SandboxError(
                "the environment was killed from outside",
                hint="the kernel's log (dmesg) tells if memory ran out",
                created=self._created,
            )
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            return Outcome(128 + number, number, self._created)
        return Outcome(os.WEXITSTATUS(self._status), None, self._created)

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind == channel.MOUNTED:
            self._created = tuple(payload.split(b"\0")[:-1])
            self._on_mounted(self._pid, self._created)
        elif kind == channel.FAILED:
            self._failure = decode(payload)
        elif kind == channel.STOPPED:
            self._stop_too(payload[0])
        elif kind == channel.EXITED:
            self._status = int(payload)

    def _forward(self, signals: int) -> None:
        info = os.read(signals, _SIGINFO)
        number = int.from_bytes(info[:4], "little")
        code = int.from_bytes(info[8:12], "little")
        if number == signal.SIGWINCH and self._terminal:
            self._terminal.resize()
        else:
            channel.order(self._orders, number, group=code == _SI_KERNEL)

    def _stop_too(self, number: int) -> None:
        if number not in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            return
        if self._terminal:
            self._terminal.leave_raw()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTSTP,))
        os.kill(0, signal.SIGTSTP)  # and here we stand until the shell says fg
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTSTP,))
        if self._terminal:
            self._terminal.enter_raw()
            self._terminal.resize()
        channel.order(self._orders, signal.SIGCONT, group=True)
