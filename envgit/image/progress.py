# SPDX-License-Identifier: Apache-2.0
"""How far transfers are: counted by many threads, looked at by whoever draws.

Nothing is printed here. The one who draws asks for a `Snapshot` a few times a second.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

_WINDOW = 5.0  # seconds that a rate is measured over


@dataclass(frozen=True, slots=True)
class Transfer:
    """One blob: ``done`` of ``total`` bytes (-1: not known). ``note`` says what became of it."""

    label: str
    total: int
    done: int = 0
    finished: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; ``rate`` in bytes a second, over the last seconds."""

    transfers: tuple[Transfer, ...]
    rate: float
    seconds: float

    @property
    def done(self) -> int:
        """Bytes that went over the network, without those that had to go twice."""
        return sum(transfer.done for transfer in self.transfers)

    @property
    def total(self) -> int:
        """Bytes that will have, as far as sizes are known."""
        return sum(max(transfer.total, transfer.done) for transfer in self.transfers)

    @property
    def finished(self) -> int:
        """How many transfers are done with."""
        return sum(transfer.finished for transfer in self.transfers)

    @property
    def remaining(self) -> float | None:
        """Seconds that are left at this rate; None when nothing moves."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class Progress:
    """Counts the transfers of one command. May be used by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._transfers: dict[int, Transfer] = {}
        self._began = clock()
        self._done = 0
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])

    def start(self, label: str, total: int = -1) -> Item:
        """Announce a transfer; the item counts it."""
        with self._lock:
            key = len(self._transfers)
            self._transfers[key] = Transfer(label, total)
        return Item(self, key)

    def snapshot(self) -> Snapshot:
        """How things stand now."""
        with self._lock:
            now = self._clock()
            self._sample(now)
            since, before = self._samples[0]
            rate = (self._done - before) / (now - since) if now > since else 0.0
            return Snapshot(
                tuple(self._transfers.values()), max(rate, 0.0), max(now - self._began, 0.0)
            )

    # -- by items ------------------------------------------------------------------------------

    def _advance(self, key: int, count: int) -> None:
        with self._lock:
            transfer = self._transfers[key]
            self._transfers[key] = replace(transfer, done=max(transfer.done + count, 0))
            self._done += count
            self._sample(self._clock())

    def _finish(self, key: int, note: str, size: int | None) -> None:
        with self._lock:
            transfer = self._transfers[key]
            total = transfer.done if size is None else size
            self._transfers[key] = replace(transfer, total=total, finished=True, note=note)

    def _sample(self, now: float) -> None:
        if now - self._samples[-1][0] >= 0.1:
            self._samples.append((now, self._done))
        while len(self._samples) > 1 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()


class Item:
    """One transfer's counter."""

    def __init__(self, progress: Progress, key: int) -> None:
        self._progress = progress
        self._key = key

    def advance(self, count: int) -> None:
        """So many bytes more; less than 0 for such as have to go again."""
        self._progress._advance(self._key, count)

    def finish(self, note: str = "", *, size: int | None = None) -> None:
        """It is done: ``note`` says how if nothing had to go ("already there", "mounted").

        ``size`` is its size if it was moved in full; by default what was counted.
        """
        self._progress._finish(self._key, note, size)
