# SPDX-License-Identifier: Apache-2.0
"""Writes who each line is from in the forms of git-blame(1): for people, as annotate, porcelain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.cli import dates, quoting, wrap
from envgit.cli.dates import DateStyle

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.porcelain.blame import Blamed, LineBlame

_ZEROS = "0" * 40
# The columns that git gives each form of date (builtin/blame.c).
_DATE_WIDTHS = {
    "default": 30, "rfc": 31, "iso": 25, "iso-strict": 25, "raw": 16, "unix": 10, "short": 10,
    "human": 16, "relative": 22,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How lines are written; the fields are git-blame's options. ``now`` in seconds."""

    dates: DateStyle
    now: int
    porcelain: bool = False
    per_line: bool = False
    annotate: bool = False
    blank: bool = False
    long_ids: bool = False
    raw_time: bool = False
    author: bool = True
    email: bool = False
    name: bool = False
    number: bool = False
    color: bool = False
    abbrev: int | None = None

    @classmethod
    def parse(cls, app: App, options: dict[str, Any]) -> LineStyle:
        """From the options of the verb. Raises DateFormatError."""
        epoch = app.environ.get("SOURCE_DATE_EPOCH", "")
        now = int(epoch) if epoch.isdigit() else int(time.time())
        form = options["date"] or app.settings.get("blame.date") or "iso"
        email = options["show_email"]
        return cls(
            dates=DateStyle.parse(form, now=now, terminal=app.out.stdout_is_terminal),
            now=now,
            porcelain=options["porcelain"] or options["line_porcelain"],
            per_line=options["line_porcelain"],
            annotate=options["annotate"],
            blank=options["blank"] or app.settings.get_bool("blame.blankBoundary"),
            long_ids=options["long_ids"],
            raw_time=options["raw_time"],
            author=not options["no_author"],
            email=app.settings.get_bool("blame.showEmail") if email is None else email,
            name=options["show_name"],
            number=options["show_number"],
            color=options["color_lines"],
            abbrev=options["abbrev"],
        )


@dataclass(frozen=True, slots=True)
class _Info:
    """What is said of a commit, or of what is not committed yet."""

    id: str
    author: str
    mail: str
    time: int
    offset: int
    committer: str
    committer_mail: str
    committer_time: int
    committer_offset: int
    summary: str


def write(app: App, found: LineBlame, style: LineStyle, *, as_json: bool) -> None:
    """Print the lines."""
    view = _View(app, found, style)
    if as_json:
        app.out.json(list(view.records()))
    elif style.porcelain:
        view.porcelain()
    else:
        view.human()


