# SPDX-License-Identifier: Apache-2.0
"""What is half done on purpose: a merge, cherry-pick or revert that stopped, and its conflicts.

The record is kept by a ref of the worktree (``repo/records.py``), beside git's own ``MERGE_HEAD``
and its like, so that publishing, ``undo`` and ``gc`` treat it like any other ref. There is no index
that could hold the sides of a conflict: they are pointers in the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from envgit.errors import EnvgitError, Refused
from envgit.layers.entry import Entry, Kind, find_entry
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint
from envgit.repo.records import RecordError, read_record, write_record
from envgit.repo.refs import RefUpdate

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.objects import ObjectWriter

REF = "refs/worktree/envgit/pending"
FORMAT = 1

MERGE, CHERRY_PICK, REVERT, STASH = "merge", "cherry-pick", "revert", "stash"
SQUASH = "squash"
"""``merge --squash``: the next commit has its message; nothing else is under way."""
_HEADS = {MERGE: "MERGE_HEAD", CHERRY_PICK: "CHERRY_PICK_HEAD", REVERT: "REVERT_HEAD"}
_MARKERS = (b"<<<<<<< ", b">>>>>>> ")
_LARGEST_MARKED = 8 << 20
"""Bytes: what is larger is never merged by lines and has no markers."""


class Unresolved(EnvgitError):
    """Conflicts are left that nobody has resolved."""


class AlreadyPending(EnvgitError):
    """Another merge, cherry-pick or revert is under way."""


class NothingPending(EnvgitError):
    """There is nothing to continue, skip or abort."""


class Conflicted(NamedTuple):
    """The package that a conflict is about, with its versions; empty where it is not there."""

    manager: str
    place: str
    name: str
    base: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that could not be merged. ``kind`` is git's word for it (``content``, ``add/add``,
    ``modify/delete``...); ``base``, ``ours`` and ``theirs`` are its three sides, None where it is
    absent; ``left`` is what the merge put into the worktree. Of a ``package`` in two versions the
    path is one that stands for all that is the package's."""

    path: bytes
    kind: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    left: Entry | None
    package: Conflicted | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A merge or pick that stopped.

    ``head`` is HEAD when all of it began, ``ours`` when this step did; ``theirs`` what is being
    merged or picked (empty when this step is committed and only ``todo`` is left); ``todo`` what
    comes after; ``message`` what the commit will say; ``marked`` the conflicts the user declared
    resolved; ``before`` where ``--abort`` goes back to (set by ``landing``). ``config`` is the run
    configuration that the commit will have, None for HEAD's. ``options`` are the verb's own.
    """

    verb: str
    head: CommitId
    ours: CommitId
    theirs: tuple[CommitId, ...]
    message: str
    conflicts: tuple[Conflict, ...] = ()
    todo: tuple[CommitId, ...] = ()
    marked: tuple[bytes, ...] = ()
    before: WorktreePoint | None = None
    config: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read(repository: Repository) -> Pending | None:
    """What is pending in this worktree. Raises RecordError."""
    record = read_record(repository.git, REF, "pending")
    if record is None:
        return None
    if record.get("format") != FORMAT:
        raise RecordError(
            f"{REF} has format {record.get('format')!r}; this envgit knows {FORMAT}",
            hint="a newer envgit wrote it",
        )
    return _decode(record)


def updates(repository: Repository, writer: ObjectWriter, new: Pending | None) -> list[RefUpdate]:
    """The ref updates after which ``new`` (or nothing) is pending."""
    git = repository.git
    wanted: dict[str, str | None] = dict.fromkeys((REF, *_HEADS.values()))
    if new is not None:
        wanted[REF] = write_record(
            writer, "pending", _encode(new), _mentioned(new), repository.signature()
        )
        head = _HEADS.get(new.verb)
        if head is not None and new.theirs:
            wanted[head] = new.theirs[0]
    return [
        RefUpdate(name, old, value)
        for name, value in wanted.items()
        if (old := git.ref(name)) != value
    ]


def orig_head(repository: Repository, commit: CommitId | None) -> list[RefUpdate]:
    """The update that lets ``ORIG_HEAD`` name where HEAD was before a great move."""
    old = repository.git.ref("ORIG_HEAD")
    return [] if commit is None or old == commit else [RefUpdate("ORIG_HEAD", old, commit)]


def unresolved(repository: Repository, pending: Pending, current: Current) -> list[Conflict]:
    """The conflicts that still stand: neither marked, nor changed since and free of markers."""
    contents = snapshot.reader(repository, current.state.stack, current.upper)
    found = []
    for conflict in pending.conflicts:
        if conflict.path in pending.marked:
            continue
        now = find_entry(current.tree, conflict.path)
        if now == conflict.left or (now is not None and now.kind == Kind.FILE):
            changed = now != conflict.left
            if changed and now is not None and now.size <= _LARGEST_MARKED:
                with contents.open(conflict.path) as file:
                    changed = not _has_markers(file.read())
            if not changed:
                found.append(conflict)
    return found


def _has_markers(data: bytes) -> bool:
    return any(line.startswith(_MARKERS) for line in data.split(b"\n"))


def check_resolved(repository: Repository, pending: Pending, current: Current) -> None:
    """Raise Unresolved, in git's words, unless every conflict is settled."""
    left = unresolved(repository, pending, current)
    if left:
        names = "".join(
            f"\nU\t{conflict.path.decode('utf-8', 'backslashreplace')}" for conflict in left
        )
        raise Unresolved(
            "Committing is not possible because you have unmerged files." + names,
            hint="Fix them up in the environment, and then use 'envgit add <file>', or"
            " 'envgit restore --ours|--theirs <file>', to mark resolution.",
        )


