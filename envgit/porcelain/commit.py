# SPDX-License-Identifier: Apache-2.0
"""Record the uncommitted state of the worktree as a commit."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.layers.compare import Change, changes, differing
from envgit.layers.ids import CommitId
from envgit.layers.interest import picks
from envgit.layers.pathspec import Pathspec
from envgit.porcelain.foundation import (
    hooks,
    layering,
    messages,
    pending,
    position,
    snapshot,
)
from envgit.porcelain.foundation.paths import require_match
from envgit.porcelain.foundation.publish import Publication, moving_head, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import subject_of
from envgit.repo.metadata import Metadata, RunRecord

if TYPE_CHECKING:
    from envgit.layers.scan import Skipped
    from envgit.porcelain.foundation.layering import Layered
    from envgit.porcelain.foundation.pending import Pending
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.commits import Commit
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.signature import Signature
    from envgit.store.worktree import State


class NothingToCommit(Refused):
    """The worktree equals HEAD."""


class EmptyMessage(Refused):
    """A commit needs a message."""


class EmptyAmend(Refused):
    """An amended commit would change nothing."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What was committed: its id, where, and how it differs from its first parent."""

    commit: CommitId
    branch: str | None
    root: bool
    subject: str
    changes: list[Change]
    skipped: tuple[Skipped, ...]
    author: Signature
    committer: Signature


@dataclass(frozen=True, slots=True)
class _Request:
    """A commit that was checked and is to be written."""

    amend: bool
    spec: Pathspec
    selected: list[Change]
    runs: tuple[RunRecord, ...]
    message: str
    author: Signature
    committer: Signature
    config: dict[str, object] | None
    concludes: Pending | None


@dataclass(slots=True)
class _Wording:
    """How the message comes about: where it begins, and who has a say in it."""

    auto: bool
    edit: Callable[[str], str] | None
    template: Callable[[str], str] | None
    source: tuple[str, ...]
    verify: bool
    call_hooks: bool
    may_be_empty: bool
    text: str | None = None

    @property
    def env(self) -> dict[str, str]:
        """What tells hooks that there will be no editor (builtin/commit.c)."""
        return {"ENVGIT_EDITOR": ":"} if self.edit is None else {}

    def start(self, message: str | None, concludes: Pending | None, amended: Commit | None) -> None:
        """Begin with the message that is given, or that a merge left, or that is amended; its
        source is what the caller of ``commit`` said, who may know better."""
        source: tuple[str, ...] = ()
        if message is not None:
            self.text, source = message, ("message",)
        elif concludes is not None and concludes.message:
            squashed = concludes.verb == pending.SQUASH
            self.text, source = concludes.message, ("squash" if squashed else "merge",)
        elif amended is not None:
            self.text, source = amended.message, ("commit", "HEAD")
        self.source = self.source or source

    def before(self, repository: Repository) -> None:
        """Call pre-commit. Raises HookRefused."""
        if self.call_hooks and self.verify:
            hooks.require(repository, "pre-commit", env=self.env)

    def after(
        self,
        repository: Repository,
        amended: Commit | None,
        commit: CommitId,
        before: CommitId | None,
    ) -> None:
        """Call post-commit, post-rewrite after an amended commit, and package-changed if packages
        are others than ``before``."""
        if self.call_hooks:
            hooks.run_hook(repository, "post-commit", env=self.env)
            if amended is not None:
                hooks.post_rewrite(repository, "amend", [(amended.id, commit)])
            hooks.package_changed(repository, before, commit)


