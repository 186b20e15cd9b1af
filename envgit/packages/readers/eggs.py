# SPDX-License-Identifier: Apache-2.0
"""Reads what setuptools and distutils recorded before there was ``*.dist-info``.

Sources: setuptools' "The Internal Structure of Python Eggs" (PKG-INFO, requires.txt, ``*.egg`` as
a directory or a zip file, ``*.egg-link``) and pip's ``installed-files.txt``.
"""

from __future__ import annotations

import io
from dataclasses import replace
from posixpath import normpath

from envgit.layers.entry import Kind, find_directory, find_entry, join
from envgit.packages.model import Files, Package, Unit, Unreadable
from envgit.packages.paths import resolver, target_of
from envgit.packages.readers.coremetadata import carrier, described, headers, one_line

_LARGEST = 16 << 20
_ZIPPED = 64 << 20
_MOST_ZIPPED = 100_000
_LIST = 16 << 20


def egg(unit: Unit, place: bytes, files: Files) -> Package:
    """The package of an ``*.egg-info`` or ``*.egg``, directory or file. Raises Unreadable."""
    metadata, requires = _read(unit.path, files)
    fields = headers(metadata)
    wanted = requirements(requires.decode("utf-8", "replace"))
    if not wanted:
        wanted = tuple(one_line(one) for one in fields.get("requires-dist", ()))
    # easy_install was always asked for by name, but took what that needs along: nobody knows.
    return described(fields, unit, place, requires=wanted, carried_by=carrier(place, "", files))


def linked(unit: Unit, place: bytes, files: Files) -> Package:
    """The project that an ``*.egg-link`` (``setup.py develop``) points to. Raises Unreadable."""
    text = files.read(unit.path, 1 << 16)
    target = resolver(files).directory(normpath(text.split(b"\n", 1)[0].strip())) or b""
    directory = find_directory(files.tree, target)
    if not target or directory is None:
        raise Unreadable("it points to a directory that is not there")
    wanted = unit.path.rpartition(b"/")[2].removesuffix(b".egg-link")
    for name in sorted(directory.names()):
        project = name.removesuffix(b".egg-info")
        if project != name and project.replace(b"_", b"-") == wanted.replace(b"_", b"-"):
            found = egg(Unit(unit.manager, join(target, name), ""), place, files)
            return replace(found, unit=unit.path, state="editable")
    raise Unreadable("the project that it points to has no metadata")


def installed(package: Package, files: Files) -> list[bytes]:
    """The paths that an ``*.egg-info`` lists in its ``installed-files.txt``, from the root."""
    listing = join(package.unit, b"installed-files.txt")
    if find_entry(files.tree, listing) is None:
        return []
    lines = files.read(listing, _LIST).splitlines()
    return [
        line if line.startswith(b"/") else normpath(join(package.unit, line))
        for line in lines
        if line
    ]


def requirements(text: str) -> tuple[str, ...]:
    """The lines of a ``requires.txt`` as Requires-Dist has them: sections become markers."""
    found: list[str] = []
    marker = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            extra, _, condition = line[1:-1].partition(":")
            parts = [f"({condition})"] if condition and extra else [condition] * bool(condition)
            if extra:
                parts.append(f'extra == "{extra}"')
            marker = " and ".join(parts)
        elif line and not line.startswith("#"):
            text, _, own = line.partition(";")
            both = " and ".join(part for part in (own.strip(), marker) if part)
            found.append(f"{text.strip()} ; {both}" if both else text.strip())
    return tuple(found)


def _read(unit: bytes, files: Files) -> tuple[bytes, bytes]:
    """PKG-INFO and requires.txt (empty where there is none)."""
    entry = find_entry(files.tree, unit)
    if entry is not None and entry.kind == Kind.SYMLINK:
        # Debian's packages have links from one version of Python to another.
        unit = resolver(files).resolve(target_of(unit, entry.target)) or unit
        entry = find_entry(files.tree, unit)
    if entry is None:
        raise Unreadable("it is not there")
    if entry.kind == Kind.FILE:
        if not unit.endswith(b".egg"):
            return files.read(unit, _LARGEST), b""
        return _zipped(files.read(unit, _ZIPPED))
    if unit.endswith(b".egg"):
        unit = join(unit, b"EGG-INFO")
    requires = join(unit, b"requires.txt")
    there = find_entry(files.tree, requires) is not None
    metadata = files.read(join(unit, b"PKG-INFO"), _LARGEST)
    return metadata, files.read(requires, _LARGEST) if there else b""


def _zipped(data: bytes) -> tuple[bytes, bytes]:
    import zipfile  # 20 ms that hardly any environment needs

    if data.count(b"PK\x01\x02") > _MOST_ZIPPED:
        raise Unreadable(f"it has more than {_MOST_ZIPPED} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = []
            for name in ("EGG-INFO/PKG-INFO", "EGG-INFO/requires.txt"):
                try:
                    with archive.open(name) as file:
                        parts.append(file.read(_LARGEST))
                except KeyError:
                    parts.append(b"")
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Unreadable(f"it is no egg: {error}") from error
    return parts[0], parts[1]
