# SPDX-License-Identifier: Apache-2.0
"""``worktree``: several environments of one repository at once, each with uncommitted changes of
its own, on layers that they share.

Adding one copies no file of the environment: it is a few small files and an empty change set,
whatever the size of what it shows. Git is the model (git-worktree(1)), its words are the messages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.fs import durable
from envgit.layers.ids import ChangesId, CommitId, WorktreeId
from envgit.porcelain.foundation import hooks, linking, places, snapshot
from envgit.porcelain.foundation.linking import Record, WorktreeInfo
from envgit.porcelain.foundation.places import DIRECTORY, WORKTREES
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.relocate import settle
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint
from envgit.repo.refnames import HEADS, LINKED, check_branch
from envgit.repo.refs import CorruptRef, RefUpdate
from envgit.repo.revisions import previous_branch

if TYPE_CHECKING:
    from envgit.repo.refs import Head

__all__ = ["WorktreeInfo", "add", "listed", "lock", "move", "prune", "remove", "repair", "unlock"]


class NoSuchWorktree(EnvgitError):
    """No worktree of the repository is called so, or lies there."""


class WorktreeLocked(EnvgitError):
    """The worktree is locked against removal and moves."""


class WorktreeDirty(EnvgitError):
    """A worktree with uncommitted changes is not removed unasked."""


class PathTaken(EnvgitError):
    """Where a worktree is to be, there is something."""


def listed(repository: Repository) -> list[WorktreeInfo]:
    """The worktrees, the main one first."""
    return linking.worktrees(repository)


# -- add ------------------------------------------------------------------------------------------


def add(
    repository: Repository,
    path: str,
    revision: str | None = None,
    *,
    branch: str | None = None,
    force_branch: str | None = None,
    detach: bool = False,
    force: bool = False,
    locked: str | None = None,
    report: Callable[[str], None] | None = None,
    made: Callable[[WorktreeInfo], None] | None = None,
) -> WorktreeInfo:
    """Make a worktree in the folder ``path``.

    It is on ``revision`` when that is a branch, on a new branch ``branch`` (or ``force_branch``,
    which may exist) that begins there, else detached; without a revision on a branch named after
    the folder, which is made at HEAD unless there is one. ``locked`` is a reason to lock it. What
    is about to happen is reported in git's words; ``made`` hears of it when it is there, before
    its post-checkout hook is called. Raises AlreadyCheckedOut unless ``force``, PathTaken,
    InvalidReference, HookFailed at the end.
    """
    project = os.path.realpath(path)
    with repository.locked("worktree add"):
        head, refs, text = _plan(
            repository, project, revision, branch or force_branch, force_branch, detach
        )
        if force_branch is not None and not force:
            _check_free(repository, HEADS + force_branch)
        if report is not None:
            report(f"Preparing worktree ({text})")
        _make_room(repository, path, project, force=force)
        if head.symbolic is not None and not force:
            _check_free(repository, head.symbolic)
        name = linking.free_name(repository, os.path.basename(project))
        record = Record(
            name=name,
            project=project,
            id=WorktreeId(os.urandom(8).hex()),
            head=head.value,
            where=WorktreePoint(head.commit, None),
            locked=locked,
        )
        _publish(repository, record, refs)
    place = os.path.join(repository.common, WORKTREES, name)
    info = next(each for each in linking.worktrees(repository) if each.place == place)
    if made is not None:
        made(info)
    there = Repository(
        place, environ=repository.environ, overrides=repository.overrides, notify=repository.notify
    )
    hooks.post_checkout(there, None, head.commit, branch=True)
    return info


def _publish(repository: Repository, record: Record, refs: list[RefUpdate]) -> None:
    git, ref = repository.git, LINKED + record.name
    writer = git.writer()
    oid = linking.write(repository, writer, record)
    refs.append(RefUpdate(ref, git.ref(ref), oid))
    reason = f"worktree add: {record.name}"
    made = _folders(record.project)
    try:
        publication = Publication(verb="worktree add", description=reason, refs=refs)
        publish(repository, writer, publication)
    except BaseException:
        if git.ref(ref) != oid:
            for folder in made:
                with suppress(OSError):
                    os.rmdir(folder)
        raise


def _plan(
    repository: Repository,
    project: str,
    revision: str | None,
    created: str | None,
    force_branch: str | None,
    detach: bool,
) -> tuple[Head, list[RefUpdate], str]:
    """Where its HEAD will be, the branch that is made for it, and what git says of that."""
    from envgit.repo.refs import Head

    git = repository.git
    if revision == "-":
        revision = previous_branch(git, 1) or "@{-1}"
    if created is None and revision is None and not detach:
        created = linking.ref_component(os.path.basename(project))
        at = git.ref(HEADS + created)
        if at is not None:
            return Head(HEADS + created, CommitId(at)), [], f"checking out '{created}'"
    start = revision or "HEAD"
    try:
        commit = git.resolve(start)
        git.commit(commit)
    except EnvgitError as error:
        raise EnvgitError(f"invalid reference: {start}") from error
    if created is not None:
        text = f"new branch '{created}'"
        check_branch(created)
        at = git.ref(HEADS + created)
        if at is not None and force_branch is None:
            raise EnvgitError(f"a branch named '{created}' already exists")
        if at is not None:
            text = f"resetting branch '{created}'; was at {git.abbrev(at)}"
        why = f"branch: {'Reset to' if at else 'Created from'} {start}"
        refs = [RefUpdate(HEADS + created, at, commit, why)] if at != commit else []
        return Head(HEADS + created, commit), refs, text
    if not detach and git.ref(HEADS + start) is not None:
        return Head(HEADS + start, commit), [], f"checking out '{start}'"
    return Head(None, commit), [], f"detached HEAD {git.abbrev(commit)}"


def _check_free(repository: Repository, branch: str) -> None:
    if repository.git.head().symbolic == branch:
        short = branch.removeprefix(HEADS)
        raise linking.AlreadyCheckedOut(
            f"'{short}' is already checked out at '{repository.project}'"
        )
    linking.check_free(repository, branch)


def _make_room(repository: Repository, path: str, project: str, *, force: bool) -> None:
    """Check that nothing is in the way; a worktree that was there once gives way to ``force``."""
    if os.path.lexists(project) and not (os.path.isdir(project) and not os.listdir(project)):
        raise PathTaken(f"'{path}' already exists")
    if f"{project}/".startswith(f"{os.path.realpath(repository.common)}/"):
        raise PathTaken(f"'{path}' lies inside the repository")
    for each in linking.worktrees(repository):
        if os.path.realpath(each.path) != project:
            continue
        if each.locked is not None:
            raise PathTaken(
                f"'{path}' is a missing but locked worktree;\n"
                "use 'unlock' and 'prune' or 'remove' to clear"
            )
        if not force:
            raise PathTaken(
                f"'{path}' is a missing but already registered worktree;\n"
                "use 'add -f' to override, or 'prune' or 'remove' to clear"
            )
        _take_down(repository, [each], verb="worktree prune", reason=f"worktree add: {each.name}")


def _folders(project: str) -> list[str]:
    """Make the folder, and those above it; what was made, the deepest first."""
    made = []
    above = project
    while not os.path.lexists(above):
        made.append(above)
        above = os.path.dirname(above)
    try:
        os.makedirs(project, exist_ok=True)
    except OSError as error:
        raise EnvgitError(f"could not create directory of '{project}': {error.strerror}") from error
    return made


# -- remove and prune -----------------------------------------------------------------------------


def remove(repository: Repository, path: str, *, force: int = 0) -> WorktreeInfo:
    """Remove the worktree in ``path`` with its folder, if nothing else is in that.

    One with uncommitted changes only with ``force``, a locked one with ``force`` 2. The changes are
    parked: ``undo`` brings all of it back. Raises WorktreeDirty, WorktreeLocked, WorktreeBusy.
    """
    found = _find(repository, path)
    if found.place == repository.path:
        repository = repository.beside(repository.common)
    with repository.locked("worktree remove"):
        _check_unlocked(found, "remove", force)
        if found.id is None and found.prunable is None:
            raise EnvgitError(f"'{path}' was made by git: remove it with 'git worktree remove'")
        if not force and found.id is not None and _is_dirty(repository, found):
            raise WorktreeDirty(
                f"'{path}' contains modified or untracked files, use --force to delete it"
            )
        reason = f"worktree remove: {found.name}"
        _take_down(repository, [found], verb="worktree remove", reason=reason)
    return found


def prune(
    repository: Repository,
    *,
    dry_run: bool = False,
    expire: int | None = 0,
    report: Callable[[str], None] | None = None,
) -> list[str]:
    """Forget the linked worktrees whose folders are gone; their names.

    Only those whose place is older than ``expire`` (seconds; None: none). Locked ones stay. What
    was uncommitted in them is parked as by ``remove``.
    """
    if expire is None:
        return []
    with repository.locked("worktree prune"):
        found: list[WorktreeInfo] = []
        broken: list[str] = []
        names: list[str] = []
        folder = os.path.join(repository.common, WORKTREES)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            place = os.path.join(folder, name)
            why = _prunable(place, expire)
            if why is None:
                continue
            if report is not None:
                report(f"Removing {WORKTREES}/{name}: {why}")
            names.append(name)
            known = _known(repository, place)
            if known is None or known.id is None:
                broken.append(place)
            else:
                found.append(known)
        if not dry_run:
            if found:
                text = f"worktree prune: {', '.join(each.name for each in found)}"
                _take_down(repository, found, verb="worktree prune", reason=text)
            for place in broken:
                durable.remove_tree(place)
            with suppress(OSError):
                os.rmdir(folder)
    return names


def _prunable(place: str, expire: int) -> str | None:
    """Why a place may go, in git's words (worktree.c, should_prune_worktree())."""
    if not os.path.isdir(place):
        return "not a valid directory"
    if os.path.exists(os.path.join(place, "locked")):
        return None
    why = linking.why_prunable(place)
    if why == "gitdir file points to non-existent location":
        newest = os.stat(os.path.join(place, "gitdir")).st_mtime
        if newest > time.time() - expire:
            return None
    return why


