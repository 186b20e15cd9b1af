# SPDX-License-Identifier: Apache-2.0
"""Going somewhere else: switch, checkout, reset and rollback, which all move pointers only.

No file of the environment is read, copied or deleted: the worktree's state names another chain
and, unless changes are carried along, another change set. The one left behind is parked where it
lies; the operation log remembers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.layers.compare import Change
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import chain, hooks, layering, linking, pending, position, snapshot
from envgit.porcelain.foundation.carry import Arrival, arrive, at, check_unchanged
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.position import point
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import Metadata
from envgit.repo.operations import WorktreePoint
from envgit.repo.refnames import HEADS, SYMBOLIC, check_branch
from envgit.repo.refs import HeadUpdate, RefUpdate
from envgit.repo.revisions import previous_branch

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.refs import Head


class InvalidReference(EnvgitError):
    """A name that is no branch and no commit."""


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Where HEAD was and is now. ``branch`` None means detached; ``parked`` whether uncommitted
    changes were set aside (``undo`` brings them back); ``carried`` the changes taken along."""

    old_branch: str | None
    old_commit: CommitId | None
    branch: str | None
    commit: CommitId | None
    subject: str
    created: bool = False
    reset: bool = False
    parked: bool = False
    carried: tuple[Change, ...] = ()


# -- verbs ----------------------------------------------------------------------------------------


def switch(
    repository: Repository,
    target: str | None = None,
    *,
    create: str | None = None,
    force_create: str | None = None,
    orphan: str | None = None,
    detach: bool = False,
    discard_changes: bool = False,
    guess_detach: bool = False,
    ignore_other_worktrees: bool = False,
    verb: str = "switch",
    report: Callable[[MoveResult], None] | None = None,
) -> MoveResult:
    """Go to branch ``target``, or make branch ``create`` there (default: at HEAD) and go to it.

    ``detach`` goes to any commit without a branch; ``guess_detach`` does so when ``target`` is no
    branch (as ``checkout``). Uncommitted changes are carried along when the target does not touch
    what they touch, parked with ``discard_changes``, and refuse the move otherwise.
    A branch that another worktree is on is refused, unless ``ignore_other_worktrees``.
    ``report`` gets the result before the post-checkout hook is called.
    Raises InvalidReference, WouldOverwrite, WorktreeBusy, AlreadyCheckedOut, HookFailed.
    """
    with repository.locked(verb):
        if orphan is not None:
            result = _to_orphan(repository, orphan, verb, discard_changes=discard_changes)
        else:
            result = _switch(
                repository,
                target,
                create or force_create,
                force=force_create is not None,
                detach=detach,
                discard_changes=discard_changes,
                guess_detach=guess_detach,
                ignore_other_worktrees=ignore_other_worktrees,
                verb=verb,
            )
    if report is not None:
        report(result)
    new = result.old_commit if orphan is not None else result.commit
    hooks.post_checkout(repository, result.old_commit, new, branch=True)
    return result


def _switch(
    repository: Repository,
    target: str | None,
    name: str | None,
    *,
    force: bool,
    detach: bool,
    discard_changes: bool,
    guess_detach: bool,
    ignore_other_worktrees: bool,
    verb: str,
) -> MoveResult:
    """``switch`` to what exists, or to the new branch ``name``, with the lock held."""
    git = repository.git
    head = git.head()
    existing = _check_new(repository, name, force=force) if name is not None else None
    symbolic, commit = _destination(
        repository, head, target, name, detach=detach, guess_detach=guess_detach
    )
    if symbolic not in (None, head.symbolic) and not ignore_other_worktrees:
        linking.check_free(repository, str(symbolic))
    if not discard_changes and (verb == "switch" or commit != head.commit):
        pending.check_may_leave(repository, verb)
    refs = []
    if name is not None and commit is not None and git.ref(HEADS + name) != commit:
        start = target or "HEAD"
        how = f"branch: Created from {start}"
        if existing is not None:
            how = f"branch: Reset to {start}"
        refs.append(RefUpdate(HEADS + name, existing, commit, how))
    reason = _reason(head, symbolic, commit, target)
    update = _head_update(head, symbolic, commit, reason)
    going = _Going(head, symbolic, commit, verb, reason, refs, update, keep=not discard_changes)
    result = _go(repository, going)
    if name is None:
        return result
    return replace(result, created=existing is None, reset=existing is not None)


