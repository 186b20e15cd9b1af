# SPDX-License-Identifier: Apache-2.0
"""Numbers of system users and groups that two sides gave out by themselves.

Packages ask for "a user of that name" and get the next number that is free (adduser(8), useradd(8)
with ``-r``, sysusers.d(5)), so that two branches have one name with two numbers, or one number for
two names. Files belong to numbers: those of one side are given others, with everything that side
made. Only numbers from 100 to 999, which are nobody's by policy and are not of people (Debian
policy 9.2.2; login.defs(5), ``SYS_UID_MIN``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from envgit.layers.entry import Entry
from envgit.packages.records.model import lines_of

FIRST, LAST = 100, 999
_HALF = 500
_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
_ACL_VERSION, _ACL_USER, _ACL_GROUP = 2, 0x02, 0x08


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the numbers of one side become; ``names`` are users and groups whose number changes."""

    uids: Mapping[int, int] = field(default_factory=dict)
    gids: Mapping[int, int] = field(default_factory=dict)
    names: tuple[tuple[str, bytes, int, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uids or self.gids)

    def entry(self, entry: Entry, base: Entry | None) -> Entry:
        """A file of that side, whose owner, group and access lists it set itself."""
        uid, gid, xattrs = entry.uid, entry.gid, entry.xattrs
        if base is None or base.uid != uid:
            uid = self.uids.get(uid, uid)
        if base is None or base.gid != gid:
            gid = self.gids.get(gid, gid)
        if base is None or base.xattrs != xattrs:
            xattrs = tuple(
                (name, self._acl(value) if name in _ACLS else value) for name, value in xattrs
            )
        if (uid, gid, xattrs) == (entry.uid, entry.gid, entry.xattrs):
            return entry
        return replace(entry, uid=uid, gid=gid, xattrs=xattrs)

    def passwd(self, data: bytes, base: bytes) -> bytes:
        """That side's ``passwd``."""
        return self._rewritten(data, base, 7, {2: self.uids, 3: self.gids})

    def group(self, data: bytes, base: bytes) -> bytes:
        """That side's ``group``."""
        return self._rewritten(data, base, 4, {2: self.gids})

    def _rewritten(
        self, data: bytes, base: bytes, count: int, places: Mapping[int, Mapping[int, int]]
    ) -> bytes:
        known = set(lines_of(base))
        made = []
        for line in lines_of(data):
            parts = line.split(b":")
            if line not in known and len(parts) == count:
                for place, numbers in places.items():
                    number = _number(parts[place])
                    if number is not None and number in numbers:
                        parts[place] = b"%d" % numbers[number]
                line = b":".join(parts)
            made.append(line)
        return b"".join(made)

    def _acl(self, value: bytes) -> bytes:
        """An access list as the kernel keeps it (linux/posix_acl_xattr.h)."""
        if len(value) % 8 != 4 or struct.unpack_from("<I", value)[0] != _ACL_VERSION:
            return value
        made = [value[:4]]
        for start in range(4, len(value), 8):
            tag, bits, number = struct.unpack_from("<HHI", value, start)
            numbers = {_ACL_USER: self.uids, _ACL_GROUP: self.gids}.get(tag, {})
            made.append(struct.pack("<HHI", tag, bits, numbers.get(number, number)))
        return b"".join(made)


def reconciled(passwd: tuple[bytes, bytes, bytes], group: tuple[bytes, bytes, bytes]) -> Numbers:
    """What numbers of *theirs* become, of base, ours and theirs."""
    uids, users = _reconciled("user", passwd, 7)
    gids, groups = _reconciled("group", group, 4)
    return Numbers(uids, gids, (*users, *groups))


def moved(passwd: tuple[bytes, bytes, bytes], group: tuple[bytes, bytes, bytes]) -> Numbers:
    """What numbers of *base* are in ours: an earlier merge gave those names others. Without this
    whatever theirs deletes of them, as a revert does, would look as if ours had changed it."""
    return Numbers(_moved(passwd, 7), _moved(group, 4))


def _reconciled(
    kind: str, files: tuple[bytes, bytes, bytes], count: int
) -> tuple[dict[int, int], list[tuple[str, bytes, int, int]]]:
    base, ours, theirs = (_named(data, count) for data in files)
    taken = {number: name for name, number in ours.items()}
    used = {*base.values(), *ours.values(), *theirs.values()}
    numbers: dict[int, int] = {}
    said = []
    for name, number in theirs.items():
        if not FIRST <= number <= LAST or number in numbers:
            continue
        if name in base:
            # An earlier merge gave it another number here: what theirs makes follows.
            if base[name] == number and ours.get(name, number) != number:
                numbers[number] = ours[name]
            continue
        wanted: int | None = number
        if name in ours:
            wanted = ours[name]
        elif number in taken:
            wanted = _free(number, used)
        if wanted is not None and wanted != number:
            used.add(wanted)
            numbers[number] = wanted
            said.append((kind, name, number, wanted))
    return numbers, said


def _moved(files: tuple[bytes, bytes, bytes], count: int) -> dict[int, int]:
    base, ours, theirs = (_named(data, count) for data in files)
    return {
        number: ours[name]
        for name, number in base.items()
        if FIRST <= number <= LAST
        and ours.get(name, number) != number
        and theirs.get(name, number) == number
    }


def _named(data: bytes, count: int) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for line in lines_of(data):
        parts = line.rstrip(b"\n").split(b":")
        if len(parts) == count and (number := _number(parts[2])) is not None:
            found.setdefault(parts[0], number)
    return found


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 11 else None


def _free(number: int, used: Iterable[int]) -> int | None:
    """The next free number: adduser counts up from the first, useradd down from the last."""
    order = range(FIRST, LAST + 1) if number < _HALF else range(LAST, FIRST - 1, -1)
    known = set(used)
    return next((one for one in order if one not in known), None)
