# SPDX-License-Identifier: Apache-2.0
"""Prints a moment in every form of git's ``--date``, so that dates read as users set them.

Source: git-log(1), "--date"; the wording and rounding of relative dates were compared with git's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from envgit.errors import EnvgitError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_KINDS = {
    "default": "default",
    "relative": "relative",
    "iso": "iso",
    "iso8601": "iso",
    "iso-strict": "iso-strict",
    "iso8601-strict": "iso-strict",
    "rfc": "rfc",
    "rfc2822": "rfc",
    "short": "short",
    "human": "human",
    "raw": "raw",
    "unix": "unix",
}


class DateFormatError(EnvgitError):
    """``--date`` or ``log.date`` names no form of date."""


@dataclass(frozen=True, slots=True)
class DateStyle:
    """A form of date: ``kind`` as in ``--date``, ``local`` for the reader's own time zone.

    ``format`` is the strftime text of kind ``format``. ``now`` (seconds) is what relative and human
    dates count from.
    """

    kind: str = "default"
    local: bool = False
    format: str = ""
    now: int = 0

    @classmethod
    def parse(cls, text: str, *, now: int, terminal: bool = False) -> DateStyle:
        """Read the value of ``--date``. Raises DateFormatError as git words it."""
        if text.startswith("auto:"):
            return cls.parse(text[5:] if terminal else "default", now=now)
        if text == "local":
            return cls("default", local=True, now=now)
        for prefix, local in (("format:", False), ("format-local:", True)):
            if text.startswith(prefix):
                return cls("format", local=local, format=text[len(prefix) :], now=now)
        kind = _KINDS.get(text.removesuffix("-local"))
        if kind is None:
            if text.removesuffix("-local") == "format":
                raise DateFormatError(f"date format missing colon separator: {text}")
            raise DateFormatError(f"unknown date format {text}")
        return cls(kind, local=text.endswith("-local"), now=now)

    def show(self, seconds: int, offset: int) -> str:
        """The moment ``seconds`` after the epoch, in the zone ``offset`` minutes east of UTC."""
        if self.local:
            offset = local_offset(seconds)
        if self.kind == "raw":
            return f"{seconds} {zone(offset)}"
        if self.kind == "unix":
            return str(seconds)
        if self.kind == "relative":
            return relative(seconds, self.now)
        parts = time.localtime(seconds) if self.local else time.gmtime(seconds + offset * 60)
        if self.kind == "format":
            return _strftime(self.format, parts, seconds, offset, local=self.local)
        if self.kind == "human":
            return self._human(seconds, parts, offset)
        return _FORMS[self.kind](parts, offset, self.local)

    def named(self, kind: str) -> DateStyle:
        """The same reader's clock, another form (``%aI`` beside ``%ad``)."""
        return replace(self, kind=kind, local=False)

    def _human(self, seconds: int, parts: time.struct_time, offset: int) -> str:
        here = time.localtime(self.now)
        same_zone = self.local or offset == local_offset(self.now)
        same_year = parts.tm_year == here.tm_year
        recent = False
        if same_year and parts.tm_mon == here.tm_mon:
            if parts.tm_mday == here.tm_mday:
                return relative(seconds, self.now)
            recent = parts.tm_mday < here.tm_mday < parts.tm_mday + 5
        day = f"{MONTHS[parts.tm_mon - 1]} {parts.tm_mday}"
        if not same_year:
            return f"{day} {parts.tm_year}"
        clock = f"{parts.tm_hour:02d}:{parts.tm_min:02d}"
        if not recent:
            return f"{DAYS[parts.tm_wday]} {day} {clock}"
        suffix = "" if same_zone else f" {zone(offset)}"
        return f"{DAYS[parts.tm_wday]} {clock}{suffix}"


def zone(offset: int) -> str:
    """An offset in minutes as git writes it: ``+0130``."""
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}{minutes:02d}"


def local_offset(seconds: int) -> int:
    """The reader's offset from UTC at that moment, in minutes."""
    return time.localtime(seconds).tm_gmtoff // 60


def relative(seconds: int, now: int) -> str:
    """How long ago, rounded as git does: ``3 weeks ago``, ``1 year, 2 months ago``."""
    if now < seconds:
        return "in the future"
    span = now - seconds
    if span < 90:
        return _ago(span, "second")
    span = (span + 30) // 60
    if span < 90:
        return _ago(span, "minute")
    span = (span + 30) // 60
    if span < 36:
        return _ago(span, "hour")
    span = (span + 12) // 24
    if span < 14:
        return _ago(span, "day")
    if span < 70:
        return _ago((span + 3) // 7, "week")
    if span < 365:
        return _ago((span + 15) // 30, "month")
    if span < 1825:
        years, months = divmod((span * 24 + 365) // 730, 12)
        if months:
            return f"{_count(years, 'year')}, {_ago(months, 'month')}"
        return _ago(years, "year")
    return _ago((span + 183) // 365, "year")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _ago(number: int, unit: str) -> str:
    return f"{_count(number, unit)} ago"


def _default(parts: time.struct_time, offset: int, local: bool) -> str:
    text = (
        f"{DAYS[parts.tm_wday]} {MONTHS[parts.tm_mon - 1]} {parts.tm_mday} "
        f"{_clock(parts)} {parts.tm_year}"
    )
    return text if local else f"{text} {zone(offset)}"


def _short(parts: time.struct_time, offset: int = 0, local: bool = False) -> str:
    return f"{parts.tm_year:04d}-{parts.tm_mon:02d}-{parts.tm_mday:02d}"


def _iso(parts: time.struct_time, offset: int, local: bool) -> str:
    return f"{_short(parts)} {_clock(parts)} {zone(offset)}"


def _iso_strict(parts: time.struct_time, offset: int, local: bool) -> str:
    east = zone(offset)
    return f"{_short(parts)}T{_clock(parts)}{east[:3]}:{east[3:]}"


def _rfc(parts: time.struct_time, offset: int, local: bool) -> str:
    return (
        f"{DAYS[parts.tm_wday]}, {parts.tm_mday} {MONTHS[parts.tm_mon - 1]} {parts.tm_year} "
        f"{_clock(parts)} {zone(offset)}"
    )


def _clock(parts: time.struct_time) -> str:
    return f"{parts.tm_hour:02d}:{parts.tm_min:02d}:{parts.tm_sec:02d}"


def _strftime(text: str, parts: time.struct_time, seconds: int, offset: int, *, local: bool) -> str:
    """strftime(3), but ``%z``, ``%s`` and (as git) an empty ``%Z`` come from the moment itself."""
    own = {"%%": "%%", "%z": zone(offset), "%s": str(seconds)}
    if not local:
        own["%Z"] = ""
    prepared = re.sub(r"%.", lambda found: own.get(found[0], found[0]), text, flags=re.DOTALL)
    return time.strftime(prepared, parts) if prepared else ""


_FORMS: dict[str, Callable[[time.struct_time, int, bool], str]] = {
    "default": _default,
    "short": _short,
    "iso": _iso,
    "iso-strict": _iso_strict,
    "rfc": _rfc,
}
