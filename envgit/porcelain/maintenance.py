# SPDX-License-Identifier: Apache-2.0
"""Clean up: expire what undo no longer needs, delete what nothing refers to, pack the rest.

First all of it is decided, and the new packs are written under names that nobody reads: so what it
will free is known to the byte before anything goes. Then it is carried out.
"""

from __future__ import annotations

import errno
import fnmatch
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.config_syntax import parse_age
from envgit.errors import EnvgitError
from envgit.fs import durable
from envgit.layers.ids import ChangesId, CommitId, LayerId, WorktreeId
from envgit.porcelain.foundation import linking
from envgit.porcelain.foundation.occupants import host_mounts
from envgit.porcelain.foundation.relocate import uses
from envgit.porcelain.foundation.repository import Repository
from envgit.repo import expiry, reachable
from envgit.repo.dates import parse_date
from envgit.repo.refnames import LINKED
from envgit.repo.repository import GitRepository
from envgit.store import sweep
from envgit.store.registry import Registration, note_presence
from envgit.store.usage import Meter, Usage
from envgit.store.worktree import Worktree

if TYPE_CHECKING:
    from envgit.repo.expiry import Expiry
    from envgit.repo.maintenance import Repack, Repacked
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.operations import Operation
    from envgit.settings import Settings
    from envgit.store.locks import Held
    from envgit.store.store import Store

NEVER = math.inf
_END_OF_TIME = 1 << 62


@dataclass(frozen=True, slots=True)
class Freed:
    """Bytes on disk that are given back, by where they were. ``remains`` is what crashes and
    deleted worktrees left in the store, ``objects`` git's packs and loose objects (what the new
    packs take is subtracted), ``refs`` refs and reflogs."""

    layers: int = 0
    spans: int = 0
    changes: int = 0
    remains: int = 0
    objects: int = 0
    refs: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was deleted (or with ``dry_run`` would be).

    ``predicted`` was known before anything was deleted; ``freed`` was counted while it was (None
    with ``dry_run``). ``frees`` is the part of the prediction that lies in the store. ``expired``
    counts operations that left the log, ``entries`` those of reflogs; ``kept_for`` names
    repositories that cannot be found where they were, and whose layers are therefore all kept.
    """

    dry_run: bool
    expired: int
    entries: int
    layers: int
    spans: int
    changes: int
    frees: Usage
    predicted: Freed
    freed: int | None
    packed: Repacked | None
    kept_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Needed:
    """What the repositories of a store still need."""

    layers: set[LayerId]
    changes: set[ChangesId]
    commits: set[CommitId]
    worktrees: set[WorktreeId]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ages:
    """Moments in seconds since the epoch before which things go; None: never. ``by_ref`` is for
    reflogs, and says what ``--expire`` or the settings do."""

    operations: int | None
    by_ref: Callable[[str], expiry.Ages]
    objects: int | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that is going to happen."""

    expired: Expiry
    writer: ObjectWriter
    sweep: sweep.Sweep
    missing: tuple[str, ...]
    repack: Repack | None


def gc(
    repository: Repository,
    *,
    dry_run: bool = False,
    expire: int | None = None,
    prune: float | None = None,
    pack: bool = True,
    aggressive: bool = False,
    announce: Callable[[GcResult], None] | None = None,
) -> GcResult:
    """Collect garbage in the repository and in its store.

    Operations older than ``gc.reflogExpire`` leave the log, and entries of reflogs as git's do;
    ``expire`` is an age in seconds for both. What neither the log, a ref, a reflog, a worktree of
    any registered repository nor anything that runs leads to is deleted; unreachable git objects
    once they are older than ``gc.pruneExpire`` (``prune``: an age in seconds, NEVER; by default
    ``expire`` if that is given). ``aggressive`` packs anew even when nothing changed since the last
    time. ``announce`` is told what will happen before it does; ``dry_run`` changes nothing.
    """
    now = int(time.time())
    ages = _ages(repository, now, expire, prune)
    store, worktree = repository.store, repository.worktree
    with (
        store.lock(exclusive=not dry_run, what="gc", on_wait=repository.waiting) as lock,
        worktree.lock(what="gc", on_wait=repository.waiting),
    ):
        if not dry_run:
            repository.recover()
        options = {"pack": pack, "always": aggressive}
        try:
            with _planned(repository, now, ages, dry_run=dry_run, **options) as plan:
                result = _result(repository, plan)
                if dry_run:
                    return result
                if announce is not None:
                    announce(result)
                return replace(result, dry_run=False, freed=_carry_out(repository, plan, lock))
        except OSError as error:
            if dry_run or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        return _in_no_room(repository, now, ages, lock, announce, **options)


