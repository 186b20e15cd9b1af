# SPDX-License-Identifier: Apache-2.0
"""Writes one change as git's unified diff, with lines for what git does not record.

After git's ``old mode``/``new mode`` come, in the same style, ``old owner``, ``old xattr``, ``old
device``; and, only where nothing else explains the change, ``old links`` and ``old mtime``. Ids in
``index`` lines are the first digits of the content's sha256. Source: git-diff(1), "Generating patch
text with -p".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.cli.dates import DateStyle
from envgit.cli.quoting import unquoted
from envgit.cli.stat import mode_of, shown

if TYPE_CHECKING:
    from envgit.cli.entries import Palette
    from envgit.layers.entry import Entry
    from envgit.layers.renames import FileChange
    from envgit.porcelain.difference import Hunk, TextPatch

Quote = Callable[[bytes], str]
NOTHING = "0000000"
CONTENT = ("file", "symlink")


@dataclass(frozen=True, slots=True)
class Style:
    """How patches are written: colours, the prefixes ``a/`` and ``b/``, ``--full-index``."""

    palette: Palette
    quote: Quote
    old_prefix: bytes = b"a/"
    new_prefix: bytes = b"b/"
    full_index: bool = False
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """``--word-diff``: ``mode`` is plain, color or porcelain; ``pattern`` is what is a word."""

    mode: str
    pattern: re.Pattern[bytes]


def identify(entry: Entry | None, *, full: bool = False) -> str:
    """The content's id in an ``index`` line; zeros where there is no content."""
    if entry is None or entry.kind not in CONTENT:
        return "0" * 64 if full else NOTHING
    digest = entry.sha256 or hashlib.sha256(entry.target).hexdigest()
    return digest if full else digest[:7]


def write(
    change: FileChange, text: Callable[[FileChange], TextPatch | None], style: Style
) -> Iterator[str]:
    """The lines of one change, each with its newline; ``text`` gives None for binary content."""
    if change.status == "T":
        # As git: another type is another file.
        yield from write(replace(change, status="D", new=None), text, style)
        yield from write(replace(change, status="A", old=None), text, style)
        return
    old_name = style.old_prefix + shown(change.old_path, directory=change.is_directory)
    new_name = style.new_prefix + shown(change.path, directory=change.is_directory)
    meta, reset = style.palette.escape("diff.meta"), style.palette.reset

    def header(line: str, tail: str = "") -> str:
        return f"{meta}{line}{reset}{tail}\n"

    yield header(f"diff --git {style.quote(old_name)} {style.quote(new_name)}")
    yield from map(header, _extended(change, style))
    if change.same_content or change.is_directory or not _has_content(change):
        return
    found = text(change)
    old_label = "/dev/null" if change.old is None else style.quote(old_name)
    new_label = "/dev/null" if change.new is None else style.quote(new_name)
    if found is None:
        yield f"Binary files {old_label} and {new_label} differ\n"
        return
    if not found.hunks:
        return
    yield header(f"--- {old_label}", _tab(old_label, old_name))
    yield header(f"+++ {new_label}", _tab(new_label, new_name))
    for hunk in found.hunks:
        yield _place(hunk, style.palette)
        if style.words is not None:
            yield from _in_words(hunk, style.words, style.palette)
            continue
        for one in hunk.lines:
            yield from _line(one.origin, one.text, style.palette)


def _has_content(change: FileChange) -> bool:
    """Fifos and devices have nothing to compare but their metadata."""
    return any(side is not None and side.kind in CONTENT for side in (change.old, change.new))


def _tab(label: str, name: bytes) -> str:
    """A tab after names with white space tells programs where they end."""
    return "\t" if label != "/dev/null" and len(name.split()) > 1 else ""


def _extended(change: FileChange, style: Style) -> Iterator[str]:
    old, new = change.old, change.new
    if old is None:
        assert new is not None
        yield from _whole("new file", new)
    elif new is None:
        yield from _whole("deleted file", old)
    else:
        yield from _metadata(old, new, alone=change.status == "M")
        if change.status in "RC":
            word = "rename" if change.status == "R" else "copy"
            yield f"similarity index {change.score}%"
            yield f"{word} from {style.quote(change.old_path)}"
            yield f"{word} to {style.quote(change.path)}"
    if change.is_directory or change.same_content or not _has_content(change):
        return
    full = style.full_index
    line = f"index {identify(old, full=full)}..{identify(new, full=full)}"
    if old is not None and new is not None and mode_of(old) == mode_of(new):
        line += f" {mode_of(new)}"
    yield line


def _whole(word: str, entry: Entry) -> Iterator[str]:
    yield f"{word} mode {mode_of(entry)}"
    if (entry.uid, entry.gid) != (0, 0):
        yield f"{word} owner {entry.uid}:{entry.gid}"
    if entry.kind in ("char", "block"):
        yield f"{word} device {entry.rdev[0]}:{entry.rdev[1]}"
    for name, value in entry.xattrs:
        yield f"{word} xattr {_xattr(name, value)}"


