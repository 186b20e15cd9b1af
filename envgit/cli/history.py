# SPDX-License-Identifier: Apache-2.0
"""`log`, `show` and `reflog`: the history as git shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview
from envgit.cli.app import App
from envgit.cli.logjson import write_json
from envgit.cli.logoptions import (
    Merges,
    log_options,
    merges_from,
    packages_by_default,
    query_from,
    style_from,
)
from envgit.cli.logview import LogStyle, LogView, Shown
from envgit.cli.verb import argument, json_flag, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.packages.model import Problem
    from envgit.porcelain.difference import Difference
    from envgit.porcelain.history import LogEntry, Query


@verb(
    "log", "log [<options>] [<revision-range>] [[--] <path>...]", dashes=True, number="--max-count"
)
@log_options
@json_flag
@argument("arguments", nargs=-1)
def log(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Show the commits.

    Paths are the environment's own, with or without a leading slash, and may be git's
    path specifications.
    """
    from envgit.porcelain import history
    from envgit.porcelain.foundation import ranges

    app.page()
    given, after = with_stdin(app, arguments, paths, options)
    revisions, picked = ranges.split_arguments(app.repository, given, after)
    query = query_from(options)
    lines = options.pop("lines")
    if lines:
        from envgit.cli.linelog import follow_lines

        return follow_lines(app, lines, (revisions, picked), query, options, as_json=as_json)
    walked = options.pop("walk_reflogs")
    merges = merges_from(app, options)
    if packages_by_default(options):
        options["package_lines"] = True
    asked = dict(options)
    shown = picked
    if options.pop("full_diff"):
        shown, options["of_packages"] = [], ()
    style = style_from(app, options, default=merges.default)
    differences = Differences(app, style, merges, shown, follow=query.follow)
    # As git: what is left out for its differences does not count for -n. A graph must see it.
    keep = None if style.always or style.graph is not None else differences.any
    if walked:
        entries = _reflogs(app, revisions, picked, query)
    else:
        entries = history.log(app.repository, revisions, paths=picked, query=query, keep=keep)
    entries = _known(app, entries, revisions, query)
    if as_json:
        write_json(app, entries, picked, asked)
        return 0
    view = LogView(app, style, differences)
    for entry in entries:
        view.show(entry)
    differences.tell()
    return 0


def _known(
    app: App, entries: Iterable[LogEntry], revisions: Sequence[str], query: Query
) -> Iterator[LogEntry]:
    """The entries. Where there is none, a package that no commit has is an error."""
    none = True
    for entry in entries:
        none = False
        yield entry
    if none and query.packages:
        from envgit.porcelain import history
        from envgit.porcelain.packages import require_known

        # Whatever else is asked for: it may be what leaves the commits out.
        every = history.Query(packages=query.packages, limit=1)
        if next(history.log(app.repository, revisions, query=every), None) is None:
            with packageview.suggesting():
                require_known(app.repository, query.packages, revisions)


def with_stdin(
    app: App,
    arguments: Sequence[str],
    paths: Sequence[str] | None,
    options: dict[str, Any],
) -> tuple[Sequence[str], Sequence[str] | None]:
    """The revisions and paths with those that ``--stdin`` adds; paths follow a line ``--``."""
    if not options.pop("stdin"):
        return arguments, paths
    lines = app.stdin.read().decode("utf-8", "surrogateescape").splitlines()
    if "--" in lines:
        at = lines.index("--")
        lines, paths = lines[:at], [*(paths or ()), *lines[at + 1 :]]
    if any(line.startswith("-") for line in lines):
        raise EnvgitError("options not supported in --stdin mode")
    return [*arguments, *(line for line in lines if line)], paths


def _reflogs(app: App, revisions: Sequence[str], paths: Sequence[str], query: Query) -> Any:
    from envgit.porcelain import history

    for ref in revisions or ("HEAD",):
        yield from history.walk_reflog(app.repository, ref, paths=paths, query=query)


def _no_lines(options: dict[str, Any]) -> None:
    if options.pop("lines"):
        raise EnvgitError("-L follows lines in 'envgit log' alone")


class Differences:
    """Gives the log the differences to show with each commit, as ``merges`` says for merges."""

    def __init__(
        self,
        app: App,
        style: LogStyle,
        merges: Merges,
        paths: Sequence[str | bytes],
        *,
        follow: bool = False,
    ) -> None:
        self._app = app
        self._style = style
        self._merges = merges
        self._paths = paths
        self._follow = follow
        self._last: tuple[LogEntry, list[Shown]] | None = None
        self._unread: set[tuple[str, bytes]] = set()
        self._packages = packageview.history(app, style.view)
        self._unreadable: dict[Problem, None] = {}

    def any(self, entry: LogEntry) -> bool:
        """Whether the commit has any difference to show; a combined one counts even if empty."""
        return any(one.difference or one.merged is not None for one in self(entry))

    def tell(self) -> None:
        """Say what could not be searched, and whose packages could not be read."""
        packageview.Problems(self._app).tell(self._unreadable)
        if self._unread:
            count = len(self._unread)
            self._app.out.warning(
                f"{count} changed file{'' if count == 1 else 's'} could not be searched,"
                " for the layers are not in the store"
            )

    def __call__(self, entry: LogEntry) -> list[Shown]:
        if self._last is None or self._last[0] is not entry:
            self._last = (entry, self._of(entry))
        return self._last[1]

    def _of(self, entry: LogEntry) -> list[Shown]:
        from envgit.porcelain.difference import Merged

        parents: Sequence[CommitId | None] = entry.commit.parents or (None,)
        how = self._merges.how
        if len(parents) == 1 and self._merges.implied == "merges":
            return []
        if len(parents) == 1 or how == "first-parent":
            return [Shown("", self._between(entry, parents[0]))]
        if how == "off" and self._packages is not None and self._style.shows_packages_alone:
            how = "dense"
        if how == "off":
            return []
        found = [self._between(entry, parent) for parent in parents]
        if how in ("combined", "dense"):
            return [Shown("", found[0], Merged(found, dense=how == "dense"))]
        return [Shown(str(parent), one) for parent, one in zip(parents, found, strict=True)]

    def _between(self, entry: LogEntry, parent: CommitId | None) -> Difference:
        from envgit.porcelain.difference import between, packages_between

        choice, style = self._style.choice, self._style
        if style.shows_packages_alone and style.always:
            found = packages_between(
                self._app.repository, parent, entry.id, choice=choice, history=self._packages
            )
            self._unreadable.update(dict.fromkeys(found.packages.problems))
            return found
        if not self._follow or entry.path is None:
            found = between(
                self._app.repository,
                parent,
                entry.id,
                paths=self._paths,
                choice=choice,
                history=self._packages,
            )
            if self._packages is not None:
                self._unreadable.update(dict.fromkeys(found.packages.problems))
            self._unread.update((entry.id, path) for path in found.unread)
            return found
        here = [b":(literal)" + entry.path]
        found = between(self._app.repository, parent, entry.id, paths=here, choice=choice)
        if not any(change.status == "A" for change in found.changes):
            return found
        # It may have had another name before: that shows only among all changes.
        every = between(self._app.repository, parent, entry.id, choice=choice)
        return every.only((entry.path,))


