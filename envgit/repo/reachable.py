# SPDX-License-Identifier: Apache-2.0
"""Finds every object that refs, HEAD and reflogs lead to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo import reflog
from envgit.repo.commits import parse_commit, parse_tag
from envgit.repo.pack import BLOB, COMMIT, TAG, TREE
from envgit.repo.resemblance import Related, parse_any_tree

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository


def tips(repository: GitRepository) -> list[str]:
    """The ids that everything kept is reached from, reflogs included. Ids that a reflog mentions
    and that are gone already are left out."""
    found = dict.fromkeys(repository.refs().values())
    head = repository.head().commit
    if head is not None:
        found[head] = None
    for name in reflog.names(repository.path):
        for entry in repository.reflog(name):
            for oid in (entry.old, entry.new):
                if oid != reflog.ZERO and oid not in found and repository.exists(oid):
                    found[oid] = None
    return list(found)


def commits(repository: GitRepository, start: Iterable[str]) -> list[CommitId]:
    """Every commit reachable from the ids, children before parents."""
    found = []
    for oid in start:
        kind, data = repository.read(oid)
        while kind == "tag":
            oid = parse_tag(oid, data).target
            kind, data = repository.read(oid)
        if kind == "commit":
            found.append(oid)
    return list(repository.walk(found, order="date"))


def reach(repository: GitRepository) -> Related:
    """Walk everything. Raises ObjectMissing when the history has a hole."""
    found = Related()
    start = tips(repository)
    loose: list[bytes] = []
    for oid in start:
        kind, data = repository.read(oid)
        while kind == "tag":
            found.objects[bytes.fromhex(oid)] = TAG
            oid = parse_tag(oid, data).target
            kind, data = repository.read(oid)
        if kind != "commit":
            loose.append(bytes.fromhex(oid))
    walked = commits(repository, start)
    for oid in walked:
        found.objects[bytes.fromhex(oid)] = COMMIT

    def read(tree: bytes) -> bytes:
        return repository.read(tree.hex())[1]

    for oid in walked:
        commit = parse_commit(oid, repository.read(oid)[1])
        tree = bytes.fromhex(commit.tree)
        _visit(repository, found, tree)
        if commit.parents:
            parent = parse_commit("", repository.read(commit.parents[0])[1])
            found.pair_versions(bytes.fromhex(parent.tree), tree, read)
    for binary in loose:
        if repository.read(binary.hex())[0] == "tree":
            _visit(repository, found, binary)
        else:
            found.objects.setdefault(binary, BLOB)
    return found


def _visit(repository: GitRepository, found: Related, root: bytes) -> None:
    """Take up a tree and all beneath it that was not seen."""
    stack = [root]
    while stack:
        tree = stack.pop()
        if tree in found.objects:
            continue
        found.objects[tree] = TREE
        first: bytes | None = None
        for is_tree, oid in parse_any_tree(repository.read(tree.hex())[1]).values():
            if is_tree:
                stack.append(oid)
            elif oid not in found.objects:
                found.objects[oid] = BLOB
                # Pointers of one directory share owner, mode and often their time.
                if first is None:
                    first = oid
                else:
                    found.pair(oid, first)