def _known(repository: Repository, place: str) -> WorktreeInfo | None:
    try:
        return next((each for each in linking.worktrees(repository) if each.place == place), None)
    except CorruptRef:
        return None  # without a HEAD there is no telling what it was


def _is_dirty(repository: Repository, found: WorktreeInfo) -> bool:
    there = repository.beside(found.place)
    there.__dict__["worktree"] = there.named_worktree()
    if not there.worktree.exists():
        return False
    return bool(snapshot.describe(there).changes)


def _take_down(
    repository: Repository, found: Sequence[WorktreeInfo], *, verb: str, reason: str
) -> None:
    with ExitStack() as held:
        refs: list[RefUpdate] = []
        discards: list[ChangesId] = []
        for each in found:
            updates, done = linking.take_down(repository, each.name, held, reason=reason)
            refs += updates
            discards += done
        publish(
            repository,
            repository.git.writer(),
            Publication(verb=verb, description=reason, refs=refs, discards=discards),
        )


# -- lock, unlock, move, repair -------------------------------------------------------------------


def lock(repository: Repository, path: str, reason: str = "") -> None:
    """Keep ``prune``, ``move`` and ``remove`` from the worktree. Raises WorktreeLocked."""
    found = _find_lockable(repository, path)
    if found.locked is not None:
        why = f", reason: {found.locked}" if found.locked else ""
        raise WorktreeLocked(f"'{path}' is already locked{why}")
    linking.lock(found.place, reason)