class _View:
    def __init__(self, app: App, found: LineBlame, style: LineStyle) -> None:
        self._app = app
        self._found = found
        self._style = style
        self._infos: dict[str, _Info] = {}

    def _info(self, one: Blamed) -> _Info:
        key = one.commit.id if one.commit is not None else _ZEROS
        known = self._infos.get(key)
        if known is None:
            known = self._infos[key] = self._make_info(one)
        return known

    def _make_info(self, one: Blamed) -> _Info:
        commit = one.commit
        if commit is None:
            path = self._found.path.decode("utf-8", "surrogateescape")
            now, zone = self._style.now, dates.local_offset(self._style.now)
            name, mail = "Not Committed Yet", "not.committed.yet"
            said = f"Version of {path} from {path}"
            return _Info(_ZEROS, name, mail, now, zone, name, mail, now, zone, said)
        who, by = commit.author, commit.committer
        return _Info(
            commit.id, who.name, who.email, who.time, who.offset,
            by.name, by.email, by.time, by.offset, commit.subject or f"({commit.id})",
        )  # fmt: skip

    # For people -----------------------------------------------------------------------------

    def human(self) -> None:
        found, style = self._found.blamed, self._style
        if not found:
            return
        infos = [self._info(one) for one in found]
        self._length = self._id_length([info.id for info in infos])
        self._author = max(wrap.width(self._who(info)) for info in infos)
        self._name = max(len(one.path) for one in found)
        self._named = style.name or any(one.path != self._found.path for one in found)
        self._digits = len(str(max(one.start + one.number for one in found)))
        self._source_digits = len(str(max(one.source + one.number for one in found)))
        out = self._app.out
        for one, info in zip(found, infos, strict=True):
            for step in range(one.number):
                head = self._head(one, info, step)
                if style.color and step:
                    head = f"\033[36m{head}\033[m"
                out.write(head)
                out.write(self._line(one.start + step))

    def _line(self, number: int) -> bytes:
        line = self._found.lines[number]
        return line if line.endswith(b"\n") else line + b"\n"

    def _id_length(self, ids: list[str]) -> int:
        """Digits shown: one more than asked for, which the caret of a boundary takes."""
        style, git = self._style, self._app.repository.git
        if style.long_ids:
            return 40
        if style.abbrev is not None:
            return 40 if not 0 < style.abbrev < 40 else max(style.abbrev, 4) + 1
        return max(len(git.abbrev(oid)) for oid in ids) + 1

    def _who(self, info: _Info) -> str:
        return f"<{info.mail}>" if self._style.email else info.author

    def _time(self, info: _Info) -> str:
        if self._style.raw_time:
            return f"{info.time} {dates.zone(info.offset)}"
        form = self._style.dates
        text = form.show(info.time, info.offset)
        columns = _DATE_WIDTHS.get(form.kind)
        if columns is None:
            columns = wrap.width(form.show(0, 0))
        return text + " " * (columns - wrap.width(text))

    def _head(self, one: Blamed, info: _Info, step: int) -> str:
        style = self._style
        number = one.start + 1 + step
        length, shown = self._length, info.id
        mark = ""
        if one.boundary and style.blank:
            shown = " " * length
        elif one.boundary and not style.annotate:
            mark, length = "^", length - 1
        text = mark + shown[:length]
        if style.annotate:
            # git pads here by bytes, not by columns.
            who = self._who(info)
            pad = " " * (10 - len(who.encode("utf-8", "surrogateescape")))
            return f"{text}\t({pad}{who}\t{self._time(info):>10}\t{number})"
        if self._named:
            name = one.path + b" " * (self._name - len(one.path))
            text += " " + quoting.unquoted(name)
        if style.number:
            text += f" {one.source + 1 + step:>{self._source_digits}}"
        if style.author:
            who = self._who(info)
            pad = " " * (self._author - wrap.width(who))
            text += f" ({who}{pad} {self._time(info):>10}"
        return f"{text} {number:>{self._digits}}) "

    # For programs ---------------------------------------------------------------------------

    def porcelain(self) -> None:
        out = self._app.out
        paths: dict[str, set[bytes]] = {}
        for one in self._found.blamed:
            paths.setdefault(self._info(one).id, set()).add(one.path)
        seen: set[str] = set()
        for one in self._found.blamed:
            info = self._info(one)
            several = len(paths[info.id]) > 1
            for step in range(one.number):
                size = f" {one.number}" if step == 0 else ""
                out.line(f"{info.id} {one.source + 1 + step} {one.start + 1 + step}{size}")
                again = self._style.per_line
                if again or info.id not in seen:
                    seen.add(info.id)
                    self._details(one, info)
                elif step == 0 and several:
                    self._file_name(one)
                out.write("\t")
                out.write(self._line(one.start + step))

    def _details(self, one: Blamed, info: _Info) -> None:
        line = self._app.out.line
        line(f"author {info.author}")
        line(f"author-mail <{info.mail}>")
        line(f"author-time {info.time}")
        line(f"author-tz {dates.zone(info.offset)}")
        line(f"committer {info.committer}")
        line(f"committer-mail <{info.committer_mail}>")
        line(f"committer-time {info.committer_time}")
        line(f"committer-tz {dates.zone(info.committer_offset)}")
        line(f"summary {info.summary}")
        if one.boundary:
            line("boundary")
        self._file_name(one)

    def _file_name(self, one: Blamed) -> None:
        out = self._app.out
        if one.previous is not None:
            out.line(f"previous {one.previous[0]} {out.path(one.previous[1])}")
        out.line(f"filename {out.path(one.path)}")

    def records(self) -> Iterator[dict[str, object]]:
        """One object a line, for --json."""
        for one in self._found.blamed:
            info = self._info(one)
            for step in range(one.number):
                yield {
                    "line": one.start + 1 + step,
                    "text": self._found.lines[one.start + step].removesuffix(b"\n"),
                    "commit": None if one.commit is None else info.id,
                    "path": one.path,
                    "source_line": one.source + 1 + step,
                    "author": None if one.commit is None else one.commit.author,
                    "summary": info.summary,
                    "boundary": one.boundary,
                }
