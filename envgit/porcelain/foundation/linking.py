# SPDX-License-Identifier: Apache-2.0
"""The linked worktrees of a repository, and how one comes about and goes as part of a publication.

``refs/envgit/linked/NAME`` holds the *record* of the linked worktree NAME: its folder, its id in
the store, where its HEAD was and what it showed when the record was made. A publication that makes
the ref makes the worktree, one that deletes it takes the worktree down; so adding and removing are
crash safe, logged and undone like anything else. A record in the operation log keeps the parked
changes of a worktree that is gone (docs/design/worktree.rst).
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError, Refused
from envgit.fs import crashpoint, durable
from envgit.layers.ids import ChangesId, CommitId, WorktreeId
from envgit.porcelain.foundation import places, position
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.places import CONFIG, DIRECTORY, WORKTREES
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint
from envgit.repo.records import RecordError, read_record_of, write_record
from envgit.repo.reflog import ZERO, ReflogEntry, append
from envgit.repo.refnames import HEADS, INTERNAL, LINKED, SYMBOLIC
from envgit.repo.refs import CorruptRef, Head, Refs, RefUpdate
from envgit.store.locks import LockHeld
from envgit.store.state import is_hex
from envgit.store.worktree import State, StateError, Worktree

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter

FORMAT = 1
_NAME = "worktree"
_UNFIT = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/]")


class AlreadyCheckedOut(EnvgitError):
    """A branch is HEAD of another worktree, and may be of one only."""


@dataclass(frozen=True, slots=True)
class Record:
    """A linked worktree: all that it takes to make it again.

    ``project`` is its folder, ``id`` the store's worktree (None for one that git added), ``head``
    an id or ``ref: refs/heads/NAME``, ``where`` what it shows, ``private`` the refs that are its
    alone, ``locked`` why it must not be pruned, None if it may be.
    """

    name: str
    project: str
    id: WorktreeId | None
    head: str
    where: WorktreePoint
    private: tuple[tuple[str, str], ...] = ()
    locked: str | None = None


@dataclass(frozen=True, slots=True)
class WorktreeInfo:
    """One of a repository's worktrees, as ``worktree list`` shows it.

    ``name`` is empty for the main one. ``commit`` None means that its branch has none yet,
    ``branch`` None that HEAD is detached. ``locked`` is the reason, which may be empty;
    ``prunable`` says why nothing would be lost with it.
    """

    name: str
    path: str
    commit: CommitId | None
    branch: str | None
    locked: str | None
    prunable: str | None
    id: str | None
    place: str


def worktrees(repository: Repository) -> list[WorktreeInfo]:
    """The main worktree, then the linked ones by their folders, as git lists them."""
    found = [_info(repository, place) for place in places.linked(repository.common)]
    main = _info(repository, repository.common)
    return [main, *sorted(found, key=lambda each: os.fsencode(each.path))]


def _info(repository: Repository, place: str) -> WorktreeInfo:
    main = place == repository.common
    try:
        head = Refs(place, repository.common).head()
    except CorruptRef:
        head = Head(None, None)  # one that is broken does not stand in the way of the others
    locked = None if main else places.read_line(place, "locked")
    prunable = None
    if not main and locked is None:
        prunable = why_prunable(place)
    return WorktreeInfo(
        name="" if main else os.path.basename(place),
        path=places.project_dir(place),
        commit=head.commit,
        branch=head.branch,
        locked=locked,
        prunable=prunable,
        id=places.worktree_id(place),
        place=place,
    )


def why_prunable(place: str) -> str | None:
    """Why nothing uses the place any more, in git's words; None when something may."""
    file = places.read_line(place, "gitdir")
    if file is None:
        return "gitdir file does not exist"
    if not file:
        return "invalid gitdir file"
    if not os.path.exists(os.path.join(place, file)):
        return "gitdir file points to non-existent location"
    # The folder was deleted, and another one took its place before this one was pruned.
    other = places.read_link(os.path.join(place, file))
    if other is None or other == place or os.path.dirname(other) != os.path.dirname(place):
        return None
    taken = places.is_repository(other) and places.read_line(other, "gitdir") == file
    return "duplicate entry" if taken else None


