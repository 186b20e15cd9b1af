# SPDX-License-Identifier: Apache-2.0
"""`blame`: which commit, made by which command, a path or a line is from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import wrap
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import UsageError

if TYPE_CHECKING:
    from envgit.porcelain.blame import LastChange, LineQuery

_LINES = section(
    "Blame the lines of a text file",
    flag("--lines", "show who each line is from (implied by the options below)"),
    value("-L <range>", "process only line range <start>,<end> or function :<funcname>",
          to="ranges", multiple=True),
    flag("-b", "do not show object names of boundary commits", to="blank"),
    flag("--root", "do not treat root commits as boundaries"),
    flag("-f, --show-name", "show original filename (Default: auto)"),
    flag("-n, --show-number", "show original linenumber"),
    flag("-p, --porcelain", "show in a format designed for machine consumption"),
    flag("--line-porcelain", "show porcelain format with per-line commit information"),
    flag("-c", "use the same output mode as git-annotate", to="annotate"),
    flag("-t", "show raw timestamp", to="raw_time"),
    flag("-l", "show long commit ids", to="long_ids"),
    flag("-s", "suppress author name and timestamp", to="no_author"),
    flag("-e, --show-email", "show author email instead of name", default=None),
    flag("-w", "ignore whitespace differences", to="ignore_space"),
    flag("--minimal", "spend extra cycles to find better match"),
    flag("--color-lines", "color redundant metadata from previous line differently"),
    value("--abbrev[=<n>]", "use <n> digits to display object names", bare="7", type=int),
    value("--date <format>", "relative, local, iso, iso-strict, rfc, short, raw, human, unix or"
          " format:<strftime>"),
    value("--since, --after <date>", "look no further back than this date"),
    flag("--first-parent", "follow only the first parent of merges"),
)  # fmt: skip
_IMPLY = (
    "lines", "ranges", "blank", "root", "show_name", "show_number", "porcelain", "line_porcelain",
    "annotate", "raw_time", "long_ids", "no_author", "show_email", "ignore_space", "minimal",
    "color_lines", "abbrev", "date", "since", "first_parent",
)  # fmt: skip


@verb("blame", "blame [<options>] [<rev-opts>] [<rev>] [--] <path>", dashes=True)
@_LINES
@json_flag
@argument("arguments", nargs=-1)
def blame(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Show which commit last changed a path, or each line of a text file.

    For a path, which may be a directory, one line says when, by whom and by which recorded command
    it was last changed, and what about it. With an option of the second list the output is that
    of "git blame" for the file's lines. Without a revision, what is uncommitted counts.
    """
    revisions, path = _split(arguments, paths)
    app.page()
    if not any(options[name] for name in _IMPLY):
        if len(revisions) > 1 or any(".." in one or one[0] == "^" for one in revisions):
            raise UsageError("blame of a path looks at one commit; ranges are for --lines")
        return _paths(app, revisions[0] if revisions else None, path, as_json)
    from envgit.cli.blameview import LineStyle, write
    from envgit.porcelain.blame import blame_lines

    found = blame_lines(app.repository, path, revisions, _query(app, options))
    write(app, found, LineStyle.parse(app, options), as_json=as_json)
    return 0


def _split(arguments: Sequence[str], paths: Sequence[str] | None) -> tuple[Sequence[str], str]:
    words = [*arguments, *(paths or ())]
    if (paths is not None and len(paths) != 1) or not words:
        raise UsageError("blame takes one path")
    return words[:-1], words[-1]


def _query(app: App, options: dict[str, Any]) -> LineQuery:
    from envgit.porcelain.blame import LineQuery
    from envgit.porcelain.history import moment

    since = options["since"]
    return LineQuery(
        ranges=options["ranges"],
        whitespace="all" if options["ignore_space"] else None,
        algorithm="minimal" if options["minimal"] else None,
        since=None if since is None else moment(since),
        first_parent=options["first_parent"],
        root=options["root"] or app.settings.get_bool("blame.showRoot"),
    )


# Paths -----------------------------------------------------------------------------------------


def _paths(app: App, revision: str | None, path: str, as_json: bool) -> int:
    from envgit.porcelain.blame import blame as look

    found = look(app.repository, path, revision)
    if as_json:
        app.out.json([_record(change) for change in found])
        return 0
    rows = [_row(app, change) for change in found]
    widths = [max((wrap.width(row[column]) for row in rows), default=0) for column in range(5)]
    for row in rows:
        cells = [cell + " " * (width - wrap.width(cell))
                 for cell, width in zip(row, widths, strict=False)]  # fmt: skip
        cells[0] = app.out.paint("diff.commit", cells[0])
        app.out.line("  ".join([*cells, row[5]]).rstrip())
    return 0


def _row(app: App, change: LastChange) -> tuple[str, ...]:
    """Id, author, date, what changed, path, command."""
    from envgit.cli.dates import DateStyle

    path = app.out.path(change.path or b"/")
    if change.kind == "dir" and change.path:
        path += "/"
    what, made = ",".join(change.what), _command(change)
    if change.commit is None:
        return ("0000000", "-", "not committed yet", what, path, made)
    author = change.commit.author
    form = DateStyle.parse("format:%Y-%m-%d %H:%M", now=0)
    when = form.show(author.time, author.offset)
    return (app.repository.git.abbrev(change.commit.id), author.name, when, what, path, made)


def _command(change: LastChange) -> str:
    """The recorded command in one line; the subject of a commit that no command made."""
    run = change.made_by
    if run is None:
        return f"({change.commit.subject})" if change.commit is not None else ""
    # What ran may hold anything: one line, and nothing that moves the reader's cursor.
    text = "$ " + "".join(
        char if char.isprintable() or char > "\ud7ff" else repr(char)[1:-1]
        for char in shlex.join(run.argv)
    )
    if run.exit_code:
        text += f" (exit {run.exit_code})"
    more = len(change.runs) - 1
    return f"{text} and {more} more" if more else text


def _record(change: LastChange) -> dict[str, object]:
    commit = change.commit
    return {
        "path": change.path,
        "kind": change.kind,
        "what": change.what,
        "commit": commit.id if commit is not None else None,
        "author": commit.author if commit is not None else None,
        "committer": commit.committer if commit is not None else None,
        "subject": commit.subject if commit is not None else None,
        "made_by": change.made_by,
        "runs": change.runs,
    }
