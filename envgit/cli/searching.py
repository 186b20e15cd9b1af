# SPDX-License-Identifier: Apache-2.0
"""`grep`: lines that match a pattern, in the worktree or in any commit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.cli import quoting
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.grep import FileHits, Hit, Search

_MATCHING = section(
    "What matches",
    value("-e <pattern>", "match <pattern>; may be given several times", to="patterns",
          multiple=True),
    value("-f <file>", "read patterns from a file", to="files", multiple=True),
    flag("-v, --invert-match", "show non-matching lines", to="invert"),
    flag("-i, --ignore-case", "case insensitive matching"),
    flag("-w, --word-regexp", "match patterns only at word boundaries", to="word"),
    flag("-E, --extended-regexp", "use extended POSIX regular expressions", to="syntax",
         flag_value="extended"),
    flag("-G, --basic-regexp", "use basic POSIX regular expressions (default)", to="syntax",
         flag_value="basic"),
    flag("-F, --fixed-strings", "interpret patterns as fixed strings", to="syntax",
         flag_value="fixed"),
    flag("-P, --perl-regexp", "use regular expressions in Python's syntax", to="syntax",
         flag_value="perl"),
    flag("-a, --text", "process binary files as text"),
    flag("-I", "don't match patterns in binary files", to="skip_binary"),
    value("--max-depth <depth>", "descend at most <depth> levels", type=int),
    flag("-r, --recursive", "search in subdirectories (default)", default=True),
)  # fmt: skip
_SHOWING = section(
    "What is shown",
    flag("-n, --line-number", "show line numbers", default=None),
    flag("--column", "show column number of first match", default=None),
    flag("-h", "don't show filenames", to="named", flag_value="no"),
    flag("-H", "show filenames", to="named", flag_value="yes"),
    flag("-l, --files-with-matches, --name-only", "show only filenames instead of matching lines",
         to="names"),
    flag("-L, --files-without-match", "show only the names of files without match", to="without"),
    flag("-z, --null", "print NUL after filenames"),
    flag("-o, --only-matching", "show only matching parts of a line"),
    flag("-c, --count", "show the number of matches instead of matching lines"),
    value("--color[=<when>]", "highlight matches", bare="always"),
    flag("--break", "print empty line between matches from different files", to="breaks"),
    flag("--heading", "show filename only once above matches from same file"),
    value("-C, --context <n>", "show <n> context lines before and after matches", type=int),
    value("-B, --before-context <n>", "show <n> context lines before matches", to="before",
          type=int),
    value("-A, --after-context <n>", "show <n> context lines after matches", to="after", type=int),
    value("-m, --max-count <n>", "maximum number of results per file", type=int),
    flag("-q, --quiet", "indicate hit with exit status without output"),
)  # fmt: skip


@verb(
    "grep",
    "grep [<options>] [-e] <pattern> [<rev>...] [[--] <path>...]",
    dashes=True,
    number="--context",
)
@_MATCHING
@_SHOWING
@json_flag
@argument("arguments", nargs=-1)
def grep(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Print lines that match a pattern, of files of any commit.

    Without a revision the worktree is searched, uncommitted changes included. Nothing is mounted
    and symlinks are not followed. Exits with 1 when nothing matches.
    """
    from envgit.porcelain import grep as searching
    from envgit.porcelain.foundation.ranges import split_arguments

    words = list(arguments)
    app.out.colour_for("grep", when=options["color"])
    layout = Layout.parse(app, options)
    spans = as_json or app.out.colour or layout.column or layout.matching
    search = _search(options, words, spans=spans)
    revisions, picked = split_arguments(app.repository, words, paths)
    if not options["quiet"]:
        app.page()
    found = searching.grep(
        app.repository, search, revisions, paths=picked, without=options["without"]
    )
    if as_json:
        records = [_record(one) for one in found if one.hits]
        app.out.json(records)
        return 0 if records else 1
    if options["quiet"]:
        return 0 if any(one.hits for one in found) else 1
    return _Printer(app, layout).show(found)


