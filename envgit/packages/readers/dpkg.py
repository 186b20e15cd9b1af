# SPDX-License-Identifier: Apache-2.0
"""dpkg: ``var/lib/dpkg``, and apt's record of what was installed by itself.

Sources: dpkg(1), deb-control(5), deb-md5sums(5), dpkg-divert(1), apt-mark(8), and dpkg's
doc/spec on the database; ``status.d`` is what rules_docker and distroless images write.

The stanzas are split here rather than by python-debian: that takes 56 ms to import where 400
packages may take 60 in all, and guesses at the encoding of each line which is not UTF-8, which is
seconds for a hostile kilobyte. Here 1,600 packages take 30 ms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from envgit.layers.entry import Directory, Kind, find_directory, find_entry, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of, key_of_files
from envgit.packages.paths import Resolver, plain, remembered, resolver

_STATUS = b"var/lib/dpkg/status"
_DISTROLESS = b"var/lib/dpkg/status.d"
_EXTENDED = b"var/lib/apt/extended_states"
_INFO = b"var/lib/dpkg/info"
_DIVERSIONS = b"var/lib/dpkg/diversions"
_UPDATES = b"var/lib/dpkg/updates"

_LARGEST_STATUS = 32 << 20
_LARGEST_LIST = 32 << 20
_MOST_PACKAGES = 100_000
_MOST_FILES = 500_000
_MOST_UPDATES = 1_000
_MOST_RELATIONS = 10_000
_MOST_RELATIONS_IN_ALL = 2_000_000
_MOST_LINES = 200_000


class Dpkg:
    """The packages of Debian and what descends from it."""

    name = "dpkg"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        # From here, for apt's record of reasons lies beside dpkg's directory.
        if path == b"var/lib" and b"dpkg" in names:
            if find_entry(directory, b"dpkg/status") is not None:
                yield Unit(self.name, _STATUS, _status_key(directory))
        elif path == _DISTROLESS:
            for name in names:
                if not name.endswith((b".md5sums", b".list", b".preinst")):
                    entry = directory.lookup(name)
                    if entry is not None and entry.kind == Kind.FILE:
                        yield Unit(self.name, join(path, name), key_of(entry))

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        data = files.read(unit.path, _LARGEST_STATUS)
        if data.count(b",") > _MOST_RELATIONS_IN_ALL:
            raise Unreadable(f"more than {_MOST_RELATIONS_IN_ALL} relations")
        stanzas = {_name(stanza): stanza for stanza in _stanzas(data)}
        automatic: dict[str, set[str]] | None = None
        if unit.path == _STATUS:
            for update in _updates(files):
                stanzas.update((_name(stanza), stanza) for stanza in _stanzas(update))
            automatic = _automatic(files)
        found = []
        for stanza in stanzas.values():
            package = _package(stanza, unit, automatic)
            if package is not None:
                found.append(package)
        if not found and data.strip() and not stanzas:
            raise Unreadable("no package in it")
        return found

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        if package.unit != _STATUS:
            return _distroless_manifest(package, files)
        return _manifest(package, files)


# -- the database -----------------------------------------------------------------------------

Stanza = dict[str, str]

_ABOUT = ("package", "status", "version", "architecture", "installed-size", "source")
_TEXTS = ("description", "homepage", "conffiles", "auto-installed")
_RELATIONS = ("pre-depends", "depends", "provides", "conflicts", "breaks")
_FIELDS = frozenset((*_ABOUT, *_TEXTS, *_RELATIONS))
"""All others are dropped at once: a hundred thousand packages may name many."""


def _status_key(lib: Directory) -> str:
    updates = find_directory(lib, b"dpkg/updates")
    pending = sorted(updates.names()) if updates is not None else []
    return key_of(
        key_of_files(lib, b"dpkg/status", b"apt/extended_states"),
        *(part for name in pending if updates for part in (name, updates.lookup(name))),
    )


def _stanzas(data: bytes) -> Iterator[Stanza]:
    """Of stanzas that name a package the known fields, in lower case. Linear in ``data``."""
    text = data.decode("utf-8", "replace")
    if text.count("\n\n") > 2 * _MOST_PACKAGES:
        raise Unreadable(f"more than {_MOST_PACKAGES} packages")
    count = 0
    for block in text.split("\n\n"):
        stanza: Stanza = {}
        name = ""
        value: list[str] = []
        if block.count("\n") > _MOST_LINES:
            raise Unreadable(f"a package of more than {_MOST_LINES} lines")
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                value.append(line)
                continue
            if len(value) > 1 and name in _FIELDS:
                stanza[name] = "\n".join(value)
            name, colon, rest = line.partition(":")
            name = name.lower()
            value = [rest.strip()]
            if colon and name in _FIELDS:
                stanza[name] = value[0]
        if len(value) > 1 and name in _FIELDS:
            stanza[name] = "\n".join(value)
        if stanza.get("package"):
            count += 1
            if count > _MOST_PACKAGES:
                raise Unreadable(f"more than {_MOST_PACKAGES} packages")
            yield stanza


def _name(stanza: Stanza) -> tuple[str, str]:
    return stanza["package"], stanza.get("architecture", "")


def _updates(files: Files) -> Iterator[bytes]:
    """What dpkg has noted down since it last wrote ``status``: files of digits, in order."""
    directory = find_directory(files.tree, _UPDATES)
    names = sorted(name for name in directory.names() if name.isdigit()) if directory else []
    for name in names[:_MOST_UPDATES]:
        yield files.read(join(_UPDATES, name), _LARGEST_STATUS)


def _automatic(files: Files) -> dict[str, set[str]]:
    """The packages that apt installed because others need them: names, and architectures."""
    found: dict[str, set[str]] = {}
    if find_entry(files.tree, _EXTENDED) is not None:
        for stanza in _stanzas(files.read(_EXTENDED, _LARGEST_STATUS)):
            if stanza.get("auto-installed") == "1":
                name, architecture = _name(stanza)
                found.setdefault(name, set()).add(architecture)
    return found


def _package(stanza: Stanza, unit: Unit, automatic: dict[str, set[str]] | None) -> Package | None:
    want, _, rest = stanza.get("status", "install ok installed").partition(" ")
    flag, _, state = rest.partition(" ")
    if state == "not-installed" or not want:
        return None
    name, architecture = _name(stanza)
    reason = ""
    if automatic is not None:
        # apt notes packages for all architectures under the native one, whichever that is: such a
        # package has no other of its name beside it.
        listed = architecture in automatic.get(name, ())
        listed = listed or (architecture == "all" and name in automatic)
        reason = "automatic" if listed else "manual"
    size = stanza.get("installed-size", "")
    return Package(
        manager=Dpkg.name,
        name=name,
        version=stanza.get("version", ""),
        architecture=architecture,
        unit=unit.path,
        size=int(size) * 1024 if size.isdecimal() and len(size) < 16 else None,
        reason=reason,
        state=_state(want, flag, state),
        source=stanza.get("source", name).partition(" ")[0],
        summary=stanza.get("description", "").partition("\n")[0],
        homepage=stanza.get("homepage", ""),
        requires=_relations(stanza, "pre-depends", "depends"),
        provides=_relations(stanza, "provides"),
        conflicts=_relations(stanza, "conflicts", "breaks"),
    )


def _state(want: str, flag: str, state: str) -> str:
    """The word for an installed package that is damaged, or of which something else is wanted than
    that it be upgraded when it can be: ``reinstreq``, ``hold``."""
    if state != "installed":
        return state or "unknown"
    if flag != "ok":
        return flag
    return "installed" if want in ("install", "unknown") else want


def _relations(stanza: Stanza, *names: str) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        value = stanza.get(name)
        if value:
            parts = (part.strip() for part in value.split(",", _MOST_RELATIONS))
            found.extend(part for part in parts if part)
    return tuple(found)


# -- what belongs to a package ----------------------------------------------------------------


@dataclass(slots=True)
class _Database:
    """What manifests are made of besides a package's own files."""

    info: dict[bytes, list[bytes]] = field(default_factory=dict)
    diversions: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    conffiles: dict[tuple[str, str], str] = field(default_factory=dict)


