# SPDX-License-Identifier: Apache-2.0
"""Does independent pieces of work in forked processes: Python computes on one processor each.

For work that only reads. What a job finds travels back as JSON, a line each.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from envgit.errors import EnvgitError

Tick = Callable[[str, int, int], None]
"""Called with the kind of thing that is done, how many more of them, and how many bytes more."""

Job = Callable[[Tick], Iterable[Any]]
"""Yields what JSON can hold."""

_FEW_TICKS = 0.05
_CHUNK = 1 << 16


class WorkerLost(EnvgitError):
    """A process that did part of the work was killed, or met an error that is a bug."""


def processors() -> int:
    """How many processes can compute at once."""
    return len(os.sched_getaffinity(0))


def work(jobs: Sequence[Job], *, workers: int, tick: Tick) -> list[list[Any]]:
    """The results of each job, in the order of ``jobs``; those that come first begin first.

    With one worker (or one job) all happens here. Raises WorkerLost, and EnvgitError with what a
    job raised in a worker.
    """
    if workers <= 1 or len(jobs) <= 1:
        return [list(job(tick)) for job in jobs]
    results: list[list[Any]] = [[] for _ in jobs]
    source, sink = os.pipe()
    # A pipe holds 16,000 of these at least; whoever is idle reads the next.
    os.write(sink, b"".join(number.to_bytes(4, "little") for number in range(len(jobs))))
    os.close(sink)
    children: dict[int, int] = {}
    try:
        for _ in range(min(workers, len(jobs))):
            reader, pid = _start(jobs, source, list(children))
            children[reader] = pid
        os.close(source)
        source = -1
        _collect(children, results, tick)
    finally:
        if source >= 0:
            os.close(source)
        for reader, pid in children.items():
            os.close(reader)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return results


def _start(jobs: Sequence[Job], source: int, others: list[int]) -> tuple[int, int]:
    """Fork one worker: the reading end of what it has to say, and its process id."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    status = 1
    try:
        for fd in (reader, *others):
            os.close(fd)
        # The process ends soon, and looking for circles in what it reads is a third of its time.
        gc.disable()
        with open(writer, "w", encoding="ascii", buffering=_CHUNK) as stream:
            status = _serve(jobs, source, stream)
    finally:
        os._exit(status)


def _serve(jobs: Sequence[Job], source: int, stream: Any) -> int:
    import time

    waiting: dict[str, list[int]] = {}
    last = time.monotonic()

    def say(record: object) -> None:
        stream.write(json.dumps(record) + "\n")

    def tick(kind: str, count: int, size: int) -> None:
        nonlocal last
        sums = waiting.setdefault(kind, [0, 0])
        sums[0] += count
        sums[1] += size
        if time.monotonic() - last > _FEW_TICKS:
            last = time.monotonic()
            say(["tick", waiting])
            waiting.clear()
            stream.flush()

    while data := os.read(source, 4):
        number = int.from_bytes(data, "little")
        try:
            for item in jobs[number](tick):
                say(["found", number, item])
        except EnvgitError as error:
            say(["error", error.message])
            return 0
        except OSError as error:
            say(["error", f"{os.fsdecode(error.filename or '')}: {error.strerror}".lstrip(": ")])
            return 0
    say(["tick", waiting])
    say(["end"])
    return 0


def _collect(children: dict[int, int], results: list[list[Any]], tick: Tick) -> None:
    rest: dict[int, bytes] = dict.fromkeys(children, b"")
    ended: set[int] = set()
    with selectors.DefaultSelector() as selector:
        for reader in children:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fd)
                    if key.fd not in ended:
                        raise WorkerLost("a process that was checking was killed")
                    continue
                *lines, rest[key.fd] = (rest[key.fd] + data).split(b"\n")
                for line in lines:
                    kind, *values = json.loads(line)
                    if kind == "found":
                        results[values[0]].append(values[1])
                    elif kind == "tick":
                        for name, (count, size) in values[0].items():
                            tick(name, count, size)
                    elif kind == "error":
                        raise EnvgitError(values[0])
                    else:
                        ended.add(key.fd)
