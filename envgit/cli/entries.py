# SPDX-License-Identifier: Apache-2.0
"""What every form of showing a commit shares: its message's parts, its names, the colours.

Source: git-log(1); the parts of a message are divided as git divides them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from envgit.cli.dates import DateStyle, zone

if TYPE_CHECKING:
    from envgit.porcelain.history import ReflogStep, Signature


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


def sanitize(message: str) -> str:
    """The message's first line as a name for a file (``%f``)."""
    subject = message.strip().split("\n", 1)[0]
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


def selector(step: ReflogStep, dates: DateStyle, *, full: bool, dated: bool) -> str:
    """``HEAD@{0}`` or, where dates were asked for, ``HEAD@{2026-…}``."""
    ref = step.ref if full else step.ref.removeprefix("refs/heads/").removeprefix("refs/")
    inside = dates.show(step.who.time, step.who.offset) if dated else str(step.index)
    return f"{ref}@{{{inside}}}"


def raw_person(who: Signature) -> str:
    """As in a commit object: ``N <e> 1700000000 +0000``."""
    return f"{who.name} <{who.email}> {who.time} {zone(who.offset)}"
