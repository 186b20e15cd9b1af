# SPDX-License-Identifier: Apache-2.0
"""pacman's database, as pacman writes it; where it is installed, it is asked."""

from __future__ import annotations

import gzip
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.model import Package, Shipped
from tests.support.installed import DiskFiles, MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives
from tests.support.pkglabs import pacmans

UNIT = b"var/lib/pacman/local/demo-1:1.2-3"

DESC = """\
%NAME%
demo

%VERSION%
1:1.2-3

%BASE%
demos

%DESC%
Demo of ünïcode

%URL%
https://example.org/demo

%ARCH%
any

%SIZE%
21

%REASON%
1

%LICENSE%
GPL3
MIT

%DEPENDS%
glibc>=2.30
bash

%OPTDEPENDS%
x: for x

%CONFLICTS%
olddemo<1

%PROVIDES%
demo-api=2

""".encode()

FILES = b"""\
%FILES%
etc/
etc/demo.conf
lib/
lib/libdemo
usr/share/demo dir/
usr/share/demo dir/\xc3\xa4 file
../../etc/shadow

%BACKUP%
etc/demo.conf\tb9a771b420047cfaa3543e66c78f44f6

"""

MTREE = gzip.compress(
    b"#mtree\n/set type=file uid=0 gid=0 mode=644\n"
    b"./.PKGINFO time=1.0 size=3 md5digest=00 sha256digest=00\n"
    b"./lib time=1.0 mode=755 type=dir\n"
    b"./lib/libdemo time=1.0 size=4 md5digest=" + b"1" * 32 + b" sha256digest=" + b"a" * 64 + b"\n"
    b"./usr/share/demo\\040dir/\\303\\244\\040file time=1.0 size=2 md5digest=" + b"2" * 32 + b"\n"
)


def files(**changed: bytes) -> MemoryFiles:
    made = {UNIT + b"/desc": DESC, UNIT + b"/files": FILES, UNIT + b"/mtree": MTREE}
    made[b"var/lib/pacman/local/ALPM_DB_VERSION"] = b"9\n"
    made |= {UNIT + b"/" + name.encode(): data for name, data in changed.items()}
    return MemoryFiles(made, links={b"lib": b"usr/lib"})


def test_what_a_package_is() -> None:
    contents = inventory_of(files()).contents
    assert contents.problems == ()
    assert contents.packages == (
        Package(
            manager="pacman",
            name="demo",
            version="1:1.2-3",
            architecture="any",
            unit=UNIT,
            size=21,
            reason="automatic",
            source="demos",
            summary="Demo of ünïcode",
            license="GPL3 AND MIT",
            homepage="https://example.org/demo",
            requires=("glibc>=2.30", "bash"),
            provides=("demo-api=2",),
            conflicts=("olddemo<1",),
        ),
    )
    asked = inventory_of(files(desc=DESC.replace(b"%REASON%\n1\n\n", b""))).contents
    assert asked.packages[0].reason == "manual"


def test_files() -> None:
    inventory = inventory_of(files())
    (package,) = inventory.contents.packages
    assert list(inventory.manifest(package)) == [
        Shipped(b"etc/demo.conf", "md5:b9a771b420047cfaa3543e66c78f44f6", True),
        Shipped(b"usr/lib/libdemo", "sha256:" + "a" * 64),
        Shipped("usr/share/demo dir/ä file".encode(), "md5:" + "2" * 32),
        Shipped(UNIT + b"/desc"),
        Shipped(UNIT + b"/files"),
        Shipped(UNIT + b"/mtree"),
    ]


def test_what_is_no_package_is_a_problem() -> None:
    contents = inventory_of(files(desc=b"\0\xff\n")).contents
    assert (contents.packages, len(contents.problems)) == ((), 1)
    broken = inventory_of(files(mtree=b"no gzip"))
    assert broken.manifest(broken.contents.packages[0]) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"mtree": gzip.compress(bytes(400_000_000), 1)},
        {"mtree": gzip.compress(b"./a sha256digest=b\n" * 4_000_000, 1)},
        {"files": b"%FILES%\n" + b"a\n" * 2_000_000},
        {"desc": b"%NAME%\nx\n\n%DEPENDS%\n" + b"a\n" * 500_000},
    ],
    ids=["zeros", "lines", "files", "relations"],
)
def test_bombs(changed: dict[str, bytes]) -> None:
    made = files(**changed)
    started = time.process_time()
    inventory = inventory_of(made)
    assert len(inventory.contents.packages) == 1
    assert len(inventory.owners) < 1_000_100
    assert time.process_time() - started < 10


@pytest.mark.root
@pytest.mark.peer("pacman>=6")
def test_pacman_agrees(tmp_path: Path) -> None:
    root = tmp_path / "root"
    built = pacmans.built(pacmans.library())
    pacmans.install(root, sorted(built.glob("*-1.0-1-*")))
    pacmans.install(root, sorted(built.glob("*-00[0-5]-2.0-1-*")), automatic=True)
    inventory = inventory_of(DiskFiles(root))
    assert inventory.contents.problems == ()
    for one in inventory.contents.packages:
        told = dict(
            line.split(" : ", 1)
            for line in pacmans.pacman(root, "-Qi", one.name).splitlines()
            if " : " in line
        )
        about = {key.strip(): value for key, value in told.items()}
        assert about["Version"] == one.version
        assert about["Description"] == one.summary
        assert about["Licenses"] == one.license
        assert about["URL"] == one.homepage
        assert about["Depends On"].split() == (list(one.requires) or ["None"])
        assert about["Install Reason"].startswith("Explicit") == (one.reason == "manual")
        listed = pacmans.pacman(root, "-Qlq", one.name).splitlines()
        theirs = [path for path in listed if not path.endswith("/")]
        own = f"{root}/{os.fsdecode(one.unit)}/"
        ours = [f"{root}/{os.fsdecode(shipped.path)}" for shipped in inventory.manifest(one)]
        assert [path for path in ours if not path.startswith(own)] == theirs


@pytest.mark.fuzz
@given(st.integers(0, 2**32))
def test_damage(seed: int) -> None:
    rng = random.Random(seed)
    whole = {"desc": DESC, "files": FILES, "mtree": MTREE}
    if rng.random() < 0.5:
        whole["mtree"] = gzip.compress(mutant(gzip.decompress(MTREE), rng))
    changed = {name: mutant(data, rng) for name, data in whole.items() if rng.random() < 0.6}
    survives("pacman", files(**changed), [b"var/lib/pacman/local"])
