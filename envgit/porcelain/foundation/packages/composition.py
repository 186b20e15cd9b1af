# SPDX-License-Identifier: Apache-2.0
"""How one state gets some of the packages of another: paths, entries of databases, and what follows
from them.

What is said of many packages in one file is put together by entry (envgit.packages.records); the
rest is taken or left as a whole. Accounts that the files need come along, and links of alternatives
follow what there is to choose from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from envgit.layers.apply import overlaid
from envgit.layers.compare import Change
from envgit.layers.entry import Entry, Kind, find_entry
from envgit.layers.ids import ChangesId
from envgit.layers.select import select
from envgit.packages import following, grouping, noise
from envgit.packages.changes import PackageChange
from envgit.packages.inventory import Inventory
from envgit.packages.model import PackageName, Unreadable, name_of, sharing
from envgit.packages.paths import resolver
from envgit.packages.records.alternatives import Alternative, Alternatives, parse
from envgit.packages.records.formats import format_for
from envgit.packages.records.logs import Log
from envgit.packages.records.model import Declined, Taken
from envgit.porcelain.foundation.merging import Combined, Side, write_files
from envgit.porcelain.foundation.repository import Repository

# Of no package: each is a group of its own, of which lines come along with files.
_USERS = ((b"etc/passwd", b"etc/shadow"), (b"etc/group", b"etc/gshadow"))
_ACCOUNTS = frozenset({*(path for pair in _USERS for path in pair), b"etc/subuid", b"etc/subgid"})
_PRIMARY_GROUP = 3
"""Of a line of passwd(5), the field of the group, counted from 0."""

_ALTERNATIVES, _LINKS = b"var/lib/dpkg/alternatives/", b"etc/alternatives/"


def is_shared(path: bytes) -> bool:
    """Whether a path is a database that holds entries of several packages."""
    found = None if path in _ACCOUNTS else format_for(path)
    return found is not None and not isinstance(found, Log)


def nobodys(database: bytes) -> str:
    """The class of noise that the entries of nobody in particular belong to."""
    return noise.class_of(database) or noise.MANAGERS


@dataclass(frozen=True, slots=True)
class Material:
    """Two states, and what differs between them taken apart."""

    repository: Repository
    base: Side
    other: Side
    changed: Sequence[Change]
    packages: Sequence[PackageChange]
    old: Inventory
    new: Inventory
    assigned: grouping.Assigned


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken from the other state: packages, classes of noise, paths (theirs included)."""

    names: frozenset[PackageName]
    noise: frozenset[str]
    paths: frozenset[bytes]


