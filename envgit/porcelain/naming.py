# SPDX-License-Identifier: Apache-2.0
"""The refs that name each commit, for the decorations of the log."""

from __future__ import annotations

from dataclasses import dataclass

from envgit.layers.ids import CommitId
from envgit.porcelain.repository import Repository

KINDS = {
    "refs/heads/": "branch",
    "refs/remotes/": "remotebranch",
    "refs/tags/": "tag",
    "refs/stash": "stash",
}


@dataclass(frozen=True, slots=True)
class Name:
    """A ref that names a commit: ``kind`` is head or one of KINDS; ``points`` is HEAD's branch."""

    kind: str
    ref: str
    points: str = ""

    @property
    def short(self) -> str:
        """The name without ``refs/heads/`` and its like."""
        return shorten(self.ref)


def shorten(ref: str) -> str:
    """A ref's name as people write it."""
    for prefix in ("refs/heads/", "refs/remotes/", "refs/tags/"):
        if ref.startswith(prefix):
            return ref[len(prefix) :]
    return ref


def names_of_commits(repository: Repository) -> dict[CommitId, tuple[Name, ...]]:
    """Every named commit with its names in git's order: HEAD first, then refs backwards."""
    git = repository.git
    head = git.head()
    found: dict[CommitId, list[Name]] = {}
    for ref, oid in reversed(git.refs("refs/").items()):
        kind = next((kind for prefix, kind in KINDS.items() if ref.startswith(prefix)), None)
        if kind is None or git.read(oid)[0] not in ("commit", "tag"):
            continue
        if ref != head.symbolic:
            found.setdefault(git.peel(oid), []).append(Name(kind, ref))
    if head.commit is not None:
        found.setdefault(head.commit, []).insert(0, Name("head", "HEAD", head.symbolic or ""))
    return {commit: tuple(names) for commit, names in found.items()}
