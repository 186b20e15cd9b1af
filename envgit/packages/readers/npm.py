# SPDX-License-Identifier: Apache-2.0
"""Reads what npm, yarn and pnpm install into a ``node_modules``, of a project or for all users.

Sources: package.json(5), package-lock-json(5) of npm on the hidden lockfile
``node_modules/.package-lock.json``, folders(5) for what is global, and pnpm's "Symlinked
node_modules structure".

A package is called by the directory that it is in, as Node resolves it; the name that it was
published by, where npm installed it under another, is its ``source``. ``place`` is the folder that
holds the ``node_modules`` it is in, which is a package's own directory for what is nested. Where
there is a hidden lockfile that is one unit for all; else each package is one, with what is nested
in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

from envgit.layers.entry import Directory, Entry, Kind, find_directory, find_entry, is_path, join
from envgit.packages.model import VOLATILE, Files, Package, Shipped, Unit, Unreadable, key_of
from envgit.packages.paths import resolver, target_of
from envgit.packages.readers.beneath import files_below
from envgit.packages.readers.jsontext import load_object, table, text, texts

_MODULES = b"node_modules"
_LOCK = b".package-lock.json"
_STORE = b".pnpm"
_JSON = b"package.json"

# What other installers leave: they take no care of npm's lockfile.
_OTHERS = (b".modules.yaml", b".yarn-integrity", b".yarn-state.yml")

_LARGEST_LOCK = 32 << 20
_LARGEST_JSON = 4 << 20
_MOST = 100_000
_MOST_WISHES = 10_000
_DEEPEST = 64
"""Directories ``node_modules`` in one another."""


class Npm:
    """Packages of Node."""

    name = "npm"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """From the folder that holds a ``node_modules``: what was asked for is noted there."""
        if _MODULES not in names or path == _MODULES or b"node_modules" in path.split(b"/"):
            return
        modules = directory.directory(_MODULES)
        if modules is None:
            return
        asked = directory.lookup(_JSON) if _JSON in names else None
        lock = modules.lookup(_LOCK)
        base = join(path, _MODULES)
        others = any(modules.lookup(name) is not None for name in _OTHERS)
        if lock is not None and lock.kind == Kind.FILE and not others:
            # Of what somebody copied there later, the lockfile does not know.
            yield Unit(self.name, join(base, _LOCK), key_of(lock, asked, *_names(modules)))
            return
        for name, entry in _members(modules):
            if entry.kind == Kind.SYMLINK:
                if b"/.pnpm/" not in b"/" + entry.target:
                    yield Unit(self.name, join(base, name), f"{VOLATILE}{key_of(entry, asked)}")
                continue
            key = _key(modules, name, asked)
            if key is not None:
                yield Unit(self.name, join(base, name), key)
        yield from self._stored(modules, base, asked)

    def _stored(self, modules: Directory, base: bytes, asked: Entry | None) -> Iterator[Unit]:
        """pnpm's real packages: each in a ``node_modules`` of its own, its needs linked."""
        store = modules.directory(_STORE)
        for folder in sorted(store.names()) if store is not None else ():
            inner = find_directory(modules, join(join(_STORE, folder), _MODULES))
            for name, entry in _members(inner) if inner is not None and folder != _MODULES else ():
                if inner is None or entry.kind != Kind.DIR:
                    continue
                key = _key(inner, name, asked)
                if key is not None:
                    at = b"/".join((base, _STORE, folder, _MODULES, name))
                    yield Unit(self.name, at, key)

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        """The packages of a lockfile, or a package with those nested in it."""
        place = unit.path.partition(b"/node_modules/")[0]
        if unit.path.startswith(b"node_modules/"):
            place = b""
        asked = _asked(place, files)
        if unit.path.endswith(b"/" + _LOCK):
            return _of_lockfile(unit, place, asked, files)
        return _of_directory(unit, place, asked, files)

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        """All files in its directory but what is nested, and the links to its programs."""
        folder = directory_of(package)
        for path in files_below(files.tree, folder, skip=_MODULES):
            yield Shipped(path)
        entry = find_entry(files.tree, folder)
        if entry is not None and entry.kind == Kind.SYMLINK:
            yield Shipped(folder)
        yield from map(Shipped, _programs(package, folder, files))


def directory_of(package: Package) -> bytes:
    """The directory that a package is in."""
    if b"/.pnpm/" in package.unit:
        return package.unit
    return join(join(package.place, _MODULES), package.name.encode("utf-8", "surrogateescape"))


def _names(modules: Directory) -> list[bytes]:
    """All names in a ``node_modules``, as packages are called."""
    found: list[bytes] = []
    for name in modules.names():
        scope = modules.directory(name) if name.startswith(b"@") else None
        found += [name] if scope is None else [join(name, inner) for inner in scope.names()]
    return sorted(found)


