# SPDX-License-Identifier: Apache-2.0
"""`describe` and `shortlog`: what a commit is called, and who wrote how much."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import wrap
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.porcelain.describe import Naming
    from envgit.porcelain.history import Query
    from envgit.repo.commits import Commit


@verb("describe", "describe [<options>] [<commit>...]", "describe [<options>] --dirty[=<mark>]")
@flag("--contains", "find the tag that comes after the commit")
@flag("--all", "use any ref")
@flag("--tags", "use any tag, even unannotated")
@flag("--long", "always use long format")
@flag("--first-parent", "only follow first parent")
@value("--abbrev[=<n>]", "use <n> digits to display object names", bare="", to="abbrev")
@flag("--exact-match", "only output exact matches")
@value("--candidates <n>", "consider <n> most recent tags (default: 10)", type=int, default=10)
@value("--match <pattern>", "only consider tags matching <pattern>", multiple=True)
@value("--exclude <pattern>", "do not consider tags matching <pattern>", multiple=True)
@flag("--always", "show abbreviated commit object as fallback")
@value("--dirty[=<mark>]", 'append <mark> when something is uncommitted (default: "-dirty")',
       bare="-dirty")  # fmt: skip
@json_flag
@argument("commits", nargs=-1)
def describe(
    app: App, contains: bool, as_json: bool, commits: tuple[str, ...], **options: Any
) -> int:
    """Name a commit after the tag nearest to it.

    The tag's name, how many commits came after it, and the commit's id. Annotated tags count, with
    --tags light ones too.
    """
    from envgit.porcelain.describe import describe as find

    naming = _naming(app, contains, options)
    names: Sequence[str | None] = commits or (None,)
    found = []
    for name in names:
        if name is not None:
            _check(app, name)
        one = find(app.repository, name, naming)
        if one.warning:
            app.out.warning(one.warning)
        found.append(one)
        if not as_json:
            app.out.line(one.text)
    if as_json:
        app.out.json(found)
    return 0


def _check(app: App, name: str) -> None:
    try:
        app.repository.git.resolve(name)
    except EnvgitError as error:
        raise EnvgitError(f"Not a valid object name {name}") from error


def _naming(app: App, contains: bool, options: dict[str, Any]) -> Naming:
    from envgit.porcelain.describe import Naming

    given = options["abbrev"]
    if given is None:
        given = app.settings.get_text("core.abbrev").lower()
        given = "40" if given in ("no", "false", "off") else given if given.isdigit() else ""
    if given and not given.isdigit():
        raise UsageError("option `abbrev' expects a numerical value")
    abbrev = int(given) if given else None
    if abbrev:
        abbrev = max(abbrev, 4)
    if options["long"] and abbrev == 0:
        raise EnvgitError("options '--long' and '--abbrev=0' cannot be used together")
    return Naming(
        tags=options["tags"],
        all=options["all"],
        long=options["long"],
        always=options["always"],
        contains=contains,
        dirty=options["dirty"],
        abbrev=abbrev,
        candidates=0 if options["exact_match"] else options["candidates"],
        match=options["match"],
        exclude=options["exclude"],
        first_parent=options["first_parent"],
    )


# shortlog --------------------------------------------------------------------------------------

_CHOICE = section(
    "Which commits",
    value("--max-count <number>", "count at most so many commits", to="limit", type=int),
    value("--since, --after <date>", "count commits newer than a date"),
    value("--until, --before <date>", "count commits older than a date"),
    value("--author <pattern>", "count commits by matching authors", multiple=True),
    value("--grep <pattern>", "count commits with matching messages", multiple=True),
    flag("-i, --regexp-ignore-case", "ignore case in patterns", to="ignore_case"),
    flag("-E, --extended-regexp", "patterns are extended regular expressions", to="extended"),
    flag("--merges", "count only merges"),
    flag("--no-merges", "count no merges"),
    flag("--first-parent", "follow only the first parent of merges"),
    flag("--all", "begin at all refs and HEAD", to="every"),
    flag("--branches", "begin at branches"),
    flag("--tags", "begin at tags"),
)
_DEFAULT_WRAP = (76, 6, 9)


@verb("shortlog", "shortlog [<options>] [<revision-range>] [[--] <path>...]", dashes=True)
@flag("-c, --committer", "group by committer rather than author")
@flag("-n, --numbered", "sort output according to the number of commits per author")
@flag("-s, --summary", "suppress commit descriptions, only provides commit count")
@flag("-e, --email", "show the email address of each author")
@value("-w[=<width,indent1,indent2>]", "linewrap output", bare="", to="wrapped")
@value("--group <field>", "group by field: author, committer or trailer:<key>", multiple=True)
@value("--format <format>", "describe commits in a format of the log's instead of by subject")
@_CHOICE
@json_flag
@argument("arguments", nargs=-1)
def shortlog(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Summarize the log by who wrote it.

    Without a revision that is HEAD's history; unlike "git shortlog" it reads no log from standard
    input.
    """
    from envgit.porcelain import history
    from envgit.porcelain.foundation import ranges
    from envgit.porcelain.shortlog import shortlog as group

    columns = _columns(options["wrapped"])
    by = _grouping(options)
    tips = [f"--{name}" for name in ("branches", "tags") if options[name]]
    tips += ["--all"] if options["every"] else []
    app.page()
    revisions, picked = ranges.split_arguments(app.repository, arguments, paths)
    entries = list(
        history.log(app.repository, [*tips, *revisions], paths=picked, query=_query(options))
    )
    known = {entry.id: entry for entry in entries}
    groups = group(
        (entry.commit for entry in entries),
        by,
        email=options["email"],
        numbered=options["numbered"],
    )
    if as_json:
        app.out.json([_record(one.name, one.commits) for one in groups])
        return 0
    described = _describer(app, options["format"])
    for one in groups:
        if options["summary"]:
            app.out.line(f"{len(one.commits):6}\t{one.name}")
            continue
        app.out.line(f"{one.name} ({len(one.commits)}):")
        for commit in reversed(one.commits):
            text = described(known[commit.id])
            if columns is None:
                app.out.line(f"      {text}")
            else:
                app.out.line(wrap.wrap(text, *columns))
        app.out.line()
    return 0


