# SPDX-License-Identifier: Apache-2.0
"""Drawing history beside the log the way ``git log --graph`` does, because users read it blind.

A *lane* is one open line of history: it waits for one commit. On the screen lane ``i`` rests in
cell ``2 * i``; cells between are gaps that a line crosses when it moves left. ``Graph`` is told
each commit in the order shown and hands out the prefixes of the lines; it knows no commit but by
its name and those of its visible parents. The drawing is specified by what ``git`` prints
(git-log(1), ``--graph``); the tests compare both on random histories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

NOWHERE = -1


class Row(Enum):
    """What kind of line comes next for the commit at hand."""

    PADDING = "padding"
    """The commit is finished: only the open lanes."""
    GAP = "gap"
    """The commit before was not finished when this one came: say so with ``...``."""
    WIDEN = "widen"
    """Lanes to the right step aside for an octopus merge."""
    COMMIT = "commit"
    FORK = "fork"
    """The parents of a merge fan out below it."""
    COLLAPSE = "collapse"
    """Lines move left to their lanes."""


@dataclass(slots=True)
class Lane:
    """An open line of history, waiting for ``commit``; ``color`` is an index of the graph's."""

    commit: str
    color: int


class Graph:
    """The prefixes of a log's lines.

    ``colors`` are escape sequences used in turn for the lanes, ``reset`` ends each; no colours, no
    escapes. Use: ``update`` with each commit, then ``next_line`` until ``finished``, and
    ``padding_line`` for every further line of text that belongs to the commit.
    """

    def __init__(self, colors: Sequence[str] = (), reset: str = "") -> None:
        self._colors = tuple(colors)
        self._reset = reset
        # The first commit advances the colour before using it.
        self._color = max(len(self._colors) - 1, 0)
        self._commit = ""
        self._parents: tuple[str, ...] = ()
        self._mark = "*"
        self._lanes: list[Lane] = []
        self._next_lanes: list[Lane] = []
        # For each screen cell below the commit: the lane (of _next_lanes) its line is heading for.
        self._heading: list[int] = []
        self._last_heading: list[int] = []
        self._width = 0
        self._row = Row.PADDING
        self._last_row = Row.PADDING
        self._widened = 0
        self._position = 0
        self._last_position = 0
        # 0: the first parent's line leaves to the left; 1: straight down.
        self._lean = 0
        # How many cells pairs the merge pushed the lanes on its right.
        self._pushed = 0
        self._last_pushed = 0

    @property
    def finished(self) -> bool:
        """Whether every line that must be drawn for the present commit has been drawn."""
        return self._row is Row.PADDING

    def update(self, commit: str, parents: Sequence[str], mark: str = "*") -> None:
        """Come to the next commit; ``parents`` are those that will be shown, ``mark`` its sign."""
        self._commit = commit
        self._parents = tuple(parents)
        self._mark = mark
        self._last_position = self._position
        self._assign_lanes()
        self._widened = 0
        # _last_row stays: no line of the row chosen here has been printed yet.
        if self._row is not Row.PADDING:
            self._row = Row.GAP
        else:
            self._row = Row.WIDEN if self._must_widen() else Row.COMMIT

    def next_line(self) -> tuple[str, bool]:
        """The next line's prefix, and whether it is the one with the commit's mark."""
        row = self._row
        draw = {
            Row.PADDING: self._draw_padding,
            Row.GAP: self._draw_gap,
            Row.WIDEN: self._draw_widening,
            Row.COMMIT: self._draw_commit,
            Row.FORK: self._draw_fork,
            Row.COLLAPSE: self._draw_collapse,
        }[row]
        cells: list[tuple[str, Lane | None]] = []
        draw(cells)
        return self._render(cells), row is Row.COMMIT

    def padding_line(self) -> str:
        """A prefix for a line of text of the commit (or, before the commit is drawn, above it)."""
        if self._row is not Row.COMMIT:
            return self.next_line()[0]
        cells: list[tuple[str, Lane | None]] = []
        for lane in self._lanes:
            cells.append(("|", lane))
            room = 1
            if lane.commit == self._commit and len(self._parents) > 2:
                room = (len(self._parents) - 2) * 2
            cells.append((" " * room, None))
        self._last_row = Row.PADDING
        return self._render(cells)

    # Lanes ----------------------------------------------------------------------------------

    def _assign_lanes(self) -> None:
        self._lanes, self._next_lanes = self._next_lanes, []
        self._heading = [NOWHERE] * (2 * (len(self._lanes) + len(self._parents)) or 2)
        self._width = 0
        self._last_pushed, self._pushed = self._pushed, 0
        waited_for = False
        for index, lane in enumerate(self._lanes):
            if lane.commit == self._commit:
                waited_for = True
                self._place_parents(index, waited_for=True)
            else:
                self._enter(lane.commit)
        if not waited_for:
            self._place_parents(len(self._lanes), waited_for=False)
        while len(self._heading) > 1 and self._heading[-1] == NOWHERE:
            self._heading.pop()

    def _place_parents(self, index: int, *, waited_for: bool) -> None:
        self._position = index
        for order, parent in enumerate(self._parents):
            if self._colors and (len(self._parents) > 1 or not waited_for):
                self._color = (self._color + 1) % len(self._colors)
            self._enter(parent, fan_from=index if order == 0 else None)
        if not self._parents:
            self._width += 2

    def _enter(self, commit: str, fan_from: int | None = None) -> None:
        """Lead a line to the lane of ``commit``, opening one if need be.

        ``fan_from`` is the merge's lane when this is its first parent: that decides to which side
        the merge leans, so that its lines join what is already there without a detour.
        """
        lane = self._next_lane_of(commit)
        if lane == NOWHERE:
            lane = len(self._next_lanes)
            self._next_lanes.append(Lane(commit, self._color_of(commit)))
        if fan_from is not None and len(self._parents) > 1:
            distance = fan_from - lane
            shift = 2 * distance - 3 if distance > 1 else 1
            self._lean = 0 if distance > 0 else 1
            self._pushed = len(self._parents) + self._lean - 2
            cell = self._width + (self._lean - 1) * shift
            self._width += 2 * self._lean
        elif self._pushed > 0 and lane == self._heading[self._width - 2]:
            # The merge's last edge meets the lane right beside it: they join at once.
            cell = self._width - 2
            self._pushed = -1
        else:
            cell = self._width
            self._width += 2
        self._heading[cell] = lane

    def _next_lane_of(self, commit: str) -> int:
        for index, lane in enumerate(self._next_lanes):
            if lane.commit == commit:
                return index
        return NOWHERE

    def _color_of(self, commit: str) -> int:
        for lane in self._lanes:
            if lane.commit == commit:
                return lane.color
        return self._color

    def _settled(self) -> bool:
        """Whether each line stands in its lane's cell, so that nothing is left to collapse."""
        return all(lane == NOWHERE or lane == cell // 2 for cell, lane in enumerate(self._heading))

    def _dashes(self) -> int:
        """How many parents of an octopus are reached by the horizontal dashes beside its mark."""
        return len(self._parents) + self._lean - 3

    def _must_widen(self) -> bool:
        return (
            len(self._parents) >= 3
            and self._position < len(self._lanes) - 1
            and self._widened < 2 * self._dashes()
        )

    # Rows -----------------------------------------------------------------------------------

    def _become(self, row: Row) -> None:
        self._last_row = self._row
        self._row = row

    def _draw_padding(self, cells: list[tuple[str, Lane | None]]) -> None:
        for lane in self._next_lanes:
            cells += (("|", lane), (" ", None))

    def _draw_gap(self, cells: list[tuple[str, Lane | None]]) -> None:
        cells.append(("...", None))
        self._become(Row.WIDEN if self._must_widen() else Row.COMMIT)

    def _draw_widening(self, cells: list[tuple[str, Lane | None]]) -> None:
        passed = False
        for index, lane in enumerate(self._lanes):
            stroke = "|"
            room = 1
            if lane.commit == self._commit:
                passed = True
                room += self._widened
            elif passed:
                slanted = self._last_row is Row.FORK and self._last_position < index
                if self._widened > 0 or slanted:
                    stroke = "\\"
            cells += ((stroke, lane), (" " * room, None))
        self._widened += 1
        if not self._must_widen():
            self._become(Row.COMMIT)

    def _draw_commit(self, cells: list[tuple[str, Lane | None]]) -> None:
        passed = False
        for index, lane in enumerate(self._lanes):
            if lane.commit == self._commit:
                passed = True
                self._draw_mark(cells)
            else:
                cells.append((self._stroke_beside_commit(index, passed=passed), lane))
            cells.append((" ", None))
        if not passed:
            self._draw_mark(cells)
            cells.append((" ", None))
        if len(self._parents) > 1:
            self._become(Row.FORK)
        else:
            self._become(Row.PADDING if self._settled() else Row.COLLAPSE)

    def _stroke_beside_commit(self, index: int, *, passed: bool) -> str:
        if passed and self._pushed > 1:
            return "\\"
        if passed and self._pushed == 1:
            # The merge drawn just above pushed this lane, which is still on its way right.
            still_pushed = (
                self._last_row is Row.FORK and self._last_pushed > 0 and self._last_position < index
            )
            return "\\" if still_pushed else "|"
        arriving = (
            self._last_row is Row.COLLAPSE
            and self._cell(self._last_heading, 2 * index + 1) == index
            and self._cell(self._heading, 2 * index) < index
        )
        return "/" if arriving else "|"

    @staticmethod
    def _cell(heading: list[int], cell: int) -> int:
        return heading[cell] if cell < len(heading) else NOWHERE

    def _draw_mark(self, cells: list[tuple[str, Lane | None]]) -> None:
        cells.append((self._mark, None))
        if len(self._parents) <= 2:
            return
        dashes = self._dashes()
        for step in range(dashes):
            # No line may start there, when edges were joined; then git gives the dash no colour.
            target = self._cell(self._heading, (self._position + step + 2) * 2)
            lane = self._next_lanes[target] if target != NOWHERE else None
            cells += (("-", lane), ("." if step == dashes - 1 else "-", lane))

    def _draw_fork(self, cells: list[tuple[str, Lane | None]]) -> None:
        passed = False
        joining: Lane | None = None
        for index, lane in enumerate(self._lanes):
            if lane.commit == self._commit:
                passed = True
                self._draw_fan(cells)
            elif passed:
                cells += (("\\" if self._pushed > 0 else "|", lane), (" ", None))
            else:
                cells.append(("|", lane))
                if self._lean != 0 or index != self._position - 1:
                    # A first parent far to the left is reached by an underscore beneath the lanes.
                    cells.append(("_", joining) if joining is not None else (" ", None))
            if lane.commit == self._parents[0]:
                joining = lane
        if not passed:
            self._draw_fan(cells)
        self._become(Row.PADDING if self._settled() else Row.COLLAPSE)

    def _draw_fan(self, cells: list[tuple[str, Lane | None]]) -> None:
        lean = self._lean
        last = len(self._parents) - 1
        for order, parent in enumerate(self._parents):
            cells.append(("/|\\"[lean], self._next_lanes[self._next_lane_of(parent)]))
            if lean < 2:
                lean += 1
            elif self._pushed > 0 or order < last:
                cells.append((" ", None))
        if self._pushed == 0:
            cells.append((" ", None))

    def _draw_collapse(self, cells: list[tuple[str, Lane | None]]) -> None:
        edge, edge_lane = self._move_left()
        self._last_heading = list(self._heading)
        if self._heading[-1] == NOWHERE:
            self._heading.pop()
        flat = False
        for cell, target in enumerate(self._heading):
            if target == NOWHERE:
                cells.append((" ", None))
                continue
            lane = self._next_lanes[target]
            if target * 2 == cell:
                cells.append(("|", lane))
            elif target == edge_lane and cell != edge - 1:
                # Only the leftmost dash goes on as a line in the row below.
                if cell != target * 2 + 3:
                    self._heading[cell] = NOWHERE
                flat = True
                cells.append(("_", lane))
            else:
                if flat and cell < edge:
                    self._heading[cell] = NOWHERE
                cells.append(("/", lane))
        if self._settled():
            self._become(Row.PADDING)

    def _move_left(self) -> tuple[int, int]:
        """Move each line one step towards its lane; one line in a row may run flat, all the way.

        Returns that line's cell and its lane (both NOWHERE when none does).
        """
        before = self._heading
        after = self._heading = [NOWHERE] * len(before)
        edge = edge_lane = NOWHERE
        for cell, target in enumerate(before):
            if target == NOWHERE:
                continue
            if target * 2 == cell:
                after[cell] = target
                continue
            if after[cell - 1] == target:
                continue
            # A foreign line on the left is crossed: the cell beyond it is always free.
            step = 1 if after[cell - 1] == NOWHERE else 2
            after[cell - step] = target
            if edge == NOWHERE:
                edge, edge_lane = cell + 1 - step, target
                for between in range(target * 2 + 3, cell - 2, 2):
                    after[between] = target
        return edge, edge_lane

    def _render(self, cells: list[tuple[str, Lane | None]]) -> str:
        width = sum(len(text) for text, _ in cells)
        cells.append((" " * (self._width - width), None))
        if not self._colors:
            return "".join(text for text, _ in cells)
        return "".join(
            text if lane is None else f"{self._colors[lane.color]}{text}{self._reset}"
            for text, lane in cells
        )
