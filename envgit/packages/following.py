# SPDX-License-Identifier: Apache-2.0
"""What follows from a choice of packages for files that no package has: accounts and alternatives.

Sources: passwd(5), group(5), update-alternatives(1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from envgit.packages.records.alternatives import AUTO, Alternative
from envgit.packages.records.model import Format, Record, arranged, indexed

_ALTERNATIVES = b"/etc/alternatives/"
_NUMBERED = 3
"""Fields up to the number, in passwd and group alike."""


def with_accounts(
    form: Format,
    base: bytes,
    other: bytes,
    numbers: Collection[bytes],
    names: Collection[bytes],
) -> tuple[bytes, ...]:
    """``base`` with those accounts of ``other`` that are wanted by number or by name, as far as it
    has neither; then their lines. Raises Declined."""
    here, there = form.split(base), form.split(other)
    known = {record.key for record in here}, {_number(record) for record in here}
    new = [
        record
        for record in there
        if record.key not in known[0]
        and (
            record.key in names or (_number(record) in numbers and _number(record) not in known[1])
        )
    ]
    if not new:
        return (base,)
    made = form.join(arranged(here, there, {**indexed(here), **indexed(new)}))
    return (made, *(record.content for record in new))


def _number(record: Record) -> bytes:
    """The number of a user or a group; shadow's third field is a day, which is nobody's number."""
    fields = record.content.split(b":")
    return fields[_NUMBERED - 1] if len(fields) in (4, 7) and fields[2].isdigit() else b""


def links(
    name: bytes, one: Alternative | None, former: Iterable[Alternative], current: bytes | None
) -> dict[bytes, bytes | None]:
    """Where the links of an alternative have to lead, by absolute path; None: there is no such.

    ``one`` None is an alternative that is gone; ``former`` is what it was and could have been, of
    whose links those must go that it has no longer; ``current`` is what is chosen so far.
    """
    found: dict[bytes, bytes | None] = {}
    for before in former:
        for link, outer in ((name, before.link), *before.slaves.items()):
            found[_ALTERNATIVES + link] = found[outer] = None
    if one is None:
        return found
    chosen = one.best if one.mode == AUTO or current not in one.choices else current
    if chosen is None:
        return found
    where = {name: one.link, **one.slaves}
    for link, target in one.links(name, chosen).items():
        found[_ALTERNATIVES + link] = target
        found[where[link]] = _ALTERNATIVES + link if target is not None else None
    return found
