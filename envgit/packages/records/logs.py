# SPDX-License-Identifier: Apache-2.0
"""Logs: only ever appended to, so that both sides' new lines follow what both had."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.packages.records.model import (
    Clash,
    Decide,
    Declined,
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
        """What both had, what ours added, what theirs added. Raises Declined for a log that was
        rotated or edited on one side."""
        base = base or b""
        if not (ours.startswith(base) and theirs.startswith(base)):
            raise Declined("one side did not only append to it")
        mine, its = ours[len(base) :], theirs[len(base) :]
        if mine.startswith(its):
            return ours, ()
        if its.startswith(mine):
            return theirs, ()
        glue = b"" if ours.endswith(b"\n") or not ours else b"\n"
        return ours + glue + its, ()

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """The one or the other."""
        return other if taken("") else base

    def join(self, records: Sequence[Record]) -> bytes:
        """See `Format.join`."""
        return b"".join(record.data for record in records)
