# SPDX-License-Identifier: Apache-2.0
"""Writes what a merge changed against all of its parents: git's combined format.

Owners and extended attributes that differ have a line in the style of git's ``mode a,b..c``; where
nothing but the time or the links differ, a path is named in lists and has no patch. Source:
git-diff-tree(1), "COMBINED DIFF FORMAT".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from envgit.cli.patch import CONTENT, Quote, Style, identify
from envgit.cli.quoting import unquoted
from envgit.cli.stat import mode_of, shown, status_of

if TYPE_CHECKING:
    from envgit.layers.combine import CombinedHunk
    from envgit.layers.entry import Entry
    from envgit.porcelain.difference import Merged, MergedPath
    from envgit.porcelain.foundation.comparing import TextOptions

_COMMENT = 40
"""Bytes of a line that may stand behind the place of a hunk."""


def name_status(one: MergedPath, *, quote: Quote, null: bool) -> str:
    """One record of ``--name-status``: a letter for each parent."""
    letters = "".join(status_of(change)[0] for change in one.changes)
    return letters + ("\0" if null else "\t") + name_only(one, quote=quote, null=null)


def name_only(one: MergedPath, *, quote: Quote, null: bool) -> str:
    """One record of ``--name-only``."""
    path = _path(one)
    return unquoted(path) + "\0" if null else quote(path) + "\n"


def raw(one: MergedPath, *, quote: Quote, null: bool, full: bool) -> str:
    """One record of ``--raw``: a colon, a mode and an id for each parent, then the result's."""
    sides = (*(change.old for change in one.changes), one.new)
    modes = " ".join(mode_of(side) if side is not None else "000000" for side in sides)
    ids = " ".join(identify(side, full=full) for side in sides)
    head = f"{':' * len(one.changes)}{modes} {ids} "
    return head + name_status(one, quote=quote, null=null)


def patch(merged: Merged, one: MergedPath, options: TextOptions, style: Style) -> Iterator[str]:
    """The lines of one path, each with its newline; none where there is nothing to be said."""
    told = list(_metadata(one))
    binary = False
    hunks: Sequence[CombinedHunk] | None = ()
    if any(side is not None and side.kind in CONTENT for side in (one.new, *one.parents)):
        hunks = merged.hunks(one, options)
        binary = hunks is None
    if not (told or hunks or binary):
        return
    meta, reset = style.palette.escape("diff.meta"), style.palette.reset
    path = _path(one)
    ids = ",".join(identify(side, full=style.full_index) for side in one.parents)
    head = [
        f"diff {'--cc' if merged.dense else '--combined'} {style.quote(path)}",
        f"index {ids}..{identify(one.new, full=style.full_index)}",
        *told,
    ]
    if not binary:
        added = one.new is not None and not any(one.parents)
        head.append(f"--- {'/dev/null' if added else style.quote(style.old_prefix + path)}")
        gone = one.new is None
        head.append(f"+++ {'/dev/null' if gone else style.quote(style.new_prefix + path)}")
    for line in head:
        yield f"{meta}{line}{reset}\n"
    if binary:
        yield "Binary files differ\n"
    for hunk in hunks or ():
        yield from _hunk(hunk, style)


def _path(one: MergedPath) -> bytes:
    return shown(one.path, directory=one.changes[0].is_directory)


def _metadata(one: MergedPath) -> Iterator[str]:
    new = one.new
    modes = [_mode(side) for side in one.parents]
    if new is not None and not any(one.parents):
        yield f"new file mode {_mode(new)}"
    elif new is None:
        yield f"deleted file mode {','.join(modes)}"
    elif any(mode != _mode(new) for mode in modes):
        yield f"mode {','.join(modes)}..{_mode(new)}"
    if new is None:
        return
    sides = [side for side in (*one.parents, new) if side is not None]
    owners = [f"{side.uid}:{side.gid}" for side in sides]
    if len(set(owners)) > 1 or (len(sides) == 1 and owners != ["0:0"]):
        yield f"owner {','.join(owners[:-1])}..{owners[-1]}"
    values = [dict(side.xattrs) for side in sides]
    for name in sorted({name for each in values for name in each}):
        found = [f"0x{each[name].hex()}" if name in each else "unset" for each in values]
        if len(set(found)) > 1 or len(sides) == 1:
            text = name.decode("utf-8", "backslashreplace")
            yield f"xattr {text} {','.join(found[:-1])}..{found[-1]}"


def _mode(entry: Entry | None) -> str:
    return "000000" if entry is None else mode_of(entry)


def _hunk(hunk: CombinedHunk, style: Style) -> Iterator[str]:
    palette = style.palette
    context, reset = palette.escape("diff.context"), palette.reset
    count = len(hunk.spans) - 1
    marks = "@" * (count + 1)
    old = " ".join(f"-{start},{lines}" for start, lines in hunk.spans[:-1])
    start, lines = hunk.spans[-1]
    place = f"{palette.escape('diff.frag')}{marks} {old} +{start},{lines} {marks}"
    comment = _comment(hunk.before)
    if comment:
        place += f"{reset}{context} {reset}{palette.escape('diff.func')}{unquoted(comment)}"
    yield f"{place}{reset}\n"
    for row in hunk.rows:
        sign, slot = ("+", "diff.new") if row.kept else ("-", "diff.old")
        signs = "".join(sign if row.parents >> bit & 1 else " " for bit in range(count))
        color = palette.escape(slot if row.parents else "diff.context")
        text = unquoted(row.text)
        end = "\r" if reset and text.endswith("\r") else ""
        yield f"{color}{signs}{text[: len(text) - len(end)]}{reset}{end}\n"


def _comment(before: Sequence[bytes]) -> bytes:
    """The last line before a hunk that begins like a function's; without its last letter, as git
    writes it."""
    for line in reversed(before):
        if line[:1].isalpha() or line[:1] in (b"_", b"$"):
            return line[:_COMMENT].rstrip()[:-1]
    return b""
