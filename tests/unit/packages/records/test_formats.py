# SPDX-License-Identifier: Apache-2.0
"""What becomes of files of entries that both sides changed, and of entries of some owners."""

from __future__ import annotations

import gzip
import io
import sqlite3
import struct
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from envgit.layers.entry import Entry, Kind
from envgit.packages.records import Declined, derived, format_for
from envgit.packages.records.ldcache import Library, read, write
from envgit.packages.records.numbers import moved, reconciled


def merge(path: str, base: str | None, ours: str, theirs: str) -> tuple[str, list[str]]:
    form = format_for(path.encode())
    assert form is not None
    before = base.encode() if base is not None else None
    merged, clashes = form.merge(before, ours.encode(), theirs.encode())
    return merged.decode(), [one.what.format(ours="HEAD", theirs="topic") for one in clashes]


STANZA = "Package: a\nStatus: {}\nVersion: 1\nConffiles:\n /etc/a {}\nDescription: x\n\n"


def test_a_stanza_of_one_version_is_merged_by_field() -> None:
    base = STANZA.format("install ok installed", "11")
    held, edited = (
        STANZA.format("hold ok installed", "11"),
        STANZA.format("install ok installed", "22"),
    )
    both = STANZA.format("hold ok installed", "22")
    assert merge("var/lib/dpkg/status", base, held, edited) == (both, [])
    newer = held.replace("Version: 1", "Version: 2")
    assert merge("var/lib/dpkg/status", base, newer, edited)[1] == [
        "package a differs in HEAD and topic"
    ]


def test_debconf_owners_are_a_set() -> None:
    text = "Name: shared/ask\nOwners: {}\n\n"
    merged = merge(
        "var/cache/debconf/config.dat",
        text.format("a"), text.format("a, b"), text.format("a, c"),
    )  # fmt: skip
    assert merged == (text.format("a, b, c"), [])


def test_answers_that_are_lists_grow_on_both_sides() -> None:
    text = "Name: pam/profiles\nValue: {0}\nOwners: pam\nVariables:\n names = {0}, home\n\n"
    sides = [text.format(one) for one in ("unix", "unix, cap", "quality, unix")]
    merged, clashes = merge("var/cache/debconf/config.dat", *sides)
    both = text.format("X").replace("Value: X", "Value: unix, cap, quality")
    assert merged == both.replace("X, home", "unix, cap, home, quality")
    assert clashes == []
    chosen = [text.format(one) for one in ("vi", "nano", "ed")]
    assert len(merge("var/cache/debconf/config.dat", *chosen)[1]) == 1


def test_members_of_a_group_are_a_set() -> None:
    merged = merge("etc/group", "audio:x:29:a,b\n", "audio:x:29:a,b,c\n", "audio:x:29:b,d\n")
    assert merged == ("audio:x:29:b,c,d\n", [])


def test_one_number_for_two_names_is_a_clash() -> None:
    line = "{}:x:1000:1000::/home/{}:/bin/sh\n"
    merged, clashes = merge("etc/passwd", "", line.format("al", "al"), line.format("bo", "bo"))
    assert merged == line.format("al", "al") + line.format("bo", "bo")
    assert clashes == ["uid 1000 is al in HEAD and bo in topic"]
    odd = [each.replace(":1000:", ":{0.x}:", 1) for each in map(line.format, "ab", "ab")]
    _, clashes = merge("etc/passwd", "", *odd)
    assert clashes == ["uid {0.x} is a in HEAD and b in topic"]
    # What both had so is nobody's doing.
    toor = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n"
    new = "{}:x:{}:0::/:/bin/sh\n"
    merged, clashes = merge(
        "etc/passwd", toor, toor + new.format("a", 5), toor + new.format("b", 6)
    )
    assert merged.count("\n") == 4 and clashes == []


def test_system_users_get_numbers_that_are_free() -> None:
    base = b"root:x:0:0::/:\n"
    ours = base + b"db:x:100:101::/:\nweb:x:101:102::/:\n"
    theirs = base + b"mail:x:100:101::/:\nweb:x:102:103::/:\nann:x:1000:1000::/:\n"
    groups = (b"", b"db:x:101:\nweb:x:102:\n", b"mail:x:101:\nweb:x:103:\n")
    numbers = reconciled((base, ours, theirs), groups)
    assert dict(numbers.uids) == {100: 103, 102: 101}
    assert dict(numbers.gids) == {101: 100, 103: 102}
    assert numbers.passwd(theirs, base) == (
        base + b"mail:x:103:100::/:\nweb:x:101:102::/:\nann:x:1000:1000::/:\n"
    )
    acl = struct.pack("<I", 2) + struct.pack("<HHI", 2, 7, 100) + struct.pack("<HHI", 8, 7, 999)
    entry = Entry(Kind.FILE, 0o640, 100, 101, xattrs=((b"system.posix_acl_access", acl),))
    made = numbers.entry(entry, None)
    assert (made.uid, made.gid) == (103, 100)
    assert struct.unpack_from("<I", made.xattrs[0][1], 8) == (103,)
    # What was there before belongs to whom it belonged to.
    assert numbers.entry(entry, entry) == entry


