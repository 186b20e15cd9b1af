# SPDX-License-Identifier: Apache-2.0
"""Runs beside this process, each in a forked worker, since a run takes a process for itself.

A worker dies with the process that started it, and what it runs dies with the worker. It says how
it ended as JSON on a pipe, whose end without a word means that it was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, NoReturn

from envgit.sandbox import syscalls, view
from envgit.sandbox.failure import CommandNotExecutable, CommandNotFound, SandboxError, explain
from envgit.sandbox.plan import Plan
from envgit.sandbox.roots import Root, open_root
from envgit.sandbox.supervisor import run
from envgit.sandbox.syscalls import AT_FDCWD, MS_PRIVATE, MS_REC

Task = Callable[[], "Ended"]

_PATIENCE = 2.0
"""Seconds that a command which was told to end has for it."""

_LONGEST = 86400.0
"""Seconds of one poll(2), whose milliseconds are an int; then it is called again."""


class Ended(NamedTuple):
    """How a worker's command ended: its status as a shell gives it, the signal if one ended it,
    what went wrong before it could run, in words. ``seconds`` is how long it took; ``killed`` that
    we ended it, because its time was up."""

    exit_code: int
    signal: int | None = None
    error: str | None = None
    seconds: float = 0.0
    killed: bool = False


class Worker:
    """A run under way. ``output`` is the descriptor that gets stdout and stderr, -1 for our own."""

    def __init__(self, task: Task, *, output: int = -1, own_group: bool) -> None:
        self._own_group = own_group
        self._data = b""
        self.fd, write = os.pipe()
        self.started = time.monotonic()
        starter = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.fd)
            _work(task, write, output, starter, own_group=own_group)
        os.close(write)
        self._killed = False

    @property
    def killed(self) -> bool:
        """Whether we told it to end."""
        return self._killed

    def receive(self) -> bool:
        """Read what it says, blocking; whether that was all."""
        chunk = os.read(self.fd, 65536)
        self._data += chunk
        return not chunk

    def end(self, *, gently: bool) -> None:
        """Tell the command to end, or the kernel to end it with all that it started."""
        self._killed = True
        number = signal.SIGTERM if gently else signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self._own_group else os.kill)(self._pid, number)

    def outcome(self) -> Ended:
        """How it ended, once ``receive`` said that it did."""
        seconds = time.monotonic() - self.started
        os.waitpid(self._pid, 0)
        os.close(self.fd)
        if self._own_group:  # what the command left behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
        if not self._data:
            error = None if self._killed else "the environment was killed from outside"
            return Ended(125, None, error, seconds, self._killed)
        return Ended(*json.loads(self._data))._replace(seconds=seconds, killed=self._killed)


def wait(workers: Sequence[Worker], timeout: float | None) -> list[Ended]:
    """Wait for all; each that takes longer than ``timeout`` seconds is ended.

    When we are interrupted, all are ended before that goes its way.
    """
    try:
        _until(workers, timeout)
    except BaseException:
        stop(workers)
        raise
    return [worker.outcome() for worker in workers]


def stop(workers: Sequence[Worker]) -> None:
    """End all, gently at first, and wait until they are gone."""
    for worker in workers:
        worker.end(gently=True)
        worker.started = time.monotonic()  # its patience counts from now
    _until(workers, _PATIENCE)
    for worker in workers:
        worker.outcome()


def _until(workers: Sequence[Worker], timeout: float | None) -> None:
    open_ones = {worker.fd: worker for worker in workers}
    while open_ones:
        poll = select.poll()
        for fd in open_ones:
            poll.register(fd, select.POLLIN)
        wait_for = None
        if timeout is not None:
            first = min(worker.started for worker in open_ones.values())
            left = max(0.0, first + timeout - time.monotonic())
            wait_for = min(left, _LONGEST) * 1000 + 1
        ready = {fd for fd, _ in poll.poll(wait_for)}
        for fd, worker in list(open_ones.items()):
            if fd in ready:
                if worker.receive():
                    del open_ones[fd]
            elif timeout is not None and time.monotonic() - worker.started >= timeout:
                worker.end(gently=False)


def _work(task: Task, write: int, output: int, starter: int, *, own_group: bool) -> NoReturn:
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != starter:  # it died before prctl(2) took effect
            os._exit(0)
        # The one who started us hears Ctrl-C, and tells us if we are to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if own_group:
            os.setpgid(0, 0)
        if output >= 0:
            os.dup2(output, 1)
            os.dup2(output, 2)
        try:
            ended = task()
        except (CommandNotFound, CommandNotExecutable) as error:
            # What a shell says, where a shell says it.
            os.write(2, f"{error.message}\n".encode("utf-8", "surrogateescape"))
            ended = Ended(error.exit_code)
        except SandboxError as error:
            hint = f"\n{error.hint}" if error.hint else ""
            ended = Ended(125, None, error.message + hint)
        except BaseException as error:
            ended = Ended(125, None, f"{type(error).__name__}: {error}")
        with contextlib.suppress(BrokenPipeError):
            os.write(write, json.dumps(ended).encode())
    finally:
        os._exit(0)


def inside(plan: Plan, on_mounted: Callable[[int], None], inherit_fds: Collection[int]) -> Task:
    """The task of running ``plan``."""

    def task() -> Ended:
        outcome = run(
            plan, on_mounted=lambda pid, _: on_mounted(pid), inherit_fds=tuple(inherit_fds)
        )
        return Ended(outcome.exit_code, outcome.signal)

    return task


def on_host(root: Root, place: str, argv: Sequence[str], environ: Mapping[str, str]) -> Task:
    """The task of running ``argv`` on the host with ``root`` mounted at ``place``, an empty
    directory, for that command alone to see."""

    def task() -> Ended:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
        except OSError as error:
            raise explain(error, "making a mount namespace") from error
        with view.scratch_directory() as empty:
            mount = open_root(root, empty, nosuid=True)
            try:
                syscalls.move_mount(mount, AT_FDCWD, place)
            except OSError as error:
                raise explain(error, f"mounting at {place}") from error
        return _run_here(argv, environ)

    return task


def _run_here(argv: Sequence[str], environ: Mapping[str, str]) -> Ended:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = subprocess.run(
            list(argv),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            check=False,
            preexec_fn=_die_with_worker,
        ).returncode
    except FileNotFoundError as error:
        raise CommandNotFound(f"{argv[0]}: command not found") from error
    except OSError as error:
        raise CommandNotExecutable(f"{argv[0]}: {error.strerror}") from error
    return Ended(code) if code >= 0 else Ended(128 - code, -code)


def _die_with_worker() -> None:
    # What the command itself has started is in the group that ``outcome`` kills; should we be
    # killed, it is on its own, for it is a process of the host.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
