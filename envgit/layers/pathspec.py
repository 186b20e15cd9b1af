# SPDX-License-Identifier: Apache-2.0
"""Picks paths by git's path specifications, the same way for every verb that takes ``-- PATH``.

Source: gitglossary(7), "pathspec". Paths are the environment's own: relative to its root, and a
leading slash means the same root. Laws: a plain name matches itself and all beneath it; ``*``
matches slashes unless ``:(glob)``; exclusions win; no specification matches everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError

_WILD = re.compile(rb"[*?\[\\]")
_WORDS = frozenset({"top", "literal", "icase", "glob", "exclude"})


class PathspecError(EnvgitError):
    """A path specification that cannot be read."""


@dataclass(frozen=True, slots=True)
class Item:
    """One specification: ``prefix`` is the part before any wildcard, ``pattern`` None if plain."""

    text: bytes
    prefix: bytes
    pattern: re.Pattern[bytes] | None
    exclude: bool
    icase: bool
    directory: bool

    def matches(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Whether ``path`` (no trailing slash) is picked, by name or lying beneath it."""
        if self.icase:
            text, name = self.text.lower(), path.lower()
        else:
            text, name = self.text, path
        if not text or name.startswith(text + b"/"):
            return True
        if name == text:
            return is_directory or not self.directory
        return self.pattern is not None and self.pattern.match(path) is not None

    def may_match_beneath(self, directory: bytes) -> bool:
        """Whether something beneath ``directory`` could match; never wrongly False."""
        if self.icase or not directory or self.matches(directory, is_directory=True):
            return True
        inside = directory + b"/"
        if self.pattern is None:
            return self.text.startswith(inside)
        shorter = min(len(self.prefix), len(inside))
        return self.prefix[:shorter] == inside[:shorter]