def test_users_keep_the_numbers_that_an_earlier_merge_gave_them() -> None:
    there, here = b"web:x:100:100::/:\n", b"db:x:100:100::/:\nweb:x:101:101::/:\n"
    groups, ours = b"web:x:100:\n", b"db:x:100:\nweb:x:101:\n"
    # Picked: what web made there is web's here.
    numbers = reconciled((there, here, there), (groups, ours, groups))
    assert (dict(numbers.uids), dict(numbers.gids)) == ({100: 101}, {100: 101})
    assert numbers.names == ()
    # Reverted: who came with the commit is who is here, and may go.
    before = moved((there, here, b""), (groups, ours, b""))
    assert before.passwd(there, b"") == b"web:x:101:101::/:\n"
    assert before.group(groups, b"") == b"web:x:101:\n"
    # A side that gave the name a number itself has its reasons.
    assert not moved((there, here, b"web:x:102:102::/:\n"), (b"", b"", b""))


ALTERNATIVE = "auto\n/usr/bin/ed\n{slaves}\n{choices}\n"


def test_choices_of_an_alternative_with_different_slaves() -> None:
    one = ALTERNATIVE.format(slaves="ed.1\n/man/ed.1\n", choices="/bin/a\n10\n/man/a.1\n")
    other = ALTERNATIVE.format(slaves="ed.2\n/man/ed.2\n", choices="/bin/b\n20\n/man/b.2\n")
    merged, clashes = merge("var/lib/dpkg/alternatives/ed", None, one, other)
    assert merged == ALTERNATIVE.format(
        slaves="ed.1\n/man/ed.1\ned.2\n/man/ed.2\n",
        choices="/bin/a\n10\n/man/a.1\n\n/bin/b\n20\n\n/man/b.2\n",
    )
    assert clashes == []


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ("a\n", "a\nb\n", "a\nc\n", "a\nb\nc\n"),
        ("a\nb\n", "a\nb\nc\n", "a\n", "a\nb\nc\n"),  # a revert goes back in time
        ("x\ny\n", "a\n", "x\ny\nz\n", "a\nz\n"),  # picked from another history
        ("a\n", "a\nb\n", "", "a\nb\n"),  # rotated there
    ],
)
def test_logs(base: str, ours: str, theirs: str, merged: str) -> None:
    assert merge("var/log/dpkg.log", base, ours, theirs) == (merged, [])


def test_npm_files_by_key() -> None:
    base = '{\n  "dependencies": {\n    "b": "1"\n  }\n}\n'
    ours = '{\n  "dependencies": {\n    "a": "1",\n    "b": "1"\n  }\n}\n'
    theirs = '{\n  "dependencies": {\n    "b": "2",\n    "c": "1"\n  }\n}\n'
    merged = '{\n  "dependencies": {\n    "a": "1",\n    "b": "2",\n    "c": "1"\n  }\n}\n'
    assert merge("srv/app/package.json", base, ours, theirs) == (merged, [])
    form = format_for(b"srv/app/package.json")
    assert form is not None
    assert form.compose(base.encode(), theirs.encode(), lambda name: name == "c") == (
        merged.replace('"2"', '"1"').replace('    "a": "1",\n', "").encode()
    )
    with pytest.raises(Declined):
        form.merge(b"{}", b'{"a" : 1}', b'{"b" : 1}')


def test_scripts_of_apk() -> None:
    def packed(*names: str) -> bytes:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as whole:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 600
                whole.addfile(member, io.BytesIO(name[:1].encode() * 600))
        return data.getvalue()

    form = format_for(b"lib/apk/db/scripts.tar")
    assert form is not None
    one, two, three = (f"{name}-1.2-r3.Q1abc=.post-install" for name in ("a", "b-c", "d"))
    merged, clashes = form.merge(packed(one), packed(one, two), packed(one, three))
    with tarfile.open(fileobj=io.BytesIO(merged)) as whole:
        assert sorted(whole.getnames()) == [one, two, three]
        assert whole.extractfile(two).read() == b"b" * 600  # type: ignore[union-attr]
    assert clashes == ()
    assert form.compose(packed(one), packed(one, two), lambda name: name == "b-c")
    zipped = format_for(b"lib/apk/db/scripts.tar.gz")
    assert zipped is not None
    sides = [gzip.compress(packed(*names)) for names in ([one], [one, two], [one, three])]
    made, _ = zipped.merge(sides[0], sides[1], sides[2])
    assert gzip.decompress(made) == merged
    assert zipped.merge(sides[0], sides[1], sides[0])[0] == sides[1]
    for damaged in (sides[2][:-20], sides[2] + b"x", b"x", gzip.compress(b"\0" * (65 << 20))):
        with pytest.raises(Declined):
            zipped.merge(sides[0], sides[1], damaged)


