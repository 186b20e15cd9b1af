# SPDX-License-Identifier: Apache-2.0
"""POSIX regular expressions, as git takes them, in the spelling of Python's ``re`` over bytes.

Source: regex(7) and the behaviour of glibc, which git uses; compared with ``git grep`` by random
patterns. Text is UTF-8: ``.`` and brackets match a whole character. A match never holds a newline,
so that a whole file can be searched at once.

What differs: of alternatives that match at one place POSIX takes the longest, Python the first,
which shows in ``-o`` and ``-w`` alone; names of collating elements are not known; every character
beyond ASCII counts as a letter, ``[[:upper:]]`` and ``[[:lower:]]`` know ASCII alone, and case
beyond it is ignored in literals and brackets only.
"""

from __future__ import annotations

import re

from envgit.errors import EnvgitError

_MOST_REPEATS = 32767
"""RE_DUP_MAX of glibc."""
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x09\\x0b-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\r\\f\\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
# A character of UTF-8 beyond ASCII.
_BEYOND = rb"[\xc2-\xf4][\x80-\xbf]{1,3}"
_ANY = rb"(?:[^\n\x80-\xff]|" + _BEYOND + rb")"
_INSIDE_WORD = rb"[0-9A-Za-z_\x80-\xff]"
_ESCAPES = {
    "w": rb"(?:[0-9A-Za-z_]|" + _BEYOND + rb")",
    "W": rb"[^0-9A-Za-z_\n\x80-\xff]",
    "s": rb"[ \t\r\f\v]",
    "S": rb"(?:[^\s\x80-\xff]|" + _BEYOND + rb")",
}
_WORD_STARTS = rb"(?<!" + _INSIDE_WORD + rb")(?=" + _INSIDE_WORD + rb")"
_WORD_ENDS = rb"(?<=" + _INSIDE_WORD + rb")(?!" + _INSIDE_WORD + rb")"
_ANCHORS = {
    "<": _WORD_STARTS,
    ">": _WORD_ENDS,
    "b": _WORD_STARTS + rb"|" + _WORD_ENDS,
    "B": rb"(?!" + _WORD_STARTS + rb"|" + _WORD_ENDS + rb")",
    "`": rb"^",
    "'": rb"$",
}
_WIDEST_RANGE = 1 << 12
"""Characters beyond ASCII that a range in brackets may span; each becomes an alternative."""


class BadPattern(EnvgitError):
    """A pattern that is no regular expression, as the user is told of it."""


class PatternError(EnvgitError):
    """A regular expression that is none. The message is regerror(3)'s."""


def compile_pattern(
    text: str, *, syntax: str = "basic", ignore_case: bool = False
) -> re.Pattern[bytes]:
    """Compile a pattern for searching bytes, several lines at once if wanted.

    ``syntax``: basic, extended, fixed or perl (Python's own, with POSIX classes). Raises
    PatternError.
    """
    flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0)
    return re.compile(translate(text, syntax=syntax, ignore_case=ignore_case), flags)


def translate(text: str, *, syntax: str, ignore_case: bool = False) -> bytes:
    """The pattern as Python has it, for use with MULTILINE. Raises PatternError."""
    if syntax == "fixed":
        return b"".join(_literal(char, ignore_case) for char in text)
    if syntax == "perl":
        raw = re.sub(r"\[:([a-z]+):\]", lambda at: _CLASSES.get(at[1], at[0]), text)
        made = _encode(raw)
    else:
        made = _Translator(text, syntax == "extended", ignore_case).run()
    try:
        re.compile(made)
    except (re.error, OverflowError) as error:
        raise PatternError(str(error)) from error
    return made


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _literal(char: str, ignore_case: bool) -> bytes:
    if char.isascii():
        return re.escape(_encode(char))
    cases = dict.fromkeys((char, char.lower(), char.upper())) if ignore_case else (char,)
    found = b"|".join(re.escape(_encode(one)) for one in cases)
    return b"(?:" + found + b")"


class _Branch:
    """A group under construction: the pieces of the branch at hand, and those before it."""

    __slots__ = ("before", "closed", "number", "pieces", "repeatable", "repeated")

    def __init__(self, number: int, before: frozenset[int] = frozenset()) -> None:
        # The groups that back references may mean: those closed before this one began, and those
        # closed in the branches so far.
        self.before = before
        self.closed: frozenset[int] = frozenset()
        self.number = number
        self.pieces: list[bytes] = []
        self.repeatable = False
        self.repeated = False


