# SPDX-License-Identifier: Apache-2.0
"""How every change of state becomes visible: all of it, or nothing, whatever kills us in between.

The order (docs/design/store.rst, "Publishing"):

1. everything new exists and is synced: objects, layers, the next change set;
2. the journal is written: the one moment at which the change happens;
3. what the journal names is carried out, each step doing nothing when it is already done;
4. the journal is cleared.

Whoever locks the worktree next and finds a journal carries on at 3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.layers.ids import ChangesId, CommitId, LayerId, OperationId
from envgit.porcelain.foundation.hooks import Transaction
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import Operation, WorktreePoint
from envgit.repo.refnames import INTERNAL, LINKED, SYMBOLIC, BadRefName
from envgit.repo.refs import HeadUpdate, RefConflict, RefMoved, RefUpdate
from envgit.store.journal import Record

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.refs import Head
    from envgit.repo.signature import Signature
    from envgit.store.worktree import State


class Unfinished(EnvgitError):
    """A change was decided, but the disk would not let it be carried out to its end."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One change of state, described whole before anything happens.

    ``refs`` and ``head`` carry their old values, which must still be true. ``state`` is the
    worktree's next state, or None when it stays. ``seals`` turns change sets into layers (their
    upper directory is renamed); ``discards`` are others that nothing needs any more.
    ``before``/``after`` say what the worktree showed, for undo; both None when its content stays.
    """

    verb: str
    description: str
    refs: Sequence[RefUpdate] = ()
    head: HeadUpdate | None = None
    state: State | None = None
    seals: Sequence[tuple[ChangesId, LayerId]] = ()
    discards: Sequence[ChangesId] = ()
    before: WorktreePoint | None = None
    after: WorktreePoint | None = None
    sealed: tuple[ChangesId, CommitId] | None = None
    undoes: OperationId | None = None
    redoes: OperationId | None = None


def publish(
    repository: Repository,
    writer: ObjectWriter,
    publication: Publication,
    signature: Signature | None = None,
) -> OperationId:
    """Make ``publication`` true and log it. The caller holds the worktree's lock.

    Raises RefMoved when another program moved a ref meanwhile and UpdatesAborted when the
    reference-transaction hook says no (nothing changed then), and Unfinished when it was decided
    but the disk did not let it be carried out.
    """
    who = signature or repository.signature()
    # Refs and the operation log are shared with the other worktrees of the repository.
    with repository.publishing():
        return _publish(repository, writer, publication, who)


def _publish(
    repository: Repository, writer: ObjectWriter, publication: Publication, who: Signature
) -> OperationId:
    git = repository.git
    git.check_updates(publication.refs, publication.head)
    operation_id, operation_update = git.append_operation(
        writer, _operation(repository, publication, who), who
    )
    _make_durable(repository, writer, layers=bool(publication.seals))
    transaction = Transaction(repository, _told(repository, publication))
    transaction.prepared()
    repository.worktree.journal.write(
        Record(
            seals=tuple(publication.seals),
            discards=tuple(sorted({*publication.discards, *(one for one, _ in publication.seals)})),
            state=publication.state,
            refs=tuple(
                (update.name, update.old, update.new, update.message)
                for update in (
                    *publication.refs,
                    operation_update,
                    *_standing_update(repository, publication),
                )
            ),
            head=(
                (publication.head.old, publication.head.new, publication.head.message)
                if publication.head
                else None
            ),
            signature=(who.name, who.email, who.time, who.offset),
        )
    )
    crashpoint.reach("publish:journal")
    try:
        replay(repository)
    except OSError as error:
        raise Unfinished(
            f"cannot finish '{publication.description}': {error.filename or repository.path}:"
            f" {error.strerror}",
            hint="nothing is lost: the next command finishes it, once the cause is gone",
        ) from error
    transaction.committed()
    return operation_id


def _told(
    repository: Repository, publication: Publication
) -> Iterator[tuple[str | None, str | None, str]]:
    """What the reference-transaction hook hears of: as git tells it, HEAD goes with its branch,
    and a branch that HEAD merely changes to is not mentioned."""
    head = publication.head
    if head is not None:
        if not head.new.startswith(SYMBOLIC):
            yield None if head.old.startswith(SYMBOLIC) else head.old, head.new, "HEAD"
        here = ""
    else:
        here = repository.git.head().symbolic or "" if publication.refs else ""
    for update in publication.refs:
        if update.name == here:
            yield update.old, update.new, "HEAD"
        yield update.old, update.new, update.name


def _make_durable(repository: Repository, writer: ObjectWriter, *, layers: bool) -> None:
    """The objects, and with ``layers`` all that was written into the store, before the journal."""
    store = repository.store.path
    # Where both lie on one file system, the layers' syncfs does for the objects, too.
    together = layers and os.stat(repository.path).st_dev == os.stat(store).st_dev
    writer.flush(sync=not together)
    crashpoint.reach("publish:objects")
    if layers:
        durable.sync_filesystem(store)
        crashpoint.reach("publish:synced")


def _operation(repository: Repository, publication: Publication, who: Signature) -> Operation:
    """What the operation log says of it."""
    return Operation(
        verb=publication.verb,
        command=repository.command,
        time=who.time,
        offset=who.offset,
        worktree=repository.worktree.id,
        refs=tuple((update.name, update.old, update.new) for update in publication.refs),
        head=(publication.head.old, publication.head.new) if publication.head else None,
        before=publication.before,
        after=publication.after,
        sealed=publication.sealed,
        undoes=publication.undoes,
        redoes=publication.redoes,
        description=publication.description,
    )


def moving_head(
    head: Head, commit: CommitId, reason: str
) -> tuple[list[RefUpdate], HeadUpdate | None]:
    """The updates that make HEAD's branch, or a detached HEAD itself, point at ``commit``."""
    if head.symbolic is not None:
        return [RefUpdate(head.symbolic, head.commit, commit, reason)], None
    return [], HeadUpdate(head.value, commit, reason)


