# SPDX-License-Identifier: Apache-2.0
"""Join other histories to HEAD's: fast-forward, three-way, several at once, squashed.

What becomes of the files is decided in porcelain/foundation/strategies.py; here, what happens to
HEAD, in git's order and words (builtin/merge.c).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import (
    carry,
    hooks,
    landing,
    mergetext,
    messages,
    pending,
    snapshot,
    trailers,
)
from envgit.porcelain.foundation.carry import WouldOverwrite
from envgit.porcelain.foundation.mergetext import Merging
from envgit.porcelain.foundation.merging import Side
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.pending import Conflict, Pending
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.strategies import NAMES, OCTOPUS, ORT, Joined, Strategy
from envgit.repo.metadata import Metadata

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current

UP_TO_DATE, FAST_FORWARD, MERGED = "up to date", "fast-forward", "merged"
STOPPED, SQUASHED, CONFLICTS = "stopped", "squashed", "conflicts"
NO_MESSAGE, REFUSED = "no message", "refused"


class NotMergeable(Refused):
    """A name that is no commit."""


class NoStrategy(Refused):
    """A strategy that is not known here."""


class NotFastForward(EnvgitError):
    """Only a fast-forward was allowed."""


class UnresolvedConflict(EnvgitError):
    """The conflicts of another merge are not resolved."""

    prefix = "error"


class Blocked(WouldOverwrite):
    """Uncommitted changes are in the way. ``updating`` are the commits of a fast-forward."""

    def __init__(
        self, cause: WouldOverwrite, updating: tuple[CommitId, CommitId] | None = None
    ) -> None:
        super().__init__(cause.message, cause.paths)
        self.updating = updating


@dataclass(frozen=True, slots=True)
class MergeResult:
    """How a merge ended.

    ``outcome`` is one of this module's words; ``old`` and ``commit`` where HEAD was and is.
    ``messages`` are git's lines about single files; ``conflicts`` the paths to be resolved;
    ``squashed`` whether HEAD stays where it is on purpose.
    """

    outcome: str
    strategy: str
    old: CommitId | None
    commit: CommitId | None
    theirs: tuple[CommitId, ...] = ()
    messages: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    squashed: bool = False


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How to merge: see git-merge(1). ``log`` is how many subjects ``--log`` adds at most."""

    ff: bool = True
    ff_only: bool = False
    squash: bool = False
    commit: bool = True
    strategy: str | None = None
    favour: str | None = None
    allow_unrelated: bool = False
    log: int = 0
    signoff: bool = False
    verify: bool = True


def merge(
    repository: Repository,
    revisions: Sequence[str],
    *,
    message: str | None = None,
    edit: Callable[[str], str] | None = None,
    template: Callable[[str], str] | None = None,
    report: Callable[[MergeResult], None] | None = None,
    **options: Any,
) -> MergeResult:
    """Merge ``revisions`` into HEAD; options are those of `MergeOptions`.

    Without conflicts HEAD's branch moves; else what is merged is uncommitted, the conflicts are
    pending, and ``commit`` or ``merge --continue`` concludes. Uncommitted changes stay where the
    merge does not touch them. ``report`` gets the result before the post-merge hook is called.
    Raises NotMergeable, Unrelated, NotFastForward, NoOctopus, Blocked, AlreadyPending,
    WorktreeBusy.
    """
    chosen = MergeOptions(**options)
    if chosen.strategy is not None and chosen.strategy not in NAMES:
        raise NoStrategy(
            f"Could not find merge strategy '{chosen.strategy}'.\n"
            f"Available strategies are: {' '.join(NAMES)}."
        )
    with repository.locked("merge"):
        check_idle(repository)
        _check_nothing_pending(repository)
        named = [_named(repository, name) for name in revisions]
        work = _Merge(repository, chosen, snapshot.stable(repository), named)
        finish = partial(messages.for_merge, repository, edit, template, verify=chosen.verify)
        try:
            result = work.run(message, finish)
        finally:
            work.strategy.forget_scratches()
    if report is not None:
        report(result)
    if result.outcome in (FAST_FORWARD, MERGED, SQUASHED):
        hooks.run_hook(repository, "post-merge", "1" if result.squashed else "0")
        hooks.package_changed(repository, result.old, repository.git.head().commit)
    return result