def check_nothing(repository: Repository, verb: str) -> None:
    """Raise AlreadyPending when a merge, cherry-pick or revert stopped and was not concluded."""
    found = read(repository)
    if found is None:
        return
    if found.verb == MERGE and verb == MERGE:
        raise AlreadyPending(
            "You have not concluded your merge (MERGE_HEAD exists).",
            hint="'envgit commit' concludes it, 'envgit merge --abort' goes back",
        )
    if found.verb in (STASH, SQUASH):
        if found.verb == SQUASH and not found.conflicts:
            return
        raise AlreadyPending(
            f"{verb} is not possible because you have unmerged files.",
            hint=f"resolve the conflicts of the {found.verb} first, then 'envgit add <file>'",
        )
    raise AlreadyPending(
        f"a {found.verb} is already in progress",
        hint=f'try "envgit {found.verb} (--continue | --abort)"',
    )


def check_may_leave(repository: Repository, verb: str) -> None:
    """Raise AlreadyPending when ``switch`` or ``checkout`` would leave a half-done merge."""
    found = read(repository)
    if found is None:
        return
    doing = {MERGE: "merging", CHERRY_PICK: "cherry-picking", REVERT: "reverting"}.get(found.verb)
    if found.verb == SQUASH and not found.conflicts:
        return
    if doing is None:
        raise Refused(f"you need to resolve the conflicts of the {found.verb} first")
    raise AlreadyPending(
        f"cannot {verb} branch while {doing}",
        hint=f"Consider 'envgit {found.verb} --quit' or 'envgit worktree add'.",
    )


def mark(pending: Pending, paths: Sequence[bytes]) -> Pending:
    """The same with these conflicts marked as resolved."""
    known = {conflict.path for conflict in pending.conflicts}
    marked = sorted({*pending.marked, *known.intersection(paths)})
    return replace(pending, marked=tuple(marked))


# -- the record -----------------------------------------------------------------------------------


def _mentioned(pending: Pending) -> list[CommitId]:
    found = [pending.head, pending.ours, *pending.theirs, *pending.todo]
    if pending.before is not None and pending.before.base is not None:
        found.append(pending.before.base)
    return found


def _encode(pending: Pending) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "verb": pending.verb,
        "head": pending.head,
        "ours": pending.ours,
        "theirs": list(pending.theirs),
        "todo": list(pending.todo),
        "message": pending.message,
        "conflicts": [
            {
                "path": _text(conflict.path),
                "kind": conflict.kind,
                "sides": [
                    side.pointer().decode() if side is not None else None
                    for side in (conflict.base, conflict.ours, conflict.theirs, conflict.left)
                ],
                **({"package": list(conflict.package)} if conflict.package else {}),
            }
            for conflict in pending.conflicts
        ],
        "marked": [_text(path) for path in pending.marked],
        "before": pending.before.encode() if pending.before is not None else None,
        "config": dict(pending.config) if pending.config is not None else None,
        "options": dict(pending.options),
    }


def _decode(record: Mapping[str, Any]) -> Pending:
    try:
        return Pending(
            verb=record["verb"],
            head=CommitId(record["head"]),
            ours=CommitId(record["ours"]),
            theirs=tuple(map(CommitId, record["theirs"])),
            todo=tuple(map(CommitId, record["todo"])),
            message=record["message"],
            conflicts=tuple(map(_conflict, record["conflicts"])),
            marked=tuple(map(_bytes, record["marked"])),
            before=WorktreePoint.decode(record["before"]),
            config=record["config"],
            options=record["options"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(f"{REF} cannot be read: {error!r}") from error


def _conflict(record: Mapping[str, Any]) -> Conflict:
    sides = [Entry.parse(side.encode()) if side is not None else None for side in record["sides"]]
    base, ours, theirs, left = sides
    package = Conflicted(*record["package"]) if "package" in record else None
    return Conflict(_bytes(record["path"]), record["kind"], base, ours, theirs, left, package)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
