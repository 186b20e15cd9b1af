# SPDX-License-Identifier: Apache-2.0
"""Reads the syntax of git-config(5), because ``run`` needs settings and must not load git for them.

It accepts and refuses what ``git config`` does, down to the line number in the error; a test
compares the two on generated files. Pure: bytes and texts in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from envgit.errors import EnvgitError


class SettingsError(EnvgitError):
    """A settings file cannot be read, or a value is not what its setting takes."""


class Item(NamedTuple):
    """One line of a settings file: the canonical name, and the text (None: a bare name)."""

    name: str
    value: str | None
    line: int


# -- the syntax -------------------------------------------------------------------------------

# Compiling costs 0.1 ms each at every start, so patterns that are seldom used stand where they are
# used. Only these are white space to git (its own ctype table); \v and \f are ordinary characters.
_BLANK = re.compile(r"(?:[ \t\r\n]+|[#;][^\n]*)*")
_HEADER = re.compile(r'\[([A-Za-z0-9.-]*)(?:[ \t\r]+"((?:[^"\\\n]|\\[^\n])*)")?\]')
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*")
_PLAIN = re.compile(r'[^ \t\r\n"\\;#]+')
_QUOTED = re.compile(r'[^"\\\n]+')
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "\\": "\\", '"': '"', "\n": ""}


class _Syntax(Exception):
    """A position in the text that cannot be read; ``shift`` corrects the line as git counts."""

    def __init__(self, position: int, shift: int = 0) -> None:
        super().__init__(position)
        self.position = position
        self.shift = shift


def parse(data: bytes, where: str) -> list[Item]:
    """The settings in a file's bytes, in order. ``where`` completes "bad config line N in ...".

    Raises SettingsError with git's own words. Bytes that are not UTF-8 come as surrogates.
    """
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        return list(_items(text))
    except _Syntax as fault:
        line = text.count("\n", 0, fault.position) + 1 + fault.shift
        raise SettingsError(f"bad config line {line} in {where}") from None


def _items(text: str) -> Iterator[Item]:
    stem, position, line, counted = "", 0, 1, 0
    while True:
        position = _skip(_BLANK, text, position)
        if position == len(text):
            return
        if text[position] == "[":
            header = _HEADER.match(text, position)
            if header is None or header[0] == "[]":
                raise _Syntax(position, _lines_in_bad_header(text[position:]))
            stem = header[1].lower()
            if header[2] is not None:
                stem += "." + re.sub(r"\\(.)", r"\1", header[2], flags=re.DOTALL)
            stem += "."
            position = header.end()
            continue
        key = _KEY.match(text, position)
        if key is None:
            raise _Syntax(position)
        position = key.end()
        value = None
        if position < len(text) and text[position] != "\n":
            if text[position] != "=":
                raise _Syntax(position)
            value, position = _value(text, position + 1)
        line, counted = line + text.count("\n", counted, position), position
        # git keeps both as C strings.
        yield Item(_until_nul(stem + key[1].lower()), value and _until_nul(value), line)


def _lines_in_bad_header(rest: str) -> int:
    """Where in ``[section "name`` git gives up: 1 if it read on past the end of the line."""
    cut = re.match(r'\[[A-Za-z0-9.-]*(?:\Z|[ \t\r]+"(?:[^"\\\n]|\\[^\n])*"(?:\n|\Z))', rest)
    return 0 if cut is None else 1


def _value(text: str, position: int) -> tuple[str, int]:
    """The value that starts after "=", and the position of the newline (or end) after it."""
    parts: list[str] = []
    spaces = ""
    quoted = False
    while position < len(text):
        character = text[position]
        if character == "\n":
            break
        if not quoted and character in " \t\r":
            # Kept only between other characters, as they are (git before 2.45 made tabs spaces).
            spaces += character if any(parts) else ""
            position += 1
            continue
        if not quoted and character in ";#":
            end = text.find("\n", position)
            return "".join(parts), len(text) if end < 0 else end
        parts.append(spaces)
        spaces = ""
        if character == "\\":
            escaped = text[position + 1 : position + 2] or "\n"
            if escaped not in _ESCAPES:
                raise _Syntax(position + 1)
            parts.append(_ESCAPES[escaped])
            position += 2
        elif character == '"':
            quoted = not quoted
            position += 1
        else:
            end = _skip(_QUOTED if quoted else _PLAIN, text, position)
            parts.append(text[position:end])
            position = end
    if quoted:
        # An escaped end of file counts as one more line.
        raise _Syntax(min(position, len(text)), 1 if position > len(text) else 0)
    return "".join(parts), min(position, len(text))


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _until_nul(text: str) -> str:
    return text.partition("\0")[0]


def canonical(name: str) -> str:
    """``name`` with its section and key in lower case. Raises SettingsError in git's words."""
    section, dot, key = name.rpartition(".")
    if not dot or not section:
        raise SettingsError(f"key does not contain a section: {name}")
    if not key:
        raise SettingsError(f"key does not contain variable name: {name}")
    if not re.fullmatch(r"(?s)[A-Za-z0-9.-]+(?:\.[^\n\0]*)?\.[A-Za-z][A-Za-z0-9-]*", name):
        raise SettingsError(f"invalid key: {name}")
    base, dot, subsection = section.partition(".")
    return f"{base.lower()}{dot}{subsection}.{key.lower()}"


# -- values -----------------------------------------------------------------------------------

_TRUE = frozenset(("true", "yes", "on"))
_FALSE = frozenset(("false", "no", "off", ""))
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}


def parse_bool(value: str | None) -> bool | None:
    """A switch's text (None, a bare name, is true); None when it is not one."""
    word = "true" if value is None else value.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    try:
        return parse_int(word, bits=32) != 0  # a C int to git
    except ValueError:
        return None


def parse_int(value: str, *, bits: int = 64) -> int:
    """A signed number of so many bits, as git_config_int64 reads it.

    Raises ValueError with git's word for the fault.
    """
    match = re.match(r"[ \t\n\r\v\f]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", value)
    if match is None:
        _invalid("invalid unit")
    digits = match[2]
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    unit = value[match.end() :].lower()
    if unit not in _UNITS:
        _invalid("invalid unit")
    number = int(digits, base) * _UNITS[unit] * (-1 if match[1] == "-" else 1)
    if not -(1 << bits - 1) < number < 1 << bits - 1:
        _invalid("out of range")
    return number


def parse_age(text: str) -> int | None:
    """An age in seconds, None for never. Raises ValueError."""
    word = text.strip().lower()
    if word in ("never", "false"):
        return None
    if word in ("now", "all", "true"):
        return 0
    units = "|".join(_SECONDS)
    match = re.fullmatch(rf"(\d{{1,9}})[ .]?({units})s?(?:[ .]ago)?", word)
    if match is None:
        _invalid("not an age")
    return int(match[1]) * _SECONDS[match[2]]


def _invalid(reason: str) -> NoReturn:
    raise ValueError(reason)
