# SPDX-License-Identifier: Apache-2.0
"""Which commits need a file of a layer, or a git object, and what these commits are called."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.entry import Kind
from envgit.layers.ids import CommitId, LayerId, TreeId
from envgit.porcelain.foundation.naming import shorten
from envgit.repo.refnames import HEADS, INTERNAL, TAGS
from envgit.repo.resemblance import parse_any_tree
from envgit.repo.trees import TreeDirectory

if TYPE_CHECKING:
    from envgit.porcelain.foundation.repository import Repository

# A merge counts as much as this many steps along first parents (git's MERGE_TRAVERSAL_WEIGHT).
_MERGE = 65535


class Need:
    """Answers for the environments ``commits``; nothing is computed before it is asked for."""

    def __init__(self, repository: Repository, commits: Sequence[CommitId]) -> None:
        self._git = repository.git
        self._commits = commits

    @cached_property
    def _users(self) -> dict[LayerId, list[CommitId]]:
        found: dict[LayerId, list[CommitId]] = {}
        for commit in self._commits:
            found.setdefault(self._git.commit(commit).layer, []).append(commit)
        return found

    @cached_property
    def _children(self) -> dict[CommitId, list[CommitId]]:
        found: dict[CommitId, list[CommitId]] = {}
        for commit in self._commits:
            for parent in self._git.commit(commit).parents[:1]:
                found.setdefault(parent, []).append(commit)
        return found

    def of_file(self, layer: LayerId, path: str | None) -> tuple[CommitId, ...]:
        """The commits that show the layer's file ``path`` (``/etc/passwd``), or with None anything
        of the layer: those that have it, and what was built on them until the path changes."""
        stack = list(self._users.get(layer, ()))
        found: dict[CommitId, None] = {}
        parts = None
        if path is not None:
            parts = [part for part in os.fsencode(path).split(b"/") if part]
        while stack:
            commit = stack.pop()
            if commit in found:
                continue
            found[commit] = None
            for child in self._children.get(commit, ()):
                if parts is None or not self._covers(child, parts):
                    stack.append(child)
        return tuple(commit for commit in reversed(self._commits) if commit in found)

    def _covers(self, commit: CommitId, parts: list[bytes]) -> bool:
        """Whether the commit's layer hides what lies below it at the path."""
        try:
            here: TreeDirectory | None = TreeDirectory(
                self._git, TreeId(self._git.commit(commit).layer)
            )
            for depth, name in enumerate(parts):
                assert here is not None  # the loop ends before
                if depth and here.entry.opaque:
                    return True
                entry = here.lookup(name)
                if entry is None:
                    return False
                if depth == len(parts) - 1 or entry.kind != Kind.DIR:
                    return True
                here = here.directory(name)
        except EnvgitError:
            return False  # rather one commit too many
        return True

    def of_object(self, oid: str) -> tuple[CommitId, ...]:
        """The commits that are the object, or whose tree holds it."""
        wanted = bytes.fromhex(oid)
        found = []
        for commit in reversed(self._commits):
            try:
                tree = bytes.fromhex(self._git.commit(commit).tree)
            except EnvgitError:
                continue
            if commit == oid or self._holds(tree, wanted):
                found.append(commit)
        return tuple(found)

    def _holds(self, tree: bytes, wanted: bytes) -> bool:
        """Whether the tree is ``wanted`` or has it anywhere beneath; each tree is read once."""
        memory = self._found.setdefault(wanted, {})
        stack = [tree]
        while stack:
            here = stack[-1]
            if here in memory:
                stack.pop()
                continue
            if here == wanted:
                memory[here] = True
                continue
            below = self._entries(here)
            if any(oid == wanted for _, oid in below):
                memory[here] = True
                continue
            trees = [oid for is_tree, oid in below if is_tree]
            unknown = [oid for oid in trees if oid not in memory]
            if unknown:
                stack += unknown
            else:
                memory[here] = any(memory[oid] for oid in trees)
        return memory[tree]

    @cached_property
    def _found(self) -> dict[bytes, dict[bytes, bool]]:
        return {}

    def _entries(self, tree: bytes) -> list[tuple[bool, bytes]]:
        try:
            return list(parse_any_tree(self._git.read(tree.hex())[1]).values())
        except EnvgitError:
            return []

    def names(self, commits: Sequence[CommitId]) -> tuple[str, ...]:
        """What the commits are called: the refs that point at some of them first, then the others
        by their way from the nearest ref, newest first; an id where no ref leads."""
        if not commits:
            return ()
        wanted = set(commits)
        named = [name for name, oid in self._tips if oid in wanted]
        tips = {oid for _, oid in self._tips}
        others = [commit for commit in commits if commit not in tips]
        return (*named, *(self._ways.get(commit) or self._git.abbrev(commit) for commit in others))

    @cached_property
    def _tips(self) -> list[tuple[str, CommitId]]:
        """(name, commit) of HEAD's branch, other branches, tags, and the rest."""
        git = self._git
        try:
            head = git.head()
            found = []
            for ref, oid in git.refs("refs/").items():
                if ref.startswith(INTERNAL) or git.read(oid)[0] not in ("commit", "tag"):
                    continue
                rank = 0 if ref == head.symbolic else 1 if ref.startswith(HEADS) else 2
                rank = 3 if rank == 2 and not ref.startswith(TAGS) else rank
                short = f"tag {shorten(ref)}" if ref.startswith(TAGS) else shorten(ref)
                found.append((rank, short, git.peel(oid)))
            if head.symbolic is None and head.commit is not None:
                found.append((0, "HEAD", head.commit))
        except EnvgitError:
            return []
        return [(name, commit) for _, name, commit in sorted(found)]

    @cached_property
    def _ways(self) -> dict[CommitId, str]:
        """Every commit's name in the manner of git-name-rev(1), by the shortest way."""
        found: dict[CommitId, str] = {}
        queue = [
            (0, number, name.removeprefix("tag "), 0, commit)
            for number, (name, commit) in enumerate(self._tips)
        ]
        heapq.heapify(queue)
        while queue:
            cost, number, name, steps, commit = heapq.heappop(queue)
            if commit in found:
                continue
            own = f"{name}~{steps}" if steps else name
            found[commit] = own
            try:
                parents = self._git.point(commit).parents
            except EnvgitError:
                continue
            for index, parent in enumerate(parents):
                if index == 0:
                    heapq.heappush(queue, (cost + 1, number, name, steps + 1, parent))
                else:
                    by = f"{own}^{index + 1}"
                    heapq.heappush(queue, (cost + _MERGE, number, by, 0, parent))
        return found