class Composition:
    """One choice. Law: of all there is, the other state; of nothing, the base."""

    def __init__(self, material: Material, choice: Choice) -> None:
        self._have = material
        self._choice = choice
        self._differ = {change.path: change for change in material.changed}
        self._found: dict[bytes, Change] = {}
        self._made: dict[bytes, tuple[Entry, bytes | None]] = {}
        self._composed: dict[bytes, bytes] = {}

    def combined(self) -> Combined:
        """The state."""
        have, base, other = self._have, self._have.base, self._have.other
        taken = self._taken()
        scratch: ChangesId | None = None
        places: dict[bytes, bytes] = {}
        if self._made:
            files = [(path, entry, data) for path, (entry, data) in self._made.items()]
            scratch, places = write_files(have.repository, files)
        theirs = {change.path for change in taken}

        def source(path: bytes) -> bytes | None:
            if path in places:
                return places[path]
            opened = (other if path in theirs else base).contents()
            return opened.find(path) if opened is not None else None

        return Combined(
            tree=overlaid(base.tree, select(base.tree, other.tree, taken)),
            source=source,
            conflicts=(),
            merged=tuple(places),
            messages=(),
            scratch=scratch,
        )

    def _taken(self) -> list[Change]:
        """The changes to make, in order."""
        shared, implied = set(self._have.assigned.shared), self._have.assigned.implied
        found = self._found
        for change in self._have.changed:
            path = change.path
            if path in shared:
                made = self._database(change)
                if made is not None:
                    found[path] = made
            elif path in self._choice.paths and path not in implied:
                found[path] = change
        if found:
            self._bring_accounts()
            self._settle_alternatives()
        # A directory that goes does so with the last of what is in it.
        stay = {
            folder
            for path, change in self._differ.items()
            if path not in implied
            and change.old is not None
            and (path not in found or found[path].new is not None)
            for folder in grouping.above(path)
        }
        for path in implied:
            change = self._differ[path]
            if change.new is None and path not in stay:
                found[path] = change
        return [found[path] for path in sorted(found)]

    # -- databases --------------------------------------------------------------------------------

    def _database(self, change: Change) -> Change | None:
        """What becomes of a database: its change, with those entries that were chosen."""
        path, old, new = change.path, change.old, change.new
        taken = self._taken_of(path)
        whole = change if self._called(path, self._choice.names) else None
        form = format_for(path)
        if form is None or not all(one is None or one.kind == Kind.FILE for one in (old, new)):
            return whole
        if old is not None and new is not None and old.sha256 == new.sha256:
            return change if taken("") else None
        try:
            here, there = (
                self._read(self._have.old, path, old),
                self._read(self._have.new, path, new),
            )
            data = form.compose(here, there, taken)
        except (Declined, Unreadable):
            return whole
        if data == here and (data or old is None or new is not None):
            return None
        if data == there:
            return change
        if not data and isinstance(form, Alternatives):
            self._composed[path] = b""
            return Change(path, old, None)
        self._composed[path] = data
        return self._make(change, data)

    def _make(self, change: Change, data: bytes) -> Change:
        """A file that neither state has, like the one that the other state, or the base, has."""
        like = change.new if change.new is not None else change.old
        assert like is not None  # it is in one of the two
        digest = hashlib.sha256(data).hexdigest()
        entry = replace(like, size=len(data), sha256=digest, hardlinks=())
        self._made[change.path] = entry, data
        return Change(change.path, change.old, entry)

    def _read(self, inventory: Inventory, path: bytes, entry: Entry | None) -> bytes:
        return inventory.files.read(path) if entry is not None else b""

    def _taken_of(self, database: bytes) -> Taken:
        """Whether entries of an owner, as a database names it, come from the other side."""
        choice, have = self._choice, self._have
        unowned = nobodys(database) in choice.noise
        link = _LINKS + database.removeprefix(_ALTERNATIVES)
        if link in self._differ:
            unowned = link in choice.paths  # an alternative's mode goes with what is chosen
        mine = self._called(database, choice.names)
        known = self._called(database, (name_of(one.package) for one in have.packages))

        def taken(owner: str) -> bool:
            if owner.startswith("/"):
                path = os.fsencode(owner)
                index = have.assigned.owner_of(path)
                if index is not None:
                    return name_of(have.packages[index].package) in choice.names
                path = path.strip(b"/")
                return path in choice.paths if path in self._differ else unowned
            return owner in mine if owner in known else unowned

        return taken

    def _called(self, database: bytes, names: Iterable[PackageName]) -> frozenset[str]:
        """What a database calls those of the packages that it has entries of."""
        managers = sharing(database)
        return frozenset(one.name for one in names if one.manager in managers)

    # -- what follows -----------------------------------------------------------------------------

    def _bring_accounts(self) -> None:
        """Take the users and groups along that files belong to and that nobody knows here."""
        if not any(path in self._differ for pair in _USERS for path in pair):
            return
        entries = [change.new for change in self._found.values() if change.new is not None]
        wanted = [{b"%d" % one.uid for one in entries}, {b"%d" % one.gid for one in entries}]
        for kind, (path, secrets) in enumerate(_USERS):
            lines = self._with_accounts(path, numbers=wanted[kind])
            if not kind:
                wanted[1].update(line.split(b":")[_PRIMARY_GROUP] for line in lines)
            self._with_accounts(secrets, names={line.partition(b":")[0] for line in lines})

    def _with_accounts(
        self,
        path: bytes,
        *,
        numbers: Collection[bytes] = (),
        names: Collection[bytes] = (),
    ) -> Sequence[bytes]:
        """Add accounts to a file that stays as it is otherwise: the lines."""
        change = self._differ.get(path)
        form = format_for(path)
        if change is None or path in self._found or form is None:
            return ()
        old, new = change.old, change.new
        if old is None or new is None or not old.kind == new.kind == Kind.FILE:
            return ()
        with suppress(Declined, Unreadable):
            here, there = (self._read(side, path, old) for side in self._sides)
            made, *lines = following.with_accounts(form, here, there, numbers, names)
            if lines:
                self._found[path] = self._make(replace(change, new=old), made)
            return lines
        return ()

    def _settle_alternatives(self) -> None:
        """Let the links of alternatives be those of the state that has them as they are now, or
        lead to what is best where neither has."""
        for path in self._have.assigned.shared:
            if not path.startswith(_ALTERNATIVES):
                continue
            name = path[len(_ALTERNATIVES) :]
            former = [one for side in self._sides if (one := self._alternative(side, path))]
            if path in self._composed:
                data, current = self._composed[path], self._entry(_LINKS + name)
                target = current.target if current is not None else None
                made = parse(data) if data else None
                for link, to in following.links(name, made, former, target).items():
                    self._link(link, to)
                continue
            for link in following.links(name, None, former, None):
                there = self._real(link)
                if there is not None and there in self._differ:
                    self._found.pop(there, None)
                    if path in self._found:
                        self._found[there] = self._differ[there]

    @property
    def _sides(self) -> tuple[Inventory, Inventory]:
        return self._have.old, self._have.new

    def _alternative(self, side: Inventory, path: bytes) -> Alternative | None:
        with suppress(Declined, Unreadable):
            return parse(side.files.read(path))
        return None

    def _link(self, written: bytes, target: bytes | None) -> None:
        """Let a link lead somewhere, or be gone; what is there and is no such link stays."""
        path = self._real(written)
        if path is None:
            return
        here, there = (find_entry(side.files.tree, path) for side in self._sides)
        now = self._entry(path)
        if now is not None and now.kind != Kind.SYMLINK:
            return
        if target is None:
            ours = path.startswith(_LINKS) or (
                now is not None and now.target.startswith(b"/" + _LINKS)
            )
            if now is None or not ours:
                return
            self._found.pop(path, None)
            if here is not None:
                self._found[path] = Change(path, here, None)
            return
        if now is not None and now.target == target:
            return
        self._found.pop(path, None)
        if here is not None and here.target == target:
            return
        made = there if there is not None and there.target == target else None
        if made is None:
            like = now or here or there or Entry(Kind.SYMLINK, 0o777)
            made = replace(like, target=target, hardlinks=())
            self._made[path] = made, None
        self._found[path] = Change(path, here, made)

    def _real(self, written: bytes) -> bytes | None:
        return resolver(self._have.old.files).resolve(written)

    def _entry(self, path: bytes) -> Entry | None:
        """What is at a path so far."""
        if path in self._found:
            return self._found[path].new
        return find_entry(self._have.old.files.tree, path)
