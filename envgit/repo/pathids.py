# SPDX-License-Identifier: Apache-2.0
"""What git calls the thing at a path, commit after commit, without reading what did not change.

Directories that did not change are one git tree, so each tree is looked into once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envgit.repo.escape import DIRECTORY_ENTRY, escape
from envgit.repo.trees import RawTree, TreeError, parse_tree

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.repo.repository import GitRepository

Named = tuple[bool, bytes]
"""Whether it is a tree (a directory), and the 20-byte id of the tree or pointer."""


class PathIds:
    """Looks paths up in many commits of one repository."""

    def __init__(self, git: GitRepository) -> None:
        self._git = git
        self._roots: dict[CommitId, Named | None] = {}
        self._trees: dict[bytes, RawTree] = {}
        self._found: dict[tuple[bytes, bytes], Named | None] = {}

    def of(self, commit: CommitId | None, path: bytes) -> Named | None:
        """What is at ``path`` (the root: empty), or None; None also for no commit and for a commit
        without an environment."""
        found = self._root(commit) if commit is not None else None
        for name in path.split(b"/") if path else ():
            if found is None or not found[0]:
                return None
            key = (found[1], name)
            if key not in self._found:
                self._found[key] = self.tree(found[1]).get(escape(name))
            found = self._found[key]
        return found

    def tree(self, oid: bytes) -> RawTree:
        """The git tree of that binary id; kept, so callers must not change it."""
        known = self._trees.get(oid)
        if known is None:
            kind, data = self._git.read(oid.hex())
            if kind != "tree":
                raise TreeError(f"{oid.hex()} is a {kind}, not a tree")
            known = self._trees[oid] = parse_tree(data)
        return known

    def children(self, found: Named | None) -> dict[bytes, Named]:
        """The entries of a directory by their escaped names; none for anything else."""
        if found is None or not found[0]:
            return {}
        return {name: at for name, at in self.tree(found[1]).items() if name != DIRECTORY_ENTRY}

    def _root(self, commit: CommitId) -> Named | None:
        if commit not in self._roots:
            rootfs = self._git.git_commit(commit).rootfs
            self._roots[commit] = (True, bytes.fromhex(rootfs)) if rootfs else None
        return self._roots[commit]
