# SPDX-License-Identifier: Apache-2.0
"""Writes a bill of materials as SPDX 2 JSON (ISO/IEC 5962) with its own library."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any
from urllib.parse import quote

from spdx_tools.common.spdx_licensing import spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.jsonschema.package_converter import PackageConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    Package,
    PackagePurpose,
    PackageVerificationCode,
    SpdxNoAssertion,
)

from envgit.packages.sbom.document import Bill, Component, Content, Format
from envgit.packages.sbom.licenses import License
from envgit.packages.sbom.pieces import joined
from envgit.packages.sbom.text import address, fit, moment, short

_DOCUMENT, _ROOT, _SYSTEM = "SPDXRef-DOCUMENT", "SPDXRef-Environment", "SPDXRef-OperatingSystem"
_UNFIT = re.compile(r"[^0-9a-zA-Z.-]+")
_PLACE = "https://spdx.org/spdxdocs/"
"""Where documents of those who have no place of their own are named (SPDX 2.3, 6.5)."""


def render(document: Bill, written: Format) -> bytes:
    """The document."""
    return _Writer(document, written).document()


class _Writer:
    """One document in the making, with the licences that it has to explain itself."""

    def __init__(self, bill: Bill, written: Format) -> None:
        self._bill = bill
        self._format = written
        self._ids = {one.ref: _spdx_id(one) for one in bill.components}
        self._explained: dict[str, ExtractedLicensingInfo] = {}
        self._declared: dict[tuple[License, ...], Any] = {}
        self._empty = Document(self._creation())
        self._packages = PackageConverter()  # type: ignore[no-untyped-call]

    def document(self) -> bytes:
        """All of it."""
        packages = [self._converted(one) for one in self._all_packages()]
        whole = Document(
            creation_info=self._empty.creation_info,
            extracted_licensing_info=list(self._explained.values()),
        )
        return joined(
            DocumentConverter().convert(whole),  # type: ignore[no-untyped-call]
            {
                "packages": packages,
                "files": self._files(),
                "relationships": starmap(_relation, self._relations()),
            },
        )

    def _converted(self, package: Package) -> str:
        """What the library makes of it: of the document it wants the annotations only."""
        return json.dumps(self._packages.convert(package, self._empty), indent=2)

    def _all_packages(self) -> Iterator[Package]:
        yield self._root()
        if self._bill.system is not None:
            yield self._system()
        yield from map(self._package, self._bill.components)

    def _relations(self) -> Iterator[tuple[str, str, str]]:
        yield _DOCUMENT, "DESCRIBES", _ROOT
        if self._bill.system is not None:
            yield _ROOT, "CONTAINS", _SYSTEM
        for one in self._bill.components:
            own = self._ids[one.ref]
            yield _ROOT, "CONTAINS", own
            for to in self._bill.edges.get(one.ref, ()):
                yield own, "DEPENDS_ON", self._ids[to]
            for file in one.files:
                yield own, "CONTAINS", _file_id(file)

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

    def _files(self) -> Iterator[str]:
        """Each file once, whichever packages list it."""
        known: set[str] = set()
        for one in self._bill.components:
            for file in one.files:
                if file.path not in known:
                    known.add(file.path)
                    yield _file(file)


def _file(file: Content) -> str:
    """A file (SPDX 2.3, 8), of which nobody knows the licence."""
    return json.dumps(
        {
            "SPDXID": _file_id(file),
            "checksums": [
                {"algorithm": "SHA1", "checksumValue": file.sha1},
                {"algorithm": "SHA256", "checksumValue": file.sha256},
            ],
            "copyrightText": "NOASSERTION",
            "fileName": f"./{file.path}",
            "licenseConcluded": "NOASSERTION",
            "licenseInfoInFiles": ["NOASSERTION"],
        },
        indent=2,
    )


def _file_id(file: Content) -> str:
    return f"SPDXRef-File-{hashlib.sha256(file.path.encode()).hexdigest()[:24]}"


def _relation(one: str, kind: str, other: str) -> str:
    """A relationship (SPDX 2.3, 11) on a line of its own."""
    return json.dumps({"spdxElementId": one, "relatedSpdxElement": other, "relationshipType": kind})


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