def _record(name: str, commits: Sequence[Commit]) -> dict[str, object]:
    return {
        "name": name,
        "count": len(commits),
        "commits": [{"id": one.id, "subject": one.subject} for one in reversed(commits)],
    }


def _grouping(options: dict[str, Any]) -> list[str]:
    by = []
    for given in options["group"]:
        kind, _, key = given.partition(":")
        if given.lower() not in ("author", "committer") and (kind.lower() != "trailer" or not key):
            raise UsageProblem(f"unknown group type: {given}")
        by.append(f"trailer:{key}" if key else given.lower())
    if options["committer"]:
        by.append("committer")
    return by or ["author"]


def _columns(given: str | None) -> tuple[int, int, int] | None:
    """``-w[<width>[,<first indent>[,<other indent>]]]``; None not to wrap."""
    if given is None:
        return None
    parts = given.split(",") if given else []
    if len(parts) > 3 or not all(part.isdigit() for part in parts):
        raise UsageError("-w[<w>[,<i1>[,<i2>]]]")
    numbers = [int(part) for part in parts]
    width, first, rest = (*numbers, *_DEFAULT_WRAP[len(numbers) :])
    if width and (first >= width or rest >= width):
        raise UsageError("-w[<w>[,<i1>[,<i2>]]]")
    return width, first, rest


def _query(options: dict[str, Any]) -> Query:
    from envgit.porcelain.history import Patterns, Query, moment

    since, until, limit = options["since"], options["until"], options["limit"]
    return Query(
        limit=None if limit is None or limit < 0 else limit,
        since=None if since is None else moment(since),
        until=None if until is None else moment(until),
        patterns=Patterns(
            message=options["grep"],
            author=options["author"],
            syntax="extended" if options["extended"] else "basic",
            ignore_case=options["ignore_case"],
        ),
        parents=(2 if options["merges"] else 0, 1 if options["no_merges"] else None),
        first_parent=options["first_parent"],
    )


def _describer(app: App, given: str | None) -> Any:
    """What a commit's line says: its subject without a leading ``[...]``, or a format."""
    if given is None:
        return lambda entry: _subject(entry.subject)
    from envgit.cli import formats
    from envgit.cli.dates import DateStyle
    from envgit.cli.entries import Surroundings

    form = formats.parse(given)
    dates = DateStyle.parse("default", now=int(time.time()))
    around = Surroundings(app.out, dates, app.repository.git.abbrev, lambda _: ())
    return lambda entry: _subject(formats.text_of(form, entry, around))


def _subject(text: str) -> str:
    """The first line, without what mail programs put before it."""
    text = text.lstrip() or "<none>"
    text = re.sub(r"\A\[[^]\n]*\]", "", text).lstrip(" \t")
    return " ".join(line.strip() for line in text.partition("\n\n")[0].splitlines())
