# SPDX-License-Identifier: Apache-2.0
"""Python's packages as every installer left them, eggs and all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.packages.model import Package, Shipped
from tests.support.installed import DiskFiles, MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

SITE = b"opt/venv/lib/python3.11/site-packages"
DEBIAN = b"usr/lib/python3/dist-packages"

METADATA = b"""\
Metadata-Version: 2.1
Name: Zope.Thing_x
Version: 1.0rc1
Summary: Does   things
Home-page: UNKNOWN
License: A whole
        licence text, folded
Classifier: License :: OSI Approved :: MIT License
Project-URL: Documentation, https://example.org/doc
Project-URL: Homepage, https://example.org/
Requires-Dist: idna (>=2)
Requires-Dist: PySocks!=1.5.7; extra == 'socks'
Provides-Extra: socks

Name: not this one
"""


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


RECORD = f"""\
zope_thing/__init__.py,sha256={digest(b"x")},10
zope_thing/__pycache__/__init__.cpython-311.pyc,,
"zope_thing/with,comma",sha256={digest(b"y")},5
../../../bin/zope-thing,sha256={digest(b"z")},200
../../../../../../../../../etc/passwd,,
/etc/absolute,,
zope_thing-1.0rc1.dist-info/RECORD,,
""".encode()


def dist_info(
    place: bytes, folder: bytes = b"zope_thing-1.0rc1.dist-info", **more: bytes | None
) -> dict[bytes, bytes]:
    """The files of an installed package; a name that is None is left out."""
    held: dict[str, bytes | None] = {
        "METADATA": METADATA,
        "RECORD": RECORD,
        "INSTALLER": b"pip\n",
        **more,
    }
    return {
        b"/".join((place, folder, name.replace("__", ".").encode())): data
        for name, data in held.items()
        if data is not None
    }


def listed(files: dict[bytes, bytes], links: dict[bytes, bytes] | None = None) -> list[Package]:
    inventory = inventory_of(MemoryFiles(files, links=links))
    assert inventory.contents.problems == ()
    return list(inventory.contents.packages)


def only(files: dict[bytes, bytes], links: dict[bytes, bytes] | None = None) -> Package:
    (found,) = listed(files, links)
    return found


def test_what_is_said_of_a_package() -> None:
    package = only(dist_info(SITE, REQUESTED=b""))
    assert (package.name, package.version, package.place) == ("Zope.Thing_x", "1.0rc1", SITE)
    assert package.id.name == "zope-thing-x"
    assert package.reason == "manual"
    assert package.size == 215
    assert package.summary == "Does things"
    assert package.license == "MIT License"
    assert package.homepage == "https://example.org/"
    assert package.requires == ("idna (>=2)", "PySocks!=1.5.7; extra == 'socks'")
    assert package.carried_by == ""


@pytest.mark.parametrize(
    ("installer", "reason"), [(b"pip\n", "automatic"), (b"uv", ""), (b"poetry 1.8", "")]
)
def test_only_those_who_note_what_was_asked_for_have_reasons(installer: bytes, reason: str) -> None:
    assert only(dist_info(SITE, INSTALLER=installer)).reason == reason
    asked = only(dist_info(SITE, INSTALLER=installer, REQUESTED=b"")).reason
    assert asked == ("" if installer == b"uv" else "manual")


@pytest.mark.parametrize(
    ("place", "installer", "carrier"),
    [
        (DEBIAN, None, "dpkg"),
        (DEBIAN, b"debian", "dpkg"),
        (DEBIAN, b"pip\n", ""),
        (b"usr/lib/python3.12/site-packages", b"rpm\n", "rpm"),
        (b"usr/lib/python3.12/site-packages", None, "apk"),
        (b"opt/conda/lib/python3.12/site-packages", b"conda", "conda"),
        (b"usr/local/lib/python3.12/dist-packages", None, ""),
        (b"srv/app", None, ""),
    ],
)
def test_who_brought_it(place: bytes, installer: bytes | None, carrier: str) -> None:
    files = dist_info(place, INSTALLER=installer)
    if carrier == "apk":
        files[b"lib/apk/db/scripts.tar"] = b""
    assert only(files).carried_by == carrier


def test_editable() -> None:
    told = json.dumps({"url": "file:///src/x", "dir_info": {"editable": True}}).encode()
    assert only(dist_info(SITE, direct_url__json=told)).state == "editable"
    assert only(dist_info(SITE, direct_url__json=b"[" * 100_000)).state == "installed"


def test_manifest() -> None:
    inventory = inventory_of(MemoryFiles(dist_info(SITE, REQUESTED=b"")))
    (package,) = inventory.contents.packages
    found = {one.path: one for one in inventory.manifest(package)}
    folder = SITE + b"/zope_thing-1.0rc1.dist-info/"
    script = hashlib.sha256(b"z").hexdigest()
    assert found[b"opt/venv/bin/zope-thing"] == Shipped(
        b"opt/venv/bin/zope-thing", f"sha256:{script}"
    )
    assert SITE + b"/zope_thing/with,comma" in found
    assert found[SITE + b"/zope_thing/__pycache__/__init__.cpython-311.pyc"].digest == ""
    assert b"etc/absolute" in found
    assert {folder + b"METADATA", folder + b"RECORD", folder + b"REQUESTED"} <= found.keys()
    assert not any(b".." in path for path in found)


def test_manifest_through_links_of_directories() -> None:
    files = dist_info(b"usr/lib/python3.11/site-packages", RECORD=b"/lib/x.so,,\n/lib64/y.so,,\n")
    inventory = inventory_of(
        MemoryFiles(files, links={b"lib": b"usr/lib", b"lib64": b"/usr/lib/../lib64"})
    )
    (package,) = inventory.contents.packages
    paths = {one.path for one in inventory.manifest(package)}
    assert {b"usr/lib/x.so", b"usr/lib64/y.so"} <= paths


@pytest.mark.parametrize(
    "place",
    [
        SITE + b"/setuptools/_vendor",
        SITE + b"/pip/_vendor",
        b"srv/libs/setuptools/_vendor",
        b"root/.cache/uv/archive-v0/Xy12",
        b"opt/conda/pkgs/zope-1.0-py_0/lib/python3.12/site-packages",
        b"opt/conda/pkgs/zope-1.0-py_0/site-packages",
    ],
)
def test_parts_of_others_and_downloads_are_not_installed(place: bytes) -> None:
    assert listed(dist_info(place)) == []


@pytest.mark.parametrize("place", [b"srv/libs", b"root/.cache/x/venv/lib/python3.9/site-packages"])
def test_any_directory_can_be_imported_from(place: bytes) -> None:
    assert only(dist_info(place)).place == place


def test_what_pip_is_replacing_is_not_installed() -> None:
    assert listed(dist_info(SITE, b"~ope_thing-1.0rc1.dist-info")) == []


# -- eggs -------------------------------------------------------------------------------------

PKG_INFO = b"Metadata-Version: 1.0\nName: old-thing\nVersion: 0.3\nLicense: UNKNOWN\n"
REQUIRES = b"""\
plain>=1

