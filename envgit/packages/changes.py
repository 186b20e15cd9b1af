# SPDX-License-Identifier: Apache-2.0
"""What became of packages between two states: the words in which users think of a change.

The records of both states are compared where their databases differ. Files are looked at only
where they changed, and of those only what a package that kept its version has shipped.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key
from typing import NamedTuple

from envgit.layers.compare import Change
from envgit.layers.entry import Directory, Entry, Kind, find_entry
from envgit.packages.inventory import Contents, Inventory, differing
from envgit.packages.managers import NAMES
from envgit.packages.model import (
    ABSENT,
    LARGEST,
    Package,
    PackageId,
    PackageName,
    Problem,
    Shipped,
    Unreadable,
    name_of,
)

ADDED = "added"
REMOVED = "removed"
UPGRADED = "upgraded"
DOWNGRADED = "downgraded"
REINSTALLED = "reinstalled"
MODIFIED = "modified"
CHANGED = "changed"

_BACK = {ADDED: REMOVED, REMOVED: ADDED, UPGRADED: DOWNGRADED, DOWNGRADED: UPGRADED}


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package in two states.

    ``kind`` is one of: added, removed, upgraded, downgraded, reinstalled (written again, the same
    version with the files as shipped), modified (the same version, but files are not as shipped),
    changed (only its state or the reason why it is there). ``old`` and ``new`` are None where
    nothing is known of it; a removed package whose configuration was kept has both.
    ``paths`` are the changed files that are its own, in order; ``modified`` those of them that
    are not as shipped, and ``config`` says that they are all configuration.
    """

    kind: str
    old: Package | None
    new: Package | None
    paths: tuple[bytes, ...] = ()
    modified: tuple[bytes, ...] = ()
    config: bool = False

    @property
    def package(self) -> Package:
        """What it is now, or was."""
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def sides(self) -> tuple[Package, ...]:
        """What is known of it: before, now, or both."""
        return tuple(one for one in (self.old, self.new) if one is not None)

    def reversed(self) -> PackageChange:
        """The way back."""
        kind = _BACK.get(self.kind, self.kind)
        return replace(self, kind=kind, old=self.new, new=self.old)

    @property
    def size(self) -> int | None:
        """By how many bytes it grew, as its manager counts; None where that is not known."""
        sizes = [
            0 if one is None or one.state in ABSENT else one.size for one in (self.old, self.new)
        ]
        return None if sizes[0] is None or sizes[1] is None else sizes[1] - sizes[0]


@dataclass(frozen=True, slots=True)
class _Pair:
    old: Package | None
    new: Package | None

    @property
    def sides(self) -> tuple[Package, ...]:
        return tuple(one for one in (self.old, self.new) if one is not None)

    @property
    def kind(self) -> str | None:
        """What their records say became of it; None if they say the same."""
        there, here = _is_there(self.old), _is_there(self.new)
        if there is None and here is None:
            return None if self.old == self.new else CHANGED
        if there is None or here is None:
            return ADDED if there is None else REMOVED
        order = _order(here.manager, there.version, here.version)
        if order:
            return UPGRADED if order < 0 else DOWNGRADED
        if (there.state, there.reason) != (here.state, here.reason):
            return CHANGED
        return None if replace(there, unit=here.unit) == here else REINSTALLED


class Compared(NamedTuple):
    """What became of packages, and the units on either side that could not be read."""

    changes: list[PackageChange]
    problems: list[Problem]


def compare(old: Inventory, new: Inventory, changes: Sequence[Change]) -> list[PackageChange]:
    """What became of packages between two states, whose changed paths are ``changes``.

    By manager, place and name. Packages that another manager's package brought along are left out.
    """
    return examine(old, new, changes).changes


def examine(
    old: Inventory,
    new: Inventory,
    changes: Sequence[Change],
    *,
    claims: bool = True,
    owners: bool = True,
) -> Compared:
    """The same with what could not be read. Without ``claims`` packages whose version changed have
    no ``paths``: who wants to know their names alone need not have their lists of files read.
    Without ``owners`` nobody is asked whose the other files are: no package is *modified*."""
    if not changes:
        return Compared([], [])
    both = differing(old, new)
    work = _Files(old, new, changes)
    found: dict[_Pair, PackageChange] = {}
    kept: dict[tuple[PackageId, str], tuple[_Pair, str | None]] = {}
    gone: set[Package] = set()
    unread = _Unread(both)
    for pair in _pairs(_whole(both[0]), _whole(both[1]), _Beside(old, new)):
        kind = None if work.has_other_record(pair) and pair.kind == REINSTALLED else pair.kind
        if unread.hides(pair):
            gone.update(pair.sides)
            continue
        if kind in (None, CHANGED, REINSTALLED) and pair.old is not None and pair.new is not None:
            kept[pair.old.id, pair.old.version] = pair, kind
        elif pair.old is not None:
            gone.add(pair.old)
        if kind is not None:
            own = work.claim(pair) if claims and kind not in (CHANGED, REINSTALLED) else ()
            found[pair] = PackageChange(kind, pair.old, pair.new, own)
    for owner, paths in work.owners().items() if owners else ():
        if owner not in gone and not unread.has(owner):
            pair, kind = kept.get((owner.id, owner.version), (_Pair(owner, owner), None))
            looked = work.judge(pair, paths, kind)
            if looked is not None:
                found[pair] = looked
    problems = dict.fromkeys(problem for side in both for problem in side.problems)
    return Compared(sorted(found.values(), key=_by_name), list(problems))