def occupied(repository: Repository) -> dict[str, str]:
    """Full name of a branch -> the folder of the *other* worktree that has it checked out."""
    if not repository.is_linked and not places.linked(repository.common):
        return {}
    return {
        HEADS + each.branch: each.path
        for each in reversed(worktrees(repository))
        if each.branch is not None and each.place != repository.path
    }


def check_free(repository: Repository, branch: str) -> None:
    """Raise AlreadyCheckedOut when another worktree is on the branch (full name)."""
    where = occupied(repository).get(branch)
    if where is not None:
        raise AlreadyCheckedOut(
            f"'{branch.removeprefix(HEADS)}' is already checked out at '{where}'"
        )


def free_name(repository: Repository, wanted: str) -> str:
    """A name for a new place: ``wanted`` as far as a ref may be called so, with a number if that
    is taken (git's worktree_basename() and sanitize_refname_component())."""
    name = ref_component(wanted)
    taken = {os.path.basename(place) for place in places.linked(repository.common)}
    folder = os.path.join(repository.common, WORKTREES)
    number, free = 0, name
    while free in taken or os.path.lexists(os.path.join(folder, free)):
        number += 1
        free = f"{name}{number}"
    return free


def ref_component(wanted: str) -> str:
    """A folder's name as a ref may be called, the same if it may."""
    name = _UNFIT.sub("-", wanted).strip(".") or "worktree"
    name = name.replace("..", ".-").replace("@{", "@-")
    while name.endswith(".lock"):
        name = name.removesuffix(".lock") or "worktree"
    return name


def ids(repository: Repository) -> list[WorktreeId]:
    """The store's worktrees that are this repository's: what keeps them from ``gc``.

    A copied repository has copies of places, whose worktrees are those of the original.
    """
    found = []
    for place in (repository.common, *places.linked(repository.common)):
        name = places.worktree_id(place)
        if name is None or not is_hex(name, 16):
            continue
        worktree = Worktree(repository.store, WorktreeId(name))
        try:
            owner = worktree.state().repository
        except StateError:
            owner = place
        if owner == place or place == repository.path:
            found.append(worktree.id)
    return found


def register(repository: Repository) -> None:
    """Make the repository with all its worktrees a root of the store's garbage collection."""
    repository.store.register(repository.common, ids(repository))


# -- records --------------------------------------------------------------------------------------


def write(repository: Repository, writer: ObjectWriter, record: Record) -> CommitId:
    """Add the record to ``writer``; its commit keeps every commit that it names."""
    mentions = [record.where.base, *(oid for _, oid in record.private)]
    if not record.head.startswith(SYMBOLIC):
        mentions.append(record.head)
    data = {
        "format": FORMAT,
        "name": record.name,
        "project": record.project,
        "id": record.id,
        "head": record.head,
        "where": record.where.encode(),
        "private": dict(record.private),
        "locked": record.locked,
    }
    who = repository.signature()
    return write_record(writer, _NAME, data, [CommitId(oid) for oid in mentions if oid], who)


def read(repository: Repository, oid: str) -> Record:
    """The record in a commit. Raises RecordError."""
    data = read_record_of(repository.git, oid, _NAME)
    if data.get("format") != FORMAT:
        raise RecordError(
            f"{oid} has format {data.get('format')!r}; this envgit knows {FORMAT}",
            hint="a newer envgit wrote it",
        )
    return _decode(oid, data)


def _decode(oid: str, data: dict[str, Any]) -> Record:
    name, project, identity = data.get("name"), data.get("project"), data.get("id")
    where = WorktreePoint.decode(data.get("where"))
    sound = isinstance(name, str) and name not in ("", ".", "..") and "/" not in name
    if not sound or not str(project).startswith("/") or where is None:
        raise RecordError(f"{oid} is no record of a worktree")
    if identity is not None and not is_hex(identity, 16):
        raise RecordError(f"{oid} names no worktree of the store")
    private = tuple((str(ref), str(value)) for ref, value in data["private"].items())
    return Record(
        name=str(name),
        project=str(project),
        id=identity,
        head=str(data["head"]),
        where=where,
        private=private,
        locked=data["locked"],
    )


