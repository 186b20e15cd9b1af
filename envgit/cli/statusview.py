# SPDX-License-Identifier: Apache-2.0
"""Writes a status in git's long, short and porcelain forms.

There is no index, so the long form has one section, and in the two columns of the short form the
first is used: everything listed is what the next commit records. Source: git-status(1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from envgit.cli import packageview, unmergedview
from envgit.cli.patch import identify
from envgit.cli.quoting import unquoted
from envgit.cli.stat import mode_of, new_path
from envgit.porcelain.status import Row

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.layers.renames import FileChange
    from envgit.porcelain.status import Status, Unmerged, Upstream

WORDS = {
    "A": "new file:",
    "D": "deleted:",
    "M": "modified:",
    "R": "renamed:",
    "T": "typechange:",
}
_WIDTH = 12
"""git's column of names: the longest word and a space (wt-status.c, maxwidth)."""


def long(app: App, status: Status, *, hints: bool = True) -> Iterator[str]:
    """The lines of the long form."""
    out = app.out
    if status.branch is not None:
        yield f"On branch {out.paint('status.branch', status.branch)}"
    elif status.detached:
        yield out.paint("status.nobranch", "HEAD detached ") + status.detached
    else:
        yield out.paint("status.nobranch", "Not currently on any branch.")
    yield from _tracking(status.upstream)
    if status.head is None:
        yield from ("", "No commits yet", "")
    if status.unflushed:
        yield "The machine went down before these changes were flushed; they may be incomplete."
        yield ""
    yield from unmergedview.state(app, status, hints=hints)
    if status.bisecting is not None:
        yield f"You are currently bisecting, started from branch '{status.bisecting}'."
        if hints:
            yield '  (use "envgit bisect reset" to get back to the original branch)'
        yield ""
    if status.rows:
        yield "Changes to be committed:"
        if hints and not unmergedview.is_merging(status):
            yield '  (use "envgit restore <path>..." to discard changes)'
        for row in status.rows:
            yield "\t" + out.paint("status.added", _long_row(app, row))
        yield ""
    yield from unmergedview.section(app, status, hints=hints)
    if status.packages:
        yield "Packages changed:"
        for line in packageview.lines(app, status.packages.changes):
            yield f"\t{line}"
        yield ""
    if status.running:
        yield "Running:"
        for one in status.running:
            yield f"\t{one.pid:<8} {one.command}"
        yield ""
    for skipped in status.skipped:
        yield f"Cannot be kept: {out.path(skipped.path)} ({skipped.reason})"
    if status.unmerged and not status.rows:
        yield "no changes added to commit" + (' (use "envgit add")' if hints else "")
    elif not status.rows:
        yield (
            "nothing to commit, working tree clean"
            if status.head
            else ('nothing to commit (change something with "envgit run")')
        )


def _long_row(app: App, row: Row) -> str:
    change = row.change
    word = f"{WORDS[change.status]:<{_WIDTH}}"
    path = app.out.path(new_path(change))
    if change.status == "R":
        return f"{word}{app.out.path(change.old_path)} -> {path}"
    if row.files:
        return f"{word}{path} ({row.files} file{'' if row.files == 1 else 's'})"
    marks = metadata(change)
    return f"{word}{path} ({', '.join(marks)})" if marks else word + path


def metadata(change: FileChange) -> list[str]:
    """What besides the content changed; the time only where nothing else did."""
    old, new = change.old, change.new
    if old is None or new is None or change.status != "M":
        return []
    found = []
    if old.mode != new.mode:
        found.append("mode")
    if (old.uid, old.gid) != (new.uid, new.gid):
        found.append("owner")
    if old.xattrs != new.xattrs:
        found.append("attributes")
    if not found and change.same_content:
        found.append("links" if old.hardlinks != new.hardlinks else "time")
    return found


def _tracking(upstream: Upstream | None) -> Iterator[str]:
    if upstream is None:
        return
    name, ahead, behind = upstream.name, upstream.ahead, upstream.behind
    if ahead is None or behind is None:
        yield f"Your branch is based on '{name}', but the upstream is gone."
    elif not ahead and not behind:
        yield f"Your branch is up to date with '{name}'."
    elif not behind:
        yield f"Your branch is ahead of '{name}' by {_commits(ahead)}."
    elif not ahead:
        yield f"Your branch is behind '{name}' by {_commits(behind)}, and can be fast-forwarded."
    else:
        yield f"Your branch and '{name}' have diverged,"
        yield f"and have {ahead} and {behind} different commits each, respectively."
    yield ""


def _commits(number: int) -> str:
    return f"{number} commit{'' if number == 1 else 's'}"


# Short ------------------------------------------------------------------------------------------


