# SPDX-License-Identifier: Apache-2.0
"""One state with some of what another has otherwise, by package: files and databases in agreement.

`bisect inside` tries such states, `rollback --package` keeps one, a merge takes a side of a package
with it. Nothing is installed or copied: the tree is `base` overlaid with paths of `other`, and only
databases that hold entries of several packages are read and written anew.

Laws (tests/root/test_composing.py): with all groups chosen the tree is ``other``'s, with none
``base``'s. Costs the number of paths that differ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from envgit.layers.compare import changes
from envgit.layers.entry import Entry, Kind, Node, find_entry
from envgit.packages import grouping, noise, relations
from envgit.packages.changes import MODIFIED, PackageChange, examine
from envgit.packages.inventory import Inventory
from envgit.packages.model import Package, PackageId, PackageName, name_of
from envgit.packages.order import ordered
from envgit.packages.relations import Broken
from envgit.porcelain.foundation.merging import Combined, Side
from envgit.porcelain.foundation.packages import inventories
from envgit.porcelain.foundation.packages.composition import (
    Choice,
    Composition,
    Material,
    is_shared,
    nobodys,
)
from envgit.porcelain.foundation.repository import Repository

__all__ = ["Group", "Split", "compose", "groups", "unsatisfied"]


@dataclass(frozen=True, slots=True)
class Group:
    """What changes together between two states.

    ``change`` is None for loose files and for noise; ``paths`` are those changed paths that are
    this group's, in order (directories that are there only for what is in them are in none, nor
    are shared databases). A file that several packages brought or had is in the group of each.
    """

    title: str
    change: PackageChange | None
    paths: tuple[bytes, ...]
    split: Split = field(repr=False, compare=False)


def groups(repository: Repository, base: Side, other: Side) -> list[Group]:
    """All that differs, in an order in which dependencies come first; packages that need one
    another are neighbours. Loose files follow packages, noise comes last."""
    return list(Split(repository, base, other).groups)


def compose(
    repository: Repository,
    base: Side,
    other: Side,
    chosen: Sequence[Group],
    *,
    paths: Iterable[bytes] = (),
) -> Combined:
    """``base`` with the chosen groups, and single changed paths, as they are in ``other``.

    ``chosen`` are groups of these two sides. The caller discards ``scratch``. Raises MissingLayer
    where a shared database has to be read that is not in the store.
    """
    split = chosen[0].split if chosen else Split(repository, base, other)
    return split.compose(chosen, paths)


def unsatisfied(
    repository: Repository, base: Side, other: Side, chosen: Sequence[Group]
) -> list[Broken]:
    """What the packages of the composed state need and lack, or cannot stand, though neither
    side breaks it."""
    split = chosen[0].split if chosen else Split(repository, base, other)
    return split.unsatisfied(chosen)


class Split:
    """All that differs between two states, taken apart. Made once, composed of often.

    Not ``thorough``, files of packages that kept their version are not looked for: they are loose,
    which saves knowing the files of all packages.
    """

    def __init__(
        self, repository: Repository, base: Side, other: Side, *, thorough: bool = True
    ) -> None:
        self.repository = repository
        self.base = base
        self.other = other
        self.thorough = thorough
        self.changed = changes(base.tree, other.tree)
        self.old = inventory_of(repository, base)
        self.new = inventory_of(repository, other)

    @cached_property
    def packages(self) -> list[PackageChange]:
        """The packages that changed."""
        self.new.follow(self.old)
        self.old.follow(self.new)
        # What belongs to whom, manifests tell again when paths are assigned.
        thorough = self.thorough
        found = examine(self.old, self.new, self.changed, claims=thorough, owners=thorough)
        return found.changes

    @cached_property
    def names(self) -> frozenset[PackageName]:
        """The packages that changed."""
        return frozenset(name_of(one.package) for one in self.packages)

    @cached_property
    def _material(self) -> Material:
        return Material(
            self.repository,
            self.base,
            self.other,
            self.changed,
            self.packages,
            self.old,
            self.new,
            self.assigned,
        )

    @cached_property
    def assigned(self) -> grouping.Assigned:
        """Where the changed paths belong."""
        return grouping.assign(self.changed, self.packages, self.old, self.new, is_shared=is_shared)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """See `groups`."""
        return (*self._package_groups(), *self._other_groups())

    def compose(self, chosen: Sequence[Group], paths: Iterable[bytes] = ()) -> Combined:
        """See the function."""
        names = {name_of(one.change.package) for one in chosen if one.change is not None}
        theirs = frozenset[bytes]().union(*(group.paths for group in chosen))
        choice = Choice(
            names=frozenset(names),
            noise=frozenset(group.title for group in chosen if group.change is None),
            paths=frozenset(paths) | (theirs - self._kept(names)),
        )
        return Composition(self._material, choice).combined()

    def _kept(self, names: Collection[PackageName]) -> set[bytes]:
        """Files that go with packages of these names, but for others that have them too."""
        return {
            path
            for path, among in self.assigned.common.items()
            if find_entry(self.new.files.tree, path) is None
            and not all(name_of(self.packages[one].package) in names for one in among)
        }

    def unsatisfied(self, chosen: Sequence[Group]) -> list[Broken]:
        """See the function."""
        found = relations.broken(self.installed(chosen))
        if not found:
            return found
        known = {_what(one) for side in self._broken_sides for one in side}
        return [one for one in found if _what(one) not in known]

    def installed(self, chosen: Iterable[Group]) -> list[Package]:
        """What the composed state has installed."""
        names = {name_of(group.change.package) for group in chosen if group.change is not None}
        taken = [one for one in self.packages if name_of(one.package) in names]
        gone = {one.old for one in taken}
        stay = [one for one in self.old.contents.packages if one not in gone]
        return [*stay, *(one.new for one in taken if one.new is not None)]

    @cached_property
    def _broken_sides(self) -> tuple[list[Broken], list[Broken]]:
        return (
            relations.broken(self.old.contents.packages),
            relations.broken(self.new.contents.packages),
        )

    def _package_groups(self) -> Iterator[Group]:
        """A group for each package that changed. One that is there for several architectures is
        one: dpkg keeps them in step."""
        paths = [set(one) for one in self.assigned.packages]
        for path, among in self.assigned.common.items():
            for one in among:
                paths[one].add(path)
        found: dict[PackageName, list[int]] = {}
        for index, change in enumerate(self.packages):
            found.setdefault(name_of(change.package), []).append(index)
        made = {
            name: Group(
                grouping.title(self.packages[indices[0]]),
                self.packages[indices[0]],
                tuple(sorted({path for one in indices for path in paths[one]})),
                self,
            )
            for name, indices in found.items()
        }
        for name in ordered(made, self._needs(set(made))):
            group = made[name]
            # Files that somebody else has moved make no change of this package.
            if group.paths or group.change is None or group.change.kind != MODIFIED:
                yield group

    def _needs(self, names: set[PackageName]) -> dict[PackageName, set[PackageName]]:
        """What each package needs, by name: in the new state, or else in the old one."""
        needs: dict[PackageName, set[PackageName]] = {}
        for inventory in (self.new, self.old):
            if len(names) > 1 and not names <= needs.keys():
                edges = relations.edges(inventory.contents.packages)
                for one, needed in edges.items():
                    needs.setdefault(name_of(one), {name_of(it) for it in needed})
        return needs

    def _other_groups(self) -> Iterator[Group]:
        assigned = self.assigned
        for title, paths in assigned.loose:
            yield Group(title, None, paths, self)
        noisy = dict(assigned.noise)
        # What databases say of nobody in particular goes with the noise of their kind.
        unowned = set(map(nobodys, assigned.shared))
        for title in noise.NAMES:
            if title in noisy or title in unowned:
                yield Group(title, None, noisy.get(title, ()), self)


def inventory_of(repository: Repository, side: Side) -> Inventory:
    """The packages of a side of a merge."""
    tree = side.tree if side.tree is not None else Node(Entry(Kind.DIR, 0o755))
    return inventories.of_tree(repository, tree, side.contents)


def _what(one: Broken) -> tuple[PackageId, str, str]:
    return one.package.id, one.package.version, one.relation
