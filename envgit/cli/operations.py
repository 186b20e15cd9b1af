# SPDX-License-Identifier: Apache-2.0
"""`undo`, `redo` and `op`: the operation log, shown and walked."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.verb import Group, argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError
from envgit.porcelain.undo import UndoResult, find_operation, op_restore, taken_back
from envgit.porcelain.undo import op_log as read_log

if TYPE_CHECKING:
    from envgit.repo.operations import Operation, WorktreePoint

_ABBREVIATED = 12  # as jj shows its operations; find_operation takes any unique start


@verb("undo", "undo [-q] [<number>]")
@flag("-q, --quiet", "be quiet, only report errors")
@json_flag
@argument("number", type=int, default=1)
def undo(app: App, quiet: bool, as_json: bool, number: int) -> int:
    """Take back what the last commands did.

    Branches, tags, HEAD and the worktree, uncommitted changes included, become what they were
    before the last operation (or the last <number>). Repeated undo goes further back; "envgit
    redo" comes forward again. What a command did outside the repository stays.
    """
    _check_number(number)
    _report(app, app.repository.undo(number), "Undid", quiet=quiet, as_json=as_json)
    return 0


@verb("redo", "redo [-q] [<number>]")
@flag("-q, --quiet", "be quiet, only report errors")
@json_flag
@argument("number", type=int, default=1)
def redo(app: App, quiet: bool, as_json: bool, number: int) -> int:
    """Do again what undo took back.

    Possible until another operation is made.
    """
    _check_number(number)
    _report(app, app.repository.redo(number), "Redid", quiet=quiet, as_json=as_json)
    return 0


@verb("op log", "op log [-n <number>] [-v]", number="--max-count")
@value("-n, --max-count <number>", "show at most so many", to="limit", type=int)
@flag("-v, --verbose", "also show the command lines")
@json_flag
def op_log(app: App, limit: int | None, verbose: bool, as_json: bool) -> int:
    """List the operations, newest first."""
    operations = read_log(app.repository, limit)
    if as_json:
        app.out.json(operations)
        return 0
    app.page()
    app.out.colour_for("op")
    undone = taken_back(app.repository)
    names = _worktrees(app)
    for operation in operations:
        name = app.out.paint("diff.commit", operation.id[:_ABBREVIATED])
        mark = " (undone)" if operation.id in undone else ""
        when = _date(operation, "iso")
        where = f" [{names.get(operation.worktree, 'gone')}]" if len(names) > 1 else ""
        app.out.line(f"{name} {when}{where} {operation.description}{mark}")
        if verbose and operation.command:
            app.out.line(f"    {shlex.join(operation.command)}")
    return 0


@verb("op show", "op show [<operation>]")
@json_flag
@argument("name", default="@", metavar="<operation>")
def op_show(app: App, as_json: bool, name: str) -> int:
    """Show what an operation changed (default: the last)."""
    operation = find_operation(app.repository, name)
    if as_json:
        app.out.json(operation)
        return 0
    app.page()
    app.out.colour_for("op")
    out = app.out
    out.line(out.paint("diff.commit", f"operation {operation.id}"))
    if operation.undoes:
        out.line(f"Undoes:   {operation.undoes[:_ABBREVIATED]}")
    if operation.redoes:
        out.line(f"Redoes:   {operation.redoes[:_ABBREVIATED]}")
    out.line(f"Date:     {_date(operation, 'default')}")
    out.line(f"Command:  {shlex.join(operation.command)}")
    out.line(f"Worktree: {operation.worktree}")
    out.line(f"\n    {operation.description}\n")
    for ref, old, new in operation.refs:
        out.line(f"{ref}: {_value(old)} -> {_value(new)}")
    if operation.head is not None:
        out.line(f"HEAD: {_value(operation.head[0])} -> {_value(operation.head[1])}")
    if operation.before is not None or operation.after is not None:
        out.line(f"worktree: {_point(operation.before)} -> {_point(operation.after)}")
    return 0


@verb("op restore", "op restore [-q] <operation>")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("name", required=True, metavar="<operation>")
def op_restore_verb(app: App, quiet: bool, name: str) -> int:
    """Bring everything back to what it was after an operation."""
    target = op_restore(app.repository, name)
    if not quiet:
        app.out.line(f"Restored {target.id[:_ABBREVIATED]}: {target.description}")
        _say_head(app)
    return 0


op = Group(
    "op",
    (op_log, op_show, op_restore_verb),
    default="log",
    help="""Show or restore entries of the operation log.

    Each command that changes branches, tags, HEAD or the worktree writes one entry: what each was
    before and after, the command line, the time. "envgit undo" takes the last one back;
    "op restore" goes to any of them. Entries expire after gc.reflogExpire (90 days).
    """,
)


def _worktrees(app: App) -> dict[str, str]:
    """The store's worktrees of the repository -> what they are called here."""
    from envgit.porcelain.foundation.linking import worktrees

    return {each.id: each.name or "main worktree" for each in worktrees(app.repository) if each.id}


def _check_number(number: int) -> None:
    if number < 1:
        raise EnvgitError(f"a positive number is needed, not {number}")


def _report(app: App, result: UndoResult, word: str, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        app.out.json(result)
    elif not quiet:
        for operation in result.operations:
            app.out.line(f"{word} {operation.id[:_ABBREVIATED]}: {operation.description}")
        _say_head(app)


def _say_head(app: App) -> None:
    head = app.repository.git.head()
    if head.commit is not None:
        where = f"on branch {head.branch}" if head.branch else "detached"
        app.out.line(f"HEAD is now at {changed.one_line(app, head.commit)} ({where})")


def _date(operation: Operation, kind: str) -> str:
    from envgit.cli.dates import DateStyle

    return DateStyle(kind).show(operation.time, operation.offset)


def _value(value: str | None) -> str:
    if value is None:
        return "(none)"
    if value.startswith("ref: "):
        return value.removeprefix("ref: ")
    return value[:10]


def _point(point: WorktreePoint | None) -> str:
    if point is None or point.base is None:
        return "(empty)"
    base = point.base[:10]
    return f"{base} + uncommitted changes" if point.changes else base
