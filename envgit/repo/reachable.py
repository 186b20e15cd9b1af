# SPDX-License-Identifier: Apache-2.0
"""Finds every object that refs, HEAD and reflogs lead to, and which of them resemble each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo import reflog
from envgit.repo.commits import LAYER, parse_commit, parse_tag
from envgit.repo.pack import BLOB, COMMIT, TAG, TREE

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_ANY_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_SUBMODULE = b"160000"
_TREE_MODE = b"40000"
# git's own limit when it makes chains of deltas is 50.
_MAX_CHAIN = 40

AnyTree = dict[bytes, tuple[bool, bytes]]


@dataclass(slots=True)
class Reachable:
    """``objects``: 20-byte id -> kind, newest first. ``bases``: of two objects that resemble each
    other, the one that should be a delta -> the other, without circles and long chains."""

    objects: dict[bytes, int] = field(default_factory=dict)
    bases: dict[bytes, bytes] = field(default_factory=dict)

    def pair(self, old: bytes, new: bytes) -> None:
        """Let ``old`` be a delta against ``new``, if it is none yet and no chain gets too long."""
        if old == new or old in self.bases:
            return
        depth, at = 1, new
        while at in self.bases:
            at = self.bases[at]
            depth += 1
            if at == old or depth > _MAX_CHAIN:
                return  # a state that came back would make a circle
        self.bases[old] = new


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


def reach(repository: GitRepository) -> Reachable:
    """Walk everything. Raises ObjectMissing when the history has a hole."""
    found = Reachable()
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
    for oid in walked:
        commit = parse_commit(oid, repository.read(oid)[1])
        tree = bytes.fromhex(commit.tree)
        _visit(repository, found, tree)
        if commit.parents:
            parent = parse_commit("", repository.read(commit.parents[0])[1])
            _resemble(repository, found, bytes.fromhex(parent.tree), tree)
    for binary in loose:
        if repository.read(binary.hex())[0] == "tree":
            _visit(repository, found, binary)
        else:
            found.objects.setdefault(binary, BLOB)
    return found


def parse_any_tree(data: bytes) -> AnyTree:
    """A tree that anybody may have written; submodules are left out, being in no pack."""
    return {
        name: (mode == _TREE_MODE, oid)
        for mode, name, oid in _ANY_ENTRY.findall(data)
        if mode != _SUBMODULE
    }


def _visit(repository: GitRepository, found: Reachable, root: bytes) -> None:
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


def _resemble(repository: GitRepository, found: Reachable, old: bytes, new: bytes) -> None:
    """Pair what two versions of a tree have under the same names."""
    stack = [(old, new, True)]
    while stack:
        old, new, top = stack.pop()
        if old == new:
            continue
        if not top:
            found.pair(old, new)
        before = parse_any_tree(repository.read(old.hex())[1])
        for name, (is_tree, newer) in parse_any_tree(repository.read(new.hex())[1]).items():
            older = before.get(name)
            # A layer has nothing to do with the layer before it.
            if older is None or older[1] == newer or (top and name == LAYER):
                continue
            if is_tree and older[0]:
                stack.append((older[1], newer, False))
            elif not is_tree and not older[0]:
                found.pair(older[1], newer)