def _check_new(repository: Repository, name: str, *, force: bool) -> str | None:
    """What a branch that is to be made is at now: None, or with ``force`` what is replaced."""
    check_branch(name)
    existing = repository.git.ref(HEADS + name)
    if existing is not None and not force:
        raise EnvgitError(f"a branch named '{name}' already exists")
    return existing


def reset(repository: Repository, revision: str = "HEAD", *, mode: str = "mixed") -> MoveResult:
    """Move HEAD's branch to ``revision``.

    ``mode`` is ``hard`` (the uncommitted changes are parked) or ``soft``/``mixed`` (the worktree
    stays, so that the difference is uncommitted; there is no index to tell them apart) or
    ``keep`` (uncommitted changes are carried along, or the move refused).
    """
    if mode not in ("soft", "mixed", "hard", "keep"):
        raise UsageError(f"unknown reset mode '{mode}'")
    with repository.locked("reset"):
        git = repository.git
        head = git.head()
        commit = git.resolve(revision)
        reason = f"reset: moving to {revision}"
        refs, head_update = moving_head(head, commit, reason)
        refs += pending.orig_head(repository, head.commit)
        if mode != "hard":
            _check_reset(repository, mode)
        if mode in ("hard", "keep"):
            going = _Going(
                head,
                head.symbolic,
                commit,
                "reset",
                reason,
                refs,
                head_update,
                keep=mode == "keep",
                always_park=mode == "hard",
            )
            return _go(repository, going)
        writer = git.writer()
        publish(
            repository,
            writer,
            Publication(
                verb="reset",
                description=reason,
                refs=[*refs, *pending.updates(repository, writer, None)],
                head=head_update,
                state=repository.worktree.state()._replace(
                    config=dict(git.metadata(commit).config)
                ),
            ),
        )
        return _result(repository, head, head.symbolic, commit)


def rollback(
    repository: Repository,
    revision: str | None = None,
    *,
    count: int | None = None,
    keep_history: bool = False,
    message: str | None = None,
) -> MoveResult:
    """Go back: to ``revision``, or by ``count`` commits, or else drop the uncommitted changes,
    or without any go to the commit before.

    ``keep_history`` makes a new commit whose state is that of the target instead of moving the
    branch back. What is left is parked and logged, so that ``undo`` reverses it. Raises
    HookRefused when the pre-rollback hook says no, WorktreeBusy.
    """
    if revision is not None and count is not None:
        raise UsageError("give a revision or -n, not both")
    if hooks.find(repository, "pre-rollback") is not None:
        _, commit = _rollback_target(repository, revision, count)
        old = repository.git.head().commit or hooks.NOBODY
        hooks.require(repository, "pre-rollback", old, commit)
    with repository.locked("rollback"):
        revision, commit = _rollback_target(repository, revision, count)
        result = _rollback(repository, revision, commit, message, keep_history=keep_history)
    ends = (result.old_commit or hooks.NOBODY, result.commit or hooks.NOBODY)
    hooks.run_hook(repository, "post-rollback", *ends)
    hooks.package_changed(repository, result.old_commit, result.commit)
    return result


def _rollback_target(
    repository: Repository, revision: str | None, count: int | None
) -> tuple[str, CommitId]:
    """What ``rollback`` goes to: as it is called, and the commit."""
    git = repository.git
    if git.head().commit is None:
        raise Refused("there is nothing to roll back to: no commit yet")
    if count is not None:
        revision = f"HEAD~{count}"
    elif revision is None:
        revision = "HEAD" if snapshot.describe(repository).changes else "HEAD~1"
    try:
        return revision, git.resolve(revision)
    except EnvgitError as error:
        if revision.startswith("HEAD~"):
            raise Refused(f"the history does not go back that far: {revision}") from error
        raise


