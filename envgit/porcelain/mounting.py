# SPDX-License-Identifier: Apache-2.0
"""See a state of the environment from the host: mount it on a directory, and take it away again."""

from __future__ import annotations

import os

from envgit.errors import EnvgitError
from envgit.porcelain.foundation import chain
from envgit.porcelain.foundation.occupants import (
    HostMount,
    host_mounts,
    note_unflushed,
    record_mounts,
    root_of,
)
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.roots import OverlayRoot
from envgit.sandbox.view import is_mounted, mount_at, unmount


class NotMountable(EnvgitError):
    """The directory cannot be mounted on, or nothing of this repository is mounted there."""


def mounts(repository: Repository) -> list[HostMount]:
    """What of this repository is mounted on host directories now."""
    return host_mounts(repository.worktree)


def mount(repository: Repository, directory: str, revision: str | None = None) -> HostMount:
    """Mount ``revision`` read-only on ``directory``, or the worktree itself, to be changed.

    Changes made there are uncommitted changes of the worktree; ``run`` sees them at once. Raises
    NotMountable, SandboxError.
    """
    place = os.path.realpath(directory)
    if not os.path.isdir(place):
        raise NotMountable(f"'{directory}' is no directory")
    for needed in map(os.path.realpath, (repository.path, repository.store.path)):
        if os.path.commonpath([place, needed]) in (place, needed):
            raise NotMountable(f"a mount at '{directory}' would hide {needed}")
    if is_mounted(place):
        raise NotMountable(f"an environment is mounted at '{directory}' already")
    with repository.locked("mount") as worktree:
        state = worktree.state()
        if revision is None:
            entry = HostMount(place, None, state.stack)
            root = root_of(repository, note_unflushed(repository, state))
        else:
            commit = repository.git.resolve(revision)
            stack, _ = chain.resolve(repository, commit)
            entry = HostMount(place, commit, stack)
            root = OverlayRoot(lowers=chain.directories(repository, stack))
        # Recorded first: a name too many does no harm, a mount that nobody knows of would.
        record_mounts(worktree, [*host_mounts(worktree), entry])
        mount_at(root, place, read_only=revision is not None)
    return entry


def umount(repository: Repository, directory: str) -> None:
    """Take a mount away. Raises NotMountable, and SandboxError when it is in use."""
    place = os.path.realpath(directory)
    with repository.locked("umount") as worktree:
        known = host_mounts(worktree)
        if place not in {mount.directory for mount in known}:
            raise NotMountable(f"nothing of this repository is mounted at '{directory}'")
        unmount(place)
        record_mounts(worktree, [mount for mount in known if mount.directory != place])