def refreshed(repository: Repository, name: str) -> Record:
    """The record of a worktree as it is now. Raises StateError when that cannot be told."""
    place = os.path.join(repository.common, WORKTREES, name)
    there = repository.beside(place)
    refs = Refs(place, repository.common)
    private = {ref: value for ref, value in refs.all("refs/").items() if refs.home(ref)[0] == place}
    for ref in ("ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_HEAD"):
        value = refs.raw(ref)
        if value is not None:
            private[ref] = value
    identity = places.worktree_id(place)
    head, where = _head(repository, name, refs)
    if identity is not None and there.named_worktree().exists():
        where = position.point(there, there.named_worktree().state())
    return Record(
        name=name,
        project=places.project_dir(place),
        id=None if identity is None else WorktreeId(identity),
        head=head,
        where=where,
        private=tuple(sorted(private.items())),
        locked=places.read_line(place, "locked"),
    )


def _head(repository: Repository, name: str, refs: Refs) -> tuple[str, WorktreePoint]:
    """A worktree's HEAD and its commit; where that file is broken, as they were last recorded."""
    try:
        head = refs.head()
    except CorruptRef:
        oid = repository.git.ref(LINKED + name)
        if oid is None:
            raise
        last = read(repository, oid)
        return last.head, WorktreePoint(last.where.base, None)
    return head.value, WorktreePoint(head.commit, None)


# -- on the way to a publication ------------------------------------------------------------------


def take_down(
    repository: Repository, name: str, held: ExitStack, *, reason: str
) -> tuple[list[RefUpdate], list[ChangesId]]:
    """What a publication needs to remove a linked worktree: ref updates and discards.

    Its record is brought up to date first, so that undo finds what it showed. Until ``held`` is
    closed nobody else changes it. Raises WorktreeBusy, LockHeld, and Refused for our own.
    """
    git = repository.git
    place = os.path.join(repository.common, WORKTREES, name)
    if place == repository.path:
        raise Refused(
            f"'{repository.project}' is the worktree you are in",
            hint="do it from another one of the repository",
        )
    there = repository.beside(place)
    updates, discards = [], []
    identity = places.worktree_id(place)
    if identity is not None and there.named_worktree().exists():
        worktree = there.named_worktree()
        there.__dict__["worktree"] = worktree
        try:
            held.enter_context(worktree.lock(what=reason, timeout=0))
        except LockHeld as error:
            raise Refused(f"'{there.project}' is in use: {error.message}") from error
        there.recover()
        check_idle(there)
    record = refreshed(repository, name)
    if record.id is not None and record.where.changes is None:
        with suppress(StateError):
            discards.append(there.named_worktree().state().changes)
    writer = git.writer()
    now = write(repository, writer, record)
    writer.flush()
    ref = LINKED + name
    old = git.ref(ref)
    with repository.publishing():
        git.apply([RefUpdate(ref, old, now)], None, repository.signature())
    updates.append(RefUpdate(ref, now, None, reason))
    standing = f"{INTERNAL}worktrees/{record.id}"
    base = git.ref(standing)
    if base is not None:
        updates.append(RefUpdate(standing, base, None))
    return updates, discards


def check_return(repository: Repository, oid: str) -> Record:
    """The record of a worktree that is about to come back, if there is room for it."""
    record = read(repository, oid)
    if record.id is None or Worktree(repository.store, record.id).exists():
        raise Refused(f"the worktree '{record.name}' cannot come back: it is there already")
    if os.path.lexists(os.path.join(record.project, DIRECTORY)):
        raise Refused(f"'{record.project}' already exists")
    if record.head.startswith(SYMBOLIC):
        check_free(repository, record.head.removeprefix(SYMBOLIC))
    return record


# -- as part of a publication ---------------------------------------------------------------------


def carry_out(repository: Repository, ref: str, old: str | None, new: str | None) -> None:
    """Make, or take down, the worktree whose record's ref moved; harmless when that is done."""
    if repository.git.ref(ref) != new:
        return  # left as it is, for somebody else moved it
    if new is not None:
        _make(repository, read(repository, new))
    elif old is not None:
        _unmake(repository, read(repository, old))


