# SPDX-License-Identifier: Apache-2.0
"""Reads and appends reflogs in git's format, so that ``git reflog`` shows what envgit did.

One line an entry: ``<old> <new> <signature>\\t<message>``. Reflogs are not synced, as in git: they
are a convenience, and what undo needs is in the operation log, which is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from envgit.fs import durable
from envgit.repo.signature import Signature

ZERO = "0" * 40


@dataclass(frozen=True, slots=True)
class ReflogEntry:
    """One move of a ref. ``old`` and ``new`` are object ids; ZERO stands for "did not exist"."""

    old: str
    new: str
    who: Signature
    message: str

    def encode(self) -> bytes:
        """The line, with its newline; whitespace in the message is squeezed as git does."""
        message = " ".join(self.message.split()).encode("utf-8", "surrogateescape")
        tail = b"\t" + message if message else b""
        return f"{self.old} {self.new} ".encode() + self.who.encode() + tail + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> ReflogEntry | None:
        """Read one line; None for one that is no entry (git skips those as well)."""
        head, _, message = line.partition(b"\t")
        old, _, rest = head.partition(b" ")
        new, _, who = rest.partition(b" ")
        if len(old) != 40 or len(new) != 40 or b">" not in who:
            return None
        return cls(
            old.decode("ascii", "replace"),
            new.decode("ascii", "replace"),
            Signature.parse(who),
            message.decode("utf-8", "surrogateescape"),
        )


def path(repository: str, name: str) -> str:
    """Where the reflog of a ref is."""
    return os.path.join(repository, "logs", name)


def read(repository: str, name: str) -> list[ReflogEntry]:
    """The entries of a ref's log, newest first; none when it has no log."""
    try:
        with open(path(repository, name), "rb") as file:
            lines = file.read().split(b"\n")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return []
    entries = [entry for line in reversed(lines) if (entry := ReflogEntry.parse(line))]
    return entries


def append(repository: str, name: str, entry: ReflogEntry) -> None:
    """Add an entry, unless the last one is the same: a journal that is replayed adds none."""
    file_name = path(repository, name)
    line = entry.encode()
    try:
        fd = _open(file_name)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(file_name), exist_ok=True)
        fd = _open(file_name)
    except IsADirectoryError:
        _remove_empty(file_name)
        fd = _open(file_name)
    try:
        size = os.fstat(fd).st_size
        tail = os.pread(fd, len(line) + 1, max(0, size - len(line) - 1))
        if tail[-len(line) :] == line and (len(tail) == len(line) or tail[:1] == b"\n"):
            return
        if tail and not tail.endswith(b"\n"):
            line = b"\n" + line  # a line that a crash cut off stays alone in its line
        os.write(fd, line)
    finally:
        os.close(fd)


def remove(repository: str, name: str) -> None:
    """Remove a ref's log, as git does when it deletes the ref."""
    file_name = path(repository, name)
    with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
        os.unlink(file_name)
    prune_parents(file_name, os.path.join(repository, "logs", "refs"))


def rewrite(repository: str, name: str, entries: Iterable[ReflogEntry]) -> None:
    """Replace a ref's log by ``entries``, newest first (for expiry)."""
    data = b"".join([entry.encode() for entry in entries][::-1])
    durable.write_file(path(repository, name), data)


def names(repository: str) -> list[str]:
    """The refs that have a log, HEAD first."""
    root = os.path.join(repository, "logs")
    found = [
        os.path.relpath(os.path.join(folder, file), root)
        for folder, _, files in os.walk(root)
        for file in files
    ]
    return sorted(found, key=lambda name: (name != "HEAD", name))


def _open(file_name: str) -> int:
    return os.open(file_name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _remove_empty(folder: str) -> None:
    """Remove a directory tree that holds no file (left over by deleted refs)."""
    for here, _, _ in os.walk(folder, topdown=False):
        os.rmdir(here)


def prune_parents(file_name: str, stop: str) -> None:
    """Remove directories that became empty, below ``refs/heads`` and its like."""
    folder = os.path.dirname(file_name)
    while os.path.dirname(folder) != stop and folder.startswith(stop + os.sep):
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)