def _search(options: dict[str, Any], words: list[str], *, spans: bool) -> Search:
    """What is looked for; the pattern is taken out of ``words`` unless it was given by option."""
    from envgit.porcelain.grep import Search

    patterns = list(options["patterns"])
    for name in options["files"]:
        try:
            with open(name, "rb") as file:
                text = file.read().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise EnvgitError(f"cannot open '{name}': {error.strerror}") from error
        patterns += text.removesuffix("\n").split("\n")
    origin = "-e option"
    if not options["patterns"] and not options["files"]:
        if not words:
            raise EnvgitError("no pattern given")
        patterns, origin = [words.pop(0)], "command line"
    binary = "skip" if options["skip_binary"] else "match"
    limit = options["max_count"]
    names_only = options["names"] or options["without"] or options["quiet"]
    depth = options["max_depth"] if options["recursive"] else 0
    return Search(
        patterns=tuple(patterns),
        syntax=options["syntax"] or "basic",
        ignore_case=options["ignore_case"],
        word=options["word"],
        invert=options["invert"],
        binary="text" if options["text"] else binary,
        limit=None if limit is None or limit < 0 else limit,
        first=names_only,
        depth=None if depth is None or depth < 0 else depth,
        origin=origin,
        spans=spans,
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """How matches are printed; the fields are git-grep's options."""

    numbers: bool = False
    column: bool = False
    named: bool = True
    only: str = ""
    null: bool = False
    matching: bool = False
    invert: bool = False
    breaks: bool = False
    heading: bool = False
    before: int = 0
    after: int = 0

    @classmethod
    def parse(cls, app: App, options: dict[str, Any]) -> Layout:
        """From the options of the verb, and ``grep.lineNumber`` and ``grep.column``."""
        only = "names" if options["names"] else "count" if options["count"] else ""
        only = "without" if options["without"] else only
        around = options["context"] or 0
        numbers, column = options["line_number"], options["column"]
        return cls(
            numbers=app.settings.get_bool("grep.lineNumber") if numbers is None else numbers,
            column=app.settings.get_bool("grep.column") if column is None else column,
            named=options["named"] != "no",
            only=only,
            null=options["null"],
            matching=options["only_matching"],
            invert=options["invert"],
            breaks=options["breaks"],
            heading=options["heading"],
            before=around if options["before"] is None else options["before"],
            after=around if options["after"] is None else options["after"],
        )


class _Printer:
    """Prints files with matches as git does (grep.c, show_line and grep_source_1)."""

    def __init__(self, app: App, layout: Layout) -> None:
        self._app = app
        self._out = app.out
        self._layout = layout
        self._marks = False

    def show(self, found: Iterator[FileHits]) -> int:
        """Print all; returns the exit status."""
        status = 1
        for one in found:
            if self._layout.only == "without":
                if not one.hits:
                    self._name_alone(one)
                    status = 0
            elif one.hits:
                self._file(one)
                status = 0
        return status

    def _file(self, one: FileHits) -> None:
        if self._layout.only == "names":
            self._name_alone(one)
        elif self._layout.only == "count":
            if self._layout.named:
                self._write(self._name(one) + self._end(":"))
            self._write(f"{len(one.hits)}\n".encode())
        elif one.binary:
            self._write(b"Binary file " + self._name(one) + b" matches\n")
        else:
            self._lines(one)
            self._marks = True

    def _write(self, data: bytes) -> None:
        self._out.write(data)

    def _name_alone(self, one: FileHits) -> None:
        self._write(self._name(one) + (b"\0" if self._layout.null else b"\n"))

    def _name(self, one: FileHits) -> bytes:
        shown = quoting.unquoted(one.path) if self._layout.null else self._out.path(one.path)
        text = f"{one.revision}:{shown}" if one.revision is not None else shown
        return os.fsencode(self._out.paint("grep.filename", text))

    def _separator(self, sign: str) -> bytes:
        return self._out.paint("grep.separator", sign).encode()

    def _end(self, sign: str) -> bytes:
        """What follows a name or number."""
        return b"\0" if self._layout.null else self._separator(sign)

    def _lines(self, one: FileHits) -> None:
        layout = self._layout
        last = 0
        for place, hit in enumerate(one.hits):
            first = hit.number
            start = hit.start
            while first > 1 and first > hit.number - layout.before and first > last + 1:
                start = one.data.rfind(b"\n", 0, start - 1) + 1
                first -= 1
            self._gap(one, last, first)
            while first < hit.number:
                end = one.data.index(b"\n", start)
                self._line(one, first, start, end, None)
                start, first = end + 1, first + 1
            self._line(one, hit.number, hit.start, hit.end, hit)
            following = one.hits[place + 1].number if place + 1 < len(one.hits) else None
            last = self._after(one, hit, following)

    def _after(self, one: FileHits, hit: Hit, following: int | None) -> int:
        """The context behind a hit; returns the last line that was shown."""
        number, start = hit.number, hit.end + 1
        while number < hit.number + self._layout.after and start < len(one.data):
            number += 1
            if number == following:
                return number - 1
            end = one.data.find(b"\n", start)
            end = len(one.data) if end < 0 else end
            self._line(one, number, start, end, None)
            start = end + 1
        return number

    def _gap(self, one: FileHits, last: int, first: int) -> None:
        """What stands between lines that are not neighbours, and before a file's first."""
        layout = self._layout
        if last == 0:
            if layout.breaks and self._marks:
                self._write(b"\n")
            elif (layout.before or layout.after) and self._marks:
                self._write(self._separator("--") + b"\n")
            if layout.heading and layout.named:
                self._name_alone(one)
        elif (layout.before or layout.after) and first > last + 1:
            self._write(self._separator("--") + b"\n")

    def _line(self, one: FileHits, number: int, start: int, end: int, hit: Hit | None) -> None:
        data = one.data[start:end]
        if not self._layout.matching:
            self._head(one, number, 0 if hit is None else _column(hit), hit is not None)
            self._write(self._highlighted(data, hit) + b"\n")
            return
        if hit is None:
            return
        if self._layout.invert:
            self._head(one, number, 1, True)
            self._write(data + b"\n")
        column = _column(hit)
        for begin, stop in hit.spans:
            self._head(one, number, column, True)
            self._write(self._matched(data[begin:stop]) + b"\n")
            # Not where the next match is, but what git prints.
            column = _column(hit) + stop

    def _head(self, one: FileHits, number: int, column: int, matching: bool) -> None:
        layout, sign = self._layout, self._end(":" if matching else "-")
        if layout.named and not layout.heading:
            self._write(self._name(one) + sign)
        if layout.numbers:
            self._write(self._out.paint("grep.linenumber", str(number)).encode() + sign)
        if layout.column and column:
            self._write(self._out.paint("grep.column", str(column)).encode() + sign)

    def _highlighted(self, data: bytes, hit: Hit | None) -> bytes:
        if hit is None or not self._out.colour:
            return data
        parts = []
        at = 0
        for begin, stop in hit.spans:
            parts += [data[at:begin], self._matched(data[begin:stop])]
            at = stop
        return b"".join([*parts, data[at:]])

    def _matched(self, data: bytes) -> bytes:
        return os.fsencode(self._out.paint("grep.match", os.fsdecode(data)))


def _column(hit: Hit) -> int:
    return hit.spans[0][0] + 1 if hit.spans else 1


def _record(one: FileHits) -> dict[str, object]:
    lines = [
        {
            "line": hit.number,
            "column": _column(hit),
            "text": one.data[hit.start : hit.end],
            "matches": hit.spans,
        }
        for hit in one.hits
    ]
    return {
        "revision": one.revision,
        "path": one.path,
        "binary": one.binary,
        "lines": [] if one.binary else lines,
    }
