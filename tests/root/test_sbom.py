# SPDX-License-Identifier: Apache-2.0
"""``export --sbom`` of real environments: complete, valid, the same for the same commit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from envgit.packages.sbom.document import VERSIONS
from tests.support import builders, cli
from tests.support.pkglabs import pacmans, place, rpms, wheels
from tests.support.pkglabs.place import Environment

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]

FORMATS = [f"{name}@{version}" for name, versions in VERSIONS.items() for version in versions]


def checked(text: str) -> Any:
    """A document that its format's validator has nothing against."""
    read = json.loads(text)
    if "bomFormat" in read:
        version = getattr(SchemaVersion, "V" + read["specVersion"].replace(".", "_"))
        assert JsonStrictValidator(version).validate_str(text) is None
    else:
        assert (
            validate_full_spdx_document(
                JsonLikeDictParser().parse(  # type: ignore[no-untyped-call]
                    read
                )
            )
            == []
        )
    return read


def exported(environment: Environment, *words: str, file: str = "-") -> Any:
    """The document that ``export --sbom WORDS -`` writes, checked."""
    return checked(environment.envgit("export", *words, file).ok().stdout)


def urls(document: Any) -> list[str]:
    """The package URLs that a document lists."""
    if "bomFormat" in document:
        return [one["purl"] for one in document["components"] if "purl" in one]
    return [
        reference["referenceLocator"]
        for one in document["packages"]
        for reference in one.get("externalRefs", ())
        if reference["referenceType"] == "purl"
    ]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Debian with pip and packages of pip's."""
    made = wheels.wheelhouse(wheels.library(6))
    lab = place.debian(tmp_path_factory.mktemp("debian"), "python3-pip", wheels=made)
    lab.pip("install", "lab-py-001==1.0", "lab-py-002==2.0", message="two packages")
    return lab


@pytest.mark.parametrize("format", FORMATS)
def test_a_real_debian_in_every_format(debian: Environment, format: str) -> None:
    listed = urls(exported(debian, f"--sbom={format}"))
    asked = debian.sh("dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n'")
    for line in asked.splitlines():
        name, version, architecture = line.split()
        start = f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace('+', '%2B')}"
        assert [
            url for url in listed if url.startswith(f"{start}?arch={architecture}&distro=bookworm")
        ]
    for one in json.loads(debian.run("pip", "list", "--format=json").stdout):
        assert f"pkg:pypi/{one['name'].lower().replace('_', '-')}@{one['version']}" in listed


def test_dependencies_lead_from_the_environment_to_every_package(debian: Environment) -> None:
    document = exported(debian, "--sbom")
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    url = "pkg:pypi/lab-py-002@2.0"
    assert [
        ref.partition("#")[0] for ref in needs[f"{url}#usr/local/lib/python3.11/dist-packages"]
    ] == ["pkg:pypi/lab-py-001@1.0"]
    apt = next(ref for ref in needs if ref.startswith("pkg:deb/debian/apt@"))
    assert any(ref.startswith("pkg:deb/debian/libapt-pkg6.0@") for ref in needs[apt])
    reached, stack = set(), ["environment"]
    while stack:
        ref = stack.pop()
        if ref not in reached:
            reached.add(ref)
            stack.extend(needs[ref])
    assert reached == set(needs) >= {one["bom-ref"] for one in document["components"]}


def test_the_same_commit_gives_the_same_bytes(debian: Environment, tmp_path: Path) -> None:
    for name in VERSIONS:
        first = debian.envgit("export", f"--sbom={name}", "main", "-").ok().stdout
        said = debian.envgit("export", f"--sbom={name}", str(tmp_path / "x")).ok().stdout
        assert said.startswith("Listed ") and said.endswith(f" in {tmp_path / 'x'}\n")
        assert (tmp_path / "x").read_text() == first
        assert debian.envgit("export", f"--sbom={name}", "--worktree", "-").ok().stdout == first
        # Remembered or not, here or there.
        shutil.rmtree(debian.top / "store/cache")
        assert debian.envgit("export", f"--sbom={name}", "-").ok().stdout == first
        other = debian.envgit("export", f"--sbom={name}", "HEAD~1", "-").ok().stdout
        assert other != first


