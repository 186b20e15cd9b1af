# SPDX-License-Identifier: Apache-2.0
"""Several transfers at once, bounded: the first that fails ends all, and so does Ctrl-C."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Seconds that a thread in the middle of a read has to notice that all is over. After that it is
# left alone: it is a daemon and ends with the process.
_PATIENCE = 5.0


def each(
    work: Callable[[_Item, threading.Event], _Result], items: Iterable[_Item], *, most: int
) -> list[_Result]:
    """``work`` on every item with at most ``most`` threads; the results in the items' order.

    ``work`` is given an event that is set when another failed: it should then stop, however. Raises
    the first error that occurred; no item is begun after it.
    """
    todo = list(items)
    if len(todo) <= 1 or most <= 1:
        return [work(item, threading.Event()) for item in todo]
    stop = threading.Event()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, _Result | None, BaseException | None]] = queue.SimpleQueue()
    for index in range(len(todo)):
        waiting.put(index)

    def serve() -> None:
        while not stop.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, work(todo[index], stop), None))
            except BaseException as error:  # handed to the one who waits
                done.put((index, None, error))

    threads = [
        threading.Thread(target=serve, daemon=True, name=f"transfer-{number}")
        for number in range(min(most, len(todo)))
    ]
    for thread in threads:
        thread.start()
    results: dict[int, _Result] = {}
    try:
        while len(results) < len(todo):
            index, result, error = done.get()
            if error is not None:
                raise error
            results[index] = result  # type: ignore[assignment]
    finally:
        stop.set()
        for thread in threads:
            thread.join(_PATIENCE)
    return [results[index] for index in range(len(todo))]
