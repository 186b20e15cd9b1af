# SPDX-License-Identifier: Apache-2.0
"""Tables of figures, as text for a terminal and as reStructuredText for the manual."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.measure import Sample, milliseconds
from tests.support import peers


@dataclass(frozen=True)
class Table:
    """A titled table; ``notes`` are paragraphs below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def rst(self) -> str:
        """The table as reStructuredText, with its title as a section."""
        lines = [self.title, "-" * len(self.title), "", ".. list-table::", "   :header-rows: 1", ""]
        for row in [self.head, *self.rows]:
            lines += [
                f"   {'* -' if n == 0 else '  -'} {cell}".rstrip() for n, cell in enumerate(row)
            ]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def text(self) -> str:
        """The table in columns."""
        rows = [list(self.head), *map(list, self.rows)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(self.head))]
        body = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
        return "\n".join([self.title, "", body, *self.notes]) + "\n"


def figure(sample: Sample | None) -> str:
    """Median and spread of a sample, for a cell."""
    if sample is None:
        return "-"
    if sample.failure or not sample.times:
        return "failed"
    spread = f"{milliseconds(min(sample.times))}..{milliseconds(max(sample.times))}"
    return f"{milliseconds(sample.median)} ({spread})"


def ratio(over: Sample | None, under: Sample | None) -> str:
    """How many times as long ``over`` takes as ``under``."""
    if over is None or under is None or not over.times or not under.times:
        return "-"
    return f"{over.median / under.median:.2f}"


def conditions() -> str:
    """A paragraph on what was measured where, without naming the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    versions = ", ".join(
        f"{name} {'.'.join(map(str, found))}"
        for name in ("podman", "buildah", "crun", "bwrap", "git")
        if (found := peers.version(name))
    )
    load = os.getloadavg()[0]
    return (
        f"Measured {time.strftime('%d %B %Y', time.gmtime())}: {os.cpu_count()} cores, "
        f"{memory:.0f} GB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{versions}; load {load:.1f} at the end. Milliseconds of whole processes: median "
        "(least..most), competitors in turn, a first round dropped."
    )
