# SPDX-License-Identifier: Apache-2.0
"""One step after the other of a cherry-pick or revert: what both share.

Each step is a commit that is published with the rest of the list as pending, so that a sequence
which is killed can be continued or aborted. A step that stops leaves its changes uncommitted, with
its conflicts pending.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError, Refused
from envgit.layers.compare import Change, changes
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import (
    applying,
    carry,
    hooks,
    landing,
    messages,
    pending,
    picktext,
    position,
    snapshot,
    trailers,
)
from envgit.porcelain.foundation.carry import WouldOverwrite
from envgit.porcelain.foundation.merging import Combined, Side, combine, merged_config
from envgit.porcelain.foundation.pending import CHERRY_PICK, REVERT, Conflict, Pending
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import subject_of
from envgit.repo.metadata import Metadata

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.commits import Commit
    from envgit.repo.refs import RefUpdate
    from envgit.repo.signature import Signature

CONFLICTS, EMPTY = "conflicts", "empty"


class NotPickable(Refused):
    """A commit that cannot be picked as it was asked."""


class NothingToSay(Refused):
    """A commit whose message is empty."""

    prefix = ""


@dataclass(frozen=True, slots=True)
class PickOptions:
    """How commits are picked; each stands for the option of git-cherry-pick(1) or git-revert(1).

    ``commit`` is False for ``-n``; ``origin`` is ``-x``; ``favour`` is ``-X`` (ours, theirs,
    newest); ``edit`` None leaves it to the verb.
    """

    commit: bool = True
    mainline: int | None = None
    origin: bool = False
    signoff: bool = False
    allow_empty: bool = False
    allow_empty_message: bool = False
    keep_redundant: bool = False
    ff: bool = False
    favour: str | None = None
    edit: bool | None = None
    reference: bool = False

    def encode(self) -> dict[str, Any]:
        """As the pending record keeps it."""
        return asdict(self)

    @classmethod
    def decode(cls, record: Mapping[str, Any]) -> PickOptions:
        """The options in a pending record, which has more in it."""
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in record.items() if name in known})


@dataclass(frozen=True, slots=True)
class Picked:
    """A step that was done: ``commit`` is new, None with ``-n``; ``merged`` what git says of the
    merge; ``forward`` that HEAD just moved on to a commit that exists."""

    source: CommitId
    commit: CommitId | None
    branch: str | None
    subject: str
    changes: list[Change]
    author: Signature
    committer: Signature
    merged: tuple[str, ...] = ()
    forward: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The step that stopped, and why: CONFLICTS or EMPTY. ``commits``: it would have become
    a commit (no ``-n``)."""

    verb: str
    source: CommitId
    why: str
    merged: tuple[str, ...] = ()
    commits: bool = True
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Calls:
    """Whom a sequence talks to: ``done`` hears of each step, ``edit`` gets each message and returns
    the final one; ``template`` adds comments for it."""

    done: Callable[[Picked], None]
    edit: Callable[[str], str] | None = None
    template: Callable[[str], str] | None = None


def _counts(change: Change, combined: Combined) -> bool:
    """Whether a change is one: a text that was merged back to what it was has another time only."""
    if change.path not in combined.merged or change.old is None or change.new is None:
        return True
    return replace(change.new, mtime=change.old.mtime) != change.old


