# SPDX-License-Identifier: Apache-2.0
"""A project folder that was moved or copied finds its worktree again, or gets one of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envgit.fs import durable
from envgit.porcelain.foundation import linking, places, position
from envgit.porcelain.foundation.places import CONFIG, DIRECTORY
from envgit.porcelain.foundation.repository import Repository
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
        if not repository.is_linked:
            _take_along(repository, state.repository)
        linking.register(repository)
        return worktree
    return _own_worktree(repository)


def _is_same(old: str, new: str) -> bool:
    """Whether both paths lead to one folder, by a symlink or a bind mount."""
    return os.path.isdir(old) and os.path.samefile(old, new)


def uses(path: str, worktree: WorktreeId) -> bool:
    """Whether the repository at ``path`` is there and names this worktree as one of its own."""
    return any(places.worktree_id(place) == worktree for place in (path, *places.linked(path)))


def _take_along(repository: Repository, old: str) -> None:
    """The linked worktrees of a repository that was moved: where they are names it again.

    One that was moved as well is not where it was; ``worktree repair`` is told where it is.
    """
    for place in places.linked(repository.common):
        was = os.path.join(old, os.path.relpath(place, repository.common))
        there = repository.beside(place)
        name = places.worktree_id(place)
        if name is not None and there.named_worktree().exists():
            worktree = there.named_worktree()
            if worktree.state().repository == was:
                with worktree.lock(what="moving the repository"):
                    worktree.write_state(worktree.state()._replace(repository=place))
        if places.read_link(os.path.join(there.project, DIRECTORY)) == was:
            linking.link(place, there.project, repository)


def arrive_linked(repository: Repository, folder: str) -> Repository:
    """The repository for a linked worktree that was found in ``folder`` and not where it should be.

    Where its old folder still names it, the new one is a copy and becomes a worktree of its own, on
    no branch, without the uncommitted changes; otherwise it was moved, and its place is told so.
    """
    old = os.path.join(repository.project, DIRECTORY)
    if places.read_link(old) == repository.path:
        if os.path.samefile(repository.project, folder):
            return repository  # seen through a bind mount
        with repository.publishing():
            if places.read_link(os.path.join(folder, DIRECTORY)) == repository.path:
                return _linked_copy(repository, folder)
        return repository.beside(str(places.resolve(os.path.join(folder, DIRECTORY))))
    try:
        settle(repository.path, folder)
    except OSError as error:
        repository.notify(f"{repository.path} cannot be told where it is: {error.strerror}")
    repository.project = folder
    return repository


def settle(place: str, folder: str) -> None:
    """Write down that the linked worktree of ``place`` is in ``folder``."""
    gitdir = os.fsencode(os.path.join(folder, DIRECTORY)) + b"\n"
    durable.write_file(os.path.join(place, "gitdir"), gitdir)


def _linked_copy(repository: Repository, folder: str) -> Repository:
    from envgit.repo.reflog import ZERO

    head = repository.git.head().commit
    name = linking.free_name(repository, os.path.basename(folder))
    place = os.path.join(repository.common, places.WORKTREES, name)
    os.makedirs(place)
    # As git makes one (builtin/worktree.c): HEAD makes it a place, so it comes last.
    durable.write_file(os.path.join(place, "commondir"), b"../..\n")
    settle(place, folder)
    durable.write_file(os.path.join(place, CONFIG), b"")
    value = head or f"ref: refs/heads/{name}"
    durable.write_file(os.path.join(place, "HEAD"), f"{value}\n".encode())
    assert value != ZERO
    linking.link(place, folder, repository)
    copy = repository.beside(place)
    copy.start = repository.start
    copy.__dict__["worktree"] = _own_worktree(copy)
    return copy


def _own_worktree(repository: Repository) -> Worktree:
    from envgit.repo.config import add_value, set_value

    store = repository.store
    worktree = Worktree.create(store)
    head = repository.git.head().commit
    empty = State(repository=repository.path, changes=position.fresh_changes(repository, None))
    worktree.write_state(empty)
    if head is not None:
        worktree.write_state(position.at_commit(repository, empty, head))
        store.delete_changes(empty.changes)
    config = os.path.join(repository.path, CONFIG if repository.is_linked else "config")
    if not repository.is_linked:
        _forget_copies(repository)
        former = repository.settings.get("envgit.worktree")
        if former is not None:  # whose operations are those of this one, too: `undo` goes on
            add_value(config, "envgit.formerworktree", former)
    set_value(config, "envgit.worktree", worktree.id)
    linking.register(repository)
    repository.notify(
        f"{repository.project} is a copy: it has a worktree of its own now, at HEAD, without the"
        " uncommitted changes of the original"
    )
    return worktree


def _forget_copies(repository: Repository) -> None:
    """A copied repository has copies of the places of linked worktrees, which are the original's:
    they know nothing of the copy."""
    for place in places.linked(repository.common):
        project = places.project_dir(place)
        if places.read_link(os.path.join(project, DIRECTORY)) != place:
            durable.remove_tree(place)