def _rollback(
    repository: Repository,
    revision: str,
    commit: CommitId,
    message: str | None,
    *,
    keep_history: bool,
) -> MoveResult:
    head = repository.git.head()
    if keep_history:
        return _rollback_forward(repository, head, commit, revision, message)
    reason = f"rollback: moving to {revision}"
    refs, head_update = moving_head(head, commit, reason)
    refs += pending.orig_head(repository, head.commit)
    going = _Going(
        head,
        head.symbolic,
        commit,
        "rollback",
        reason,
        refs,
        head_update,
        keep=False,
        always_park=True,
    )
    return _go(repository, going)


def _check_reset(repository: Repository, mode: str) -> None:
    """As git: a merge that stopped has no place in what --soft and --keep leave."""
    unfinished = pending.read(repository)
    if unfinished is not None and mode in ("soft", "keep"):
        raise EnvgitError(f"Cannot do a {mode} reset in the middle of a {unfinished.verb}.")


# -- how a move is made ---------------------------------------------------------------------------


def _destination(
    repository: Repository,
    head: Head,
    target: str | None,
    created: str | None,
    *,
    detach: bool,
    guess_detach: bool,
) -> tuple[str | None, CommitId | None]:
    """The symbolic HEAD (None: detached) and the commit that a switch leads to."""
    git = repository.git
    if created is not None:
        commit = head.commit if target is None else git.resolve(target)
        return HEADS + created, commit
    if target is None:
        if detach:
            return None, head.commit
        raise UsageError("missing branch or commit argument")
    name = previous_branch(git, 1) if target == "-" else target
    if name is None:
        raise InvalidReference(f"invalid reference: {target}")
    branch = git.ref(HEADS + name)
    if branch is not None and not detach:
        return HEADS + name, CommitId(branch)
    try:
        commit = git.resolve(name)
    except EnvgitError as error:
        if guess_detach:
            raise
        raise InvalidReference(f"invalid reference: {target}") from error
    if not (detach or guess_detach or target == "-"):
        raise EnvgitError(
            f"a branch is expected, got commit '{target}'",
            hint="If you want to detach HEAD at the commit, try again with the --detach option.",
        )
    return None, commit


@dataclass(frozen=True, slots=True)
class _Going:
    """HEAD goes from ``head`` to a branch (``symbolic``, None: detached) at ``commit``, None where
    the branch has none yet.

    ``refs`` and ``update`` (HEAD's own) make it so. ``keep``: uncommitted changes come along, else
    they are parked; ``always_park``: they are, even if the commit stays.
    """

    head: Head
    symbolic: str | None
    commit: CommitId | None
    verb: str
    reason: str
    refs: Sequence[RefUpdate]
    update: HeadUpdate | None
    keep: bool
    always_park: bool = False

    @property
    def moves_head(self) -> bool:
        """Whether HEAD is somewhere else afterwards."""
        return (self.symbolic, self.commit) != (self.head.symbolic, self.head.commit)


def _go(repository: Repository, going: _Going) -> MoveResult:
    """Make HEAD, and the worktree, stand where they go. Raises WouldOverwrite, WorktreeBusy."""
    commit, keep, refs = going.commit, going.keep, going.refs
    writer = repository.git.writer()
    if not keep:  # what was half done goes with the changes that it made
        refs = [*refs, *pending.updates(repository, writer, None)]
    arrival: Arrival | None = None
    carried: tuple[Change, ...] = ()
    parked = False
    same = commit == going.head.commit and not going.always_park
    stays = same and (keep or not _dirty(repository))
    if stays or commit is None:
        if keep and commit is not None and _dirty(repository):
            carried = tuple(snapshot.describe(repository).changes)
    else:
        arrival = arrive(repository, writer, at(repository, commit), keep=keep)
        carried = arrival.carried
        # Changes that got lost are not asked for: they have no place to be looked at.
        left = arrival.before.changes is not None and not carried
        parked = left and repository.worktree.has_changes_quick()
    result = _result(repository, going.head, going.symbolic, commit)
    if arrival is None and not refs and not going.moves_head:
        return replace(result, carried=carried)  # nothing moved: nothing for undo to take back
    publication = Publication(
        verb=going.verb, description=going.reason, refs=refs, head=going.update
    )
    publish(repository, writer, arrival.added_to(publication) if arrival else publication)
    return replace(result, parked=parked, carried=carried)


