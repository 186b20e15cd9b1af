# SPDX-License-Identifier: Apache-2.0
"""The operation log: one record for each command that changed something, so that undo can find it.

``refs/envgit/operations`` is a chain of commits, newest first. Each commit's tree holds
``operation.json`` (whose blob id names the operation) and ``tags/`` with the annotated tag objects
the record mentions, as blobs, for a commit cannot have a tag as its parent. The commit's parents
are the previous operation and every commit that the record mentions: thus plain ``git gc`` keeps
whatever undo needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError
from envgit.layers.ids import ChangesId, CommitId, OperationId
from envgit.repo.commits import encode_commit, parse_commit
from envgit.repo.metadata import canonical_json
from envgit.repo.refnames import INTERNAL, SYMBOLIC
from envgit.repo.refs import RefUpdate
from envgit.repo.signature import Signature
from envgit.repo.trees import RawTree, parse_tree

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.repository import GitRepository

REF = f"{INTERNAL}operations"
FORMAT = 1
_RECORD = b"operation.json"
_TAGS = b"tags"
_NEW = OperationId("")

RefChange = tuple[str, str | None, str | None]


class OperationError(EnvgitError):
    """An operation's record that this envgit does not understand."""


@dataclass(frozen=True, slots=True)
class WorktreePoint:
    """What a worktree showed: the commit it is mounted on, and the uncommitted changes over it.

    ``changes`` None stands for no changes. The rest is what the worktree's state held about them:
    the boot in which they were made while they may be unflushed, the sandbox's mount points among
    them, and how many of their recorded runs were committed already.
    """

    base: CommitId | None
    changes: ChangesId | None
    boot_id: str | None = None
    mountpoints: tuple[str, ...] = ()
    committed_runs: int = 0

    def encode(self) -> dict[str, Any]:
        """The form that records hold it in."""
        return {
            "base": self.base,
            "boot_id": self.boot_id,
            "changes": self.changes,
            "committed_runs": self.committed_runs,
            "mountpoints": list(self.mountpoints),
        }

    @classmethod
    def decode(cls, value: Any) -> WorktreePoint | None:
        """What ``encode`` made; None for None."""
        if value is None:
            return None
        return cls(
            base=value["base"],
            changes=value["changes"],
            boot_id=value["boot_id"],
            mountpoints=tuple(value["mountpoints"]),
            committed_runs=int(value["committed_runs"]),
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """One command's effect, complete enough to take it back.

    ``time`` is in seconds since the epoch, ``offset`` in minutes. ``refs`` are (full name, old id,
    new id), None for a ref that does not exist. ``head`` is (old, new) as HeadUpdate has them.
    ``before`` and ``after`` are None when the worktree's content stayed. ``sealed``: that change
    set became that commit's layer. ``undoes``/``redoes`` name the operation taken back or done
    again. ``previous`` is the operation before, which makes equal records distinct; append() sets
    it, and ``id``.
    """

    verb: str
    command: tuple[str, ...]
    time: int
    offset: int
    worktree: str
    refs: tuple[RefChange, ...] = ()
    head: tuple[str, str] | None = None
    before: WorktreePoint | None = None
    after: WorktreePoint | None = None
    sealed: tuple[ChangesId, CommitId] | None = None
    undoes: OperationId | None = None
    redoes: OperationId | None = None
    description: str = ""
    previous: OperationId | None = None
    id: OperationId = _NEW

    def encode(self) -> bytes:
        """The bytes of ``operation.json``."""
        return canonical_json(
            {
                "after": self.after.encode() if self.after else None,
                "before": self.before.encode() if self.before else None,
                "command": list(self.command),
                "description": self.description,
                "format": FORMAT,
                "head": list(self.head) if self.head else None,
                "offset": self.offset,
                "previous": self.previous,
                "redoes": self.redoes,
                "refs": [list(change) for change in self.refs],
                "sealed": list(self.sealed) if self.sealed else None,
                "time": self.time,
                "undoes": self.undoes,
                "verb": self.verb,
                "worktree": self.worktree,
            }
        )

    @classmethod
    def parse(cls, oid: str, data: bytes) -> Operation:
        """Read ``operation.json``; raises OperationError."""
        try:
            record = json.loads(data)
            if record.get("format") != FORMAT:
                raise OperationError(
                    f"operation {oid} has format {record.get('format')!r}; this envgit knows "
                    f"{FORMAT}",
                    hint="a newer envgit wrote it",
                )
            return _decode(oid, record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OperationError(f"operation {oid} cannot be read: {error!r}") from error

    def commits(self) -> list[CommitId]:
        """The object ids it mentions that the repository must keep (annotated tags included)."""
        found: list[str | None] = []
        for _, old, new in self.refs:
            # The HEAD of another worktree may lead to a branch.
            found += [oid for oid in (new, old) if not (oid or "").startswith(SYMBOLIC)]
        if self.head is not None:
            found += [value for value in self.head if not value.startswith(SYMBOLIC)]
        for point in (self.after, self.before):
            found.append(point.base if point is not None else None)
        found.append(self.sealed[1] if self.sealed is not None else None)
        return [CommitId(oid) for oid in dict.fromkeys(found) if oid]


def append(
    repository: GitRepository, writer: ObjectWriter, operation: Operation, who: Signature
) -> tuple[OperationId, RefUpdate]:
    """Add the record to ``writer``; the returned update makes it the newest."""
    tip = repository.ref(REF)
    previous = read(repository, tip).id if tip is not None else None
    operation = replace(operation, previous=previous)
    blob = writer.add_blob(operation.encode())
    tree: dict[bytes, tuple[bool, bytes]] = {_RECORD: (False, bytes.fromhex(blob))}
    parents = [tip] if tip is not None else []
    tags: dict[bytes, tuple[bool, bytes]] = {}
    for oid in operation.commits():
        kind, data = writer.read(oid)
        while kind == "tag":
            tags[oid.encode()] = (False, bytes.fromhex(writer.add_blob(data)))
            oid = CommitId(data[7:47].decode())  # "object <id>\n" is a tag's first line
            kind, data = writer.read(oid)
        if kind == "commit" and oid not in parents:
            parents.append(oid)
    if tags:
        tree[_TAGS] = (True, bytes.fromhex(writer.add_tree(tags)))
    message = (
        f"{operation.verb}: {operation.description}" if operation.description else operation.verb
    )
    commit = writer.add_commit(encode_commit(writer.add_tree(tree), parents, who, who, message))
    return OperationId(blob), RefUpdate(REF, tip, commit, "")


def read(repository: GitRepository, commit: str) -> Operation:
    """The operation in a commit of the log; raises OperationError."""
    tree = _tree(repository, commit)
    found = tree.get(_RECORD)
    if found is None:
        raise OperationError(f"{commit} on {REF} is no operation")
    oid = found[1].hex()
    return Operation.parse(oid, repository.read(oid)[1])


def log(repository: GitRepository, limit: int | None = None) -> Iterator[Operation]:
    """The operations, newest first, at most ``limit``."""
    commit = repository.ref(REF)
    count = 0
    while commit is not None and (limit is None or count < limit):
        operation = read(repository, commit)
        yield operation
        count += 1
        commit = _previous_commit(repository, commit, operation)


def find(repository: GitRepository, prefix: str) -> Operation:
    """The operation whose id begins with ``prefix`` (or ``@~N``: N before the newest).

    Raises OperationError when there is none, or more than one.
    """
    if prefix in ("@", "@~"):
        prefix = "@~0" if prefix == "@" else "@~1"
    if prefix.startswith("@~") and prefix[2:].isdigit():
        wanted = int(prefix[2:])
        for number, operation in enumerate(log(repository, wanted + 1)):
            if number == wanted:
                return operation
        raise OperationError(f"the operation log has no entry {prefix}")
    found = [
        operation for operation in log(repository) if prefix and operation.id.startswith(prefix)
    ]
    if len(found) != 1:
        what = "no operation" if not found else f"{len(found)} operations"
        raise OperationError(f"{what} with the id {prefix!r}", hint="envgit op log lists them")
    return found[0]


def ordinary(newest_first: Iterable[Operation]) -> Iterator[tuple[Operation, bool]]:
    """The operations that neither undo nor redo one, and whether each is taken back.

    Pure. One is taken back when the newest record that mentions it undoes it.
    """
    undone: dict[OperationId, bool] = {}
    for operation in newest_first:
        target = operation.undoes or operation.redoes
        if target is None:
            yield operation, undone.get(operation.id, False)
        else:
            undone.setdefault(target, operation.undoes is not None)


def undo_target(newest_first: Iterable[Operation]) -> Operation | None:
    """What ``undo`` takes back next: the newest ordinary operation that is not taken back."""
    return next((each for each, is_undone in ordinary(newest_first) if not is_undone), None)


def redo_target(newest_first: Iterable[Operation]) -> OperationId | None:
    """What ``redo`` does again: the last operation taken back, unless something new came since."""
    redone: set[str] = set()
    for operation in newest_first:
        if operation.redoes is not None:
            redone.add(operation.redoes)
        elif operation.undoes is not None:
            if operation.undoes not in redone:
                return operation.undoes
            redone.discard(operation.undoes)
        else:
            return None
    return None


def restore_tags(repository: GitRepository, writer: ObjectWriter, operation: Operation) -> None:
    """Add the annotated tags an operation mentions to ``writer``: git gc may have dropped them."""
    commit = repository.ref(REF)
    while commit is not None:
        found = read(repository, commit)
        if found.id == operation.id:
            tags = _tree(repository, commit).get(_TAGS)
            if tags is not None:
                for _, blob in parse_tree(repository.read(tags[1].hex())[1]).values():
                    writer.add_raw("tag", repository.read(blob.hex())[1])
            return
        commit = _previous_commit(repository, commit, found)


def truncate(repository: GitRepository, writer: ObjectWriter, before: int) -> RefUpdate | None:
    """Forget operations older than ``before`` (seconds since the epoch); ids stay what they are.

    The newest operation is kept whatever its age. Returns the update that publishes the shorter
    log, or None when nothing is that old.
    """
    kept: list[str] = []
    commit = tip = repository.ref(REF)
    cut = False
    while commit is not None:
        operation = read(repository, commit)
        if kept and operation.time < before:
            cut = True
            break
        kept.append(commit)
        commit = _previous_commit(repository, commit, operation)
    if not cut:
        return None
    previous: str | None = None
    for oid in reversed(kept):
        old = parse_commit(oid, repository.read(oid)[1])
        own = read(repository, oid)
        linked = _previous_commit(repository, oid, own)
        parents: list[str] = [parent for parent in old.parents if parent != linked]
        previous = writer.add_commit(
            encode_commit(
                old.tree,
                ([previous] if previous else []) + parents,
                old.author,
                old.committer,
                old.message,
            )
        )
    return RefUpdate(REF, tip, previous, "")


def _previous_commit(repository: GitRepository, commit: str, operation: Operation) -> str | None:
    """The commit of the operation before, if the log was not cut off there."""
    if operation.previous is None:
        return None
    parents = parse_commit(commit, repository.read(commit)[1]).parents
    if parents:
        found = _tree(repository, parents[0]).get(_RECORD)
        if found is not None and found[1].hex() == operation.previous:
            return parents[0]
    return None


def _tree(repository: GitRepository, commit: str) -> RawTree:
    kind, data = repository.read(commit)
    if kind != "commit":
        raise OperationError(f"{commit} is a {kind}, not an operation")
    return parse_tree(repository.read(parse_commit(commit, data).tree)[1])


def _decode(oid: str, record: dict[str, Any]) -> Operation:
    head, sealed = record["head"], record["sealed"]
    return Operation(
        verb=record["verb"],
        command=tuple(record["command"]),
        time=int(record["time"]),
        offset=int(record["offset"]),
        worktree=record["worktree"],
        refs=tuple((name, old, new) for name, old, new in record["refs"]),
        head=(head[0], head[1]) if head is not None else None,
        before=WorktreePoint.decode(record["before"]),
        after=WorktreePoint.decode(record["after"]),
        sealed=(sealed[0], sealed[1]) if sealed is not None else None,
        undoes=record["undoes"],
        redoes=record["redoes"],
        description=record["description"],
        previous=record["previous"],
        id=OperationId(oid),
    )
