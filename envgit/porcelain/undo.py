# SPDX-License-Identifier: Apache-2.0
"""Taking operations back, and going to any earlier state of the repository and its worktree.

An operation's record holds what every ref, HEAD and the worktree were before; going back is one
more operation that puts those values there again. Change sets that were parked come back as they
are, by pointing at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.errors import Refused
from envgit.layers.ids import ChangesId, LayerId, OperationId
from envgit.porcelain.foundation import hooks, linking
from envgit.porcelain.foundation.carry import carried_away, rebased
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.position import point, state_at
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import (
    Operation,
    WorktreePoint,
    find,
    ordinary,
    redo_target,
    restore_tags,
    undo_target,
)
from envgit.repo.refnames import HEADS, LINKED, PER_WORKTREE, SYMBOLIC, is_other_head
from envgit.repo.refs import HeadUpdate, RefUpdate

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.store.worktree import State

Seals = tuple[tuple[ChangesId, LayerId], ...]


class NothingToUndo(Refused):
    """The log holds no operation that could be taken back (or done again)."""


class MovedSince(Refused):
    """A ref is not where the operation left it: something outside envgit moved it."""


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The operations that were taken back or done again, in the order in which that was done."""

    operations: tuple[Operation, ...]


def undo(repository: Repository, count: int = 1) -> UndoResult:
    """Take back the last ``count`` operations. Raises NothingToUndo, MovedSince, WorktreeBusy."""
    done: list[Operation] = []
    with hooks.following(repository), repository.locked("undo"):
        for _ in range(count):
            target = undo_target(_own(repository))
            if target is None:
                if done:
                    break
                raise NothingToUndo("there is nothing to undo")
            # Done again, it may have found other uncommitted changes than the first time.
            newest = next(
                (each for each in repository.git.operations() if each.redoes == target.id), target
            )
            _reverse(repository, newest, verb="undo", undoes=target.id)
            done.append(target)
    return UndoResult(tuple(done))


def redo(repository: Repository, count: int = 1) -> UndoResult:
    """Do the last ``count`` undone operations again. Raises as ``undo``."""
    done: list[Operation] = []
    with hooks.following(repository), repository.locked("redo"):
        for _ in range(count):
            target = redo_target(_own(repository))
            if target is None:
                if done:
                    break
                raise NothingToUndo("there is nothing to redo")
            # What undo left is in its own record, with what was done after the operation.
            taken_back = next(each for each in repository.git.operations() if each.undoes == target)
            _reverse(repository, taken_back, verb="redo", redoes=target)
            done.append(find_operation(repository, target))
    return UndoResult(tuple(done))


def _own(repository: Repository) -> Iterator[Operation]:
    """The operations of this worktree, newest first: what another one did is not ours to undo.

    A copied folder has the operations of its original up to then, but for those that made or
    removed linked worktrees, which are the original's.
    """
    own = repository.worktree.id
    former = repository.settings.get_all("envgit.formerworktree")
    for each in repository.git.operations():
        links = any(ref.startswith(LINKED) or is_other_head(ref) for ref, _, _ in each.refs)
        if each.worktree == own or (each.worktree in former and not links):
            yield each


def op_log(repository: Repository, limit: int | None = None) -> list[Operation]:
    """The operations, newest first."""
    return list(repository.git.operations(limit))


def taken_back(repository: Repository) -> set[OperationId]:
    """The operations that are undone and not done again."""
    return {
        operation.id for operation, is_undone in ordinary(repository.git.operations()) if is_undone
    }


def find_operation(repository: Repository, name: str) -> Operation:
    """The operation with this id or a unique start of it, ``@`` for the newest, ``@~N`` for N
    before it. Raises OperationError."""
    return find(repository.git, name)


def op_restore(repository: Repository, name: str) -> Operation:
    """Bring refs, HEAD and worktree to where they were after operation ``name``.

    One more operation, which ``undo`` takes back.
    """
    with hooks.following(repository), repository.locked("op restore"):
        git = repository.git
        target = find_operation(repository, name)
        refs: dict[str, str | None] = {}
        head: str | None = None
        before: WorktreePoint | None = None
        own = {each.id for each in _own(repository)}
        for operation in git.operations():
            if operation.id == target.id:
                break
            for ref, old, _ in operation.refs:
                # Worktrees come and go by `undo`; and what another one has for itself stays.
                shared = ref.startswith("refs/") and not ref.startswith((LINKED, *PER_WORKTREE))
                if shared or (operation.id in own and not ref.startswith(LINKED)):
                    refs[ref] = old
            if operation.id not in own:
                continue
            if operation.head is not None:
                head = operation.head[0]
            if operation.before is not None:
                before = operation.before
        reason = f"op restore: {target.id[:12]}"
        _go(repository, refs, head, before, verb="op restore", reason=reason)
        return target


def _reverse(
    repository: Repository,
    operation: Operation,
    *,
    verb: str,
    undoes: OperationId | None = None,
    redoes: OperationId | None = None,
) -> None:
    """Put back what ``operation`` changed, provided it is still as it left it."""
    git = repository.git
    for ref, _, new in operation.refs:
        # The record of a linked worktree is brought up to date now and then.
        same = (git.ref(ref) is None) == (new is None) and ref.startswith(LINKED)
        if git.value(ref) != new and not same:
            raise MovedSince(
                f"{ref} was moved since by {_mover(repository)}",
                hint=f"'envgit op restore {operation.id[:12]}' goes back by force",
            )
    if operation.head is not None and git.head().value != operation.head[1]:
        raise MovedSince("HEAD was moved since by something that envgit did not log")
    _go(
        repository,
        {ref: old for ref, old, _ in operation.refs},
        operation.head[0] if operation.head else None,
        operation.before,
        verb=verb,
        reason=f"{verb}: {operation.description.removeprefix('undo: ').removeprefix('redo: ')}",
        source=operation,
        undoes=undoes,
        redoes=redoes,
    )