class _Translator:
    def __init__(self, text: str, extended: bool, ignore_case: bool) -> None:
        self._text = text
        self._extended = extended
        self._ignore_case = ignore_case
        self._at = 0
        self._stack = [_Branch(0)]
        self._opened = 0
        self._closed: frozenset[int] = frozenset()

    def run(self) -> bytes:
        while self._at < len(self._text):
            self._step(self._next())
        if len(self._stack) > 1:
            raise PatternError("Unmatched ( or \\(")
        return b"".join(self._stack[0].pieces)

    def _next(self) -> tuple[str, str]:
        """The next token: what it is (``char`` when nothing special), and its character."""
        char = self._text[self._at]
        self._at += 1
        if char == "\\":
            if self._at == len(self._text):
                raise PatternError("Trailing backslash")
            escaped = self._text[self._at]
            self._at += 1
            if escaped in "(){}|+?" and not self._extended:
                return escaped, escaped
            if escaped in _ESCAPES or escaped in _ANCHORS or escaped in "123456789":
                return "\\", escaped
            return "char", escaped
        if char in "*.[":
            return char, char
        if char == "^":
            return ("^" if self._caret_anchors() else "char"), char
        if char == "$":
            return ("$" if self._dollar_anchors() else "char"), char
        return (char if self._extended and char in "(){}|+?" else "char"), char

    def _caret_anchors(self) -> bool:
        before = self._text[: self._at - 1]
        return self._extended or not before or before.endswith(("\\(", "\\|"))

    def _dollar_anchors(self) -> bool:
        after = self._text[self._at :]
        return self._extended or not after or after.startswith(("\\)", "\\|"))

    def _step(self, token: tuple[str, str]) -> None:
        kind, char = token
        top = self._stack[-1]
        if kind == "(":
            self._opened += 1
            self._stack.append(_Branch(self._opened, self._closed))
        elif kind == ")":
            self._close(char)
        elif kind == "|":
            top.pieces.append(b"|")
            top.closed |= self._closed
            self._closed = top.before
            top.repeatable = False
        elif kind in ("^", "$"):
            self._anchor(kind.encode())
        elif kind in ("*", "+", "?"):
            self._repeat(char, char.encode())
        elif kind == "{":
            self._interval()
        elif kind == ".":
            self._add(_ANY)
        elif kind == "[":
            self._add(self._bracket())
        elif kind == "\\":
            self._escape(char)
        else:  # "}" too: alone it is itself
            self._add(_literal(char, self._ignore_case))

    def _add(self, piece: bytes) -> None:
        self._stack[-1].pieces.append(piece)
        self._stack[-1].repeatable = True
        self._stack[-1].repeated = False

    def _anchor(self, piece: bytes) -> None:
        self._stack[-1].pieces.append(b"(?:" + piece + b")")
        self._stack[-1].repeatable = False

    def _close(self, char: str) -> None:
        if len(self._stack) == 1:
            if not self._extended:
                raise PatternError("Unmatched ( or \\(")
            self._add(_literal(char, self._ignore_case))
            return
        done = self._stack.pop()
        self._closed |= done.closed | {done.number}
        self._add(b"(" + b"".join(done.pieces) + b")")

    def _escape(self, char: str) -> None:
        if char in _ANCHORS:
            self._anchor(_ANCHORS[char])
        elif char in _ESCAPES:
            self._add(_ESCAPES[char])
        elif int(char) not in self._closed:
            raise PatternError("Invalid back reference")
        else:
            self._add(b"(?:\\" + char.encode() + b")")

    def _repeat(self, char: str, operator: bytes) -> None:
        top = self._stack[-1]
        if not top.repeatable:
            if self._extended:
                raise PatternError("Invalid preceding regular expression")
            self._add(_literal(char, self._ignore_case))
            return
        self._check_doubled(char == "*")
        top.pieces[-1] = b"(?:" + top.pieces[-1] + operator + b")"
        top.repeated = True

    def _check_doubled(self, counts: bool) -> None:
        """git's basic syntax takes no ``*`` or interval after another repetition."""
        if counts and not self._extended and self._stack[-1].repeated:
            raise PatternError("Invalid preceding regular expression")

    def _interval(self) -> None:
        top = self._stack[-1]
        if not top.repeatable:
            raise PatternError("Invalid preceding regular expression")
        self._check_doubled(True)
        end = "}" if self._extended else "\\}"
        stop = self._text.find(end, self._at)
        inside = self._text[self._at : stop] if stop >= 0 else self._text[self._at :]
        found = re.fullmatch(r"(\d*)(?:(,)(\d*))?", inside, re.ASCII)
        if stop < 0:
            raise PatternError("Unmatched \\{")
        if found is None:
            raise PatternError("Invalid content of \\{\\}")
        low, comma, high = found.groups()
        if not low and not comma:
            raise PatternError("Invalid content of \\{\\}")
        if high and int(high) < int(low or 0):
            raise PatternError("Invalid content of \\{\\}")
        if max(int(low or 0), int(high or 0)) > _MOST_REPEATS:
            raise PatternError("Regular expression too big")
        self._at = stop + len(end)
        operator = "{" + (low or "0") + (comma or "") + (high or "") + "}"
        top.pieces[-1] = b"(?:" + top.pieces[-1] + operator.encode() + b")"
        top.repeated = True

    # Brackets -------------------------------------------------------------------------------

    def _bracket(self) -> bytes:
        """The bracket expression that begins at the place at hand."""
        text = self._text
        negated = text[self._at : self._at + 1] == "^"
        self._at += negated
        first = True
        ascii_parts: list[str] = []
        others: list[str] = []
        letters = False
        while True:
            if self._at >= len(text):
                raise PatternError("Invalid regular expression")
            if text[self._at] == "]" and not first:
                self._at += 1
                break
            first = False
            if text.startswith("[:", self._at):
                name = self._class()
                ascii_parts.append(_CLASSES[name])
                letters = letters or name in ("alpha", "alnum", "graph", "print")
                continue
            low = self._element()
            high = low
            if text[self._at : self._at + 1] == "-" and text[self._at + 1 : self._at + 2] not in (
                "]",
                "",
            ):
                self._at += 1
                high = self._element()
            if ord(high) < ord(low):
                raise PatternError("Invalid range end")
            self._range(low, high, ascii_parts, others)
        return self._set("".join(ascii_parts), others, negated=negated, letters=letters)

    def _range(self, low: str, high: str, ascii_parts: list[str], others: list[str]) -> None:
        if low.isascii():
            end = min(ord(high), 0x7F)
            ascii_parts.append(f"\\x{ord(low):02x}-\\x{end:02x}")
        start = max(ord(low), 0x80)
        if ord(high) - start >= _WIDEST_RANGE:
            raise PatternError("Regular expression too big")
        others += [chr(code) for code in range(start, ord(high) + 1)]

    def _class(self) -> str:
        end = self._text.find(":]", self._at + 2)
        if end < 0:
            raise PatternError("Invalid regular expression")
        name = self._text[self._at + 2 : end]
        if name not in _CLASSES:
            raise PatternError("Invalid character class name")
        self._at = end + 2
        return "alpha" if self._ignore_case and name in ("upper", "lower") else name

    def _element(self) -> str:
        text = self._text
        opening = text[self._at : self._at + 2]
        if opening in ("[.", "[="):
            end = text.find(opening[1] + "]", self._at + 2)
            if end < 0:
                raise PatternError("Invalid regular expression")
            name = text[self._at + 2 : end]
            if len(name) != 1:
                raise PatternError("Invalid collation character")
            self._at = end + 2
            return name
        self._at += 1
        return text[self._at - 1]

    def _set(self, inside: str, others: list[str], *, negated: bool, letters: bool) -> bytes:
        if self._ignore_case:
            others = [case for char in others for case in (char, char.lower(), char.upper())]
        beyond = b"|".join(re.escape(_encode(char)) for char in dict.fromkeys(others))
        if letters:
            beyond = _BEYOND
        # A newline in brackets would let a match leave its line.
        ascii_set = b"(?!\\n)[" + inside.encode() + b"]" if inside else b""
        if not negated:
            return b"(?:" + b"|".join(part for part in (ascii_set, beyond) if part) + b")"
        exclude = b"(?!" + beyond + b")" if beyond else b""
        return b"(?:[^\\n\\x80-\\xff" + inside.encode() + b"]|" + exclude + _BEYOND + b")"
