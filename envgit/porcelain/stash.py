# SPDX-License-Identifier: Apache-2.0
"""The stash: uncommitted changes put away as commits, and taken out again (git-stash(1)).

An entry is a commit whose parent is the HEAD it was made on: its layer is the change set itself,
renamed, so that putting away costs what scanning the changes costs. It carries the commands that
were recorded with the changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.layers.pathspec import Pathspec
from envgit.porcelain.foundation import (
    applying,
    hooks,
    landing,
    layering,
    pending,
    position,
    snapshot,
)
from envgit.porcelain.foundation.merging import Side, merged_config
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.paths import require_match
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.stashlist import (
    NotAStash,
    Stashed,
    find,
    is_entry,
    require_listed,
)
from envgit.porcelain.moves import switch
from envgit.repo import stash as refs
from envgit.repo.commits import Commit, subject_of
from envgit.repo.metadata import Metadata
from envgit.repo.operations import WorktreePoint
from envgit.repo.refnames import HEADS, STASH, SYMBOLIC, check_branch
from envgit.repo.refs import HeadUpdate, RefUpdate
from envgit.repo.revisions import UnknownRevision

if TYPE_CHECKING:
    from envgit.layers.ids import ChangesId, LayerId
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.objects import ObjectWriter
    from envgit.store.worktree import State


class NoInitialCommit(Refused):
    """There is no commit that changes could be put away from."""

    prefix = ""


class NoSuchCommit(Refused):
    """A name that leads to no commit that could be stored."""

    prefix = ""


class BranchExists(EnvgitError):
    """The branch that was to be made is there; git's stash then ends with 1."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Applied:
    """An entry's changes are back, or partly: ``conflicts`` are the paths that clash. ``messages``
    are git's lines about the merge; ``popped`` whether the entry was to leave the list."""

    entry: Stashed
    popped: bool
    conflicts: tuple[pending.Conflict, ...] = ()
    messages: tuple[str, ...] = ()


def push(
    repository: Repository, message: str | None = None, *, paths: Sequence[str | bytes] = ()
) -> Stashed | None:
    """Put the uncommitted changes away, or with ``paths`` those that lie there.

    None when there are none. The commands recorded with them go along. Raises NoInitialCommit,
    NoMatch, WorktreeBusy, Unresolved.
    """
    with repository.locked("stash"):
        check_idle(repository)
        half_done = pending.read(repository)
        current = snapshot.stable(repository)
        if half_done is not None:
            pending.check_resolved(repository, half_done, current)
        made = _entry(repository, current, message, paths)
        if made is None:
            return None
        extra = refs.adding(repository.git, made.commit)
        if not paths:
            extra += pending.orig_head(repository, current.head.commit)
        if half_done is not None:
            extra += pending.updates(repository, made.writer, _after(half_done))
        _put_away(repository, current, made, extra)
        return Stashed(made.commit, made.subject, f"{STASH}@{{0}}", extra[0].name)


def create(repository: Repository, message: str | None = None) -> CommitId | None:
    """The commit that ``push`` would make an entry, in the repository and nowhere named.

    The worktree stays. None when there are no changes. Raises as ``push``.
    """
    with repository.locked("stash"):
        check_idle(repository)
        current = snapshot.stable(repository)
        made = _entry(repository, current, message, ())
        if made is None:
            return None
        # The changes stay uncommitted: the worktree now stands on them, with nothing on top.
        onto = made.commit if made.before == made.commit else made.before
        chain = position.on_top(repository, current.state, current.state.base, made.kept)
        state = current.state
        there = position.standing(repository, state, onto, chain, state.config, current.tree)
        _publish(repository, current, made, there, (), f"stash create: {made.subject}")
        return made.commit


def store(repository: Repository, commit: str, message: str | None = None) -> Stashed:
    """Make a commit that ``create`` gave the newest entry. Raises NotAStash, NoSuchCommit.

    An entry's text is its commit's message; another ``message`` makes another commit of it.
    """
    with repository.locked("stash"):
        git, writer = repository.git, repository.git.writer()
        try:
            old = git.commit(git.resolve(commit))
        except UnknownRevision as error:
            raise NoSuchCommit(f"Cannot update {STASH} with {commit}") from error
        if not is_entry(old):
            raise NotAStash(f"'{commit}' is not a stash-like commit")
        text = old.subject if message is None else message
        oid = old.id
        if text != old.subject:
            oid = layering.write_commit(
                writer,
                layering.Layered(old.layer, old.rootfs, None),
                git.metadata(old.id),
                old.parents,
                old.author,
                repository.signature(),
                f"{text}\n",
            )
        added = refs.adding(repository.git, oid)
        publish(repository, writer, Publication("stash", f"stash store: {text}", refs=added))
        return Stashed(oid, text, f"{STASH}@{{0}}", added[0].name)


