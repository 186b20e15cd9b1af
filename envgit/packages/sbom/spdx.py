# SPDX-License-Identifier: Apache-2.0
"""Writes a bill of materials as SPDX 2 JSON (ISO/IEC 5962) with its own library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from io import StringIO
from typing import Any
from urllib.parse import quote

from spdx_tools.common.spdx_licensing import spdx_licensing
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    File,
    Package,
    PackagePurpose,
    PackageVerificationCode,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

from envgit.packages.sbom.document import Bill, Component, Content, Format
from envgit.packages.sbom.licenses import License
from envgit.packages.sbom.text import address, fit, moment, short

_DOCUMENT, _ROOT, _SYSTEM = "SPDXRef-DOCUMENT", "SPDXRef-Environment", "SPDXRef-OperatingSystem"
_UNFIT = re.compile(r"[^0-9a-zA-Z.-]+")
_PLACE = "https://spdx.org/spdxdocs/"
"""Where documents of those who have no place of their own are named (SPDX 2.3, 6.5)."""


def render(document: Bill, written: Format) -> bytes:
    """The document."""
    stream = StringIO()
    whole = _Writer(document, written).document()
    write_document_to_stream(whole, stream, validate=False, drop_duplicates=False)
    return stream.getvalue().encode("ascii") + b"\n"


class _Writer:
    """One document in the making, with the licences that it has to explain itself."""

    def __init__(self, bill: Bill, written: Format) -> None:
        self._bill = bill
        self._format = written
        self._ids = {one.ref: _spdx_id(one) for one in bill.components}
        self._explained: dict[str, ExtractedLicensingInfo] = {}
        self._declared: dict[tuple[License, ...], Any] = {}
        self._files: dict[str, File] = {}

    def document(self) -> Document:
        """All of it."""
        packages = [self._root()]
        relations = [(_DOCUMENT, RelationshipType.DESCRIBES, _ROOT)]
        if self._bill.system is not None:
            packages.append(self._system())
            relations.append((_ROOT, RelationshipType.CONTAINS, _SYSTEM))
        for one in self._bill.components:
            packages.append(self._package(one))
            own = self._ids[one.ref]
            relations.append((_ROOT, RelationshipType.CONTAINS, own))
            relations.extend(
                (own, RelationshipType.DEPENDS_ON, self._ids[to])
                for to in self._bill.edges.get(one.ref, ())
            )
            relations.extend(
                (own, RelationshipType.CONTAINS, self._file(file).spdx_id) for file in one.files
            )
        return Document(
            creation_info=self._creation(),
            packages=packages,
            files=list(self._files.values()),
            relationships=[Relationship(*relation) for relation in relations],
            extracted_licensing_info=list(self._explained.values()),
        )

    def _creation(self) -> CreationInfo:
        subject = self._bill.subject
        name = short(subject.name)
        serial = self._bill.serial(self._format)
        return CreationInfo(
            spdx_version=f"SPDX-{self._format.version}",
            spdx_id=_DOCUMENT,
            name=f"{name}-{subject.version}",
            document_namespace=f"{_PLACE}{quote(name, safe='')}-{serial}",
            creators=[Actor(ActorType.TOOL, f"envgit-{subject.tool}")],
            created=moment(subject.created).replace(tzinfo=None),
            document_comment="\n".join(self._bill.complaints()) or None,
        )

    def _root(self) -> Package:
        subject = self._bill.subject
        references = []
        if not self._old:
            references = [
                ExternalPackageRef(
                    ExternalPackageRefCategory.PERSISTENT_ID, "gitoid", f"gitoid:{kind}:sha1:{oid}"
                )
                for kind, oid in (("commit", subject.commit), ("tree", subject.rootfs))
                if oid
            ]
        return self._made(
            _ROOT,
            PackagePurpose.CONTAINER,
            name=short(subject.name),
            version=subject.version,
            external_references=references,
            comment=_lines(subject.facts()),
        )

    def _system(self) -> Package:
        system = self._bill.system
        assert system is not None
        return self._made(
            _SYSTEM,
            PackagePurpose.OPERATING_SYSTEM,
            name=short(system.id or system.name or "unknown"),
            version=short(system.version or system.codename) or None,
            description=system.title or None,
            homepage=address(system.homepage) or None,
        )

    def _package(self, one: Component) -> Package:
        package = one.package
        references = []
        if one.purl:
            references.append(
                ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", one.purl)
            )
        listed: dict[str, Any] = {}
        if one.files:
            listed = {
                "files_analyzed": True,
                "verification_code": PackageVerificationCode(_verification(one.files)),
                "license_info_from_files": [SpdxNoAssertion()],
            }
        return self._made(
            self._ids[one.ref],
            PackagePurpose.APPLICATION if package.manager == "cargo" else PackagePurpose.LIBRARY,
            name=short(package.name),
            version=short(package.version) or None,
            license_declared=self._license(one.licenses),
            homepage=address(package.homepage) or None,
            summary=fit(" ".join(package.summary.split())) or None,
            comment=_lines(one.facts()),
            external_references=references,
            **listed,
        )

    def _made(self, spdx_id: str, purpose: PackagePurpose, **fields: Any) -> Package:
        """A package, with what version 2.2 must and must not have."""
        said = {
            "download_location": SpdxNoAssertion(),
            "files_analyzed": False,
            "license_concluded": SpdxNoAssertion(),
            "license_declared": SpdxNoAssertion(),
            "copyright_text": SpdxNoAssertion(),
            "primary_package_purpose": None if self._old else purpose,
        }
        return Package(spdx_id=spdx_id, **{**said, **fields})

    @property
    def _old(self) -> bool:
        return self._format.version == "2.2"

    def _license(self, found: tuple[License, ...]) -> Any:
        """All of the licences joined by AND, the library's word for none."""
        if found not in self._declared:
            terms = [one.expression or self._explain(one) for one in found]
            text = terms[0] if len(terms) == 1 else " AND ".join(f"({term})" for term in terms)
            self._declared[found] = spdx_licensing.parse(text) if terms else SpdxNoAssertion()
        return self._declared[found]

    def _explain(self, one: License) -> str:
        """The id of a licence that is not on SPDX's list, explained in the document."""
        text = one.text or one.name
        digest = hashlib.sha256(f"{one.name}\n{text}".encode()).hexdigest()[:12]
        name = f"LicenseRef-{_UNFIT.sub('-', one.name)[:60].strip('-.')}-{digest}"
        self._explained.setdefault(
            name,
            ExtractedLicensingInfo(license_id=name, extracted_text=text, license_name=one.name),
        )
        return name

    def _file(self, file: Content) -> File:
        if file.path not in self._files:
            digest = hashlib.sha256(file.path.encode()).hexdigest()[:24]
            self._files[file.path] = File(
                name=f"./{file.path}",
                spdx_id=f"SPDXRef-File-{digest}",
                checksums=[
                    Checksum(ChecksumAlgorithm.SHA1, file.sha1),
                    Checksum(ChecksumAlgorithm.SHA256, file.sha256),
                ],
                license_concluded=SpdxNoAssertion(),
                license_info_in_file=[SpdxNoAssertion()],
                copyright_text=SpdxNoAssertion(),
            )
        return self._files[file.path]


def _spdx_id(one: Component) -> str:
    digest = hashlib.sha256(one.ref.encode()).hexdigest()[:16]
    name = _UNFIT.sub("-", one.package.name)[:60].strip("-.")
    return f"SPDXRef-Package-{one.package.manager}-{name}-{digest}"


def _verification(files: Iterable[Content]) -> str:
    """The code over all files (SPDX 2.3, 7.9): SHA-1 of their SHA-1 digests in order."""
    digests = "".join(sorted(file.sha1 for file in files))
    return hashlib.sha1(digests.encode(), usedforsecurity=False).hexdigest()


def _lines(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts)
