# SPDX-License-Identifier: Apache-2.0
"""A bill of materials of one state: what a document says, whatever its format.

`bill` gathers it, `render` writes it as CycloneDX or SPDX. Both are pure: no clock, no random
numbers, so that equal states give equal bytes. All text has lost control characters and halves of
surrogate pairs, which no reader of JSON needs to be able to take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from envgit.errors import UsageError
from envgit.layers.entry import Kind, find_entry
from envgit.packages.inventory import Inventory
from envgit.packages.managers import NAMES
from envgit.packages.model import Package, PackageId, Problem
from envgit.packages.sbom_licenses import License, Licenses
from envgit.packages.sbom_system import System, package_url, read_system
from envgit.packages.sbom_text import fit, fit_path, timestamp

_NAMESPACE = UUID("7f0f6e1c-6a55-5d0c-9f9e-2c0d3f6b8a41")
"""Of envgit's serial numbers (RFC 4122, 4.3); any constant would do."""

_GONE = frozenset({"config-files", "not-installed"})
"""States in which dpkg(1) still knows a package of which at most settings are left."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format and the version of its specification: ``cyclonedx-json`` in ``1.6``."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


VERSIONS = {
    "cyclonedx-json": ("1.6", "1.7", "1.5", "1.4"),
    "spdx-json": ("2.3", "2.2"),
}
"""What can be written, as syft and trivy call it; the first version is the default."""

_ALIASES = {"cyclonedx": "cyclonedx-json", "spdx": "spdx-json"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a document is about: a commit, or the worktree on top of one.

    ``version`` is the commit's id, with ``-dirty`` behind it where something is uncommitted;
    ``rootfs`` the git id of the tree of its files, empty where it has none. Times are seconds since
    1970: ``authored`` of the commit, ``created`` that of the document. ``tool`` is our version.
    """

    name: str
    version: str
    commit: str
    rootfs: str
    branch: str
    authored: int | None
    created: int
    tool: str

    def facts(self) -> Iterator[tuple[str, str]]:
        """What there is to say besides name and version, by name."""
        if self.commit:
            yield "commit", self.commit
        if self.rootfs:
            yield "rootfs", self.rootfs
        if self.branch:
            yield "branch", fit(self.branch)
        if self.authored is not None:
            yield "author-date", timestamp(self.authored)


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a package as it is in the tree: ``path`` from the root, ``sha1`` where it was asked
    for, digests in hexadecimal."""

    path: str
    sha256: str
    sha1: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """A package in a document; ``ref`` names it there and nothing else."""

    ref: str
    package: Package
    purl: str
    licenses: tuple[License, ...]
    files: tuple[Content, ...] = ()

    def facts(self) -> Iterator[tuple[str, str]]:
        """What the formats have no field of their own for, by name."""
        package = self.package
        yield "manager", package.manager
        if package.place:
            yield "place", fit_path(package.place)
        yield "database", fit_path(package.unit)
        yield from (
            (name, fit(value))
            for name, value in (
                ("architecture", package.architecture),
                ("source", package.source),
                ("reason", package.reason),
                ("state", "" if package.state == "installed" else package.state),
                ("carried-by", package.carried_by),
            )
            if value
        )
        if package.size is not None:
            yield "size", str(package.size)


@dataclass(frozen=True, slots=True)
class Bill:
    """All that a document says. ``edges`` has what each component needs, by ``ref``; ``roots`` are
    the components that the environment is there for: all others are needed by one of them."""

    subject: Subject
    system: System | None
    components: tuple[Component, ...]
    edges: dict[str, tuple[str, ...]]
    roots: tuple[str, ...]
    problems: tuple[Problem, ...]

    def serial(self, written: Format) -> UUID:
        """The document's serial number: another for whatever says something else."""
        digest = hashlib.sha256(repr((written, self)).encode("utf-8", "backslashreplace"))
        return uuid5(_NAMESPACE, f"{self.subject.version} {digest.hexdigest()}")

    def complaints(self) -> list[str]:
        """The problems, a sentence each."""
        return [
            fit(f"cannot read the {one.manager} database '{fit_path(one.path)}': {one.reason}")
            for one in self.problems
        ]


