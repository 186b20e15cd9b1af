# SPDX-License-Identifier: Apache-2.0
"""Holds every process of running environments still, so that what they write can be copied whole.

A helper process does the freezing and waits on a pipe; when its other end closes, it thaws. That
happens when the caller is done, raises, or is killed with SIGKILL: nothing stays frozen.

The processes are moved into a frozen cgroup for the time being, and back. There is no standing
cgroup for each run: moving a process into one costs 0.3 to 10 ms here (the kernel waits for an RCU
grace period), which every start would pay for the rare commit beside a running command, and one
more thing could be left behind by kill -9. Where no cgroup can be made (inside most containers)
SIGSTOP does it, which programs with job control can notice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn

from envgit.sandbox import syscalls
from envgit.sandbox.failure import SandboxError

_PATIENCE = 10.0  # seconds until we give up on a process in uninterruptible sleep
_PAUSE = 0.001


class NotFrozen(SandboxError):
    """Some process would not stop; all run on."""


@contextlib.contextmanager
def frozen(init_pids: Iterable[int]) -> Iterator[None]:
    """The body runs while all processes of the environments with these PIDs 1 stand still.

    Process ids are the host's; ones that have ended or are no PID 1 are passed over. Raises
    ``NotFrozen`` after ten seconds of trying, with everything running again.
    """
    inits = [pid for pid in init_pids if _is_init(pid)]
    if not inits:
        yield
        return
    ready_read, ready_write = os.pipe()
    release_read, release_write = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _helper(inits, ready_write, release_read)
        os.close(ready_write)
        ready_write = -1
        try:
            complaint = os.read(ready_read, 4096)
            if complaint != b"frozen":
                raise NotFrozen(complaint.decode() or "the process that freezes others was killed")
            yield
        finally:
            os.close(release_write)
            release_write = -1
            _, status = os.waitpid(pid, 0)
            if status != 0:
                _thaw_after(pid)
    finally:
        for fd in (ready_read, ready_write, release_read, release_write):
            if fd >= 0:
                os.close(fd)


def _helper(inits: list[int], ready: int, release: int) -> NoReturn:
    try:
        # Away from the terminal's Ctrl-C, and from the locks the caller holds.
        os.setsid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        syscalls.close_all_but((0, 1, 2, ready, release))
        with _method(inits):
            os.write(ready, b"frozen")
            os.read(release, 1)
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(ready, str(error).encode())
    finally:
        os._exit(1)


@contextlib.contextmanager
def _method(inits: list[int]) -> Iterator[None]:
    for hierarchy, name in hierarchies():
        group = _group(hierarchy, os.getpid())
        try:
            os.mkdir(group)
        except OSError:
            continue
        with _in_cgroup(inits, hierarchy, name, group):
            yield
        return
    with _stopped(inits):
        yield


def hierarchies() -> list[tuple[str, str]]:
    """Mount points of cgroup v2 and of v1's freezer, with the name each has in /proc/PID/cgroup."""
    unified: list[tuple[str, str]] = []
    legacy: list[tuple[str, str]] = []
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, path, fstype, options, *_ = line.split()
            if fstype == "cgroup2":
                unified.append((path, ""))
            elif fstype == "cgroup" and "freezer" in options.split(","):
                legacy.append((path, "freezer"))
    return unified + legacy


@contextlib.contextmanager
def _in_cgroup(inits: list[int], hierarchy: str, name: str, group: str) -> Iterator[None]:
    # Freezing comes first: a process then stops as it is moved in, before it can fork once more.
    # What was forked on the way in was born in the frozen group, and goes home with PID 1.
    homes: dict[int, str] = {}
    inside = group.removeprefix(hierarchy)
    try:
        _write(group, "freezer.state" if name else "cgroup.freeze", "FROZEN" if name else "1")
        while fresh := [pid for pid in _family(inits) if pid not in homes]:
            for pid in fresh:
                home = _cgroup_of(pid, name)
                homes[pid] = homes.get(inits[0], "/") if home == inside else home
                with contextlib.suppress(OSError):  # it has ended
                    _write(group, "cgroup.procs", str(pid))
        _await(group, name)
        yield
    finally:
        _dissolve(hierarchy, group, homes)


def _thaw_after(helper: int) -> None:
    """Thaws what a helper that was killed has left frozen."""
    for hierarchy, _ in hierarchies():
        group = _group(hierarchy, helper)
        if os.path.isdir(group):
            _dissolve(hierarchy, group, {})


def _group(hierarchy: str, helper: int) -> str:
    return os.path.join(hierarchy, f"envgit-freeze-{helper}")


def _dissolve(hierarchy: str, group: str, homes: dict[int, str]) -> None:
    # Moving a process out thaws it.
    until = time.monotonic() + _PATIENCE
    while (pids := _read(group, "cgroup.procs").split()) and time.monotonic() < until:
        for pid in map(int, pids):
            _bring_home(hierarchy, homes.get(pid, "/"), pid)
    os.rmdir(group)


def _bring_home(hierarchy: str, home: str, pid: int) -> None:
    for path in (hierarchy + home, hierarchy):
        try:
            _write(path, "cgroup.procs", str(pid))
        except ProcessLookupError:
            return  # it has ended
        except OSError:
            continue  # its old group is gone, or takes no processes any more
        return


def _await(group: str, name: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        if name and _read(group, "freezer.state").strip() == "FROZEN":
            return
        if not name and "frozen 1" in _read(group, "cgroup.events"):
            return
        if time.monotonic() > until:
            raise NotFrozen(
                "a process of the environment does not stop: it waits for a disk or the network"
            )
        time.sleep(_PAUSE)


def _cgroup_of(pid: int, name: str) -> str:
    try:
        lines = _read(f"/proc/{pid}", "cgroup").splitlines()
    except OSError:
        return "/"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if name == controllers or (name and name in controllers.split(",")):
            return path
    return "/"


@contextlib.contextmanager
def _stopped(inits: list[int]) -> Iterator[None]:
    stopped: list[int] = []
    until = time.monotonic() + _PATIENCE
    try:
        while moving := [pid for pid in _family(inits) if _state(pid) not in "TtZX"]:
            for pid in moving:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                if pid not in stopped:
                    stopped.append(pid)
            if time.monotonic() > until:
                raise NotFrozen("a process of the environment does not stop")
            time.sleep(_PAUSE)
        yield
    finally:
        # Children before parents, lest a shell wake up, find its job stopped, and say so.
        for pid in reversed(stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_init(pid: int) -> bool:
    try:
        status = _read(f"/proc/{pid}", "status") if pid > 0 else ""
    except OSError:
        return False
    return any(
        line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines()
    )


def _family(inits: list[int]) -> list[int]:
    """The processes and all their descendants, parents first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    family = [pid for pid in inits if _stat(pid)]
    for pid in family:
        family.extend(children.get(pid, ()))
    return family


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else "X"


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state, parent, ...) on; empty when it has ended."""
    try:
        return _read(f"/proc/{pid}", "stat").rpartition(")")[2].split()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return []


def _read(folder: str, name: str) -> str:
    with open(f"{folder}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _write(folder: str, name: str, text: str) -> None:
    with open(f"{folder}/{name}", "w") as file:
        file.write(text)
