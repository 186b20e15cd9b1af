# SPDX-License-Identifier: Apache-2.0
"""Dates as git users write them: exact ones for signatures, approximate ones for ``--since``.

Source: git's Documentation/date-formats.txt, and ``git`` itself where that is silent.
"""

from __future__ import annotations

import calendar
import re
import time
from datetime import datetime
from email.utils import mktime_tz, parsedate_tz

_RAW = re.compile(r"^@?(?P<seconds>-?\d+)(?:\s+(?P<sign>[+-])(?P<hours>\d\d)(?P<minutes>\d\d))?$")
_DAY = re.compile(
    r"^(?P<date>\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[/.]\d{1,2}[/.]\d{4})"
    r"(?:[T ]+(?P<time>\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d+)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?$"
)
_UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
}
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: value for value, word in enumerate(_WORDS, 1)} | {"a": 1, "an": 1, "last": 1}
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_SPECIAL_HOURS = {"midnight": 0, "noon": 12, "tea": 17}


def parse_date(text: str) -> tuple[int, int]:
    """An exact date: (seconds since the epoch, offset of its zone in minutes).

    Takes git's internal form (``1700000000 +0100``, ``@1700000000``), RFC 2822, ISO 8601, and
    ``YYYY.MM.DD``, ``MM/DD/YYYY``, ``DD.MM.YYYY``; without a zone the local one counts. Raises
    ValueError.
    """
    text = text.strip()
    raw = _RAW.match(text)
    # Eight digits or fewer without an @ are a date to git, not seconds (date-formats.txt).
    if raw and (text.startswith("@") or raw["hours"] or len(raw["seconds"]) > 8):
        offset = int(raw["hours"] or 0) * 60 + int(raw["minutes"] or 0)
        return int(raw["seconds"]), -offset if raw["sign"] == "-" else offset
    day = _DAY.match(text)
    if day:
        return _from_day(day)
    parsed = parsedate_tz(text)
    if parsed is None:
        raise ValueError(f"not a date: {text!r}")
    if parsed[9] is None:
        return _local(datetime(*parsed[:6]))
    return mktime_tz(parsed), parsed[9] // 60


def approxidate(text: str, now: int | None = None) -> int:
    """A date as ``--since`` takes it, exact or relative: seconds since the epoch.

    ``2 weeks ago``, ``yesterday``, ``last friday``, ``noon yesterday``, ``3.days.1.hour.ago``,
    ``never``, ``now``, ``5 minutes``. Raises ValueError where not one word makes sense (git would
    take the present).
    """
    present = int(time.time()) if now is None else now
    try:
        return parse_date(text)[0]
    except ValueError:
        pass
    if text.strip().lower() in ("never", "all"):
        return 0
    moment = datetime.fromtimestamp(present)
    understood = False
    count = 1
    for word in re.split(r"[\s._,]+", text.strip().lower()):
        step = _apply_word(moment, word, count)
        if step is not None:
            moment, understood, count = step, True, 1
        elif word.isdigit():
            count = int(word)
        elif word in _NUMBERS:
            count = _NUMBERS[word]
        elif word in ("now", "ago", "at", "and", "today", ""):
            understood = understood or word in ("now", "today")
        elif re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", word):
            parts = [int(part) for part in word.split(":")] + [0]
            moment = moment.replace(hour=parts[0], minute=parts[1], second=parts[2])
            understood = True
        else:
            raise ValueError(f"not a date: {text!r}")
    if not understood:
        raise ValueError(f"not a date: {text!r}")
    return _local(moment)[0]


def _apply_word(moment: datetime, word: str, count: int) -> datetime | None:
    singular = word.removesuffix("s")
    if singular in _UNITS:
        return datetime.fromtimestamp(moment.timestamp() - count * _UNITS[singular])
    if singular in ("month", "year"):
        months = moment.year * 12 + moment.month - 1 - count * (12 if singular == "year" else 1)
        year, month = divmod(months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    if word == "yesterday":
        return datetime.fromtimestamp(moment.timestamp() - 86400)
    if word in _SPECIAL_HOURS:
        changed = moment.replace(hour=_SPECIAL_HOURS[word], minute=0, second=0)
        # As git: noon means the last noon.
        return changed if changed <= moment else datetime.fromtimestamp(changed.timestamp() - 86400)
    if word in _WEEKDAYS:
        back = (moment.weekday() - _WEEKDAYS.index(word)) % 7 or 7
        return datetime.fromtimestamp(moment.timestamp() - (back + 7 * (count - 1)) * 86400)
    return None


def _from_day(match: re.Match[str]) -> tuple[int, int]:
    text = match["date"]
    parts = [int(part) for part in re.split(r"[-/.]", text)]
    if len(str(parts[0])) == 4:
        year, month, day = parts
    elif "/" in text:
        month, day, year = parts
    else:
        day, month, year = parts
    clock = [int(part) for part in (match["time"] or "0:0").split(":")] + [0]
    when = datetime(year, month, day, clock[0], clock[1], clock[2])
    zone = match["zone"]
    if zone is None:
        return _local(when)
    if zone == "Z":
        return calendar.timegm(when.timetuple()), 0
    digits = zone[1:].replace(":", "")
    offset = int(digits[:2]) * 60 + int(digits[2:])
    if zone[0] == "-":
        offset = -offset
    return calendar.timegm(when.timetuple()) - offset * 60, offset


def _local(when: datetime) -> tuple[int, int]:
    aware = when.astimezone()
    offset = aware.utcoffset()
    assert offset is not None  # astimezone() always sets a zone
    return int(aware.timestamp()), int(offset.total_seconds()) // 60
