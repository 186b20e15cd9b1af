# SPDX-License-Identifier: Apache-2.0
"""Files of stanzas: dpkg's status (deb-control(5)), apt's extended_states, debconf's databases
(debconf-devel(7), Debconf::DbDriver::File), apk's installed (apk-package(5)).

A stanza ends with an empty line. Within one a field is a line and those after it that begin with a
space or a tab.
"""

from __future__ import annotations

import re

from envgit.packages.records.model import Declined, Format, Record, Verdict, merge_set, pick

_MOST = 2_000_000
"""Stanzas of a file, and lines of a stanza; nobody has as many."""
# Of these the parts are a set, and each side may have added to it.
_SETS = {b"owners", b"flags", b"triggers-pending", b"triggers-awaited"}


def stanzas(data: bytes) -> list[bytes]:
    """The stanzas with the empty lines after each."""
    found: list[bytes] = []
    start = 0
    while start < len(data):
        if len(found) > _MOST:
            raise Declined("too many stanzas")
        end = data.find(b"\n\n", start)
        if end < 0:
            end = len(data)
        else:
            end += 2
            while data[end : end + 1] == b"\n":
                end += 1
        found.append(data[start:end])
        start = end
    return found


def fields(stanza: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Of each field in small letters, its name and its value as written."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    name = b""
    for line in stanza.rstrip(b"\n").split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if not name:
                raise Declined("a stanza begins with a continued line")
            known, value = found[name]
            found[name] = known, value + b"\n" + line
            continue
        known, colon, value = line.partition(b":")
        if not colon or not known or known.lower() in found:
            raise Declined("a line is no field, or a field is there twice")
        name = known.lower()
        found[name] = known, value
    return found


class Stanzas(Format):
    """Stanzas that some fields name."""

    end = b"\n\n"

    def __init__(self, *keys: bytes, owner: bytes = b"", noun: str = "entry") -> None:
        self.keys = [_field(key) for key in keys]
        self.owner = _field(owner or keys[0])
        self.noun = noun

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        return [self._record(stanza) for stanza in stanzas(data)]

    def _record(self, stanza: bytes) -> Record:
        names = []
        for pattern in self.keys:
            found = pattern.search(stanza)
            names.append(found[1].strip() if found is not None else b"")
        if not names[0]:
            raise Declined("a stanza has no name")
        owner = self.owner.search(stanza)
        owners = owner[1].decode("utf-8", "replace").split(",") if owner is not None else [""]
        key = b":".join(name for name in names if name)
        return Record(key, stanza, tuple(one.strip() for one in owners))

    def blend(
        self, base: Record | None, ours: Record, theirs: Record, verdict: Verdict
    ) -> bytes | None:
        """By field, where both sides mean the same version."""
        old = fields(base.data) if base is not None else {}
        mine, its = fields(ours.data), fields(theirs.data)
        if mine.get(b"version") != its.get(b"version"):
            return None
        made: list[bytes] = []
        for name in (*mine, *(name for name in its if name not in mine)):
            values = [side[name][1] if name in side else None for side in (old, mine, its)]
            value, clear = pick(*values)
            if not clear:
                value = _blended(name, *values)
                if value is None:
                    return None
            if value is not None:
                made.append((mine.get(name) or its[name])[0] + b":" + value)
        return b"\n".join(made) + ours.data[len(ours.content) :]


def _blended(
    name: bytes, base: bytes | None, ours: bytes | None, theirs: bytes | None
) -> bytes | None:
    """A field that both sides changed, where it is a set or a list of lines."""
    if name in _SETS:
        comma = b"," if name in (b"owners", b"flags") else None
        parts = [
            [part.strip() for part in (value or b"").split(comma)] for value in (base, ours, theirs)
        ]
        glue = b", " if comma else b" "
        return b" " + glue.join(part for part in merge_set(*parts) if part)
    if name == b"value":
        answer = _grown(base, ours, theirs)
        return None if answer is None else b" " + answer
    if name == b"variables":
        return _variables(*map(_assigned, (base, ours, theirs)))
    if name == b"conffiles":
        before, mine, its = (_conffiles(value) for value in (base, ours, theirs))
        made: list[bytes] = []
        for path in dict.fromkeys((*mine, *its)):
            value, clear = pick(before.get(path), mine.get(path), its.get(path))
            if not clear:
                return None
            if value is not None:
                made.append(b"\n " + path + b" " + value)
        return b"".join(made)
    return None


def _grown(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> bytes | None:
    """An answer that is a list to which each side added (debconf's multiselect): the profiles of
    pam-auth-update, the locales to be made. None: it is no such thing."""
    parts = [
        [part.strip() for part in (value or b"").split(b",")] for value in (base, ours, theirs)
    ]
    sets = [set(part) for part in parts]
    if not (base or b"").strip() or not sets[0] <= sets[1] & sets[2]:
        return None
    return b", ".join(merge_set(*parts))


def _variables(
    base: dict[bytes, bytes], ours: dict[bytes, bytes], theirs: dict[bytes, bytes]
) -> bytes:
    """What a question's text is filled with: whoever asks it sets all of that anew."""
    made = []
    for name in dict.fromkeys((*ours, *theirs)):
        sides = base.get(name), ours.get(name), theirs.get(name)
        value, clear = pick(*sides)
        if not clear:
            value = _grown(*sides) or value
        if value is not None:
            made.append(b"\n " + name + b" = " + value)
    return b"".join(made)


def _assigned(value: bytes | None) -> dict[bytes, bytes]:
    lines = (line.partition(b"=") for line in (value or b"").split(b"\n")[1:])
    return {name.strip(): text.strip() for name, _, text in lines}


def _conffiles(value: bytes | None) -> dict[bytes, bytes]:
    lines = (value or b"").split(b"\n")[1:]
    return {name: rest for name, _, rest in (line.strip().partition(b" ") for line in lines)}


def _field(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?mi)^" + re.escape(name) + rb":([^\n]*)$")
