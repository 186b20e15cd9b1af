# SPDX-License-Identifier: Apache-2.0
"""One alternative of update-alternatives(1): its links, and the choices for them.

The file (dpkg's lib/dpkg and utils/update-alternatives.c): the mode, the master's link; name and
link of each slave; an empty line; of each choice its path, its priority and, a line for each slave,
the slave's path or nothing; an empty line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envgit.packages.records.model import (
    Declined,
    Format,
    Record,
    Sides,
    Taken,
    Verdict,
    pick,
)

AUTO, MANUAL = b"auto", b"manual"


@dataclass(slots=True)
class Choice:
    """A choice: its priority, and the path of each slave that it has."""

    priority: int
    slaves: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Alternative:
    """An alternative; ``slaves`` are links by name."""

    mode: bytes
    link: bytes
    slaves: dict[bytes, bytes] = field(default_factory=dict)
    choices: dict[bytes, Choice] = field(default_factory=dict)

    @property
    def best(self) -> bytes | None:
        """The choice of the highest priority; of several the first."""
        return max(self.choices, key=lambda path: self.choices[path].priority, default=None)

    def links(self, name: bytes, chosen: bytes) -> dict[bytes, bytes | None]:
        """Where the links of ``/etc/alternatives`` lead with ``chosen``; None: no such link."""
        choice = self.choices[chosen]
        return {name: chosen, **{slave: choice.slaves.get(slave) for slave in self.slaves}}


def parse(data: bytes) -> Alternative:
    """Read it. Raises Declined."""
    lines = data.split(b"\n")
    rows = iter(lines)
    try:
        found = Alternative(next(rows), next(rows))
        while name := next(rows):
            if name in found.slaves:
                raise Declined("two slaves have one name")
            found.slaves[name] = next(rows)
        while path := next(rows):
            if path in found.choices:
                raise Declined("two choices have one path")
            choice = Choice(int(next(rows)[:20]))
            for name in found.slaves:
                if value := next(rows):
                    choice.slaves[name] = value
            found.choices[path] = choice
    except (StopIteration, ValueError) as error:
        raise Declined("it is no alternative of update-alternatives") from error
    if found.mode not in (AUTO, MANUAL) or render(found) != data:
        raise Declined("it is not as update-alternatives writes it")
    return found


def render(one: Alternative) -> bytes:
    """The file; of what was parsed, the same bytes."""
    lines = [one.mode, one.link]
    for name, link in one.slaves.items():
        lines += [name, link]
    lines.append(b"")
    for path, choice in one.choices.items():
        lines += [path, b"%d" % choice.priority]
        lines += [choice.slaves.get(name, b"") for name in one.slaves]
    return b"\n".join([*lines, b"", b""])


class Alternatives(Format):
    """A file of ``var/lib/dpkg/alternatives``: a record for its head and one for each choice.

    A choice has another number of lines for another set of slaves, so that its record is a form
    of its own (``Alternative.render`` of just that choice), and ``join`` is by parsing.
    """

    noun = "the alternative"

    def split(self, data: bytes) -> list[Record]:
        """The head and each choice; not the bytes of the file."""
        if not data:
            return []
        one = parse(data)
        found = [Record(b"", render(Alternative(one.mode, one.link, one.slaves)))]
        for path, choice in one.choices.items():
            slaves = {name: one.slaves[name] for name in choice.slaves}
            alone = Alternative(AUTO, b"", slaves, {path: choice})
            owner = path.decode("utf-8", "surrogateescape")
            found.append(Record(path, render(alone), (owner,)))
        return found

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """See `Format.compose`; either may be empty, and without a choice left the result is."""
        here, there = (parse(data) if data else None for data in (base, other))
        head = here or there
        if head is None:
            return other
        mine = here.choices if here is not None else {}
        its = there.choices if there is not None else {}
        chosen: set[bool] = set()
        if here and there and _head(here) != _head(there):
            chosen.add(taken(""))
            head = there if taken("") else here
        choices: dict[bytes, Choice] = {}
        for path in sorted({*mine, *its}):
            one, two = mine.get(path), its.get(path)
            if one != two:
                takes = taken(path.decode("utf-8", "surrogateescape"))
                chosen.add(takes)
                one = two if takes else one
            if one is not None:
                choices[path] = one
        if chosen <= {True}:
            return other
        if chosen == {False}:
            return base
        slaves = dict(head.slaves)
        for side in filter(None, (here, there)):
            used = {name for one in choices.values() for name in one.slaves}
            slaves.update((name, link) for name, link in side.slaves.items() if name in used)
        made = Alternative(head.mode, head.link, dict(sorted(slaves.items())), choices)
        return render(made) if choices else b""

    def join(self, records: Sequence[Record]) -> bytes:
        """The alternative with these choices, sorted as update-alternatives sorts them; empty,
        when there is no choice."""
        made: Alternative | None = None
        for record in sorted(records, key=lambda one: one.key):
            one = parse(record.data)
            if made is None:
                made = one
                if record.key:
                    raise Declined("an alternative has lost its head")
                continue
            for name, link in one.slaves.items():
                made.slaves.setdefault(name, link)
            made.choices.update(one.choices)
        if made is None or not made.choices:
            return b""
        made.slaves = dict(sorted(made.slaves.items()))
        made.choices = dict(sorted(made.choices.items()))
        return render(made)

    def _merged(self, key: bytes, sides: Sides, verdict: Verdict) -> Record | None:
        """The head is there as long as a choice is."""
        if not key and not (sides.ours and sides.theirs):
            return sides.ours.get(key) or sides.theirs.get(key)
        return super()._merged(key, sides, verdict)

    def blend(
        self, base: Record | None, ours: Record, theirs: Record, verdict: Verdict
    ) -> bytes | None:
        """Mode and links of the head by themselves; the slaves of both."""
        if ours.key:
            return None
        mine, its = parse(ours.data), parse(theirs.data)
        old = parse(base.data) if base is not None else Alternative(AUTO, mine.link)
        mode, clear = pick(old.mode, mine.mode, its.mode)
        link, clear_link = pick(old.link, mine.link, its.link)
        if not (clear and clear_link) or mode is None or link is None:
            return None
        slaves = _slaves(old.slaves, mine.slaves, its.slaves)
        return None if slaves is None else render(Alternative(mode, link, slaves))


def _head(one: Alternative) -> tuple[object, ...]:
    return one.mode, one.link, one.slaves


def _slaves(
    base: Mapping[bytes, bytes], ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes]
) -> dict[bytes, bytes] | None:
    made: dict[bytes, bytes] = {}
    for name in sorted({*base, *ours, *theirs}):
        value, clear = pick(base.get(name), ours.get(name), theirs.get(name))
        if not clear:
            return None
        if value is not None:
            made[name] = value
    return made
