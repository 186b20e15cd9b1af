# SPDX-License-Identifier: Apache-2.0
"""Bills of materials: what is installed in a state, for scanners and auditors.

`bill` gathers what there is to say, `render` writes it as CycloneDX or SPDX. Both are pure: no
clock, no random numbers, so that equal states give equal bytes. All text has lost control
characters and halves of surrogate pairs, which no reader of JSON needs to be able to take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from envgit.layers.entry import Kind, find_entry
from envgit.packages.inventory import Inventory
from envgit.packages.managers import NAMES
from envgit.packages.model import ABSENT, Package, PackageId, Problem, Unreadable
from envgit.packages.sbom.document import Bill, Component, Content, Format, Subject
from envgit.packages.sbom.licenses import Licenses
from envgit.packages.sbom.system import System, package_url, read_system
from envgit.packages.sbom.text import fit, fit_path


def bill(inventory: Inventory, subject: Subject, *, files: str = "") -> Bill:
    """Gather what there is to say about a state.

    ``files`` lists the packages' files, too: ``sha256`` costs their manifests, ``sha1`` (which SPDX
    wants of every file) reads each of them. Never raises for what a database holds.
    """
    system = read_system(inventory.files)
    contents = inventory.contents
    problems = list(contents.problems)
    packages = sorted((one for one in contents.packages if one.state not in ABSENT), key=_order)
    licenses = Licenses(inventory.files)
    components = []
    for ref, purl, package in _named(packages, system):
        listed = tuple(_contents(inventory, package, files, problems)) if files else ()
        components.append(Component(ref, package, purl, licenses.of(package), listed))
    edges = _edges(components, problems)
    return Bill(
        subject, system, tuple(components), edges, _roots(components, edges), tuple(problems)
    )


def render(document: Bill, written: Format) -> bytes:
    """The document as JSON in UTF-8. Raises UsageError if the library does not know the version."""
    if written.name == "spdx-json":
        from envgit.packages.sbom import spdx

        return spdx.render(document, written)
    from envgit.packages.sbom import cyclonedx

    return cyclonedx.render(document, written)


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
    certain = [
        one.ref for one in components if one.package.reason == "manual" or one.ref not in needed
    ]
    roots, reached = set(certain), set()
    for ref in (*certain, *(one.ref for one in components)):
        if ref not in reached:
            roots.add(ref)
        stack = [ref]
        while stack:
            found = stack.pop()
            if found not in reached:
                reached.add(found)
                stack.extend(edges.get(found, ()))
    return tuple(sorted(roots))


def _contents(
    inventory: Inventory, package: Package, wanted: str, problems: list[Problem]
) -> Iterator[Content]:
    seen: set[bytes] = set()
    for shipped in inventory.manifest(package):
        entry = find_entry(inventory.files.tree, shipped.path)
        if entry is None or entry.kind != Kind.FILE or shipped.path in seen:
            continue
        seen.add(shipped.path)
        digest = ""
        if wanted == "sha1":
            try:
                data = inventory.files.read(shipped.path)
            except Unreadable as error:  # larger than a database may be
                problems.append(Problem("file", shipped.path, error.message))
                continue
            digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        yield Content(fit_path(shipped.path), entry.sha256, digest)
