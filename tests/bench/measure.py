# SPDX-License-Identifier: Apache-2.0
"""Times whole processes in turn, so that a busy minute hurts every competitor alike.

A race has competitors. A round prepares, times and tidies up after each of them; the first round
warms up and is dropped. What is reported is the median with the least and the most.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# A step slower than this many seconds is repeated three times, not as often as asked for.
SLOW = 4.0


class Failed(Exception):
    """A timed command ended with an error; the message is what it said last."""


@dataclass(frozen=True)
class Command:
    """A process to time, in this environment if no other is given.

    ``enter`` is called in the child before the program starts.
    """

    argv: Sequence[str]
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    enter: Callable[[], None] | None = None
    statuses: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Competitor:
    """One of those who do the same thing.

    ``command`` is given the number of the round; ``before`` and ``after`` are not timed. With
    ``own_clock`` it is a function instead that returns its milliseconds itself.
    """

    name: str
    command: Callable[[int], Command] | None = None
    before: Callable[[int], None] = lambda _: None
    after: Callable[[int], None] = lambda _: None
    own_clock: Callable[[int], float] | None = None


@dataclass
class Sample:
    """Milliseconds of each round, and the largest resident memory seen, in MiB."""

    times: list[float] = field(default_factory=list)
    memory: float = 0.0
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.times) if self.times else float("nan")

    def __str__(self) -> str:
        if self.failure:
            return f"failed: {self.failure}"
        low, high = milliseconds(min(self.times)), milliseconds(max(self.times))
        return f"{milliseconds(self.median)} ({low}..{high}, n={len(self.times)})"


def milliseconds(value: float) -> str:
    """A number of milliseconds with no more digits than mean something."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def timed(command: Command) -> tuple[float, float]:
    """Run a command: milliseconds from start to end, and its largest resident memory in MiB.

    Raises `Failed`. The memory is that of the process or of the largest of its children.
    """
    with tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command.argv),
            cwd=command.cwd,
            env=dict(command.env) if command.env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=command.enter,
        )
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = (time.perf_counter() - started) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        said = stderr.read().decode(errors="replace").strip()
    if process.returncode not in command.statuses:
        last = said.splitlines()[-1] if said else "no word"
        raise Failed(f"{' '.join(command.argv)[:60]}: {process.returncode}: {last[:200]}")
    return elapsed, usage.ru_maxrss / 1024


def race(
    competitors: Sequence[Competitor], repeat: int, *, sync: bool = False
) -> dict[str, Sample]:
    """Time the competitors in turn, ``repeat`` rounds after one to warm up.

    With ``sync`` all disks are flushed before each clock starts. One that fails is dropped.
    """
    samples = {competitor.name: Sample() for competitor in competitors}
    rounds = dict.fromkeys(samples, repeat)
    for number in range(repeat + 1):
        for competitor in competitors:
            sample = samples[competitor.name]
            if sample.failure or number > rounds[competitor.name]:
                continue
            try:
                took, memory = _once(competitor, number, sync=sync)
            except (Failed, OSError, subprocess.SubprocessError) as problem:
                sample.failure = str(problem)
                say(f"{competitor.name} failed: {problem}")
                continue
            sample.memory = max(sample.memory, memory)
            if number > 0:
                sample.times.append(took)
            elif took > SLOW * 1000:
                rounds[competitor.name] = min(3, repeat)
    for name, sample in samples.items():
        say(f"  {name}: {sample}")
    return samples


def _once(competitor: Competitor, number: int, *, sync: bool) -> tuple[float, float]:
    competitor.before(number)
    try:
        if sync:
            os.sync()
        if competitor.own_clock is not None:
            return competitor.own_clock(number), 0.0
        assert competitor.command is not None
        return timed(competitor.command(number))
    finally:
        competitor.after(number)
