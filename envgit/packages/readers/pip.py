# SPDX-License-Identifier: Apache-2.0
"""Reads what Python's installers record beside the packages they install.

The formats: "Recording installed projects" (``*.dist-info`` with METADATA, RECORD, INSTALLER,
REQUESTED, direct_url.json) and "Core metadata" of packaging.python.org; for what setuptools and
distutils left, ``*.egg-info`` directories or files, ``*.egg`` and ``*.egg-link`` as described in
setuptools' "The Internal Structure of Python Eggs".

Every directory can be one that Python imports from (``pip install --target``, PYTHONPATH), but for
those that are part of what is installed (``pip/_vendor``) or in the caches of installers.
"""

from __future__ import annotations

import base64
import binascii
import csv
import posixpath
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from posixpath import normpath

from envgit.layers.entry import Directory, Kind, find_directory, find_entry, join
from envgit.packages.model import VOLATILE, Files, Package, Shipped, Unit, Unreadable, key_of
from envgit.packages.paths import resolver
from envgit.packages.readers import eggs
from envgit.packages.readers.beneath import files_below
from envgit.packages.readers.coremetadata import carrier, described, headers, one_line
from envgit.packages.readers.jsontext import load_object, table

_UNITS = (b".dist-info", b".egg-info", b".egg", b".egg-link")
_SITES = (b"site-packages", b"dist-packages")
_KEYED = (b"METADATA", b"RECORD", b"INSTALLER", b"REQUESTED", b"direct_url.json")
_KEYED_EGG = (b"PKG-INFO", b"requires.txt", b"installed-files.txt")

# Directories below which no directory but a site-packages is imported from: parts of other
# packages, builds and downloads.
_NOT_BELOW = (
    *_SITES,
    *(b"_vendor", b"_vendored_packages", b"_vendored", b".cache", b"archive-v0", b".eggs"),
)

_METADATA = 16 << 20
"""Bytes of a METADATA or PKG-INFO; the largest on PyPI are long descriptions of 1 MB."""

_RECORD = 32 << 20
"""Bytes of a RECORD; the largest packages on PyPI have 30,000 files, about 4 MB."""

_INSTALLERS = {
    sha256(text.encode()).hexdigest(): text.strip()
    for name in ("pip", "uv", "poetry", "conda", "debian", "rpm")
    for text in (name, f"{name}\n")
}


class Pip:
    """Packages that Python sees, whoever installed them."""

    name = "pip"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """Each ``*.dist-info``, ``*.egg-info``, ``*.egg`` and ``*.egg-link``."""
        found = [name for name in names if name.endswith(_UNITS)]
        if not found or not is_place(path):
            return
        site = path.rpartition(b"/")[2] in _SITES
        for name in found:
            # A leading "~" is what pip renames a package to while it replaces it.
            if name.startswith(b"~") or not (site or name.endswith(b".dist-info")):
                continue
            key = _key(directory, name)
            if key is not None:
                yield Unit(self.name, join(path, name), key)

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        """The one package of a unit."""
        place, _, name = unit.path.rpartition(b"/")
        if name.endswith(b".egg-link"):
            yield eggs.linked(unit, place, files)
        elif name.endswith(b".dist-info"):
            yield _dist_info(unit, place, files)
        else:
            yield eggs.egg(unit, place, files)

    def manifest(self, package: Package, files: Files) -> Iterable[Shipped]:
        """What RECORD says, or what a legacy installer kept in its place."""
        known = resolver(files)
        found: dict[bytes, Shipped] = {}
        if package.unit.endswith(b".dist-info"):
            for path, digest in _record(package.unit, files):
                there = known.resolve(normpath(posixpath.join(package.place, path)))
                if there is not None:
                    found[there] = Shipped(there, digest)
        else:
            for path in eggs.installed(package, files):
                there = known.resolve(path)
                if there is not None:
                    found[there] = Shipped(there)
        for path in unit_files(package.unit, files.tree):
            found.setdefault(path, Shipped(path))
        return found.values()


def is_place(path: bytes) -> bool:
    """Whether Python may import from this directory, so that what is described there is there."""
    parts = path.split(b"/")
    if parts[-1] in _SITES:
        # In conda's cache of unpacked packages: pkgs/NAME-VERSION-BUILD/lib/python3.12/... or, of
        # those for every Python, pkgs/NAME-VERSION-BUILD/site-packages
        return parts[-5:-4] != [b"pkgs"] and parts[-3:-2] != [b"pkgs"]
    return not any(part in _NOT_BELOW for part in parts)