def _dirty(repository: Repository) -> bool:
    state = repository.worktree.state()
    return state.base != repository.git.head().commit or position.is_dirty(repository, state)


def _head_update(
    head: Head, symbolic: str | None, commit: CommitId | None, reason: str
) -> HeadUpdate:
    new = SYMBOLIC + symbolic if symbolic else commit
    assert new is not None  # a HEAD that is on no branch is at a commit
    return HeadUpdate(head.value, new, reason)


def _reason(
    head: Head, symbolic: str | None, commit: CommitId | None, named: str | None = None
) -> str:
    """git's words for the reflog, from which ``-`` and status learn where HEAD was. A detached
    HEAD is called what the user called it."""
    old = head.branch or head.commit or "nothing"
    given = commit if named in (None, "-") else named
    new = symbolic.removeprefix(HEADS) if symbolic else given
    return f"checkout: moving from {old} to {new}"


def _result(
    repository: Repository, head: Head, symbolic: str | None, commit: CommitId | None
) -> MoveResult:
    return MoveResult(
        old_branch=head.branch,
        old_commit=head.commit,
        branch=symbolic.removeprefix(HEADS) if symbolic else None,
        commit=commit,
        subject=repository.git.commit(commit).subject if commit else "",
    )


def _to_orphan(
    repository: Repository, name: str, verb: str, *, discard_changes: bool
) -> MoveResult:
    """A branch without history. As in git, ``switch`` begins it with nothing, and ``checkout`` with
    what is there, all of it uncommitted."""
    _check_new(repository, name, force=False)
    head = repository.git.head()
    reason = _reason(head, HEADS + name, None)
    state, before = None, None
    if verb == "switch" and head.commit is not None:
        check_idle(repository)
        state = repository.worktree.state()
        before = point(repository, state)
        if not discard_changes:
            check_unchanged(snapshot.describe(repository), "checkout")
        state = position.empty(repository, state)
    publish(
        repository,
        repository.git.writer(),
        Publication(
            verb=verb,
            description=reason,
            head=_head_update(head, HEADS + name, None, reason),
            state=state,
            before=before,
            after=WorktreePoint(None, None) if before is not None else None,
        ),
    )
    return replace(_result(repository, head, HEADS + name, None), created=True)


def _rollback_forward(
    repository: Repository, head: Head, commit: CommitId, revision: str, message: str | None
) -> MoveResult:
    """A new commit on top of HEAD whose state is ``commit``'s."""
    git, worktree = repository.git, repository.worktree
    check_idle(repository)
    state = worktree.state()
    writer: ObjectWriter = git.writer()
    stack, _ = chain.resolve(repository, commit)
    contents = snapshot.reader(repository, stack)
    onto = layering.tree_of(repository, head.commit)
    layered = layering.layer_between(repository, writer, onto, git.rootfs(commit), contents.find)
    who = repository.signature()
    subject = git.commit(commit).subject
    text = message or f'Roll back to "{subject}"\n\nThis restores the state of commit {commit}.\n'
    target = git.metadata(commit)
    new = layering.write_commit(
        writer,
        layered,
        Metadata(config=target.config, runs=()),
        (head.commit,) if head.commit else (),
        repository.signature("AUTHOR"),
        who,
        text,
    )
    mounted = position.on_top(repository, state, head.commit, layered.layer)
    next_state = position.standing(
        repository, state, new, mounted, target.config, git.rootfs(commit)
    )
    reason = f"rollback: {revision} as a new commit"
    parked = worktree.has_changes_quick(state)
    refs, head_update = moving_head(head, new, reason)
    refs += pending.updates(repository, writer, None)
    publish(
        repository,
        writer,
        Publication(
            verb="rollback",
            description=reason,
            refs=refs,
            head=head_update,
            state=next_state,
            seals=[layered.seal] if layered.seal else [],
            before=point(repository, state),
            after=WorktreePoint(new, None),
        ),
        who,
    )
    position.shorten(repository)
    return replace(_result(repository, head, head.symbolic, new), parked=parked)
