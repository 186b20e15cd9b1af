# SPDX-License-Identifier: Apache-2.0
"""Which repositories use the store: garbage collection may only delete what none of them needs.

One file a repository, named after its path and its worktrees: a repository that is made where
another one was must not take over the claim of the other, whose folder may only have been renamed.
A repository whose folder cannot be found (moved, or on a disk that is not there now) keeps its
registration, with the time it was first missed, so that ``gc`` can wait before it takes that for
deleted. A worktree belongs to one repository, so that registering one that was moved ends what its
old path claims.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from envgit.fs import durable
from envgit.layers.ids import WorktreeId
from envgit.store.failures import StoreError, explained
from envgit.store.state import is_hex

if TYPE_CHECKING:
    from envgit.store.store import Store

FORMAT = 1


class RegistrationError(StoreError):
    """A registration cannot be read: nothing may be deleted until it can."""


class Registration(NamedTuple):
    """A repository (its ``.envgit``, absolute), its worktrees, and since when it is missing."""

    path: str
    worktrees: tuple[WorktreeId, ...]
    missing_since: int | None = None
    """Seconds since the epoch, or None while it is there."""


def register(store: Store, path: str, worktrees: Iterable[WorktreeId]) -> None:
    """Register the repository; what claimed one of its worktrees before is forgotten. Durable."""
    entry = _entry(path, worktrees)
    try:
        known = _read(_file(store, entry)) == entry
    except (FileNotFoundError, RegistrationError):
        known = False  # absent or damaged: written anew
    if not known:
        _write(store, entry)


def unregister(store: Store, path: str, worktrees: Iterable[WorktreeId]) -> None:
    """Forget the repository. Its layers go at the next ``gc``."""
    _delete(_file(store, _entry(path, worktrees)))


def repositories(store: Store) -> list[Registration]:
    """Every registration, sorted by path. Raises RegistrationError for one that is damaged."""
    found = []
    for file in _files(store):
        try:
            found.append(_read(file))
        except FileNotFoundError:
            continue
    return sorted(found)


def note_presence(store: Store, entry: Registration, *, present: bool, now: int) -> Registration:
    """Record whether the repository was found, and return the entry as it is now."""
    since = None if present else (entry.missing_since or now)
    if since == entry.missing_since:
        return entry
    entry = entry._replace(missing_since=since)
    _write(store, entry)
    return entry


def _files(store: Store) -> list[str]:
    folder = os.path.join(store.path, "repositories")
    with explained("read", folder):
        # Other names are temporary files that a crash left behind.
        return [os.path.join(folder, name) for name in os.listdir(folder) if is_hex(name, 32)]


def _entry(path: str, worktrees: Iterable[WorktreeId]) -> Registration:
    return Registration(os.path.abspath(path), tuple(sorted(set(worktrees))))


def _file(store: Store, entry: Registration) -> str:
    key = "\0".join((entry.path, *entry.worktrees))
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()
    return os.path.join(store.path, "repositories", digest[:32])


def _write(store: Store, entry: Registration) -> None:
    file = _file(store, entry)
    record = {
        "format": FORMAT,
        "path": entry.path,
        "worktrees": list(entry.worktrees),
        "missing_since": entry.missing_since,
    }
    with explained("register the repository", file):
        durable.write_file(file, (json.dumps(record, indent=1) + "\n").encode())
    for other in _files(store):
        try:
            superseded = other != file and set(_read(other).worktrees) & set(entry.worktrees)
        except (FileNotFoundError, RegistrationError):
            continue  # a damaged one is for `gc` to name
        if superseded:
            _delete(other)


def _delete(file: str) -> None:
    with explained("forget the repository", file):
        try:
            os.unlink(file)
        except FileNotFoundError:
            return
        durable.sync_directory(os.path.dirname(file))


def _read(file: str) -> Registration:
    with (
        explained("read the registration", file, or_missing=True),
        open(file, "rb") as stream,
    ):
        data = stream.read()
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(file, "it is not JSON") from None
    fault = _fault(record)
    if fault is not None:
        raise _damaged(file, fault)
    return Registration(record["path"], tuple(record["worktrees"]), record["missing_since"])


def _fault(record: object) -> str | None:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return f"it is not a registration of format {FORMAT}"
    path, names, since = (record.get(key) for key in ("path", "worktrees", "missing_since"))
    if not isinstance(path, str) or not path.startswith("/"):
        return "'path' is not an absolute path"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "'worktrees' is not a list of names"
    if since is not None and (not isinstance(since, int) or isinstance(since, bool)):
        return "'missing_since' is not a time"
    return None


def _damaged(file: str, fault: str) -> RegistrationError:
    return RegistrationError(
        f"the registration {file} is damaged: {fault}",
        hint="delete it, and run `envgit gc` first in the repository it belongs to, if that is "
        "still there",
    )
