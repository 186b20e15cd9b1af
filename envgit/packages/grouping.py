# SPDX-License-Identifier: Apache-2.0
"""Which package each path that differs between two states belongs to, beyond what manifests say.

A manager lists what it unpacked; scripts make the rest: bytecode beside sources, links that choose
an alternative or enable a service, directories, caches. Here each changed path finds the one
package change that it comes and goes with, or a class of noise, or is *loose*: somebody's own.

Law (tests/unit/packages/test_grouping.py): each change is in exactly one part of `Assigned`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from envgit.layers.compare import Change
from envgit.layers.entry import Kind, find_entry
from envgit.packages import noise
from envgit.packages.changes import PackageChange
from envgit.packages.inventory import Inventory
from envgit.packages.managers import NAMES
from envgit.packages.model import Files, Package, Unreadable
from envgit.packages.paths import resolver, target_of


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where the changed paths belong.

    ``packages`` has for each package change, by its place in what was given, its paths; ``loose``
    and ``noise`` are sets of paths with what to call them. ``shared`` are databases with entries of
    many packages. ``implied`` are directories that are there for what is in them: they come with
    the first path beneath them and go with the last. ``common`` are the paths that come or go with
    several package changes: with the first that comes, and with the last that goes. They are among
    the paths of one of those. ``owner_of`` tells of any path of either state which package change
    it belongs to.
    """

    packages: tuple[tuple[bytes, ...], ...]
    loose: tuple[tuple[str, tuple[bytes, ...]], ...]
    noise: tuple[tuple[str, tuple[bytes, ...]], ...]
    shared: tuple[bytes, ...]
    implied: frozenset[bytes]
    common: Mapping[bytes, frozenset[int]]
    owner_of: Callable[[bytes], int | None]


# Where maintainers' scripts and managers make links to what a package ships.
_LINKS = re.compile(
    rb"(?:etc|bin|sbin|lib[^/]*|usr|var/lib|boot)/.*|(?:.*/)?node_modules/\.bin/.*", re.DOTALL
)
_HOPS = 8

# dpkg(1), ucf(1), rpm(8), apk(8), pacman(8): versions of a configuration file that lie beside it.
_BESIDE = re.compile(
    rb"(.+)(?:\.dpkg-(?:old|new|dist|bak|tmp|remove|backup)|\.ucf-(?:old|new|dist)"
    rb"|\.rpm(?:save|new|orig)|\.apk-new|\.pac(?:new|save|orig))",
    re.DOTALL,
)

# PEP 3147 and PEP 488: NAME.TAG[.opt-LEVEL].pyc
_BYTECODE = re.compile(rb"(.*/|)__pycache__/([^/]+?)\.[^/.]+-[^/.]+(?:\.opt-\w+)?\.pyc", re.DOTALL)

# deb-systemd-helper(1p) notes which units it has enabled.
_ENABLED = re.compile(
    rb"var/lib/systemd/deb-systemd-(?:user-)?helper-(?:enabled|masked)/"
    rb"(?:[^/]*/)*([^/]+?)(?:\.dsh-also)?",
    re.DOTALL,
)
_UNIT_FOLDERS = (b"usr/lib/systemd/system/", b"lib/systemd/system/", b"usr/lib/systemd/user/")
_INFO, _DIVERSIONS = b"var/lib/dpkg/info/", b"var/lib/dpkg/diversions"

# Of no package even if one lists them: rpm does its database, Fedora's setup the users; and a wheel
# may list whatever it likes (RECORD).
_EVERYBODYS = re.compile(
    rb"(?:var/lib/dpkg/(?!info/)|var/lib/apt/extended_states$|(?:var/lib|usr/lib/sysimage)/rpm/"
    rb"|(?:usr/)?lib/apk/db/|etc/(?:passwd|shadow|group|gshadow|subuid|subgid)-?$)"
)

_SHALLOWEST = 2
"""Names in the path of a directory that may be one package's: ``opt`` and ``srv`` are nobody's."""


