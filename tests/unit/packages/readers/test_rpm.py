# SPDX-License-Identifier: Apache-2.0
"""rpm's databases: SQLite as rpm writes it here, ndb and Berkeley DB as it wrote them elsewhere.

``rpmdb`` holds databases of the three packages below, written by rpm 4.20 of Debian 13 (ndb, with
one package removed and installed again) and rpm 4.16 of Debian 11 (Berkeley DB), with ``xz`` put
around them. What rpm says of them was compared when they were made, for every backend with 151
packages, some removed and upgraded; here Berkeley DB's is still compared where rpm can read it.
"""

from __future__ import annotations

import lzma
import random
import sqlite3
import struct
import subprocess
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.model import Package, Shipped, Unreadable
from envgit.packages.readers.rpm_databases import bdb_headers, ndb_headers, sqlite_headers
from envgit.packages.readers.rpm_header import Header
from tests.support.installed import MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives
from tests.support.pkglabs import rpms

NDB, BDB, SQLITE = (
    f"usr/lib/sysimage/rpm/{name}".encode() for name in ("Packages.db", "Packages", "rpmdb.sqlite")
)

ONE = Package(
    manager="rpm",
    name="one",
    version="2:1.2.3-4",
    architecture="noarch",
    unit=NDB,
    size=28,
    source="one",
    summary="First of some, with ünïcode",
    license="MIT AND Apache-2.0",
    homepage="https://example.org/one",
    requires=("(three or four)", "/bin/sh", "config(one) = 2:1.2.3-4", "two >= 1:2.0-1"),
    provides=("config(one) = 2:1.2.3-4", "one = 2:1.2.3-4", "uno = 1.2"),
    conflicts=("eleven < 3",),
)


@cache
def fixture(name: str) -> bytes:
    return lzma.decompress(Path(__file__).with_name("rpmdb").joinpath(f"{name}.xz").read_bytes())


