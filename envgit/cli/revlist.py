# SPDX-License-Identifier: Apache-2.0
"""`rev-list`: the ids of commits, for scripts. Source: git-rev-list(1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.formats import text_of
from envgit.cli.history import Differences, with_stdin
from envgit.cli.logoptions import log_options, merges_from, query_from, style_from
from envgit.cli.logview import LogView
from envgit.cli.verb import argument, flag, json_flag, section, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.history import LogEntry, Query


@verb(
    "rev-list", "rev-list [<options>] <commit>... [[--] <path>...]", dashes=True,
    number="--max-count",
)  # fmt: skip
@section(
    "What is printed",
    flag("--count", "how many commits there are instead; by sides with --left-right"),
    flag("--parents", "the parents' ids behind each commit's"),
    flag("--children", "the children's ids behind each commit's"),
    flag("--timestamp", "the commit's date in seconds before its id"),
    flag("--quiet", "nothing: the exit status alone says whether the history is readable"),
)
@log_options
@json_flag
@argument("arguments", nargs=-1)
def rev_list(
    app: App,
    count: bool,
    parents: bool,
    children: bool,
    timestamp: bool,
    quiet: bool,
    as_json: bool,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
    **options: Any,
) -> int:
    """List ids of commits.

    The same commits as "envgit log" shows, one id a line; with --format or --pretty they are
    written as in the log.
    """
    from envgit.porcelain import history
    from envgit.porcelain.foundation import ranges

    given, after = with_stdin(app, arguments, paths, options)
    revisions, picked = ranges.split_arguments(app.repository, given, after)
    if not revisions:
        raise UsageProblem("no commit is named", usage="short")
    if options["walk_reflogs"]:
        raise EnvgitError("rev-list walks no reflogs; 'envgit log -g' does")
    options.pop("full_diff")
    if options.pop("lines"):
        raise EnvgitError("rev-list follows no lines; 'envgit log -L' does")
    formatted = options["pretty"] is not None
    if options["graph"] and not formatted:
        options["pretty"] = "%H"
    left_right = options["left_right"]
    query = query_from(options)
    options.pop("walk_reflogs")
    if parents or children:
        query = replace(query, ancestry=True, children=children)
    entries = history.log(app.repository, revisions, paths=picked, query=query)
    if as_json:
        app.out.json([{"id": entry.id, "parents": entry.parents, "mark": entry.mark}
                      for entry in entries])  # fmt: skip
    elif count:
        app.out.line(_counted(entries, query, left_right=left_right))
    elif quiet:
        for _ in entries:
            pass
    elif formatted or options["graph"]:
        _formatted(app, entries, options)
    else:
        _plain(app, entries, options, parents=parents, timestamp=timestamp)
    return 0


def _counted(entries: Iterable[LogEntry], query: Query, *, left_right: bool) -> str:
    """Counts of the left, of the right and of what both sides have, as far as they are asked."""
    sides = {"<": 0, ">": 0, "=": 0, "-": 0}
    for entry in entries:
        sides[entry.side] += 1
    marked = query.cherry == "mark"
    if left_right:
        numbers = [sides["<"], sides[">"] + sides["-"]]
    else:
        numbers = [sides["<"] + sides[">"] + sides["-"]]
    if marked:
        return "\t".join(map(str, [*numbers, sides["="]]))
    numbers[-1] += sides["="]
    return "\t".join(map(str, numbers))


def _plain(
    app: App,
    entries: Iterable[LogEntry],
    options: dict[str, Any],
    *,
    parents: bool,
    timestamp: bool,
) -> None:
    shorten = app.repository.git.abbrev if options["abbrev_commit"] else str
    for entry in entries:
        words = [entry.mark + shorten(entry.id)]
        if timestamp:
            words.insert(0, str(entry.committer.time))
        if parents:
            words += map(shorten, entry.parents)
        words += map(shorten, entry.children)
        app.out.line(" ".join(words))


def _formatted(app: App, entries: Iterable[LogEntry], options: dict[str, Any]) -> None:
    """As the log writes them, with a line of the id before one's own format, too."""
    merges = merges_from(app, options)
    style = replace(style_from(app, options), view=None)
    if style.graph is not None:
        view = LogView(app, style, Differences(app, style, merges, []))
        for entry in entries:
            view.show(entry)
        return
    form, shorten = style.form, style.around.abbrev if style.abbreviate else str
    for entry in entries:
        head = "" if form.oneline else "commit "
        app.out.write(f"{head}{entry.mark}{shorten(entry.id)}{' ' if form.oneline else chr(10)}")
        text = text_of(form, entry, style.around, tabs=style.tabs)
        app.out.write(text if form.oneline and text.endswith("\n") else text + "\n")
