# SPDX-License-Identifier: Apache-2.0
"""Expands git's format placeholders for a commit, because scripts and fingers know them by heart.

Source: git-log(1), "PRETTY FORMATS". The result was compared with git's for each placeholder.
Not taken: notes and sources (``%N``, ``%S`` are empty), signatures (``%G?`` is always ``N``),
``%(describe)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.cli import trailers, wrap
from envgit.cli.entries import (
    Surroundings,
    decorate,
    sanitize,
    selector,
)
from envgit.cli.padding import Padding

if TYPE_CHECKING:
    from envgit.porcelain.history import LogEntry, ReflogStep, Signature


class State:
    """One expansion under way."""

    __slots__ = ("around", "auto", "entry", "out", "padding", "wrapping")

    def __init__(self, entry: LogEntry, around: Surroundings) -> None:
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

    def expand(self, entry: LogEntry, around: Surroundings) -> str:
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
                # Not ``out += expand()``: some placeholders change what is out already.
                text = item.expand(state)
                state.out += text
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


def _person(letter: str, of: Callable[[State], Signature]) -> dict[str, Callable[[State], str]]:
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


def _reflog(of: Callable[[State, ReflogStep], str]) -> Callable[[State], str]:
    def expand(state: State) -> str:
        step = state.entry.reflog
        return "" if step is None else of(state, step)

    return expand


def _selector(state: State, step: ReflogStep, *, full: bool) -> str:
    around = state.around
    return selector(step, around.dates, full=full, dated=around.selector_dates)


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
    "s": lambda state: state.entry.subject,
    "f": lambda state: sanitize(state.entry.message),
    "b": lambda state: state.entry.body,
    "B": lambda state: state.entry.message,
    "d": _names((" (", ", ", ")")),
    "D": _names(("", ", ", "")),
    "m": lambda state: state.entry.side,
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
