# SPDX-License-Identifier: Apache-2.0
"""The summaries of a difference: ``--stat``, ``--numstat``, ``--name-status`` and their kin.

Source: git-diff(1); how git divides the width between names and bars was compared with ``git diff
--stat``. Envgit adds owner changes to ``--summary`` in the style of mode changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.cli import wrap
from envgit.cli.quoting import unquoted

if TYPE_CHECKING:
    from envgit.cli.entries import Palette
    from envgit.layers.entry import Entry
    from envgit.layers.renames import FileChange
    from envgit.porcelain.difference import Stat

Quote = Callable[[bytes], str]

_TYPES = {"file": 0o100000, "dir": 0o040000, "symlink": 0o120000, "fifo": 0o010000}
_TYPES |= {"char": 0o020000, "block": 0o060000}


@dataclass(frozen=True, slots=True)
class Widths:
    """``--stat=width,name,count``; 0 leaves a part to git's rules."""

    total: int = 80
    name: int = 0
    count: int = 0


def mode_of(entry: Entry) -> str:
    """Type and permissions in octal, as git writes modes; symlinks have no permissions."""
    bits = 0 if entry.kind == "symlink" else entry.mode
    return f"{_TYPES[entry.kind] | bits:06o}"


def shown(path: bytes, *, directory: bool) -> bytes:
    """The path as shown: a directory's own metadata end in a slash, the root's are ``./``."""
    if not directory:
        return path
    return path + b"/" if path else b"./"


def new_path(change: FileChange) -> bytes:
    """The path of a change as shown."""
    return shown(change.path, directory=change.is_directory)


def joined(change: FileChange, quote: Quote) -> str:
    """``old => new`` with what both share taken out: ``usr/{lib => lib64}/x``."""
    if change.status not in "RC":
        return quote(new_path(change))
    old, new = change.old_path, change.path
    if quote(old).startswith('"') or quote(new).startswith('"'):
        return f"{quote(old)} => {quote(new)}"
    head = _common_head(old, new)
    tail = _common_tail(old, new, head)
    middle_old = old[head : max(len(old) - tail, head)]
    middle_new = new[head : max(len(new) - tail, head)]
    if not head and not tail:
        return f"{quote(old)} => {quote(new)}"
    end = quote(old[len(old) - tail :])
    return f"{quote(old[:head])}{{{quote(middle_old)} => {quote(middle_new)}}}{end}"


def _common_head(old: bytes, new: bytes) -> int:
    head = 0
    for at, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            break
        if one == 0x2F:
            head = at + 1
    return head


def _common_tail(old: bytes, new: bytes, head: int) -> int:
    """How many bytes at the end are shared, cut at a slash; it may share the head's slash."""
    tail = 0
    adjust = 1 if head else 0
    one, other = len(old), len(new)
    while (
        one > head - adjust
        and other > head - adjust
        and one
        and other
        and old[one - 1] == new[other - 1]
    ):
        if old[one - 1] == 0x2F:
            tail = len(old) - one + 1
        one -= 1
        other -= 1
    return tail


# Bars -------------------------------------------------------------------------------------------


def stat(
    changes: Sequence[FileChange],
    stats: Sequence[Stat],
    *,
    quote: Quote,
    palette: Palette,
    widths: Widths | None = None,
) -> Iterator[str]:
    """The lines of ``--stat``, the last with the totals."""
    widths = widths or Widths()
    names = [joined(change, quote) for change in changes]
    limit = widths.count or len(names)
    layout = _Layout.of(names[:limit], stats[:limit], widths)
    for name, counts in list(zip(names, stats, strict=True))[:limit]:
        yield _row(layout.scale_name(name), counts, layout, palette)
    if limit < len(names):
        yield " ..."
    yield shortstat(stats)