def _is_there(package: Package | None) -> Package | None:
    return None if package is None or package.state in ABSENT else package


def _order(manager: str, old: str, new: str) -> int:
    if old == new:
        return 0
    from envgit.packages import versions

    return versions.compare(manager, old, new)


def _by_name(change: PackageChange) -> tuple[int, bytes, str, str, str]:
    one = change.package
    return NAMES.index(one.manager), one.place, one.name, one.architecture, one.version


# -- pairing ----------------------------------------------------------------------------------


def _whole(contents: Contents) -> list[Package]:
    """The packages of a side that are no part of others."""
    return [one for one in contents.packages if not one.carried_by]


class _Unread:
    """What cannot be told because a side's databases could not be read.

    Of a manager that keeps a record for each package nobody knows which package an unreadable
    record was of: whatever has no counterpart in its directory may have it there.
    """

    def __init__(self, both: tuple[Contents, Contents]) -> None:
        self._folders = [
            {(one.manager, one.path.rpartition(b"/")[0]) for one in side.problems} for side in both
        ]
        self._units = {(one.manager, one.path) for side in both for one in side.problems}

    def hides(self, pair: _Pair) -> bool:
        """Whether a package seems to have come or gone because the other side is not known."""
        for side, package in ((0, pair.new), (1, pair.old)):
            other = pair.old if side == 0 else pair.new
            if package is not None and other is None:
                folder = package.unit.rpartition(b"/")[0]
                return (package.manager, folder) in self._folders[side]
        return False

    def has(self, package: Package) -> bool:
        """Whether the record of a package was not read on one of the sides."""
        return (package.manager, package.unit) in self._units


def _pairs(
    old: Iterable[Package], new: Iterable[Package], stays: Callable[[Package], bool]
) -> list[_Pair]:
    """Each package with what it was. Of several versions of one, equal ones belong together."""
    named: dict[PackageName, tuple[list[Package], list[Package]]] = defaultdict(lambda: ([], []))
    for side, packages in enumerate((old, new)):
        for package in packages:
            named[name_of(package)][side].append(package)
    found: list[_Pair] = []
    for before, after in named.values():
        if before and after and stays(before[0]):
            found += [_Pair(one, None) for one in before] + [_Pair(None, one) for one in after]
        elif len(before) == len(after) == 1 and _alike(before[0], after[0]):
            found.append(_Pair(before[0], after[0]))
        else:
            found.extend(_matched(before, after))
    return found


class _Beside:
    """Whether, of a manager that keeps a record for each version, another version stays as it is.

    Only records that differ are compared, so that this one is in neither list.
    """

    _KINDS = frozenset({"gem"})

    def __init__(self, old: Inventory, new: Inventory) -> None:
        self._old = old
        self._new = new

    def __call__(self, package: Package) -> bool:
        if package.manager not in self._KINDS:
            return False
        start = (
            package.unit.rpartition(b"/")[0] + b"/" + package.name.encode("utf-8", "replace") + b"-"
        )
        there = [one for one in self._old.units if one.path.startswith(start)]
        kept = set(there).intersection(self._new.units)
        return any(one.name == package.name for one in self._old.read(kept).packages)


def _alike(one: Package, other: Package) -> bool:
    """Whether one may have become the other: the same architecture, or another in another
    version, as where a package for all becomes one for each."""
    return one.architecture == other.architecture or one.version != other.version


def _matched(before: list[Package], after: list[Package]) -> list[_Pair]:
    """Pair several packages of one name: equal ones, then those of one architecture."""
    found: list[_Pair] = []
    together: set[str] = set()
    olds, news = list(before), list(after)
    for package in before:
        same = next(
            (one for one in news if one.id == package.id and one.version == package.version), None
        )
        if same is not None:
            olds.remove(package)
            news.remove(same)
            found.append(_Pair(package, same))
            together.add(package.architecture)
    for package in sorted(olds, key=cmp_to_key(_by_version)):
        # Where a version stays beside others (kernels), one that goes became none that comes.
        rest = [] if package.architecture in together else news
        heir = next((one for one in rest if one.architecture == package.architecture), None)
        if heir is None and len(before) == len(after) == 1:
            heir = next((one for one in rest if _alike(package, one)), None)
        if heir is not None:
            news.remove(heir)
        found.append(_Pair(package, heir))
    return [*found, *(_Pair(None, package) for package in news)]


def _by_version(one: Package, other: Package) -> int:
    return _order(one.manager, one.version, other.version)


# -- files ------------------------------------------------------------------------------------


