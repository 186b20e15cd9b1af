# SPDX-License-Identifier: Apache-2.0
"""Writes a bill of materials as CycloneDX JSON (ECMA-424) with its own library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cyclonedx import spdx
from cyclonedx.model import (
    AttachedText,
    ExternalReference,
    ExternalReferenceType,
    Property,
    XsUri,
)
from cyclonedx.model import license as licenses
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Listed
from cyclonedx.model.component import ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.schema.schema import SCHEMA_VERSIONS
from packageurl import PackageURL

from envgit.errors import UsageError
from envgit.packages.sbom.document import Bill, Component, Format
from envgit.packages.sbom.licenses import License
from envgit.packages.sbom.pieces import joined
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
    view = SCHEMA_VERSIONS[version]
    return joined(
        _head(document, written, version),
        {"components": _components(document, view), "dependencies": _dependencies(document)},
    )


def _head(document: Bill, written: Format, version: SchemaVersion) -> dict[str, Any]:
    """All but what is long."""
    subject = document.subject
    bom = Bom(serial_number=document.serial(written))
    bom.metadata.timestamp = moment(subject.created)
    bom.metadata.component = Listed(
        type=ComponentType.CONTAINER,
        name=short(subject.name),
        version=subject.version,
        bom_ref=_ROOT,
        properties=_properties(subject.facts()),
    )
    bom.metadata.tools.components.add(
        Listed(type=ComponentType.APPLICATION, name="envgit", version=subject.tool)
    )
    bom.metadata.properties = _properties(
        ("problem", complaint) for complaint in document.complaints()
    )
    found: dict[str, Any] = json.loads(
        make_outputter(bom, OutputFormat.JSON, version).output_as_string()
    )
    return found


def _components(document: Bill, view: type[Any]) -> Iterator[str]:
    taken = {_ROOT, _SYSTEM, *(one.ref for one in document.components)}
    for one in document.components:
        made = _made(_listed(one), view)
        if one.files:
            made["components"] = list(_files(one, taken))
        yield json.dumps(made, indent=2)
    if document.system is not None:
        yield json.dumps(_made(_system(document.system), view), indent=2)


def _made(one: Listed, view: type[Any]) -> dict[str, Any]:
    """What the library makes of a component in a version of the format."""
    found: dict[str, Any] = json.loads(one.as_json(view_=view))  # type: ignore[attr-defined]
    return found


def _files(one: Component, taken: set[str]) -> Iterator[dict[str, Any]]:
    """The files as the library has them; it makes 40 sorted sets for each."""
    for file in one.files:
        ref = unique = f"{one.ref}!/{file.path}"
        number = 2
        while unique in taken:  # a package may be called so, or a path of other bytes look so
            unique, number = f"{ref}~{number}", number + 1
        taken.add(unique)
        yield {
            "bom-ref": unique,
            "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            "name": f"/{file.path}",
            "type": "file",
        }


def _dependencies(document: Bill) -> Iterator[str]:
    """An entry for each component, and of the root, which is the graph's only one."""
    system = (_SYSTEM,) if document.system is not None else ()
    yield _dependency(_ROOT, sorted((*document.roots, *system)))
    for one in (*(one.ref for one in document.components), *system):
        yield _dependency(one, document.edges.get(one, ()))


def _dependency(ref: str, needed: Sequence[str]) -> str:
    entry: dict[str, Any] = {"dependsOn": list(needed)} if needed else {}
    return json.dumps({**entry, "ref": ref}, indent=2)


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
