# SPDX-License-Identifier: Apache-2.0
"""The options of ``log`` and ``reflog``: which commits, in which order, how written.

Source: git-log(1) and git-rev-list(1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.cli import colour, formats
from envgit.cli.dates import DateStyle
from envgit.cli.diffview import (
    PACKAGES,
    asks_for_colour,
    asks_for_parts,
    diff_options,
    view_of,
)
from envgit.cli.entries import Decoration, Surroundings
from envgit.cli.logview import LogStyle
from envgit.cli.verb import flag, section, value
from envgit.config_syntax import parse_bool
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.cli.graph import Graph
    from envgit.cli.verb import Function
    from envgit.porcelain.history import LogEntry, Query

ONELINE = "\0oneline"
"""The value of --pretty that --oneline stands for; like others, it gives way to a later one."""

_ON, _COMBINED, _DENSE, _NONE = "\0-m", "\0-c", "\0--cc", "\0off"
"""The values of --diff-merges that -m, -c, --cc and --no-diff-merges stand for."""

CHOICE = section(
    "Which commits",
    value("-n, --max-count <number>", "show at most so many commits", to="limit", type=int),
    value("--skip <number>", "leave out the first commits", type=int, default=0),
    value("--since, --after <date>", "show commits newer than a date"),
    value("--until, --before <date>", "show commits older than a date"),
    value("--author <pattern>", "show commits by matching authors", multiple=True),
    value("--committer <pattern>", "show commits by matching committers", multiple=True),
    value("--grep <pattern>", "show commits with matching messages", multiple=True),
    value(
        "--package <name>",
        "show commits that changed a package: a name, a pattern, dpkg:<name>",
        to="of_packages",
        multiple=True,
    ),
    flag("--all-match", "show those that match all --grep"),
    flag("--invert-grep", "show those that match no --grep"),
    flag("-i, --regexp-ignore-case", "ignore case in patterns", to="ignore_case"),
    flag("-E, --extended-regexp", "patterns are extended regular expressions", to="extended"),
    flag("-F, --fixed-strings", "patterns are plain text", to="fixed"),
    flag("-P, --perl-regexp", "patterns are Perl's regular expressions", to="perl"),
    flag("--merges", "show only merges"),
    flag("--no-merges", "show no merges"),
    value("--min-parents <number>", "show commits with so many parents", type=int),
    value("--max-parents <number>", "show commits with at most so many parents", type=int),
    flag("--first-parent", "follow only the first parent of merges"),
    flag("--all", "begin at all refs and HEAD", in_place=True),
    value("--branches[=<pattern>]", "begin at branches", bare="", in_place=True),
    value("--tags[=<pattern>]", "begin at tags", bare="", in_place=True),
    value("--remotes[=<pattern>]", "begin at remote branches", bare="", in_place=True),
    value("--glob <pattern>", "begin at matching refs", in_place=True),
    value("--exclude <pattern>", "leave such refs out of the next of these", in_place=True),
    flag("--reflog", "begin at all that reflogs mention", in_place=True),
    flag(
        "--bisect", "begin at the bad commit of a bisection, without its good ones", in_place=True
    ),
    flag("--not", "leave out what follows, or take it again", in_place=True),
    flag("--stdin", "read further revisions and paths from standard input"),
    flag("-g, --walk-reflogs", "walk a reflog instead of the history"),
    value("--no-walk[=<order>]", "show the named commits alone: sorted or unsorted", bare="sorted"),
    flag("--do-walk", "overrides --no-walk"),
    flag("--follow", "follow one file through renames"),
    value(
        "-L <range:file>",
        "follow lines: <start>,<end>:<file> or :<function>:<file>",
        to="lines",
        multiple=True,
    ),
    flag("--full-history", "do not simplify the history of paths"),
    flag("--full-diff", "show all changes of commits that touch the paths"),
    flag("--left-right", "mark the sides of A...B with < and >"),
    flag("--left-only", "show the left side alone"),
    flag("--right-only", "show the right side alone"),
    flag("--cherry-pick", "leave out commits that the other side has too"),
    flag("--cherry-mark", "mark them with =, others with +"),
    flag("--cherry", "the same as --right-only --cherry-mark --no-merges"),
    flag("--boundary", "show also, marked with -, where the range ends"),
    flag("--ancestry-path", "show only what descends from the excluded commits"),
)
ORDER = section(
    "In which order",
    flag(
        "--topo-order",
        "show children first, and branches one by one",
        to="order",
        flag_value="topo",
    ),
    flag("--date-order", "show children first, else by date", to="order", flag_value="date"),
    flag(
        "--author-date-order",
        "show children first, else by the author's date",
        to="order",
        flag_value="author-date",
    ),
    flag("--reverse", "show the oldest of the chosen commits first"),
)
WRITING = section(
    "How",
    flag("--graph", "draw the history"),
    flag("--oneline", "the same as --pretty=oneline --abbrev-commit", to="pretty",
         flag_value=ONELINE),
    value("--pretty[=<format>]", "oneline, short, medium, full, fuller, reference, raw, email or"
          " format:<string>", bare="medium"),
    value("--format <format>", "the same, for one's own format", to="pretty"),
    flag("--abbrev-commit", "shorten ids", default=None),
    value("--date <format>", "relative, local, iso, iso-strict, rfc, short, raw, human, unix or"
          " format:<strftime>"),
    flag("--relative-date", "the same as --date=relative"),
    value("--decorate[=<how>]", "show the names of commits: short, full, auto or no",
          bare="short"),
    flag("--no-decorate", "show no names"),
    flag("--no-expand-tabs", "leave tabs in messages"),
    flag("--runs", "show the commands recorded as what made each commit"),
    flag("-m", "show the differences of merges as log.diffMerges says: from each parent",
         to="diff_merges", flag_value=_ON),
    flag("-c", "show what of a merge differs from all parents, in one; implies -p",
         to="diff_merges", flag_value=_COMBINED),
    flag("--cc", "the same without what is as in one of them", to="diff_merges",
         flag_value=_DENSE),
    value("--diff-merges <how>", "off, on, first-parent, separate, combined or dense-combined"),
    flag("--no-diff-merges", "show no differences of merges", to="diff_merges",
         flag_value=_NONE),
)  # fmt: skip


def log_options(function: Function) -> Function:
    """Declare all options of a log."""
    return CHOICE(ORDER(WRITING(diff_options(function))))


def query_from(options: dict[str, Any]) -> Query:
    """Which commits; takes what it reads out of ``options``. ``graph`` stays."""
    from envgit.porcelain.history import Patterns, Query, moment

    take = options.pop
    given = [name for name in ("extended", "fixed", "perl") if take(name)]
    patterns = Patterns(
        take("grep"), take("author"), take("committer"),
        given[-1] if given else "basic",
        options["ignore_case"], take("all_match"), take("invert_grep"),
    )  # fmt: skip
    graph = options["graph"]
    reverse = take("reverse")
    side, cherry = _sides(options)
    if graph and (reverse or options["walk_reflogs"]):
        other = "--reverse" if reverse else "--walk-reflogs"
        raise EnvgitError(f"options '{other}' and '--graph' cannot be used together")
    since, until = take("since"), take("until")
    limit = take("limit")
    return Query(
        limit=None if limit is None or limit < 0 else limit,
        skip=take("skip"),
        since=None if since is None else moment(since),
        until=None if until is None else moment(until),
        patterns=patterns,
        parents=_parents(options),
        first_parent=options["first_parent"],
        order=take("order") or ("topo" if graph else "default"),
        reverse=reverse,
        full_history=take("full_history"),
        ancestry=graph,
        left_right=take("left_right"),
        follow=take("follow"),
        boundary=take("boundary"),
        ancestry_path=take("ancestry_path"),
        side=side,
        cherry=cherry,
        packages=options["of_packages"],
        **_walking(options),
    )


def packages_by_default(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The part that is shown with ``--package`` where nobody says what to show."""
    plain = options["pretty"] is None and not asks_for_parts(dict(options))
    return (PACKAGES,) if plain and options["of_packages"] else ()


