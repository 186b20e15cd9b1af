# SPDX-License-Identifier: Apache-2.0
"""rpm: its database wherever distributions keep it, in any format that rpm has written since 4.0.

Sources: rpm's manual on headers, tags and dependencies. rpm itself knows no reasons; see
`envgit.packages.readers.rpm_reasons`.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, find_directory, find_entry, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of_files
from envgit.packages.paths import remembered, resolver
from envgit.packages.readers import rpm_header as tags
from envgit.packages.readers.rpm_databases import bdb_headers, ndb_headers, sqlite_headers
from envgit.packages.readers.rpm_header import Header
from envgit.packages.readers.rpm_reasons import RECORDS, Reasons

_PLACES = (b"usr/lib/sysimage/rpm", b"var/lib/rpm", b"usr/share/rpm")
_SQLITE, _NDB, _BDB = b"rpmdb.sqlite", b"Packages.db", b"Packages"

_MOST_RELATIONS = 1_000_000
_MOST_FILES = 500_000

# RPMSENSE_* of a relation, RPMFILE_* of a file, RPMFILE_STATE_* (rpmds.h, rpmfiles.h).
_LESS, _GREATER, _EQUAL = 1 << 1, 1 << 2, 1 << 3
_MISSINGOK, _RPMLIB = 1 << 19, 1 << 24
_CONFIG, _GHOST = 1 << 0, 1 << 6
_NOT_INSTALLED, _WRONG_COLOR = 2, 4

_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}


class Rpm:
    """The packages of Fedora, openSUSE and what descends from or resembles them."""

    name = "rpm"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        # From the root, for what says why a package is there lies elsewhere.
        if path:
            return
        for place in _PLACES:
            there = find_directory(directory, place)
            present = set(there.names()) if there is not None else set()
            for name in (_SQLITE, _NDB, _BDB):
                if name in present:
                    database = join(place, name)
                    key = key_of_files(directory, database, database + b"-wal", *RECORDS)
                    yield Unit(self.name, database, key)
                    break

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        reasons = Reasons(files)
        found = []
        relations = 0
        for blob in _blobs(files, unit.path):
            header = Header(blob)
            package = _package(header, unit, reasons)
            relations += sum(
                map(len, (package.requires, package.provides, package.conflicts)),
            )
            if relations > _MOST_RELATIONS:
                raise Unreadable(f"more than {_MOST_RELATIONS} relations")
            found.append(package)
        return found

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        identity = (package.unit, package.name, package.version, package.architecture)
        blob = _headers(files).get(identity)
        return _manifest(Header(blob), files) if blob is not None else ()


def _blobs(files: Files, path: bytes) -> Iterable[bytes]:
    data = files.read(path)
    if path.endswith(_SQLITE):
        log = path + b"-wal"
        return sqlite_headers(data, files.read(log) if find_entry(files.tree, log) else b"")
    return ndb_headers(data) if path.endswith(_NDB) else bdb_headers(data)


@remembered
def _headers(files: Files) -> dict[tuple[bytes, str, str, str], bytes]:
    """Every header by unit, name, version and architecture."""
    found = {}
    for unit in Rpm().units(b"", files.tree, ()):
        for blob in _blobs(files, unit.path):
            header = Header(blob)
            name, version, architecture = _identity(header)
            found[unit.path, name, version, architecture] = blob
    return found


# -- packages ---------------------------------------------------------------------------------


def _identity(header: Header) -> tuple[str, str, str]:
    """Name, version and architecture as ``rpm -qa`` gives them, with the epoch if there is one."""
    epoch = header.integer(tags.EPOCH)
    version = f"{header.text(tags.VERSION)}-{header.text(tags.RELEASE)}"
    return (
        header.text(tags.NAME),
        version if epoch is None else f"{epoch}:{version}",
        header.text(tags.ARCH),
    )


def _package(header: Header, unit: Unit, reasons: Reasons) -> Package:
    name, version, architecture = _identity(header)
    if not name:
        raise Unreadable("a package without a name")
    size = header.integer(tags.LONGSIZE)
    source = header.text(tags.SOURCERPM)
    return Package(
        manager=Rpm.name,
        name=name,
        version=version,
        architecture=architecture,
        unit=unit.path,
        size=header.integer(tags.SIZE) if size is None else size,
        reason=reasons.of(name, architecture),
        # NAME-VERSION-RELEASE.src.rpm
        source=source.rsplit("-", 2)[0] if source.count("-") > 1 else "",
        summary=header.text(tags.SUMMARY).partition("\n")[0],
        license=header.text(tags.LICENSE),
        homepage=header.text(tags.URL),
        requires=_relations(header, tags.REQUIRES),
        provides=_relations(header, tags.PROVIDES),
        conflicts=_relations(header, tags.CONFLICTS),
    )


def _relations(header: Header, kind: tuple[int, int, int]) -> tuple[str, ...]:
    """Relations as rpm prints them, each once. What only rpm itself must be able to do is none."""
    names = header.strings(kind[0], _MOST_RELATIONS)
    flags = header.integers(kind[1], _MOST_RELATIONS)
    versions = header.strings(kind[2], _MOST_RELATIONS)
    found: dict[str, None] = {}
    for index, name in enumerate(names):
        flag = flags[index] if index < len(flags) else 0
        if flag & (_RPMLIB | _MISSINGOK) or name.startswith(b"rpmlib("):
            continue
        text = name.decode("utf-8", "replace")
        sign = (
            ("<" if flag & _LESS else "")
            + (">" if flag & _GREATER else "")
            + ("=" if flag & _EQUAL else "")
        )
        if sign and index < len(versions) and versions[index]:
            text += f" {sign} {versions[index].decode('utf-8', 'replace')}"
        found[text] = None
    return tuple(found)


# -- files ------------------------------------------------------------------------------------


def _manifest(header: Header, files: Files) -> Iterator[Shipped]:
    algorithm = _ALGORITHMS.get(header.integer(tags.FILEDIGESTALGO) or 1, "")
    digests = header.strings(tags.FILEDIGESTS, _MOST_FILES)
    flags = header.integers(tags.FILEFLAGS, _MOST_FILES)
    modes = header.integers(tags.FILEMODES, _MOST_FILES)
    states = header.integers(tags.FILESTATES, _MOST_FILES)
    resolve = resolver(files)
    for index, path in enumerate(_paths(header)):
        if index < len(modes) and stat.S_ISDIR(modes[index]):
            continue
        if index < len(states) and states[index] in (_NOT_INSTALLED, _WRONG_COLOR):
            continue
        real = resolve.resolve(path)
        flag = flags[index] if index < len(flags) else 0
        if real is None or (flag & _GHOST and find_entry(files.tree, real) is None):
            continue
        digest = digests[index].decode("ascii", "replace") if index < len(digests) else ""
        kept = bool(digest and algorithm and not flag & _GHOST)
        yield Shipped(real, f"{algorithm}:{digest}" if kept else "", bool(flag & _CONFIG))


def _paths(header: Header) -> Iterator[bytes]:
    names = header.strings(tags.BASENAMES, _MOST_FILES)
    if not names:
        yield from header.strings(tags.OLDFILENAMES, _MOST_FILES)
        return
    folders = header.strings(tags.DIRNAMES, _MOST_FILES)
    for name, index in zip(names, header.integers(tags.DIRINDEXES, _MOST_FILES), strict=False):
        if index < len(folders):
            yield folders[index] + name
