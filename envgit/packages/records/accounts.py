# SPDX-License-Identifier: Apache-2.0
"""Users and groups: passwd(5), shadow(5), group(5), gshadow(5), subuid(5), subgid(5).

One line an entry, by name, with fields between colons. Members of a group are a set. Two names that
got the same number on both sides are a clash: files belong to numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from envgit.packages.records.model import (
    Clash,
    Declined,
    Format,
    Record,
    Sides,
    Verdict,
    lines_of,
    literal,
    merge_set,
    numbered,
    pick,
)

Blend = Callable[[bytes, bytes, bytes], bytes]
"""One field that both sides changed."""


class Accounts(Format):
    """Lines of ``count`` fields. ``number`` is the field that tells who owns files; ``blends`` are
    the fields that can be merged even when both sides changed them."""

    def __init__(
        self, noun: str, count: int, *, number: int | None = None, blends: dict[int, Blend]
    ) -> None:
        self.noun = noun
        self.count = count
        self.number = number
        self.blends = blends

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        found: list[Record] = []
        strange = 0
        for line in lines_of(data):
            text = line.rstrip(b"\n")
            # Of comments, entries of NIS (nsswitch.conf(5), "compat") and what is no entry at all
            # the whole line is the name.
            odd = text.startswith((b"#", b"+", b"-")) or text.count(b":") != self.count - 1
            strange += odd
            found.append(Record(text if odd else text.partition(b":")[0], line))
        if strange > len(found) - strange:
            raise Declined(f"most lines do not have {self.count} fields")
        return numbered(found)

    def blend(
        self, base: Record | None, ours: Record, theirs: Record, verdict: Verdict
    ) -> bytes | None:
        """Field by field."""
        mine, its = ours.content.split(b":"), theirs.content.split(b":")
        old = base.content.split(b":") if base is not None else [b""] * len(mine)
        if not len(mine) == len(its) == len(old):
            return None
        made: list[bytes] = []
        for place, values in enumerate(zip(old, mine, its, strict=True)):
            value, clear = pick(*values)
            if not clear:
                if place not in self.blends:
                    return None
                value = self.blends[place](*values)
            made.append(value or b"")
        return b":".join(made) + ours.data[len(ours.content) :]

    def check(
        self, merged: Sequence[Record], base: dict[bytes, Record], verdict: Verdict, sides: Sides
    ) -> None:
        """Two names of one number, each of which only one side has."""
        if self.number is None:
            return
        mine = self._numbers(sides.ours, sides)
        its = self._numbers(sides.theirs, sides)
        kept = {record.key for record in merged}
        for number, one in mine.items():
            other = its.get(number)
            if other is None or other == one or not {one, other} <= kept:
                continue
            words = [word.decode("utf-8", "backslashreplace") for word in (number, one, other)]
            shown = list(map(literal, words))
            what = f"{self._number_noun} {shown[0]}"
            text = f"{what} is {shown[1]} in {{ours}} and {shown[2]} in {{theirs}}"
            verdict.favour, favour = None, verdict.favour  # neither side settles this
            verdict.clash(("",), text)
            verdict.favour = favour

    @property
    def _number_noun(self) -> str:
        return "uid" if self.noun == "user" else "gid"

    def _numbers(self, records: dict[bytes, Record], sides: Sides) -> dict[bytes, bytes]:
        """The names that one side added, by number."""
        found: dict[bytes, bytes] = {}
        assert self.number is not None
        for key, record in records.items():
            parts = record.content.split(b":")
            if len(parts) == self.count and (key not in sides.ours or key not in sides.theirs):
                found.setdefault(parts[self.number], key)
        return found


class Ranges(Format):
    """``subuid`` and ``subgid``: a name may have several ranges; those of two names that overlap
    since both sides added them clash."""

    noun = "the range"

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        found = []
        for line in lines_of(data):
            if line.count(b":") != 2:
                raise Declined("a range is no three fields")
            found.append(Record(line.strip(), line))
        return numbered(found)

    def check(
        self, merged: Sequence[Record], base: dict[bytes, Record], verdict: Verdict, sides: Sides
    ) -> None:
        """Ranges that overlap and did not on either side."""
        ranges = sorted(one for record in merged if (one := _range(record.key)) is not None)
        for (start, end, name, key), (other, _, its, second) in pairwise(ranges):
            apart = all(not (key in side and second in side) for side in (sides.ours, sides.theirs))
            if other < end and name != its and apart:
                ours, theirs = (name, its) if key in sides.ours else (its, name)
                text = f"the ranges from {start} and {other} overlap: "
                verdict.clashes.append(_overlap(text, ours, theirs))


def _overlap(text: str, ours: str, theirs: str) -> Clash:
    return Clash(("",), f"{text}{literal(ours)} in {{ours}} and {literal(theirs)} in {{theirs}}")


def _range(line: bytes) -> tuple[int, int, str, bytes] | None:
    name, start, count = line.split(b":")
    if not (start.isdigit() and count.isdigit() and len(start) < 20 and len(count) < 20):
        return None
    return int(start), int(start) + int(count), name.decode("utf-8", "backslashreplace"), line


def members(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """Names between commas, as a set."""
    sets = [[name for name in value.split(b",") if name] for value in (base, ours, theirs)]
    return b",".join(merge_set(*sets))


def latest(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """The later of two days."""
    return max(ours, theirs, key=lambda value: (len(value), value))


PASSWD = Accounts("user", 7, number=2, blends={})
SHADOW = Accounts("password of", 9, blends={2: latest})
GROUP = Accounts("group", 4, number=2, blends={3: members})
GSHADOW = Accounts("password of group", 4, blends={2: members, 3: members})
