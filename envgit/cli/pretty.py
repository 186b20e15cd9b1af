# SPDX-License-Identifier: Apache-2.0
"""Expands git's format placeholders for a commit, because scripts and fingers know them by heart.

Source: git-log(1), "PRETTY FORMATS". The result was compared with git's for each placeholder.
Not taken: notes (``%N`` is empty), signatures (``%G?`` is always ``N``), ``%(describe)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from envgit.cli import trailers, wrap
from envgit.cli.dates import DateStyle, zone


class Person(Protocol):
    """Who and when: the ``Signature`` of the git side."""

    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def time(self) -> int: ...
    @property
    def offset(self) -> int: ...


class ReflogStep(Protocol):
    """One line of a reflog, as ``-g`` walks it."""

    @property
    def ref(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def message(self) -> str: ...
    @property
    def who(self) -> Person: ...


class Entry(Protocol):
    """A commit as the log shows it; ``parents`` are those shown, ``mark`` its sign or nothing."""

    @property
    def id(self) -> str: ...
    @property
    def tree(self) -> str: ...
    @property
    def parents(self) -> Sequence[str]: ...
    @property
    def author(self) -> Person: ...
    @property
    def committer(self) -> Person: ...
    @property
    def message(self) -> str: ...
    @property
    def mark(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def reflog(self) -> ReflogStep | None: ...


class Palette(Protocol):
    """The colours: ``escape`` of a slot, ``literal`` of git's words; all "" when plain."""

    @property
    def colour(self) -> bool: ...
    @property
    def reset(self) -> str: ...
    def escape(self, slot: str) -> str: ...
    def literal(self, words: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a format needs to know beyond the commit.

    ``abbrev`` shortens an id; ``decorations`` gives a commit's names as (slot, text) pairs, the
    text with ``HEAD -> main`` already joined as a pair of pairs.
    """

    palette: Palette
    dates: DateStyle
    abbrev: Callable[[str], str]
    decorations: Callable[[str], Sequence[Decoration]]
    selector_dates: bool = False
    columns: int = 80


@dataclass(frozen=True, slots=True)
class Decoration:
    """A name of a commit: ``kind`` is head, branch, remotebranch, tag or stash.

    ``points`` is the branch that HEAD names (``HEAD -> main``).
    """

    kind: str
    name: str
    points: str = ""


def subject_of(message: str) -> str:
    """The first paragraph as one line (``%s``)."""
    return " ".join(_first_paragraph(message)[0])


def body_of(message: str) -> str:
    """What follows the first paragraph (``%b``)."""
    return _first_paragraph(message)[1]


def _first_paragraph(message: str) -> tuple[list[str], str]:
    lines = message.split("\n")
    at = _skip_blank(lines, 0)
    subject: list[str] = []
    while at < len(lines) and lines[at].strip():
        subject.append(lines[at].rstrip())
        at += 1
    return subject, "\n".join(lines[_skip_blank(lines, at) :])


def _skip_blank(lines: list[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def sanitize(subject: str) -> str:
    """A subject that serves as a file name (``%f``)."""
    text = re.sub(r"[^A-Za-z0-9._]+", "-", subject)
    text = re.sub(r"\.+", ".", text)
    return text.strip("-").rstrip(".-")


def decorate(
    names: Sequence[Decoration], palette: Palette, *, color: bool, parts: tuple[str, str, str]
) -> str:
    """The names of a commit between ``parts`` (prefix, separator, suffix), coloured as git does."""
    if not names:
        return ""

    def escape(slot: str) -> str:
        return palette.escape(slot) if color else ""

    commit = escape("diff.commit")
    reset = palette.reset if color else ""
    prefix, separator, suffix = parts
    out: list[str] = []
    lead = prefix
    for name in names:
        out += (commit, lead, reset, escape(f"decorate.{name.kind}"))
        out.append(f"tag: {name.name}" if name.kind == "tag" else name.name)
        if name.points:
            out += (" -> ", reset, escape("decorate.branch"), name.points)
        out.append(reset)
        lead = separator
    out += (commit, suffix, reset)
    return "".join(out)


class State:
    """One expansion under way."""

    __slots__ = ("around", "auto", "entry", "out", "padding", "wrapping")

    def __init__(self, entry: Entry, around: Surroundings) -> None:
        self.entry = entry
        self.around = around
        self.out = ""
        self.auto = False
        self.padding: Padding | None = None
        # Where the text that %w applies to began, and its three numbers.
        self.wrapping = (0, 0, 0, 0)

    def paint(self, slot: str, text: str) -> str:
        if not self.auto:
            return text
        palette = self.around.palette
        return f"{palette.escape(slot)}{text}{palette.reset}"

    def rewrap(self, columns: int, first: int, rest: int) -> None:
        if self.wrapping[1:] == (columns, first, rest):
            return
        start, *how = self.wrapping
        if start < len(self.out):
            self.out = self.out[:start] + wrap.wrap(self.out[start:], *how)
        self.wrapping = (len(self.out), columns, first, rest)


@dataclass(frozen=True, slots=True)
class Padding:
    """``%<(N)`` and its kin: flush ``left``, ``right``, ``steal`` or ``both``, N columns.

    ``until`` means that N counts from the start of the line. ``cut``: trunc, ltrunc, mtrunc or "".
    """

    flush: str
    columns: int
    until: bool
    cut: str

    def apply(self, out: str, text: str) -> str:
        """``out`` with ``text`` padded or cut behind it."""
        room = self.columns
        if self.until:
            room -= wrap.width(out[out.rfind("\n") + 1 :])
        flush = self.flush
        size = wrap.width(text)
        if flush == "steal":
            flush = "right"
            out, text, room = _steal(out, text, room, size)
        if size > room:
            return out + self._cut(text, size, room)
        spare = room - size
        before = {"left": 0, "right": spare, "both": spare // 2}[flush]
        return out + " " * before + text + " " * (spare - before)

    def _cut(self, text: str, size: int, room: int) -> str:
        if not self.cut:
            return text
        at = {"trunc": room - 2, "ltrunc": 0, "mtrunc": room // 2 - 1}[self.cut]
        return wrap.replace_columns(text, at, size - (room - 2), "..")


def _steal(out: str, text: str, room: int, size: int) -> tuple[str, str, int]:
    """``%>>``: take spaces on the left when the text is too long; colours there stay in force."""
    while size > room and len(out) > 1:
        if out.endswith(" "):
            out = out[:-1]
            room += 1
            continue
        escape = re.search("\x1b\\[[0-9;]*m\\Z", out)
        if escape is None:
            break
        text = escape[0] + text
        out = out[: escape.start()]
    return out, text, room


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A compiled placeholder: what it adds, its ``magic`` (``+``, ``-``, space), ``%C`` or not."""

    expand: Callable[[State], str]
    magic: str = ""
    color: bool = False


class Format:
    """A compiled format string."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._items: list[str | Placeholder] = compile_format(text)

    def expand(self, entry: Entry, around: Surroundings) -> str:
        """The text for one commit, without a terminator."""
        state = State(entry, around)
        items = self._items
        at = 0
        while at < len(items):
            item = items[at]
            at += 1
            if isinstance(item, str):
                state.out += item
                continue
            before = len(state.out)
            if state.padding is None:
                state.out += item.expand(state)
            else:
                at = self._padded(state, item, at)
            if item.magic:
                _conjure(state, item.magic, before)
        state.rewrap(0, 0, 0)
        return state.out

    def _padded(self, state: State, item: Placeholder, at: int) -> int:
        padding = state.padding
        assert padding is not None
        text = item.expand(state)
        while item.color and at < len(self._items):
            following = self._items[at]
            if isinstance(following, str):
                break
            item = following
            at += 1
            text += item.expand(state)
        state.out = padding.apply(state.out, text)
        state.padding = None
        return at


def _conjure(state: State, magic: str, before: int) -> None:
    """``%+x``: a newline before if not empty; ``% x``: a space; ``%-x``: no newlines if empty."""
    empty = before == len(state.out)
    if magic == "-":
        if empty:
            state.out = state.out.rstrip("\n")
    elif not empty:
        lead = "\n" if magic == "+" else " "
        state.out = state.out[:before] + lead + state.out[before:]


# Compiling ------------------------------------------------------------------------------------


def compile_format(text: str) -> list[str | Placeholder]:
    """Read a format; what is no placeholder stays as it is."""
    items: list[str | Placeholder] = []
    at = 0
    while at < len(text):
        percent = text.find("%", at)
        if percent < 0:
            items.append(text[at:])
            break
        if percent > at:
            items.append(text[at:percent])
        found = _placeholder(text, percent + 1)
        if found is None:
            items.append("%")
            at = percent + 1
            if text.startswith("%", at):
                at += 1
            continue
        item, at = found
        items.append(item)
    return items


def _placeholder(text: str, at: int) -> tuple[Placeholder, int] | None:
    magic = text[at : at + 1]
    if magic in ("+", "-", " "):
        found = _plain_placeholder(text, at + 1) if text[at + 1 : at + 2] != "w" else None
        if found is None:
            return None
        item, end = found
        return Placeholder(item.expand, magic, item.color), end
    return _plain_placeholder(text, at)


def _plain_placeholder(text: str, at: int) -> tuple[Placeholder, int] | None:
    char = text[at : at + 1]
    if char == "C":
        return _color(text, at)
    if char in ("<", ">"):
        return _padding(text, at)
    if char == "w":
        return _wrapping(text, at)
    if char == "x":
        digits = re.compile(r"[0-9a-fA-F]{2}").match(text, at + 1)
        if digits is None:
            return None
        byte = bytes([int(digits[0], 16)]).decode("utf-8", "surrogateescape")
        return Placeholder(lambda _: byte), at + 3
    if char == "(":
        return _parenthesised(text, at)
    for length in (2, 1):
        expand = SIMPLE.get(text[at : at + length])
        if expand is not None:
            return Placeholder(expand), at + length
    return None


def _parenthesised(text: str, at: int) -> tuple[Placeholder, int] | None:
    found = re.compile(r"\(trailers(?::([^)]*))?\)").match(text, at)
    if found is None:
        return None
    try:
        options = trailers.Options.parse(found[1] or "")
    except ValueError:
        return None  # As git: an option it does not know leaves the placeholder as it stands.
    return Placeholder(lambda state: trailers.show(state.entry.message, options)), found.end()


def _color(text: str, at: int) -> tuple[Placeholder, int] | None:
    if text.startswith("C(auto)", at):

        def auto(state: State) -> str:
            state.auto = state.around.palette.colour
            return state.around.palette.reset if state.auto and state.out else ""

        return Placeholder(auto, color=True), at + 7
    words, end = "", at
    named = re.compile(r"C(red|green|blue|reset)").match(text, at)
    given = re.compile(r"C\((?:(always|auto),)?([^)]*)\)").match(text, at)
    always = False
    if named is not None:
        words, end = named[1], named.end()
    elif given is not None:
        always = given[1] == "always"
        words, end = given[2], given.end()
    else:
        return None
    from envgit.cli.colour import escape

    fixed = escape(words)

    def color(state: State) -> str:
        state.auto = False
        return fixed if always or state.around.palette.colour else ""

    return Placeholder(color, color=True), end


def _padding(text: str, at: int) -> tuple[Placeholder, int] | None:
    found = re.compile(r"(<|><|>>|>)(\|?)\( *(-?\d+) *(?:, *(trunc|ltrunc|mtrunc) *)?\)").match(
        text, at
    )
    if found is None:
        return None
    flush = {"<": "left", ">": "right", ">>": "steal", "><": "both"}[found[1]]
    until = bool(found[2])
    columns = int(found[3])
    if columns == 0 or (columns < 0 and not until):
        return None
    cut = found[4] or ""

    def pad(state: State) -> str:
        size = columns if columns > 0 else max(state.around.columns + columns, 0)
        state.padding = Padding(flush, size, until, cut)
        return ""

    return Placeholder(pad), found.end()


def _wrapping(text: str, at: int) -> tuple[Placeholder, int] | None:
    found = re.compile(r"w\((?: *(\d+) *(?:, *(\d+) *(?:, *(\d+) *)?)?)?\)").match(text, at)
    if found is None:
        return None
    columns, first, rest = (int(number or 0) for number in found.groups())

    def start(state: State) -> str:
        state.rewrap(columns, first, rest)
        return ""

    return Placeholder(start), found.end()


# The placeholders of one or two letters ---------------------------------------------------------


def _names(parts: tuple[str, str, str]) -> Callable[[State], str]:
    def expand(state: State) -> str:
        names = state.around.decorations(state.entry.id)
        return decorate(names, state.around.palette, color=state.auto, parts=parts)

    return expand


def _person(letter: str, of: Callable[[State], Person]) -> dict[str, Callable[[State], str]]:
    """``%an`` and the rest for the author, and the same for the committer."""

    def date(kind: str) -> Callable[[State], str]:
        def expand(state: State) -> str:
            who = of(state)
            dates = state.around.dates
            return (dates.named(kind) if kind else dates).show(who.time, who.offset)

        return expand

    def local_part(state: State) -> str:
        return of(state).email.partition("@")[0]

    found: dict[str, Callable[[State], str]] = {
        "n": lambda state: of(state).name,
        "e": lambda state: of(state).email,
        "l": local_part,
        "d": date(""),
    }
    # There is no mailmap, so that its variants are the plain names.
    found |= {"N": found["n"], "E": found["e"], "L": local_part}
    kinds = {"D": "rfc", "r": "relative", "t": "unix", "i": "iso", "I": "iso-strict"}
    found |= {key: date(kind) for key, kind in (kinds | {"s": "short", "h": "human"}).items()}
    return {letter + key: expand for key, expand in found.items()}


def selector(step: ReflogStep, dates: DateStyle, *, full: bool, dated: bool) -> str:
    """``HEAD@{0}`` or, where dates were asked for, ``HEAD@{2026-…}``."""
    ref = step.ref if full else step.ref.removeprefix("refs/heads/").removeprefix("refs/")
    inside = dates.show(step.who.time, step.who.offset) if dated else str(step.index)
    return f"{ref}@{{{inside}}}"


def _reflog(of: Callable[[State, ReflogStep], str]) -> Callable[[State], str]:
    def expand(state: State) -> str:
        step = state.entry.reflog
        return "" if step is None else of(state, step)

    return expand


def _selector(state: State, step: ReflogStep, *, full: bool) -> str:
    around = state.around
    return selector(step, around.dates, full=full, dated=around.selector_dates)


def raw_person(who: Person) -> str:
    """As in a commit object: ``N <e> 1700000000 +0000``."""
    return f"{who.name} <{who.email}> {who.time} {zone(who.offset)}"


def _nothing(_: State) -> str:
    return ""


SIMPLE: Mapping[str, Callable[[State], str]] = {
    "n": lambda _: "\n",
    "H": lambda state: state.paint("diff.commit", state.entry.id),
    "h": lambda state: state.paint("diff.commit", state.around.abbrev(state.entry.id)),
    "T": lambda state: state.entry.tree,
    "t": lambda state: state.around.abbrev(state.entry.tree),
    "P": lambda state: " ".join(state.entry.parents),
    "p": lambda state: " ".join(map(state.around.abbrev, state.entry.parents)),
    "s": lambda state: subject_of(state.entry.message),
    "f": lambda state: sanitize(subject_of(state.entry.message)),
    "b": lambda state: body_of(state.entry.message),
    "B": lambda state: state.entry.message,
    "d": _names((" (", ", ", ")")),
    "D": _names(("", ", ", "")),
    "m": lambda state: state.entry.mark or ">",
    "S": lambda state: state.entry.source,
    "e": _nothing,
    "N": _nothing,
    "gD": _reflog(lambda state, step: _selector(state, step, full=True)),
    "gd": _reflog(lambda state, step: _selector(state, step, full=False)),
    "gn": _reflog(lambda _, step: step.who.name),
    "gN": _reflog(lambda _, step: step.who.name),
    "ge": _reflog(lambda _, step: step.who.email),
    "gE": _reflog(lambda _, step: step.who.email),
    "gs": _reflog(lambda _, step: step.message),
    "G?": lambda _: "N",
    "GT": lambda _: "undefined",
    **{f"G{letter}": _nothing for letter in "GSKFP"},
    **_person("a", lambda state: state.entry.author),
    **_person("c", lambda state: state.entry.committer),
}