def _walking(options: dict[str, Any]) -> dict[str, bool]:
    how, again = options.pop("no_walk"), options.pop("do_walk")
    if how not in (None, "sorted", "unsorted"):
        raise EnvgitError("invalid argument to --no-walk")
    return {"walk": how is None or again, "unsorted": how == "unsorted"}


def _sides(options: dict[str, Any]) -> tuple[str, str]:
    """Which side of A...B, and what becomes of commits that both sides have."""
    left, right = options.pop("left_only"), options.pop("right_only")
    omit, mark = options.pop("cherry_pick"), options.pop("cherry_mark")
    if options.pop("cherry"):
        right = mark = options["no_merges"] = True
    if left and right:
        raise EnvgitError("options '--right-only' and '--left-only' cannot be used together")
    if omit and mark:
        raise EnvgitError("options '--cherry-mark' and '--cherry-pick' cannot be used together")
    side = "left" if left else "right" if right else ""
    return side, "mark" if mark else "omit" if omit else ""


def _parents(options: dict[str, Any]) -> tuple[int, int | None]:
    least, most = options.pop("min_parents"), options.pop("max_parents")
    if options.pop("merges"):
        least = 2
    if options.pop("no_merges"):
        most = 1
    return least or 0, None if most is None or most < 0 else most


