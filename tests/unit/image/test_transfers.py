# SPDX-License-Identifier: Apache-2.0
"""Counting transfers, and doing several at once."""

from __future__ import annotations

import threading
import time

import pytest

from envgit.image.parallel import each
from envgit.image.progress import Progress


def test_totals_rates_and_what_has_to_go_again() -> None:
    now = 100.0
    progress = Progress(clock=lambda: now)
    first, second = progress.start("a", 1000), progress.start("b")
    assert (progress.snapshot().done, progress.snapshot().total) == (0, 1000)
    assert progress.snapshot().remaining is None
    now += 1
    first.advance(500)
    second.advance(50)
    shot = progress.snapshot()
    assert (shot.done, shot.total, shot.rate, shot.seconds) == (550, 1050, 550.0, 1.0)
    assert shot.remaining == pytest.approx(500 / 550)
    first.advance(-500)
    first.advance(1000)
    first.finish(size=1000)
    second.finish("already there")
    shot = progress.snapshot()
    assert (shot.done, shot.total, shot.finished) == (1050, 1050, 2)
    assert [transfer.note for transfer in shot.transfers] == ["", "already there"]
    now += 60
    assert progress.snapshot().rate == 0


def test_results_keep_their_order_and_threads_their_bound() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work(item: int, stop: threading.Event) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002 * (item % 3))
        with lock:
            running -= 1
        return item * 2

    assert each(work, range(40), most=4) == [item * 2 for item in range(40)]
    assert 1 < most <= 4
    assert each(work, [], most=4) == [] and each(work, [7], most=4) == [14]


def test_the_first_error_ends_all() -> None:
    begun: list[int] = []

    def work(item: int, stop: threading.Event) -> None:
        begun.append(item)
        if item == 2:
            raise KeyError(item)
        stop.wait(2)

    began = time.monotonic()
    with pytest.raises(KeyError):
        each(work, range(100), most=3)
    assert time.monotonic() - began < 1 and len(begun) <= 4