def _make(repository: Repository, record: Record) -> None:
    place = os.path.join(repository.common, WORKTREES, record.name)
    assert record.id is not None  # what git added has no record but one to be removed by
    worktree = Worktree(repository.store, record.id)
    if not worktree.exists():
        os.makedirs(os.path.join(worktree.path, "running"), 0o700, exist_ok=True)
        worktree.write_state(_state(repository, place, record))
        durable.sync_directory(os.path.dirname(worktree.path))
    crashpoint.reach("linking:state")
    if not os.path.exists(os.path.join(place, "HEAD")):
        _make_place(repository, place, record)
    crashpoint.reach("linking:place")
    link(place, record.project, repository)
    register(repository)


def _state(repository: Repository, place: str, record: Record) -> State:
    changes = record.where.changes or position.fresh_changes(repository, None)
    empty = State(repository=place, changes=changes)
    try:
        return position.state_at(repository, empty, record.where)
    except EnvgitError as error:
        # Its changes are beyond what gc keeps: what was committed is better than nothing.
        repository.notify(error.message)
        return position.state_at(repository, empty, replace(record.where, changes=None))


def _make_place(repository: Repository, place: str, record: Record) -> None:
    os.makedirs(os.path.join(place, "logs"), exist_ok=True)
    durable.write_file(os.path.join(place, "commondir"), b"../..\n")
    gitdir = os.fsencode(os.path.join(record.project, DIRECTORY)) + b"\n"
    durable.write_file(os.path.join(place, "gitdir"), gitdir)
    text = f"[envgit]\n\tworktree = {record.id}\n"
    durable.write_file(os.path.join(place, CONFIG), text.encode())
    if record.locked is not None:
        lock(place, record.locked)
    refs = Refs(place, repository.common)
    who = repository.signature()
    for name, oid in record.private:
        # A ref that is there again already, after a crash, is left as it is.
        refs.apply([RefUpdate(name, refs.raw(name), oid)], None, who)
    head = record.head
    at = refs.resolve(head.removeprefix(SYMBOLIC)) if head.startswith(SYMBOLIC) else head
    if at is not None:
        # As git does it: it makes HEAD, and then fills the worktree by a reset.
        append(place, "HEAD", ReflogEntry(ZERO, at, who, ""))
        append(place, "HEAD", ReflogEntry(at, at, who, "reset: moving to HEAD"))
    # Last, for a place without HEAD is none (and ``git worktree prune`` takes it away).
    durable.write_file(os.path.join(place, "HEAD"), f"{head}\n".encode())
    durable.sync_directory(os.path.dirname(place))


def link(place: str, project: str, repository: Repository) -> None:
    """Write the file ``.envgit`` into the worktree's folder. That the folder cannot be made is
    said, no more: it must not stand in the way of every command to come."""
    try:
        os.makedirs(project, exist_ok=True)
        data = os.fsencode(f"gitdir: {place}\n")
        durable.write_file(os.path.join(project, DIRECTORY), data)
    except OSError as error:
        repository.notify(f"'{project}' cannot be written: {error.strerror}")


def lock(place: str, reason: str) -> None:
    """Keep the worktree from being pruned, moved and removed."""
    data = f"{reason}\n" if reason else ""
    durable.write_file(os.path.join(place, "locked"), data.encode("utf-8", "surrogateescape"))


def _unmake(repository: Repository, record: Record) -> None:
    place = os.path.join(repository.common, WORKTREES, record.name)
    file = os.path.join(record.project, DIRECTORY)
    if places.read_link(file) == place:
        with suppress(OSError):
            os.unlink(file)
            os.rmdir(record.project)  # what else is in it is not ours
    crashpoint.reach("linking:unlinked")
    durable.remove_tree(place)
    with suppress(OSError):
        os.rmdir(os.path.dirname(place))
    crashpoint.reach("linking:forgotten")
    register(repository)
    if record.id is not None:
        store = repository.store
        store.trash(store.worktree_path(record.id))