@dataclass(frozen=True, slots=True)
class Pathspec:
    """Some specifications together; false when there is none, which matches everything."""

    include: tuple[Item, ...] = ()
    exclude: tuple[Item, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    @classmethod
    def parse(cls, specs: Iterable[str | bytes]) -> Pathspec:
        """Read specifications as given on a command line. Raises PathspecError."""
        items = [_parse(_bytes(spec)) for spec in specs]
        return cls(
            tuple(item for item in items if not item.exclude),
            tuple(item for item in items if item.exclude),
        )

    def matches(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Whether the path is picked."""
        if self.include and not any(
            item.matches(path, is_directory=is_directory) for item in self.include
        ):
            return False
        return not any(item.matches(path, is_directory=is_directory) for item in self.exclude)

    def may_match_beneath(self, directory: bytes) -> bool:
        """Whether a walk must look into ``directory``."""
        if any(item.pattern is None and item.matches(directory) for item in self.exclude):
            return False
        return not self.include or any(item.may_match_beneath(directory) for item in self.include)

    def plain(self) -> Sequence[bytes] | None:
        """The names, if all are plain names; None when wildcards or exclusions are among them."""
        if self.exclude or any(item.pattern is not None or item.icase for item in self.include):
            return None
        return [item.text for item in self.include]


def _bytes(spec: str | bytes) -> bytes:
    return spec if isinstance(spec, bytes) else spec.encode("utf-8", "surrogateescape")


def _parse(spec: bytes) -> Item:
    magic, text = _magic(spec)
    text = _normal(text, spec)
    directory = text.endswith(b"/")
    text = text.rstrip(b"/")
    wild = None if "literal" in magic else _WILD.search(text)
    pattern = None
    if wild is not None:
        flags = re.DOTALL | (re.IGNORECASE if "icase" in magic else 0)
        pattern = re.compile(translate(text, slashes="glob" not in magic), flags)
    return Item(
        text=text,
        prefix=text[: wild.start()] if wild else text,
        pattern=pattern,
        exclude="exclude" in magic,
        icase="icase" in magic,
        directory=directory,
    )


def _magic(spec: bytes) -> tuple[set[str], bytes]:
    if spec.startswith(b":("):
        words, closed, text = spec[2:].partition(b")")
        if not closed:
            raise PathspecError(f"Missing ')' at the end of pathspec magic in '{_show(spec)}'")
        magic = {word for word in words.decode("utf-8", "replace").split(",") if word}
        unknown = magic - _WORDS
        if unknown:
            raise PathspecError(
                f"Invalid pathspec magic '{min(unknown)}' in '{_show(spec)}'",
                hint=f"known here: {', '.join(sorted(_WORDS))}",
            )
        if {"literal", "glob"} <= magic:
            raise PathspecError(f"{_show(spec)}: 'literal' and 'glob' are incompatible")
        return magic, text
    if not spec.startswith(b":") or spec == b":":
        return set(), b"" if spec == b":" else spec
    found = re.match(rb":([/!^]*):?", spec)
    assert found is not None  # starts with a colon
    magic = {"top" if char == ord("/") else "exclude" for char in found[1]}
    return magic, spec[found.end() :]


def _normal(text: bytes, spec: bytes) -> bytes:
    """Without leading slashes, ``.`` and doubled slashes; ``..`` may not leave the root."""
    parts: list[bytes] = []
    for part in text.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not parts:
                raise PathspecError(f"{_show(spec)}: '{_show(spec)}' is outside the environment")
            parts.pop()
        else:
            parts.append(part)
    ended = text.endswith((b"/", b"/."))
    return b"/".join(parts) + (b"/" if parts and ended else b"")


def _show(spec: bytes) -> str:
    return spec.decode("utf-8", "surrogateescape")


def translate(glob: bytes, *, slashes: bool) -> bytes:
    """A glob as a regular expression for the whole path; ``slashes``: ``*`` and ``?`` match ``/``.

    Without ``slashes``, ``**/`` stands for any directories, ``/**`` for all beneath.
    """
    out = [rb"\A"]
    any_char = b"." if slashes else b"[^/]"
    at = 0
    while at < len(glob):
        char = glob[at : at + 1]
        if not slashes and glob.startswith(b"**/", at) and (at == 0 or glob[at - 1] == 0x2F):
            out.append(rb"(?:[^/]+/)*")
            at += 3
            continue
        if not slashes and glob[at:] == b"**" and at > 0 and glob[at - 1] == 0x2F:
            out.append(rb".+")
            at += 2
            continue
        at += 1
        if char == b"*":
            out.append(any_char + b"*")
        elif char == b"?":
            out.append(any_char)
        elif char == b"[":
            piece, at = _bracket(glob, at, any_char)
            out.append(piece)
        else:
            if char == b"\\" and at < len(glob):
                char = glob[at : at + 1]
                at += 1
            out.append(re.escape(char))
    out.append(rb"\Z")
    return b"".join(out)


def _bracket(glob: bytes, at: int, any_char: bytes) -> tuple[bytes, int]:
    """The set that starts after ``[`` at ``at``, or a plain bracket when it never ends."""
    end = at
    if glob[end : end + 1] in (b"!", b"^"):
        end += 1
    if glob[end : end + 1] == b"]":
        end += 1
    end = _closing(glob, end)
    while end > 0 and glob[:end].endswith(b":") and b"[:" in glob[at:end]:
        end = _closing(glob, end + 1)
    if end < 0:
        return rb"\[", at
    inside = glob[at:end]
    negated = inside[:1] in (b"!", b"^")
    inside = inside[negated:]
    parts = [
        _CLASSES[part[2:-2]]
        if part[2:-2] in _CLASSES and part.startswith(b"[:")
        else re.sub(rb"\\(.)|([\[\]&~|])", _member, part, flags=re.DOTALL)
        for part in re.split(rb"(\[:[a-z]+:\])", inside)
    ]
    piece = b"[" + (b"^" if negated else b"") + b"".join(parts) + b"]"
    return (piece if any_char == b"." else b"(?!/)" + piece), end + 1


def _closing(glob: bytes, start: int) -> int:
    """Where the next ``]`` is that no backslash takes for a member of the set; -1 if nowhere."""
    found = re.compile(rb"(?:\\.|[^\]\\])*", re.DOTALL).match(glob, start)
    end = found.end() if found is not None else start
    return end if glob[end : end + 1] == b"]" else -1


def _member(found: re.Match[bytes]) -> bytes:
    """A character of a set that means itself: after a backslash, or one that `re` would take for
    its own."""
    return re.escape(found[1]) if found[1] is not None else b"\\" + found[2]


_CLASSES = {
    b"alnum": b"0-9A-Za-z",
    b"alpha": b"A-Za-z",
    b"digit": b"0-9",
    b"lower": b"a-z",
    b"upper": b"A-Z",
    b"space": rb" \t\n\r\f\v",
    b"xdigit": b"0-9A-Fa-f",
    b"punct": rb"!-/:-@\[-`{-~",
}