def assign(
    changed: Sequence[Change],
    packages: Sequence[PackageChange],
    old: Inventory,
    new: Inventory,
    *,
    is_shared: Callable[[bytes], bool],
) -> Assigned:
    """Find where each of ``changed`` belongs; ``packages`` changed from ``old`` to ``new``.

    ``is_shared`` tells databases with entries of many packages; what a package ships is its own.
    Costs what changed, with the manifests of the packages that did.
    """
    by_path = {change.path: change for change in changed}
    owners = _Owners(by_path, packages, old, new)
    shared = tuple(path for path in by_path if is_shared(path) and not owners.ships(path))
    folders = {path for path, change in by_path.items() if _comes_or_goes(change)}
    implied = folders & {folder for path in by_path for folder in above(path)}
    claims: dict[bytes, int] = {}
    left: list[bytes] = []
    for path in by_path.keys() - implied - set(shared):
        owner = owners.of(path)
        if owner is None:
            left.append(path)
        else:
            claims[path] = owner
    common = {path: among for path in claims if claims[path] in (among := owners.among(path))}
    left = _claim_folders(left, claims, common, folders, packages)
    owners.remember(claims)
    noisy: dict[str, list[bytes]] = {name: [] for name in noise.NAMES}
    loose: list[bytes] = []
    for path in sorted(left):
        name = noise.class_of(path)
        source = _source(path)
        if name is None or (source in by_path and source not in claims):
            loose.append(path)
        else:
            noisy[name].append(path)
    mine: list[list[bytes]] = [[] for _ in packages]
    for path in sorted(claims):
        mine[claims[path]].append(path)
    return Assigned(
        packages=tuple(map(tuple, mine)),
        loose=tuple(_loose(loose, claims, folders, shared)),
        noise=tuple((name, tuple(paths)) for name, paths in noisy.items() if paths),
        shared=shared,
        implied=frozenset(implied),
        common=common,
        owner_of=owners.anywhere,
    )


def title(change: PackageChange) -> str:
    """``apt: libssl3 3.0.11-1 -> 3.0.13-1``: what changes, in a line."""
    one = change.package
    manager = "apt" if one.manager == "dpkg" else one.manager
    if change.old is None:
        what = f"{one.version} (new)"
    elif change.new is None:
        what = f"{one.version} (removed)"
    elif change.old.version != change.new.version:
        what = f"{change.old.version} -> {change.new.version}"
    else:
        what = f"{one.version} ({change.kind})"
    return f"{manager}: {one.name} {what}"


# -- whose a path is --------------------------------------------------------------------------


