# SPDX-License-Identifier: Apache-2.0
"""Write the file system of a commit to an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from envgit.errors import EnvgitError, UsageError
from envgit.layers.compression import compressed
from envgit.layers.ids import CommitId
from envgit.layers.tar import write
from envgit.porcelain.foundation.contents import contents
from envgit.porcelain.foundation.repository import Repository

Progress = Callable[[int, int], None]
"""The entries and the bytes written so far."""


class ExportError(EnvgitError):
    """The archive cannot be written."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The commit that was exported, and where to (``-`` for standard output)."""

    commit: CommitId
    file: str


def export(
    repository: Repository,
    dest: str,
    revision: str = "HEAD",
    *,
    stdout: BinaryIO | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Write the whole file system of ``revision`` to ``dest``: ``tar:FILE``, or ``tar:-``.

    The name says how it is compressed: ``.gz``/``.tgz``, ``.xz``/``.txz``, ``.zst``/``.tzst``.
    Equal states give equal archives. The file appears when it is whole. Raises ExportError.
    """
    kind, colon, file = dest.partition(":")
    if kind != "tar" or not colon or not file:
        raise UsageError(f"unknown destination '{dest}'", hint="write tar:FILE or tar:-")
    commit = repository.git.resolve(revision)
    with (
        repository.store.lock(exclusive=False, what="export", on_wait=repository.waiting),
        contents(repository, commit) as files,
        _destination(file, stdout) as stream,
        compressed(stream, file) as archive,
    ):
        write(archive, repository.git.rootfs(commit), files.open, progress=progress)
    return ExportResult(commit, file)


@contextmanager
def _destination(file: str, stdout: BinaryIO | None) -> Iterator[BinaryIO]:
    if file == "-":
        if stdout is None:
            raise ExportError("tar:- needs a standard output to write to")
        yield stdout
        return
    if os.path.lexists(file) and not os.path.isfile(file):
        with _opened(file, file) as stream:  # a pipe or a device: nothing to rename
            yield stream
        return
    part = f"{file}.{os.getpid()}.part"
    try:
        with _opened(part, file) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def _opened(path: str, name: str) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise ExportError(f"cannot write '{name}': {error.strerror}") from error
