# SPDX-License-Identifier: Apache-2.0
"""A worktree's corner of the store: its state, its lock, its journal, and who runs in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envgit.fs import crashpoint, durable
from envgit.layers.ids import ChangesId, WorktreeId
from envgit.store import locks, running
from envgit.store.failures import explained, translate
from envgit.store.journal import Journal
from envgit.store.running import Running, RunningRecord
from envgit.store.state import State, StateError, parse
from envgit.store.store import Store

if TYPE_CHECKING:
    from envgit.store.hashes import StatCache

__all__ = ["Running", "RunningRecord", "State", "StateError", "Worktree", "current_boot"]


def current_boot() -> str:
    """The id of this boot of the machine (random(4), ``/proc/sys/kernel/random/boot_id``)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Worktree:
    """The worktree called ``id`` in ``store``. Reading needs no lock; writing needs ``lock()``."""

    __slots__ = ("id", "journal", "path", "store")

    def __init__(self, store: Store, id: WorktreeId) -> None:
        self.store = store
        self.id = id
        self.path = store.worktree_path(id)
        self.journal = Journal(os.path.join(self.path, "journal"))

    @classmethod
    def create(cls, store: Store) -> Worktree:
        """Make a new worktree, durably; it has no state until ``write_state``."""
        worktree = cls(store, WorktreeId(os.urandom(8).hex()))
        with explained("make a worktree", worktree.path):
            os.mkdir(worktree.path, 0o700)
            os.mkdir(os.path.join(worktree.path, "running"), 0o700)
            crashpoint.reach("worktree:create")
            durable.sync_directory(worktree.path)
            durable.sync_directory(os.path.dirname(worktree.path))
        return worktree

    def exists(self) -> bool:
        """Whether it is in the store, with a state."""
        return os.path.isfile(os.path.join(self.path, "state"))

    # -- state ------------------------------------------------------------------------------

    def state(self) -> State:
        """What the worktree shows now. Raises StateError naming the file."""
        file = os.path.join(self.path, "state")
        try:
            with open(file, "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            raise StateError(
                f"the worktree's state {file} is missing",
                hint="envgit fsck --repair makes a new worktree at HEAD",
            ) from None
        except OSError as error:
            raise translate(error, "read the worktree's state", file) from error
        try:
            return parse(data)
        except ValueError as fault:
            raise StateError(
                f"the worktree's state {file} is damaged: {fault}",
                hint="undo what was edited there, or let envgit fsck --repair write it again "
                "from HEAD; change sets stay in the store",
            ) from None

    def write_state(self, state: State) -> None:
        """Replace the state, durably and atomically: the old one or the new one, never a third."""
        file = os.path.join(self.path, "state")
        with explained("write the worktree's state", file):
            durable.write_file(file, state.serialize())
        crashpoint.reach("worktree:state")

    # -- locks ------------------------------------------------------------------------------

    @contextmanager
    def lock(
        self,
        *,
        what: str,
        on_wait: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> Iterator[Worktree]:
        """Hold the worktree's state for changing it. After the store's lock, never before.

        ``on_wait`` hears once for whom we wait, such as ``'envgit commit' (pid 12)``. Raises
        LockHeld once ``timeout`` seconds have passed (0: at once; None: never).
        """
        path = os.path.join(self.path, "lock")
        with locks.acquire(path, exclusive=True, what=what, on_wait=on_wait, timeout=timeout):
            yield self

    # -- who runs in it -----------------------------------------------------------------------

    def register(self, info: Mapping[str, Any]) -> RunningRecord:
        """Say that something runs here; see :func:`envgit.store.running.register`."""
        return running.register(os.path.join(self.path, "running"), info)

    def running(self) -> list[Running]:
        """What runs here now, oldest first; records of the dead are removed."""
        return running.living(os.path.join(self.path, "running"))

    # -- what was run since the last commit -------------------------------------------------

    def append_run(self, record: Mapping[str, Any], changes: ChangesId | None = None) -> None:
        """Add one run's record to the change set (default: the present one) as a JSON line.

        Raises FileNotFoundError when the change set is not there any more, and StoreFull.
        """
        file = self._runs_file(changes)
        line = (json.dumps(record, separators=(",", ":")) + "\n").encode()
        with explained("record the run", file, or_missing=True):
            fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                written = os.write(fd, line)
                if written < len(line):  # the disk is full: end the torn line, then say so
                    os.write(fd, b"\n" + line)
            finally:
                os.close(fd)

    def runs(self, changes: ChangesId | None = None) -> list[dict[str, Any]]:
        """The runs recorded in the change set, oldest first.

        Runs are flushed with the rest, not one by one: a line that a power cut or a full disk
        left torn is left out.
        """
        file = self._runs_file(changes)
        try:
            with open(file, "rb") as stream:
                lines = stream.read().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translate(error, "read the recorded runs", file) from error
        return [record for record in map(_run, lines) if record is not None]

    def _runs_file(self, changes: ChangesId | None) -> str:
        return os.path.join(self.store.changes_path(changes or self.state().changes), "runs")

    @contextmanager
    def hashes(self, changes: ChangesId | None = None) -> Iterator[StatCache]:
        """The change set's stat cache (default: the present one), saved at the end."""
        from envgit.store.hashes import StatCache

        folder = self.store.changes_path(changes or self.state().changes)
        cache = StatCache.load(os.path.join(folder, "hashes"), live=bool(self.running()))
        yield cache
        cache.save()

    # -- is there anything uncommitted? -----------------------------------------------------

    def has_changes_quick(self, state: State | None = None) -> bool:
        """Whether the upper directory holds anything but mount points the sandbox made.

        Cheap and cautious: True may still turn out to be nothing (a file written back as it
        was); False is certain, but for the root directory's own owner and mode.
        """
        state = state or self.state()
        upper = self.store.upper_path(state.changes)
        try:
            return _holds_more(upper, frozenset(state.mountpoints))
        except FileNotFoundError:
            self.store.require_changes(state.changes)
            return True
        except OSError as error:
            raise translate(error, "read the uncommitted changes", upper) from error

    def is_dirty_quick(self, state: State | None = None) -> bool:
        """Whether anything changed (see ``has_changes_quick``) or ran since the last commit."""
        state = state or self.state()
        runs = os.path.join(self.store.changes_path(state.changes), "runs")
        return self.has_changes_quick(state) or (os.path.exists(runs) and os.path.getsize(runs) > 0)

    def maybe_incomplete(self, state: State) -> bool:
        """Whether the machine went down while ``state``'s changes were unflushed.

        True means that files in the upper directory may be cut short or empty.
        """
        return (
            state.boot_id is not None
            and state.boot_id != current_boot()
            and self.has_changes_quick(state)
        )


def _run(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _holds_more(upper: str, known: frozenset[str]) -> bool:
    """Whether ``upper`` holds anything that is not in ``known`` or above something in it."""
    parents = {
        "/".join(parts[:end])
        for parts in (name.split("/") for name in known)
        for end in range(1, len(parts))
    }
    todo = [""]
    while todo:
        folder = todo.pop()
        with os.scandir(os.path.join(upper, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if name not in known and name not in parents:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    todo.append(name)
                elif name in parents or entry.stat(follow_symlinks=False).st_size:
                    return True
    return False
