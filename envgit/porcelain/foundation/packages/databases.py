# SPDX-License-Identifier: Apache-2.0
"""Merges files that are not texts to be merged by line: databases by entry, logs, caches by name.

What is decided of a path as a whole (`Settling`) comes first; then a driver merges by entry what
both sides changed. Formats and reasons are in envgit.packages.records.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from envgit.errors import EnvgitError
from envgit.layers.entry import Directory, Entry, Kind, find_directory, find_entry
from envgit.layers.fields import content_of
from envgit.layers.resolution import Driver, Reader, Resolution, Sides
from envgit.packages.records import Clash, Declined, Format, derived, format_for
from envgit.packages.records.alternatives import AUTO, Alternative, parse
from envgit.packages.records.derived import DROP
from envgit.packages.records.logs import Log
from envgit.packages.records.numbers import Numbers
from envgit.porcelain.foundation.packages.disputes import Plan
from envgit.porcelain.foundation.packages.renumber import GROUP, PASSWD
from envgit.porcelain.foundation.plaintext import plain

ENTRIES = "entries"
"""The kind of a conflict between entries of one file."""

_ALTERNATIVES, _LINKS = b"var/lib/dpkg/alternatives", b"etc/alternatives"
# rpm's lib/backend: bdb_ro.c, ndb/glue.c
_RPM_FOLDERS, _CLOSED = (b"usr/lib/sysimage/rpm", b"var/lib/rpm"), (b"Packages", b"Packages.db")
_OVERRIDES = b"var/lib/dpkg/statoverride"
_TRIGGERS = b"var/lib/dpkg/triggers/"
# What is the same absent as empty: who empties it may delete it.
_OPTIONAL = (_OVERRIDES, b"var/lib/dpkg/diversions", b"var/lib/apt/extended_states")
# apt's name of a list: the archive's address, _dists_, the suite, and what it lists.
_LIST = re.compile(rb"(var/lib/apt/lists/(?:[^/]*_)?dists_[^/_]+)_[^/]+")
_LARGEST = 1 << 20
_RELEASES = (b"_InRelease", b"_Release")

Read = Callable[[str, bytes, int], bytes | None]
"""The bytes of a path of ``base``, ``ours`` or ``theirs``, at most so many; else None."""


def rewriting(read: Read, numbers: Numbers, moved: Numbers) -> Read:
    """``read`` with the numbers that users and groups of *theirs* are given, and of *base* those
    that ours has for what theirs deleted."""
    if not numbers and not moved:
        return read

    def rewritten(side: str, path: bytes, limit: int) -> bytes | None:
        data = read(side, path, limit)
        if data is None or side == "ours" or path not in (PASSWD, GROUP):
            return data
        try:
            other = read("base" if side == "theirs" else "theirs", path, limit) or b""
        except EnvgitError:
            other = b""  # both sides added the file
        given = numbers if side == "theirs" else moved
        return given.passwd(data, other) if path == PASSWD else given.group(data, other)

    return rewritten


def driver(
    plan: Plan, labels: tuple[str, str], read: Read, favour: str | None, by_line: Driver
) -> Driver:
    """Merges by entry the files whose format is known.

    What is not in that format is merged ``by_line``, which favours no side of a hunk: there may be
    entries in it of packages whose files come from the other.
    """

    def drive(sides: Sides, reader: Reader) -> Resolution | None:
        ours, theirs = sides.ours, sides.theirs
        if ours is None or theirs is None or {ours.kind, theirs.kind} != {Kind.FILE}:
            return None
        try:
            return _by_entry(sides, plan, labels, read, favour)
        except Declined as error:
            made = by_line(sides, reader)
            if made is None or favour is None:
                return made
            if made.content is not None and made.conflict is None:
                return made  # of both
            name = sides.path.decode("utf-8", "backslashreplace")
            what = f"that of {labels[made.entry == theirs]} is taken as a whole"
            if made.conflict is not None:
                what = f"-X {favour} would lose entries"
            said = f"warning: {name}: {plain(error.message)}; {what}"
            return replace(made, messages=(*made.messages, said))

    return drive


def _by_entry(
    sides: Sides, plan: Plan, labels: tuple[str, str], read: Read, favour: str | None
) -> Resolution | None:
    """A file merged by entry; None: it has none. Raises Declined."""
    form, ours = format_for(sides.path), sides.ours
    if form is None or ours is None:
        return None
    content, clashes = _entries(form, sides, plan, read, favour)
    name = sides.path.decode("utf-8", "backslashreplace")
    said = tuple(f"CONFLICT ({ENTRIES}): {_words(one, labels)} ({name})" for one in clashes)
    sha256 = hashlib.sha256(content).hexdigest()
    same = next((one for one in (ours, sides.theirs) if one and one.sha256 == sha256), None)
    return Resolution(
        same or ours,
        content if same is None else None,
        ENTRIES if clashes else None,
        (f"Auto-merging {name}", *said),
    )


def _merged(
    form: Format, sides: Sides, plan: Plan, read: Read
) -> tuple[bytes, tuple[Clash, ...]] | None:
    """The merged content, where neither side is favoured; None: it cannot be."""
    try:
        return _entries(form, sides, plan, read, None)
    except Declined:
        return None


def _entries(
    form: Format, sides: Sides, plan: Plan, read: Read, favour: str | None
) -> tuple[bytes, tuple[Clash, ...]]:
    """The merged content; a side that is not there has no entries. Raises Declined."""
    contents: list[bytes | None] = []
    places = (("base", sides.base), ("ours", sides.ours), ("theirs", sides.theirs))
    for name, entry in places:
        if entry is None or entry.kind != Kind.FILE:
            contents.append(None)
            continue
        data = read(name, sides.path, form.limit)
        if data is None:
            raise Declined(f"more than {form.limit} bytes")
        contents.append(data)
    if sides.path.endswith(b".sqlite") and _has_log(sides.path, read):
        raise Declined("it is not whole without its log")
    base, ours, theirs = contents
    return form.merge(base, ours or b"", theirs or b"", plan.decide(sides.path), favour)


def _has_log(path: bytes, read: Read) -> bool:
    """Whether a database of sqlite is not whole without the log beside it on some side."""
    for side in ("base", "ours", "theirs"):
        try:
            if read(side, path + b"-wal", 0) != b"":
                return True
        except EnvgitError:
            continue  # it has none
    return False


def _words(clash: Clash, labels: tuple[str, str]) -> str:
    return plain(clash.what.format(ours=labels[0], theirs=labels[1]))


class Settling:
    """What is decided of whole paths."""

    def __init__(
        self,
        trees: tuple[Directory | None, Directory, Directory],
        plan: Plan,
        read: Read,
        labels: tuple[str, str],
        favour: str | None,
        numbers: Numbers,
    ) -> None:
        self._trees = dict(zip(("base", "ours", "theirs"), trees, strict=True))
        self._plan = plan
        self._read = read
        self._labels = labels
        self._favour = favour
        # With other numbers these are nobody's as they are, even where one side alone changed them.
        self._remerged = (PASSWD, GROUP) if numbers else ()

    @property
    def paths(self) -> Iterable[bytes]:
        """Links of alternatives that have to be set though no side changed them."""
        return self._alternatives.keys()

    def __call__(self, sides: Sides) -> Resolution | None:
        """See `envgit.layers.resolution.Settler`."""
        path, base, ours, theirs = sides.path, sides.base, sides.ours, sides.theirs
        if path in self._alternatives:
            return self._alternatives[path]
        if ours is not None and theirs is not None and Kind.DIR in (ours.kind, theirs.kind):
            return self._directory(sides)
        side = self._plan.pinned.get(path)
        if side is not None:
            return Resolution({"base": base, "ours": ours, "theirs": theirs}[side])
        if path in self._remerged and ours is not None and theirs is not None:
            with suppress(Declined):
                return _by_entry(sides, self._plan, self._labels, self._read, self._favour)
        folder, _, stem = path.rpartition(b"/")
        if folder in self._closed:
            return self._closed_database(sides, stem in _CLOSED)
        before, mine, its = map(content_of, (base, ours, theirs))
        if mine == its or before in (mine, its):
            return None
        listed = _LIST.fullmatch(path)
        if listed is not None and (newer := self._newer_lists(listed[1])) is not None:
            return Resolution(ours if newer == "ours" else theirs)
        known = derived(path)
        if known is not None:
            if known.action == DROP:
                return Resolution(None)
            said: tuple[str, ...] = ()
            if known.remake and ours is not None and theirs is not None:
                name = path.decode("utf-8", "backslashreplace")
                said = (f"warning: {name}: {known.reason}; '{known.remake}' mends it",)
            return Resolution(ours, messages=said)
        if ours is None or theirs is None:
            return self._one_sided(sides)
        return None

    def _closed_database(self, sides: Sides, is_main: bool) -> Resolution:
        """A file of a database that nothing but rpm writes: all of them are one side's."""
        side = sides.theirs if self._favour == "theirs" else sides.ours
        if not is_main or self._favour is not None:
            return Resolution(side)
        name = sides.path.decode("utf-8", "backslashreplace")
        text = (
            f"CONFLICT ({ENTRIES}): {name} is a database that rpm alone can write, changed in"
            f" {self._labels[0]} and {self._labels[1]}; that of {self._labels[0]} is left"
        )
        return Resolution(side, conflict=ENTRIES, messages=(text,))

    @cached_property
    def _closed(self) -> set[bytes]:
        """The folders of databases of Berkeley DB or ndb that both sides changed."""
        found = set()
        for folder in _RPM_FOLDERS:
            for name in _CLOSED:
                path = folder + b"/" + name
                base, ours, theirs = (
                    content_of(self._file(side, path)) for side in ("base", "ours", "theirs")
                )
                if ours != theirs and base not in (ours, theirs):
                    found.add(folder)
        return found

    def _directory(self, sides: Sides) -> Resolution | None:
        """A directory whose owner or mode both changed: as that side's administrator or package
        wants it who told dpkg so (dpkg-statoverride(1))."""
        base, ours, theirs = sides.base, sides.ours, sides.theirs
        if base in (ours, theirs) or ours == theirs:
            return None
        wanted = [sides.path in overrides for overrides in self._overrides]
        if wanted[0] == wanted[1]:
            return None
        return Resolution(ours if wanted[0] else theirs)

    @cached_property
    def _overrides(self) -> tuple[set[bytes], set[bytes]]:
        """The paths of which dpkg is told owner and mode, on our side and theirs."""
        found: tuple[set[bytes], set[bytes]] = (set(), set())
        for side, paths in zip(("ours", "theirs"), found, strict=True):
            data = self._read(side, _OVERRIDES, _LARGEST) if self._file(side, _OVERRIDES) else None
            for line in (data or b"").splitlines():
                path = self._resolve(line.split(b" ", 3)[-1])
                if path is not None:
                    paths.add(path)
        return found

    def _one_sided(self, sides: Sides) -> Resolution | None:
        """What one side deleted and the other changed: a log stays; of a list that is deleted with
        its last entry, as of those who wait for a trigger, what is left of it."""
        kept = sides.ours if sides.ours is not None else sides.theirs
        assert kept is not None
        form = format_for(sides.path)
        if isinstance(form, Log):
            return Resolution(kept)
        if form is None or kept.kind != Kind.FILE:
            return None
        if not sides.path.startswith(_TRIGGERS) and sides.path not in _OPTIONAL:
            return None
        made = _merged(form, sides, self._plan, self._read)
        if made is None or made[1]:
            return None
        return Resolution(kept, made[0]) if made[0] else Resolution(None)

    def _newer_lists(self, prefix: bytes) -> str | None:
        """Of apt's lists of one suite all come from one side: they refer to one another."""
        ours, theirs = (
            next((one for end in _RELEASES if (one := self._find(side, prefix + end))), None)
            for side in ("ours", "theirs")
        )
        if ours is None or theirs is None:
            return None
        # apt gives a list the time at which its archive made it.
        return "theirs" if theirs.mtime > ours.mtime else "ours"

    def _find(self, side: str, path: bytes) -> Entry | None:
        tree = self._trees[side]
        return find_entry(tree, path) if tree is not None else None

    # -- alternatives -----------------------------------------------------------------------

    @cached_property
    def _alternatives(self) -> dict[bytes, Resolution]:
        """The files and links of alternatives that both sides changed."""
        found: dict[bytes, Resolution] = {}
        for name in self._contested():
            path = _ALTERNATIVES + b"/" + name
            sides = Sides(path, *(self._file(side, path) for side in ("base", "ours", "theirs")))
            form = format_for(path)
            made = _merged(form, sides, self._plan, self._read) if form is not None else None
            kept = sides.ours if sides.ours is not None else sides.theirs
            if made is None or made[1] or kept is None:
                continue
            content = made[0]
            found[path] = Resolution(kept, content) if content else Resolution(None)
            merged = self._parsed(content, path)
            if merged is not None and merged.mode == AUTO:
                found.update(self._links(name, merged))
        return found

    def _parsed(self, content: bytes, path: bytes) -> Alternative | None:
        """The merged alternative; of one that has no choice left its links, without choices."""
        try:
            if content:
                return parse(content)
            made = Alternative(AUTO, b"")
            for side in ("ours", "theirs"):
                data = self._read(side, path, _LARGEST) if self._file(side, path) else None
                if data is not None:
                    one = parse(data)
                    made.link = made.link or one.link
                    made.slaves.update(one.slaves)
        except Declined:
            return None
        return made

    def _contested(self) -> list[bytes]:
        """The alternatives whose files both sides changed, differently."""
        folders = {
            side: find_directory(tree, _ALTERNATIVES) if tree is not None else None
            for side, tree in self._trees.items()
        }
        names = {
            side: set(folder.names()) if folder is not None else set()
            for side, folder in folders.items()
        }
        contested = []
        for name in sorted(names["ours"] | names["theirs"]):
            path = _ALTERNATIVES + b"/" + name
            base, ours, theirs = (
                content_of(self._find(side, path)) if name in names[side] else None
                for side in ("base", "ours", "theirs")
            )
            if ours != theirs and base not in (ours, theirs):
                contested.append(name)
        return contested

    def _file(self, side: str, path: bytes) -> Entry | None:
        entry = self._find(side, path)
        return entry if entry is not None and entry.kind == Kind.FILE else None

    def _links(self, name: bytes, merged: Alternative) -> dict[bytes, Resolution]:
        """All links as they are on the side that has the best choice chosen; made, where none
        has."""
        found: dict[bytes, Resolution] = {}
        best = merged.best
        wanted = dict.fromkeys((name, *merged.slaves))
        if best is not None:
            wanted = merged.links(name, best)
        where = {name: merged.link, **merged.slaves}
        chosen = next(
            (
                side
                for side in ("ours", "theirs")
                if (link := self._find(side, _LINKS + b"/" + name)) is not None
                and link.target == best
            ),
            None,
        )
        for slave, target in wanted.items():
            path = _LINKS + b"/" + slave
            outer = self._resolve(where[slave])
            if chosen is not None:
                found[path] = Resolution(self._find(chosen, path))
            else:
                found[path] = Resolution(self._made(path, target))
            if outer is not None and self._is_ours(outer, slave):
                there = self._find(chosen, outer) if chosen is not None else None
                if chosen is None and target is not None:
                    there = self._made(outer, b"/" + path)
                found[outer] = Resolution(there)
        return found

    def _made(self, path: bytes, target: bytes | None) -> Entry | None:
        """A link that no side has, like one of them."""
        if target is None:
            return None
        like = self._find("ours", path) or self._find("theirs", path)
        like = like if like is not None and like.kind == Kind.SYMLINK else None
        like = like or Entry(Kind.SYMLINK, 0o777)
        return replace(like, target=target, hardlinks=())

    def _is_ours(self, path: bytes, link: bytes) -> bool:
        """Whether what is at ``path`` is the link of an alternative on each side that has it."""
        entries = [self._find(side, path) for side in ("ours", "theirs")]
        there = [entry for entry in entries if entry is not None]
        return bool(there) and all(
            entry.kind == Kind.SYMLINK and entry.target == b"/" + _LINKS + b"/" + link
            for entry in there
        )

    def _resolve(self, link: bytes) -> bytes | None:
        """A path of update-alternatives in the tree: ``/bin`` may be a link to ``usr/bin``."""
        path = posixpath.normpath(link).lstrip(b"/")
        first, slash, rest = path.partition(b"/")
        above = self._find("ours", first)
        if above is not None and above.kind == Kind.SYMLINK and slash:
            path = posixpath.normpath(posixpath.join(above.target, rest)).lstrip(b"/")
        return None if not path or path.startswith(b"..") else path