def quit_merge(repository: Repository) -> None:
    """Forget the merge that is pending; the worktree stays as it is."""
    with repository.locked("merge"):
        writer = repository.git.writer()
        found = pending.read(repository)
        if found is None or found.verb != pending.MERGE:
            return
        refs = pending.updates(repository, writer, None)
        publish(repository, writer, Publication("merge", "merge: --quit", refs=refs))


def abort(repository: Repository) -> None:
    """Back to before the merge that is pending, uncommitted changes included. Raises
    NothingPending, WorktreeBusy."""
    with repository.locked("merge"):
        found = require_pending(repository, "There is no merge to abort (MERGE_HEAD missing).")
        landing.abandon(repository, found, verb="merge", reason="merge: --abort")


def require_pending(
    repository: Repository,
    complaint: str = "There is no merge in progress (MERGE_HEAD missing).",
) -> Pending:
    """The merge that is pending. Raises NothingPending with ``complaint``."""
    found = pending.read(repository)
    if found is None or found.verb != pending.MERGE or not found.theirs:
        raise pending.NothingPending(complaint)
    return found


def _check_nothing_pending(repository: Repository) -> None:
    found = pending.read(repository)
    if found is not None and found.conflicts:
        current = snapshot.describe(repository)
        if pending.unresolved(repository, found, current):
            raise UnresolvedConflict(
                "Merging is not possible because you have unmerged files.\n"
                "fatal: Exiting because of an unresolved conflict.",
                hint="Fix them up in the environment, and then use 'envgit add <file>' to mark"
                " resolution and make a commit.",
            )
    pending.check_nothing(repository, "merge")


def _named(repository: Repository, name: str) -> Merging:
    try:
        return Merging(name, repository.git.resolve(name))
    except EnvgitError as error:
        raise NotMergeable(f"merge: {name} - not something we can merge") from error