@verb("show", "show [<options>] [<object>...]", dashes=True, number="--max-count")
@log_options
@json_flag
@argument("arguments", nargs=-1)
def show(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Show a commit, or a file or directory of one.

    A commit is shown with its differences from its parent, an annotated tag with the commit it
    marks, REV:PATH as the bytes of the file or the names in the directory; :PATH is the
    worktree's.
    """
    from envgit.porcelain.foundation import ranges

    app.page()
    given, after = with_stdin(app, arguments, paths, options)
    names, picked = ranges.split_objects(app.repository, given, after)
    query = query_from(options)
    options.pop("walk_reflogs")
    _no_lines(options)
    # One asks for the differences of what one names, be it a merge or not.
    merges = replace(merges_from(app, options, default="dense"), implied="")
    shown_paths = [] if options.pop("full_diff") else picked
    if as_json:
        entries = [_entry(app, name) for name in names or ["HEAD"]]
        write_json(app, entries, picked, options)
        return 0
    style = style_from(app, options, default=("patch",))
    view = LogView(app, style, Differences(app, style, merges, shown_paths))
    _Shower(app, view, style, query).show(names or ["HEAD"])
    return 0


def _entry(app: App, name: str) -> LogEntry:
    from envgit.porcelain import history

    return history.entry(app.repository, app.repository.resolve(name))


class _Shower:
    """Writes objects of any kind one after the other."""

    def __init__(self, app: App, view: LogView, style: LogStyle, query: Query) -> None:
        self._app = app
        self._view = view
        self._style = style
        self._query = query

    def show(self, names: Sequence[str]) -> None:
        from envgit.porcelain import history, objects
        from envgit.porcelain.foundation import ranges

        if any(name.startswith(("--", "^")) or ranges.split_range(name) for name in names):
            for entry in history.log(self._app.repository, names, query=self._query):
                self._view.show(entry)
            return
        seen: set[str] = set()
        for name in names:
            found = objects.find(self._app.repository, name)
            if isinstance(found, objects.TagObject):
                self._tag(found)
                found = found.target
            if isinstance(found, objects.Listing):
                self._listing(name, found)
            elif isinstance(found, objects.FileObject):
                self._file(found)
            elif found not in seen:
                seen.add(found)
                self._view.show(history.entry(self._app.repository, found))

    def _colored(self, text: str) -> str:
        out = self._app.out
        return f"{out.escape('diff.commit')}{text}{out.reset}"

    def _tag(self, tag: Any) -> None:
        out = self._app.out
        self._view.separate()
        out.line(self._colored(f"tag {tag.name}"))
        form = self._style.form
        if tag.tagger is not None and not form.oneline:
            wide = "    " if form.name == "fuller" else ""
            out.line(f"Tagger: {wide}{tag.tagger.name} <{tag.tagger.email}>")
            label = {"medium": "Date:   ", "fuller": "TaggerDate: "}.get(form.name)
            if label is not None:
                dates = self._style.around.dates
                out.line(label + dates.show(tag.tagger.time, tag.tagger.offset))
        out.write("\n" + tag.message)

    def _listing(self, name: str, found: Any) -> None:
        self._view.separate()
        self._app.out.line(self._colored(f"tree {name}"))
        self._app.out.line()
        for child, is_directory in found.names:
            self._app.out.line(self._app.out.path(child + b"/" if is_directory else child))

    def _file(self, found: Any) -> None:
        with found.open() as file:
            while data := file.read(1 << 16):
                self._app.out.write(data)


def write_reflog(
    app: App,
    refs: Sequence[str],
    paths: Sequence[str],
    options: dict[str, Any],
    *,
    as_json: bool = False,
) -> None:
    """Write the reflogs of ``refs``, as the keywords of ``log_options`` say."""
    app.page()
    options.pop("stdin")
    _no_lines(options)
    query = query_from(options)
    options.pop("walk_reflogs")
    options.pop("full_diff")
    entries = _reflogs(app, refs, paths, query)
    if as_json:
        write_json(app, entries, paths, options)
        return
    merges = merges_from(app, options)
    style = style_from(app, options, default=merges.default)
    style = replace(style, abbreviate=True)
    view = LogView(app, style, Differences(app, style, merges, paths))
    for entry in entries:
        view.show(entry)