def unlock(repository: Repository, path: str) -> None:
    """Take a lock away."""
    found = _find_lockable(repository, path)
    if found.locked is None:
        raise EnvgitError(f"'{path}' is not locked")
    os.unlink(os.path.join(found.place, "locked"))


def move(repository: Repository, path: str, target: str, *, force: int = 0) -> str:
    """Move a linked worktree's folder; returns where it is now.

    It is not in the operation log, as ``mv`` is not, which does as well: a worktree that is not
    where it was is found again when it is used.
    """
    found = _find(repository, path)
    new = os.path.realpath(target)
    if os.path.isdir(new):
        new = os.path.join(new, os.path.basename(found.path))
    if os.path.lexists(new):
        raise PathTaken(f"target '{target}' already exists")
    _check_unlocked(found, "move", force)
    with repository.locked("worktree move"):
        try:
            os.rename(found.path, new)
        except OSError as error:
            raise EnvgitError(
                f"failed to move '{found.path}' to '{target}': {error.strerror}"
            ) from error
        settle(found.place, new)
        durable.sync_directory(os.path.dirname(new))
    return new


def repair(
    repository: Repository, paths: Sequence[str] = (), *, report: Callable[[str], None]
) -> None:
    """Let worktrees and repository find each other again after they were moved by hand.

    ``paths`` are folders of linked worktrees that were moved; what is mended is reported.
    """
    for place in places.linked(repository.common):
        project = places.project_dir(place)
        file = os.path.join(project, DIRECTORY)
        target = places.read_link(file)
        gone = target is None and not os.path.lexists(file)
        if os.path.isdir(project) and (gone or not (target and places.is_repository(target))):
            linking.link(place, project, repository)
            report(f"{DIRECTORY} file broken: {project}")
    for path in paths:
        project = os.path.realpath(path)
        target = places.read_link(os.path.join(project, DIRECTORY))
        if target is None:
            continue  # the main worktree, or none
        place = os.path.join(repository.common, WORKTREES, os.path.basename(target))
        if not places.is_repository(place):
            raise NoSuchWorktree(f"unable to locate repository; {DIRECTORY} file broken: {path}")
        if target != place:
            linking.link(place, project, repository)
            report(f"{DIRECTORY} file incorrect: {project}")
        old = places.project_dir(place)
        if old != project and places.read_link(os.path.join(old, DIRECTORY)) != place:
            settle(place, project)
            report(f"gitdir incorrect: {os.path.join(place, 'gitdir')}")
    for each in linking.worktrees(repository):
        if each.id is not None and each.prunable is None:
            with suppress(EnvgitError):
                _ = repository.beside(each.place).worktree  # which finds its state again


