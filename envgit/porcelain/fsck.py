# SPDX-License-Identifier: Apache-2.0
"""Verify everything: git objects, layers down to the byte, trees, worktree and operation log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.directory import verify
from envgit.layers.ids import CommitId, LayerId
from envgit.layers.links import survivors
from envgit.porcelain import position
from envgit.porcelain.repository import Repository
from envgit.repo.verify import verify_objects

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.store.worktree import Worktree


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong. ``severity`` is ``error``, or ``warning`` for what costs nothing but a
    look; ``text`` names the file or object and what is wrong with it."""

    severity: str
    text: str


Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is."""


def fsck(
    repository: Repository, *, content: bool = True, progress: Progress | None = None
) -> list[Problem]:
    """Check the repository and everything in the store that it needs.

    ``content`` reads every file of every layer; otherwise only metadata and sizes are compared.
    Changes nothing.
    """
    say = progress or (lambda what, done, total: None)
    with repository.store.lock(exclusive=False, what="fsck", on_wait=repository.waiting):
        found = list(_objects(repository, say))
        commits = _commits(repository, found)
        found.extend(_layers(repository, commits, say, content=content))
        found.extend(_trees(repository, commits, say))
        found.extend(_worktree(repository))
        found.extend(_operations(repository))
    return found


def _objects(repository: Repository, say: Progress) -> Iterator[Problem]:
    for problem in verify_objects(repository.git, lambda done, total: say("objects", done, total)):
        yield Problem(problem.severity, problem.text)


def _commits(repository: Repository, found: list[Problem]) -> list[CommitId]:
    """The environments that anything leads to, oldest first."""
    git = repository.git
    try:
        head = git.head()
        tips = {**git.refs("refs/heads/"), **git.refs("refs/tags/"), "HEAD": head.commit}
        for ref, oid in tips.items():
            if oid is not None and not git.git_commit(oid).rootfs:
                severity = "error" if ref in ("HEAD", head.symbolic) else "warning"
                found.append(Problem(severity, f"{ref}: commit {oid} holds no environment"))
        return list(reversed(git.reachable_environments()))
    except EnvgitError as error:
        found.append(Problem("error", error.message))
        return []


def _layers(
    repository: Repository, commits: list[CommitId], say: Progress, *, content: bool
) -> Iterator[Problem]:
    git, store = repository.git, repository.store
    users: dict[LayerId, CommitId] = {}
    for commit in commits:
        users.setdefault(git.commit(commit).layer, commit)
    for number, (layer, commit) in enumerate(users.items()):
        say("layers", number, len(users))
        where = f"layer {layer} of commit {git.abbrev(commit)}"
        if not store.has_layer(layer):
            yield Problem("error", f"{where} is missing: {store.layer_path(layer)}")
            continue
        try:
            node = git.layer(commit)
            for problem in verify(os.fsencode(store.layer_path(layer)), node, content=content):
                path = "/" + problem.path.decode("utf-8", "backslashreplace")
                yield Problem("error", f"{where}: {path} {problem.what}")
        except EnvgitError as error:
            yield Problem("error", f"{where}: {error.message}")


def _trees(repository: Repository, commits: list[CommitId], say: Progress) -> Iterator[Problem]:
    """Whether each root filesystem is its parent's overlaid with its layer (the law of layers)."""
    git = repository.git
    for number, commit in enumerate(commits):
        say("trees", number, len(commits))
        with git.writer() as writer:
            try:
                expected = _overlaid(repository, writer, commit)
                actual = git.commit(commit).rootfs
            except EnvgitError as error:
                yield Problem("error", f"commit {commit}: {error.message}")
                continue
        if expected != actual:
            yield Problem(
                "error",
                f"commit {commit}: its rootfs {actual} is not its parent's with its layer on top,"
                f" which is {expected}",
            )


def _overlaid(repository: Repository, writer: ObjectWriter, commit: CommitId) -> str:
    git = repository.git
    parents = git.commit(commit).parents
    node = git.layer(commit)
    if not parents:
        return writer.write_rootfs(None, node)
    base = git.rootfs(parents[0])
    return writer.write_rootfs(git.commit(parents[0]).rootfs, node, survivors(base, node))


def _worktree(repository: Repository) -> Iterator[Problem]:
    store = repository.store
    try:
        state = repository.worktree.state()
        store.require_changes(state.changes)
        store.stack_paths(state.stack)
        if state.base is not None:
            repository.git.commit(state.base)
    except EnvgitError as error:
        yield Problem("error", error.message)
        return
    if repository.worktree.journal.pending():
        yield Problem("warning", "a change is half done; the next command will finish it")
    if repository.worktree.maybe_incomplete(state):
        yield Problem(
            "warning",
            "uncommitted changes may be incomplete: the machine went down before they were flushed",
        )


def _operations(repository: Repository) -> Iterator[Problem]:
    store = repository.store
    sealed = set()
    try:
        for operation in repository.git.operations():
            if operation.sealed is not None:
                sealed.add(operation.sealed[0])
            for point in (operation.before, operation.after):
                if point is None or point.changes is None or point.changes in sealed:
                    continue
                if not store.changes_exist(point.changes):
                    yield Problem(
                        "error",
                        f"operation {operation.id[:12]} ({operation.description}) cannot be gone"
                        f" back to: its uncommitted changes {point.changes} are gone",
                    )
    except EnvgitError as error:
        yield Problem("error", error.message)


def _usable(repository: Repository, worktree: Worktree) -> bool:
    """Whether the worktree's state can be read and all that it names is there."""
    try:
        state = worktree.state()
        worktree.store.require_changes(state.changes)
        worktree.store.stack_paths(state.stack)
        if state.base is not None:
            repository.git.commit(state.base)
    except EnvgitError:
        return False
    return True


def repair(repository: Repository) -> bool:
    """Give the worktree a new state at HEAD when its own cannot be read; whether that was so.

    Nothing is deleted: what the lost state's change set held stays in the store until ``gc``.
    """
    from envgit.store.worktree import State

    worktree = repository.named_worktree()
    with worktree.lock(what="fsck --repair", on_wait=repository.waiting):
        if _usable(repository, worktree):
            return False
        empty = State(repository=repository.path, changes=repository.store.new_changes())
        head = repository.git.head().commit
        state = position.at_commit(repository, empty, head) if head is not None else empty
        worktree.write_state(state)
        if state.changes != empty.changes:
            repository.store.delete_changes(empty.changes)
        return True
