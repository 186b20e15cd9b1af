# SPDX-License-Identifier: Apache-2.0
"""apk's database, as apk-tools 2.14 and 3.0 write it.

``INSTALLED`` is what apk 3.0.6 wrote of packages made by ``apk mkpkg`` and ``apk add`` (the second
has its older format's digests); where an ``apk`` is installed, one is asked (see the last tests).
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import time
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.model import Package, Shipped
from tests.support.installed import DiskFiles, MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

INSTALLED = """\
C:Q1IeekLXoagC4r00RgYYxZa5DqgP8=
P:app
V:1.0-r0
A:noarch
S:962
I:40
T:Package app, ünïcode
U:https://example.org/app
L:MIT
o:src-app
D:base>=1.0 !evil helper
p:cmd:app=1.0-r0 so:libapp.so.1=1.2.3
f:S
F:etc
F:etc/app
R:conf
Z:Q1jQ1Mih5qt1ri+Bq/Hh5mzhq3vlM=
F:etc/init.d
R:app
a:0:0:755
Z:Q1BhEcZ5fV5ZMreS0MOv3xO8kSukQ=
F:usr
F:usr/share
F:usr/share/app
R:link
a:0:0:777
Z:Q1O5w1jzbwoxtq0+FPMJx88ZiskkY=
F:usr/share/app/deep
R:a b
Z:Q1ZIlvif0RGQATtwED5gOhxYJuVrc=

C:Q1ZfmUCnI63x+GDXtPy98/X1NOVQ8=
P:base
V:1.2_rc1-r3
A:x86_64
I:6
F:lib
M:0:0:755
R:l
Z:Q1{}
R:../../etc/shadow

C:Q1K8JqlJNCZ8dFL6TOw53gyFWDsvE=
P:helper
V:0.1-r0
A:x86_64
p:virtual=1
f:fx