def _mover(repository: Repository) -> str:
    several = len(linking.worktrees(repository)) > 1
    return f"{'another worktree, or by ' if several else ''}something that envgit did not log"


def _go(
    repository: Repository,
    refs: dict[str, str | None],
    head: str | None,
    where: WorktreePoint | None,
    *,
    verb: str,
    reason: str,
    source: Operation | None = None,
    undoes: OperationId | None = None,
    redoes: OperationId | None = None,
) -> None:
    with ExitStack() as held:
        _go_holding(repository, held, refs, head, where, verb, reason, source, undoes, redoes)


def _go_holding(
    repository: Repository,
    held: ExitStack,
    refs: dict[str, str | None],
    head: str | None,
    where: WorktreePoint | None,
    verb: str,
    reason: str,
    source: Operation | None,
    undoes: OperationId | None,
    redoes: OperationId | None,
) -> None:
    git = repository.git
    state = repository.worktree.state()
    next_state = None
    here = None
    writer = git.writer()
    seals: Seals = ()
    if where is not None:
        here = point(repository, state)
        if where != here:
            check_idle(repository)
            next_state, seals, where = _return_to(repository, writer, state, where)
    linked, discards = _worktrees(repository, refs, held, reason)
    _check_branches(repository, refs, head, linked)
    updates = [
        RefUpdate(ref, git.value(ref), value, reason)
        for ref, value in refs.items()
        if git.value(ref) != value and ref not in linked and not ref.startswith(LINKED)
    ]
    updates += linked.values()
    present = git.head().value
    head_update = None
    if head is not None and head != present:
        head_update = HeadUpdate(present, head, reason)
    if next_state is None:
        next_state = _with_config(repository, state, refs, head or present)
    if source is not None:
        restore_tags(git, writer, source)
    publish(
        repository,
        writer,
        Publication(
            verb=verb,
            description=reason,
            refs=updates,
            head=head_update,
            state=next_state,
            seals=seals,
            discards=discards,
            before=here,
            after=where,
            undoes=undoes,
            redoes=redoes,
        ),
    )


def _return_to(
    repository: Repository, writer: ObjectWriter, state: State, where: WorktreePoint
) -> tuple[State, Seals, WorktreePoint]:
    """The worktree's state at ``where``, what is to be sealed for it, and where that is now."""
    moved = carried_away(repository, where)
    if moved is None or where.base is None:
        return state_at(repository, state, where), (), where
    back = rebased(repository, writer, *moved, where.base)
    return back.state, back.seals, WorktreePoint(back.state.base, None)


def _worktrees(
    repository: Repository, refs: dict[str, str | None], held: ExitStack, reason: str
) -> tuple[dict[str, RefUpdate], list[ChangesId]]:
    """What happens to linked worktrees that go, or come back; and change sets that go with them."""
    git = repository.git
    updates: dict[str, RefUpdate] = {}
    discards: list[ChangesId] = []
    for ref, value in refs.items():
        if not ref.startswith(LINKED):
            continue
        present = git.ref(ref)
        if value is None and present is not None:
            name = ref.removeprefix(LINKED)
            taken, done = linking.take_down(repository, name, held, reason=reason)
            updates.update({update.name: update for update in taken})
            discards += done
        elif value is not None and present is None:
            linking.check_return(repository, value)
            updates[ref] = RefUpdate(ref, None, value, reason)
    return updates, discards


def _check_branches(
    repository: Repository,
    refs: dict[str, str | None],
    head: str | None,
    linked: dict[str, RefUpdate],
) -> None:
    """Refuse to take a branch away from another worktree, or to go on one that is taken."""
    leaving = {
        ref.removeprefix(LINKED)
        for ref, update in linked.items()
        if ref.startswith(LINKED) and update.new is None
    }
    heads = {
        ref.rpartition("/")[0].rpartition("/")[2]: (value or "").removeprefix(SYMBOLIC)
        for ref, value in refs.items()
        if is_other_head(ref)
    }
    for each in linking.worktrees(repository):
        if each.place == repository.path or each.branch is None or each.name in leaving:
            continue
        branch = heads.get(each.name or "main-worktree", HEADS + each.branch)
        short = branch.removeprefix(HEADS)
        if branch in refs and refs[branch] is None:
            raise Refused(f"Cannot delete branch '{short}' checked out at '{each.path}'")
        if head == SYMBOLIC + branch and repository.git.head().value != head:
            raise linking.AlreadyCheckedOut(f"'{short}' is already checked out at '{each.path}'")


def _with_config(
    repository: Repository, state: State, refs: dict[str, str | None], head: str
) -> State | None:
    """The state with the run configuration of the commit that HEAD will be at, if that differs."""
    git = repository.git
    name = head.removeprefix(SYMBOLIC)
    commit = head if name == head else refs.get(name, git.ref(name))
    config = dict(git.metadata(commit).config) if commit else state.config
    return state._replace(config=config) if config != state.config else None
