# SPDX-License-Identifier: Apache-2.0
"""From a commit to the directories that are mounted for it.

The chain of a commit is its layers along first parents; the store keeps it short with spans. This
is the one place that knows both the history (git) and the directories (store).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId, LayerId
from envgit.porcelain.repository import Repository

if TYPE_CHECKING:
    pass


class MissingLayer(EnvgitError):
    """A layer that the history names is not in the store."""


def resolve(repository: Repository, commit: CommitId) -> tuple[tuple[str, ...], int]:
    """The directories to mount for ``commit`` (relative to the store, top first) and its depth.

    Builds the spans that are due. Raises MissingLayer.
    """
    git = repository.git

    def parent_of(oid: CommitId) -> tuple[CommitId | None, LayerId]:
        found = git.commit(oid)
        return (found.parents[0] if found.parents else None), found.layer

    stack, depth = repository.store.spans.resolve(
        commit, parent_of, maximum=repository.settings.get_int("core.maxdepth")
    )
    check(repository, stack)
    return stack, depth


def check(repository: Repository, stack: tuple[str, ...]) -> None:
    """Make sure that every directory of ``stack`` is there. Raises MissingLayer."""
    for directory in stack:
        if not os.path.isdir(os.path.join(repository.store.path, directory)):
            raise MissingLayer(
                f"{directory} is missing from the store {repository.store.path}",
                hint="'envgit fsck' lists everything that is missing; a derived span is made anew"
                " by switching to the commit again",
            )


def directories(repository: Repository, stack: tuple[str, ...]) -> tuple[str, ...]:
    """The host paths of a stack, top first."""
    return tuple(os.path.join(repository.store.path, name) for name in stack)