def test_a_document_names_its_commit(debian: Environment) -> None:
    head = debian.head()
    tree = debian.head("HEAD:")
    date = debian.envgit("log", "-1", "--date=iso-strict-local", "--format=%ad").ok().stdout
    component = exported(debian, "--sbom")["metadata"]["component"]
    facts = {one["name"]: one["value"] for one in component["properties"]}
    assert component["version"] == facts["envgit:commit"] == head
    assert facts["envgit:rootfs"] == tree
    assert facts["envgit:branch"] == "main"
    assert facts["envgit:author-date"][:10] == date[:10]
    document = exported(debian, "--sbom=spdx", "--name", "my lab")
    assert document["name"] == f"my lab-{head}"
    root = next(one for one in document["packages"] if one["name"] == "my lab")
    locators = [one["referenceLocator"] for one in root["externalRefs"]]
    assert locators == [f"gitoid:commit:sha1:{head}", f"gitoid:tree:sha1:{tree}"]


def test_the_worktree_is_listed_with_what_is_uncommitted(debian: Environment) -> None:
    debian.pip("install", "lab-py-003==2.0")
    try:
        assert "pkg:pypi/lab-py-003@2.0" not in urls(exported(debian, "--sbom"))
        document = exported(debian, "--sbom", "--worktree")
        assert "pkg:pypi/lab-py-003@2.0" in urls(document)
        assert document["metadata"]["component"]["version"] == f"{debian.head()}-dirty"
        said = debian.envgit("export", "--sbom=spdx", "--worktree", "--json", "/dev/null").ok()
        assert json.loads(said.stdout)["dirty"] is True
    finally:
        debian.envgit("rollback").ok()


def test_files_are_listed_on_request(tmp_path: Path) -> None:
    status = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
    info = {"a.list": "/.\n/etc\n/etc/passwd\n/gone\n"}
    root = builders.rootfs(
        tmp_path / "rootfs", {"var": {"lib": {"dpkg": {"status": status, "info": info}}}}
    )
    digest = hashlib.sha256((root / "etc/passwd").read_bytes()).hexdigest()
    lab = place.system(tmp_path, root)
    for format in FORMATS:
        document = exported(lab, f"--sbom={format}", "--files")
        if "bomFormat" in document:
            files = [file for one in document["components"] for file in one.get("components", ())]
            names = {file["name"]: [file["hashes"][0]["content"]] for file in files}
        else:
            names = {
                file["fileName"].removeprefix("."): [
                    one["checksumValue"] for one in file["checksums"]
                ]
                for file in document["files"]
            }
        assert digest in names["/etc/passwd"]
        assert "/gone" not in names and "/etc" not in names


def test_a_date_can_be_given(debian: Environment) -> None:
    env = {**debian.env, "SOURCE_DATE_EPOCH": "1000000000"}
    done = cli.run(["export", "--sbom", "-"], cwd=debian.project, env=env).ok()
    assert json.loads(done.stdout)["metadata"]["timestamp"] == "2001-09-09T01:46:40+00:00"
    env["SOURCE_DATE_EPOCH"] = "yesterday"
    done = cli.run(["export", "--sbom", "-"], cwd=debian.project, env=env)
    assert done.status == 128 and "SOURCE_DATE_EPOCH" in done.stderr


def test_a_broken_database_is_warned_about_and_noted(tmp_path: Path) -> None:
    root = builders.rootfs(
        tmp_path / "rootfs",
        {
            "var": {"lib": {"dpkg": {"status": "Package: \x00\n\x1b[2J\n" * 3}}},
            "usr": {
                "lib": {"python3": {"dist-packages": {"a-1.dist-info": {"METADATA": b"\xff"}}}}
            },
        },
    )
    lab = place.system(tmp_path, root)
    for format in ("cyclonedx", "spdx"):
        done = lab.envgit("export", f"--sbom={format}", "-").ok()
        checked(done.stdout)
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        assert warnings and "\x1b" not in done.stderr
        for line in warnings:
            assert json.dumps(line.removeprefix("warning: "))[1:-1] in done.stdout


