# SPDX-License-Identifier: Apache-2.0
"""What became of packages since HEAD, found out without any reader where nothing did.

Somebody who edits files asks for the status all day long. Of each commit it is remembered which
files its packages have (`traces.marks`); the next commit inherits that from the one before unless
a database changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.layers.compare import changes
from envgit.packages import traces
from envgit.porcelain.foundation.packages.found import Found
from envgit.porcelain.foundation.packages.quiet import leaves_databases, leaves_files
from envgit.porcelain.foundation.repository import Repository
from envgit.store.cache import ContentCache

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.layers.ids import CommitId
    from envgit.porcelain.foundation.snapshot import Current

_NEAR = 50
"""Ancestors that are asked what they know; a guess at how much is committed between two looks."""


def uncommitted(repository: Repository, current: Current, changed: Sequence[Change]) -> Found:
    """What became of packages since HEAD, of those whose records or files are in ``changed``."""
    if not changed:
        return Found()
    marks = _Marks(repository)
    head = current.head.commit
    known = None
    # Of all changes: what cannot be read is told whatever the paths asked for.
    if head is not None and leaves_databases(current.changes):
        known = marks.get(head)
        if known is not None and leaves_files(changed, known):
            return Found()
    from envgit.porcelain.foundation.packages.history import History

    history = History(repository)
    found = history.uncommitted(current, changed)
    if head is not None and known is None and not marks.are_known(head):
        marks.put(head, history.files_of_packages(head))
    return found


class _Marks:
    """The marks of commits. Many commits have the same, which are kept once: a commit has a name
    that they are kept under."""

    def __init__(self, repository: Repository) -> None:
        self._git = repository.git
        self._cache = ContentCache(repository.store.path, "packages")

    def get(self, commit: CommitId) -> bytes | None:
        """The marks of a commit, its own or as inherited; None where nobody knows."""
        name = self._cache.get(self._key(commit))
        if name is None:
            name = self._inherited(commit)
            if name is None:
                return None
            self._cache.put(self._key(commit), name)
        return self._cache.get(name.decode("ascii", "replace"))

    def are_known(self, commit: CommitId) -> bool:
        """Whether a commit has marks of its own."""
        return self._cache.get(self._key(commit)) is not None

    def put(self, commit: CommitId, marks: bytes) -> None:
        """Remember a commit's marks."""
        name = f"marks-of-{self._key(commit)}"
        self._cache.put(name, marks)
        self._cache.put(self._key(commit), name.encode())

    def _key(self, commit: CommitId) -> str:
        return f"marks-{traces.VERSION}-{self._git.git_commit(commit).rootfs}"

    def _inherited(self, commit: CommitId) -> bytes | None:
        """The name of an ancestor's marks, if no database changed since."""
        above = commit
        for _ in range(_NEAR):
            parents = self._git.git_commit(above).parents
            if not parents:
                return None
            above = parents[0]
            name = self._cache.get(self._key(above))
            if name is not None:
                since = changes(self._git.files(above), self._git.files(commit))
                return name if leaves_databases(since) else None
        return None