class _Files:
    """The changed files, and whose they are."""

    def __init__(self, old: Inventory, new: Inventory, changes: Iterable[Change]) -> None:
        self._old = old
        self._new = new
        self._changed = {change.path: change for change in changes if not _is_directory(change)}
        self._free = set(self._changed)

    def claim(self, pair: _Pair) -> tuple[bytes, ...]:
        """The changed files of a package in either state; they are in question no longer."""
        own: set[bytes] = set()
        if pair.old is not None:
            own.update(one.path for one in self._old.manifest(pair.old))
        if pair.new is not None:
            own.update(one.path for one in self._new.manifest(pair.new))
        own &= self._changed.keys()
        self._free -= own
        return tuple(sorted(own))

    def has_other_record(self, pair: _Pair) -> bool:
        """Whether a package is told of by another of its records than before, one that was there
        or still is. That says other things of the same: npm's lockfile knows less than each
        package.json. Who installed the package again has written its files."""
        if pair.old is None or pair.new is None or pair.old.unit == pair.new.unit:
            return False
        both = ((self._old, pair.new.unit), (self._new, pair.old.unit))
        return any(find_entry(side.files.tree, unit) is not None for side, unit in both)

    def owners(self) -> dict[Package, list[bytes]]:
        """The packages of the old state whose files changed, but for files nobody cares about."""
        asked = [path for path in self._free if not path.endswith(b".pyc")]
        found: dict[Package, list[bytes]] = defaultdict(list)
        for path, owner in self._old.owning(asked).items():
            if not owner.carried_by:
                found[owner].append(path)
        return found

    def judge(self, pair: _Pair, paths: Iterable[bytes], kind: str | None) -> PackageChange | None:
        """What became of a package that kept its version and some of whose files changed."""
        old, new = pair.old, pair.new
        assert old is not None and new is not None
        shipped = {one.path: one for one in self._new.manifest(new)}
        own = tuple(sorted({*paths, *(path for path in shipped if path in self._changed)}))
        digests = any(one.digest for one in shipped.values())
        modified = []
        for path in own:
            if not path.endswith(b".pyc") and self._differs(path, shipped.get(path), digests):
                modified.append(path)
        record = [path for path in own if self._is_record(new, path)]
        written = [path for path in record if self._changed[path].new is not None]
        if not written:
            modified += [path for path in record if path not in modified]
            modified += [path for path in own if path not in modified and self._remade(path)]
        if modified:
            config = all(path in shipped and shipped[path].config for path in modified)
            return PackageChange(MODIFIED, old, new, own, tuple(sorted(modified)), config)
        mended = (
            path in shipped and shipped[path].digest and self._rewritten(path) for path in own
        )
        if kind is None and (written or any(mended)):
            kind = REINSTALLED
        return None if kind is None else PackageChange(kind, old, new, own)

    def _differs(self, path: bytes, shipped: Shipped | None, digests: bool) -> bool:
        """Whether a changed file is not what the package brought."""
        change = self._changed[path]
        now, before = change.new, change.old
        if now is None:
            return shipped is not None
        if now.kind != Kind.FILE or shipped is None:
            # Nobody keeps digests of links; of what is no file any more there is none.
            return shipped is not None and not _same_content(before, now)
        algorithm, _, digest = shipped.digest.partition(":")
        if not digest:
            return (shipped.config or not digests) and not _same_content(before, now)
        if algorithm == "sha256":
            return now.sha256 != digest.lower()
        if before is not None and _same_content(before, now):
            return False
        actual = self._digest(path, now, algorithm)
        return not _same_content(before, now) if actual is None else actual != digest.lower()

    def _digest(self, path: bytes, entry: Entry, algorithm: str) -> str | None:
        if entry.size > LARGEST:
            return None
        try:
            data = self._new.files.read(path)
            return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        except (Unreadable, ValueError, TypeError):
            return None

    def _remade(self, path: bytes) -> bool:
        """Whether the content stayed and who may use it, and how, did not."""
        change = self._changed[path]
        one, other = change.old, change.new
        return (
            one is not None
            and other is not None
            and _same_content(one, other)
            and (one.mode, one.uid, one.gid, one.xattrs)
            != (other.mode, other.uid, other.gid, other.xattrs)
        )

    def _rewritten(self, path: bytes) -> bool:
        change = self._changed[path]
        return not path.endswith(b".pyc") and not _same_content(change.old, change.new)

    def _is_record(self, package: Package, path: bytes) -> bool:
        """Whether a path is part of the package's record, which only its manager writes."""
        folder = package.unit
        if not _is_folder(self._new.files.tree, folder):
            folder = folder.rpartition(b"/")[0]
        return bool(folder) and path.startswith(folder + b"/")


def _is_folder(tree: Directory, path: bytes) -> bool:
    entry = find_entry(tree, path)
    return entry is not None and entry.kind == Kind.DIR


def _is_directory(change: Change) -> bool:
    return all(one is None or one.kind == Kind.DIR for one in (change.old, change.new))


def _same_content(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.kind, one.sha256, one.target, one.rdev) == (
        other.kind,
        other.sha256,
        other.target,
        other.rdev,
    )
