# SPDX-License-Identifier: Apache-2.0
"""apk of Alpine Linux: ``lib/apk/db/installed``, since apk-tools 3 in ``usr``, and its ``world``.

Sources: apk-package(5), apk-world(5), apk-protected_paths(5), and Alpine's wiki, "Apk spec", for
the letters: capitals of a package, then F for a directory and R for each file in it, with M and a
for modes and Z for the digest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, Entry, Kind, find_entry, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of_files
from envgit.packages.paths import remembered, resolver

_PLACES = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_WORLD = b"etc/apk/world"

_LARGEST = 32 << 20
_LARGEST_WORLD = 4 << 20
_MOST_PACKAGES = 100_000
_MOST_LINES = 500_000
"""Of one package; the largest of Alpine have some ten thousand files."""
_LONGEST_FIELD = 1 << 20
_MOST_RELATIONS = 1_000_000

_WORLD_NAME = re.compile(r"[^@<>=~!\s]+")
_DIGESTS = {("Q1", 20): "sha1", ("Q2", 32): "sha256"}


class Apk:
    """The packages of Alpine Linux and what is built on it."""

    name = "apk"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        # From the root, for what says why a package is there lies in etc.
        if path:
            return
        for place in _PLACES:
            entry = find_entry(directory, place)
            if entry is not None and entry.kind == Kind.FILE:
                yield Unit(self.name, place, key_of_files(directory, place, _WORLD))

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        wanted = _wanted(files)
        found: list[Package] = []
        relations = 0
        for stanza in _stanzas(files.read(unit.path, _LARGEST)):
            package = _package(stanza, unit, wanted)
            if package is None:
                continue
            relations += len(package.requires) + len(package.provides) + len(package.conflicts)
            if relations > _MOST_RELATIONS or len(found) >= _MOST_PACKAGES:
                raise Unreadable(f"more than {_MOST_PACKAGES} packages or too many relations")
            found.append(package)
        return found

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        stanza = _by_name(files).get((package.unit, package.name))
        return _manifest(stanza, files) if stanza is not None else ()


def _stanzas(data: bytes) -> Iterator[bytes]:
    if data.count(b"\n\n") > 2 * _MOST_PACKAGES:
        raise Unreadable(f"more than {_MOST_PACKAGES} packages")
    return (stanza for stanza in data.split(b"\n\n") if stanza.strip())


def _lines(stanza: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Letters and values."""
    for line in stanza.split(b"\n", _MOST_LINES):
        if line[1:2] == b":":
            yield line[:1], line[2:]


def _wanted(files: Files) -> set[str] | None:
    """The names that somebody asked for; None where nobody keeps them."""
    if find_entry(files.tree, _WORLD) is None:
        return None
    text = files.read(_WORLD, _LARGEST_WORLD).decode("utf-8", "replace")
    found = (_WORLD_NAME.match(word) for word in text.split())
    return {match[0] for match in found if match}


def _package(stanza: bytes, unit: Unit, wanted: set[str] | None) -> Package | None:
    fields: dict[bytes, str] = {}
    # The package's own letters come before its first directory.
    for letter, value in _lines(stanza.partition(b"\nF:")[0]):
        if len(value) > _LONGEST_FIELD:
            raise Unreadable(f"a field of {len(value)} bytes")
        fields.setdefault(letter, value.decode("utf-8", "replace"))
    name = fields.get(b"P", "")
    if not name:
        return None
    size = fields.get(b"I", "")
    depends = fields.get(b"D", "").split()
    provides = tuple(fields.get(b"p", "").split())
    reason = ""
    if wanted is not None:
        names = {name, *(re.split(r"[<>=~]", one, maxsplit=1)[0] for one in provides)}
        reason = "automatic" if names.isdisjoint(wanted) else "manual"
    return Package(
        manager=Apk.name,
        name=name,
        version=fields.get(b"V", ""),
        architecture=fields.get(b"A", ""),
        unit=unit.path,
        size=int(size) if size.isascii() and size.isdecimal() and len(size) < 19 else None,
        reason=reason,
        # Files, scripts or attributes that could not be installed; S says something else.
        state="broken" if set(fields.get(b"f", "")) & set("fsx") else "installed",
        source=fields.get(b"o", ""),
        summary=fields.get(b"T", ""),
        license=fields.get(b"L", ""),
        homepage=fields.get(b"U", ""),
        requires=tuple(one for one in depends if not one.startswith("!")),
        provides=provides,
        conflicts=tuple(one[1:] for one in depends if one.startswith("!")),
    )


# -- files ------------------------------------------------------------------------------------


@remembered
def _by_name(files: Files) -> dict[tuple[bytes, str], bytes]:
    """The part of the database about each package."""
    found = {}
    for unit in Apk().units(b"", files.tree, ()):
        for stanza in _stanzas(files.read(unit.path, _LARGEST)):
            name = next((value for letter, value in _lines(stanza) if letter == b"P"), b"")
            found[unit.path, name.decode("utf-8", "replace")] = stanza
    return found


def _manifest(stanza: bytes, files: Files) -> Iterator[Shipped]:
    resolve = resolver(files)
    short = any(letter == b"f" and b"S" in value for letter, value in _lines(stanza))
    folder, name, mode, digest = b"", b"", b"", b""

    def shipped() -> Iterator[Shipped]:
        real = resolve.resolve(join(folder, name)) if name else None
        if real is None:
            return
        looked = short or mode.endswith(b":777")
        entry = find_entry(files.tree, real) if looked else None
        # A link's digest is that of its target.
        link = entry is not None and entry.kind == Kind.SYMLINK
        known = "" if link else _digest(digest, entry if short else None, short=short)
        yield Shipped(real, known, _protected(folder))

    for letter, value in _lines(stanza):
        if letter in b"FR":
            yield from shipped()
            folder = value if letter == b"F" else folder
            name, mode, digest = value if letter == b"R" else b"", b"", b""
        elif letter == b"a":
            mode = value
        elif letter == b"Z":
            digest = value
    yield from shipped()


def _digest(text: bytes, entry: Entry | None, *, short: bool) -> str:
    """``Q1`` and base64 of a SHA-1, ``Q2`` of a SHA-256.

    Of packages in apk-tools 3's own format (``f:S``), ``Q1`` is the first 160 bits of a SHA-256
    instead: a file that has them counts as having the rest.
    """
    try:
        raw = base64.b64decode(text[2:], validate=True)
    except (binascii.Error, ValueError):
        return ""
    algorithm = _DIGESTS.get((text[:2].decode("ascii", "replace"), len(raw)))
    if algorithm is None:
        return ""
    if algorithm == "sha1" and short:
        known = entry is not None and entry.sha256.startswith(raw.hex())
        return f"sha256:{entry.sha256}" if known and entry else f"sha256-160:{raw.hex()}"
    return f"{algorithm}:{raw.hex()}"


def _protected(folder: bytes) -> bool:
    """Whether apk leaves files there as users edited them (apk-protected_paths(5), defaults)."""
    parts = folder.strip(b"/").split(b"/")
    return parts[0] == b"etc" and parts[1:2] not in ([b"init.d"], [b"apk"])
