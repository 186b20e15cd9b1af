# SPDX-License-Identifier: Apache-2.0
"""Environments committed straight into git, for tests of the git side: no store, no mounts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from envgit.layers.entry import Entry, Kind, Node
from envgit.layers.ids import CommitId, TreeId
from envgit.repo.metadata import Metadata
from envgit.repo.operations import Operation
from envgit.repo.refs import RefUpdate
from envgit.repo.repository import GitRepository
from envgit.repo.signature import Signature

CLOCK = 1704067200

Shape = Mapping[bytes, "bytes | Entry | Shape"]
"""A layer as a value: bytes are a file's content, an Entry is itself, a mapping is a directory."""


def who(seconds: int = 0) -> Signature:
    return Signature("Ada Tester", "ada@example.org", CLOCK + seconds, 60)


def file(content: bytes, *, mode: int = 0o644, mtime: int = CLOCK) -> Entry:
    digest = hashlib.sha256(content).hexdigest()
    return Entry(Kind.FILE, mode, mtime=mtime, size=len(content), sha256=digest)


def directory(mode: int = 0o755, *, opaque: bool = False) -> Entry:
    return Entry(Kind.DIR, mode, opaque=opaque)


WHITEOUT = Entry(Kind.WHITEOUT)


def layer(shape: Shape) -> Node:
    """The tree that ``shape`` describes."""
    root = Node(directory(), {})
    assert root.children is not None
    for name, value in shape.items():
        if isinstance(value, bytes):
            root.children[name] = Node(file(value))
        elif isinstance(value, Entry):
            root.children[name] = Node(value)
        else:
            root.children[name] = layer(value)
    return root


class History:
    """A repository under construction: each commit() moves a branch and logs an operation."""

    def __init__(self, path: Path) -> None:
        self.git = GitRepository.create(str(path))
        self.path = path
        self.seconds = 0

    def commit(
        self,
        shape: Shape | Node,
        *,
        branch: str = "main",
        parents: Sequence[CommitId] | None = None,
        message: str = "a commit",
        metadata: Metadata | None = None,
    ) -> CommitId:
        """Commit ``shape`` over the first parent (default: the branch's tip)."""
        git = self.git
        ref = f"refs/heads/{branch}"
        tip = git.ref(ref)
        if parents is None:
            parents = [CommitId(tip)] if tip else []
        self.seconds += 1
        signature = who(self.seconds)
        node = shape if isinstance(shape, Node) else layer(shape)
        base: TreeId | None = git.commit(parents[0]).rootfs if parents else None
        with git.writer() as writer:
            commit = writer.write_commit(
                writer.write_rootfs(base, node),
                writer.write_layer(node),
                metadata or Metadata(),
                parents,
                signature,
                signature,
                message,
            )
            update = RefUpdate(ref, tip, commit, f"commit: {message}")
            operation = Operation(
                verb="commit",
                command=("envgit", "commit"),
                time=signature.time,
                offset=signature.offset,
                worktree="0" * 16,
                refs=((ref, tip, commit),),
                description=message,
            )
            _, logged = git.append_operation(writer, operation, signature)
            writer.flush()
        git.apply([update, logged], None, signature)
        return commit
