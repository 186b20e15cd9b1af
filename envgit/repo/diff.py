# SPDX-License-Identifier: Apache-2.0
"""Compares commits' trees and texts: trees by their ids, so that only what differs is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from envgit.layers.compare import Change
from envgit.layers.entry import Entry, join
from envgit.repo.escape import DIRECTORY_ENTRY, unescape
from envgit.repo.libgit2 import native
from envgit.repo.trees import TreeDirectory

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

Wanted = Callable[[bytes, bool], bool]
"""(path, whether it is a directory) -> whether it, or anything beneath it, is of interest."""


def changes(
    old: TreeDirectory | None, new: TreeDirectory | None, *, wanted: Wanted | None = None
) -> list[Change]:
    """Every path at which two root filesystems differ, in bytewise order.

    The same list as ``layers.compare.changes``; reads the pointers of what differs and no other.
    ``wanted`` prunes: nothing is looked at beneath a directory for which it is False.
    """
    found: list[Change] = []
    stack: list[tuple[bytes, TreeDirectory | None, TreeDirectory | None]] = [(b"", old, new)]
    while stack:
        path, before, after = stack.pop()
        if before is not None and after is not None and before.identity == after.identity:
            continue
        one = before.entry if before is not None else None
        other = after.entry if after is not None else None
        if one != other and (wanted is None or wanted(path, True)):
            found.append(Change(path, one, other))
        _compare(path, before, after, wanted, found, stack)
    return sorted(found, key=lambda change: change.path)


def _compare(
    path: bytes,
    before: TreeDirectory | None,
    after: TreeDirectory | None,
    wanted: Wanted | None,
    found: list[Change],
    stack: list[tuple[bytes, TreeDirectory | None, TreeDirectory | None]],
) -> None:
    """What differs directly in one directory; sub-directories that differ go on the stack."""
    old = before.raw if before is not None else {}
    new = after.raw if after is not None else {}
    for escaped in old.keys() | new.keys():
        one, other = old.get(escaped), new.get(escaped)
        if one == other or escaped == DIRECTORY_ENTRY:
            continue
        name = unescape(escaped)
        here = join(path, name)
        old_tree = before.directory(name) if before is not None and one and one[0] else None
        new_tree = after.directory(name) if after is not None and other and other[0] else None
        directory = old_tree is not None or new_tree is not None
        if wanted is not None and not wanted(here, directory):
            continue
        # A directory's own entry is compared when it is taken off the stack, but where a file and
        # a directory replace each other that is one change of the path, not two.
        gone: Entry | None = None
        come: Entry | None = None
        if before is not None and one is not None and old_tree is None:
            gone = before.lookup(name)
        if after is not None and other is not None and new_tree is None:
            come = after.lookup(name)
        if old_tree is None and new_tree is None:
            found.append(Change(here, gone, come))
        elif gone is None and come is None:
            stack.append((here, old_tree, new_tree))
        else:
            own_old = old_tree.entry if old_tree is not None else gone
            own_new = new_tree.entry if new_tree is not None else come
            found.append(Change(here, own_old, own_new))
            _compare(here, old_tree, new_tree, wanted, found, stack)


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
