# SPDX-License-Identifier: Apache-2.0
"""Reads Python's core metadata, which every way to install a Python package leaves behind.

The fields are those of "Core metadata specifications" of packaging.python.org. Nothing is
required but a name and a version: old writers and hostile ones leave anything.
"""

from __future__ import annotations

from envgit.packages.model import Files, Package, Unit, Unreadable
from envgit.packages.readers.carriers import system_manager

Fields = dict[str, list[str]]
"""Values by the field's name in lower case."""

_HEADERS = 1 << 20
"""Bytes of its headers."""

_MOST = 10_000
"""Requirements of one package."""

_LINE = 512
"""Characters of what is shown in one line."""

# What the INSTALLER file says of those who bring Python packages within packages of their own.
_CARRIERS = {
    "debian": "dpkg",
    "dpkg": "dpkg",
    "rpm": "rpm",
    "conda": "conda",
    "apk": "apk",
    "gpep517": "apk",
    "pacman": "pacman",
}
_OWN = frozenset({"pip", "uv", "poetry", "pdm", "flit", "hatch", "pipenv", "rye", "pixi"})


def headers(data: bytes) -> Fields:
    """The fields of core metadata, without the description that may follow them.

    The email package, whose format this is, takes twice as long as all else for a package.
    """
    text = data[:_HEADERS].decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\ufeff\n")
    found: Fields = {}
    values: list[str] = []
    for line in text.partition("\n\n")[0].split("\n"):
        if line[:1] in (" ", "\t"):
            if values and len(values[-1]) < 4 * _LINE:
                values[-1] += "\n" + line.strip()
            continue
        name, colon, value = line.partition(":")
        if not colon:
            values = []
            continue
        values = found.setdefault(name.strip().lower(), [])
        values.append(value.strip())
    return found


def first(fields: Fields, name: str) -> str:
    """A field in one line, empty where there is none."""
    values = fields.get(name)
    return one_line(values[0]) if values else ""


def described(
    fields: Fields,
    unit: Unit,
    place: bytes,
    *,
    requires: tuple[str, ...] = (),
    size: int | None = None,
    reason: str = "",
    state: str = "installed",
    carried_by: str = "",
) -> Package:
    """The package that metadata describe. Raises Unreadable: without a name or a version."""
    name, version = first(fields, "name"), first(fields, "version")
    if not name or not version:
        raise Unreadable("its metadata have no name or no version")
    return Package(
        manager="pip",
        name=name,
        version=version,
        place=place,
        unit=unit.path,
        size=size,
        reason=reason,
        state=state,
        carried_by=carried_by,
        summary=first(fields, "summary"),
        license=_license(fields),
        homepage=_homepage(fields),
        requires=tuple(one for one in requires[:_MOST] if one),
    )


def one_line(value: str) -> str:
    """One line of what a field holds; legacy writers leave UNKNOWN where there is nothing."""
    text = " ".join(value[: 4 * _LINE].split())[: 2 * _LINE]
    return "" if text == "UNKNOWN" else text


def carrier(place: bytes, installer: str, files: Files) -> str:
    """The manager whose own package brought what an installer put into a site directory."""
    if installer in _CARRIERS:
        return _CARRIERS[installer]
    parts = place.split(b"/")
    if installer in _OWN or parts[:2] not in ([b"usr", b"lib"], [b"usr", b"lib64"]):
        return ""
    # The directories that distributions build their own Python for; pip is told to keep out of them
    # (PEP 668) and writes an INSTALLER where it does not. Debian alone calls them dist-packages.
    if len(parts) != 4 or not parts[2].startswith(b"python"):
        return ""
    return system_manager(files) or ("dpkg" if parts[3] == b"dist-packages" else "")


def _license(fields: Fields) -> str:
    said = first(fields, "license-expression")
    if said:
        return said[:_LINE]
    # The field was meant for a name, and many put the whole text there.
    name, _, rest = (fields.get("license") or [""])[0].partition("\n")
    named = one_line(name) if len(name) <= 100 else ""
    if named and not rest:
        return named
    for line in fields.get("classifier", ()):
        if line.startswith("License ::"):
            return one_line(line).rpartition(":: ")[2]
    return named


def _homepage(fields: Fields) -> str:
    said = first(fields, "home-page")
    if said:
        return said
    links = [one_line(one).partition(",")[::2] for one in fields.get("project-url", ())]
    for wanted in ("homepage", "home", "home-page", "repository", "source", "source code"):
        for label, link in links:
            if label.strip().lower() == wanted:
                return link.strip()
    return ""
