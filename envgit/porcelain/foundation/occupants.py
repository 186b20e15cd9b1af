# SPDX-License-Identifier: Apache-2.0
"""Who has a worktree mounted: running commands, and host directories (``envgit mount``).

A mounted change set cannot be sealed or exchanged, and must never be mounted a second time: whoever
comes next joins the mount that is there. The way to ``run`` passes here, so this stays cheap.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import Refused
from envgit.fs import durable
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.roots import JoinRoot, MountedRoot, OverlayRoot, Root
from envgit.store.worktree import State, Worktree, current_boot

_FILE = "mounts"


class WorktreeBusy(Refused):
    """The worktree is mounted, and what was asked for would need another mount."""


class HostMount(NamedTuple):
    """A host directory where a state is mounted: ``commit``, or the worktree itself (None).
    ``stack`` is what is mounted, relative to the store."""

    directory: str
    commit: str | None
    stack: tuple[str, ...]


def host_mounts(worktree: Worktree) -> list[HostMount]:
    """The host directories where states of this worktree's repository are mounted now."""
    path = os.path.join(worktree.path, _FILE)
    if not os.path.exists(path):
        return []
    from envgit.sandbox.view import is_mounted

    try:
        with open(path, "rb") as file:
            records = json.loads(file.read())
        found = [HostMount(item[0], item[1], tuple(item[2])) for item in records]
    except (ValueError, LookupError, TypeError):
        return []  # a list of what the kernel knows better; nothing but a name is lost
    return [mount for mount in found if is_mounted(mount.directory)]


def record_mounts(worktree: Worktree, mounts: list[HostMount]) -> None:
    """Replace the list of host mounts. The caller holds the worktree's lock."""
    path = os.path.join(worktree.path, _FILE)
    if not mounts:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    records = [[mount.directory, mount.commit, list(mount.stack)] for mount in mounts]
    durable.write_file(path, json.dumps(records).encode())


def is_occupied(repository: Repository) -> bool:
    """Whether the worktree's change set is mounted anywhere."""
    worktree = repository.worktree
    return bool(worktree.running()) or any(mount.commit is None for mount in host_mounts(worktree))


def check_idle(repository: Repository) -> None:
    """Raise WorktreeBusy while the worktree is mounted."""
    worktree = repository.worktree
    running = worktree.running()
    if running:
        names = ", ".join(f"`{run.command}` (pid {run.pid})" for run in running)
        raise WorktreeBusy(
            f"the worktree is in use by {names}",
            hint="end it first; its mount cannot be exchanged under a running command",
        )
    for mount in host_mounts(worktree):
        if mount.commit is None:
            raise WorktreeBusy(
                f"the worktree is mounted at {mount.directory}",
                hint=f"envgit umount {mount.directory}",
            )


def note_unflushed(repository: Repository, state: State) -> State:
    """Write into the worktree's state that changes begin which nothing flushes; the state then.

    Before the first of them can be made: after a power cut the next command must know.
    """
    if state.boot_id is None and repository.settings.get_bool("core.volatile"):
        state = state._replace(boot_id=current_boot())
        repository.worktree.write_state(state)
    return state


def root_of(repository: Repository, state: State) -> Root:
    """How to mount the worktree: the mount that is there already, or a fresh one.

    The caller holds the worktree's lock until it is mounted, and mounts afresh on RootGone.
    """
    worktree, store = repository.worktree, repository.store
    for run in worktree.running():
        if run.info.get("mounted"):
            return JoinRoot(run.init_pid)
    for mount in host_mounts(worktree):
        if mount.commit is None:
            return MountedRoot(mount.directory)
    return OverlayRoot(
        lowers=store.stack_paths(state.stack),
        upper=store.upper_path(state.changes),
        work=os.path.join(store.require_changes(state.changes), "work"),
        volatile=repository.settings.get_bool("core.volatile"),
    )
