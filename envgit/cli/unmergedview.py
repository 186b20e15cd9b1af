# SPDX-License-Identifier: Apache-2.0
"""What `status` says of a merge or pick that stopped, in git's words (wt-status.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.porcelain.status import Status

_WORDS = {
    "DD": "both deleted:",
    "AU": "added by us:",
    "UD": "deleted by them:",
    "UA": "added by them:",
    "DU": "deleted by us:",
    "AA": "both added:",
    "UU": "both modified:",
}
_WIDTH = 17
"""git's column of names: the longest word and a space."""
_DOING = {"cherry-pick": "cherry-picking", "revert": "reverting"}


def is_merging(status: Status) -> bool:
    """Whether a merge or cherry-pick stopped: git gives no advice about single changes then."""
    return status.unfinished is not None and status.unfinished.verb in ("merge", "cherry-pick")


def state(app: App, status: Status, *, hints: bool) -> Iterator[str]:
    """What is under way, and how to go on."""
    begun = status.unfinished
    if begun is None:
        return
    if begun.verb in _DOING:
        verb, doing = begun.verb, _DOING[begun.verb]
        if begun.commit is None:
            said = f"{verb[0].upper()}{verb[1:]} currently in progress."
            first = f'run "envgit {verb} --continue" to continue'
        else:
            said = f"You are currently {doing} commit {app.repository.git.abbrev(begun.commit)}."
            first = f'all conflicts fixed: run "envgit {verb} --continue"'
        if status.unmerged:
            first = f'fix conflicts and run "envgit {verb} --continue"'
        skip = f'use "envgit {verb} --skip" to skip this patch'
        end = f'use "envgit {verb} --abort" to cancel the {verb} operation'
        yield from _told(said, [first, skip, end], hints)
    elif begun.verb == "merge" and status.unmerged:
        advice = [
            'fix conflicts and run "envgit commit"',
            'use "envgit merge --abort" to abort the merge',
        ]
        yield from _told("You have unmerged paths.", advice, hints)
    elif begun.verb == "merge":
        said = "All conflicts fixed but you are still merging."
        yield from _told(said, ['use "envgit commit" to conclude merge'], hints)


def _told(said: str, advice: list[str], hints: bool) -> Iterator[str]:
    yield said
    if hints:
        yield from (f"  ({one})" for one in advice)
    yield ""


def section(app: App, status: Status, *, hints: bool) -> Iterator[str]:
    """The section of unmerged paths."""
    if not status.unmerged:
        return
    yield "Unmerged paths:"
    if hints:
        yield f"  ({_advice({one.code for one in status.unmerged})})"
    for one in status.unmerged:
        line = f"{_WORDS[one.code]:<{_WIDTH}}{app.out.path(one.conflict.path)}"
        kind = one.conflict.kind
        if kind in ("attributes", "dependency", "entries"):
            line += f" ({kind})"
        elif one.conflict.package is not None:
            line += f" (package {one.conflict.package.name})"
        yield "\t" + app.out.paint("status.unmerged", line)
    yield ""


def _advice(codes: set[str]) -> str:
    """As wt_longstatus_print_unmerged_header()."""
    one_sided = bool(codes & {"UD", "DU"})
    if "DD" not in codes and not one_sided:
        return 'use "envgit add <file>..." to mark resolution'
    if codes == {"DD"}:
        return 'use "envgit rm <file>..." to mark resolution'
    return 'use "envgit add/rm <file>..." as appropriate to mark resolution'
