# SPDX-License-Identifier: Apache-2.0
"""The distribution an environment is, from its os-release(5), and the URLs of its packages.

A package URL (purl) names a package for every tool that looks up licences or vulnerabilities; what
each type's parts are is in the purl specification's type definitions.
"""

from __future__ import annotations

from dataclasses import dataclass

from envgit.packages.model import Files, Package, Unreadable
from envgit.packages.sbom.text import fit

_LARGEST = 64 << 10

# The type of each manager's URLs, and the vendor of systems that do not say who they are.
_TYPES = {
    "dpkg": ("deb", "debian"),
    "rpm": ("rpm", ""),
    "apk": ("apk", "alpine"),
    "pacman": ("alpm", "arch"),
    "pip": ("pypi", ""),
    "conda": ("conda", ""),
    "npm": ("npm", ""),
    "gem": ("gem", ""),
    "cargo": ("cargo", ""),
}

# Where the vendor's name in URLs is not the ID of its os-release: the specification's examples.
_VENDORS = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}


@dataclass(frozen=True, slots=True)
class System:
    """A distribution: fields of os-release(5), empty where it has none."""

    id: str
    name: str
    version: str
    codename: str
    title: str
    homepage: str
    cpe: str


def read_system(files: Files) -> System | None:
    """What the environment says that it is, None where it says nothing."""
    for path in (b"etc/os-release", b"usr/lib/os-release"):
        try:
            data = files.read(path, _LARGEST)
        except Unreadable:  # the first is a link to the second nearly everywhere
            continue
        return _parse(data.decode("utf-8", "replace"))
    return None


def package_url(package: Package, system: System | None) -> str:
    """The package's URL; empty where it has none (a name that no package of its kind can have)."""
    from packageurl import PackageURL

    kind, namespace = _TYPES[package.manager]
    name, version = package.name, package.version
    qualifiers: dict[str, str] = {}
    if package.is_system:
        qualifiers["arch"] = package.architecture
        if package.source not in ("", package.name):
            qualifiers["upstream"] = package.source  # what advisories are about; as syft has it
        if system is not None and system.id:
            namespace = _VENDORS.get(system.id, system.id)
            qualifiers["distro"] = _distribution(package.manager, system)
    if package.manager == "rpm":
        epoch, colon, rest = version.partition(":")
        if colon and epoch.isdecimal():
            version = rest
            if int(epoch[:9]):
                qualifiers["epoch"] = epoch
    elif package.manager == "npm" and name.startswith("@"):
        namespace, _, name = name.partition("/")
    elif package.manager == "conda":
        qualifiers["subdir"] = package.architecture
        if package.provides:  # NAME=VERSION=BUILD
            qualifiers["build"] = package.provides[0].rpartition("=")[2]
    elif package.manager == "gem" and package.architecture not in ("", "ruby", "all"):
        qualifiers["platform"] = package.architecture
    parts = (namespace, name, version, *qualifiers.values())
    if not name.strip(" .") or "/" in name or fit("".join(parts)) != "".join(parts):
        return ""
    try:
        url = PackageURL(
            kind,
            namespace or None,
            name,
            version or None,
            {key: value for key, value in qualifiers.items() if value},
        )
        return url.to_string()
    except (ValueError, TypeError):
        return ""


def _distribution(manager: str, system: System) -> str:
    """``bookworm`` for Debian and its like, ``fedora-40`` for others, nothing where it rolls."""
    if manager == "dpkg" and system.codename:
        return system.codename
    return f"{system.id}-{system.version}" if system.version else ""


def _parse(text: str) -> System:
    import shlex

    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        try:
            fields[key.strip()] = fit(" ".join(shlex.split(value)))
        except ValueError:  # quotes that do not end
            continue
    name = fields.get("NAME", "")
    return System(
        id=fields.get("ID", "").lower(),
        name=name,
        version=fields.get("VERSION_ID", ""),
        codename=fields.get("VERSION_CODENAME", ""),
        title=fields.get("PRETTY_NAME", name),
        homepage=fields.get("HOME_URL", ""),
        cpe=fields.get("CPE_NAME", ""),
    )