def is_due(repository: Repository) -> bool:
    """Whether ``gc --auto`` has something to do: git's gc.auto and gc.autoPackLimit, and whether
    anything lies in the store's trash."""
    from envgit.repo.maintenance import count

    settings = repository.settings
    limit, packs = settings.get_int("gc.auto"), settings.get_int("gc.autoPackLimit")
    if limit <= 0:
        return False
    found = count(repository.git)
    return found.count > limit or (0 < packs < found.packs) or bool(repository.store.names("trash"))


def parse_expiry(text: str) -> float:
    """An age in seconds from what git takes for an expiry date: an age, ``now``, ``never`` (NEVER),
    or an exact date. Raises EnvgitError."""
    with suppress(ValueError):
        age = parse_age(text)
        return NEVER if age is None else age
    try:
        return max(0, int(time.time()) - parse_date(text)[0])
    except ValueError:
        raise EnvgitError(
            f"malformed expiration date '{text}'", hint="write '30 days', 'now' or 2026-01-31"
        ) from None


def _in_no_room(
    repository: Repository,
    now: int,
    ages: _Ages,
    lock: Held,
    announce: Callable[[GcResult], None] | None,
    *,
    pack: bool,
    always: bool,
) -> GcResult:
    """On a full disk: make room before anything is written, a little at a time."""
    with _planned(repository, now, ages, dry_run=True, pack=pack, always=always) as plan:
        result = _result(repository, plan)
    if announce is not None:
        announce(result)
    # Forgetting takes a little room: first what nothing has to be written for.
    keep = _Ages(None, lambda _: expiry.Ages(None, None), None)
    with _planned(repository, now, keep, dry_run=True, pack=False, always=False) as plan:
        freed = sweep.execute(repository.store, plan.sweep, lock)
    repository.recover()
    with _planned(repository, now, ages, dry_run=False, pack=False, always=False) as plan:
        plan.writer.flush()
        freed += _carry_out(repository, plan, lock)
    with _planned(repository, now, ages, dry_run=False, pack=pack, always=always) as plan:
        freed += _carry_out(repository, plan, lock)
    return replace(result, dry_run=False, freed=freed)


def _ages(repository: Repository, now: int, expire: int | None, prune: float | None) -> _Ages:
    settings = repository.settings

    def moment(age: float | None) -> int | None:
        if age is None or age == NEVER:
            return None
        # As git's "now": all that was done in the past, of this second, too (date.c).
        return now - int(age) if age > 0 else _END_OF_TIME

    if prune is None:
        prune = expire if expire is not None else settings.get_expiry("gc.pruneExpire")
    if expire is not None:
        both = moment(expire)
        return _Ages(both, lambda _: expiry.Ages(both, both), moment(prune))

    def by_ref(ref: str) -> expiry.Ages:
        pattern = _pattern_for(repository, ref)
        if pattern is None and ref == "refs/stash":
            return expiry.Ages(None, None)
        total = _own(settings, pattern, "reflogExpire", settings.get_expiry("gc.reflogExpire"))
        default = settings.get_expiry("gc.reflogExpireUnreachable")
        unreachable = _own(settings, pattern, "reflogExpireUnreachable", default)
        return expiry.Ages(moment(total), moment(unreachable))

    return _Ages(moment(settings.get_expiry("gc.reflogExpire")), by_ref, moment(prune))