def apply(repository: Repository, name: str | None = None, *, pop: bool = False) -> Applied:
    """Bring an entry's changes and its recorded commands back; with ``pop`` it leaves the list,
    unless there are conflicts, which are pending then.

    Raises as ``find``; WouldOverwrite where an uncommitted change is in the way; WorktreeBusy.
    """
    with repository.locked("stash"):
        check_idle(repository)
        current = snapshot.stable(repository)
        _check_nothing_pending(repository, current)
        found = find(repository, name)
        gone = refs.removing(repository.git, [require_listed(found)]) if pop else []
        if current.head.commit is None:
            raise NoInitialCommit("You do not have the initial commit yet")
        reason = f"stash {'pop' if pop else 'apply'}: {found.subject}"
        parent = repository.git.commit(found.commit).parents[0]
        if current.head.commit == parent and _is_untouched(repository, current):
            _stand_on(repository, current, found.commit, gone, reason)
            return Applied(found, pop)
        return _merge(repository, current, found, gone, reason)


def branch(repository: Repository, name: str, entry: str | None = None) -> Applied:
    """Make branch ``name`` where the entry was made, go there, and bring its changes back.

    The entry leaves the list. Raises as ``apply`` and ``switch``.
    """
    with hooks.following(repository), repository.locked("stash"):
        check_idle(repository)
        git = repository.git
        check_branch(name)
        if git.ref(HEADS + name) is not None:
            raise BranchExists(f"a branch named '{name}' already exists")
        current = snapshot.stable(repository)
        _check_nothing_pending(repository, current)
        found = find(repository, entry)
        parent = git.commit(found.commit).parents[0]
        if _is_untouched(repository, current):
            gone = refs.removing(git, [found.ref]) if found.ref else []
            start = RefUpdate(HEADS + name, None, parent, f"branch: Created from {parent}")
            old = current.head.branch or current.head.commit or "nothing"
            reason = f"checkout: moving from {old} to {name}"
            head = HeadUpdate(current.head.value, SYMBOLIC + HEADS + name, reason)
            text = f"stash branch {name}: {found.subject}"
            _stand_on(repository, current, found.commit, [start, *gone], text, head)
            return Applied(found, popped=found.ref is not None)
    # With changes of its own, the worktree first moves with them, or is refused to.
    switch(repository, parent, create=name)
    return apply(repository, entry, pop=found.ref is not None)


def _check_nothing_pending(repository: Repository, current: Current) -> None:
    """Raise AlreadyPending, but not for an entry whose conflicts are resolved: nothing has to
    conclude that."""
    earlier = pending.read(repository)
    stashed = earlier is not None and earlier.verb == pending.STASH
    if stashed and earlier and not pending.unresolved(repository, earlier, current):
        return
    pending.check_nothing(repository, "stash apply")


def _is_untouched(repository: Repository, current: Current) -> bool:
    return not current.changes and not snapshot.uncommitted_runs(repository, current)


def _stand_on(
    repository: Repository,
    current: Current,
    commit: CommitId,
    updates: Sequence[RefUpdate],
    reason: str,
    head: HeadUpdate | None = None,
) -> None:
    """The worktree on an entry made on the HEAD it is at: its change is the uncommitted one."""
    there = position.at_commit(repository, current.state, commit)
    writer = repository.git.writer()
    publish(
        repository,
        writer,
        Publication(
            verb="stash",
            description=reason,
            refs=[*updates, *pending.updates(repository, writer, None)],
            head=head,
            state=there,
            before=position.point(repository, current.state),
            after=WorktreePoint(commit, None),
        ),
    )
    position.shorten(repository)


def _merge(
    repository: Repository,
    current: Current,
    found: Stashed,
    gone: Sequence[RefUpdate],
    reason: str,
) -> Applied:
    git, head = repository.git, current.head.commit
    assert head is not None  # apply() saw to it
    parent = git.commit(found.commit).parents[0]
    base = Side.of_commit(repository, parent, "Stash base")
    theirs = Side.of_commit(repository, found.commit, "Stashed changes")
    same = git.commit(head).rootfs == git.commit(parent).rootfs
    label = "Version stash was based on" if same else "Updated upstream"
    combined = applying.into_worktree(repository, current, base, theirs, label=label)
    metadata = git.metadata(found.commit)
    config = merged_config(git.metadata(parent).config, current.state.config, metadata.config)
    half_done = None
    if combined.conflicts:
        half_done = pending.Pending(
            pending.STASH, head, head, (found.commit,), "", combined.conflicts
        )
    landing.as_changes(
        repository,
        git.writer(),
        current,
        combined,
        verb="stash",
        reason=reason,
        pending_next=half_done,
        extra_refs=() if combined.conflicts else gone,
        runs=metadata.runs,
        config=config,
    )
    return Applied(found, bool(gone), combined.conflicts, combined.messages)


def drop(repository: Repository, name: str | None = None) -> Stashed:
    """Take an entry off the list; ``undo`` brings it back. Raises as ``find``, and InvalidStash for
    a commit that is not on it."""
    with repository.locked("stash"):
        found = find(repository, name)
        ref = require_listed(found)
        publish(
            repository,
            repository.git.writer(),
            Publication(
                "stash",
                f"stash drop: {found.subject}",
                refs=refs.removing(repository.git, [ref]),
            ),
        )
        return found