@cache
def database(*, more: bool = False) -> bytes:
    """The headers of the fixture in a database as rpm's SQLite backend lays it out."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    blobs = ndb_headers(fixture("Packages.db")) * (20 if more else 1)
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.commit()
    return connection.serialize()


def packages(path: bytes, data: bytes, **others: bytes) -> list[Package]:
    made = {name.encode(): content for name, content in others.items()}
    contents = inventory_of(MemoryFiles({path: data, **made})).contents
    assert contents.problems == ()
    return list(contents.packages)


@pytest.mark.parametrize(("path", "name"), [(NDB, "Packages.db"), (BDB, "Packages")])
def test_ndb_and_berkeley(path: bytes, name: str) -> None:
    found = {one.name: one for one in packages(path, fixture(name))}
    assert sorted(found) == ["one", "three", "two"]
    assert found["one"] == replace(ONE, unit=path)
    assert found["two"].requires == ()


@pytest.mark.parametrize(("path", "name"), [(NDB, "Packages.db"), (BDB, "Packages")])
def test_files(path: bytes, name: str) -> None:
    made = MemoryFiles({path: fixture(name)})
    inventory = inventory_of(made)
    (one,) = [each for each in inventory.contents.packages if each.name == "one"]
    assert [(each.path, each.config) for each in inventory.manifest(one)] == [
        (b"etc/one.conf", True),
        (b"opt/one/thing", False),
        (b"usr/bin/one", False),
        (b"usr/share/one/deep/file", False),
        (b"usr/share/one/deep/hard", False),
        (b"usr/share/one/link", False),
        (b"usr/share/one/with space", False),
    ]
    digests = {each.path: each.digest for each in inventory.manifest(one)}
    assert digests[b"usr/share/one/link"] == ""
    assert digests[b"usr/share/one/deep/file"] == (
        "sha256:0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f"
    )
    # What %ghost names is its package's, where it is.
    there = inventory_of(MemoryFiles({path: fixture(name), b"var/log/one.log": b"x"}))
    assert Shipped(b"var/log/one.log") in there.manifest(one)
    assert there.owners[b"var/log/one.log"].name == "one"


@pytest.mark.peer("rpm")
def test_berkeley_as_rpm_has_it(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_bytes(fixture("Packages"))
    said = rpm(tmp_path, "bdb_ro", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\n")
    if not said:
        pytest.skip("this rpm reads no Berkeley DB")
    ours = [
        f"{one.name} {one.version.partition(':')[2]} {one.architecture}"
        for one in packages(BDB, fixture("Packages"))
    ]
    assert sorted(ours) == sorted(said.splitlines())


@pytest.mark.peer("rpm")
@pytest.mark.peer("rpmbuild")
def test_sqlite_as_rpm_has_it(tmp_path: Path) -> None:
    """Made without root: --justdb notes packages down and installs nothing."""
    built = rpms.built(rpms.library())
    first, second = sorted(built.glob("*-1.0-1.*")), sorted(built.glob("*-00[0-4]-2.0-1.*"))
    rpm(tmp_path, "sqlite", "-i", "--justdb", "--nodeps", *map(str, first))
    rpm(tmp_path, "sqlite", "-U", "--justdb", "--nodeps", *map(str, second))
    rpm(tmp_path, "sqlite", "-e", "--justdb", "--nodeps", "lab-005")
    made = MemoryFiles({SQLITE: (tmp_path / "rpmdb.sqlite").read_bytes()})
    inventory = inventory_of(made)
    tags = "%{NAME} %{EPOCH} %{VERSION}-%{RELEASE} %{ARCH} %{SIZE} %{LICENSE} %{SUMMARY}\n"
    ours = []
    for one in inventory.contents.packages:
        epoch, found, version = one.version.rpartition(":")
        ours.append(
            f"{one.name} {epoch if found else '(none)'} {version} {one.architecture} {one.size} "
            f"{one.license} {one.summary}"
        )
        asked = f"{one.name}-{version}"
        listed = rpm(tmp_path, "sqlite", "-ql", asked).splitlines()
        assert ["/" + each.path.decode() for each in inventory.manifest(one)] == listed
        for option, said in (("-qR", one.requires), ("--provides", one.provides)):
            theirs = rpm(tmp_path, "sqlite", "-q", option, asked).splitlines()
            assert {line for line in theirs if not line.startswith("rpmlib(")} == set(said)
    assert sorted(ours) == sorted(rpm(tmp_path, "sqlite", "-qa", "--qf", tags).splitlines())
    assert len(ours) == 11


def test_a_log_that_was_not_written_back(tmp_path: Path) -> None:
    """The state that a killed rpm leaves: what is committed is in ``rpmdb.sqlite-wal`` alone."""
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(database())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("DELETE FROM Packages WHERE hnum = 2")
    connection.commit()
    blob = connection.execute("SELECT blob FROM Packages LIMIT 1").fetchone()[0]
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,)] * 30)
    connection.commit()
    data, log = path.read_bytes(), path.with_name("rpmdb.sqlite-wal").read_bytes()
    connection.close()
    assert len(list(sqlite_headers(data, log))) == 32
    assert len(packages(SQLITE, data, **{"usr/lib/sysimage/rpm/rpmdb.sqlite-wal": log})) == 32
    # A transaction that is not all there has not happened.
    assert len(list(sqlite_headers(data, log[:-100]))) == 2
    assert len(list(sqlite_headers(data, log[:200]))) == 3
    torn = bytearray(log)
    torn[-50] ^= 1
    assert len(list(sqlite_headers(data, bytes(torn)))) == 2


def test_the_keys_that_rpm_trusts_are_among_its_packages() -> None:
    header = made_header({1000: "gpg-pubkey", 1001: "d651ff2e", 1002: "5dadbbc1"})
    (key,) = packages(SQLITE, made_database([header]), **{"var/lib/zypp/AutoInstalled": b""})
    assert (key.name, key.version, key.architecture) == ("gpg-pubkey", "d651ff2e-5dadbbc1", "")
    assert key.reason == ""


def test_reasons_of_those_above_rpm() -> None:
    zypp = packages(NDB, fixture("Packages.db"), **{"var/lib/zypp/AutoInstalled": b"# x\ntwo\n"})
    assert {one.name: one.reason for one in zypp} == {
        "one": "manual",
        "two": "automatic",
        "three": "manual",
    }
    path = "usr/lib/sysimage/libdnf5/packages.toml"
    toml = b'[packages]\n"one.noarch" = {reason = "Dependency"}\n"two.x86_64" = {reason = "User"}\n'
    dnf5 = packages(NDB, fixture("Packages.db"), **{path: toml})
    assert {one.name: one.reason for one in dnf5} == {
        "one": "automatic",
        "two": "manual",
        "three": "",
    }
    odd = packages(NDB, fixture("Packages.db"), **{path: b"[" * 100_000})
    assert {one.reason for one in odd} == {""}


def test_reasons_of_dnf_4() -> None:
    """The last transaction that was finished counts; what was removed is noted no more."""
    history = sqlite3.connect(":memory:")
    history.executescript(
        """
        CREATE TABLE trans (id INTEGER PRIMARY KEY, state INTEGER NOT NULL);
        CREATE TABLE trans_item (id INTEGER PRIMARY KEY, trans_id INTEGER, item_id INTEGER,
            repo_id INTEGER, action INTEGER NOT NULL, reason INTEGER NOT NULL, state INTEGER);
        CREATE TABLE rpm (item_id INTEGER UNIQUE NOT NULL, name TEXT NOT NULL, epoch INTEGER,
            version TEXT NOT NULL, release TEXT NOT NULL, arch TEXT NOT NULL);
        INSERT INTO trans VALUES (1, 1), (2, 1), (3, 2);
        INSERT INTO rpm VALUES (1, 'one', 2, '1.2.3', '4', 'noarch'),
            (2, 'two', 1, '2.7', '1', 'x86_64'), (3, 'two', 1, '2.8', '1', 'x86_64'),
            (4, 'three', 1, '2.4', '1', 'x86_64');
        INSERT INTO trans_item (trans_id, item_id, action, reason) VALUES
            (1, 1, 1, 2), (1, 2, 1, 1), (2, 3, 6, 1), (2, 2, 7, 2), (1, 4, 1, 4), (2, 4, 8, 4),
            (3, 1, 11, 1);
        """
    )
    path = "var/lib/dnf/history.sqlite"
    found = packages(NDB, fixture("Packages.db"), **{path: history.serialize()})
    assert {one.name: one.reason for one in found} == {
        "one": "manual",
        "two": "automatic",
        "three": "",
    }
    damaged = packages(NDB, fixture("Packages.db"), **{path: b"SQLite format 3\0" + bytes(200)})
    assert {one.reason for one in damaged} == {""}


def test_where_distributions_keep_it() -> None:
    places = [b"var/lib/rpm/rpmdb.sqlite", b"usr/share/rpm/rpmdb.sqlite", SQLITE]
    for place in places:
        assert len(packages(place, database())) == 3
    # What is left of an older format does not count beside the newer one.
    both = {b"var/lib/rpm/Packages": fixture("Packages"), b"var/lib/rpm/rpmdb.sqlite": database()}
    assert [unit.path for unit in inventory_of(MemoryFiles(both)).units] == [places[0]]


HOSTILE = {
    "recursive view": "CREATE VIEW Packages(hnum, blob) AS WITH RECURSIVE n(i) AS"
    " (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, zeroblob(9) FROM n",
    "generated column": "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY,"
    " blob BLOB AS (zeroblob(100000000)))",
    "virtual table": "CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)",
    "no table": "CREATE TABLE Other(x)",
    "texts": "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob);"
    "INSERT INTO Packages VALUES (1, 'text')",
    "numbers": "CREATE TABLE Packages(hnum, blob); INSERT INTO Packages VALUES ('x', x'00')",
    "trigger": "CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob); CREATE TRIGGER t AFTER"
    " UPDATE ON Packages BEGIN DELETE FROM Packages; END;"
    "INSERT INTO Packages VALUES (1, x'0000000100000010')",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas(name: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(HOSTILE[name])
    if name == "generated column":
        connection.execute("INSERT INTO Packages(hnum) VALUES (1), (2), (3)")
    connection.commit()
    started = time.process_time()
    contents = inventory_of(MemoryFiles({SQLITE: connection.serialize()})).contents
    assert (len(contents.packages), len(contents.problems)) == (0, 1)
    assert time.process_time() - started < 2


def test_many_rows_take_no_longer_than_they_must() -> None:
    header = made_header({1000: "x", 1001: "1", 1002: "1"})
    started = time.process_time()
    contents = inventory_of(MemoryFiles({SQLITE: made_database([header] * 20_000)})).contents
    assert len(contents.packages) == 20_000
    assert time.process_time() - started < 10
    contents = inventory_of(MemoryFiles({SQLITE: made_database([header] * 100_001)})).contents
    assert contents.packages == ()


def test_records_that_share_their_bytes_are_refused() -> None:
    """A small ndb whose every slot leads to one large record would fill the memory."""
    blob = struct.pack("<4s3I", b"BlbS", 7, 0, 1 << 20) + bytes(1 << 20)
    slots = struct.pack("<4s3I", b"Slot", 7, 256, len(blob) // 16) * 254
    data = struct.pack("<4s3I", b"RpmP", 0, 1, 1).ljust(32, b"\0") + slots + blob
    with pytest.raises(Unreadable, match="more in it"):
        ndb_headers(data)


def test_rings_of_pages_end() -> None:
    data = bytearray(fixture("Packages"))
    size = struct.unpack_from("<I", data, 20)[0]
    overflow = [start for start in range(0, len(data), size) if data[start + 25] == 7]
    assert overflow
    struct.pack_into("<I", data, overflow[-1] + 16, overflow[0] // size)
    with pytest.raises(Unreadable):
        bdb_headers(bytes(data))


@pytest.mark.parametrize(
    "tags",
    [
        {1000: "x", 1047: (8, 0, 0xFFFFFFFF)},
        {1000: "x", 1118: (8, 0, 500_000), 1116: (4, 0, 500_000), 1117: (8, 0, 500_000)},
        {1000: "x", 1009: (4, -1, 1)},
        {1000: "x", 1003: (5, 0, 1 << 30)},
    ],
)
def test_odd_headers(tags: dict[int, str | tuple[int, int, int]]) -> None:
    survives("rpm", MemoryFiles({SQLITE: made_database([made_header(tags)])}))


@pytest.mark.fuzz
@given(st.sampled_from([NDB, BDB, SQLITE]), st.integers(0, 2**32))
def test_damage(path: bytes, seed: int) -> None:
    rng = random.Random(seed)
    whole = {NDB: fixture("Packages.db"), BDB: fixture("Packages"), SQLITE: database(more=True)}
    made = {path: mutant(whole[path], rng)}
    if path == SQLITE and rng.random() < 0.3:
        made[path + b"-wal"] = mutant(database(), rng)
    survives("rpm", MemoryFiles(made))


@pytest.mark.fuzz
@given(st.integers(0, 2**32))
def test_damaged_headers(seed: int) -> None:
    """Damage within the header alone, where the database is whole."""
    rng = random.Random(seed)
    blobs = [mutant(blob, rng) for blob in ndb_headers(fixture("Packages.db"))]
    survives("rpm", MemoryFiles({SQLITE: made_database(blobs)}))


def rpm(database: Path, backend: str, *words: str) -> str:
    where = ("--dbpath", str(database), "--define", f"_db_backend {backend}")
    return subprocess.run(
        ["rpm", *where, "--nosignature", *words], capture_output=True, text=True, check=False
    ).stdout


def made_header(tags: dict[int, str | tuple[int, int, int]]) -> bytes:
    """A header of strings, and of entries as they are given: type, offset, count."""
    index, data = b"", b""
    for tag, value in tags.items():
        kind, offset, count = (6, len(data), 1) if isinstance(value, str) else value
        index += struct.pack(">IIiI", tag, kind, offset, count)
        data += value.encode() + b"\0" if isinstance(value, str) else b""
    header = struct.pack(">II", len(tags), len(data)) + index + data
    assert Header(header).text(1000)
    return header


def made_database(blobs: list[bytes]) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.commit()
    return connection.serialize()
