# SPDX-License-Identifier: Apache-2.0
"""What files of entries have in common: split into records, merged three-way, and composed.

Laws (tests/unit/packages/records/): ``join(split(x)) == x`` for whatever splits; ``merge(b, o, b)``
is ``o`` and ``merge(b, b, t)`` is ``t``; without clashes the entries of ``merge(b, o, t)`` and
``merge(b, t, o)`` are the same; ``compose`` with everything taken is ``other``, with nothing
``base``. A file that is not what its programs write is declined, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from envgit.errors import EnvgitError

Decide = Callable[[str], str | None]
"""Of an owner, from which side (``ours``, ``theirs``, ``base``) all of its entries are taken, or
None: each entry is merged by itself."""

Taken = Callable[[str], bool]
"""Whether an owner's entries are taken. An owner is the name of a package as its manager has it
(without architecture); a path that begins with ``/``, whose package it then is; or empty: nobody
knows."""


class Declined(EnvgitError):
    """A file is not in the format that its name promises, or this cannot be merged by entry."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry: its ``key`` is unique in its file, ``data`` exactly its bytes."""

    key: bytes
    data: bytes
    owners: tuple[str, ...] = ("",)

    @property
    def content(self) -> bytes:
        """Its bytes without the line ends that separate it from the next."""
        return self.data.rstrip(b"\n")


@dataclass(frozen=True, slots=True)
class Clash:
    """An entry that both sides changed, differently; what ours has was left.

    ``what`` says so in words with ``{ours}`` and ``{theirs}`` for the names of the sides.
    """

    owners: tuple[str, ...]
    what: str


@dataclass(slots=True)
class Verdict:
    """How entries are decided, and what could not be."""

    decide: Decide
    favour: str | None = None
    clashes: list[Clash] = field(default_factory=list)

    def side_of(self, owners: Iterable[str]) -> str | None:
        """The side that an entry of these owners is taken from as a whole."""
        for owner in owners:
            side = self.decide(owner)
            if side is not None:
                return side
        return None

    def clash(self, owners: Iterable[str], what: str) -> str:
        """Note a clash; which side is taken."""
        if self.favour is None:
            self.clashes.append(Clash(tuple(owners), what))
        return "theirs" if self.favour == "theirs" else "ours"


def literal(text: str) -> str:
    """Text as it stands in ``Clash.what``, which is a form to be filled in."""
    return text.replace("{", "{{").replace("}", "}}")


def undecided(_: str) -> str | None:
    """The `Decide` for which every entry is merged by itself."""
    return None


class Format:
    """A family of files. What a subclass must have is ``split``; what it may refine, the rest."""

    end = b"\n"
    """What stands between two records, in case the last of a file lacks it."""
    noun = "entry"
    """What users call a record."""
    limit = 64 << 20
    """Bytes that are looked at."""

    def split(self, data: bytes) -> list[Record]:
        """The records, whose bytes one after the other are ``data``. Raises Declined."""
        raise NotImplementedError

    def blend(
        self, base: Record | None, ours: Record, theirs: Record, verdict: Verdict
    ) -> bytes | None:
        """A record that both sides changed, merged; None: it cannot be."""
        return None

    def check(
        self, merged: Sequence[Record], base: dict[bytes, Record], verdict: Verdict, sides: Sides
    ) -> None:
        """Tell ``verdict`` of what is wrong with records that go together no longer."""

    def merge(
        self,
        base: bytes | None,
        ours: bytes,
        theirs: bytes,
        decide: Decide = undecided,
        favour: str | None = None,
    ) -> tuple[bytes, tuple[Clash, ...]]:
        """Three-way by entry; ``base`` None where both sides added the file.

        Raises Declined.
        """
        verdict = Verdict(decide, favour)
        before = indexed(self.split(base or b""))
        here, there = self.split(ours), self.split(theirs)
        sides = Sides(before, indexed(here), indexed(there))
        wanted: dict[bytes, Record] = {}
        for key in dict.fromkeys((*sides.ours, *sides.theirs, *sides.base)):
            record = self._merged(key, sides, verdict)
            if record is not None:
                wanted[key] = record
        merged = arranged(here, there, wanted)
        self.check(merged, before, verdict, sides)
        clashes = tuple(verdict.clashes)
        made = [one.content for one in merged]
        for side, data in ((here, ours), (there, theirs)):
            if made == [one.content for one in side]:
                return data, clashes
        if ours == base and sorted(made) == sorted(one.content for one in there):
            return theirs, clashes  # they put it into another order
        return self.join(merged), clashes

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """``base`` with the entries of those owners as they are in ``other``. Raises Declined."""
        here, there = self.split(base), self.split(other)
        old, new = indexed(here), indexed(there)
        wanted: dict[bytes, Record] = {}
        chosen: set[bool] = set()
        for key in dict.fromkeys((*old, *new)):
            one, two = old.get(key), new.get(key)
            if one is not None and two is not None and one.content == two.content:
                wanted[key] = one
                continue
            takes = any(taken(owner) for owner in concerned(one, two))
            chosen.add(takes)
            record = two if takes else one
            if record is not None:
                wanted[key] = record
        if chosen == {True} or (not chosen and all(map(taken, ("",)))):
            return other
        if True not in chosen:
            return base
        return self.join(arranged(here, there, wanted))

    def join(self, records: Sequence[Record]) -> bytes:
        """The file with these records."""
        parts = []
        for record in records[:-1]:
            data = record.data
            if not data.endswith(self.end):
                data = record.content + self.end
            parts.append(data)
        parts += [record.data for record in records[-1:]]
        return b"".join(parts)

    def _merged(self, key: bytes, sides: Sides, verdict: Verdict) -> Record | None:
        base, ours, theirs = sides.base.get(key), sides.ours.get(key), sides.theirs.get(key)
        one, other, old = _content(ours), _content(theirs), _content(base)
        if one == other:
            return ours
        owners = tuple(dict.fromkeys(concerned(ours, theirs)))
        side = verdict.side_of(owners)
        if side is not None:
            return {"ours": ours, "theirs": theirs, "base": base}[side]
        if other == old:
            return ours
        if one == old:
            return theirs
        if ours is not None and theirs is not None:
            data = self.blend(base, ours, theirs, verdict)
            if data is not None:
                return Record(key, data, ours.owners)
        name = literal(key.decode("utf-8", "backslashreplace"))
        what = f"{self.noun} {name} differs in {{ours}} and {{theirs}}"
        if ours is None or theirs is None:
            gone, kept = ("ours", "theirs") if ours is None else ("theirs", "ours")
            what = f"{self.noun} {name} is deleted in {{{gone}}} and changed in {{{kept}}}"
        return theirs if verdict.clash(owners, what) == "theirs" else ours


