# SPDX-License-Identifier: Apache-2.0
"""Writes the commits of a log: graph, header, message and differences, spaced as git spaces them.

Where blank lines and the graph's padding go was compared with ``git log`` to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.cli.entries import Decoration, Surroundings, decorate, selector
from envgit.cli.formats import Form, text_of

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.cli.diffview import DiffView
    from envgit.cli.graph import Graph
    from envgit.porcelain.difference import Difference, Merged
    from envgit.porcelain.foundation.comparing import Choice
    from envgit.porcelain.history import LogEntry


@dataclass(frozen=True, slots=True)
class Shown:
    """A difference to show with a commit: ``parent`` when it must be named.

    ``merged`` is what names and patches of a merge are shown of; then the commit's message is set
    off even when there is none.
    """

    parent: str
    difference: Difference
    merged: Merged | None = None


Differences = Callable[["LogEntry"], Sequence[Shown]]


@dataclass(frozen=True, slots=True)
class LogStyle:
    """How a log is written.

    ``choice`` is what is asked of differences. ``decorations`` are shown on ``commit`` lines when
    given. ``always``: commits without a difference are shown too. ``notes`` are lines added
    beneath the message.
    """

    form: Form
    around: Surroundings
    abbreviate: bool = False
    decorations: Callable[[str], Sequence[Decoration]] | None = None
    graph: Graph | None = None
    view: DiffView | None = None
    null: bool = False
    always: bool = True
    tabs: bool = True
    notes: Callable[[LogEntry], Sequence[str]] | None = None
    choice: Choice | None = None

    @property
    def shows_packages_alone(self) -> bool:
        """Whether of differences only the packages are shown."""
        return self.view is not None and self.view.parts == {"packages"}


class LogView:
    """One log being written."""

    def __init__(self, app: App, style: LogStyle, differences: Differences) -> None:
        self._app = app
        self._style = style
        self._differences = differences
        self._end = "\0" if style.null else "\n"
        self._any = False
        self._open_line = False

    def show(self, entry: LogEntry) -> bool:
        """Write one commit; False when it was left out for lack of a difference."""
        style = self._style
        graph = style.graph
        if graph is not None:
            graph.update(entry.id, entry.edges, "o" if entry.mark == "-" else entry.mark or "*")
        shown = False
        for one in self._differences(entry) if style.view else ():
            assert style.view is not None
            if not style.view.shows(one.difference, one.merged):
                continue
            self._commit(entry, one.parent)
            shown = True
            self._separate(merged=one.merged is not None)
            prefix = graph.padding_line if graph is not None else None
            style.view.write(self._app, one.difference, merged=one.merged, prefix=prefix)
        if not shown and (style.always or (style.view is None and self._differs(entry))):
            self._commit(entry, "")
            shown = True
        return shown

    def _differs(self, entry: LogEntry) -> bool:
        return any(one.difference for one in self._differences(entry))

    def separate(self) -> None:
        """Begin an object that is no commit: an empty line after what came before."""
        if self._any:
            self._write("\n")
        self._any = True

    def _separate(self, *, merged: bool) -> None:
        """The empty line (or dashes) between message and difference."""
        style = self._style
        if (style.form.oneline and not merged) or style.form.empty or style.view is None:
            return
        both = {"stat", "patch"} <= style.view.parts and not merged
        self._write(self._padding() + ("---\n" if both else "\n"))

    # Commits --------------------------------------------------------------------------------

    def _commit(self, entry: LogEntry, parent: str) -> None:
        style = self._style
        if self._any and not style.form.terminated:
            if not style.null and not self._open_line:
                self._write(self._padding())
            self._write(self._end)
        self._any = True
        self._draw_to_commit()
        if not style.form.user:
            self._title(entry, parent)
            if entry.reflog is not None and self._reflog(entry):
                return
        text = text_of(style.form, entry, self._surroundings(), tabs=style.tabs)
        if style.notes is not None:
            text += "".join(f"{line}\n" for line in style.notes(entry))
        self._open_line = not text.endswith("\n")
        self._message(text)
        if style.form.terminated and not style.form.empty:
            if not self._open_line:
                self._write(self._padding())
            self._write(self._end)

    def _surroundings(self) -> Surroundings:
        return self._style.around

    def _title(self, entry: LogEntry, parent: str) -> None:
        style, palette = self._style, self._app.out
        color = palette.colour
        line = palette.escape("diff.commit")
        if not style.form.oneline:
            line += "commit "
        if entry.mark and style.graph is None:
            line += f"{entry.mark} "
        shorten = style.around.abbrev if style.abbreviate else str
        line += shorten(entry.id)
        if parent:
            line += f" (from {shorten(parent)})"
        line += palette.reset
        if style.decorations is not None:
            names = style.decorations(entry.id)
            line += decorate(names, palette, color=color, parts=(" (", ", ", ")"))
        if style.form.oneline:
            self._write(line + " ")
        else:
            self._write(line + "\n" + self._next())

    def _reflog(self, entry: LogEntry) -> bool:
        """The reflog's part of the header; True when it is all that is shown."""
        step = entry.reflog
        assert step is not None
        around = self._style.around
        where = selector(step, around.dates, full=True, dated=around.selector_dates)
        if self._style.form.oneline:
            self._write(f"{where}: {step.message}\n")
            return True
        self._write(f"Reflog: {where} ({step.who.name} <{step.who.email}>)\n")
        self._write(f"Reflog message: {step.message}\n")
        return False

    # Graph ----------------------------------------------------------------------------------

    def _write(self, text: str) -> None:
        self._app.out.write(text)

    def _padding(self) -> str:
        graph = self._style.graph
        return graph.padding_line() if graph is not None else ""

    def _next(self) -> str:
        graph = self._style.graph
        return graph.next_line()[0] if graph is not None else ""

    def _draw_to_commit(self) -> None:
        graph = self._style.graph
        if graph is None:
            return
        if graph.finished:
            # A further difference of the same merge.
            self._write(graph.padding_line())
            return
        shown = False
        while not shown and not graph.finished:
            line, shown = graph.next_line()
            self._write(line if shown else line + "\n")

    def _message(self, text: str) -> None:
        graph = self._style.graph
        if graph is None:
            self._write(text)
            return
        lines = _lines(text)
        for index, line in enumerate(lines):
            self._write(line)
            if index < len(lines) - 1:
                self._write(graph.next_line()[0])
        if graph.finished:
            return
        if self._open_line:
            self._write("\n")
        while True:
            self._write(graph.next_line()[0])
            if graph.finished:
                break
            self._write("\n")
        if not self._open_line:
            self._write("\n")


def _lines(text: str) -> list[str]:
    """Lines that end with a newline and nothing else."""
    parts = text.split("\n")
    found = [part + "\n" for part in parts[:-1]]
    return [*found, parts[-1]] if parts[-1] else found
