# SPDX-License-Identifier: Apache-2.0
"""Shows on stderr how long work comes along, to a person only; the one place that imports rich."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from envgit.cli.app import App

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

# Work that is done sooner shows nothing; git waits as long (progress.c, start_delayed_progress).
_DELAY = 2.0


class _Meter:
    """Receives ``(phase, done, total, words)``: draws nothing before the delay is over.

    ``total`` 0 means that nobody knows; ``words`` say it in other units than the bar does.
    """

    def __init__(self, delay: float) -> None:
        self._since = time.monotonic()
        self._delay = delay
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int = 0, total: int = 0, words: str = "") -> None:
        if self._progress is None:
            if time.monotonic() - self._since < self._delay:
                return
            self._progress = _bars()
            self._progress.start()
        task = self._tasks.get(phase)
        if task is None:
            for other in self._tasks.values():
                self._progress.stop_task(other)
            task = self._tasks[phase] = self._progress.add_task(phase, total=total or None)
        shown = f"{phase} {words}" if words else phase
        self._progress.update(task, completed=done, total=total or None, description=shown)

    def stop(self) -> None:
        """Leave the terminal clean."""
        if self._progress is not None:
            self._progress.stop()


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def progress(
    app: App, *, quiet: bool = False, delay: float = _DELAY
) -> Iterator[Callable[..., None] | None]:
    """Offer a function ``(phase, done, total)`` to report progress to; None when nobody looks."""
    if quiet or not app.out.stderr_is_terminal:
        yield None
        return
    meter = _Meter(delay)
    try:
        yield meter
    finally:
        meter.stop()