def form_from(app: App, options: dict[str, Any]) -> tuple[formats.Form, bool]:
    """The form of commits, and whether ids are shortened."""
    settings = app.settings
    wanted = options.pop("pretty")
    abbreviate = options.pop("abbrev_commit")
    if wanted is None:
        wanted = settings.get_text("format.pretty")
    elif wanted == ONELINE:
        wanted = "oneline"
        abbreviate = True if abbreviate is None else abbreviate
    form = formats.parse(wanted, lambda name: settings.get(f"pretty.{name}"))
    if abbreviate is None:
        abbreviate = settings.get_bool("log.abbrevCommit")
    return form, abbreviate


def dates_from(app: App, options: dict[str, Any], form: formats.Form) -> tuple[DateStyle, bool]:
    """The form of dates, and whether it was asked for on the command line."""
    asked = "relative" if options.pop("relative_date") else None
    given = options.pop("date")
    asked = given if given is not None else asked
    now = int(time.time())
    wanted = asked or ("short" if form.short_dates else app.settings.get_text("log.date"))
    return DateStyle.parse(wanted, now=now, terminal=app.out.stdout_is_terminal), asked is not None


def decorations_of(app: App, options: dict[str, Any]) -> tuple[bool, Callable[[str], Any]]:
    """Whether names are shown on commit lines, and the look-up of names for those and ``%d``."""
    asked = options.pop("decorate")
    if options.pop("no_decorate"):
        asked = "no"
    how = asked or app.settings.get_text("log.decorate")
    switch = parse_bool(how)
    if switch is not None:
        how = "short" if switch else "no"
    if how not in ("short", "full", "auto", "no"):
        raise UsageError(f"invalid --decorate option: {how}")
    shown = how in ("short", "full") or (how == "auto" and app.out.stdout_is_terminal)
    return shown, _Names(app, full=how == "full")


class _Names:
    """Looks names up; reads the refs when the first commit is asked for."""

    def __init__(self, app: App, *, full: bool) -> None:
        self._app = app
        self._full = full
        self._known: Mapping[str, Sequence[Any]] = {}
        self._read = False

    def __call__(self, commit: str) -> Sequence[Decoration]:
        from envgit.porcelain.foundation.naming import names_of_commits, shorten

        if not self._read:
            self._known = dict(names_of_commits(self._app.repository).items())
            self._read = True
        show = str if self._full else shorten
        return [
            Decoration(name.kind, show(name.ref), show(name.points))
            for name in self._known.get(commit, ())
        ]