def _find_lockable(repository: Repository, path: str) -> WorktreeInfo:
    if os.path.realpath(path) == os.path.realpath(places.project_dir(repository.common)):
        raise NoSuchWorktree("The main working tree cannot be locked or unlocked")
    return _find(repository, path)


def _find(repository: Repository, path: str) -> WorktreeInfo:
    """The linked worktree that lies in ``path``, or whose path ends so (git-worktree(1))."""
    known = linking.worktrees(repository)
    real = os.path.realpath(path)
    found = [each for each in known if os.path.realpath(each.path) == real]
    if len(found) > 1:  # all but one are left over from folders that were deleted
        found = [each for each in found if each.prunable is None]
    if not found:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        found = [
            each
            for each in known
            if parts and ".." not in parts and each.path.split("/")[-len(parts) :] == parts
        ]
    if len(found) != 1:
        raise NoSuchWorktree(f"'{path}' is not a working tree")
    if not found[0].name:
        raise NoSuchWorktree(f"'{path}' is a main working tree")
    return found[0]


def _check_unlocked(found: WorktreeInfo, verb: str, force: int) -> None:
    if found.locked is None or force > 1:
        return
    why = f", lock reason: {found.locked}\n" if found.locked else ";\n"
    raise WorktreeLocked(
        f"cannot {verb} a locked working tree{why}use '{verb} -f -f' to override or unlock first"
    )
