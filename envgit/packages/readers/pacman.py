# SPDX-License-Identifier: Apache-2.0
"""pacman of Arch Linux: a directory in ``var/lib/pacman/local`` for each package.

Sources: the database as libalpm's be_local writes it (``desc``, ``files``), and mtree(5) for what
makepkg notes of each file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, Kind, find_directory, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of_files
from envgit.packages.paths import plain, resolver

_LOCAL = b"var/lib/pacman/local"

_LARGEST_DESC = 1 << 20
_LARGEST_FILES = 32 << 20
_LARGEST_MTREE = 64 << 20
"""Bytes once decompressed; the largest package of Arch has 15 MB."""
_MOST_LINES = 500_000

_MOST_WORDS = 64

_OCTAL = re.compile(rb"\\([0-3][0-7][0-7])")


class Pacman:
    """The packages of Arch Linux and what descends from it."""

    name = "pacman"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        if path != _LOCAL:
            return
        for name in names:
            package = directory.directory(name)
            entry = package.lookup(b"desc") if package is not None else None
            if package is not None and entry is not None and entry.kind == Kind.FILE:
                yield Unit(self.name, join(path, name), key_of_files(package, b"desc"))

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        fields = _fields(files.read(unit.path + b"/desc", _LARGEST_DESC))

        def one(field: str) -> str:
            return next(iter(fields.get(field, ())), "")

        if not one("NAME"):
            raise Unreadable("a package without a name")
        size = one("SIZE")
        yield Package(
            manager=self.name,
            name=one("NAME"),
            version=one("VERSION"),
            architecture=one("ARCH"),
            unit=unit.path,
            size=int(size) if size.isascii() and size.isdecimal() and len(size) < 19 else None,
            reason="automatic" if one("REASON") == "1" else "manual",
            source=one("BASE"),
            summary=one("DESC"),
            license=" AND ".join(fields.get("LICENSE", ())),
            homepage=one("URL"),
            requires=tuple(fields.get("DEPENDS", ())),
            provides=tuple(fields.get("PROVIDES", ())),
            conflicts=tuple(fields.get("CONFLICTS", ())),
        )

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        directory = find_directory(files.tree, package.unit)
        names = sorted(directory.names()) if directory is not None else []
        if b"files" in names:
            yield from _manifest(package.unit, files, mtree=b"mtree" in names)
        for name in names:
            path = join(package.unit, name)
            if find_directory(files.tree, path) is None:
                yield Shipped(path)


def _fields(data: bytes) -> dict[str, list[str]]:
    """Lists by field: a name between percent signs, then a value a line up to an empty one."""
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n", _MOST_LINES):
        if not line:
            values = []
        elif line[0] == "%" and line[-1] == "%" and len(line) > 2:
            values = found.setdefault(line[1:-1], [])
        else:
            values.append(line)
    return found


def _manifest(unit: bytes, files: Files, *, mtree: bool) -> Iterator[Shipped]:
    lines = files.read(unit + b"/files", _LARGEST_FILES).split(b"\n", _MOST_LINES)
    listed: list[bytes] = []
    backup: dict[bytes, bytes] = {}
    section = b""
    for line in lines:
        if line[:1] == b"%" and line[-1:] == b"%":
            section = line
        elif section == b"%FILES%" and line and not line.endswith(b"/"):
            listed.append(line)
        elif section == b"%BACKUP%" and line:
            path, _, digest = line.partition(b"\t")
            backup[path] = digest
    digests = _mtree(files.read(unit + b"/mtree", _LARGEST_FILES)) if mtree else {}
    resolve = resolver(files)
    for path in listed:
        real = resolve.resolve(path)
        if real is None or resolve.is_directory(real):
            continue
        known = digests.get(path, "")
        if not known and len(backup.get(path, b"")) == 32:
            known = f"md5:{backup[path].decode('ascii', 'replace')}"
        yield Shipped(real, known, path in backup)


def _mtree(data: bytes) -> dict[bytes, str]:
    """The digest of each file; ``/set`` lines hold what entries have in common, never digests."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, _LARGEST_MTREE)
    except zlib.error as error:
        raise Unreadable(f"mtree: {error}") from error
    found = {}
    for line in text.split(b"\n", _MOST_LINES):
        if not line.startswith(b"./"):
            continue
        name, *words = line.split(b" ", _MOST_WORDS)
        path = plain(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), name))
        for wanted in (b"sha256digest=", b"md5digest="):
            digest = next((word for word in words if word.startswith(wanted)), None)
            if digest is not None and path is not None:
                algorithm = wanted.removesuffix(b"digest=").decode()
                found[path] = f"{algorithm}:{digest[len(wanted) :].decode('ascii', 'replace')}"
                break
    return found
