# SPDX-License-Identifier: Apache-2.0
"""The stash as refs: one for each entry, numbered upwards, and ``refs/stash`` at the newest.

git keeps the older entries in the reflog of ``refs/stash`` alone, where neither undo nor a mirror
would find them. Here the entries are refs like any other, and what reads that reflog
(``stash@{1}``, ``log -g stash``) is shown them in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo.reflog import ZERO, ReflogEntry
from envgit.repo.refnames import INTERNAL, STASH
from envgit.repo.refs import RefUpdate

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

PREFIX = f"{INTERNAL}stash/"


def entries(repository: GitRepository) -> list[tuple[str, CommitId]]:
    """(full name of the ref, commit) of each entry, newest first: the one at N is ``stash@{N}``."""
    found = repository.refs(PREFIX)
    return [(name, CommitId(found[name])) for name in sorted(found, reverse=True)]


def as_reflog(repository: GitRepository) -> list[ReflogEntry]:
    """The entries as lines of the reflog that git would have, newest first."""
    made = entries(repository)
    older = [oid for _, oid in made[1:]] + [CommitId(ZERO)]
    lines = []
    for (_, oid), old in zip(made, older, strict=True):
        commit = repository.git_commit(oid)
        lines.append(ReflogEntry(old, oid, commit.committer, commit.subject))
    return lines


def adding(repository: GitRepository, commit: CommitId) -> list[RefUpdate]:
    """The updates that make ``commit`` the newest entry."""
    made = entries(repository)
    number = int(made[0][0].removeprefix(PREFIX)) + 1 if made else 0
    name = f"{PREFIX}{number:08d}"
    return [RefUpdate(name, None, commit), RefUpdate(STASH, repository.ref(STASH), commit)]


def removing(repository: GitRepository, names: Sequence[str]) -> list[RefUpdate]:
    """The updates that take the entries with these refs away."""
    made = entries(repository)
    gone = [RefUpdate(name, oid, None) for name, oid in made if name in names]
    left = next((oid for name, oid in made if name not in names), None)
    newest = repository.ref(STASH)
    return gone if left == newest else [*gone, RefUpdate(STASH, newest, left)]
