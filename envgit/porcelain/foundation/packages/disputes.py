# SPDX-License-Identifier: Apache-2.0
"""What packages decide of a merge before paths are looked at.

A package that both sides brought to different versions, or that one removed and the other brought
to another version, is one conflict whatever its files say, or is decided for a side: all that is
its own, in files and databases, then comes from there. Everything else is merged path by path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from envgit.layers.compare import changes
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.packages import locate
from envgit.packages.model import ABSENT, SYSTEM, Package, PackageName, name_of, sharing
from envgit.porcelain.foundation.packages import inventories
from envgit.porcelain.foundation.pending import Conflict, Conflicted
from envgit.porcelain.foundation.plaintext import plain

if TYPE_CHECKING:
    from envgit.packages import grouping
    from envgit.packages.inventory import Contents, Inventory
    from envgit.packages.records import Decide
    from envgit.porcelain.foundation.merging import Side
    from envgit.porcelain.foundation.repository import Repository

PACKAGE = "package"
"""The kind of such a conflict."""
DEPENDENCY = "dependency"
"""Of what a package needs and the merge does not have."""
NEWEST = "newest"
"""As ``-X``: of a package in two versions the newer is taken."""

# RubyGems keeps versions of one gem beside each other.
_BESIDE = ("gem",)
# What stands for a package where several of its files could: the record its manager keeps of it.
_RECORDS = (b".list", b"/METADATA", b"/PKG-INFO", b"/package.json", b"/desc", b".json")


@dataclass(frozen=True, slots=True)
class Disputed:
    """A package that the sides do not agree on: its version in each, empty where it is not
    there; ``side`` is where it comes from, ``settled`` that somebody said so."""

    name: PackageName
    base: str
    ours: str
    theirs: str
    side: str
    settled: bool

    @property
    def title(self) -> str:
        """What messages call it."""
        manager, _, name = self.name
        return name if manager in SYSTEM else f"{manager} {name}"


@dataclass(frozen=True, slots=True)
class PackageConflict:
    """A package that nobody decided on. ``path`` stands for it, with what its record is in base,
    ours and theirs."""

    disputed: Disputed
    path: bytes
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None


@dataclass(slots=True)
class Plan:
    """What is decided: ``pinned`` are paths and the side that each comes from."""

    conflicts: tuple[PackageConflict, ...] = ()
    messages: tuple[str, ...] = ()
    pinned: Mapping[bytes, str] = field(default_factory=dict)
    sides: Mapping[PackageName, str] = field(default_factory=dict)
    owner_of: Callable[[bytes], PackageName | None] = lambda _: None
    both: bool = False
    """Whether both sides changed packages, and what they need has to be looked at."""

    def decide(self, database: bytes) -> Decide:
        """From which side the entries of an owner in that database come."""
        managers = sharing(database)
        named = {one.name: side for one, side in self.sides.items() if one.manager in managers}

        def decide(owner: str) -> str | None:
            if not owner.startswith("/"):
                return named.get(owner)
            path = self.owner_of(owner.encode("utf-8", "surrogateescape"))
            return self.sides.get(path) if path is not None else None

        return decide


def plan(
    repository: Repository,
    base: Side,
    ours: Side,
    theirs: Side,
    *,
    favour: str | None,
    newest: bool,
    virtual: bool,
) -> Plan:
    """Compare the packages of three states. Costs what differs.

    ``virtual``: the merge is to be a base itself, so that what is disputed stays as in ``base``.
    """
    empty = Node(Entry(Kind.DIR, 0o755))
    trees = [side.tree if side.tree is not None else empty for side in (base, ours, theirs)]
    differ = [locate.differing(trees[0], tree) for tree in trees[1:]]
    concerned = [{unit.manager for unit in (*gone, *come)} for gone, come in differ]
    if not concerned[0] & concerned[1]:
        return Plan(both=bool(concerned[0] and concerned[1]))
    old, mine, its = (
        inventories.of_tree(repository, tree, side.contents)
        for tree, side in zip(trees, (base, ours, theirs), strict=True)
    )
    here, there = (
        _versions(old.read(gone), new.read(come))
        for new, (gone, come) in zip((mine, its), differ, strict=True)
    )
    disputed = [
        _decided(name, here[name], there[name], favour=favour, newest=newest, virtual=virtual)
        for name in sorted(here.keys() & there.keys())
        if _disagree(name, here[name], there[name])
    ]
    if not disputed:
        return Plan(both=True)
    work = _Planning((old, mine, its), trees, disputed, (ours.label, theirs.label))
    return work.plan(virtual=virtual)


class _Versions(NamedTuple):
    """The versions of a package before and after, of whatever architectures."""

    before: frozenset[str]
    after: frozenset[str]


def _versions(old: Contents, new: Contents) -> dict[PackageName, _Versions]:
    """The packages whose versions changed. Of units that could not be read nothing is known."""
    unknown = {(one.manager, one.path) for side in (old, new) for one in side.problems}
    sides: tuple[dict[PackageName, set[str]], dict[PackageName, set[str]]] = (
        defaultdict(set),
        defaultdict(set),
    )
    for contents, found in zip((old, new), sides, strict=True):
        for package in contents.packages:
            if not package.carried_by and (package.manager, package.unit) not in unknown:
                found[name_of(package)].update(_version(package))
    made = {
        name: _Versions(frozenset(sides[0].get(name, ())), frozenset(sides[1].get(name, ())))
        for name in {*sides[0], *sides[1]}
    }
    return {name: one for name, one in made.items() if one.before != one.after}


def _version(package: Package) -> tuple[str, ...]:
    return () if package.state in ABSENT else (package.version,)


def _disagree(name: PackageName, ours: _Versions, theirs: _Versions) -> bool:
    if ours.after == theirs.after:
        return False
    added = ours.before <= ours.after and theirs.before <= theirs.after
    return not (added and name.manager in _BESIDE)


def _decided(
    name: PackageName,
    ours: _Versions,
    theirs: _Versions,
    *,
    favour: str | None,
    newest: bool,
    virtual: bool,
) -> Disputed:
    side, settled = "base" if virtual else favour or "ours", virtual or favour is not None
    if newest and ours.after and theirs.after:
        from envgit.packages import versions

        latest = versions.newest(name.manager, sorted(ours.after | theirs.after))
        side, settled = "ours" if latest in ours.after else "theirs", True
    shown = [", ".join(sorted(one)) for one in (ours.before, ours.after, theirs.after)]
    return Disputed(name, shown[0], shown[1], shown[2], side, settled)


class _Planning:
    """Finds what belongs to disputed packages."""

    def __init__(
        self,
        inventories: tuple[Inventory, Inventory, Inventory],
        trees: Sequence[Directory],
        disputed: Sequence[Disputed],
        labels: tuple[str, str],
    ) -> None:
        self.inventories = inventories
        self.trees = trees
        self.disputed = disputed
        self.labels = labels

    def plan(self, *, virtual: bool) -> Plan:
        """What is decided, and what is not."""
        from envgit.packages import grouping
        from envgit.packages.changes import compare
        from envgit.packages.records.formats import format_for

        sides = {one.name: one.side for one in self.disputed}
        owned: list[dict[bytes, PackageName]] = []
        common: list[dict[bytes, list[PackageName]]] = []
        owners: list[tuple[grouping.Assigned, list[PackageName]]] = []
        old = self.inventories[0]
        for tree, new in zip(self.trees[1:], self.inventories[1:], strict=True):
            changed = changes(self.trees[0], tree)
            found = compare(old, new, changed)
            names = [name_of(one.package) for one in found]
            assigned = grouping.assign(
                changed, found, old, new, is_shared=lambda path: format_for(path) is not None
            )
            pairs = zip(names, assigned.packages, strict=True)
            owned.append({path: name for name, paths in pairs for path in paths})
            common.append(
                {path: [names[one] for one in among] for path, among in assigned.common.items()}
            )
            owners.append((assigned, names))
        pinned: dict[bytes, str] = {}
        for number, (mine, its) in enumerate((owned, owned[::-1])):
            for path, name in mine.items():
                among = common[number].get(path, [name])
                disputed = [one for one in among if one in sides]
                # What another package of the other side took over is that one's.
                if disputed and (path not in its or its[path] in sides):
                    pinned[path] = self._side_of(path, among, sides, number)
        made = Plan(pinned=pinned, sides=sides, both=True, owner_of=_owner_of(owners))
        if not virtual:
            made.conflicts = tuple(
                self._conflict(one, owned) for one in self.disputed if not one.settled
            )
            made.messages = tuple(plain(self._said(one)) for one in self.disputed)
        return made

    def _side_of(
        self,
        path: bytes,
        among: Sequence[PackageName],
        sides: Mapping[PackageName, str],
        number: int,
    ) -> str:
        """Which side has a path that one of them changed as its packages there are decided: what
        several brought is there with any of them, and gone without all."""
        changed = ("ours", "theirs")[number]
        chosen = [sides.get(one, changed) for one in among]
        comes = find_entry(self.trees[number + 1], path) is not None
        if changed in chosen and (comes or set(chosen) == {changed}):
            return changed
        return next(side for side in chosen if side != changed)

    def _conflict(
        self, one: Disputed, owned: Sequence[dict[bytes, PackageName]]
    ) -> PackageConflict:
        paths = sorted({path for side in owned for path, name in side.items() if name == one.name})
        records = [_record(tree, paths) for tree in self.trees]
        if not any(records):
            # What has no files (apk's .build-deps, a metapackage of rpm) is in the database alone.
            records = [self._database(one.name)] * 3
        path = records[1] or records[2] or records[0] or paths[0]
        entries = [
            find_entry(tree, record) if record is not None else None
            for tree, record in zip(self.trees, records, strict=True)
        ]
        return PackageConflict(one, path, *entries)

    def _database(self, name: PackageName) -> bytes:
        """The path of the database that says that a package is there."""
        sides = (package for side in self.inventories for package in side.contents.packages)
        return next((one.unit for one in sides if name_of(one) == name), name.place)

    def _said(self, one: Disputed) -> str:
        ours, theirs = self.labels
        mine = one.ours or "removed"
        its = one.theirs or "removed"
        if not one.settled:
            return f"CONFLICT ({PACKAGE}): {one.title} {mine} in {ours}, {its} in {theirs}"
        taken, label = (mine, ours) if one.side == "ours" else (its, theirs)
        return f"Auto-merging package {one.title}: {taken} from {label}"


def _owner_of(
    owners: Iterable[tuple[grouping.Assigned, list[PackageName]]],
) -> Callable[[bytes], PackageName | None]:
    known = list(owners)

    def owner_of(path: bytes) -> PackageName | None:
        for assigned, names in known:
            index = assigned.owner_of(path)
            if index is not None:
                return names[index]
        return None

    return owner_of


def favoured(option: str | None) -> tuple[bool, str | None]:
    """Of ``-X`` whether packages are taken in the newer version, and the side that it favours."""
    words = (option or "").split()
    return NEWEST in words, next((word for word in words if word != NEWEST), None)


def favouring(options: Iterable[str]) -> str | None:
    """The options of ``-X`` as one: the last side that is named, and *newest*."""
    words = list(options)
    side = next((word for word in reversed(words) if word != NEWEST), None)
    chosen = [*([NEWEST] if NEWEST in words else []), *([side] if side is not None else [])]
    return " ".join(chosen) or None


def as_conflict(one: PackageConflict, left: Entry | None) -> Conflict:
    """It as what is pending."""
    manager, place, name = one.disputed.name
    package = Conflicted(
        manager,
        place.decode("utf-8", "surrogateescape"),
        name,
        one.disputed.base,
        one.disputed.ours,
        one.disputed.theirs,
    )
    return Conflict(one.path, PACKAGE, one.base, one.ours, one.theirs, left, package)


# -- afterwards -------------------------------------------------------------------------------


def newly_broken(
    repository: Repository, ours: Side, theirs: Side, merged: Side
) -> tuple[list[Conflict], list[str]]:
    """What the merged packages need and lack, or cannot stand, though neither side breaks it: a
    conflict for each such package, at the path that stands for it, and a line for each relation.

    They stay conflicts until somebody installs what is missing or says that it is well.
    """
    from envgit.packages import inventory, relations

    if ours.tree is None or theirs.tree is None or merged.tree is None:
        return [], []
    mine = inventories.of_tree(repository, ours.tree, ours.contents)
    its = inventories.of_tree(repository, theirs.tree, theirs.contents)
    made = inventories.of_tree(repository, merged.tree, merged.contents)
    gone, come = inventory.differing(mine, made)
    left = set(gone.packages)
    packages = [one for one in mine.contents.packages if one not in left]
    found = relations.broken([*packages, *come.packages])
    if not found:
        return [], []
    known = {
        (one.package.id, one.relation)
        for side in (mine, its)
        for one in relations.broken(side.contents.packages)
    }
    conflicts: dict[bytes, Conflict] = {}
    messages = []
    for one in found:
        if (one.package.id, one.relation) in known:
            continue
        package = one.package
        paths = [shipped.path for shipped in made.manifest(package)]
        path = _record(merged.tree, paths) or package.unit
        left_there = find_entry(merged.tree, path)
        entries = [find_entry(tree, path) for tree in (ours.tree, theirs.tree)]
        conflicts[path] = Conflict(path, DEPENDENCY, left_there, entries[0], entries[1], left_there)
        said = f"{package.name} {package.version}: {one.relation}: {one.why}"
        messages.append(plain(f"CONFLICT ({DEPENDENCY}): {said}"))
    return list(conflicts.values()), messages


def _record(tree: Directory, paths: Sequence[bytes]) -> bytes | None:
    """The path that stands for a package in a state."""

    def rank(path: bytes) -> int:
        return next((n for n, end in enumerate(_RECORDS) if path.endswith(end)), len(_RECORDS))

    for path in sorted(paths, key=lambda path: (rank(path), path)):
        entry = find_entry(tree, path)
        if entry is not None and entry.kind != Kind.DIR:
            return path
    return None