def _own(settings: Settings, pattern: str | None, key: str, default: int | None) -> int | None:
    """The age that is set for the refs of a pattern, else the one for all."""
    name = f"gc.{pattern}.{key}"
    return settings.get_expiry(name) if pattern and settings.entry(name) else default


def _pattern_for(repository: Repository, ref: str) -> str | None:
    """The first ``gc.<pattern>.reflogExpire...`` whose pattern fits the ref, in file order."""
    for entry in repository.settings.entries:
        section, _, rest = entry.name.partition(".")
        pattern, dot, key = rest.rpartition(".")
        is_ours = section == "gc" and dot and key in ("reflogexpire", "reflogexpireunreachable")
        # git's wildmatch without WM_PATHNAME: here, too, * matches slashes.
        if is_ours and fnmatch.fnmatchcase(ref, pattern):
            return pattern
    return None


@contextmanager
def _planned(
    repository: Repository, now: int, ages: _Ages, *, dry_run: bool, pack: bool, always: bool
) -> Iterator[_Plan]:
    """Decide; in the block, the new packs are there under names that nobody reads."""
    from envgit.repo.maintenance import Repack

    git = repository.git
    with git.writer() as writer, git.seeing(writer):
        expired = expiry.plan(git, writer, ages=ages.by_ref, operations_before=ages.operations)
        tips = reachable.tips(git, entries=expired.entries(), instead=expired.instead())
        plan, missing = _sweep(repository, now, tips, expired.operations, dry_run=dry_run)
        if not pack:
            yield _Plan(expired, writer, plan, missing, None)
            return
        with Repack(git, tips, prune_before=ages.objects, dry=dry_run, always=always) as repack:
            yield _Plan(expired, writer, plan, missing, repack)


def _result(repository: Repository, plan: _Plan) -> GcResult:
    parts = plan.sweep.parts
    objects = plan.repack.result.frees if plan.repack is not None else 0
    refs = _log_bytes(plan.expired)
    refs += repository.git.packing_frees() if plan.repack is not None else 0
    remains = parts["worktrees"].disk + parts["remains"].disk
    return GcResult(
        dry_run=True,
        expired=plan.expired.forgotten,
        entries=sum(log.dropped for log in plan.expired.logs),
        layers=len(plan.sweep.layers),
        spans=len(plan.sweep.spans),
        changes=len(plan.sweep.changes),
        frees=plan.sweep.frees,
        predicted=Freed(
            layers=parts["layers"].disk,
            spans=parts["spans"].disk,
            changes=parts["changes"].disk,
            remains=remains,
            objects=objects,
            refs=refs,
            total=plan.sweep.frees.disk + objects + refs,
        ),
        freed=None,
        packed=plan.repack.result if plan.repack is not None else None,
        kept_for=plan.missing,
    )


