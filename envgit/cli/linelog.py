# SPDX-License-Identifier: Apache-2.0
"""`log -L`: the commits that changed lines of files, each with what it did to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from envgit.cli.lineview import LineView
from envgit.cli.logjson import write_json
from envgit.cli.logoptions import merges_from, style_from
from envgit.cli.logview import LogStyle, LogView, Shown
from envgit.errors import EnvgitError
from envgit.porcelain import history
from envgit.porcelain.foundation import ranges
from envgit.porcelain.linelog import LineLog

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.porcelain.history import LogEntry, Query
    from envgit.porcelain.linelog import LineChange

Found = tuple["LogEntry", "tuple[LineChange, ...]"]


def follow_lines(
    app: App,
    lines: Sequence[str],
    arguments: tuple[Sequence[str], Sequence[str]],
    query: Query,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    """Write the log of ``lines`` (values of -L); ``arguments`` are revisions and paths."""
    revisions, paths = arguments
    if paths:
        raise EnvgitError("-L<range>:<file> cannot be used with pathspec")
    if options.pop("walk_reflogs") or options["graph"] or query.follow or query.boundary:
        raise EnvgitError("-L does not go together with -g, --graph, --follow or --boundary")
    merges_from(app, options)
    options.pop("full_diff")
    silent = options["no_patch"]
    asked = {**options, "no_patch": True}
    style = style_from(app, options)
    if style.view is not None and style.view.parts != {"patch"}:
        raise EnvgitError("-L does not yet support diff formats besides -p and -s")
    stop = None if query.limit is None else query.skip + query.limit
    renames = style.choice is None or style.choice.renames is not None
    found: Iterable[Found] = _changed(app, lines, revisions, query, renames=renames)
    found = islice(found, query.skip, stop)
    if query.reverse:
        found = reversed(list(found))
    if as_json:
        write_json(app, (entry for entry, _ in found), [], asked)
    else:
        _write(app, found, style, silent=silent)
    return 0


def _changed(
    app: App, lines: Sequence[str], revisions: Sequence[str], query: Query, *, renames: bool
) -> Iterator[Found]:
    """The commits that changed the lines, among those that the query picks."""
    starts = list(dict.fromkeys(ranges.tips_of(app.repository, revisions).include))
    if len(starts) != 1:
        both = " and ".join(starts[:2]) if starts else "none"
        raise EnvgitError(f"More than one commit to dig from: {both}?")
    traced = LineLog(app.repository, starts[0], lines, renames=renames)
    chosen = history.chooser(app.repository, query)
    # Lines are followed through every commit, whatever of them is shown.
    every = replace(
        query, limit=None, skip=0, reverse=False, order="topo", patterns=history.Patterns(),
        parents=(0, None),
    )  # fmt: skip
    for entry in history.log(app.repository, revisions, query=every):
        parents = entry.commit.parents[:1] if query.first_parent else entry.commit.parents
        found = traced.changes(entry.id, parents)
        if found is not None and chosen(entry):
            yield entry, found


def _write(app: App, found: Iterable[Found], style: LogStyle, *, silent: bool) -> None:
    now: list[Any] = []
    view = LogView(
        app,
        replace(style, view=None if silent else LineView()),  # type: ignore[arg-type]
        lambda _: [Shown("", now[0], now[0])],
    )
    for entry, changes in found:
        now[:] = [changes]
        view.show(entry)