def unit_files(unit: bytes, root: Directory) -> list[bytes]:
    """The files that a unit consists of."""
    entry = find_entry(root, unit)
    if entry is None:
        return []
    return files_below(root, unit) if entry.kind == Kind.DIR else [unit]


def _key(directory: Directory, name: bytes) -> str | None:
    """A unit's key; None when it is none."""
    below = directory.directory(name)
    if below is None:
        entry = directory.lookup(name)
        if entry is None or name.endswith(b".dist-info"):
            return None
        linked = entry.kind == Kind.SYMLINK or name.endswith(b".egg-link")
        return f"{VOLATILE}{key_of(entry)}" if linked else key_of(entry)
    if name.endswith(b".egg"):
        inner = below.directory(b"EGG-INFO")
        if inner is None:
            return None
        below = inner
    keyed = _KEYED if name.endswith(b".dist-info") else _KEYED_EGG
    return key_of(*(part for one in keyed for part in (one, below.lookup(one))))


def _dist_info(unit: Unit, place: bytes, files: Files) -> Package:
    inside = find_directory(files.tree, unit.path)
    if inside is None:
        raise Unreadable("its directory is not there")
    names = set(inside.names())
    fields = headers(files.read(join(unit.path, b"METADATA"), _METADATA))
    installer = _installer(inside, unit.path, files) if b"INSTALLER" in names else ""
    reason = ""
    if installer == "pip":
        reason = "manual" if b"REQUESTED" in names else "automatic"
    elif b"REQUESTED" in names and installer != "uv":
        # uv writes it for whatever it installs (astral-sh/uv, issue 13278).
        reason = "manual"
    editable = b"direct_url.json" in names and _editable(unit.path, files)
    return described(
        fields,
        unit,
        place,
        requires=tuple(one_line(one) for one in fields.get("requires-dist", ())),
        size=_size(unit.path, files) if b"RECORD" in names else None,
        reason=reason,
        state="editable" if editable else "installed",
        carried_by=carrier(place, installer, files),
    )


def _installer(inside: Directory, unit: bytes, files: Files) -> str:
    entry = inside.lookup(b"INSTALLER")
    if entry is not None and entry.sha256 in _INSTALLERS:
        # Of so short a text its digest says all, and opening it is half the work of a package.
        return _INSTALLERS[entry.sha256]
    words = files.read(join(unit, b"INSTALLER"), 4096).decode("utf-8", "replace").split()
    return words[0].lower() if words else ""


def _editable(unit: bytes, files: Files) -> bool:
    try:
        said = load_object(files.read(join(unit, b"direct_url.json"), 1 << 16))
    except Unreadable:
        return False
    return table(said.get("dir_info")).get("editable") is True


def _size(unit: bytes, files: Files) -> int | None:
    """The sum of the last fields of RECORD's lines."""
    try:
        lines = files.read(join(unit, b"RECORD"), _RECORD).splitlines()
    except Unreadable:
        return None
    sizes = (line.rpartition(b",")[2] for line in lines)
    return sum(int(size) for size in sizes if size.isdigit() and len(size) < 16)


def _record(unit: bytes, files: Files) -> Iterator[tuple[bytes, str]]:
    """Path and digest of each line of RECORD. Raises Unreadable."""
    entry = find_entry(files.tree, join(unit, b"RECORD"))
    if entry is None:
        return
    text = files.read(join(unit, b"RECORD"), _RECORD).decode("utf-8", "surrogateescape")
    try:
        for row in csv.reader(text.splitlines()):
            if row and row[0]:
                path = row[0].encode("utf-8", "surrogateescape")
                yield path, _digest(row[1] if len(row) > 1 else "")
    except (csv.Error, UnicodeEncodeError) as error:
        raise Unreadable(f"RECORD: {error}") from error


def _digest(said: str) -> str:
    """``sha256=BASE64`` without padding, as in ``algorithm:HEX``."""
    algorithm, _, value = said.partition("=")
    if not value or len(value) > 128:
        return ""
    try:
        return f"{algorithm}:{base64.urlsafe_b64decode(value + '=' * (-len(value) % 4)).hex()}"
    except (binascii.Error, ValueError):
        return ""