class Sequencer:
    """Picks or reverts commits, in the given order. The caller holds the worktree's lock."""

    def __init__(
        self,
        repository: Repository,
        verb: str,
        options: PickOptions,
        calls: Calls,
        start: CommitId | None = None,
        *,
        many: bool = False,
    ) -> None:
        self.repository = repository
        self.git = repository.git
        self.verb = verb
        self.options = options
        self.calls = calls
        self.start = start
        self.many = many

    def run(self, todo: Sequence[CommitId]) -> Stopped | None:
        """Do all; the step that stopped, if one did. Raises NotPickable, WouldOverwrite, ..."""
        for number, oid in enumerate(todo):
            current = snapshot.stable(self.repository)
            if self.start is None:
                self.start = current.head.commit
            stopped = self._step(current, oid, tuple(todo[number + 1 :]))
            if stopped is not None:
                return stopped
        return None

    def _step(self, current: Current, oid: CommitId, left: tuple[CommitId, ...]) -> Stopped | None:
        commit = self.git.commit(oid)
        parent = self._parent(commit)
        if self.options.ff and parent == current.head.commit:
            self._forward(current, commit, left)
            return None
        base, theirs = self._sides(commit, parent)
        if not self.options.commit:
            return self._as_changes(current, commit, base, theirs, left)
        combined = applying.into_head(
            self.repository, current, base, theirs, label="HEAD", favour=self.options.favour
        )
        config = self._config(current, commit, parent)
        text = self._text(commit, parent)
        if combined.conflicts:
            self._stop(current, commit, combined, (base, theirs), config, text, left)
            return self._stopped(oid, CONFLICTS, combined)
        changed = changes(current.head_tree, combined.tree)
        if not any(_counts(change, combined) for change in changed) and not self._may_be_empty(
            commit, parent
        ):
            applying.forget(self.repository, combined)
            self._stop_empty(current, commit, config, text, left)
            return self._stopped(oid, EMPTY, combined)
        self._commit(current, commit, combined, config, text, changed, left)
        return None

    # -- what a step merges ---------------------------------------------------------------------

    def _parent(self, commit: Commit) -> CommitId | None:
        mainline = self.options.mainline
        if len(commit.parents) > 1 and mainline is None:
            raise NotPickable(f"commit {commit.id} is a merge but no -m option was given.")
        number = mainline or 1
        if number > max(len(commit.parents), 1):
            raise NotPickable(f"commit {commit.id} does not have parent {number}")
        return commit.parents[number - 1] if commit.parents else None

    def _sides(self, commit: Commit, parent: CommitId | None) -> tuple[Side, Side]:
        name = picktext.label(self.repository, commit.id)
        own = Side.of_commit(self.repository, commit.id, name)
        above = f"parent of {name}" if parent is not None else "(empty tree)"
        before = Side.of_commit(self.repository, parent, above)
        return (before, own) if self.verb == CHERRY_PICK else (own, before)

    def _config(self, current: Current, commit: Commit, parent: CommitId | None) -> dict[str, Any]:
        own = self.git.metadata(commit.id).config
        before = self.git.metadata(parent).config if parent is not None else {}
        base, theirs = (before, own) if self.verb == CHERRY_PICK else (own, before)
        head = current.head.commit
        ours = self.git.metadata(head).config if head is not None else current.state.config
        return merged_config(base, ours, theirs)

    def _text(self, commit: Commit, parent: CommitId | None) -> str:
        options = self.options
        if self.verb == REVERT:
            text = picktext.reverting(
                self.repository, commit.id, parent, reference=options.reference
            )
        else:
            text = commit.message
            if options.origin:
                text = trailers.with_origin(text, commit.id)
        if options.signoff:
            text = trailers.signed_off(text, self.repository.signature())
        return text

    def _stopped(self, oid: CommitId, why: str, combined: Combined) -> Stopped:
        conflicts, commits = combined.conflicts, self.options.commit
        return Stopped(self.verb, oid, why, combined.messages, commits, conflicts)

    def _may_be_empty(self, commit: Commit, parent: CommitId | None) -> bool:
        if self.options.keep_redundant:
            return True
        before = self.git.commit(parent).rootfs if parent is not None else None
        return self.options.allow_empty and commit.rootfs == before

    # -- how a step ends ------------------------------------------------------------------------

    def _rest(self, left: tuple[CommitId, ...]) -> Pending | None:
        """What is pending between two steps."""
        if not left or self.start is None:
            return None
        record = {**self.options.encode(), "safe": None, "many": True}
        return Pending(self.verb, self.start, self.start, (), "", todo=left, options=record)

    def _record(self, head: CommitId) -> dict[str, Any]:
        """The options with HEAD, by which ``--abort`` sees whether somebody moved it since."""
        return {**self.options.encode(), "safe": head, "many": self.many}

    def _commit(
        self,
        current: Current,
        commit: Commit,
        combined: Combined,
        config: dict[str, Any],
        text: str,
        changed: list[Change],
        left: tuple[CommitId, ...],
    ) -> None:
        repository, git, head = self.repository, self.git, current.head.commit
        text = self._final(text)
        committer = repository.signature()
        picks = self.verb == CHERRY_PICK
        author = commit.author if picks else repository.signature("AUTHOR")
        metadata = Metadata(config, git.metadata(commit.id).runs if picks else ())
        subject = subject_of(text)
        writer = git.writer()
        refs: list[RefUpdate] = []
        if left or pending.read(repository) is not None:
            refs = pending.updates(repository, writer, self._rest(left))
        try:
            made = landing.as_commit(
                repository,
                writer,
                current,
                combined,
                parents=(head,) if head is not None else (),
                metadata=metadata,
                author=author,
                committer=committer,
                message=text,
                verb=self.verb,
                reason=f"{self.verb}: {subject}",
                extra_refs=refs,
            )
        except WouldOverwrite:
            applying.forget(repository, combined)
            raise
        nobody_looks = {} if self.calls.edit is not None else {"ENVGIT_EDITOR": ":"}
        hooks.run_hook(repository, "post-commit", env=nobody_looks, locked=True)
        hooks.package_changed(repository, head, made, locked=True)
        self.calls.done(
            Picked(
                source=commit.id,
                commit=made,
                branch=current.head.branch,
                subject=subject,
                changes=changed,
                author=author,
                committer=committer,
                merged=combined.messages,
            )
        )

    def _final(self, text: str) -> str:
        text = messages.compose(
            self.repository,
            text,
            source=("message",),
            edit=self.calls.edit,
            template=self.calls.template,
            verify=self.calls.edit is not None,
        )
        if not text.strip() and not self.options.allow_empty_message:
            raise NothingToSay("Aborting commit due to empty commit message.")
        return text

    def _forward(self, current: Current, commit: Commit, left: tuple[CommitId, ...]) -> None:
        """HEAD moves on to a commit that is its child already (``--ff``)."""
        repository, writer = self.repository, self.git.writer()
        reason = f"{self.verb}: fast-forward"
        destination = carry.at(repository, commit.id)
        arrival = carry.arrive(repository, writer, destination, keep=True, command="merge")
        refs, head = moving_head(current.head, commit.id, reason)
        publication = Publication(
            verb=self.verb,
            description=reason,
            refs=[*refs, *pending.updates(repository, writer, self._rest(left))],
            head=head,
        )
        publish(repository, writer, arrival.added_to(publication))
        position.shorten(repository)
        self._tell(current, commit, commit.subject)

    def _stop(
        self,
        current: Current,
        commit: Commit,
        combined: Combined,
        sides: tuple[Side, Side],
        config: dict[str, Any],
        text: str,
        left: tuple[CommitId, ...],
    ) -> None:
        """Leave the merge and its conflicts in the worktree."""
        repository, head = self.repository, current.head.commit
        if head is None:
            applying.forget(repository, combined)
            names = b", ".join(one.path for one in combined.conflicts)
            raise EnvgitError(
                f"could not apply {self.git.abbrev(commit.id)}: it changes what is not there yet"
                f" ({names.decode('utf-8', 'backslashreplace')}), and there is no commit to stop on"
            )
        if current.changes:
            combined = applying.beside_changes(
                repository,
                current,
                combined,
                *sides,
                label="HEAD",
                favour=self.options.favour,
            )
        landing.as_changes(
            repository,
            self.git.writer(),
            current,
            combined,
            verb=self.verb,
            reason=f"{self.verb}: {subject_of(text)} (conflicts)",
            pending_next=Pending(
                self.verb,
                self.start or head,
                head,
                (commit.id,),
                text,
                combined.conflicts,
                left,
                config=config,
                options=self._record(head),
            ),
            config=config,
        )

    def _stop_empty(
        self,
        current: Current,
        commit: Commit,
        config: dict[str, Any],
        text: str,
        left: tuple[CommitId, ...],
    ) -> None:
        """Leave the decision about a commit without changes to the user. As in git, nothing is
        pending when it was the last revert."""
        repository, head = self.repository, current.head.commit
        if head is None:
            return
        picks = self.verb == CHERRY_PICK
        if not picks and not left and pending.read(repository) is None:
            return
        writer = self.git.writer()
        stopped = Pending(
            self.verb,
            self.start or head,
            head,
            (commit.id,) if picks else (),
            text if picks else "",
            todo=left,
            before=position.point(repository, current.state),
            config=config,
            options=self._record(head),
        )
        refs = pending.updates(repository, writer, stopped if picks or left else None)
        reason = f"{self.verb}: {subject_of(text)} (empty)"
        publish(repository, writer, Publication(self.verb, reason, refs=refs))

    def _as_changes(
        self,
        current: Current,
        commit: Commit,
        base: Side,
        theirs: Side,
        left: tuple[CommitId, ...],
    ) -> Stopped | None:
        """The step as uncommitted changes on top of those that are there (``-n``).

        As in git, a revert can be concluded by ``commit`` with its own message; a pick cannot.
        """
        repository, head = self.repository, current.head.commit
        if head is None:
            raise EnvgitError("there is no commit yet that changes could be made to")
        ours = Side.of_current(repository, current, "HEAD")
        combined = combine(repository, base, ours, theirs, favour=self.options.favour)
        parent = self._parent(commit)
        config = self._config(current, commit, parent)
        picks = self.verb == CHERRY_PICK
        text = self._text(commit, parent)
        stopped = None
        earlier = pending.read(repository)
        if combined.conflicts or not picks or left:
            stopped = Pending(
                self.verb,
                self.start or head,
                head,
                () if picks else (commit.id,),
                "" if picks else text,
                combined.conflicts,
                left,
                before=earlier.before if earlier is not None else None,
                config=config,
                options=self._record(head),
            )
        landing.as_changes(
            repository,
            self.git.writer(),
            current,
            combined,
            verb=self.verb,
            reason=f"{self.verb} -n: {subject_of(text)}",
            pending_next=stopped,
            runs=self.git.metadata(commit.id).runs if picks else (),
            config=config,
        )
        if combined.conflicts:
            return self._stopped(commit.id, CONFLICTS, combined)
        self._tell(current, commit, subject_of(text), combined.messages)
        return None

    def _tell(
        self, current: Current, commit: Commit, subject: str, merged: tuple[str, ...] = ()
    ) -> None:
        """Say that a step is done that made no commit."""
        forward = self.options.commit
        self.calls.done(
            Picked(
                source=commit.id,
                commit=commit.id if forward else None,
                branch=current.head.branch,
                subject=subject,
                changes=[],
                author=commit.author,
                committer=commit.committer,
                merged=merged,
                forward=forward,
            )
        )
