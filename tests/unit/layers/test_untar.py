# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged archives: a clear error, and nothing outside of the destination touched.

Goal of the fuzzing at the end: errors are fine, anything but ArchiveError and OSError is a bug.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers import untar

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    info.uid, info.gid = os.getuid(), os.getgid()
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def extract(
    data: bytes, dest: Path, *, max_entries: int = 1000, max_bytes: int | None = None
) -> untar.Extracted:
    dest.mkdir(exist_ok=True)
    return untar.extract(io.BytesIO(data), str(dest), max_entries=max_entries, max_bytes=max_bytes)


SYMLINK, LINK, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE

HOSTILE = {
    "dot-dot": [member("a/../../evil")],
    "only dot-dot": [member("..")],
    "absolute": [member("/evil")],
    "through a symlink": [member("s", SYMLINK, linkname=".."), member("s/evil")],
    "through an absolute symlink": [member("s", SYMLINK, linkname="/tmp"), member("s/evil")],
    "a directory through a symlink": [member("s", SYMLINK, linkname=".."), member("s/evil", DIR)],
    "a symlink for a directory": [member("s", SYMLINK, linkname=".."), member("s", DIR)],
    "over a symlink": [member("s", SYMLINK, linkname="../evil"), member("s", data=b"x")],
    "a link out": [member("l", LINK, linkname="../secret")],
    "an absolute link": [member("l", LINK, linkname="/etc/passwd")],
    "a link through a symlink": [
        member("s", SYMLINK, linkname=".."),
        member("l", LINK, linkname="s/secret"),
    ],
    "a link to nothing": [member("l", LINK, linkname="nothing")],
    "a link to a directory": [member("d", DIR), member("l", LINK, linkname="d")],
    "twice": [member("a", data=b"1"), member("a", data=b"2")],
    "beneath a file": [member("a"), member("a/b")],
    "a file for a directory": [member("d", DIR), member("d")],
    "a name too long": [member("n" * 256)],
    "a root that is a file": [member(".", data=b"x")],
    "an unknown type": [member("a", b"Q")],
    "an impossible owner": [member("a", uid=2**32 - 1)],
    "an impossible device": [member("a", tarfile.CHRTYPE, devmajor=5000, devminor=1)],
    "an empty symlink": [member("s", SYMLINK, linkname="")],
    "an impossible time": [member("a", pax_headers={"mtime": "inf"})],
    "an attribute too long": [member("a", pax_headers={"SCHILY.xattr.user." + "n" * 300: "x"})],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(case: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    dest = tmp_path / "dest"
    with pytest.raises(untar.ArchiveError) as caught:
        extract(archive(*HOSTILE[case]), dest)
    assert caught.value.message
    assert sorted(os.listdir(tmp_path)) == ["dest", "secret"]
    assert secret.stat().st_nlink == 1 and secret.read_text() == "secret"


def test_symlinks_are_kept_wherever_they_point(tmp_path: Path) -> None:
    links = {"up": "../../../etc", "absolute": "/etc/passwd", "self": "self"}
    extract(archive(*(member(n, SYMLINK, linkname=t) for n, t in links.items())), tmp_path / "d")
    assert {name: os.readlink(tmp_path / "d" / name) for name in links} == links


def test_attributes_of_overlayfs_never_come_in(tmp_path: Path) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.opaque": "y"}
    result = extract(archive(member("d", DIR, pax_headers=headers)), tmp_path / "d")
    assert os.listxattr(tmp_path / "d/d") == []
    assert [s.path for s in result.skipped] == [b"d", b"d"]


def test_a_whiteout_is_skipped_with_a_word(tmp_path: Path) -> None:
    data = archive(member("w", tarfile.CHRTYPE, devmajor=0, devminor=0))
    assert [s.path for s in extract(data, tmp_path / "d").skipped] == [b"w"]
    assert os.listdir(tmp_path / "d") == []


def test_missing_parents_are_made_and_repeated_directories_allowed(tmp_path: Path) -> None:
    data = archive(
        member("./a/b/c", data=b"c"), member("a", DIR, mode=0o700), member("a/", DIR, mode=0o750)
    )
    extract(data, tmp_path / "d")
    assert (tmp_path / "d/a").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "d/a/b").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "d/a/b/c").read_text() == "c"


def test_bombs_are_bounded(tmp_path: Path) -> None:
    many = archive(*(member(f"f{n}") for n in range(20)))
    with pytest.raises(untar.ArchiveError, match="more than 10 entries"):
        extract(many, tmp_path / "a", max_entries=10)
    with pytest.raises(untar.ArchiveError, match="unpacks to more"):
        extract(archive(member("f", data=bytes(5000))), tmp_path / "b", max_bytes=4000)
    info, _ = member("x", tarfile.XHDTYPE)
    info.size = 1 << 40
    with pytest.raises(untar.ArchiveError, match="header of"):
        extract(info.tobuf(tarfile.GNU_FORMAT), tmp_path / "c")


@pytest.mark.parametrize("size", ["-1", "-1024"])
def test_a_negative_size_in_a_pax_record_is_impossible(tmp_path: Path, size: str) -> None:
    with pytest.raises(untar.ArchiveError, match=f"'f' has an impossible size: {size}"):
        extract(archive(member("f", data=b"x", pax_headers={"size": size})), tmp_path / "d")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(archive(member("a"), member("b"), member("c")))
    data[512 + 150] ^= 0xFF
    with pytest.raises(untar.ArchiveError, match="byte 512"):
        extract(bytes(data), tmp_path / "d")


def test_a_file_of_zeros_becomes_a_hole(tmp_path: Path) -> None:
    content = bytes(1 << 20) + b"data" + bytes(300_000) + b"end"
    extract(archive(member("f", data=content)), tmp_path / "d")
    assert (tmp_path / "d/f").read_bytes() == content
    assert (tmp_path / "d/f").stat().st_blocks * 512 < 100_000


def test_times_keep_their_nanoseconds(tmp_path: Path) -> None:
    times = {"a": "1700000000.123456789", "b": "-1.5", "c": "0", "d": "4102444800.000000001"}
    members = [member(n, pax_headers={"mtime": t}) for n, t in times.items()]
    extract(archive(*members), tmp_path / "d")
    found = {n: (tmp_path / "d" / n).stat().st_mtime_ns for n in times}
    assert found == {
        "a": 1700000000123456789,
        "b": -1_500_000_000,
        "c": 0,
        "d": 4102444800000000001,
    }


SOUND = archive(
    member("d", DIR),
    member("d/f", data=b"content" * 100),
    member("d/" + "long" * 40, data=b"x", pax_headers={"SCHILY.xattr.user.a": "b"}),
    member("s", SYMLINK, linkname="d/f"),
    member("l", LINK, linkname="d/f"),
)


@given(st.data())
def test_no_damage_leads_to_anything_but_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    broken = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    dest = tmp_path_factory.mktemp("fuzz")
    cut = data.draw(st.integers(0, len(broken)))
    with contextlib.suppress(untar.ArchiveError, OSError):
        untar.extract(io.BytesIO(broken[:cut]), str(dest))
    assert all(name not in os.listdir(dest.parent) for name in ("evil", "secret"))