# -- ld.so.cache --------------------------------------------------------------------------------


def _listed(path: Path) -> list[str]:
    told = subprocess.run(
        ["/sbin/ldconfig", "-p", "-C", str(path)], check=True, capture_output=True, text=True
    )
    return [line for line in told.stdout.splitlines() if "=>" in line]


def test_the_loaders_cache_is_as_ldconfig_makes_it(tmp_path: Path) -> None:
    """Of this machine: taken apart and put together the order is ldconfig's, and it reads it."""
    known = Path("/etc/ld.so.cache").read_bytes()
    libraries, generator = read(known)
    made = write(libraries[::-1], generator)
    assert read(made) == (libraries, generator)
    copy = tmp_path / "cache"
    copy.write_bytes(made)
    assert _listed(copy) == _listed(Path("/etc/ld.so.cache"))


def test_the_loaders_cache_by_entry(tmp_path: Path) -> None:
    def cache(*names: str) -> bytes:
        found = [Library(b"lib%b.so.1" % one.encode(), 0x303, 0, b"/lib/lib" + one.encode(), 0)
                 for one in names]  # fmt: skip
        fast = Library(b"libz.so.1", 0x303, b"x86-64-v3", b"/lib/fast/libz.so.1", 0)
        return write([*found, fast], b"ldconfig (test)")

    form = format_for(b"etc/ld.so.cache")
    assert form is not None
    merged, clashes = form.merge(
        cache("a", "z", "gone"), cache("a", "z", "b10"), cache("a", "z", "b9", "gone")
    )
    path = tmp_path / "cache"
    path.write_bytes(merged)
    assert [line.split()[0] for line in _listed(path)] == [
        *("libz.so.1", "libz.so.1", "libb10.so.1", "libb9.so.1", "liba.so.1")
    ]
    assert "x86-64-v3" in _listed(path)[0] and clashes == ()
    with pytest.raises(Declined):
        form.merge(b"", cache("a"), cache("b")[:-200])


# -- rpm ----------------------------------------------------------------------------------------


def test_databases_of_rpm_must_be_just_that() -> None:
    form = format_for(b"usr/lib/sysimage/rpm/rpmdb.sqlite")
    assert form is not None
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    plain = connection.serialize()
    assert form.merge(plain, plain, plain)[1] == ()
    connection.execute("CREATE VIEW evil AS SELECT 1")
    with pytest.raises(Declined):
        form.merge(plain, connection.serialize(), plain)
    for damaged in (b"", b"x" * 5000, plain[:600], plain[:100] + b"\xff" * (len(plain) - 100)):
        with pytest.raises(Declined):
            form.merge(plain, damaged, plain)


# -- what is made of others ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("usr/lib/python3/dist-packages/__pycache__/six.cpython-311.pyc", "drop"),
        ("var/cache/apt/pkgcache.bin", "drop"),
        ("var/cache/ldconfig/aux-cache", "drop"),
        ("var/lib/dpkg/status-old", "ours"),
        ("var/log/lastlog", "ours"),
        ("usr/share/glib-2.0/schemas/gschemas.compiled", "ours"),
        ("var/lib/dpkg/status", None),
        ("srv/__pycache__/notes.txt", None),
    ],
)
def test_derived(path: str, action: str | None) -> None:
    found = derived(path.encode())
    assert (found.action if found is not None else None) == action


def test_hostile_files_take_no_time() -> None:
    started = time.process_time()
    for path, data in (
        ("var/lib/dpkg/status", b"Package: " + b" " * 500_000 + b"x\n\n"),
        ("var/lib/dpkg/status", b"\n" * 500_000),
        ("var/cache/debconf/config.dat", b"Owners:" + b"," * 500_000 + b"\nName: x\n\n"),
        ("lib/apk/db/installed", b"P:" * 300_000),
        ("etc/passwd", b":" * 500_000),
        ("etc/ld.so.cache", b"glibc-ld.so.cache1.1" + b"\xff" * 500_000),
        ("package.json", b"[" * 500_000),
        ("package.json", b'{"a":' * 100_000),
    ):
        form = format_for(path.encode())
        assert form is not None
        try:
            form.merge(b"", data, data + b"\n")
        except Declined:
            continue
    assert derived(b"a/" * 2000 + b"__pycache__/" * 100) is None
    assert time.process_time() - started < 20
