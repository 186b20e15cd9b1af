# SPDX-License-Identifier: Apache-2.0
"""Logs: only ever appended to, so that both sides' new lines follow what both had."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.packages.records.model import (
    Clash,
    Decide,
    Format,
    Record,
    Taken,
    undecided,
)


class Log(Format):
    """A log as one piece."""

    noun = "the log"

    def split(self, data: bytes) -> list[Record]:
        """One record."""
        return [Record(b"", data)] if data else []

    def merge(
        self,
        base: bytes | None,
        ours: bytes,
        theirs: bytes,
        decide: Decide = undecided,
        favour: str | None = None,
    ) -> tuple[bytes, tuple[Clash, ...]]:
        """What ours has, and what theirs added. A log that theirs rotated, or cut as going back
        in history does, stays ours: what happened is not undone."""
        base = base or b""
        if ours == base:
            return theirs, ()
        added = theirs[len(base) :] if theirs.startswith(base) else b""
        if not added or ours.endswith(added) or ours.startswith(base + added):
            return ours, ()
        if theirs.startswith(ours):
            return theirs, ()
        glue = b"" if ours.endswith(b"\n") or not ours else b"\n"
        return ours + glue + added, ()

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """The one or the other."""
        return other if taken("") else base

    def join(self, records: Sequence[Record]) -> bytes:
        """See `Format.join`."""
        return b"".join(record.data for record in records)
