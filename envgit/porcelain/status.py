# SPDX-License-Identifier: Apache-2.0
"""What differs from HEAD, where HEAD is, and what is running: the facts behind ``status``.

There is no index: whatever changed is one list, and all of it is what ``commit`` would record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.layers.compare import Change
from envgit.layers.entry import Entry, Kind, find_entry
from envgit.layers.ids import CommitId
from envgit.layers.interest import picks
from envgit.layers.pathspec import Pathspec
from envgit.layers.renames import FileChange, classify, detect
from envgit.layers.scan import Skipped
from envgit.porcelain.foundation import pending, session, snapshot
from envgit.porcelain.foundation.pending import Conflict, Pending
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import HEADS, REMOTES, TAGS, shorten

if TYPE_CHECKING:
    from envgit.porcelain.foundation.packages.found import Found
    from envgit.porcelain.foundation.snapshot import Current

_CHECKOUT = re.compile(r"checkout: moving from .* to (.+)\Z", re.DOTALL)


# wt-status.c, wt_shortstatus_unmerged(): by which of base, ours and theirs there are.
_CODES = {
    (True, False, False): "DD",
    (False, True, False): "AU",
    (True, True, False): "UD",
    (False, False, True): "UA",
    (True, False, True): "DU",
    (False, True, True): "AA",
    (True, True, True): "UU",
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """The branch that ours tracks; both counts are None when it is gone."""

    name: str
    ahead: int | None
    behind: int | None


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """A command that runs in the worktree; ``pid`` is that of the envgit that started it."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list; ``files`` counts what is in a directory that is new or gone whole."""

    change: FileChange
    files: int = 0