def commit(
    repository: Repository,
    message: str | None = None,
    *,
    paths: Sequence[str | bytes] = (),
    amend: bool = False,
    allow_empty: bool = False,
    allow_empty_message: bool = False,
    allow_unflushed: bool = False,
    author: str | None = None,
    date: str | None = None,
    reset_author: bool = False,
    auto: bool = False,
    config: dict[str, object] | None = None,
    edit: Callable[[str], str] | None = None,
    template: Callable[[str], str] | None = None,
    source: Sequence[str] = (),
    verify: bool = True,
    call_hooks: bool = True,
) -> CommitResult:
    """Commit everything uncommitted, or with ``paths`` only what lies there.

    ``message`` None needs ``auto`` (a drafted message), ``amend`` (the old one) or ``edit``,
    which gets the draft and returns the final text. ``config`` replaces the run configuration.
    A merge or pick that stopped is concluded: its message, its parents, its author.

    Without ``verify`` pre-commit and commit-msg are not called, without ``call_hooks`` no hook is;
    ``template`` and ``source`` are as for :func:`envgit.porcelain.foundation.messages.compose`.
    Raises NothingToCommit, EmptyMessage, IncompleteChanges, Unresolved, HookRefused.
    """
    wording = _Wording(auto, edit, template, (*source,), verify, call_hooks, allow_empty_message)
    wording.before(repository)
    with repository.locked("commit"):
        current = snapshot.stable(repository, allow_unflushed=allow_unflushed)
        concludes = _concluded(repository, current, partial=bool(paths), amend=amend)
        picked = _picked(repository, concludes)
        runs = (*_runs_of(repository, picked), *snapshot.uncommitted_runs(repository, current))
        spec, selected = _selected(current, paths)
        to_nothing = allow_empty or config is not None
        amended = _amended(repository, current, spec, to_nothing=to_nothing) if amend else None
        if not (selected or amend or to_nothing or _is_merge(concludes)):
            raise NothingToCommit(_nothing_text(current))
        wording.start(message, concludes, amended)
        text = _message(repository, current, wording, runs, selected)
        kept = None if reset_author or author or date else amended or picked
        request = _Request(
            amend=amend,
            spec=spec,
            selected=selected,
            runs=runs,
            message=text,
            author=kept.author if kept else _author(repository, author, date),
            committer=repository.signature(),
            config=config,
            concludes=concludes,
        )
        result = _write(repository, current, request)
    wording.after(repository, amended, result.commit, current.head.commit)
    return result


def _draft(
    repository: Repository,
    current: Current,
    runs: Sequence[RunRecord],
    selected: Sequence[Change],
) -> str:
    """A message for a commit: what it did to packages, else what `draft` makes of it."""
    from envgit.porcelain.foundation.packages.uncommitted import uncommitted

    found = uncommitted(repository, current, selected)
    if not found:
        return draft(runs, selected)
    from envgit.porcelain.foundation.packages import wording

    words = (word for run in runs for word in run.argv)
    return wording.draft(found.changes, words) or draft(runs, selected)


def draft(runs: Sequence[RunRecord], changed: Sequence[Change]) -> str:
    """A message for a commit: the commands that made it, or what it changes."""
    commands = [shlex.join(run.argv) for run in runs if run.exit_code == 0] or [
        shlex.join(run.argv) for run in runs
    ]
    if len(commands) == 1:
        return commands[0] + "\n"
    if commands:
        subject = f"{commands[0]}, and {len(commands) - 1} more"
        return subject + "\n\n" + "".join(f"{command}\n" for command in commands)
    names = [change.path.decode("utf-8", "backslashreplace") or "/" for change in changed]
    if len(names) == 1:
        kind = changed[0]
        verb = "Add" if kind.old is None else "Delete" if kind.new is None else "Change"
        return f"{verb} {names[0]}\n"
    return f"Change {len(names)} paths\n" if names else ""


def _nothing_text(current: Current) -> str:
    where = f"On branch {current.head.branch}" if current.head.branch else "HEAD detached"
    if current.changes:
        return f"{where}\nno changes in the paths given"
    return f"{where}\nnothing to commit, working tree clean"


def _author(repository: Repository, author: str | None, date: str | None) -> Signature:
    return repository.signature("AUTHOR", author=author, date=date)


def _concluded(
    repository: Repository, current: Current, *, partial: bool, amend: bool
) -> Pending | None:
    """The merge or pick that this commit concludes; raises Unresolved while conflicts are left."""
    found = pending.read(repository)
    if found is None:
        return None
    if found.theirs and found.verb != pending.STASH and (partial or amend):
        if amend:
            raise EnvgitError(f"You are in the middle of a {found.verb} -- cannot amend.")
        raise EnvgitError(f"cannot do a partial commit during a {found.verb}.")
    pending.check_resolved(repository, found, current)
    return found