class _Owners:
    """Finds the package change that a path belongs to."""

    def __init__(
        self,
        changed: dict[bytes, Change],
        packages: Sequence[PackageChange],
        old: Inventory,
        new: Inventory,
    ) -> None:
        self._changed = changed
        self._packages = packages
        self._sides = (new, old)
        self._several: tuple[dict[bytes, set[int]], dict[bytes, set[int]]] = ({}, {})
        self._shipped = self._manifests()
        self._units: dict[bytes, int] = {}
        self._names: dict[tuple[str, str], int] = {}
        for index, package in self._each():
            if package.unit:
                self._units.setdefault(package.unit, index)
            if package.manager == "dpkg":
                self._names.setdefault((package.name, ""), index)
                self._names.setdefault((package.name, package.architecture), index)
        self._shipped.update(self._diverted())
        for path in filter(_EVERYBODYS.match, changed):
            self._shipped.pop(path, None)
        self._listed = self._directories()
        self._claims: dict[bytes, int] = {}

    def remember(self, claims: dict[bytes, int]) -> None:
        """Which changed paths have found their package."""
        self._claims = claims

    def of(self, path: bytes) -> int | None:
        """The number of the package change, or None."""
        if path.startswith(_INFO):
            return self._by_record(path)
        unit = self._by_unit(path)
        for name in (path, *_stands_for(path)):
            if name in self._shipped:
                found = self._shipped[name]
                # A manager's record of one package is no other's, whatever that lists.
                return unit if unit is not None and self._alike(unit, found) else found
        if path in self._listed:
            return self._listed[path]
        return self._by_link(path) if unit is None else unit

    def among(self, path: bytes) -> frozenset[int]:
        """Those that all brought a path that is new, or all had one that is gone: packages of one
        manager, if there are several."""
        change = self._changed[path]
        if change.old is not None and change.new is not None:
            return frozenset()
        several = self._several[change.new is None]
        if not several or path.startswith(_INFO) or self._by_unit(path) is not None:
            return frozenset()
        names = (path, *_stands_for(path))
        return frozenset(next((several[name] for name in names if name in several), ()))

    def ships(self, path: bytes) -> bool:
        """Whether a changed path is in the manifest of a package that changed."""
        return path in self._shipped

    def anywhere(self, path: bytes) -> int | None:
        """The same of any path as a program writes it, also of one that did not change."""
        for inventory in self._sides:
            real = resolver(inventory.files).resolve(path)
            if real is None:
                return None
            if real in self._claims:
                return self._claims[real]
            if real in self._shipped:
                return self._shipped[real]
        return None

    def _each(self) -> Iterator[tuple[int, Package]]:
        for index, change in enumerate(self._packages):
            for package in (change.new, change.old):
                if package is not None:
                    yield index, package

    def _alike(self, one: int, other: int) -> bool:
        return self._packages[one].package.manager == self._packages[other].package.manager

    def _manifests(self) -> dict[bytes, int]:
        """The files of the packages. Of two that have one it is whose it is in the new state; if
        both list it there, the system's manager knows better than pip, and who had it before."""
        ranked = sorted(
            enumerate(self._packages), key=lambda one: NAMES.index(one[1].package.manager)
        )
        found: dict[bytes, int] = {}
        for side in (1, 0):
            here: dict[bytes, int] = {}
            for index, change in ranked:
                package = change.old if side else change.new
                if package is None:
                    continue
                for shipped in self._sides[side].manifest(package):
                    path = shipped.path
                    first = here.setdefault(path, index)
                    if first == index or not self._alike(first, index):
                        continue
                    self._several[side].setdefault(path, {first}).add(index)
                    if found.get(path) == index:
                        here[path] = index
            found |= here
        for index, change in enumerate(self._packages):
            for path in change.paths:
                found.setdefault(path, index)
        return found

    def _diverted(self) -> Iterator[tuple[bytes, int]]:
        """Both paths of each diversion that is in one state only, whose package moves the file of
        another (dpkg-divert(1))."""
        if _DIVERSIONS not in self._changed:
            return
        rows = [_diversions(inventory.files) for inventory in self._sides]
        for own, inventory, others in (
            (rows[0], self._sides[0], rows[1]),
            (rows[1], self._sides[1], rows[0]),
        ):
            for row in own - others:
                index = self._names.get((row[2].decode("utf-8", "replace"), ""))
                for path in row[:2] if index is not None else ():
                    real = resolver(inventory.files).resolve(path)
                    if real is not None and index is not None:
                        yield real, index

    def _directories(self) -> dict[bytes, int]:
        """The empty directories that came or went, and those that became another's, as far as
        dpkg says whose they are: manifests tell of files alone."""
        asked = {
            path
            for path, change in self._changed.items()
            if any(one is not None and one.kind == Kind.DIR for one in (change.old, change.new))
        }
        found: dict[bytes, int] = {}
        if not asked or not self._names:
            return found
        for side in (0, 1):
            files = self._sides[side].files
            for index, change in enumerate(self._packages):
                package = change.old if side else change.new
                if package is None or package.manager != "dpkg":
                    continue
                for record in _lists(package):
                    try:
                        lines = files.read(record).split(b"\n")
                    except Unreadable:
                        continue
                    for line in lines:
                        real = resolver(files).resolve(line)
                        if real in asked:
                            found.setdefault(real, index)
        return found

    def _by_record(self, path: bytes) -> int | None:
        """dpkg's own files on one package: ``NAME.list`` or ``NAME:ARCH.list``."""
        stem = path[len(_INFO) :].rpartition(b".")[0].decode("utf-8", "replace")
        name, _, architecture = stem.partition(":")
        return self._names.get((name, architecture))

    def _by_unit(self, path: bytes) -> int | None:
        """A package's record that is a directory, with all that is in it."""
        return next((self._units[one] for one in (path, *above(path)) if one in self._units), None)

    def _by_link(self, path: bytes) -> int | None:
        """A link to what a package ships, be it by way of other links."""
        change = self._changed[path]
        for inventory, entry in zip(self._sides, (change.new, change.old), strict=True):
            at = path
            for _ in range(_HOPS):
                if entry is None or entry.kind != Kind.SYMLINK or not _LINKS.fullmatch(at):
                    break
                real = resolver(inventory.files).resolve(target_of(at, entry.target))
                if real is None:
                    break
                if real in self._shipped:
                    return self._shipped[real]
                at, entry = real, find_entry(inventory.files.tree, real)
        return None