""".format(b64encode(hashlib.sha1(b"l\n", usedforsecurity=False).digest()).decode()).encode()

PLACE = b"lib/apk/db/installed"


def files(place: bytes = PLACE, world: bytes | None = b"app virtual>0.9\n") -> MemoryFiles:
    made = {place: INSTALLED, b"etc/app/conf": b"conf\n", b"usr/share/app/deep/a b": b"other\n"}
    if world is not None:
        made[b"etc/apk/world"] = world
    links = {b"usr/share/app/link": b"file"}
    return MemoryFiles(made, links=links)


@pytest.mark.parametrize("place", [PLACE, b"usr/lib/apk/db/installed"])
def test_what_a_package_is(place: bytes) -> None:
    contents = inventory_of(files(place)).contents
    assert contents.problems == ()
    assert contents.packages[0] == Package(
        manager="apk",
        name="app",
        version="1.0-r0",
        architecture="noarch",
        unit=place,
        size=40,
        reason="manual",
        source="src-app",
        summary="Package app, ünïcode",
        license="MIT",
        homepage="https://example.org/app",
        requires=("base>=1.0", "helper"),
        provides=("cmd:app=1.0-r0", "so:libapp.so.1=1.2.3"),
        conflicts=("evil",),
    )
    assert [(one.name, one.version, one.reason, one.state) for one in contents.packages[1:]] == [
        ("base", "1.2_rc1-r3", "automatic", "installed"),
        ("helper", "0.1-r0", "manual", "broken"),
    ]


def test_the_world_decides_what_was_asked_for() -> None:
    def reasons(world: bytes | None) -> str:
        return " ".join(
            one.reason[:1] for one in inventory_of(files(world=world)).contents.packages
        )

    assert reasons(b"app@edge\nbase><Q1ZfmUCnI63x+GDXtPy98/X1NOVQ8=\n!helper\n") == "m m a"
    assert reasons(b"") == "a a a"
    assert reasons(None).split() == []
    keys = {inventory_of(files(world=world)).units[0].key for world in (b"", b"app", None)}
    assert len(keys) == 3


def test_files() -> None:
    inventory = inventory_of(files())
    app, base, _ = inventory.contents.packages
    shipped = {one.path: one for one in inventory.manifest(app)}
    # apk 3 keeps 160 bits of a SHA-256: the file that has them has the rest.
    whole = f"sha256:{hashlib.sha256(b'conf' + bytes([10])).hexdigest()}"
    assert shipped[b"etc/app/conf"] == Shipped(b"etc/app/conf", whole, True)
    assert shipped[b"etc/init.d/app"].digest.startswith("sha256-160:")
    assert not shipped[b"etc/init.d/app"].config
    assert shipped[b"usr/share/app/link"].digest == ""
    assert shipped[b"usr/share/app/deep/a b"].digest.startswith("sha256-160:")
    sha1 = hashlib.sha1(b"l\n", usedforsecurity=False).hexdigest()
    assert list(inventory.manifest(base)) == [Shipped(b"lib/l", f"sha1:{sha1}")]


def test_files_of_a_merged_usr() -> None:
    made = MemoryFiles({b"usr/lib/apk/db/installed": INSTALLED}, links={b"lib": b"usr/lib"})
    inventory = inventory_of(made)
    assert [unit.path for unit in inventory.units] == [b"usr/lib/apk/db/installed"]
    assert b"usr/lib/l" in inventory.owners


@pytest.mark.parametrize(
    "installed",
    [
        b"P:a\n\n" * 5_000_000,
        b"P:a\nD:" + b"x " * 10_000_000,
        b"P:a\n" + b"F:\nR:\n" * 5_000_000,
        b"\n" * 30_000_000,
        b"F:" * 15_000_000,
        b"P:" + b"a" * 30_000_000,
    ],
    ids=["packages", "relations", "files", "blank", "no lines", "name"],
)
def test_bombs(installed: bytes) -> None:
    started = time.process_time()
    inventory = inventory_of(MemoryFiles({PLACE: installed}))
    assert len(inventory.contents.packages) <= 1
    assert inventory.owners == {}
    assert time.process_time() - started < 10


@pytest.mark.fuzz
@given(st.integers(0, 2**32))
def test_damage(seed: int) -> None:
    rng = random.Random(seed)
    made = {PLACE: mutant(INSTALLED, rng), b"etc/apk/world": mutant(b"app virtual>0.9\n", rng)}
    survives("apk", MemoryFiles(made))


# -- as apk has it ----------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.peer("apk>=3")
def test_apk_agrees(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/apk").mkdir(parents=True)
    (root / "etc/apk/arch").write_text("noarch\n")
    built = [
        _mkpkg(tmp_path, "app", "1.0-r0", "base>=1.0 helper !evil"),
        _mkpkg(tmp_path, "base", "1.2_rc1-r3", ""),
        _mkpkg(tmp_path, "helper", "0.1-r0", "base"),
        _mkpkg(tmp_path, "loose", "2-r0", ""),
    ]
    _apk(root, "add", "--initdb", "--no-network", "--allow-untrusted", *map(str, built))
    _apk(root, "del", "loose")
    inventory = inventory_of(DiskFiles(root))
    found = {one.name: one for one in inventory.contents.packages}
    said = _apk(root, "info", "-v").split()
    assert sorted(f"{one.name}-{one.version}" for one in found.values()) == sorted(said)
    for one in found.values():
        listed = _apk(root, "info", "-qL", one.name).split("\n")
        ours = [os.fsdecode(shipped.path) for shipped in inventory.manifest(one)]
        assert sorted(ours) == sorted(filter(None, listed))
        depends = _apk(root, "info", "-qR", one.name).split()
        assert {*one.requires, *(f"!{name}" for name in one.conflicts)} == set(depends)
        for shipped in inventory.manifest(one):
            path = root / os.fsdecode(shipped.path)
            if not path.is_symlink():
                data = path.read_bytes()
                assert shipped.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.peer("apk")
def test_apk_orders_versions_the_same() -> None:
    from envgit.packages.versions import compare

    rng = random.Random(4)
    suffixes = ["", "_alpha", "_pre2", "_rc1", "_p3", "_git20240101", "a", "b"]
    for _ in range(60):
        a, b = (
            ".".join(
                rng.choice(["0", "1", "2", "10", "01", "007"]) for _ in range(rng.randint(1, 4))
            )
            + rng.choice(suffixes)
            + rng.choice(["", "-r0", "-r1", "-r12"])
            for _ in range(2)
        )
        said = subprocess.run(["apk", "version", "-t", a, b], capture_output=True, text=True)
        assert compare("apk", a, b) == {"<": -1, "=": 0, ">": 1}[said.stdout.strip()], (a, b)


def _mkpkg(folder: Path, name: str, version: str, depends: str) -> Path:
    files = folder / name
    texts = {
        f"etc/{name}/conf": "conf\n",
        f"usr/share/{name}/deep/a b": f"{name} {version}\n",
        f"usr/share/{name}/open": "w\n",
        f"lib/{name}/l": "l\n",
    }
    for path, text in texts.items():
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (files / f"usr/share/{name}/open").chmod(0o777)
    (files / f"usr/share/{name}/link").symlink_to("open")
    made = folder / f"{name}-{version}.apk"
    about = {"name": name, "version": version, "arch": "noarch", "license": "MIT"}
    about |= {"description": f"Package {name}", "depends": depends}
    words = [word for key, value in about.items() for word in ("-I", f"{key}:{value}")]
    subprocess.run(
        ["apk", "mkpkg", *words, "-F", str(files), "-o", str(made)], check=True, capture_output=True
    )
    shutil.rmtree(files)
    return made


def _apk(root: Path, *words: str) -> str:
    said = subprocess.run(
        ["apk", "--root", str(root), "--repositories-file", "/dev/null", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout
