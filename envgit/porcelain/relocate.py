# SPDX-License-Identifier: Apache-2.0
"""A project folder that was moved or copied finds its worktree again, or gets one of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envgit.porcelain import position
from envgit.porcelain.repository import Repository
from envgit.store.worktree import State, Worktree

if TYPE_CHECKING:
    from envgit.layers.ids import WorktreeId


def relocate(repository: Repository, worktree: Worktree) -> Worktree:
    """The worktree for a repository that its state does not name.

    Where the state's repository is gone, or does not name this worktree any more, the folder was
    moved: the worktree goes along. Otherwise the folder is a copy, and two folders cannot share
    uncommitted changes: the copy gets a new worktree at its HEAD, and ``notify`` says so.
    """
    state = worktree.state()
    if _is_same(state.repository, repository.path) or not uses(state.repository, worktree.id):
        with worktree.lock(what="moving the repository"):
            worktree.write_state(worktree.state()._replace(repository=repository.path))
        repository.store.register(repository.path, [worktree.id])
        return worktree
    return _own_worktree(repository)


def _is_same(old: str, new: str) -> bool:
    """Whether both paths lead to one folder, by a symlink or a bind mount."""
    return os.path.isdir(old) and os.path.samefile(old, new)


def uses(path: str, worktree: WorktreeId) -> bool:
    """Whether the repository at ``path`` is there and names this worktree as its own."""
    from envgit.settings import read_file

    config = os.path.join(path, "config")
    if not os.path.exists(config):
        return False
    entries = read_file(config, {})
    return any(entry.name == "envgit.worktree" and entry.value == worktree for entry in entries)


def _own_worktree(repository: Repository) -> Worktree:
    from envgit.repo.config import set_value

    store = repository.store
    worktree = Worktree.create(store)
    head = repository.git.head().commit
    empty = State(repository=repository.path, changes=position.fresh_changes(repository, None))
    worktree.write_state(empty)
    if head is not None:
        worktree.write_state(position.at_commit(repository, empty, head))
        store.delete_changes(empty.changes)
    set_value(os.path.join(repository.path, "config"), "envgit.worktree", worktree.id)
    store.register(repository.path, [worktree.id])
    repository.notify(
        f"{repository.project} is a copy: it has a worktree of its own now, at HEAD, without the"
        " uncommitted changes of the original"
    )
    return worktree