def short(app: App, status: Status, *, branch: bool, null: bool, colored: bool) -> Iterator[str]:
    """The records of the short form (and of ``--porcelain=v1``), terminators included."""
    end = "\0" if null else "\n"
    out = app.out

    def paint(slot: str, text: str) -> str:
        return out.paint(slot, text) if colored else text

    if branch:
        yield _branch_line(status, paint) + end
    for row in _with_unmerged(status):
        if not isinstance(row, Row):
            path = row.conflict.path
            shown = unquoted(path) if null else _spaced(app, path)
            yield f"{paint('status.unmerged', row.code)} {shown}{end}"
            continue
        change = row.change
        mark = paint("status.added", change.status) + "  "
        if null:
            yield mark + unquoted(new_path(change)) + end
            if change.status == "R":
                yield unquoted(change.old_path) + end
        elif change.status == "R":
            yield f"{mark}{_spaced(app, change.old_path)} -> {_spaced(app, change.path)}{end}"
        else:
            yield mark + _spaced(app, new_path(change)) + end


def _with_unmerged(status: Status) -> list[Row | Unmerged]:
    """All that is listed, by path, as git's index has it."""
    both: list[Row | Unmerged] = [*status.rows, *status.unmerged]
    if not status.unmerged:
        return both
    return sorted(
        both, key=lambda one: one.change.path if isinstance(one, Row) else one.conflict.path
    )


def _branch_line(status: Status, paint: Callable[[str, str], str]) -> str:
    name = status.branch
    if name is None:
        return "## " + paint("status.nobranch", "HEAD (no branch)")
    shown = paint("status.localbranch", name)
    if status.head is None:
        return f"## No commits yet on {shown}"
    upstream = status.upstream
    if upstream is None:
        return f"## {shown}"
    line = f"## {shown}...{paint('status.nobranch', upstream.name)}"
    if upstream.ahead is None:
        return f"{line} [gone]"
    counts = [
        f"{word} {number}"
        for word, number in (("ahead", upstream.ahead), ("behind", upstream.behind))
        if number
    ]
    return f"{line} [{', '.join(counts)}]" if counts else line


def _spaced(app: App, path: bytes) -> str:
    """As git: a name with a space is quoted here, though not elsewhere."""
    shown = app.out.path(path)
    return f'"{shown}"' if " " in shown and not shown.startswith('"') else shown


# Porcelain v2 -----------------------------------------------------------------------------------


def porcelain_v2(app: App, status: Status, *, branch: bool, null: bool) -> Iterator[str]:
    """The records of ``--porcelain=v2``; ids are sha256 of contents."""
    end = "\0" if null else "\n"
    if branch:
        yield f"# branch.oid {status.head or '(initial)'}{end}"
        yield f"# branch.head {status.branch or '(detached)'}{end}"
        upstream = status.upstream
        if upstream is not None:
            yield f"# branch.upstream {upstream.name}{end}"
            if upstream.ahead is not None:
                yield f"# branch.ab +{upstream.ahead} -{upstream.behind}{end}"
    show = unquoted if null else app.out.path
    for row in status.rows:
        change = row.change
        old, new = change.old, change.new
        modes = [mode_of(side) if side is not None else "000000" for side in (old, new)]
        ids = f"{identify(old, full=True)} {identify(new, full=True)}"
        fields = f"{change.status}. N... {modes[0]} {modes[1]} {modes[1]} {ids}"
        if change.status == "R":
            between = "\0" if null else "\t"
            names = f"{show(change.path)}{between}{show(change.old_path)}"
            yield f"2 {fields} R{change.score} {names}{end}"
        else:
            yield f"1 {fields} {show(new_path(change))}{end}"
    for one in status.unmerged:
        sides = (one.conflict.base, one.conflict.ours, one.conflict.theirs)
        modes = [mode_of(side) if side is not None else "000000" for side in (*sides, one.now)]
        ids = " ".join(identify(side, full=True) for side in sides)
        yield f"u {one.code} N... {' '.join(modes)} {ids} {show(one.conflict.path)}{end}"


def as_json(status: Status) -> dict[str, object]:
    """The facts for ``--json``: every changed path, renames as add and delete."""
    changes = [
        {
            "status": change.status,
            "path": change.path,
            "kind": (change.new or change.old).kind,  # type: ignore[union-attr]  # one is there
            "metadata": metadata(change),
            "size": change.new.size if change.new is not None else None,
        }
        for change in status.files
    ]
    return {
        "branch": status.branch,
        "head": status.head,
        "upstream": status.upstream,
        "clean": status.clean,
        "changes": changes,
        "packages": packageview.records(status.packages.changes if status.packages else ()),
        "running": status.running,
        "skipped": status.skipped,
        "unflushed": status.unflushed,
        "unfinished": status.unfinished,
        "unmerged": [
            {
                "path": one.conflict.path,
                "code": one.code,
                "kind": one.conflict.kind,
                "package": one.conflict.package,
            }
            for one in status.unmerged
        ],
    }
