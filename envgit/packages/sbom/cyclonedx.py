# SPDX-License-Identifier: Apache-2.0
"""Writes a bill of materials as CycloneDX JSON (ECMA-424) with its own library."""

from __future__ import annotations

from collections.abc import Iterable

from cyclonedx import spdx
from cyclonedx.model import (
    AttachedText,
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model import license as licenses
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Listed
from cyclonedx.model.component import ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from envgit.errors import UsageError
from envgit.packages.sbom.document import Bill, Component, Format
from envgit.packages.sbom.licenses import License
from envgit.packages.sbom.system import System
from envgit.packages.sbom.text import address, fit, moment, short

_ROOT, _SYSTEM = "environment", "operating-system"


def render(document: Bill, written: Format) -> bytes:
    """The document. Raises UsageError if the installed library is older than the version."""
    version = getattr(SchemaVersion, "V" + written.version.replace(".", "_"), None)
    if version is None:
        raise UsageError(
            f"the installed cyclonedx-python-lib does not know CycloneDX {written.version}",
            hint="envgit writes 1.6 unless told otherwise",
        )
    bom = _bom(document, written)
    text = make_outputter(bom, OutputFormat.JSON, version).output_as_string(indent=2)
    return text.encode("ascii") + b"\n"


def _bom(document: Bill, written: Format) -> Bom:
    subject = document.subject
    root = Listed(
        type=ComponentType.CONTAINER,
        name=short(subject.name),
        version=subject.version,
        bom_ref=_ROOT,
        properties=_properties(subject.facts()),
    )
    listed = {one.ref: _listed(one) for one in document.components}
    nodes = {ref: Dependency(one.bom_ref) for ref, one in listed.items()}
    depends = [
        Dependency(one.bom_ref, [nodes[to] for to in document.edges.get(ref, ())])
        for ref, one in listed.items()
    ]
    needed = [nodes[ref] for ref in document.roots]
    components = list(listed.values())
    if document.system is not None:
        system = _system(document.system)
        components.append(system)
        depends.append(Dependency(system.bom_ref))
        needed.append(Dependency(system.bom_ref))
    depends.append(Dependency(root.bom_ref, needed))
    bom = Bom(
        components=components,
        dependencies=depends,
        serial_number=document.serial(written),
    )
    # The library looks for an entry of each component among all dependencies, one after another,
    # which takes minutes for 10,000 packages. All of them have one.
    bom.register_dependency = lambda *_, **__: None  # type: ignore[method-assign]
    bom.metadata.timestamp = moment(subject.created)
    bom.metadata.component = root
    bom.metadata.tools.components.add(
        Listed(type=ComponentType.APPLICATION, name="envgit", version=subject.tool)
    )
    bom.metadata.properties = _properties(
        ("problem", complaint) for complaint in document.complaints()
    )
    return bom


def _listed(one: Component) -> Listed:
    package = one.package
    group, name = "", package.name
    if package.manager == "npm" and name.startswith("@") and "/" in name:
        group, _, name = name.partition("/")
    homepage = address(package.homepage)
    return Listed(
        type=ComponentType.APPLICATION if package.manager == "cargo" else ComponentType.LIBRARY,
        group=short(group) or None,
        name=short(name),
        version=short(package.version),
        bom_ref=one.ref,
        description=fit(" ".join(package.summary.split())) or None,
        licenses=_licenses(one.licenses),
        purl=PackageURL.from_string(one.purl) if one.purl else None,
        external_references=[
            ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(homepage))
        ]
        if homepage
        else None,
        properties=_properties(one.facts()),
        components=[
            Listed(
                type=ComponentType.FILE,
                name=f"/{file.path}",
                bom_ref=f"{one.ref}!/{file.path}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
            )
            for file in one.files
        ],
    )


def _licenses(found: tuple[License, ...]) -> list[licenses.License]:
    """Either one expression or any number of single licences: the schema has no mixture."""
    if len(found) == 1 and found[0].expression and not spdx.is_supported_id(found[0].expression):
        return [licenses.LicenseExpression(found[0].expression)]
    return [
        licenses.DisjunctiveLicense(id=one.expression)
        if spdx.is_supported_id(one.expression)
        else licenses.DisjunctiveLicense(
            name=one.name or one.expression,
            text=AttachedText(content=one.text) if one.text else None,
        )
        for one in found
    ]


def _system(system: System) -> Listed:
    homepage = address(system.homepage)
    return Listed(
        type=ComponentType.OPERATING_SYSTEM,
        name=short(system.id or system.name or "unknown"),
        version=short(system.version or system.codename) or None,
        bom_ref=_SYSTEM,
        description=system.title or None,
        external_references=[
            ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(homepage))
        ]
        if homepage
        else None,
        properties=_properties([("codename", system.codename)] if system.codename else []),
    )


def _properties(facts: Iterable[tuple[str, str]]) -> list[Property]:
    return [Property(name=f"envgit:{name}", value=value) for name, value in facts]