def parse_format(text: str) -> Format:
    """``cyclonedx``, ``spdx-json``, ``cyclonedx-json@1.5``, … Raises UsageError."""
    name, at, version = text.lower().partition("@")
    name = _ALIASES.get(name, name)
    if name not in VERSIONS:
        raise UsageError(
            f"unknown format '{text}'", hint=f"there are {' and '.join(sorted(VERSIONS))}"
        )
    if at and version not in VERSIONS[name]:
        raise UsageError(
            f"unknown version '{version}' of {name}",
            hint=f"there are {', '.join(sorted(VERSIONS[name]))}",
        )
    return Format(name, version if at else VERSIONS[name][0])


def bill(inventory: Inventory, subject: Subject, *, files: str = "") -> Bill:
    """Gather what there is to say about a state.

    ``files`` lists the packages' files, too: ``sha256`` costs their manifests, ``sha1`` (which SPDX
    wants of every file) reads each of them. Never raises for what a database holds.
    """
    system = read_system(inventory.files)
    contents = inventory.contents
    problems = list(contents.problems)
    packages = sorted((one for one in contents.packages if one.state not in _GONE), key=_order)
    licenses = Licenses(inventory.files)
    components = []
    for ref, purl, package in _named(packages, system):
        listed = tuple(_contents(inventory, package, files)) if files else ()
        components.append(Component(ref, package, purl, licenses.of(package), listed))
    edges = _edges(components, problems)
    return Bill(
        subject, system, tuple(components), edges, _roots(components, edges), tuple(problems)
    )


def render(document: Bill, written: Format) -> bytes:
    """The document as JSON in UTF-8. Raises UsageError if the library does not know the version."""
    if written.name == "spdx-json":
        from envgit.packages import sbom_spdx

        return sbom_spdx.render(document, written)
    from envgit.packages import sbom_cyclonedx

    return sbom_cyclonedx.render(document, written)


# -- what is what ------------------------------------------------------------------------------


def _order(package: Package) -> tuple[int, str, str, str, bytes, bytes]:
    return (
        NAMES.index(package.manager),
        package.name,
        package.version,
        package.architecture,
        package.place,
        package.unit,
    )


def _named(
    packages: Sequence[Package], system: System | None
) -> Iterator[tuple[str, str, Package]]:
    """Each package with its name in the document, which no other has, and its URL.

    The name is the URL, with the place behind it as a subpath where there are several.
    """
    taken: set[str] = set()
    for package in packages:
        purl = package_url(package, system)
        ref = purl or fit(f"{package.manager}:{package.name}@{package.version}")
        if package.place:
            ref += f"#{fit_path(package.place)}"
        unique, number = ref, 2
        while unique in taken:
            unique, number = f"{ref}~{number}", number + 1
        taken.add(unique)
        yield unique, purl, package


def _edges(components: Sequence[Component], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    from envgit.packages.relations import edges

    named: dict[PackageId, list[str]] = {}
    for one in components:
        named.setdefault(one.package.id, []).append(one.ref)
    try:
        found = edges([one.package for one in components])
    except (RecursionError, MemoryError, Exception) as error:
        problems.append(Problem("dependency", b"", f"{type(error).__name__}: {error}"))
        return {}
    return {
        ref: tuple(sorted({to for other in needed for to in named.get(other, ())} - {ref}))
        for identity, needed in found.items()
        for ref in named.get(identity, ())
        if needed
    }


def _roots(components: Sequence[Component], edges: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What was asked for or what nothing needs, and one of each circle that remains."""
    needed = {to for targets in edges.values() for to in targets}
    reached: set[str] = set()
    roots = []
    for certain in (True, False):
        for one in components:
            asked = one.package.reason == "manual" or one.ref not in needed
            if (asked if certain else one.ref not in reached) and one.ref not in roots:
                roots.append(one.ref)
                stack = [one.ref]
                while stack:
                    ref = stack.pop()
                    if ref not in reached:
                        reached.add(ref)
                        stack.extend(edges.get(ref, ()))
    return tuple(sorted(roots))


def _contents(inventory: Inventory, package: Package, wanted: str) -> Iterator[Content]:
    seen: set[bytes] = set()
    for shipped in inventory.manifest(package):
        entry = find_entry(inventory.files.tree, shipped.path)
        if entry is None or entry.kind != Kind.FILE or shipped.path in seen:
            continue
        seen.add(shipped.path)
        digest = ""
        if wanted == "sha1":
            data = inventory.files.read(shipped.path, max(entry.size, 1))
            digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        yield Content(fit_path(shipped.path), entry.sha256, digest)