def _picked(repository: Repository, concludes: Pending | None) -> Commit | None:
    """The commit whose author and recorded commands a cherry-pick keeps."""
    if concludes is None or concludes.verb != pending.CHERRY_PICK or not concludes.theirs:
        return None
    return repository.git.commit(concludes.theirs[0])


def _what_is_left(concludes: Pending | None, commit: CommitId) -> Pending | None:
    """After the commit of one step of several picks the rest is pending still."""
    if concludes is None or not concludes.todo:
        return None
    return replace(concludes, ours=commit, theirs=(), message="", conflicts=(), marked=())


def _amended(
    repository: Repository, current: Current, spec: Pathspec, *, to_nothing: bool
) -> Commit:
    """The commit to amend. Raises EmptyAmend, as git does, where nothing of its own would be left,
    unless it may be amended ``to_nothing``."""
    if current.head.commit is None:
        raise UsageError("You have nothing yet to amend.")
    amended = repository.git.commit(current.head.commit)
    if to_nothing or len(amended.parents) > 1 or not (amended.parents or current.changes):
        return amended
    before = repository.git.rootfs(amended.parents[0]) if amended.parents else None
    after = current.tree
    if spec:
        after, _ = layering.with_paths(current.head_tree, current.tree, spec)
    if next(differing(before, after), None) is None:
        raise EmptyAmend(
            "You asked to amend the most recent commit, but doing so would make\n"
            "it empty. You can repeat your command with --allow-empty, or you can\n"
            "remove the commit entirely with 'envgit reset HEAD^'."
        )
    return amended


def _runs_of(repository: Repository, picked: Commit | None) -> tuple[RunRecord, ...]:
    return repository.git.metadata(picked.id).runs if picked is not None else ()


def _selected(current: Current, paths: Sequence[str | bytes]) -> tuple[Pathspec, list[Change]]:
    """The paths as a pathspec, and what of the changes it picks."""
    spec = Pathspec.parse(paths)
    require_match(spec, (current.head_tree, current.tree))
    return spec, [change for change in current.changes if picks(spec, change)]


def _is_merge(concludes: Pending | None) -> bool:
    return concludes is not None and concludes.verb == pending.MERGE


def _message(
    repository: Repository,
    current: Current,
    wording: _Wording,
    runs: Sequence[RunRecord],
    selected: Sequence[Change],
) -> str:
    if wording.text is None:
        if not wording.auto and wording.edit is None:
            raise EmptyMessage("no commit message given", hint="use -m, -F, --auto or an editor")
        wording.text = _draft(repository, current, runs, selected)
        if wording.auto:
            wording.source = wording.source or ("message",)
    text = wording.text
    if wording.call_hooks:
        text = messages.compose(
            repository,
            text,
            source=wording.source,
            edit=wording.edit,
            template=wording.template,
            verify=wording.verify,
        )
    if "\0" in text:
        raise EnvgitError("a NUL byte in commit log message not allowed.")
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    if not any(lines):
        if wording.may_be_empty:
            return ""
        raise EmptyMessage("Aborting commit due to empty commit message.")
    return "\n".join(lines).strip("\n") + "\n"


def _write(repository: Repository, current: Current, request: _Request) -> CommitResult:
    git, head = repository.git, current.head
    old = git.commit(head.commit) if head.commit else None
    if request.amend and old is not None:
        parents, runs = old.parents, (*git.metadata(old.id).runs, *request.runs)
    else:
        parents, runs = ((old.id,) if old else ()), request.runs
    concludes = request.concludes
    if concludes is not None and _is_merge(concludes):
        parents += concludes.theirs
    parent = parents[0] if parents else None
    config = request.config
    if config is None and concludes is not None and concludes.config is not None:
        config = dict(concludes.config)
    if config is None:
        config = dict(git.metadata(old.id).config) if old else {}
    metadata = Metadata(config=config, runs=runs)
    writer = git.writer()
    made = _layers(repository, writer, current, parent, old, request)
    who = (request.author, request.committer)
    oid = layering.write_commit(writer, made.layered, metadata, parents, *who, request.message)
    state = _next_state(repository, current, made, parent, oid, metadata)
    reason = f"{_kind(request, old)}: {request.message.partition(chr(10))[0]}"
    _publish(repository, writer, current, made, oid, state, reason, request)
    shown = request.selected
    if request.amend:
        shown = changes(git.rootfs(parent) if parent else None, git.rootfs(oid))
    return CommitResult(
        commit=oid,
        branch=head.branch,
        root=parent is None,
        subject=subject_of(request.message),
        changes=shown,
        skipped=current.skipped,
        author=request.author,
        committer=request.committer,
    )


