# SPDX-License-Identifier: Apache-2.0
"""Headers of every form, as Python's tarfile and GNU tar write them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.decompression import ArchiveError
from envgit.layers.tarreader import HARD_LINK, Member, Reader

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: HARD_LINK,
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
}

TEXT = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, blacklist_characters="/"), min_size=1
)


@st.composite
def infos(draw: st.DrawFn) -> tarfile.TarInfo:
    info = tarfile.TarInfo("/".join(draw(st.lists(TEXT, min_size=1, max_size=8))))
    info.type = draw(st.sampled_from(sorted(KINDS)))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 2**31)), draw(st.integers(0, 2**21))
    info.mtime = draw(st.integers(-(2**33), 2**40))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(TEXT)
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    if info.type == tarfile.REGTYPE:
        info.size = draw(st.integers(0, 1500))
    return info


def members(data: bytes) -> list[tuple[Member, bytes]]:
    reader = Reader(io.BytesIO(data))
    found = []
    while (member := reader.next()) is not None:
        content = bytearray(member.size)
        for at, piece in reader.content():
            content[at : at + len(piece)] = piece
        found.append((member, bytes(content)))
    return found


@given(st.lists(infos(), max_size=5), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_what_tarfile_writes_is_read(written: list[tarfile.TarInfo], form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info in written:
            archive.addfile(info, io.BytesIO(bytes(range(250)) * 6))
    found = members(out.getvalue())
    assert len(found) == len(written)
    for (member, content), info in zip(found, written, strict=True):
        assert member.kind == KINDS[info.type]
        assert os.fsdecode(member.name).rstrip("/") == info.name
        assert (member.mode, member.uid, member.gid) == (info.mode, info.uid, info.gid)
        assert member.mtime_ns == info.mtime * 10**9
        assert os.fsdecode(member.target) == info.linkname
        assert member.rdev == (info.devmajor, info.devminor)
        assert content == (bytes(range(250)) * 6)[: info.size]


@pytest.mark.peer("tar>=1.30")
@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
@pytest.mark.parametrize("pieces", [0, 1, 3, 200])
def test_sparse_files_in_all_four_ways(options: list[str], pieces: int, tmp_path: Path) -> None:
    expected = bytearray(pieces * 16384 + 70_000)
    path = tmp_path / ("long" * 40)
    with open(path, "wb") as file:
        for number in range(pieces):
            at = number * 16384
            expected[at : at + 5000] = os.urandom(5000)
            os.pwrite(file.fileno(), expected[at : at + 5000], at)
        file.truncate(len(expected))
    (tmp_path / "after").write_text("after")
    packed = subprocess.run(
        ["tar", *options, "--sparse", "-C", str(tmp_path), "-c", path.name, "after"],
        capture_output=True,
        check=True,
    ).stdout
    (member, content), (_, after) = members(packed)
    assert member.name == os.fsencode(path.name) and member.pieces is not None
    assert member.stored <= pieces * 8192
    assert content == expected and after == b"after"


def block(name: bytes, **fields: bytes) -> bytes:
    """A header with fields as they stand, and the right checksum."""
    places = {"uid": 108, "size": 124, "mtime": 136, "flag": 156, "magic": 257, "prefix": 345}
    places["trailer"] = 508
    made = bytearray(512)
    made[: len(name)] = name
    made[100:108], made[124:136], made[156:157] = b"0000644\0", b"00000000000\0", b"0"
    for key, value in fields.items():
        made[places[key] : places[key] + len(value)] = value
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


END = bytes(1024)


def test_forms_of_old() -> None:
    times = b"00000000000 " * 2
    headers = (
        block(b"v7", prefix=b"not a prefix"),
        block(b"d/", flag=b"\0"),
        block(b"s", magic=b"ustar\00000", prefix=b"p" * 131 + times, trailer=b"tar\0"),
        block(b"x" * 100, magic=b"ustar\00000", prefix=b"y" * 155),
    )
    (v7, _), (directory, _), (star, _), (posix, _) = members(b"".join(headers) + END)
    assert v7.name == b"v7" and directory.kind == "dir"
    assert star.name == b"p" * 131 + b"/s"
    assert posix.name == b"y" * 155 + b"/" + b"x" * 100


def test_numbers_in_base_256() -> None:
    uid, mtime = b"\x80" + (2**31 + 5).to_bytes(7, "big"), b"\xff" * 11 + b"\xfe"
    ((member, _),) = members(block(b"a", uid=uid, mtime=mtime) + END)
    assert (member.uid, member.mtime_ns) == (2**31 + 5, -2 * 10**9)


@pytest.mark.parametrize(
    "data",
    [
        block(b"a", size=b"nonsense") + END,
        block(b"a", size=b"\xff" * 12) + END,
        block(b"a", uid=b"\xff" * 8) + END,
        block(b"a", uid=b"\x80" + b"\xff" * 7) + END,
        block(b"a", flag=b"x", size=b"00000000012\0") + b"99 path=x\n".ljust(512, b"\0") + END,
        block(b"a", flag=b"x", size=b"00000000012\0") + b"10 path=x\0".ljust(512, b"\0") + END,
        block(b"a", flag=b"x", size=b"00000000007\0") + b"7 path\n".ljust(512, b"\0") + END,
        block(b"a", flag=b"x", size=b"00000000012\0") + b"10 path=x\n".ljust(512, b"\0") + END,
        block(b"a", flag=b"L", size=b"00000000004\0") + b"name".ljust(512, b"\0") + END,
        b"\0" * 511 + b"\1" + END,
        block(b"a"),
    ],
)
def test_damage_is_an_error(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        members(data)
