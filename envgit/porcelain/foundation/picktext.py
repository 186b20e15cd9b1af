# SPDX-License-Identifier: Apache-2.0
"""What the commits of cherry-pick and revert say (git's sequencer.c)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository


def label(repository: Repository, commit: CommitId) -> str:
    """What messages and conflict markers call a commit: ``30685af (subject)``."""
    return f"{repository.git.abbrev(commit)} ({repository.git.git_commit(commit).subject})"


def reverting(
    repository: Repository, commit: CommitId, parent: CommitId | None, *, reference: bool
) -> str:
    """The message of a revert; of a merge it names the ``parent`` that is gone back to, too."""
    found = repository.git.git_commit(commit)
    title = f'Revert "{found.subject}"\n'
    if reference:
        title = "# *** SAY WHY WE ARE REVERTING ON THE TITLE LINE ***\n"
    text = f"{title}\nThis reverts commit {_refer(repository, commit, reference=reference)}"
    if len(found.parents) > 1 and parent is not None:
        text += f", reversing\nchanges made to {_refer(repository, parent, reference=reference)}"
    return f"{text}.\n"


def _refer(repository: Repository, commit: CommitId, *, reference: bool) -> str:
    """A commit by its id, or in the format *reference* of git-log(1)."""
    if not reference:
        return commit
    found = repository.git.git_commit(commit)
    zone = timezone(timedelta(minutes=found.author.offset))
    day = datetime.fromtimestamp(found.author.time, zone).strftime("%Y-%m-%d")
    return f"{repository.git.abbrev(commit)} ({found.subject}, {day})"
