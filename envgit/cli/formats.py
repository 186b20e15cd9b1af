# SPDX-License-Identifier: Apache-2.0
"""The forms of a commit in the log: git's named ones (``medium``, ``oneline``, …) and one's own.

Source: git-log(1), "PRETTY FORMATS"; compared with git's output to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.cli.entries import Surroundings, raw_person
from envgit.cli.pretty import Format
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.history import LogEntry

NAMES = ("oneline", "short", "medium", "full", "fuller", "raw", "reference", "email")
REFERENCE = "%C(auto)%h (%s, %ad)"
EMAIL = "From %H Mon Sep 17 00:00:00 2001%nFrom: %an <%ae>%nDate: %aD%nSubject: [PATCH] %s%n%n%b"
_EXPANDING = ("medium", "full", "fuller")


class FormatError(EnvgitError):
    """``--pretty`` names no format."""


@dataclass(frozen=True, slots=True)
class Form:
    """How commits are written.

    ``name`` is a named form or ``user``. ``terminated``: each commit ends with a newline instead of
    being separated from the next by one. ``format`` is the compiled user format.
    """

    name: str = "medium"
    terminated: bool = False
    format: Format | None = None
    short_dates: bool = False

    @property
    def user(self) -> bool:
        """Whether this is a format string; then there is no ``commit …`` line."""
        return self.format is not None

    @property
    def empty(self) -> bool:
        """Whether nothing is written about a commit (``--format=``)."""
        return self.format is not None and not self.format.text

    @property
    def oneline(self) -> bool:
        """Whether a commit is one line: id, names, subject."""
        return self.name == "oneline"


def parse(value: str, aliases: Callable[[str], str | None] = lambda _: None) -> Form:
    """Read the value of ``--pretty`` or ``--format``. Raises FormatError as git words it.

    ``aliases`` looks up ``pretty.<name>`` in the settings.
    """
    seen: set[str] = set()
    given = value
    while True:
        if value.startswith("format:"):
            return Form("user", terminated=False, format=Format(value[7:]))
        if not value or value.startswith("tformat:") or "%" in value:
            return Form("user", terminated=True, format=Format(value.removeprefix("tformat:")))
        alias = None if value in seen or value in NAMES else aliases(value)
        if alias is None:
            break
        seen.add(value)
        value = alias
    matches = [name for name in NAMES if name.startswith(value)]
    if not matches:
        raise FormatError(f"invalid --pretty format: {given}")
    name = min(matches, key=len)
    if name == "reference":
        return Form("user", terminated=True, format=Format(REFERENCE), short_dates=True)
    if name == "email":
        return Form("user", terminated=False, format=Format(EMAIL))
    return Form(name, terminated=name == "oneline")


def text_of(form: Form, entry: LogEntry, around: Surroundings, *, tabs: bool = True) -> str:
    """What follows the ``commit …`` line, or all of it in a user format."""
    if form.format is not None:
        return form.format.expand(entry, around)
    if form.oneline:
        return entry.subject
    lines = [*_header(form.name, entry, around), ""]
    lines += _message(form, entry.message, tabs=tabs)
    return "\n".join(lines).rstrip(" \t\n") + "\n"


def _header(name: str, entry: LogEntry, around: Surroundings) -> Iterator[str]:
    author, committer = entry.author, entry.committer
    if name == "raw":
        yield f"tree {entry.tree}"
        yield from (f"parent {parent}" for parent in entry.parents)
        yield f"author {raw_person(author)}"
        yield f"committer {raw_person(committer)}"
        return
    if len(entry.parents) > 1:
        yield f"Merge: {' '.join(map(around.abbrev, entry.parents))}"
    dates = around.dates
    who = f"{author.name} <{author.email}>"
    by = f"{committer.name} <{committer.email}>"
    if name == "fuller":
        yield f"Author:     {who}"
        yield f"AuthorDate: {dates.show(author.time, author.offset)}"
        yield f"Commit:     {by}"
        yield f"CommitDate: {dates.show(committer.time, committer.offset)}"
        return
    yield f"Author: {who}"
    if name == "full":
        yield f"Commit: {by}"
    elif name == "medium":
        yield f"Date:   {dates.show(author.time, author.offset)}"


def _message(form: Form, message: str, *, tabs: bool) -> Iterator[str]:
    """The message indented by four; ``short`` shows its first paragraph alone."""
    started = False
    for line in message.split("\n"):
        line = line.rstrip()
        if not line:
            if not started:
                continue
            if form.name == "short":
                return
        started = True
        if tabs and form.name in _EXPANDING:
            line = line.expandtabs(8)
        yield "    " + line
