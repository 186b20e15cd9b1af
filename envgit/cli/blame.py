# SPDX-License-Identifier: Apache-2.0
"""`blame`: which commit, made by which command, a path or a line is from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview, wrap
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import UsageError

if TYPE_CHECKING:
    from envgit.porcelain.blame import LastChange, LineQuery
    from envgit.porcelain.packages import Brought, Package
    from envgit.repo.commits import Commit

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


@verb(
    "blame",
    "blame [<options>] [<rev-opts>] [<rev>] [--] <path>",
    "blame --package=<name> [<rev>]",
    dashes=True,
)
@value("--package <name>", "show which commit brought the version of a package that is installed")
@_LINES
@json_flag
@argument("arguments", nargs=-1)
def blame(
    app: App,
    as_json: bool,
    package: str | None,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
    **options: Any,
) -> int:
    """Show which commit last changed a path, or each line of a text file.

    For a path, which may be a directory, one line says when, by whom and by which recorded command
    it was last changed, what about it, and which package owns it. With an option of the second list
    the output is that of "git blame" for the file's lines. Without a revision, what is uncommitted
    counts.
    """
    if package is not None:
        if paths or len(arguments) > 1 or any(options[name] for name in _IMPLY):
            raise UsageError("blame of a package takes nothing but a commit")
        app.page()
        return _package(app, package, arguments[0] if arguments else None, as_json)
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
    owners = _owners(app, found, revision)
    if as_json:
        app.out.json([_record(change, owners.get(change.path)) for change in found])
        return 0
    _write(app, [_row(app, change, owners.get(change.path)) for change in found])
    return 0


def _owners(app: App, found: Sequence[LastChange], revision: str | None) -> dict[bytes, Package]:
    """The packages that the files belong to; directories are everybody's."""
    from envgit.porcelain.packages import owners

    return owners(app.repository, [one.path for one in found if one.kind != "dir"], revision)


def _write(app: App, rows: Sequence[tuple[str, ...]]) -> None:
    """Write rows in columns, the last of which may be of any width."""
    widths = [max((wrap.width(row[column]) for row in rows), default=0) for column in range(5)]
    for row in rows:
        cells = [cell + " " * (width - wrap.width(cell))
                 for cell, width in zip(row, widths, strict=False)]  # fmt: skip
        cells[0] = app.out.paint("diff.commit", cells[0])
        app.out.line("  ".join([*cells, row[5]]).rstrip())


def _package(app: App, name: str, revision: str | None, as_json: bool) -> int:
    from envgit.porcelain.packages import blame as look

    command = shlex.join(["envgit", "log", "--package", name, *([revision] if revision else [])])
    with packageview.suggesting(f"if it was removed, '{command}' shows by what"):
        found = look(app.repository, name, revision)
    if as_json:
        app.out.json(
            [
                {
                    **packageview.records([one.change])[0],
                    **_commit_record(one.commit),
                    "made_by": one.made_by,
                    "runs": one.runs,
                }
                for one in found
            ]
        )
        return 0
    rows = []
    for one in found:
        what, version = one.change.kind, packageview.plain(one.package.version)
        if one.change.old is not None and one.change.kind != "added":
            version = f"{packageview.plain(one.change.old.version)} -> {version}"
        shown = f"{packageview.name_of(one.package)} {version}"
        rows.append((*_who(app, one.commit), what, shown, _command(one)))
    _write(app, rows)
    return 0


def _who(app: App, commit: Commit | None) -> tuple[str, str, str]:
    """Id, author, date."""
    from envgit.cli.dates import DateStyle

    if commit is None:
        return "0000000", "-", "not committed yet"
    author = commit.author
    form = DateStyle.parse("format:%Y-%m-%d %H:%M", now=0)
    when = form.show(author.time, author.offset)
    return app.repository.git.abbrev(commit.id), author.name, when


def _row(app: App, change: LastChange, owner: Package | None) -> tuple[str, ...]:
    """Id, author, date, what changed, path, command and package."""
    path = app.out.path(change.path or b"/")
    if change.kind == "dir" and change.path:
        path += "/"
    made = _command(change)
    if owner is not None:
        made += f"  [{packageview.name_of(owner)} {packageview.plain(owner.version)}]"
    return (*_who(app, change.commit), ",".join(change.what), path, made)


def _command(change: LastChange | Brought) -> str:
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


def _record(change: LastChange, owner: Package | None) -> dict[str, object]:
    return {
        "path": change.path,
        "kind": change.kind,
        "what": change.what,
        **_commit_record(change.commit),
        "made_by": change.made_by,
        "runs": change.runs,
        "package": None if owner is None else {
            "manager": owner.manager,
            "name": owner.name,
            "version": owner.version,
            "architecture": owner.architecture,
            "place": owner.place,
        },
    }  # fmt: skip


def _commit_record(commit: Commit | None) -> dict[str, object]:
    return {
        "commit": commit.id if commit is not None else None,
        "author": commit.author if commit is not None else None,
        "committer": commit.committer if commit is not None else None,
        "subject": commit.subject if commit is not None else None,
    }