@remembered
def _database(files: Files) -> _Database:
    found = _Database()
    info = find_directory(files.tree, _INFO)
    for name in info.names() if info is not None else ():
        # Packages' names have dots, the kinds of files have none (pkg_infodb_foreach).
        found.info.setdefault(name.rpartition(b".")[0], []).append(name)
    if find_entry(files.tree, _DIVERSIONS) is not None:
        lines = files.read(_DIVERSIONS, _LARGEST_LIST).split(b"\n", 3 * _MOST_PACKAGES)
        for contested, instead, by in zip(lines[0::3], lines[1::3], lines[2::3], strict=False):
            path = plain(contested)
            if path is not None:
                found.diversions[path] = (instead, by)
    for stanza in _stanzas(files.read(_STATUS, _LARGEST_STATUS)):
        if "conffiles" in stanza:
            found.conffiles[_name(stanza)] = stanza["conffiles"]
    return found


def _manifest(package: Package, files: Files) -> Iterator[Shipped]:
    database = _database(files)
    base = package.name.encode("utf-8", "replace")
    qualified = b"%b:%b" % (base, package.architecture.encode("utf-8", "replace"))
    names = database.info.get(qualified) or database.info.get(base, [])
    kinds = {name.rpartition(b".")[2]: join(_INFO, name) for name in names}

    listed: list[bytes] = []
    if b"list" in kinds:
        listed = files.read(kinds[b"list"], _LARGEST_LIST).split(b"\n", _MOST_FILES)
    digests: dict[bytes, str] = {}
    if b"md5sums" in kinds:
        digests = _md5sums(files.read(kinds[b"md5sums"], _LARGEST_LIST))
    config = _conffiles(database.conffiles.get((package.name, package.architecture), ""))

    resolve = resolver(files)
    seen: set[bytes] = set()
    for path in _without_directories(listed):
        written = plain(path)
        if written is None:
            continue
        diverted = database.diversions.get(written)
        real = resolve.resolve(written if diverted is None else _diverted(written, diverted, base))
        if real is None or real in seen or resolve.is_directory(real):
            continue
        seen.add(real)
        digest = config.get(written, digests.get(written, ""))
        yield Shipped(real, f"md5:{digest}" if digest else "", written in config)
    for path in sorted(kinds.values()):
        yield Shipped(path)


