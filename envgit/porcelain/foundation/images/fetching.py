# SPDX-License-Identifier: Apache-2.0
"""Layers of a distant image, several at once, ahead of whoever unpacks them.

Each is completed in a file of its own, which is resumed where the network fails and verified before
it counts; it is deleted as soon as it was used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Protocol, Self, runtime_checkable

from envgit.image.descriptors import Descriptor


@runtime_checkable
class Fetcher(Protocol):
    """A source that can complete a file, safe for several threads."""

    def save(self, descriptor: Descriptor, file: BinaryIO) -> None: ...


class _Stopped(Exception):
    """Nobody wants the rest any more."""


class Ahead:
    """Fetches ``layers`` in their order, ``most`` at a time, into the directory ``scratch``.

    A context manager: leaving it ends what is still under way. Layers that occur twice are fetched
    once.
    """

    def __init__(
        self, source: Fetcher, layers: Sequence[Descriptor], scratch: str, *, most: int
    ) -> None:
        self._source = source
        self._scratch = scratch
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max(most, 1), "envgit-fetch")
        self._uses: dict[str, int] = {}
        for layer in layers:
            self._uses[layer.digest] = self._uses.get(layer.digest, 0) + 1
        self._coming: dict[str, Future[str]] = {}
        for layer in layers:
            if layer.digest not in self._coming:
                self._coming[layer.digest] = self._pool.submit(self._fetch, layer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _fetch(self, layer: Descriptor) -> str:
        path = os.path.join(self._scratch, layer.digest.replace(":", "-"))
        with open(path, "x+b") as file:
            self._source.save(layer, _Stoppable(file, self._stop))  # type: ignore[arg-type]
        return path

    @contextmanager
    def blob(self, layer: Descriptor) -> Iterator[BinaryIO]:
        """A layer, when it is here. Raises what went wrong when it was fetched."""
        path = self._coming[layer.digest].result()
        with open(path, "rb") as file:
            yield file
        self._uses[layer.digest] -= 1
        if not self._uses[layer.digest]:
            os.unlink(path)


class _Stoppable:
    """A file that takes no more once it is to stop."""

    def __init__(self, file: BinaryIO, stop: threading.Event) -> None:
        self._file = file
        self._stop = stop

    def write(self, data: bytes) -> int:
        if self._stop.is_set():
            raise _Stopped
        return self._file.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)
