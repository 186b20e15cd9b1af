# SPDX-License-Identifier: Apache-2.0
"""cherry-pick and revert: the changes of commits done again, or undone, on top of HEAD.

Sources: git-cherry-pick(1), git-revert(1), and git's sequencer.c where those are silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.commit import CommitResult, NothingToCommit
from envgit.porcelain.commit import commit as conclude
from envgit.porcelain.foundation import carry, landing, pending, position, snapshot
from envgit.porcelain.foundation.carry import Arrival
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.pending import CHERRY_PICK, REVERT, Pending
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.sequencer import (
    EMPTY,
    Calls,
    Picked,
    PickOptions,
    Sequencer,
    Stopped,
)
from envgit.repo.revisions import UnknownRevision, split_range
from envgit.repo.selection import GROUPS
from envgit.repo.selection import select as choose

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.operations import WorktreePoint
    from envgit.repo.refs import RefUpdate

VERBS = (CHERRY_PICK, REVERT)
_EXCLUDING = re.compile(r"\^[@!]\Z|\^-[0-9]*\Z")


class NotInProgress(Refused):
    """There is no cherry-pick or revert to go on with, to skip or to end."""


class NothingPicked(Refused):
    """A range without commits."""


class BadRevision(EnvgitError):
    """A revision that names no commit."""


class UnmergedFiles(Refused):
    """Conflicts are left from before."""


@dataclass(frozen=True, slots=True)
class PickResult:
    """What was done: ``concluded`` is the commit that ended the step which had stopped, ``done``
    the steps after it, ``stopped`` the one that could not be finished."""

    done: tuple[Picked, ...]
    stopped: Stopped | None = None
    concluded: CommitResult | None = None


@dataclass(frozen=True, slots=True)
class AbortResult:
    """``moved``: HEAD was not where the sequence had left it, and stays."""

    moved: bool


def cherry_pick(
    repository: Repository,
    revisions: Sequence[str],
    *,
    calls: Calls | None = None,
    options: PickOptions | None = None,
) -> PickResult:
    """Do what the commits did again on top of HEAD; of a range, the oldest first.

    Each becomes a commit with the author and the recorded commands of the old one. Uncommitted
    changes stay where a pick does not touch them. At conflicts it stops with the rest pending.
    Raises BadRevision, NothingPicked, NotPickable, WouldOverwrite, AlreadyPending, UnmergedFiles,
    WorktreeBusy.
    """
    return _begin(repository, CHERRY_PICK, revisions, options or PickOptions(), calls)


def revert(
    repository: Repository,
    revisions: Sequence[str],
    *,
    calls: Calls | None = None,
    options: PickOptions | None = None,
) -> PickResult:
    """Undo what the commits did in new commits on top of HEAD; of a range, the newest first.

    Stops and raises as ``cherry_pick``.
    """
    return _begin(repository, REVERT, revisions, options or PickOptions(), calls)


def go_on(
    repository: Repository,
    *,
    calls: Calls | None = None,
    edit: Callable[[str], str] | None = None,
    template: Callable[[str], str] | None = None,
    concluded: Callable[[CommitResult], None] | None = None,
) -> PickResult:
    """Commit the step that stopped, its conflicts resolved, and do the rest (``--continue``).

    ``edit`` gets the message of that commit, ``concluded`` hears of it. Raises NotInProgress,
    Unresolved, NothingToCommit while the step is empty, and as ``cherry_pick``.
    """
    unfinished = _require(repository)
    result = None
    if unfinished.theirs or unfinished.conflicts:
        options = PickOptions.decode(unfinished.options)
        result = conclude(
            repository,
            None,
            edit=edit,
            template=template if edit is not None else None,
            auto=edit is None,
            allow_empty=options.keep_redundant,
            allow_empty_message=options.allow_empty_message,
        )
        if concluded is not None:
            concluded(result)
    return _rest(repository, result, calls)


def skip(repository: Repository, verb: str, *, calls: Calls | None = None) -> PickResult:
    """Leave the step that stopped out, and do the rest. Raises NotInProgress."""
    with repository.locked(verb):
        unfinished = pending.read(repository)
        if unfinished is None or unfinished.verb != verb:
            raise NotInProgress(f"no {verb} in progress")
        if (
            not unfinished.theirs
            and not unfinished.conflicts
            and _has_moved(repository, unfinished)
        ):
            raise NotInProgress(
                "there is nothing to skip",
                hint=f'have you committed already?\ntry "envgit {verb} --continue"',
            )
        _leave_out(repository, unfinished)
    return _rest(repository, None, calls)


def abort(repository: Repository) -> AbortResult:
    """Go back to before the whole sequence. Where HEAD moved since it stopped, only forget it.

    Raises NotInProgress, WorktreeBusy.
    """
    unfinished = _require(repository)
    with repository.locked(unfinished.verb):
        verb, reason = unfinished.verb, f"{unfinished.verb}: --abort"
        if _has_moved(repository, unfinished):
            _forget(repository, unfinished, reason)
            return AbortResult(moved=True)
        if unfinished.before is not None and unfinished.head == unfinished.ours:
            landing.abandon(repository, unfinished, verb=verb, reason=reason)
        else:
            _go_back(repository, unfinished, reason)
        return AbortResult(moved=False)


def quit_sequence(repository: Repository) -> None:
    """Forget the sequence; HEAD and the worktree stay as they are."""
    unfinished = pending.read(repository)
    if unfinished is not None and unfinished.verb in VERBS:
        with repository.locked(unfinished.verb):
            _forget(repository, unfinished, f"{unfinished.verb}: --quit")


# -- beginning ------------------------------------------------------------------------------------


def _begin(
    repository: Repository,
    verb: str,
    revisions: Sequence[str],
    options: PickOptions,
    calls: Calls | None,
) -> PickResult:
    with repository.locked(verb):
        check_idle(repository)
        todo = _commits(repository, verb, revisions)
        unfinished = pending.read(repository)
        if unfinished is not None:
            current = snapshot.stable(repository)
            if pending.unresolved(repository, unfinished, current):
                shown = "Cherry-picking" if verb == CHERRY_PICK else "Reverting"
                raise UnmergedFiles(
                    f"{shown} is not possible because you have unmerged files.",
                    hint="Fix them up in the environment, and then use 'envgit add <file>'\n"
                    "as appropriate to mark resolution and make a commit.",
                )
            if unfinished.verb != pending.STASH:
                pending.check_nothing(repository, verb)
        return _run(repository, verb, options, calls, todo)


def _run(
    repository: Repository,
    verb: str,
    options: PickOptions,
    calls: Calls | None,
    todo: Sequence[CommitId],
    start: CommitId | None = None,
) -> PickResult:
    """Do the steps; whoever called hears of each as it is done, and gets them all at the end."""
    done: list[Picked] = []

    def heard(picked: Picked) -> None:
        done.append(picked)
        if calls is not None:
            calls.done(picked)

    talk = replace(calls, done=heard) if calls is not None else Calls(heard)
    stopped = Sequencer(
        repository, verb, options, talk, start, many=start is not None or len(todo) > 1
    ).run(todo)
    return PickResult(tuple(done), stopped)


def _commits(repository: Repository, verb: str, names: Sequence[str]) -> list[CommitId]:
    """The commits in the order in which they are done: as they were named, each once; or where a
    range is among them, as ``log`` walks them, from the old to the new for cherry-pick."""
    git = repository.git
    ranges = any(
        name.startswith(("^", "--")) or split_range(name) or _EXCLUDING.search(name)
        for name in names
    )
    found: list[CommitId] = []
    for name in names if not ranges else ():
        try:
            found.append(git.resolve(name))
        except UnknownRevision as error:
            raise BadRevision(f"bad revision '{name}'") from error
    if not ranges:
        return list(dict.fromkeys(found))
    groups = [name[2:] for name in names if name[2:] in GROUPS and name.startswith("--")]
    specs = [name for name in names if name[2:] not in groups]
    try:
        chosen = choose(git, specs, default=None, globs=groups)
    except UnknownRevision as error:
        raise BadRevision(f"bad revision '{error.spec}'") from error
    found = list(git.walk(chosen.include, chosen.exclude, reverse=verb == CHERRY_PICK))
    if not found:
        raise NothingPicked("empty commit set passed")
    return found


# -- going on, and going back ---------------------------------------------------------------------


def _require(repository: Repository) -> Pending:
    unfinished = pending.read(repository)
    if unfinished is None or unfinished.verb not in VERBS:
        raise NotInProgress("no cherry-pick or revert in progress")
    return unfinished


def _rest(
    repository: Repository, concluded: CommitResult | None, calls: Calls | None
) -> PickResult:
    """What was still to do, if anything is left of it."""
    unfinished = pending.read(repository)
    if unfinished is None or unfinished.verb not in VERBS:
        return PickResult((), None, concluded)
    with repository.locked(unfinished.verb):
        options = PickOptions.decode(unfinished.options)
        result = _run(repository, unfinished.verb, options, calls, unfinished.todo, unfinished.head)
        return replace(result, concluded=concluded)


def _has_moved(repository: Repository, unfinished: Pending) -> bool:
    safe = unfinished.options.get("safe")
    return safe is not None and safe != repository.git.head().commit


def _forget(repository: Repository, unfinished: Pending, reason: str) -> None:
    writer = repository.git.writer()
    refs = pending.updates(repository, writer, None)
    publish(repository, writer, Publication(unfinished.verb, reason, refs=refs))


def _leave_out(repository: Repository, unfinished: Pending) -> None:
    """The worktree as before the step that stopped; the rest stays pending."""
    check_idle(repository)
    state, writer = repository.worktree.state(), repository.git.writer()
    rest = None
    if unfinished.todo:
        options = {**unfinished.options, "safe": None}
        rest = replace(
            unfinished, theirs=(), message="", conflicts=(), marked=(), before=None, options=options
        )
    there = unfinished.before
    publish(
        repository,
        writer,
        Publication(
            verb=unfinished.verb,
            description=f"{unfinished.verb}: --skip",
            refs=[
                *pending.updates(repository, writer, rest),
                *pending.orig_head(repository, repository.git.head().commit),
            ],
            state=position.state_at(repository, state, there) if there else None,
            before=position.point(repository, state) if there else None,
            after=there,
        ),
    )


def _go_back(repository: Repository, unfinished: Pending, reason: str) -> None:
    """To where the sequence began, after some steps were done."""
    check_idle(repository)
    git, writer = repository.git, repository.git.writer()
    there = unfinished.before
    if there is None:
        arrival = carry.arrive(
            repository, writer, carry.at(repository, unfinished.head), keep=True, command="merge"
        )
    else:
        arrival = _without_the_steps(repository, writer, unfinished, there)
    refs: list[RefUpdate] = pending.updates(repository, writer, None)
    refs += pending.orig_head(repository, git.head().commit)
    # The words of the reset by which git goes back.
    moved, head = moving_head(git.head(), unfinished.head, f"reset: moving to {unfinished.head}")
    publication = Publication(
        verb=unfinished.verb, description=reason, refs=[*moved, *refs], head=head
    )
    publish(repository, writer, arrival.added_to(publication))
    position.shorten(repository)


def _without_the_steps(
    repository: Repository, writer: ObjectWriter, unfinished: Pending, there: WorktreePoint
) -> Arrival:
    """What was uncommitted before the step that stopped, put on the commit where it all began."""
    state = repository.worktree.state()
    here, begin = position.point(repository, state), unfinished.head
    if there.base is None or there.base == unfinished.ours:
        return Arrival(position.at_commit(repository, state, begin), here)
    back = carry.rebased(repository, writer, unfinished.ours, there.base, begin)
    return Arrival(back.state, here, seals=back.seals)


__all__ = [
    "EMPTY",
    "AbortResult",
    "BadRevision",
    "Calls",
    "NotInProgress",
    "NothingPicked",
    "NothingToCommit",
    "PickOptions",
    "PickResult",
    "Picked",
    "Stopped",
    "UnmergedFiles",
    "abort",
    "cherry_pick",
    "go_on",
    "quit_sequence",
    "revert",
    "skip",
]