def clear(repository: Repository) -> int:
    """Take all entries off the list; how many there were. ``undo`` brings them back."""
    with repository.locked("stash"):
        git = repository.git
        names = [ref for ref, _ in refs.entries(git)]
        if names:
            gone = refs.removing(git, names)
            publish(repository, git.writer(), Publication("stash", "stash clear", refs=gone))
        return len(names)


# -- how an entry is made -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    """An entry that is written. ``before`` is a commit that shows what the worktree showed, and
    ``kept`` its layer on the worktree's base; ``rest`` what stays uncommitted, None for nothing."""

    writer: ObjectWriter
    commit: CommitId
    subject: str
    before: CommitId
    kept: LayerId
    seals: tuple[tuple[ChangesId, LayerId], ...]
    rest: tuple[CommitId, State] | None = None


def _entry(
    repository: Repository, current: Current, message: str | None, paths: Sequence[str | bytes]
) -> _Made | None:
    git, head = repository.git, current.head
    if head.commit is None:
        raise NoInitialCommit("You do not have the initial commit yet")
    spec = Pathspec.parse(paths)
    require_match(spec, (current.head_tree, current.tree))
    target = current.tree
    if spec:
        target, taken = layering.with_paths(current.head_tree, current.tree, spec)
    else:
        taken = current.changes
    if not taken:
        return None
    writer, who = git.writer(), repository.signature()
    text = _subject(repository, git.commit(head.commit), message)
    runs = snapshot.uncommitted_runs(repository, current)
    meta = Metadata(config=current.state.config, runs=runs)
    kept = layering.seal_changes(repository, writer, current)
    whole = len(taken) == len(current.changes)
    contents = snapshot.reader(repository, current.state.stack, current.upper)
    if whole and head.commit == current.state.base:
        layered = kept
    else:
        onto = layering.tree_of(repository, head.commit)
        layered = layering.layer_between(repository, writer, onto, target, contents.find)
    oid = layering.write_commit(writer, layered, meta, (head.commit,), who, who, f"{text}\n")
    if layered is kept:
        return _Made(writer, oid, text, oid, kept.layer, _seals(kept))
    before = layering.write_snapshot(
        writer, kept, current.state.base, current.state.config, who, runs
    )
    made = _Made(writer, oid, text, before, kept.layer, _seals(kept, layered))
    return made if whole else _with_rest(repository, current, made, spec)


def _with_rest(repository: Repository, current: Current, made: _Made, spec: Pathspec) -> _Made:
    """What is not put away, as a layer on HEAD, made of hard links as well."""
    state, head, who = current.state, current.head.commit, repository.signature()
    target, _ = layering.with_paths(current.tree, current.head_tree, spec)
    present = snapshot.reader(repository, state.stack, current.upper)
    onto = layering.tree_of(repository, head)
    layered = layering.layer_between(repository, made.writer, onto, target, present.find)
    rest = layering.write_snapshot(made.writer, layered, head, state.config, who)
    chain = position.on_top(repository, state, head, layered.layer)
    there = position.standing(repository, state, rest, chain, state.config, target)
    return replace(made, seals=made.seals + _seals(layered), rest=(rest, there))


def _seals(*layers: layering.Layered) -> tuple[tuple[ChangesId, LayerId], ...]:
    return tuple(each.seal for each in layers if each.seal is not None)


def _subject(repository: Repository, head: Commit, message: str | None) -> str:
    branch = repository.git.head().branch or "(no branch)"
    if message:
        return subject_of(f"On {branch}: {message}")
    return f"WIP on {branch}: {repository.git.abbrev(head.id)} {head.subject}"


def _put_away(
    repository: Repository, current: Current, made: _Made, extra: Sequence[RefUpdate]
) -> None:
    head = current.head.commit
    assert head is not None  # _entry() saw to it
    there = made.rest[1] if made.rest else position.at_commit(repository, current.state, head)
    _publish(repository, current, made, there, extra, f"stash: {made.subject}")


def _publish(
    repository: Repository,
    current: Current,
    made: _Made,
    there: State,
    extra: Sequence[RefUpdate],
    reason: str,
) -> None:
    publish(
        repository,
        made.writer,
        Publication(
            verb="stash",
            description=reason,
            refs=extra,
            state=there,
            seals=made.seals,
            discards=[current.source],
            before=WorktreePoint(made.before, None),
            after=WorktreePoint(there.base, None),
            sealed=(current.state.changes, made.before),
        ),
    )
    position.shorten(repository)


def _after(half_done: pending.Pending) -> pending.Pending | None:
    """What is pending once the changes of a step are put away: the rest of the sequence, as after
    git's ``reset --hard``."""
    if not half_done.todo:
        return None
    return replace(half_done, theirs=(), conflicts=(), marked=(), message="")