def _metadata(old: Entry, new: Entry, *, alone: bool) -> Iterator[str]:
    """Pairs of lines for each property that differs; links and time where they stand ``alone``."""
    pairs: list[tuple[str, str, str]] = []
    if mode_of(old) != mode_of(new):
        pairs.append(("mode", mode_of(old), mode_of(new)))
    if (old.uid, old.gid) != (new.uid, new.gid):
        pairs.append(("owner", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}"))
    if old.rdev != new.rdev:
        pairs.append(("device", "{}:{}".format(*old.rdev), "{}:{}".format(*new.rdev)))
    before, after = dict(old.xattrs), dict(new.xattrs)
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            pairs.append(("xattr", _xattr(key, before.get(key)), _xattr(key, after.get(key))))
    alone = alone and not pairs and (old.sha256, old.target) == (new.sha256, new.target)
    if alone and old.hardlinks != new.hardlinks:
        pairs.append(("links", _links(old), _links(new)))
    if alone and not pairs and old.mtime != new.mtime:
        dates = DateStyle("iso")
        pairs.append(("mtime", dates.show(old.mtime, 0), dates.show(new.mtime, 0)))
    for name, value, other in pairs:
        yield f"old {name} {value}"
        yield f"new {name} {other}"


def _xattr(name: bytes, value: bytes | None) -> str:
    text = name.decode("utf-8", "backslashreplace")
    return f"{text} unset" if value is None else f"{text} 0x{value.hex()}"


def _links(entry: Entry) -> str:
    names = [name.decode("utf-8", "backslashreplace") for name in entry.hardlinks]
    return " ".join(names) or "none"


def _place(hunk: Hunk, palette: Palette) -> str:
    reset = palette.reset
    where = f"@@ -{_span(hunk.old_start, hunk.old_lines)} "
    where += f"+{_span(hunk.new_start, hunk.new_lines)} @@"
    line = f"{palette.escape('diff.frag')}{where}{reset}"
    if hunk.section:
        context = palette.escape("diff.context")
        section = unquoted(hunk.section)
        line += f"{context} {reset}{palette.escape('diff.func')}{section}{reset}"
    return line + "\n"


_AROUND = {
    "plain": {"old": ("[-", "-]"), "new": ("{+", "+}"), "same": ("", "")},
    "color": {"old": ("", ""), "new": ("", ""), "same": ("", "")},
    "porcelain": {"old": ("-", "\n"), "new": ("+", "\n"), "same": (" ", "\n")},
}
_PAINTED = {"old": "diff.old", "new": "diff.new", "same": "diff.context"}


def _in_words(hunk: Hunk, words: Words, palette: Palette) -> Iterator[str]:
    from envgit.porcelain.words import pieces

    newline = "~\n" if words.mode == "porcelain" else "\n"
    context = palette.escape("diff.context")
    # Whole lines, for a log puts its graph before each; a piece may end in the middle of one.
    begun = ""
    for piece in pieces(hunk, words.pattern):
        text = unquoted(piece.text)
        if piece.kind == "line":
            sign = " " if words.mode == "porcelain" else ""
            yield f"{begun}{context}{sign}{text[:-1]}{palette.reset}\n"
            begun = ""
            if words.mode == "porcelain":
                yield newline
            continue
        before, after = _AROUND[words.mode][piece.kind]
        color = palette.escape(_PAINTED[piece.kind])
        *whole, last = text.split("\n")
        for part in whole:
            shown = f"{color}{before}{part}{after}{palette.reset if color else ''}" if part else ""
            yield f"{begun}{shown}{newline}"
            begun = ""
        if last:
            begun += f"{color}{before}{last}{after}{palette.reset if color else ''}"
    if begun:
        yield begun


def _span(start: int, lines: int) -> str:
    return str(start) if lines == 1 else f"{start},{lines}"


_SLOTS = {"+": "diff.new", "-": "diff.old", " ": "diff.context"}


def _line(sign: str, content: bytes, palette: Palette) -> Iterator[str]:
    ended = content.endswith(b"\n")
    text = unquoted(content[:-1] if ended else content)
    if not palette.colour:
        yield f"{sign}{text}\n"
    else:
        yield _colored(sign, text, palette)
    if not ended:
        context = palette.escape("diff.context")
        yield f"{context}\\ No newline at end of file{palette.reset}\n"


def _colored(sign: str, text: str, palette: Palette) -> str:
    """As git colours a line: in added ones, bad white space stands out (core.whitespace)."""
    color, reset = palette.escape(_SLOTS[sign]), palette.reset
    carriage = "\r" if text.endswith("\r") and sign != "+" else ""
    if carriage:
        text = text[:-1]
    if sign != "+":
        return f"{color}{sign}{text}{reset}{carriage}\n"
    bad = palette.escape("diff.whitespace")
    kept = text.rstrip(" \t\r\v\f")
    line = f"{color}+{reset}"
    # The indent up to its last tab is plain, but for spaces before a tab.
    done = 0
    for at, char in enumerate(kept):
        if char == "\t":
            if done < at:
                line += f"{bad}{kept[done:at]}{reset}"
            line += char
            done = at + 1
        elif char != " ":
            break
    if done < len(kept):
        line += f"{color}{kept[done:]}{reset}"
    if len(kept) < len(text):
        line += f"{bad}{text[len(kept) :]}{reset}"
    return line + "\n"