def _members(modules: Directory) -> Iterator[tuple[bytes, Entry]]:
    """What can be packages in a ``node_modules``, those of scopes as ``@scope/name``."""
    for name in modules.names():
        if name.startswith(b"."):
            continue
        if name.startswith(b"@"):
            scope = modules.directory(name)
            for inner in scope.names() if scope is not None else ():
                entry = scope.lookup(inner) if scope is not None else None
                if entry is not None and entry.kind in (Kind.DIR, Kind.SYMLINK):
                    yield join(name, inner), entry
            continue
        entry = modules.lookup(name)
        if entry is not None and entry.kind in (Kind.DIR, Kind.SYMLINK):
            yield name, entry


def _key(modules: Directory, name: bytes, asked: Entry | None) -> str | None:
    """The key of a package: of its metadata and of those nested in it. None: it has none."""
    own = find_entry(modules, join(name, _JSON))
    if own is None:
        return None
    parts: list[bytes | Entry | None] = [own, asked]
    for path, directory in _nested(find_directory(modules, name)):
        parts += (path, directory.lookup(_JSON))
    return key_of(*parts)


def _nested(directory: Directory | None, path: bytes = b"") -> Iterator[tuple[bytes, Directory]]:
    """The packages in the ``node_modules`` of a package, and in theirs: path and directory."""
    stack = [(path, directory, 0)]
    count = 0
    while stack:
        at, package, depth = stack.pop()
        modules = package.directory(_MODULES) if package is not None else None
        if modules is None or depth >= _DEEPEST:
            continue
        for name, entry in sorted(_members(modules), key=lambda one: one[0]):
            below = find_directory(modules, name) if entry.kind == Kind.DIR else None
            if below is None:
                continue
            count += 1
            if count > _MOST:
                return
            inner = join(join(at, _MODULES), name)
            yield inner, below
            stack.append((inner, below, depth + 1))


def _asked(place: bytes, files: Files) -> frozenset[str] | None:
    """The names that a project asks for; None where no project says so."""
    path = join(place, _JSON)
    if find_entry(files.tree, path) is None:
        return None
    try:
        said = load_object(files.read(path, _LARGEST_JSON))
    except Unreadable:
        return None
    kinds = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    return frozenset(name for kind in kinds for name in table(said.get(kind)))


# -- with a hidden lockfile -------------------------------------------------------------------


def _of_lockfile(
    unit: Unit, place: bytes, asked: frozenset[str] | None, files: Files
) -> Iterator[Package]:
    entries = table(load_object(files.read(unit.path, _LARGEST_LOCK)).get("packages"))
    if len(entries) > _MOST:
        raise Unreadable(f"more than {_MOST} packages")
    base = find_directory(files.tree, place)
    known: set[bytes] = set()
    for where, described in entries.items():
        path = where.encode("utf-8", "surrogatepass")
        if not where.startswith("node_modules/") or not is_path(path) or base is None:
            continue
        known.add(path)
        described = table(described)
        linked = described.get("link") is True
        if linked:
            described = table(entries.get(text(described.get("resolved"), 4096)))
        there = find_entry(base, path)
        if there is None or (there.kind != Kind.DIR and not linked):
            continue
        holder, _, name = path.rpartition(b"node_modules/")
        package = _package(
            described,
            unit,
            join(place, holder.rstrip(b"/")) if holder else place,
            name,
            asked if not holder else frozenset(),
            linked=linked,
        )
        if package is not None:
            yield package
    yield from _unknown_to_lockfile(unit, place, known, files)


def _unknown_to_lockfile(
    unit: Unit, place: bytes, known: set[bytes], files: Files
) -> Iterator[Package]:
    """What lies beside the packages of a lockfile: npm calls it extraneous."""
    modules = find_directory(files.tree, join(place, _MODULES))
    for name, entry in _members(modules) if modules is not None else ():
        inner = join(_MODULES, name)
        if inner in known or entry.kind != Kind.DIR:
            continue
        path = join(join(place, inner), _JSON)
        if find_entry(files.tree, path) is not None:
            described = load_object(files.read(path, _LARGEST_JSON))
            found = _package(described, unit, place, name, frozenset(), state="extraneous")
            if found is not None:
                yield found


# -- without one ------------------------------------------------------------------------------