@pytest.mark.peer("rpmbuild")
def test_a_real_rpm_system(tmp_path: Path) -> None:
    root = builders.rootfs(
        tmp_path / "rootfs", {"etc": {"os-release": "ID=fedora\nVERSION_ID=40\n"}}
    )
    packages = rpms.library(4)[:4]
    rpms.install(root, sorted(rpms.built(packages).glob("*.rpm")))
    lab = place.system(tmp_path, root)
    for format in ("cyclonedx", "spdx"):
        assert "pkg:rpm/fedora/lab-003@1.0-1?arch=noarch&distro=fedora-40&epoch=2" in urls(
            exported(lab, f"--sbom={format}")
        )


@pytest.mark.peer("pacman")
def test_a_real_pacman_system(tmp_path: Path) -> None:
    root = builders.rootfs(tmp_path / "rootfs", {"etc": {"os-release": "ID=arch\n"}})
    pacmans.install(root, sorted(pacmans.built(pacmans.library(3)[:3]).glob("*.pkg.*")))
    lab = place.system(tmp_path, root)
    for format in ("cyclonedx", "spdx"):
        assert any(
            url.startswith("pkg:alpm/arch/lab-002@1.0-1?arch=")
            for url in urls(exported(lab, f"--sbom={format}"))
        )


def test_400_packages_are_all_listed(tmp_path: Path) -> None:
    stanza = (
        "Package: p{0}\nStatus: install ok installed\nArchitecture: all\nVersion: 1.{0}\n"
        "Depends: p{1}, p{2} (>= 1), libc | p0\nDescription: x\n\n"
    )
    status = "".join(stanza.format(n, max(n - 1, 0), n // 2) for n in range(400))
    licences = {f"p{n}": {"copyright": f"License: MIT\n{'x' * 2000}\n"} for n in range(400)}
    root = builders.rootfs(
        tmp_path / "rootfs",
        {"var": {"lib": {"dpkg": {"status": status}}}, "usr": {"share": {"doc": licences}}},
    )
    lab = place.system(tmp_path, root)
    for format, key in (("cyclonedx", "components"), ("spdx", "packages")):
        written = json.loads(lab.envgit("export", f"--sbom={format}", "-").ok().stdout)
        assert {f"p{n}" for n in range(400)} <= {each["name"] for each in written[key]}


def test_what_was_never_fetched_says_what_it_needs(tmp_path: Path) -> None:
    lab = place.system(tmp_path, builders.rootfs(tmp_path / "rootfs"))
    lab.sh("echo x > /x", message="second")
    before = lab.envgit("export", "--sbom", "-").ok()
    assert before.stdout
    for layer in (tmp_path / "store/layers").iterdir():
        os.rename(layer, tmp_path / layer.name)
        break
    done = lab.envgit("export", "--sbom", "-")
    assert done.status == 128 and not done.stdout
    assert "is missing" in done.stderr and "hint: " in done.stderr


def test_lines_that_mean_something_else_are_refused(debian: Environment) -> None:
    for words, said in (
        (["--sbom"], "a destination is needed"),
        (["--sbom", "main"], "'main' is a commit"),
        (["--sbom", "spdx", "x.json"], "--sbom=spdx"),
        (["--sbom", "tar:x.json"], "no archive"),
        (["--sbom=swid", "-"], "unknown format 'swid'"),
        (["--sbom=spdx@1", "-"], "unknown version '1' of spdx-json"),
        (["--sbom", "--worktree", "main", "-"], "a destination is needed"),
        (["--files", "tar:x"], "go with --sbom"),
    ):
        done = debian.envgit("export", *words)
        assert done.status == 129 and said in done.stderr and not done.stdout, words
    assert not list(debian.project.glob("*.json"))
