# SPDX-License-Identifier: Apache-2.0
"""What the commits of cherry-pick and revert say (git's sequencer.c)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.signature import Signature

_TRAILER = re.compile(r"[A-Za-z0-9-]+[ \t]*:")
_GENERATED = ("Signed-off-by: ", "(cherry picked from commit ")


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


def with_origin(message: str, commit: CommitId) -> str:
    """The message with a last line that says what was picked (``-x``)."""
    text = message if not message or message.endswith("\n") else f"{message}\n"
    gap = "" if _trailers(text) else "\n"
    return f"{text}{gap}(cherry picked from commit {commit})\n"


def signed_off(message: str, who: Signature) -> str:
    """The message with the trailer ``Signed-off-by`` (``-s``), unless that is its last one."""
    line = f"Signed-off-by: {who.name} <{who.email}>"
    text = message if not message or message.endswith("\n") else f"{message}\n"
    trailers = _trailers(text)
    if text == f"{line}\n" or (trailers and trailers[-1] == line):
        return text
    if trailers:
        return f"{text}{line}\n"
    gap = "\n\n" if not text else "" if text.endswith("\n\n") else "\n"
    return f"{text}{gap}{line}\n"


def _trailers(message: str) -> list[str]:
    """The lines of the last paragraph, if they are trailers (git-interpret-trailers(1)): all of
    them, or a quarter when one of them is git's own. The title's paragraph is none."""
    paragraphs = [part for part in re.split(r"\n(?:[ \t]*\n)+", message.rstrip("\n")) if part]
    if len(paragraphs) < 2 or message.endswith("\n\n"):
        return []
    lines = [line for line in paragraphs[-1].split("\n") if not line.startswith("#")]
    good = bad = 0
    ours = last_is_good = False
    for line in lines:
        if line.startswith(_GENERATED):
            ours = last_is_good = True
            good += 1
        elif line[:1] in (" ", "\t") and (good or bad):
            bad += 0 if last_is_good else 1
        else:
            last_is_good = _TRAILER.match(line) is not None
            good += last_is_good
            bad += not last_is_good
    return lines if good and (not bad or (ours and good * 3 >= bad)) else []