def _of_directory(
    unit: Unit, place: bytes, asked: frozenset[str] | None, files: Files
) -> Iterator[Package]:
    folder = unit.path
    entry = find_entry(files.tree, folder)
    if entry is not None and entry.kind == Kind.SYMLINK:
        folder = _target(folder, files)
        if folder.startswith(join(place, _MODULES) + b"/"):
            # It is listed where it really is.
            return
    name = unit.path.rpartition(b"node_modules/")[2]
    own = load_object(files.read(join(folder, _JSON), _LARGEST_JSON))
    linked = folder != unit.path
    found = _package(own, unit, place, name, asked, linked=linked)
    if found is not None:
        yield found
    if linked:
        # What a linked folder has in its own node_modules is a project's of its own.
        return
    bundled = set(texts(own.get("bundleDependencies") or own.get("bundledDependencies")))
    for path, directory in _nested(find_directory(files.tree, folder), folder):
        if directory.lookup(_JSON) is None:
            continue
        described = load_object(files.read(join(path, _JSON), _LARGEST_JSON))
        holder, _, inner = path.rpartition(b"/node_modules/")
        nested = _package(described, unit, holder, inner, frozenset(), bundled=bool(bundled))
        if nested is not None:
            yield nested


def _target(link: bytes, files: Files) -> bytes:
    """The real directory that a link, and the links it leads to, stand for."""
    found = resolver(files).directory(link)
    if found is None:
        raise Unreadable("it is a link that leads to no package")
    return found


# -- a package --------------------------------------------------------------------------------


def _package(
    described: dict[str, Any],
    unit: Unit,
    place: bytes,
    name: bytes,
    asked: frozenset[str] | None,
    *,
    linked: bool = False,
    bundled: bool = False,
    state: str = "installed",
) -> Package | None:
    """What package.json, or a lockfile's entry, says; None if it says no version."""
    called = name.decode("utf-8", "surrogateescape")
    version = text(described.get("version"), 256)
    if not version:
        # A folder of somebody's own may have none.
        if not linked:
            return None
        version = "0.0.0"
    published = text(described.get("name"), 512)
    reason = ""
    if asked is not None:
        reason = "manual" if called in asked else "automatic"
    elif place.rpartition(b"/")[2] == b"lib":
        # Right in PREFIX/lib/node_modules is what was asked for with --global alone.
        reason = "manual"
    return Package(
        manager="npm",
        name=called,
        version=version,
        place=place,
        unit=unit.path,
        reason=reason,
        state="linked" if linked else state,
        source=published if published != called else "",
        carried_by="npm" if bundled or described.get("inBundle") is True else "",
        summary=text(described.get("description")),
        license=_license(described),
        homepage=text(described.get("homepage")),
        requires=tuple(_requires(described)),
    )


def _requires(described: dict[str, Any]) -> Iterator[str]:
    """``NAME@RANGE``, with `` (optional)`` after what may be absent."""
    optional = table(described.get("optionalDependencies"))
    for name, wanted in _wishes(described, "dependencies"):
        if name not in optional:
            yield f"{name}@{text(wanted)}"
    for name, wanted in _wishes(described, "optionalDependencies"):
        yield f"{name}@{text(wanted)} (optional)"
    meta = table(described.get("peerDependenciesMeta"))
    for name, wanted in _wishes(described, "peerDependencies"):
        may = table(meta.get(name)).get("optional") is True
        yield f"{name}@{text(wanted)}" + (" (optional)" if may else "")


def _wishes(described: dict[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    for name, wanted in islice(table(described.get(kind)).items(), _MOST_WISHES):
        # No name on the registry is longer than 214 characters.
        if len(name) <= 512:
            yield name, wanted


def _license(described: dict[str, Any]) -> str:
    said = described.get("license") or described.get("licenses")
    if isinstance(said, list):
        names = [text(one if isinstance(one, str) else table(one).get("type")) for one in said[:20]]
        return " OR ".join(name for name in names if name)
    return text(said if isinstance(said, str) else table(said).get("type"))


def _programs(package: Package, folder: bytes, files: Files) -> Iterator[bytes]:
    """The links that npm makes to a package's programs: those that lead into its directory."""
    path = join(folder, _JSON)
    if find_entry(files.tree, path) is None:
        return
    try:
        said = load_object(files.read(path, _LARGEST_JSON)).get("bin")
    except Unreadable:
        return
    base = package.name.rpartition("/")[2]
    names = [base] if isinstance(said, str) else list(table(said))[:1000]
    modules = join(package.place, _MODULES)
    for name in names:
        encoded = name.encode("utf-8", "replace").rpartition(b"/")[2]
        for shelf in (join(modules, b".bin"), join(package.place.rpartition(b"/")[0], b"bin")):
            link = join(shelf, encoded)
            entry = find_entry(files.tree, link) if encoded else None
            if entry is not None and entry.kind == Kind.SYMLINK:
                target = resolver(files).resolve(target_of(link, entry.target))
                if target is not None and target.startswith(folder + b"/"):
                    yield link