def _log_bytes(expired: Expiry) -> int:
    """What shortening the reflogs gives back."""
    freed = 0
    for log in expired.logs:
        if log.dropped:
            path = os.path.join(log.place, "logs", log.name)
            block = os.statvfs(log.place).f_frsize
            size = sum(len(entry.encode()) for entry in log.kept)
            freed += durable.blocks(path) - -(-size // block) * block
    return freed


def _carry_out(repository: Repository, plan: _Plan, lock: Held) -> int:
    """The order matters: what goes must be forgotten before it does. Returns the bytes freed."""
    git = repository.git
    before = _bytes(repository)
    if plan.repack is not None:
        plan.repack.publish()
    elif plan.expired.update is not None:
        plan.writer.flush()
    if plan.expired.update is not None:
        git.apply([plan.expired.update], None, repository.signature())
    expiry.carry_out(plan.expired)
    freed = sweep.execute(repository.store, plan.sweep, lock)
    if plan.repack is not None:
        plan.repack.remove()
        git.pack_refs()
    return freed + before - _bytes(repository)


def _bytes(repository: Repository) -> int:
    """What objects, refs and reflogs take on disk."""
    path = repository.git.path
    folders = ("objects", "refs", "logs", "worktrees")
    total = Meter().measure_all(os.path.join(path, name) for name in folders).disk
    return total + durable.blocks(os.path.join(path, "packed-refs"))


def _sweep(
    repository: Repository,
    now: int,
    tips: list[str],
    operations: list[Operation],
    *,
    dry_run: bool,
) -> tuple[sweep.Sweep, tuple[str, ...]]:
    """What is to be deleted, and the repositories that cannot be found now."""
    store = repository.store
    needed = _needed(repository, now, tips, operations, dry_run=dry_run)
    found = not needed.missing
    plan = sweep.plan(
        store,
        layers=needed.layers if found else set(store.all_layers()),
        changes=needed.changes if found else set(store.all_changes()),
        commits=needed.commits,
        worktrees=needed.worktrees if found else set(store.all_worktrees()),
        mounted=_mounted(store),
    )
    return plan, needed.missing


def _mounted(store: Store) -> set[str]:
    """The directories that ``envgit mount`` shows somewhere now, whichever worktree it was for."""
    return {
        directory
        for worktree in store.all_worktrees()
        for mount in host_mounts(Worktree(store, worktree))
        for directory in mount.stack
    }


def _needed(
    repository: Repository,
    now: int,
    tips: list[str],
    operations: list[Operation],
    *,
    dry_run: bool,
) -> _Needed:
    store = repository.store
    needed = _Needed(set(), set(), set(), set(), ())
    missing = []
    grace = repository.settings.get_expiry("gc.repositoryExpire")
    own = repository.worktree.id
    needed.worktrees.update(linking.ids(repository))
    _add(needed, repository.git, reachable.commits(repository.git, tips), operations)
    if not dry_run:  # whatever became of its registration
        linking.register(repository)
    for entry in store.repositories():
        if own in entry.worktrees:
            continue
        present = _is_there(entry)
        if not dry_run:
            entry = note_presence(store, entry, present=present, now=now)
        if present:
            needed.worktrees.update(entry.worktrees)
            git = GitRepository.open(entry.path)
            _add(needed, git, reachable.commits(git, reachable.tips(git)), git.operations())
        elif grace is None or now - (entry.missing_since or now) < grace:
            missing.append(entry.path)
        elif not dry_run:
            store.unregister(entry.path, entry.worktrees)
    return _Needed(needed.layers, needed.changes, needed.commits, needed.worktrees, tuple(missing))


def _is_there(entry: Registration) -> bool:
    """Whether the repository can be found, and is not another one made where that was."""
    return os.path.isfile(os.path.join(entry.path, "HEAD")) and any(
        uses(entry.path, worktree) for worktree in entry.worktrees
    )


def _add(
    needed: _Needed,
    git: GitRepository,
    commits: Iterable[CommitId],
    operations: Iterable[Operation],
) -> None:
    """The environments among the commits, and the change sets that operations and records name."""
    for oid in commits:
        found = git.git_commit(oid)
        if found.layer:
            needed.commits.add(oid)
            needed.layers.add(found.layer)
    for operation in operations:
        # What a linked worktree showed when it was removed.
        records = [oid for ref, *both in operation.refs if ref.startswith(LINKED) for oid in both]
        for record in filter(None, records):
            names = reachable.changes_in_record(git, record)
            needed.changes.update(ChangesId(name) for name in names)
        for point in (operation.before, operation.after):
            if point is not None and point.changes is not None:
                needed.changes.add(point.changes)
    needed.changes.update(ChangesId(name) for name in reachable.recorded_changes(git))
