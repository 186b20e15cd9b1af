# SPDX-License-Identifier: Apache-2.0
"""Bills of materials: valid by the formats' own validators, whatever the databases say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from envgit.errors import UsageError
from envgit.packages.inventory import Contents, Inventory
from envgit.packages.managers import NAMES
from envgit.packages.model import Package, Problem
from envgit.packages.sbom import bill as sbom
from envgit.packages.sbom.document import VERSIONS, Bill, Content, Format, Subject, parse_format
from envgit.packages.sbom.licenses import License, Licenses
from envgit.packages.sbom.system import System, package_url, read_system
from envgit.packages.sbom.text import address
from tests.support.installed import MemoryFiles, inventory_of

FORMATS = [Format(name, version) for name, versions in VERSIONS.items() for version in versions]
OID = "0123456789abcdef0123456789abcdef01234567"
SUBJECT = Subject("environment", OID, OID, OID, "main", 1700000000, 1700000001, "0.1.0")

BOOKWORM = System("debian", "Debian", "12", "bookworm", "", "", "")
FEDORA = System("fedora", "Fedora Linux", "40", "", "", "", "")


def made(packages: list[Package], *, problems: tuple[Problem, ...] = ()) -> Inventory:
    """An inventory of these packages in a tree that has nothing."""
    inventory = inventory_of(MemoryFiles({}))
    inventory.__dict__["contents"] = Contents(tuple(packages), problems)
    return inventory


def complaints(document: Bill, written: Format) -> str:
    """What the format's own validator has against the document; empty if nothing."""
    data = sbom.render(document, written)
    if written.name == "spdx-json":
        parsed = JsonLikeDictParser().parse(  # type: ignore[no-untyped-call]
            json.loads(data.decode("ascii"))
        )
        return "\n".join(one.validation_message for one in validate_full_spdx_document(parsed))
    version = getattr(SchemaVersion, "V" + written.version.replace(".", "_"))
    return str(JsonStrictValidator(version).validate_str(data.decode("ascii")) or "")


@pytest.mark.parametrize(
    ("package", "system", "url"),
    [
        (
            Package("dpkg", "libstdc++6", "1:12.2+b1~x", "amd64", source="gcc-12"),
            BOOKWORM,
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1~x"
            "?arch=amd64&distro=bookworm&upstream=gcc-12",
        ),
        (Package("dpkg", "apt", "2.6", "amd64"), None, "pkg:deb/debian/apt@2.6?arch=amd64"),
        (
            Package("rpm", "bind", "32:9.18-1.fc40", "x86_64"),
            FEDORA,
            "pkg:rpm/fedora/bind@9.18-1.fc40?arch=x86_64&distro=fedora-40&epoch=32",
        ),
        (
            Package("rpm", "bash", "5.1-1.el9", "x86_64"),
            System("rhel", "", "9.4", "", "", "", ""),
            "pkg:rpm/redhat/bash@5.1-1.el9?arch=x86_64&distro=rhel-9.4",
        ),
        (
            Package("apk", "musl", "1.2.5-r0", "x86_64"),
            System("alpine", "", "3.20.1", "", "", "", ""),
            "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
        ),
        (
            Package("pacman", "containers-common", "1:0.47.4-4", "x86_64"),
            System("arch", "", "", "", "", "", ""),
            "pkg:alpm/arch/containers-common@1:0.47.4-4?arch=x86_64",
        ),
        (Package("pip", "Foo_Bar", "1.0"), BOOKWORM, "pkg:pypi/foo-bar@1.0"),
        (
            Package("npm", "@angular/animation", "12.3.1"),
            BOOKWORM,
            "pkg:npm/%40angular/animation@12.3.1",
        ),
        (
            Package(
                "conda", "absl-py", "0.4.1", "linux-64", provides=("absl-py=0.4.1=py36h06a4308_0",)
            ),
            None,
            "pkg:conda/absl-py@0.4.1?build=py36h06a4308_0&subdir=linux-64",
        ),
        (Package("gem", "rails", "7.1.0"), BOOKWORM, "pkg:gem/rails@7.1.0"),
        (Package("cargo", "ripgrep", "14.1.0"), BOOKWORM, "pkg:cargo/ripgrep@14.1.0"),
        (Package("dpkg", "../../etc", "1"), BOOKWORM, ""),
        (Package("pip", "", "1"), BOOKWORM, ""),
        (Package("pip", "\x1b[31m", "1"), BOOKWORM, ""),
    ],
)
def test_package_urls_are_those_of_the_specification(
    package: Package, system: System | None, url: str
) -> None:
    assert package_url(package, system) == url
    if url:
        assert PackageURL.from_string(url).to_string() == url


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("MIT", License("MIT")),
        ("mit License", License("MIT")),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0 OR (MIT AND ISC)",) * 2,
        ("GPLv2+ and LGPLv3", License("GPL-2.0-or-later AND LGPL-3.0-only")),
        ("GPL-1+ or Expat", License("GPL-1.0-or-later OR MIT")),
        ("Apache License, Version 2.0", License("Apache-2.0")),
        ("BSD", License("", "BSD")),
        ("MIT and", License("", "MIT and")),
        ("GPL-2.0-only WITH MIT", License("", "GPL-2.0-only WITH MIT")),
        ("LicenseRef-mine", License("", "LicenseRef-mine")),
        ("\x1b[31m", License("", "\\x1b[31m")),
        ("UNKNOWN", None),
        (" \n", None),
        ("Copyright\n\n" + "x " * 400, "Copyright"),
    ],
)
def test_licences_are_expressions_where_they_can_be_read_as_one(
    said: str, means: License | str | None
) -> None:
    found = Licenses(MemoryFiles({})).read(said)
    if isinstance(means, str) and found is not None:
        assert means in (found.expression, found.name)
        assert bool(found.text) != bool(found.expression)
    else:
        assert found == means