def _standing_update(repository: Repository, publication: Publication) -> list[RefUpdate]:
    """The update of the ref that keeps the worktree's base while HEAD is elsewhere.

    A base that is on no branch (after reset --soft, restore, undo of a commit) must outlive the
    operation that made it, and a plain ``git gc``.
    """
    git = repository.git
    name = f"{INTERNAL}worktrees/{repository.worktree.id}"
    base = (publication.state or repository.worktree.state()).base
    head = publication.head.new if publication.head else git.head().value
    branch = head.removeprefix(SYMBOLIC)
    if branch == head:
        commit: str | None = head
    else:
        moved = {update.name: update.new for update in publication.refs}
        commit = moved[branch] if branch in moved else git.ref(branch)
    old, new = git.ref(name), None if base == commit else base
    return [RefUpdate(name, old, new)] if old != new else []


def replay(repository: Repository) -> None:
    """Carry out the worktree's journal and clear it. Does nothing without one."""
    from envgit.repo.signature import Signature

    worktree = repository.worktree
    record = worktree.journal.read()
    if record is None:
        return
    store = repository.store
    for changes, layer in record.seals:
        upper = os.path.join(store.changes_path(changes), "upper")
        if os.path.lexists(upper):
            store.adopt_layer(upper, layer)
        crashpoint.reach("publish:sealed")
    if record.state is not None:
        worktree.write_state(record.state)
        crashpoint.reach("publish:state")
    name, email, time, offset = record.signature
    who = Signature(name=name, email=email, time=time, offset=offset)
    for ref, old, new, message in record.refs:
        _apply(repository, RefUpdate(ref, old, new, message), None, who)
    if record.head is not None:
        _apply(repository, None, HeadUpdate(*record.head), who)
    crashpoint.reach("publish:refs")
    for ref, old, new, _ in record.refs:
        if ref.startswith(LINKED):
            from envgit.porcelain.foundation.linking import carry_out

            carry_out(repository, ref, old, new)
    for changes in record.discards:
        store.delete_changes(changes)
    worktree.journal.clear()
    store.empty_trash()
    crashpoint.reach("publish:cleared")


def _apply(
    repository: Repository, ref: RefUpdate | None, head: HeadUpdate | None, who: Signature
) -> None:
    """One update. A ref that a foreign program moved since is left alone, and said.

    So is one that has become impossible, or the journal would stand in the way of every command.
    """
    try:
        repository.git.apply([ref] if ref else [], head, who)
    except (RefMoved, RefConflict, BadRefName) as error:
        repository.notify(f"{error.message}; it is left as it is")