@dataclass(frozen=True, slots=True)
class Sides:
    """The records of three sides by key."""

    base: dict[bytes, Record]
    ours: dict[bytes, Record]
    theirs: dict[bytes, Record]


def indexed(records: Iterable[Record]) -> dict[bytes, Record]:
    """Records by key. Raises Declined where two have the same."""
    found: dict[bytes, Record] = {}
    for record in records:
        if record.key in found:
            name = record.key.decode("utf-8", "backslashreplace")
            raise Declined(f"two entries are called {name!r}")
        found[record.key] = record
    return found


def numbered(records: Iterable[Record]) -> list[Record]:
    """Records of files that their readers take as they are: the second of a key has another."""
    counts: dict[bytes, int] = {}
    found = []
    for record in records:
        counts[record.key] = count = counts.get(record.key, 0) + 1
        if count > 1:
            record = replace(record, key=b"%b\0%d" % (record.key, count))
        found.append(record)
    return found


def concerned(one: Record | None, other: Record | None) -> tuple[str, ...]:
    """Whose a difference is: those who own the record on one side only, else all."""
    mine = one.owners if one is not None else ()
    its = other.owners if other is not None else ()
    only = [owner for owner in (*mine, *its) if (owner in mine) != (owner in its)]
    return tuple(only) if one is not None and other is not None and only else (*mine, *its)


def arranged(
    ours: Sequence[Record], theirs: Sequence[Record], wanted: dict[bytes, Record]
) -> list[Record]:
    """The wanted records in our order; those only theirs has follow what they follow there, or
    stand where they belong when both sides are sorted."""
    here = [record.key for record in ours]
    there = [record.key for record in theirs]
    if here == sorted(here) and there == sorted(there):
        return [wanted[key] for key in sorted(wanted)]
    mine, its = set(here), set(there)
    after: dict[bytes | None, list[bytes]] = {}
    anchor: bytes | None = None
    for key in there:
        if key in mine:
            anchor = key
        elif key in wanted:
            after.setdefault(anchor, []).append(key)
    order: list[bytes] = []
    waiting = after.pop(None, [])
    for key in here:
        if key in its:
            order += waiting
            waiting = after.pop(key, [])
        order.append(key)
    order += waiting
    left = [key for key in wanted if key not in mine and key not in its]
    return [wanted[key] for key in (*order, *left) if key in wanted]


def lines_of(data: bytes) -> list[bytes]:
    """The lines with their ends; a lone carriage return ends none."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])


def merge_set(base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> list[bytes]:
    """A list whose order means little, three-way: ours in its order, then what theirs added."""
    gone = set(base) - set(theirs)
    kept = [item for item in ours if item not in gone]
    new = set(base) | set(kept)
    return kept + [item for item in dict.fromkeys(theirs) if item not in new]


def pick(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> tuple[bytes | None, bool]:
    """One value three-way: which, and whether it was clear."""
    if ours == theirs or theirs == base:
        return ours, True
    if ours == base:
        return theirs, True
    return ours, False


def _content(record: Record | None) -> bytes | None:
    return record.content if record is not None else None