@dataclass(frozen=True, slots=True)
class _Layout:
    name: int
    number: int
    graph: int
    most: int

    @classmethod
    def of(cls, names: Sequence[str], stats: Sequence[Stat], widths: Widths) -> _Layout:
        longest = max(map(wrap.width, names), default=0)
        plain = [counts for counts in stats if not counts.binary]
        most = max((counts.added + counts.deleted for counts in plain), default=0)
        binary = max(
            (
                14 + len(str(counts.added)) + len(str(counts.deleted))
                for counts in stats
                if counts.binary
            ),
            default=0,
        )
        number = max(len(str(most)), 3 if binary else 0)
        total = max(widths.total, 16 + 6 + number)
        graph = most if most + 4 > binary else binary - 4
        name = widths.name if 0 < widths.name < longest else longest
        if name + number + 6 + graph > total:
            graph = min(graph, max(total * 3 // 8 - number - 6, 6))
            if name > total - number - 6 - graph:
                name = total - number - 6 - graph
            else:
                graph = total - number - 6 - name
        return cls(name, number, graph, most)

    def scale_name(self, name: str) -> str:
        """The name padded or cut on the left, preferably at a slash."""
        size = wrap.width(name)
        if size <= self.name:
            return name + " " * (self.name - size)
        room = max(self.name - 3, 0)
        while size > room:
            size -= wrap.char_width(name[0])
            name = name[1:]
        slash = name.find("/")
        if slash >= 0:
            name = name[slash:]
        return "..." + name + " " * max(room - wrap.width(name), 0)

    def scale(self, count: int) -> int:
        """So many columns of a bar; at least one for any change."""
        return 1 + count * (self.graph - 1) // self.most if count else 0


def _row(name: str, counts: Stat, layout: _Layout, palette: Palette) -> str:
    if counts.binary:
        line = f" {name} | {'Bin':>{layout.number}}"
        if not counts.added and not counts.deleted:
            return line
        old = _painted(palette, "diff.old", str(counts.deleted))
        new = _painted(palette, "diff.new", str(counts.added))
        return f"{line} {old} -> {new} bytes"
    added, deleted = counts.added, counts.deleted
    if layout.graph <= layout.most:
        total = layout.scale(added + deleted)
        if total < 2 and added and deleted:
            total = 2
        if added < deleted:
            added = layout.scale(added)
            deleted = total - added
        else:
            deleted = layout.scale(deleted)
            added = total - deleted
    changed = counts.added + counts.deleted
    line = f" {name} | {changed:>{layout.number}}{' ' if changed else ''}"
    return (
        line
        + _painted(palette, "diff.new", "+" * added)
        + _painted(palette, "diff.old", "-" * deleted)
    )


def _painted(palette: Palette, slot: str, text: str) -> str:
    return f"{palette.escape(slot)}{text}{palette.reset}" if text else ""


def shortstat(stats: Sequence[Stat]) -> str:
    """The line with the totals."""
    added = sum(counts.added for counts in stats if not counts.binary)
    deleted = sum(counts.deleted for counts in stats if not counts.binary)
    line = f" {len(stats)} file{'' if len(stats) == 1 else 's'} changed"
    if added or not deleted:
        line += f", {added} insertion{'' if added == 1 else 's'}(+)"
    if deleted or not added:
        line += f", {deleted} deletion{'' if deleted == 1 else 's'}(-)"
    return line


# Lists ------------------------------------------------------------------------------------------


def numstat(change: FileChange, counts: Stat, *, quote: Quote, null: bool) -> str:
    """One record of ``--numstat``, its terminator included."""
    numbers = "-\t-\t" if counts.binary else f"{counts.added}\t{counts.deleted}\t"
    if not null:
        return f"{numbers}{joined(change, quote)}\n"
    if change.status in "RC":
        return f"{numbers}\0{unquoted(change.old_path)}\0{unquoted(change.path)}\0"
    return f"{numbers}{unquoted(new_path(change))}\0"


def status_of(change: FileChange) -> str:
    """``M``, or ``R087`` with the similarity."""
    return f"{change.status}{change.score:03d}" if change.status in "RC" else change.status


def name_status(change: FileChange, *, quote: Quote, null: bool) -> str:
    """One record of ``--name-status``, its terminator included."""
    separator, end, show = ("\0", "\0", unquoted) if null else ("\t", "\n", quote)
    fields = [status_of(change), show(new_path(change))]
    if change.status in "RC":
        fields.insert(1, show(change.old_path))
    return separator.join(fields) + end


def raw(change: FileChange, *, quote: Quote, null: bool, identify: Callable[[Entry], str]) -> str:
    """One record of ``--raw``: modes and content ids before the status."""
    sides = (change.old, change.new)
    modes = [mode_of(side) if side is not None else "000000" for side in sides]
    ids = [identify(side) if side is not None else "0000000" for side in sides]
    head = f":{' '.join(modes)} {' '.join(ids)} "
    return head + name_status(change, quote=quote, null=null)


def name_only(change: FileChange, *, quote: Quote, null: bool) -> str:
    """One record of ``--name-only``, its terminator included."""
    path = new_path(change)
    return unquoted(path) + "\0" if null else quote(path) + "\n"


def summary(change: FileChange, *, quote: Quote) -> Iterator[str]:
    """The lines of ``--summary`` about one change."""
    old, new = change.old, change.new
    path = quote(new_path(change))
    if old is None:
        assert new is not None
        yield f" create mode {mode_of(new)} {path}"
        return
    if new is None:
        yield f" delete mode {mode_of(old)} {path}"
        return
    after = f" {path}"
    if change.status in "RC":
        word = "rename" if change.status == "R" else "copy"
        yield f" {word} {joined(change, quote)} ({change.score}%)"
        after = ""
    if mode_of(old) != mode_of(new):
        yield f" mode change {mode_of(old)} => {mode_of(new)}{after}"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield f" owner change {old.uid}:{old.gid} => {new.uid}:{new.gid}{after}"
