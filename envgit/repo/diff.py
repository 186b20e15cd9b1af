# SPDX-License-Identifier: Apache-2.0
"""Compares texts line by line, as git does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from envgit.layers.lines import Chunk, Span
from envgit.repo.libgit2 import native

# git2/diff.h, git_diff_option_t
_FORCE_TEXT = 1 << 20
_IGNORE_WHITESPACE = 1 << 22
_IGNORE_WHITESPACE_CHANGE = 1 << 23
_IGNORE_WHITESPACE_EOL = 1 << 24
_PATIENCE = 1 << 28
_MINIMAL = 1 << 29
_INDENT_HEURISTIC = 1 << 18
_WHITESPACE = {
    None: 0,
    "all": _IGNORE_WHITESPACE,
    "change": _IGNORE_WHITESPACE_CHANGE,
    "eol": _IGNORE_WHITESPACE_EOL,
}
# git's xdiff-interface.c, buffer_is_binary(): FIRST_FEW_BYTES
_LOOKED_AT = 8000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a patch: ``origin`` is ``+``, ``-`` or a space; ``text`` keeps its newline if it
    had one."""

    origin: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Hunk:
    """A piece of a patch; ``section`` is what git prints after the second ``@@``, up to the first
    byte that is not UTF-8 (libgit2 cuts there)."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    section: bytes
    lines: tuple[Line, ...]

    @property
    def header(self) -> bytes:
        """``@@ -1,2 +1,3 @@ section``, without a newline."""
        old, new = _span(self.old_start, self.old_lines), _span(self.new_start, self.new_lines)
        tail = b" " + self.section if self.section else b""
        return f"@@ -{old} +{new} @@".encode() + tail


class TextPatch:
    """How one text becomes another. Counting does not make the lines."""

    def __init__(self, patch: native.Patch, old: bytes, new: bytes) -> None:
        self._patch = patch
        # libgit2 reads the lines out of these buffers later, and pygit2 (1.21) keeps no reference.
        self._texts = (old, new)
        _, self.added, self.deleted = patch.line_stats

    @cached_property
    def hunks(self) -> tuple[Hunk, ...]:
        """The hunks with their lines."""
        return tuple(_hunk(hunk) for hunk in self._patch.hunks)


def text_patch(
    old: bytes,
    new: bytes,
    context: int = 3,
    *,
    interhunk: int = 0,
    whitespace: str | None = None,
    algorithm: str | None = None,
) -> TextPatch:
    """Compare two texts as git does (libgit2's xdiff).

    ``whitespace``: None, ``all`` (-w), ``change`` (-b) or ``eol``; ``algorithm``: None (Myers),
    ``patience`` or ``minimal``.
    """
    flags = _FORCE_TEXT | _INDENT_HEURISTIC | _WHITESPACE[whitespace]
    flags |= {None: 0, "patience": _PATIENCE, "minimal": _MINIMAL}[algorithm]
    patch = native.Patch.create_from(
        old,
        new,
        flag=flags,  # type: ignore[arg-type]  # any int will do
        context_lines=context,
        interhunk_lines=interhunk,
    )
    return TextPatch(patch, old, new)


def changed_lines(
    old: bytes,
    new: bytes,
    *,
    indent: bool = True,
    whitespace: str | None = None,
    algorithm: str | None = None,
) -> list[Chunk]:
    """Which lines of ``old`` became which of ``new``, in order, with nothing around them.

    ``indent``: whether git's heuristic may shift a chunk (``git blame`` does, ``log -L`` does not).
    """
    old, new = _without_common_tail(old, new)
    flags = _FORCE_TEXT | _WHITESPACE[whitespace] | (_INDENT_HEURISTIC if indent else 0)
    flags |= {None: 0, "patience": _PATIENCE, "minimal": _MINIMAL}[algorithm]
    patch = native.Patch.create_from(
        old,
        new,
        flag=flags,  # type: ignore[arg-type]  # any int will do
        context_lines=0,
        interhunk_lines=0,
    )
    return [
        Chunk(_lines(hunk.old_start, hunk.old_lines), _lines(hunk.new_start, hunk.new_lines))
        for hunk in patch.hunks
    ]


def _lines(start: int, count: int) -> Span:
    """The lines of a hunk's header, which names the line before an empty range."""
    first = start - 1 if count else start
    return Span(first, first + count)


def _without_common_tail(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Both texts without their common last kilobytes, but for what ends a line there.

    git does so where no context is wanted (xdiff-interface.c, trim_common_tail), and with it may
    choose other lines as equal than without.
    """
    block, same = 1024, 0
    smaller = min(len(old), len(new))
    while same + block <= smaller and (
        old[len(old) - same - block : len(old) - same]
        == new[len(new) - same - block : len(new) - same]
    ):
        same += block
    if not same:
        return old, new
    end = old.find(b"\n", len(old) - same) + 1
    kept = end - (len(old) - same) if end else same
    return old[: len(old) - same + kept], new[: len(new) - same + kept]


def is_binary(data: bytes) -> bool:
    """git's guess: a NUL within the first 8000 bytes."""
    return b"\0" in data[:_LOOKED_AT]


def _hunk(hunk: native.DiffHunk) -> Hunk:
    header = hunk.header.encode("utf-8", "surrogateescape").rstrip(b"\n")
    section = header.split(b"@@", 2)[2].strip() if header.count(b"@@") >= 2 else b""
    lines: list[Line] = []
    for line in hunk.lines:
        if line.origin in "+- ":
            lines.append(Line(line.origin, line.raw_content))
    return Hunk(
        hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines, section, tuple(lines)
    )


def _span(start: int, lines: int) -> str:
    return str(start) if lines == 1 else f"{start},{lines}"
