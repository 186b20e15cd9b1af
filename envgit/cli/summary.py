# SPDX-License-Identifier: Apache-2.0
"""Says in git's lines what a commit recorded; shared by `commit`, `init` and `run -m`.

A small commit gets git's own lines. A large one gets the number of paths and bytes instead of
lines: contents stand in layers, and reading 150 MB again to count lines would cost as much as the
commit itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.cli.app import App

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.layers.scan import Skipped
    from envgit.porcelain.commit import CommitResult
    from envgit.porcelain.foundation.repository import Repository

# Up to so many paths, and so many bytes before and after, git's counts of lines cost nothing.
_FEW = 100
_SMALL = 1 << 20


def write(
    app: App,
    result: CommitResult,
    *,
    dated: bool = False,
    talk: bool = False,
    repository: Repository | None = None,
) -> None:
    """Print ``[main 8a0551b] subject`` and what changed; ``talk`` puts it on stderr.

    ``repository`` is that of the commit when we do not stand in it (``init lab``).
    """
    for line in lines(repository or app.repository, result, dated=dated):
        if talk:
            app.out.note(line)
        else:
            app.out.line(line)


def lines(repository: Repository, result: CommitResult, *, dated: bool) -> list[str]:
    """The summary as git prints it after a commit."""
    where = result.branch or "detached HEAD"
    root = " (root-commit)" if result.root else ""
    found = [f"[{where}{root} {repository.git.abbrev(result.commit)}] {result.subject}"]
    author, committer = result.author, result.committer
    if (author.name, author.email) != (committer.name, committer.email):
        found.append(f" Author: {author.name} <{author.email}>")
    if dated:
        from envgit.cli.dates import DateStyle

        found.append(f" Date: {DateStyle().show(author.time, author.offset)}")
    return found + _changed(repository, result)


def _changed(repository: Repository, result: CommitResult) -> list[str]:
    """What changed: line by line as git counts it, or for a large commit in paths and bytes."""
    size = sum(
        entry.size
        for change in result.changes
        for entry in (change.old, change.new)
        if entry is not None
    )
    if len(result.changes) > _FEW or size > _SMALL:
        counted = count(result.changes)
        return [counted] if counted else []
    from envgit.cli import quoting, stat
    from envgit.porcelain.difference import between

    parents = repository.git.commit(result.commit).parents
    difference = between(repository, parents[0] if parents else None, result.commit)
    changes = [change for change in difference.changes if change.path or change.old is not None]
    if not changes:
        return []
    found = [stat.shortstat([difference.stat(change) for change in changes])]
    for change in changes:
        found += stat.summary(change, quote=quoting.quote)
    return found


def count(changes: Sequence[Change]) -> str:
    """One line: how many paths changed, were added and deleted, and the bytes of what is new;
    "" when nothing changed."""
    # The root itself is no file that anybody added.
    changes = [change for change in changes if change.path or change.old is not None]
    added = sum(1 for change in changes if change.old is None)
    deleted = sum(1 for change in changes if change.new is None)
    size = sum(
        change.new.size
        for change in changes
        if change.new is not None and (change.old is None or change.old.sha256 != change.new.sha256)
    )
    total = len(changes)
    if not total:
        return ""
    text = f" {total} file{'s' if total != 1 else ''} changed"
    if added:
        text += f", {added} added"
    if deleted:
        text += f", {deleted} deleted"
    return f"{text}, {human(size)}" if size else text


def human(size: int) -> str:
    """A number of bytes for a reader: 1024-based, as `git count-objects -H` writes it."""
    if size < 1024:
        return f"{size} byte{'s' if size != 1 else ''}"
    amount, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.2f} {unit}"


def as_json(result: CommitResult) -> dict[str, object]:
    """The facts of a commit for ``--json``, without every path."""
    return {
        "commit": result.commit,
        "branch": result.branch,
        "root": result.root,
        "subject": result.subject,
        "changed": len(result.changes),
        "skipped": result.skipped,
    }


def warn_skipped(app: App, skipped: Sequence[Skipped]) -> None:
    """Name what a layer cannot hold, such as sockets; nothing is dropped in silence."""
    for one in skipped:
        app.out.warning(f"{app.out.path(one.path)}: {one.reason}")
