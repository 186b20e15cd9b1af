# SPDX-License-Identifier: Apache-2.0
"""Read files of any commit, or of the worktree as it is now, without mounting anything."""

from __future__ import annotations

from typing import BinaryIO

from envgit.layers.ids import CommitId
from envgit.layers.view import Overlay
from envgit.porcelain.foundation import chain, snapshot
from envgit.porcelain.foundation.repository import Repository


def contents(repository: Repository, commit: CommitId | None) -> Overlay:
    """The files of ``commit``, or of the worktree (None): an Overlay to open paths in."""
    if commit is not None:
        return snapshot.reader(repository, chain.present(repository, commit))
    state = repository.worktree.state()
    upper = repository.store.upper_path(state.changes)
    return snapshot.reader(repository, state.stack, upper)


def open_file(repository: Repository, path: bytes, revision: str | None = None) -> BinaryIO:
    """Open the file at ``path`` (no leading slash) of ``revision`` or of the worktree."""
    commit = repository.git.resolve(revision) if revision is not None else None
    return contents(repository, commit).open(path.lstrip(b"/"))