@dataclass(frozen=True, slots=True)
class Unmerged:
    """A conflict that is not resolved. ``code`` is git's (``UU``, ``AA``, ``DU``: which sides
    have the path); ``now`` what is there in the worktree."""

    conflict: Conflict
    code: str
    now: Entry | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A merge or pick that stopped: its verb, and the commit being picked (None between two)."""

    verb: str
    commit: CommitId | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a worktree.

    ``branch`` is None when HEAD is detached; then ``detached`` says where ("at 2a35b70"). ``head``
    is None before the first commit. ``changes`` are all differences from HEAD, ``rows`` the same
    as they are listed, without those that are ``unmerged``. ``unfinished``: what was begun and is
    not concluded. ``unflushed``: the machine went down before the changes were flushed.
    ``bisecting`` is where a bisection under way began: a branch, or the short id of a commit.
    ``packages``: what became of packages, where it was asked for.
    """

    branch: str | None
    detached: str
    head: CommitId | None
    upstream: Upstream | None
    changes: tuple[Change, ...]
    rows: tuple[Row, ...]
    running: tuple[RunningCommand, ...]
    skipped: tuple[Skipped, ...]
    unflushed: bool
    unmerged: tuple[Unmerged, ...] = ()
    unfinished: Unfinished | None = None
    bisecting: str | None = None
    packages: Found | None = None

    @property
    def clean(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.changes

    @property
    def files(self) -> list[FileChange]:
        """Every change by its letter; directories that come or go with their files left out."""
        return classify(self.changes)


def status(
    repository: Repository,
    *,
    paths: Sequence[str | bytes] = (),
    whole: bool = True,
    renames: bool = True,
    packages: bool = False,
) -> Status:
    """The state of the worktree. Takes no lock and changes nothing.

    ``whole``: a directory that is new or gone with all that is in it is one row, as git shows an
    untracked directory; else every path has its own. ``packages``: tell what became of packages,
    too, of all that is uncommitted or of what lies beneath ``paths``.
    """
    current = snapshot.describe(repository)
    spec = Pathspec.parse(paths)
    changes = [change for change in current.changes if picks(spec, change)]
    head = current.head
    begun = pending.read(repository)
    unmerged = _unmerged(repository, begun, current, spec)
    open_paths = {one.conflict.path for one in unmerged}
    listed = list(_besides(changes, open_paths))
    return Status(
        branch=head.branch,
        detached="" if head.branch else detached(repository, head.commit),
        head=head.commit,
        upstream=_upstream(repository, head.branch, head.commit),
        changes=tuple(changes),
        rows=tuple(_rows(listed, whole=whole, renames=renames)),
        running=tuple(
            RunningCommand(one.pid, one.command) for one in repository.worktree.running()
        ),
        skipped=current.skipped,
        unflushed=bool(changes) and repository.worktree.maybe_incomplete(current.state),
        unmerged=unmerged,
        unfinished=_unfinished(begun),
        bisecting=_bisecting(repository),
        packages=_packages(repository, current, changes) if packages else None,
    )


def _packages(repository: Repository, current: Current, changes: Sequence[Change]) -> Found | None:
    if not changes:
        return None
    from envgit.porcelain.foundation.packages.uncommitted import uncommitted

    return uncommitted(repository, current, changes)


def _bisecting(repository: Repository) -> str | None:
    found = session.read(repository)
    if found is None:
        return None
    return repository.git.abbrev(found.origin) if found.start == found.origin else found.start


def _besides(changes: Sequence[Change], unmerged: set[bytes]) -> Iterable[Change]:
    """The changes without the unmerged paths, and without directories that are new for those."""
    above = {path[: path.index(b"/", at)] for path in unmerged for at in _slashes(path)}
    for change in changes:
        if change.path in unmerged:
            continue
        if change.path in above and not _is_dir(change.old) and _is_dir(change.new):
            if change.old is not None:
                yield Change(change.path, change.old, None)
            continue
        yield change


def _slashes(path: bytes) -> list[int]:
    return [at for at, byte in enumerate(path) if byte == ord("/")]


def _unmerged(
    repository: Repository, begun: Pending | None, current: Current, spec: Pathspec
) -> tuple[Unmerged, ...]:
    if begun is None or not begun.conflicts:
        return ()
    found = [
        Unmerged(one, _CODES[_sides(one)], find_entry(current.tree, one.path))
        for one in pending.unresolved(repository, begun, current)
        if not spec or spec.matches(one.path)
    ]
    return tuple(sorted(found, key=lambda one: one.conflict.path))


def _sides(conflict: Conflict) -> tuple[bool, bool, bool]:
    """Which of base, ours and theirs have the path."""
    return conflict.base is not None, conflict.ours is not None, conflict.theirs is not None


def _unfinished(begun: Pending | None) -> Unfinished | None:
    if begun is None or begun.verb == pending.SQUASH:
        return None
    # git names the commit only where it is the only one (wt-status.c, sequencer_get_last_command).
    single = begun.theirs and not begun.options.get("many")
    return Unfinished(begun.verb, begun.theirs[0] if single else None)


def _rows(changes: list[Change], *, whole: bool, renames: bool) -> Iterable[Row]:
    counts: dict[bytes, int] = {}
    if whole:
        changes = _gathered(changes, counts)
    found = classify(changes)
    if renames:
        # By hash alone: status reads no contents.
        found = detect(found)
    return (Row(change, counts.get(change.path, 0)) for change in found)


def _gathered(changes: list[Change], counts: dict[bytes, int]) -> list[Change]:
    """Leave out what is in a directory that itself is new, or gone; count it instead.

    ``changes`` are in bytewise order, so that a directory comes before what is in it.
    """
    roots: dict[bytes, bytes] = {}
    kept: list[Change] = []
    for change in changes:
        path = change.path
        root = roots.get(path.rpartition(b"/")[0]) if b"/" in path else None
        entry = change.new or change.old
        one_sided = change.old is None or change.new is None
        if root is None:
            kept.append(change)
        elif not _is_dir(entry):
            counts[root] = counts.get(root, 0) + 1
        if one_sided and _is_dir(entry):
            roots[path] = path if root is None else root
            counts.setdefault(roots[path], 0)
    return kept


def _is_dir(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == Kind.DIR


def detached(repository: Repository, commit: CommitId | None) -> str:
    """``at v1`` or ``from 2a35b70``, by what HEAD's reflog says was checked out."""
    git = repository.git
    for entry in git.reflog("HEAD"):
        found = _CHECKOUT.match(entry.message)
        if found is None:
            continue
        name = found[1]
        full = next(
            (prefix + name for prefix in (TAGS, HEADS, REMOTES) if git.ref(prefix + name)), None
        )
        shown = shorten(full) if full else git.abbrev(entry.new)
        return f"{'at' if entry.new == commit else 'from'} {shown}"
    return f"at {git.abbrev(commit)}" if commit is not None else ""


def _upstream(repository: Repository, branch: str | None, head: CommitId | None) -> Upstream | None:
    git = repository.git
    name = git.upstream(branch) if branch is not None else None
    if name is None:
        return None
    other = git.ref(name)
    if other is None or head is None:
        return Upstream(shorten(name), None, None)
    ahead, behind = git.ahead_behind(head, other)
    return Upstream(shorten(name), ahead, behind)
