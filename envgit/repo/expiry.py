# SPDX-License-Identifier: Apache-2.0
"""What reflogs and the operation log may forget: git-reflog(1) "expire", and its gc.reflogExpire.

Decided first, carried out later, so that ``gc`` can say beforehand what will become unreachable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.repo import reflog
from envgit.repo.operations import Operation, truncate
from envgit.repo.reachable import logs, refs
from envgit.repo.refnames import INTERNAL

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.reflog import ReflogEntry
    from envgit.repo.refs import RefUpdate
    from envgit.repo.repository import GitRepository


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since the epoch: entries before ``total`` go; before ``unreachable``, those that are
    not reachable from the ref's tip. None: never."""

    total: int | None
    unreachable: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """A reflog (``name`` in the folder ``place``) and the entries that stay, newest first."""

    place: str
    name: str
    kept: list[ReflogEntry]
    dropped: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """What goes: entries of reflogs and operations; ``update`` publishes the shorter operation log,
    whose commits are held by the writer."""

    logs: list[Log]
    operations: list[Operation]
    forgotten: int
    update: RefUpdate | None

    def entries(self) -> Iterator[ReflogEntry]:
        """Every reflog entry that stays."""
        for log in self.logs:
            yield from log.kept

    def instead(self) -> dict[str, str]:
        """The refs that move, and where to."""
        return {self.update.name: self.update.new or ""} if self.update is not None else {}


def plan(
    repository: GitRepository,
    writer: ObjectWriter,
    *,
    ages: Callable[[str], Ages],
    operations_before: int | None,
) -> Expiry:
    """Decide what goes. ``ages`` is asked for each ref with a log, ``operations_before`` (seconds
    since the epoch) goes for the operation log, whose newest entry stays in any case."""
    operations = list(repository.operations())
    update, forgotten = None, 0
    if operations_before is not None:
        update = truncate(repository, writer, operations_before)
        if update is not None:
            kept = _kept(operations, operations_before)
            forgotten = len(operations) - kept
            operations = operations[:kept]
    reach = _Reach(repository)
    found = [
        _shortened(place, name, entries, ages(name), reach)
        for place, name, entries in logs(repository.path)
    ]
    return Expiry(found, operations, forgotten, update)


def shortened(
    repository: GitRepository, ages: Callable[[str], Ages | None], *, rewrite: bool = False
) -> Iterator[tuple[Log, list[ReflogEntry]]]:
    """Each log that ``ages`` gives limits for, as it would become, and what it is; newest first.

    ``rewrite``: the old id of an entry counts as the new one of the entry kept before it.
    """
    reach = _Reach(repository)
    for place, name, entries in logs(repository.path):
        limits = ages(name)
        if limits is not None:
            yield _shortened(place, name, entries, limits, reach, rewrite=rewrite), entries


def carry_out(expiry: Expiry) -> None:
    """Rewrite the reflogs that lose entries; the operation log is the caller's to move."""
    for log in expiry.logs:
        if log.dropped:
            reflog.rewrite(log.place, log.name, log.kept)


def _kept(operations: list[Operation], before: int) -> int:
    """How many of the operations stay; truncate() cuts at the first that is too old."""
    for number, operation in enumerate(operations):
        if number and operation.time < before:
            return number
    return len(operations)


def _shortened(
    place: str,
    name: str,
    entries: list[ReflogEntry],
    ages: Ages,
    reach: _Reach,
    *,
    rewrite: bool = False,
) -> Log:
    kept: list[ReflogEntry] = []
    for entry in reversed(entries):
        last = kept[-1].new if kept else reflog.ZERO
        judged = replace(entry, old=last) if rewrite else entry
        if not _is_expired(place, name, judged, ages, reach):
            kept.append(entry)
    kept.reverse()
    return Log(place, name, kept, len(entries) - len(kept))


def _is_expired(place: str, name: str, entry: ReflogEntry, ages: Ages, reach: _Reach) -> bool:
    time = entry.who.time
    if ages.total is not None and time < ages.total:
        return True
    if ages.unreachable is None or time >= ages.unreachable:
        return False
    reached = reach.of(place, name)
    return any(
        oid != reflog.ZERO and oid not in reached and reach.is_commit(oid)
        for oid in (entry.old, entry.new)
    )


class _Reach:
    """The commits that a ref reaches; for HEAD, those that any ref does (git's builtin/reflog.c).

    What envgit keeps for itself does not count: the operation log mentions everything.
    """

    def __init__(self, repository: GitRepository) -> None:
        self._repository = repository
        self._refs: dict[str, str] | None = None
        self._found: dict[str, set[str]] = {}

    def of(self, place: str, name: str) -> set[str]:
        key = "HEAD" if name == "HEAD" else f"{place}\0{name}"
        if key not in self._found:
            self._found[key] = set(self._repository.walk(self._tips(place, name)))
        return self._found[key]

    def _tips(self, place: str, name: str) -> list[str]:
        if self._refs is None:
            self._refs = refs(self._repository.path)
        own = place.removeprefix(self._repository.path).lstrip("/")
        full = f"{own}/{name}" if own else name
        found = [
            oid
            for ref, oid in self._refs.items()
            if (name == "HEAD" and INTERNAL not in ref) or ref == full
        ]
        return [self._repository.peel(oid) for oid in found if self.is_commit(oid, tags=True)]

    def is_commit(self, oid: str, *, tags: bool = False) -> bool:
        """Whether the object is there and a commit (or with ``tags`` a tag)."""
        if not self._repository.exists(oid):
            return False
        kind = self._repository.read(oid)[0]
        return kind == "commit" or (tags and kind == "tag")