def test_licences_of_debian_are_in_the_copyright_files() -> None:
    copyrights = {
        "apt": "Format: x\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: b\nLicense: Expat\n",
        "old": "It is free. See /usr/share/common-licenses/GPL-2.\n",
        "big": "License: MIT\n" + "x" * (5 << 20),
    }
    files = MemoryFiles(
        {
            f"usr/share/doc/{one}/copyright".encode(): text.encode()
            for one, text in copyrights.items()
        },
        links={b"usr/share/doc/linked": b"apt", b"usr/share/doc/out": b"../../../etc"},
    )
    licenses = Licenses(files)
    both = (License("GPL-2.0-or-later"), License("MIT"))
    assert licenses.of(Package("dpkg", "apt", "1")) == both
    assert licenses.of(Package("dpkg", "linked", "1")) == both
    assert licenses.of(Package("dpkg", "old", "1")) == (License("", "GPL-2"),)
    for name in ("big", "none", "out", "..", "a/../apt", "\udcff"):
        assert licenses.of(Package("dpkg", name, "1")) == ()


def test_a_system_says_who_it_is() -> None:
    text = (
        '# ID=no\nID=Debian\nNAME=\'A "quoted" name\'\nBROKEN="never ends\nVERSION_CODENAME=sid\n'
    )
    files = MemoryFiles({b"usr/lib/os-release": text.encode()}, links={b"etc/os-release": b"x"})
    assert read_system(files) == System(
        "debian", 'A "quoted" name', "", "sid", *['A "quoted" name', "", ""]
    )
    assert read_system(MemoryFiles({})) is None
    assert read_system(MemoryFiles({b"etc/os-release": b"\xff\x00=\n" * 5})) is not None
    assert read_system(MemoryFiles({b"etc/os-release": b"A=" + b"x" * (1 << 20)})) is None


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("https://example.org/a%20b?c=d#e", True),
        ("http://example.org", True),
        ("https://example.org:99999/", False),
        ("https://example.org/a b", False),
        ("https://example.org/%zz", False),
        ("javascript:alert(1)", False),
        ("https://[::1", False),
        ("https://" + "a" * 9999 + ".org", False),
        ("", False),
    ],
)
def test_addresses_that_readers_would_refuse_are_left_out(text: str, taken: bool) -> None:
    assert bool(address(text)) == taken


def hostile(managers: Iterable[str]) -> list[Package]:
    odd = [
        "",
        " ",
        "/",
        "..",
        "a/b",
        "@scope",
        "@scope/",
        "@/x",
        "a\x00b\x1b[2J",
        "\udcff\ud800",
        "é\u202e漢\U0001f600\ufffe",
        "x" * 10_000,
        '"},{"',
        "pkg:deb/debian/apt@1",
        "a?b#c%zz@d",
        "SPDXRef-DOCUMENT",
        "envgit",
        "environment",
    ]
    packages = []
    for manager in managers:
        for one in odd:
            same = Package(manager, one, one, one, one.encode("utf-8", "surrogatepass"), b"\xff\n")
            packages += [
                same,
                same,
                replace(same, license=one, homepage=one, summary=one, source=one, reason=one),
                replace(same, license=f"MIT AND {one}", homepage=f"https://{one}/", size=-1),
                replace(same, license="(" * 300 + "MIT", state=one, carried_by=one, version=""),
                replace(same, license=f"LicenseRef-{one} OR MIT", version="9" * 5000),
            ]
    return packages