def _kind(request: _Request, old: Commit | None) -> str:
    """How git's reflog calls it (builtin/commit.c)."""
    if request.amend or old is None:
        return "commit (amend)" if request.amend else "commit (initial)"
    concludes = request.concludes
    if concludes is None or not concludes.theirs:
        return "commit"
    return {pending.MERGE: "commit (merge)", pending.CHERRY_PICK: "commit (cherry-pick)"}.get(
        concludes.verb, "commit"
    )


def _publish(
    repository: Repository,
    writer: ObjectWriter,
    current: Current,
    made: _Made,
    oid: CommitId,
    state: State,
    reason: str,
    request: _Request,
) -> None:
    seals = [each.seal for each in (made.layered, made.rest) if each and each.seal]
    refs, head = moving_head(current.head, oid, reason)
    if request.concludes is not None:
        left = _what_is_left(request.concludes, oid)
        refs += pending.updates(repository, writer, left)
    publication = Publication(
        verb="commit",
        description=reason,
        refs=refs,
        head=head,
        state=state,
        seals=seals,
        discards=[current.source],
        sealed=None if current.copied else (current.state.changes, made.rest_commit or oid),
    )
    publish(repository, writer, publication, request.committer)
    position.shorten(repository)


@dataclass(frozen=True, slots=True)
class _Made:
    """The layer of the new commit, and with ``-- PATH`` the snapshot that keeps the rest."""

    layered: Layered
    rest: Layered | None = None
    rest_commit: CommitId | None = None


def _layers(
    repository: Repository,
    writer: ObjectWriter,
    current: Current,
    parent: CommitId | None,
    old: Commit | None,
    request: _Request,
) -> _Made:
    """Make the new commit's layer, in the cheapest way that is right."""
    contents = snapshot.reader(repository, current.state.stack, current.upper)
    if request.spec:
        target, _ = layering.with_paths(current.head_tree, current.tree, request.spec)
        layered = layering.layer_between(
            repository, writer, layering.tree_of(repository, parent), target, contents.find
        )
        if current.copied:
            return _Made(layered)
        # What is left stays uncommitted: the whole state becomes a snapshot to stand on.
        rest = layering.seal_changes(repository, writer, current)
        if rest.rootfs == layered.rootfs:
            return _Made(layered)
        commit = layering.write_snapshot(
            writer, rest, current.state.base, current.state.config, request.committer
        )
        return _Made(layered, rest, commit)
    if parent == current.state.base and not request.amend:
        return _Made(layering.seal_changes(repository, writer, current))
    if request.amend and old is not None and not current.changes:
        return _Made(layering.Layered(old.layer, old.rootfs, None))
    onto = layering.tree_of(repository, parent)
    return _Made(layering.layer_between(repository, writer, onto, current.tree, contents.find))


def _next_state(
    repository: Repository,
    current: Current,
    made: _Made,
    parent: CommitId | None,
    oid: CommitId,
    metadata: Metadata,
) -> State:
    """Where the worktree stands after the commit.

    While something runs its mount stays as it is; only the commands are marked as recorded.
    Otherwise it stands on the commit (or the snapshot of what is left) with an empty change set.
    """
    state = current.state
    if current.copied:
        return state._replace(config=dict(metadata.config), committed_runs=len(current.recorded))
    if made.rest is not None and made.rest_commit is not None:
        base, below, layer = made.rest_commit, state.base, made.rest.layer
    else:
        base, below, layer = oid, parent, made.layered.layer
    chain = position.on_top(repository, state, below, layer)
    return position.standing(repository, state, base, chain, metadata.config, current.tree)