def _diversions(files: Files) -> set[tuple[bytes, bytes, bytes]]:
    """What is diverted, where to, and by which package."""
    try:
        lines = files.read(_DIVERSIONS).split(b"\n")
    except Unreadable:
        return set()
    return set(zip(lines[0::3], lines[1::3], lines[2::3], strict=False))


def _stands_for(path: bytes) -> Iterator[bytes]:
    """Paths with which this one comes and goes, because it was made of them."""
    source = _source(path)
    if source is not None:
        yield source
    beside = _BESIDE.fullmatch(path)
    if beside:
        yield beside[1]
    enabled = _ENABLED.fullmatch(path)
    if enabled:
        for folder in _UNIT_FOLDERS:
            yield folder + enabled[1]
            # An instance of a template: NAME@INSTANCE.service
            name, at, rest = enabled[1].partition(b"@")
            if at:
                yield folder + name + at + b"." + rest.rpartition(b".")[2]


def _source(path: bytes) -> bytes | None:
    """What bytecode was compiled from."""
    if not path.endswith(b".pyc"):
        return None
    found = _BYTECODE.fullmatch(path)
    return b"%b%b.py" % (found[1], found[2]) if found else None


def _lists(package: Package) -> tuple[bytes, bytes]:
    name = package.name.encode("utf-8", "replace")
    architecture = package.architecture.encode("utf-8", "replace")
    return b"%b%b.list" % (_INFO, name), b"%b%b:%b.list" % (_INFO, name, architecture)


# -- by directories ---------------------------------------------------------------------------


def _comes_or_goes(change: Change) -> bool:
    """Whether a directory is in one state only, and nothing else in the other."""
    one = change.new if change.old is None else change.old
    both = change.old is not None and change.new is not None
    return not both and one is not None and one.kind == Kind.DIR


def above(path: bytes) -> Iterator[bytes]:
    """The directories above a path, the nearest first, the root last."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _claim_folders(
    left: Iterable[bytes],
    claims: dict[bytes, int],
    common: Mapping[bytes, frozenset[int]],
    folders: set[bytes],
    packages: Sequence[PackageChange],
) -> list[bytes]:
    """Give what lies in a directory that only one package came or went with to that package.

    Returns what is still nobody's.
    """
    beneath: dict[bytes, set[int]] = {}
    for path, index in claims.items():
        for folder in above(path):
            if folder in folders:
                beneath.setdefault(folder, set()).update(common.get(path, (index,)))
    rest: list[bytes] = []
    for path in left:
        for folder in reversed(list(above(path))):
            inside = beneath.get(folder, ())
            if len(inside) == 1 and _may_be_ones(folder, packages[min(inside)].package):
                claims[path] = min(inside)
                break
        else:
            rest.append(path)
    return rest


def _may_be_ones(folder: bytes, package: Package) -> bool:
    """Whether a directory can belong to one package: not if others could be installed there."""
    place = package.place
    around = folder == place or place.startswith(folder + b"/")
    return folder.count(b"/") + 1 >= _SHALLOWEST and not around


def _loose(
    paths: Sequence[bytes], claims: Iterable[bytes], folders: set[bytes], shared: Iterable[bytes]
) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Each path by itself, but bytecode with its source, and what is in a directory that is
    altogether loose as one: there may be thousands of files."""
    mixed = {folder for path in (*claims, *shared) for folder in above(path)}
    own = set(paths)
    found: dict[bytes, list[bytes]] = {}
    for path in paths:
        source = _source(path)
        key = source if source in own else path
        for folder in reversed(list(above(path))):
            if folder and folder in folders and folder not in mixed:
                key = folder + b"/"
                break
        assert key is not None
        found.setdefault(key, []).append(path)
    for key in sorted(found):
        yield (key or b"/").decode("utf-8", "backslashreplace"), tuple(found[key])