[:python_version < "3"]
backport

[extra]
more ; os_name == "posix"

[both:sys_platform == "win32"]
windows
"""


def test_egg_info_directory_with_a_list_of_files() -> None:
    folder = SITE + b"/old_thing-0.3-py3.11.egg-info"
    files = {
        folder + b"/PKG-INFO": PKG_INFO,
        folder + b"/requires.txt": REQUIRES,
        folder + b"/installed-files.txt": b"../old.py\n../../../../bin/old\nPKG-INFO\n",
    }
    inventory = inventory_of(MemoryFiles(files))
    (package,) = inventory.contents.packages
    assert (package.name, package.version, package.license) == ("old-thing", "0.3", "")
    assert package.requires == (
        "plain>=1",
        'backport ; python_version < "3"',
        'more ; os_name == "posix" and extra == "extra"',
        'windows ; (sys_platform == "win32") and extra == "both"',
    )
    paths = {one.path for one in inventory.manifest(package)}
    assert {SITE + b"/old.py", b"opt/venv/bin/old", folder + b"/requires.txt"} <= paths


def test_egg_info_file_of_a_distribution_and_a_link_to_one() -> None:
    files = {
        DEBIAN + b"/old_thing-0.3.egg-info": PKG_INFO,
        b"usr/share/x/other.egg-info": PKG_INFO.replace(b"old-thing", b"other"),
    }
    found = listed(files, {DEBIAN + b"/other-0.3.egg-info": b"../../../share/x/other.egg-info"})
    assert [(one.name, one.carried_by) for one in found] == [
        ("old-thing", "dpkg"),
        ("other", "dpkg"),
    ]


def test_eggs_and_links_to_projects() -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("EGG-INFO/PKG-INFO", PKG_INFO.replace(b"old-thing", b"zipped"))
    files = {
        SITE + b"/unpacked-0.3-py3.11.egg/EGG-INFO/PKG-INFO": PKG_INFO,
        SITE + b"/unpacked-0.3-py3.11.egg/old.py": b"",
        SITE + b"/zipped-0.3-py3.11.egg": zipped.getvalue(),
        SITE + b"/my-project.egg-link": b"/src/mine\n.",
        b"src/mine/my_project.egg-info/PKG-INFO": PKG_INFO.replace(b"old-thing", b"my-project"),
    }
    inventory = inventory_of(MemoryFiles(files))
    assert inventory.contents.problems == ()
    found = {one.name: one for one in inventory.contents.packages}
    assert found.keys() == {"old-thing", "zipped", "my-project"}
    assert found["my-project"].state == "editable"
    assert {one.path for one in inventory.manifest(found["old-thing"])} == {
        SITE + b"/unpacked-0.3-py3.11.egg/EGG-INFO/PKG-INFO",
        SITE + b"/unpacked-0.3-py3.11.egg/old.py",
    }


def test_a_project_that_is_worked_on_is_installed_by_its_link_alone() -> None:
    assert listed({b"src/mine/my_project.egg-info/PKG-INFO": PKG_INFO}) == []


# -- against pip, and against malice ----------------------------------------------------------


def test_as_pip_lists_this_environment() -> None:
    place = sysconfig.get_path("purelib")
    said = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json", "--path", place],
        capture_output=True,
        check=False,
    )
    if said.returncode:
        pytest.skip("there is no pip here")
    root = Path(place).parents[2]
    inventory = inventory_of(DiskFiles(root))
    below = str(Path(place).relative_to(root)).encode()
    ours = {(p.name, p.version) for p in inventory.contents.packages if p.place == below}
    assert ours == {(one["name"], one["version"]) for one in json.loads(said.stdout)}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"Name: x\n",
        None,
        b"\xff\xfe" + METADATA.decode().encode("utf-16"),
        b"Name: x\n" + b" y\n" * 500_000 + b"Version: ",
    ],
)
def test_unreadable_metadata_are_a_problem(damage: bytes | None) -> None:
    started = time.process_time()
    inventory = inventory_of(MemoryFiles(dist_info(SITE, METADATA=damage)))
    assert inventory.contents.packages == ()
    assert [one.manager for one in inventory.contents.problems] == ["pip"]
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "record",
    [
        b'"' + b"x" * 3_000_000,
        b"a," * 1_000_000,
        b"x,sha256=" + b"A" * 1_000_000 + b"," + b"9" * 1_000_000 + b"\n",
        b"\n" * 2_000_000,
        b"../" * 1_000_000 + b"x,,\n",
        b"\xff\x00\xfe,sha256=!!!!,x\n",
    ],
)
def test_hostile_records_are_read_in_time(record: bytes) -> None:
    started = time.process_time()
    inventory = inventory_of(MemoryFiles(dist_info(SITE, RECORD=record)))
    for package in inventory.contents.packages:
        for shipped in inventory.manifest(package):
            assert b".." not in shipped.path.split(b"/")
    assert time.process_time() - started < 5


@pytest.mark.fuzz
def test_damaged_records(effort: Callable[[int, int], int]) -> None:
    egg = SITE + b"/old_thing-0.3-py3.11.egg-info"
    for seed in range(effort(150, 20_000)):
        rng = random.Random(seed)
        files = {
            **dist_info(SITE, REQUESTED=b"", direct_url__json=b'{"dir_info": {"editable": true}}'),
            egg + b"/PKG-INFO": PKG_INFO,
            egg + b"/requires.txt": REQUIRES,
            egg + b"/installed-files.txt": b"../old.py\n",
            SITE + b"/l.egg-link": b"/src/mine\n",
            b"src/mine/l.egg-info/PKG-INFO": PKG_INFO,
        }
        for path in rng.sample(sorted(files), rng.randint(1, 4)):
            files[path] = mutant(files[path], rng)
        survives("pip", MemoryFiles(files), [SITE])