def style_from(
    app: App, options: dict[str, Any], *, default: Sequence[str] = (), null_ends: bool = True
) -> LogStyle:
    """How a log is written; takes what it reads out of ``options``."""
    app.out.colour_for("diff", when=asks_for_colour(options))
    view = view_of(options, app.settings, default=default)
    options.pop("ignore_case", None)
    form, abbreviate = form_from(app, options)
    dates, dated = dates_from(app, options, form)
    shown, names = decorations_of(app, options)
    around = Surroundings(app.out, dates, _shortener(app), names, dated, columns=_columns(app))
    return LogStyle(
        form=form,
        around=around,
        abbreviate=abbreviate,
        decorations=names if shown else None,
        graph=_graph(app) if options.pop("graph") else None,
        view=view if view else None,
        null=view.null and null_ends,
        tabs=not options.pop("no_expand_tabs"),
        notes=_runs(app) if options.pop("runs") else None,
        always=not view.choice.filter and view.choice.pickaxe is None,
        choice=view.choice,
    )


def _shortener(app: App) -> Callable[[str], str]:
    """Shortens ids to ``core.abbrev`` digits: a number, ``auto`` (git's rule) or ``no``."""
    chosen = app.settings.get_text("core.abbrev").lower()
    if chosen in ("no", "false", "off"):
        return str
    shorten = app.repository.git.shortener()
    digits = int(chosen) if chosen.isdigit() else None
    return lambda oid: shorten(oid, digits)


def _columns(app: App) -> int:
    from envgit.cli.diffview import terminal_width

    return terminal_width(app)


def _graph(app: App) -> Graph:
    from envgit.cli.graph import Graph

    if not app.out.colour:
        return Graph()
    chosen = app.settings.get("log.graphColors")
    words = colour.GRAPH if chosen is None else [word.strip() for word in chosen.split(",")]
    return Graph([colour.escape(word) for word in words], app.out.reset)


def _runs(app: App) -> Callable[[LogEntry], Sequence[str]]:
    """``--runs``: each recorded command as one would type it, and how it ended."""
    import shlex

    from envgit.porcelain.history import runs

    def lines(entry: LogEntry) -> Sequence[str]:
        found = runs(app.repository, entry)
        shown = [
            f"    $ {shlex.join(run.argv)}  (exit {run.exit_code}, {run.duration_ms / 1000:.1f} s)"
            for run in found
        ]
        return ["", *shown] if shown else []

    return lines


@dataclass(frozen=True, slots=True)
class Merges:
    """How differences of merges are shown.

    ``how``: off, first-parent, separate, combined (-c) or dense (--cc). ``implied``: "all" when
    patches are shown unless another form is asked for, "merges" when of merges alone.
    """

    how: str
    implied: str = ""

    @property
    def default(self) -> tuple[str, ...]:
        """The form of differences where none is asked for."""
        return ("patch",) if self.implied else ()


_KNOWN = {
    "off": "off", "none": "off", "first-parent": "first-parent", "1": "first-parent",
    "separate": "separate", "combined": "combined", "c": "combined",
    "dense-combined": "dense", "cc": "dense",
}  # fmt: skip


def merges_from(app: App, options: dict[str, Any], *, default: str = "off") -> Merges:
    """How differences of merges are shown; takes what it reads out of ``options``."""
    first_parent = options.pop("first_parent")
    word = options.pop("diff_merges")
    if word is None:
        return Merges("first-parent" if first_parent else default)
    usual = app.settings.get("log.diffMerges") or "separate"
    if usual not in _KNOWN:
        usual = "separate"
    switches = {
        _ON: (usual, ""),
        _COMBINED: ("c", "all"),
        _DENSE: ("cc", "all"),
        _NONE: ("off", ""),
    }
    name, implied = switches.get(word) or (usual if word in ("on", "m") else word, "merges")
    if name not in _KNOWN:
        raise EnvgitError(f"invalid value for '--diff-merges': '{name}'")
    how = _KNOWN[name]
    if how == "separate" and first_parent:
        how = "first-parent"
    if how == "off" or (implied == "merges" and asks_for_parts(options)):
        implied = ""
    return Merges(how, implied)
