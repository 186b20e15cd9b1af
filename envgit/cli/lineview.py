# SPDX-License-Identifier: Apache-2.0
"""Writes what commits did to followed lines, as ``git log -L`` does: all of the lines, a hunk for
each range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli.quoting import unquoted

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.cli.entries import Palette
    from envgit.layers.lines import Chunk, Span
    from envgit.porcelain.linelog import LineChange

_SLOTS = {"+": "diff.new", "-": "diff.old", " ": "diff.context"}


class LineView:
    """The view of a log that follows lines; it writes ``LineChange`` values."""

    parts = frozenset({"patch"})

    def __init__(self, prefixes: tuple[str, str] = ("a/", "b/")) -> None:
        self._prefixes = prefixes

    def shows(self, difference: Sequence[LineChange], merged: Any = None) -> bool:
        """Whether there is anything to write: what is listed is there because there is."""
        return bool(difference) or merged is not None

    def write(
        self,
        app: App,
        difference: Sequence[LineChange],
        *,
        merged: Any = None,
        prefix: Callable[[], str] | None = None,
    ) -> None:
        """Write the changes of one commit."""
        for change in difference:
            for line in self._lines(app, change):
                app.out.write(line)

    def _lines(self, app: App, change: LineChange) -> Iterator[str]:
        out = app.out
        old, new = self._prefixes
        old_name = old + unquoted(change.path if change.old_path is None else change.old_path)
        new_name = new + unquoted(change.path)
        meta, reset = out.escape("diff.meta"), out.reset
        yield f"{meta}diff --git {old_name} {new_name}{reset}\n"
        yield f"{meta}--- {'/dev/null' if change.old_path is None else old_name}{reset}\n"
        yield f"{meta}+++ {new_name}{reset}\n"
        for span in change.spans:
            inside = [chunk for chunk in change.touched if _meets(chunk, span)]
            if inside:
                yield from _hunk(app, change, span, inside)


def _line(sign: str, content: bytes, palette: Palette) -> Iterator[str]:
    """In one colour as a whole; white space is not looked at here."""
    ended = content.endswith(b"\n")
    text = unquoted(content[:-1] if ended else content)
    yield f"{palette.escape(_SLOTS[sign])}{sign}{text}{palette.reset}\n"
    if not ended:
        context = palette.escape("diff.context")
        yield f"{context}\\ No newline at end of file{palette.reset}\n"


def _meets(chunk: Chunk, span: Span) -> bool:
    return chunk.new.overlaps(span) or (
        len(chunk.new) == 0 and span.start <= chunk.new.start <= span.end
    )


def _hunk(app: App, change: LineChange, span: Span, chunks: Sequence[Chunk]) -> Iterator[str]:
    first, last = chunks[0], chunks[-1]
    start = first.old.start - max(first.new.start - span.start, 0)
    end = last.old.end + max(span.end - last.new.end, 0)
    if not start and not end:
        start = end = -1
    out = app.out
    where = f"@@ -{start + 1},{end - start} +{span.start + 1},{span.end - span.start} @@"
    yield f"{out.escape('diff.frag')}{where}{out.reset}\n"
    at = span.start
    for chunk in chunks:
        for number in range(at, chunk.new.start):
            yield from _line(" ", change.new[number], out)
        at = max(at, chunk.new.start)
        for number in range(chunk.old.start, chunk.old.end):
            yield from _line("-", change.old[number], out)
        for number in range(at, min(chunk.new.end, span.end)):
            yield from _line("+", change.new[number], out)
        at = max(at, min(chunk.new.end, span.end))
    for number in range(at, span.end):
        yield from _line(" ", change.new[number], out)
