# SPDX-License-Identifier: Apache-2.0
"""Reads and moves refs and HEAD in git's files format, so that a journal can be replayed over them.

Format: git's gitrepository-layout(5): loose refs, ``packed-refs``, ``HEAD``, reflogs. Written here
rather than by libgit2 because an update must be harmless when it is already done, must carry the
signature and time of the operation it belongs to, and costs no import of pygit2.

Locks are git's (``NAME.lock``, created exclusively), so that git itself may write at the same time.
Writers of envgit exclude each other by an flock on ``envgit-refs``, which names the lock files
that its holder has made: the next holder removes those of one that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.layers.ids import CommitId
from envgit.repo import reflog
from envgit.repo.reflog import ZERO, ReflogEntry
from envgit.repo.refnames import (
    HEADS,
    PER_WORKTREE,
    REMOTES,
    SYMBOLIC,
    BadRefName,
    in_worktree,
    is_other_head,
    is_storable,
)
from envgit.repo.signature import Signature

_OID = re.compile(r"\A[0-9a-f]{40}\Z")
_MAX_SYMBOLIC = 5  # git's SYMREF_MAXDEPTH
_LOCK = ".lock"
_NAME_MAX, _PATH_MAX = 255, 4096  # linux/limits.h
_MAX_REF = _PATH_MAX + len(SYMBOLIC)  # what a ref's file may hold
_LOCK_SECONDS = 1.0  # git's core.filesRefLockTimeout is 0.1 s; on a busy machine that is little


class RefMoved(EnvgitError):
    """A ref holds neither the old nor the new value of an update: somebody else moved it."""


class RefConflict(EnvgitError):
    """``a/b`` cannot be a ref while ``a`` is one."""


class RefLocked(EnvgitError):
    """Another program holds the lock of a ref."""


class CorruptRef(EnvgitError):
    """A ref file that holds no object id."""


@dataclass(frozen=True, slots=True)
class Head:
    """HEAD: ``symbolic`` is the full name of the branch, None when detached; ``commit`` the id it
    resolves to, None for a branch without commits."""

    symbolic: str | None
    commit: CommitId | None

    @property
    def branch(self) -> str | None:
        """The short name of the branch, None when detached."""
        return self.symbolic.removeprefix(HEADS) if self.symbolic else None

    @property
    def value(self) -> str:
        """As HeadUpdate has it: ``ref: refs/heads/x`` or an id."""
        return f"{SYMBOLIC}{self.symbolic}" if self.symbolic else self.commit or ZERO


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """Move a ref from ``old`` to ``new``; None means that it does not exist. ``message`` is for the
    reflog."""

    name: str
    old: str | None
    new: str | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class HeadUpdate:
    """Point HEAD elsewhere: ``ref: refs/heads/x`` or an id, both for ``old`` and ``new``."""

    old: str
    new: str
    message: str = ""


class Refs:
    """The refs that a worktree sees: its HEAD and its own in ``path``, all others in ``common``
    (default: the same folder, as for the repository's main worktree)."""

    def __init__(self, path: str, common: str | None = None) -> None:
        self._path = path
        self._common = path if common is None else common
        self._packed: dict[str, str] = {}
        self._packed_stamp: tuple[int, int, int] | None = None
        self._noted: list[str] = []
        self._note_fd = -1

    # -- where each is --------------------------------------------------------------------------

    def home(self, name: str) -> tuple[str, str]:
        """The folder that holds a ref, its log and its lock, and the ref's name in there
        (gitrepository-layout(5); ``main-worktree/X`` and ``worktrees/NAME/X`` are another's)."""
        other = None if name.startswith("refs/") else in_worktree(name)
        if other is not None:
            place = os.path.join(self._common, "worktrees", other[0]) if other[0] else self._common
            return place, other[1]
        if name == "packed-refs":
            return self._common, name
        own = not name.startswith("refs/") or name.startswith(PER_WORKTREE)
        return (self._path if own else self._common), name

    def _file(self, name: str) -> str:
        return os.path.join(*self.home(name))

    # -- reading --------------------------------------------------------------------------------

    def raw(self, name: str) -> str | None:
        """What a ref holds: an id, ``ref: NAME``, or None when there is none."""
        try:
            with open(self._file(name), "rb") as file:
                text = os.fsdecode(file.read(_MAX_REF)).rstrip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return self._packed_refs().get(name)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return self._packed_refs().get(name)
        if text.startswith("ref:"):
            return SYMBOLIC + text[4:].strip()
        if not _OID.match(text[:40]):
            raise CorruptRef(f"bad ref {name}: '{text[:60]}' is not an object id")
        return text[:40]

    def resolve(self, name: str) -> str | None:
        """The object id a ref leads to, through symbolic refs; None when there is none."""
        for _ in range(_MAX_SYMBOLIC):
            value = self.raw(name)
            if value is None or not value.startswith(SYMBOLIC):
                return value
            name = value[len(SYMBOLIC) :]
        raise CorruptRef(f"too many levels of symbolic refs at {name}")

    def head(self) -> Head:
        """Where HEAD points; raises CorruptRef."""
        value = self.raw("HEAD")
        if value is None:
            raise CorruptRef("HEAD is missing")
        if value.startswith(SYMBOLIC):
            name = value[len(SYMBOLIC) :]
            commit = self.resolve(name)
            return Head(name, None if commit is None else CommitId(commit))
        return Head(None, CommitId(value))

    def all(self, prefix: str = "refs/") -> dict[str, str]:
        """Full name -> id of every ref whose name begins with ``prefix``, sorted by name.

        Symbolic refs are resolved, those that lead nowhere left out.
        """
        found = {
            name: value for name, value in self._packed_refs().items() if name.startswith(prefix)
        }
        for name in self._loose(prefix):
            value = self.resolve(name)
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        return dict(sorted(found.items()))

    def _loose(self, prefix: str) -> Iterator[str]:
        below = prefix.rpartition("/")[0] or "refs"
        for place in dict.fromkeys((self._common, self._path)):
            for folder, _, files in os.walk(os.path.join(place, below)):
                for file in files:
                    name = os.path.relpath(os.path.join(folder, file), place)
                    here = self.home(name)[0] == place
                    if here and name.startswith(prefix) and not name.endswith(_LOCK):
                        yield name

    def _packed_refs(self) -> dict[str, str]:
        try:
            with open(os.path.join(self._common, "packed-refs"), "rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                if stamp != self._packed_stamp:
                    self._packed = _parse_packed(file.read())
                    self._packed_stamp = stamp
        except FileNotFoundError:
            self._packed, self._packed_stamp = {}, None
        return self._packed

    # -- writing --------------------------------------------------------------------------------

    def check(self, updates: Sequence[RefUpdate], head: HeadUpdate | None) -> None:
        """Raise what apply() would raise, and RefMoved unless every old value is true now."""
        for update in updates:
            self._check_name(update)
            current = self.raw(update.name)
            if current != update.old:
                raise _moved(update.name, update.old, current)
        if head is not None and self.raw("HEAD") != head.old:
            raise _moved("HEAD", head.old, self.raw("HEAD"))

    def apply(self, updates: Sequence[RefUpdate], head: HeadUpdate | None, who: Signature) -> None:
        """Carry the updates out in order, then HEAD's; one that is done already is left as it is.

        Each is atomic and synced when this returns; all together are not, which is what the
        journal of the caller is for. Raises RefMoved when a ref holds neither its old nor its new
        value: the updates before it are done, the rest is not.
        """
        with self._exclusively():
            for update in updates:
                self._check_name(update)
                self._apply_ref(update, who)
            if head is not None:
                self._apply_head(head, updates, who)

    def _check_name(self, update: RefUpdate) -> None:
        if not is_storable(update.name):
            raise BadRefName(f"'{update.name}' is not a valid ref name")
        symbolic = is_other_head(update.name) and (update.new or "").startswith(SYMBOLIC)
        if update.new is not None and not _OID.match(update.new) and not symbolic:
            raise BadRefName(f"'{update.new}' is not an object id")
        if update.new is None or self.raw(update.name) is not None:
            return
        self._check_length(update.name)
        parts = update.name.split("/")
        for length in range(2, len(parts)):
            above = "/".join(parts[:length])
            if self.raw(above) is not None:
                raise RefConflict(f"'{above}' exists; cannot create '{update.name}'")
        below = next(iter(self.all(update.name + "/")), None)
        if below is not None:
            raise RefConflict(f"'{below}' exists; cannot create '{update.name}'")

    def _check_length(self, name: str) -> None:
        """Refuse what has no room for its lock or log file, before a journal promises the ref."""
        longest = max(len(part) for part in os.fsencode(name + _LOCK).split(b"/"))
        place, inner = self.home(name)
        log = os.path.join(os.path.abspath(place), "logs", inner + _LOCK)
        if longest > _NAME_MAX or len(os.fsencode(log)) >= _PATH_MAX:
            raise BadRefName(f"a name of {len(os.fsencode(name))} bytes is too long for a ref")

    def _apply_ref(self, update: RefUpdate, who: Signature) -> None:
        with self._locked(update.name) as lock:
            current = self.raw(update.name)
            if current not in (update.old, update.new):
                raise _moved(update.name, update.old, current)
            if current == update.new and update.old != update.new:
                return  # done already, and the logs are written before the ref is
            if update.old != update.new and _has_reflog(update.name):
                entry = ReflogEntry(update.old or ZERO, update.new or ZERO, who, update.message)
                if self.raw("HEAD") == SYMBOLIC + update.name:
                    reflog.append(self._path, "HEAD", entry)
                if update.new is not None:
                    reflog.append(*self.home(update.name), entry)
                crashpoint.reach("repo:reflog")
            if update.new is None:
                self._delete(update.name)
            elif current != update.new:
                self._write(lock, update.name, update.new)

    def _apply_head(self, head: HeadUpdate, updates: Sequence[RefUpdate], who: Signature) -> None:
        with self._locked("HEAD") as lock:
            current = self.raw("HEAD")
            if current not in (head.old, head.new):
                raise _moved("HEAD", head.old, current)
            if current == head.new and head.old != head.new:
                return
            moved = {update.name: update.new for update in updates}
            old, new = self._head_id(head.old, moved), self._head_id(head.new, moved)
            if old != ZERO or new != ZERO:
                reflog.append(self._path, "HEAD", ReflogEntry(old, new, who, head.message))
            crashpoint.reach("repo:head-reflog")
            if current != head.new:
                self._write(lock, "HEAD", head.new)

    def _head_id(self, value: str, moved: dict[str, str | None]) -> str:
        if not value.startswith(SYMBOLIC):
            return value
        name = value[len(SYMBOLIC) :]
        return (moved[name] if name in moved else self.resolve(name)) or ZERO

    def _write(self, lock: str, name: str, value: str) -> None:
        target = self._file(name)
        fd = os.open(lock, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, os.fsencode(value) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        crashpoint.reach("repo:ref-written")
        try:
            os.rename(lock, target)
        except IsADirectoryError:
            for folder, _, _ in os.walk(target, topdown=False):
                os.rmdir(folder)  # refs/heads/a was a directory of branches that are gone
            os.rename(lock, target)
        durable.sync_directory(os.path.dirname(target))
        crashpoint.reach("repo:ref-renamed")

    def _delete(self, name: str) -> None:
        """Remove a ref: from packed-refs first, or it would come back when the loose one goes."""
        if name in self._packed_refs():
            with self._locked("packed-refs"):
                remaining = {
                    key: value for key, value in self._packed_refs().items() if key != name
                }
                self._write_packed(remaining)
            crashpoint.reach("repo:packed-ref-removed")
        reflog.remove(*self.home(name))
        target = self._file(name)
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(target)
            durable.sync_directory(os.path.dirname(target))
        crashpoint.reach("repo:ref-removed")

    def edit_log(self, name: str, choose: Callable[[list[ReflogEntry]], list[ReflogEntry]]) -> None:
        """Replace the log of a ref by what ``choose`` leaves of it, newest first."""
        place, own = self.home(name)
        with self._exclusively(), self._locked(name):
            reflog.rewrite(place, own, choose(reflog.read(place, own)))

    def pack(self) -> int:
        """Move loose refs into ``packed-refs`` (git pack-refs --all); returns how many it holds."""
        with self._exclusively(), self._locked("packed-refs"):
            loose = [
                (name, value)
                for name in self._packable()
                if (value := self.raw(name)) is not None and not value.startswith(SYMBOLIC)
            ]
            packed = self._packed_refs() | dict(loose)
            self._write_packed(packed)
        for name, value in loose:
            with self._exclusively(), self._locked(name):
                if self.raw(name) == value:
                    with suppress(FileNotFoundError):
                        os.unlink(os.path.join(self._common, name))
        return len(packed)

    def _packable(self) -> Iterator[str]:
        """The loose refs but those of one worktree, which its others would see as theirs."""
        return (name for name in self._loose("refs/") if not name.startswith(PER_WORKTREE))

    def packing_frees(self) -> int:
        """Bytes on disk that pack() would give back (less than 0: take)."""
        path = os.path.join(self._common, "packed-refs")
        loose = {
            name: value
            for name in self._packable()
            if (value := self.raw(name)) is not None and not value.startswith(SYMBOLIC)
        }
        freed = sum(durable.blocks(os.path.join(self._common, name)) for name in loose)
        packed = _encode_packed(self._packed_refs() | loose)
        block = os.statvfs(self._common).f_frsize
        freed += durable.blocks(path) - -(-len(packed) // block) * block
        top = os.path.join(self._common, "refs")
        gone = {os.path.join(self._common, name) for name in loose}
        for folder, folders, files in os.walk(top, topdown=False):
            inside = {os.path.join(folder, name) for name in (*folders, *files)}
            if inside <= gone and os.path.dirname(folder) not in (top, self._common):
                if not inside:
                    continue  # empty before: nobody comes by
                gone.add(folder)
                freed += durable.blocks(folder)
        return freed

    def _write_packed(self, refs: dict[str, str]) -> None:
        durable.write_file(os.path.join(self._common, "packed-refs"), _encode_packed(refs))

    # -- locks ----------------------------------------------------------------------------------

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Exclude other writers of envgit, and clear up after one that was killed."""
        path = os.path.join(self._common, "envgit-refs")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for name in os.fsdecode(os.read(fd, 1 << 16)).split("\n")[:-1]:
                if name == "packed-refs" or is_storable(name):
                    with suppress(FileNotFoundError, NotADirectoryError):
                        os.unlink(self._file(self._named_here(name)) + _LOCK)
            self._noted = []
            self._note_fd = fd
            self._note()
            yield
        finally:
            os.close(fd)

    def _named_here(self, name: str) -> str:
        """A name as a note has it, which says of whose worktree's it is by its file: seen from
        here, that of the main worktree has a longer one."""
        shared = name.startswith(("refs/", "worktrees/")) and not name.startswith(PER_WORKTREE)
        return name if shared or name == "packed-refs" else f"main-worktree/{name}"

    def _note(self) -> None:
        """Write down which lock files are ours; not synced, for it is about kill -9 only."""
        files = (os.path.relpath(self._file(name), self._common) for name in self._noted)
        note = os.fsencode("".join(f"{file}\n" for file in files))
        os.ftruncate(self._note_fd, 0)
        os.pwrite(self._note_fd, note, 0)

    @contextmanager
    def _locked(self, name: str) -> Iterator[str]:
        """git's lock on one ref, within _exclusively(). Raises RefLocked after a second."""
        path = self._file(name) + _LOCK
        deadline = time.monotonic() + _LOCK_SECONDS
        while not self._create_lock(name, path):
            if time.monotonic() > deadline:
                raise RefLocked(
                    f"Unable to create '{path}': File exists.",
                    hint="another git process seems to be running; if one crashed, remove it",
                )
            time.sleep(0.02)
        crashpoint.reach("repo:ref-locked")
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._noted.remove(name)
            self._note()
            if name.startswith("refs/"):
                reflog.prune_parents(path, os.path.join(self.home(name)[0], "refs"))

    def _create_lock(self, name: str, path: str) -> bool:
        """Note the lock, then make it; whether it was free. Somebody else's is never noted."""
        if os.path.lexists(path):
            return False
        self._noted.append(name)
        self._note()
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            self._noted.remove(name)
            self._note()
            return False
        return True


def _has_reflog(name: str) -> bool:
    """git's core.logAllRefUpdates=true: branches, remotes and notes, not tags or our operations."""
    return name.startswith((HEADS, REMOTES, "refs/notes/"))


def _moved(name: str, expected: str | None, found: str | None) -> RefMoved:
    return RefMoved(
        f"cannot lock ref '{name}': is at {found or 'nothing'} but expected "
        f"{expected or 'nothing'}",
        hint="another program moved it; look at it and try again",
    )


def _encode_packed(refs: dict[str, str]) -> bytes:
    # Without the "peeled" trait: git then looks tags up, which costs little here.
    text = "# pack-refs with: sorted \n" + "".join(
        f"{refs[name]} {name}\n" for name in sorted(refs, key=os.fsencode)
    )
    return os.fsencode(text)


def _parse_packed(data: bytes) -> dict[str, str]:
    refs: dict[str, str] = {}
    for line in os.fsdecode(data).split("\n"):
        oid, _, name = line.partition(" ")
        if name and _OID.match(oid):
            refs[name] = oid
    return refs