@pytest.mark.fuzz
@pytest.mark.parametrize("written", FORMATS, ids=str)
def test_documents_of_hostile_databases_are_valid(
    written: Format, effort: Callable[[int, int], int]
) -> None:
    # Validation takes seconds: each format sees a third of the managers, all formats see all.
    step = effort(3, 1)
    packages = hostile(NAMES[FORMATS.index(written) % step :: step])
    problems = (Problem("dpkg", b"\xff\x1b", "a\x00\udc80" * 3), Problem("rpm", b"", ""))
    subject = replace(
        SUBJECT, name="\x1b \udcff#/é", branch="\udcff\n", created=10**20, authored=-5
    )
    inventory = made(packages, problems=problems)
    inventory.files.files[b"etc/os-release"] = b"ID=\xff\x00\nNAME=''\nHOME_URL='http://[/'\n"  # type: ignore[attr-defined]
    document = sbom.bill(inventory, subject)
    assert len(document.components) == len(packages)
    assert complaints(document, written) == ""
    data = sbom.render(document, written)
    assert not set(data) & set(range(0x20)) - {0x0A}


TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)


@pytest.mark.fuzz
@settings(max_examples=settings().max_examples // 6)
@given(
    st.lists(
        st.builds(
            Package,
            st.sampled_from(NAMES),
            *[TEXTS] * 3,
            st.binary(max_size=20),
            st.binary(max_size=20),
            license=TEXTS,
            homepage=TEXTS,
            source=TEXTS,
            summary=TEXTS,
            requires=st.lists(TEXTS, max_size=3).map(tuple),
            provides=st.lists(TEXTS, max_size=3).map(tuple),
        ),
        max_size=8,
    )
)
def test_documents_of_any_text_are_valid(packages: list[Package]) -> None:
    document = sbom.bill(made(packages), SUBJECT)
    assert complaints(document, Format("spdx-json", "2.3")) == ""
    assert complaints(document, Format("cyclonedx-json", "1.6")) == ""


STATUS = """\
Package: {name}
Status: install ok installed
Architecture: amd64
Version: 1.{number}
Depends: {depends}
Description: package {number}

"""


def debian(count: int) -> MemoryFiles:
    """An environment of so many packages, each needing a few before it."""
    stanzas = [
        STATUS.format(
            name=f"p{number}",
            number=number,
            depends=", ".join(f"p{other}" for other in range(max(0, number - 4), number)) or "p0",
        )
        for number in range(count)
    ]
    files = {f"usr/share/doc/p{n}/copyright".encode(): b"License: MIT\n" for n in range(count)}
    files[b"etc/os-release"] = b"ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n"
    files[b"var/lib/dpkg/status"] = "".join(stanzas).encode()
    automatic = [
        f"Package: p{n}\nArchitecture: amd64\nAuto-Installed: 1\n\n" for n in range(count - 1)
    ]
    files[b"var/lib/apt/extended_states"] = "".join(automatic).encode()
    return MemoryFiles(files)


@pytest.mark.parametrize("written", FORMATS, ids=str)
def test_a_document_says_what_there_is(written: Format) -> None:
    document = sbom.bill(inventory_of(debian(5)), SUBJECT)
    assert complaints(document, written) == ""
    data = sbom.render(document, written)
    assert data == sbom.render(sbom.bill(inventory_of(debian(5)), SUBJECT), written)
    read = json.loads(data)
    url = "pkg:deb/debian/p4@1.4?arch=amd64&distro=bookworm"
    if written.name == "spdx-json":
        package = next(one for one in read["packages"] if one["name"] == "p4")
        assert package["externalRefs"][0]["referenceLocator"] == url
        assert package["licenseDeclared"] == "MIT"
        named = {one["SPDXID"]: one["name"] for one in read["packages"]}
        depends = {
            (named[one["spdxElementId"]], named[one["relatedSpdxElement"]])
            for one in read["relationships"]
            if one["relationshipType"] == "DEPENDS_ON"
        }
        assert {needed for one, needed in depends if one == "p4"} == {"p0", "p1", "p2", "p3"}
        root = next(one for one in read["packages"] if one["name"] == "environment")
        assert root["versionInfo"] == OID
        assert read["creationInfo"]["created"] == "2023-11-14T22:13:21Z"
        assert "debian" in named.values()
    else:
        package = next(one for one in read["components"] if one["name"] == "p4")
        assert package["purl"] == package["bom-ref"] == url
        assert package["licenses"] == [{"license": {"id": "MIT"}}]
        needs = next(one for one in read["dependencies"] if one["ref"] == url)["dependsOn"]
        assert needs == [url.replace("p4@1.4", f"p{n}@1.{n}") for n in range(4)]
        root = next(one for one in read["dependencies"] if one["ref"] == "environment")
        assert root["dependsOn"] == ["operating-system", url]
        assert read["metadata"]["component"]["version"] == OID
        assert read["metadata"]["timestamp"] == "2023-11-14T22:13:21+00:00"
        facts = {one["name"]: one["value"] for one in read["metadata"]["component"]["properties"]}
        assert facts["envgit:branch"] == "main" and facts["envgit:commit"] == OID
        assert facts["envgit:author-date"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("name", VERSIONS)
def test_files_are_listed_with_digests(name: str) -> None:
    files = debian(2)
    files.files[b"var/lib/dpkg/info/p0:amd64.list"] = b"/.\n/etc\n/etc/os-release\n/gone\n/etc\n"
    inventory = inventory_of(MemoryFiles(files.files))
    document = sbom.bill(inventory, SUBJECT, files="sha1" if name == "spdx-json" else "sha256")
    paths = [file.path for one in document.components for file in one.files]
    assert "etc/os-release" in paths and "gone" not in paths
    for version in VERSIONS[name]:
        assert complaints(document, Format(name, version)) == ""


def test_the_serial_number_is_of_what_the_document_says() -> None:
    written = Format("cyclonedx-json", "1.6")
    packages = [Package("dpkg", "a", "1")]
    serial = sbom.bill(made(packages), SUBJECT).serial(written)
    assert serial == sbom.bill(made(packages), SUBJECT).serial(written)
    others = [
        sbom.bill(made([]), SUBJECT).serial(written),
        sbom.bill(made(packages), replace(SUBJECT, version=OID[::-1])).serial(written),
        sbom.bill(made(packages), SUBJECT).serial(Format("spdx-json", "2.3")),
    ]
    assert len({serial, *others}) == 4


def test_what_cannot_be_read_is_noted_in_the_document() -> None:
    files = debian(1)
    files.files[b"var/lib/dpkg/status"] = b"\x00" * 100
    inventory = made([], problems=(Problem("dpkg", b"var/lib/dpkg/status", "not a stanza"),))
    sentence = "cannot read the dpkg database 'var/lib/dpkg/status': not a stanza"
    document = sbom.bill(inventory, SUBJECT)
    assert document.complaints() == [sentence]
    for written in FORMATS:
        assert sentence in sbom.render(document, written).decode()
        assert complaints(document, written) == ""


def test_what_is_removed_but_for_its_settings_is_no_part_of_it() -> None:
    packages = [Package("dpkg", "a", "1", state="config-files"), Package("dpkg", "b", "1")]
    document = sbom.bill(made(packages), SUBJECT)
    assert [one.package.name for one in document.components] == ["b"]


@pytest.mark.parametrize("text", ["cyclonedx", "CycloneDX-JSON", "cyclonedx@1.5", "spdx-json@2.2"])
def test_formats_have_the_names_of_the_field(text: str) -> None:
    assert parse_format(text) in FORMATS


@pytest.mark.parametrize("text", ["", "cyclonedx@9", "spdx@", "syft", "@1.6"])
def test_other_formats_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_format(text)
    assert refused.value.hint is not None


@pytest.mark.parametrize("written", FORMATS, ids=str)
def test_names_in_a_document_are_unique_whatever_files_are_called(written: Format) -> None:
    listed = (Content("x", "0" * 64, "0" * 40),) * 2
    documents = sbom.bill(made([Package("dpkg", one, "1") for one in ("/", "/@1!", "b")]), SUBJECT)
    one, *rest = documents.components
    imitating = replace(rest[0], ref=f"{one.ref}!/x")
    document = replace(documents, components=(replace(one, files=listed), imitating, *rest[1:]))
    assert complaints(document, written) == ""
    assert sbom.render(document, written) == sbom.render(document, written)
    if written.name == "cyclonedx-json":
        components = json.loads(sbom.render(document, written))["components"]
        nested = [file for each in components for file in each.get("components", ())]
        refs = [each["bom-ref"] for each in (*components, *nested)]
        assert len(refs) == len(set(refs)) == 5


@pytest.mark.parametrize("written", [Format("cyclonedx-json", "1.6"), Format("spdx-json", "2.3")])
def test_no_package_or_file_is_compared_with_all_others(written: Format) -> None:
    """Four times as many of them take four times as many steps."""

    def steps(packages: int, files: int) -> int:
        document = sbom.bill(inventory_of(debian(packages)), SUBJECT)
        refs = [one.ref for one in document.components]
        edges = {
            ref: tuple(refs[(n + other) % packages] for other in range(18))
            for n, ref in enumerate(refs)
        }
        whole = tuple(
            replace(
                one,
                files=tuple(Content(f"{n}/{k}", "0" * 64, "0" * 40) for k in range(files)),
            )
            for n, one in enumerate(document.components)
        )
        document = replace(document, components=whole, edges=edges)
        return calls(lambda: sbom.render(document, written))

    sbom.render(sbom.bill(inventory_of(debian(1)), SUBJECT), written)  # loads the library
    assert steps(200, 10) < 5 * steps(50, 10)
    assert steps(30, 200) < 5 * steps(30, 50)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called in ``work``: what it costs, on any machine under any load."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