class _Merge:
    def __init__(
        self,
        repository: Repository,
        options: MergeOptions,
        current: Current,
        named: Sequence[Merging],
    ) -> None:
        self.repository = repository
        self.git = repository.git
        self.options = options
        self.current = current
        self.head = current.head.commit
        self.named = named
        self.reason = "merge " + " ".join(one.name for one in named)
        self.strategy = Strategy(
            repository,
            options.strategy or ORT,
            favour=options.favour,
            allow_unrelated=options.allow_unrelated,
        )

    def run(self, message: str | None, finish: Callable[[str], str]) -> MergeResult:
        options, head = self.options, self.head
        if head is None:
            return self._into_nothing()
        theirs = self._remaining(head)
        if not theirs:
            return MergeResult(UP_TO_DATE, self.strategy.name, head, head)
        if len(theirs) > 1 and options.strategy is None:
            self.strategy.name = OCTOPUS
        commits = tuple(one.commit for one in theirs)
        ahead = len(commits) == 1 and self.git.is_ancestor(head, commits[0])
        if ahead and options.ff and options.strategy is None and not options.squash:
            return self._fast_forward(head, commits[0])
        if options.ff_only and not ahead:
            raise NotFastForward("Not possible to fast-forward, aborting.")
        joined = self.strategy.join(head, theirs)
        if options.squash:
            return self._squash(joined)
        text = self._text(head, theirs, message)
        if joined.combined.conflicts or not options.commit:
            return self._stop(joined, text)
        try:
            final = finish(text)
        except hooks.HookRefused as error:
            self.repository.notify(f"error: {error.message}")
            stopped = self._stop(joined, text)
            return replace(stopped, outcome=REFUSED)
        if not final.strip():
            stopped = self._stop(joined, final)
            return replace(stopped, outcome=NO_MESSAGE)
        return self._commit(joined, final)

    def _remaining(self, head: CommitId) -> list[Merging]:
        """What is to be merged, without what HEAD or another of them has already."""
        kept: list[Merging] = []
        for index, one in enumerate(self.named):
            others = [other.commit for other in self.named[index + 1 :]]
            others += [other.commit for other in kept]
            if self.git.is_ancestor(one.commit, head) or one.commit in others:
                continue
            if not any(self.git.is_ancestor(one.commit, other) for other in others):
                kept.append(one)
        return kept

    # -- HEAD follows ---------------------------------------------------------------------------

    def _into_nothing(self) -> MergeResult:
        """A branch without commits takes the first that is merged into it."""
        if self.options.squash:
            raise EnvgitError("Squash commit into empty head not supported yet")
        if not self.options.ff:
            raise EnvgitError("Non-fast-forward commit does not make sense into an empty head")
        if len(self.named) > 1:
            raise EnvgitError("Can merge only exactly one commit into empty head")
        return self._move(None, self.named[0].commit, "initial pull")

    def _fast_forward(self, head: CommitId, commit: CommitId) -> MergeResult:
        return self._move(head, commit, f"{self.reason}: Fast-forward")

    def _move(self, head: CommitId | None, commit: CommitId, reason: str) -> MergeResult:
        writer = self.git.writer()
        destination = carry.at(self.repository, commit)
        try:
            arrival = carry.arrive(self.repository, writer, destination, keep=True, command="merge")
        except WouldOverwrite as error:
            raise Blocked(error, (head, commit) if head is not None else None) from error
        refs, head_update = moving_head(self.current.head, commit, reason)
        publication = Publication(
            verb="merge",
            description=reason,
            refs=[*refs, *pending.orig_head(self.repository, head)],
            head=head_update,
        )
        publish(self.repository, writer, arrival.added_to(publication))
        return MergeResult(FAST_FORWARD, self.strategy.name, head, commit, (commit,))

    # -- how it ends ----------------------------------------------------------------------------

    def _text(self, head: CommitId, theirs: Sequence[Merging], message: str | None) -> str:
        text = message
        if text is None:
            text = mergetext.title(self.repository, self.current.head, theirs)
        if self.options.log:
            text = text.rstrip("\n") + "\n"
            for one in theirs:
                text += mergetext.shortlog(self.repository, head, one, self.options.log)
        if self.options.signoff:
            text = trailers.signed_off(text, self.repository.signature())
        return text

    def _commit(self, joined: Joined, text: str) -> MergeResult:
        repository, head = self.repository, joined.head
        made_by = f"Merge made by the '{self.strategy.name}' strategy."
        try:
            commit = landing.as_commit(
                repository,
                self.git.writer(),
                self.current,
                joined.combined,
                parents=(head, *joined.theirs),
                metadata=Metadata(config=joined.config, runs=()),
                author=repository.signature("AUTHOR"),
                committer=repository.signature(),
                message=text if text.endswith("\n") else text + "\n",
                verb="merge",
                reason=f"{self.reason}: {made_by}",
                extra_refs=pending.orig_head(repository, head),
            )
        except WouldOverwrite as error:
            raise Blocked(error) from error
        return MergeResult(MERGED, self.strategy.name, head, commit, joined.theirs, joined.messages)

    def _squash(self, joined: Joined) -> MergeResult:
        """Leave what is merged as changes of one's own: who commits them names no other parent."""
        text = mergetext.squashed(self.repository, joined.head, joined.theirs)
        self._leave(joined, text, pending.SQUASH)
        outcome = CONFLICTS if joined.combined.conflicts else SQUASHED
        return replace(self._left(joined, outcome), squashed=True)

    def _stop(self, joined: Joined, text: str) -> MergeResult:
        """Leave the merge to be concluded: its conflicts, or by ``--no-commit`` nothing."""
        self._leave(joined, text, pending.MERGE)
        return self._left(joined, CONFLICTS if joined.combined.conflicts else STOPPED)

    def _left(self, joined: Joined, outcome: str) -> MergeResult:
        head, conflicts = joined.head, joined.combined.conflicts
        return MergeResult(
            outcome, self.strategy.name, head, head, joined.theirs, joined.messages, conflicts
        )

    def _leave(self, joined: Joined, text: str, verb: str) -> None:
        repository, current = self.repository, self.current
        head, combined = joined.head, joined.combined
        if current.changes:
            try:
                carry.check_no_overlap(current, combined.tree, "merge")
            except WouldOverwrite as error:
                raise Blocked(error) from error
            # What is uncommitted lies elsewhere: the same merge into the worktree as it is.
            side = Side.of_current(repository, current, "HEAD")
            combined = self.strategy.combine(head, joined.merging, side)
        landing.as_changes(
            repository,
            self.git.writer(),
            current,
            combined,
            verb="merge",
            reason=self.reason,
            pending_next=Pending(
                verb=verb,
                head=head,
                ours=head,
                theirs=() if verb == pending.SQUASH else joined.theirs,
                message=text,
                conflicts=combined.conflicts,
                config=joined.config,
            ),
            extra_refs=pending.orig_head(repository, head),
            config=joined.config,
        )