def _without_directories(paths: list[bytes]) -> list[bytes]:
    """Lists name the directories too; those that hold something else of the list are dropped."""
    parents = {path.rpartition(b"/")[0] for path in paths}
    return [path for path in paths if path not in parents]


def _diverted(path: bytes, diversion: tuple[bytes, bytes], package: bytes) -> bytes:
    """Where a file goes of which somebody said that it goes elsewhere (dpkg-divert(1))."""
    instead, by = diversion
    return path if by == package else instead


def _md5sums(data: bytes) -> dict[bytes, str]:
    found = {}
    for line in data.split(b"\n", _MOST_FILES):
        digest, _, path = line.partition(b"  ")
        checked = plain(path)
        if checked is not None and len(digest) == 32:
            found[checked] = digest.decode("ascii", "replace")
    return found


def _conffiles(value: str) -> dict[bytes, str]:
    """Paths and digests, which are other words for files that were never there."""
    found = {}
    for line in value.split("\n", _MOST_FILES):
        words = line.split()
        while len(words) > 2 and words[-1] in ("obsolete", "remove-on-upgrade"):
            words.pop()
        if len(words) < 2:
            continue
        path = plain(" ".join(words[:-1]).encode("utf-8", "replace"))
        if path is not None:
            found[path] = words[-1] if len(words[-1]) == 32 else ""
    return found


def _distroless_manifest(package: Package, files: Files) -> Iterator[Shipped]:
    """Images without dpkg: ``status.d/NAME`` and, of newer ones, ``status.d/NAME.md5sums``."""
    sums = package.unit + b".md5sums"
    if find_entry(files.tree, sums) is not None:
        resolve: Resolver = resolver(files)
        for path, digest in _md5sums(files.read(sums, _LARGEST_LIST)).items():
            real = resolve.resolve(path)
            if real is not None:
                yield Shipped(real, f"md5:{digest}")
        yield Shipped(sums)
    yield Shipped(package.unit)
