# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged layers: refused with a clear error or kept inside; nothing else is touched.

What a layer means is in tests/root/layers/test_ocilayer.py, for whiteouts need root.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers import decompression
from envgit.layers.decompression import ArchiveError
from envgit.layers.ocilayer import AppliedLayer, apply_layer
from envgit.layers.unpacking import Limits
from tests.support.layertars import CHAR, DIR, LINK, SYMLINK, Member, Stack, archive, member

REFUSED: dict[str, tuple[list[Member], str]] = {
    "dot-dot": ([member("a/../../evil")], "leaves its root"),
    "only dot-dot": ([member("..")], "leaves its root"),
    "an absolute dot-dot": ([member("/../evil")], "leaves its root"),
    "a link out": ([member("l", LINK, linkname="../secret")], "leaves its root"),
    "a link to nothing": ([member("l", LINK, linkname="nothing")], "neither in the layer"),
    "a link to the root": ([member("l", LINK, linkname="/")], "neither in the layer"),
    "a link to a directory": (
        [member("d", DIR), member("l", LINK, linkname="d")],
        "to a directory",
    ),
    "a link to a whiteout": ([member("l", LINK, linkname=".wh.x")], "neither in the layer"),
    "beneath a file": ([member("a"), member("a/b")], "no directory"),
    "beneath a link to a file": (
        [member("a"), member("s", SYMLINK, linkname="a"), member("s/b")],
        "no directory",
    ),
    "symlinks in a circle": (
        [member("a", SYMLINK, linkname="b"), member("b", SYMLINK, linkname="a"), member("a/x")],
        "too many symlinks",
    ),
    "a name too long": ([member("n" * 256)], "impossible name"),
    "a whiteout too long": ([member(".wh." + "n" * 256)], "impossible name"),
    "a target too long on the way": (
        [member("s", SYMLINK, linkname="n" * 300), member("s/x")],
        "no directory",
    ),
    "a root that is a file": ([member(".", data=b"x")], "root is not a directory"),
    "too deep": ([member("d/" * 2001 + "f")], "levels"),
    "an unknown type": ([member("a", b"Q")], "type unknown"),
    "a socket": ([member("a", b"s")], "type unknown"),
    "an impossible owner": ([member("a", uid=2**32 - 1)], "owner"),
    "an impossible device": ([member("a", CHAR, devmajor=5000, devminor=1)], "device"),
    "an empty whiteout": ([member(".wh.")], "impossible whiteout"),
    "a whiteout of here": ([member("d/.wh..")], "impossible whiteout"),
    "a whiteout of above": ([member("d/.wh...")], "impossible whiteout"),
    "beneath a whiteout": ([member("d/.wh.x/y")], "beneath a whiteout"),
    "beneath a whiteout by a symlink": (
        [member("s", SYMLINK, linkname=".wh.x"), member("s/y")],
        "holds a directory '.wh.x'",
    ),
    "a sparse file that is none": (
        [
            member(
                "f",
                pax_headers={
                    "GNU.sparse.major": "0",
                    "GNU.sparse.minor": "1",
                    "GNU.sparse.map": "0,10",
                    "GNU.sparse.size": "5",
                },
            )
        ],
        "sparse map",
    ),
    "a sparse map over itself": (
        [
            member(
                "f",
                data=b"x" * 20,
                pax_headers={"GNU.sparse.map": "10,10,0,10", "GNU.sparse.size": "20"},
            )
        ],
        "sparse map",
    ),
}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()
    return Stack(tmp_path / "in")


def outside_untouched(tmp_path: Path) -> None:
    assert sorted(os.listdir(tmp_path)) == ["in", "secret"]
    secret = tmp_path / "secret"
    assert secret.stat().st_nlink == 1 and secret.read_text() == "secret"


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_layers_are_refused(case: str, stack: Stack, tmp_path: Path) -> None:
    members, said = REFUSED[case]
    with pytest.raises(ArchiveError, match=said):
        stack.add(archive(*members))
    outside_untouched(tmp_path)


def test_names_are_resolved_beneath_the_root(stack: Stack, tmp_path: Path) -> None:
    stack.add(
        archive(
            member("/absolute", data=b"1"),
            member("a/b/../up", data=b"2"),
            member("out", SYMLINK, linkname="../../../.."),
            member("out/secret", data=b"3"),
            member("abs", SYMLINK, linkname="/" + str(tmp_path)),
            member("abs/secret", data=b"4"),
            member("linked", LINK, linkname="/absolute"),
        )
    )
    shown = stack.shows()
    assert shown["absolute"] == "= 1" and shown["a/up"] == "= 2"
    assert shown["secret"] == "= 3" and shown["linked"] == "= 1"
    assert shown[f"{str(tmp_path)[1:]}/secret"] == "= 4"
    outside_untouched(tmp_path)


def test_of_a_name_given_twice_the_last_counts(stack: Stack) -> None:
    stack.add(
        archive(
            member("a", data=b"1"),
            member("a", data=b"2"),
            member("d/x/y"),
            member("d", data=b"file"),
            member("l", SYMLINK, linkname="a"),
            member("l", data=b"no link"),
            member("e", data=b"1"),
            member("e", DIR),
            member("e/f", data=b"2"),
            member("one", data=b"one"),
            member("two", LINK, linkname="one"),
            member("one", data=b"other"),
        )
    )
    assert stack.shows() == {
        "a": "= 2",
        "d": "= file",
        "e": "dir",
        "e/f": "= 2",
        "l": "= no link",
        "one": "= other",
        "two": "= one",
    }


def test_a_file_with_the_inode_of_another_is_not_taken_for_it(stack: Stack) -> None:
    """`Stack` compares what was hashed on the way with what is there."""
    sparse = {"GNU.sparse.map": "0,1,4,1", "GNU.sparse.size": "5", "mtime": "7"}
    stack.add(
        archive(
            *(
                member(name, data=data, pax_headers=headers)
                for name in ("a", "b", "c")
                for data, headers in ((b"12345", {"mtime": "7"}), (b"xy", sparse))
            )
        )
    )
    assert stack.shows() == dict.fromkeys("abc", "= x\0\0\0y")


def test_what_is_overlayfs_own_never_comes_in(stack: Stack) -> None:
    names = ["trusted.overlay.opaque", "user.overlay.opaque", "user.overlay.whiteout"]
    headers = {f"SCHILY.xattr.{name}": "y" for name in names}
    bsd = {f"LIBARCHIVE.xattr.{name}": "eQ" for name in names}
    done = stack.add(
        archive(
            member("d", DIR, pax_headers=headers),
            member("f", pax_headers=bsd),
            member("w", CHAR, devmajor=0, devminor=0),
        )
    )
    assert sorted({s.path for s in done.skipped}) == [b"d", b"f", b"w"]
    assert len(done.skipped) == 7
    for name in ("d", "f"):
        assert os.listxattr(f"{stack.dirs[0]}/{name}") == []
    assert sorted(os.listdir(stack.dirs[0])) == ["d", "f"]


def test_aufs_directory_of_links(stack: Stack) -> None:
    done = stack.add(
        archive(
            member(".wh..wh.aufs"),
            member(".wh..wh.orph", DIR),
            member(".wh..wh.plnk", DIR),
            member(".wh..wh.plnk/12.34", data=b"linked"),
            member("a", LINK, linkname=".wh..wh.plnk/12.34"),
            member("b", LINK, linkname="./.wh..wh.plnk/12.34"),
            member("sub/.wh..wh.plnk/x", data=b"nowhere"),
        )
    )
    assert stack.shows() == {"a": "= linked", "b": "= linked"}
    assert stack.top.children is not None
    assert stack.top.children[b"a"].entry.hardlinks == (b"b",)
    assert os.stat(f"{stack.dirs[0]}/a").st_nlink == 2
    assert [s.path for s in done.skipped] == [
        b".wh..wh.aufs",
        b".wh..wh.orph",
        b".wh..wh.plnk",
        b"sub/.wh..wh.plnk/x",
    ]
    with pytest.raises(ArchiveError, match="neither in the layer"):
        stack.add(archive(member("c", LINK, linkname=".wh..wh.plnk/12.34")))


def test_bombs_are_bounded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Limits(entries=10, size=4000, ratio=20)
    with pytest.raises(ArchiveError, match="more than 10 entries"):
        stack.add(archive(*(member(f"f{n}") for n in range(20))), limits=few)
    Path(f"{stack.scratch}/layer0").rename(f"{stack.scratch}/a")
    with pytest.raises(ArchiveError, match="more than 10 entries"):
        stack.add(archive(member("d/" * 20 + "f")), limits=few)
    Path(f"{stack.scratch}/layer0").rename(f"{stack.scratch}/b")
    # Declared, real, and with holes that are neither on disk nor in the archive.
    lying = bytearray(archive(member("f")))
    info = tarfile.TarInfo("f")
    info.size = 1 << 50
    lying[:512] = info.tobuf()
    sparse = member(
        "f", data=b"x", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}
    )
    for data in (archive(member("f", data=bytes(5000))), bytes(lying), archive(sparse)):
        with pytest.raises(ArchiveError, match="unpacks to more than 4000 bytes"):
            stack.add(data, limits=few)
        Path(f"{stack.scratch}/layer0").rename(f"{stack.scratch}/{hashlib.md5(data).hexdigest()}")
    monkeypatch.setattr(decompression, "_RATIO_FROM", 1 << 16)
    bomb = archive(member("f", data=bytes(1 << 22)))
    packed = zstandard.compress(gzip.compress(bomb))
    for data in (gzip.compress(bomb), zstandard.compress(bomb), bz2.compress(bomb)):
        with pytest.raises(ArchiveError, match="more than 20 times its size"):
            stack.add(data, limits=Limits(ratio=20))
        Path(f"{stack.scratch}/layer0").rename(f"{stack.scratch}/{hashlib.md5(data).hexdigest()}")
    # What was compressed twice is no archive.
    with pytest.raises(ArchiveError):
        stack.add(packed)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 1),
    "gzip in parts": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(3000),
    "zstd": lambda data: zstandard.compress(data),
    "zstd in parts": lambda data: (
        zstandard.compress(data[:700])
        + b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a skippable frame, as zstd:chunked has
        + zstandard.compress(data[700:])
    ),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_digests_of_both_sides_are_counted_in_one_pass(packer: str, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    plain = archive(member("a", data=content), member("b", data=b"b"))
    data = PACKERS[packer](plain)

    class Once(io.RawIOBase):
        """A stream that gives little at a time and can be read once."""

        def __init__(self) -> None:
            self.file = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self.file.read(min(size, 7777) if size >= 0 else 7777)

    done = apply_layer(Once(), str(tmp_path), None)
    assert done == AppliedLayer(
        hashlib.sha256(data).hexdigest(),
        len(data),
        hashlib.sha256(plain).hexdigest(),
        len(plain),
        2,
        len(content) + 1,
        (),
    )
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("packer", PACKERS)
def test_a_cut_anywhere_is_an_error(packer: str, tmp_path: Path) -> None:
    plain = archive(member("a", data=os.urandom(3000)), member("b", data=b"b"), member("c"))
    # The padding after the two blocks of zeros may be missing.
    whole = plain[: len(plain.rstrip(b"\0")) // 512 * 512 + 512]
    data = PACKERS[packer](whole)
    for number, cut in enumerate(range(0, len(data), max(1, len(data) // 23))):
        dest = tmp_path / str(number)
        dest.mkdir()
        with pytest.raises(ArchiveError):
            apply_layer(io.BytesIO(data[:cut]), str(dest), None)


@pytest.mark.parametrize(
    "data", [b"", b"no archive", b"\x1f\x8bgarbage", os.urandom(5000), b"\x28\xb5\x2f\xfd123456"]
)
def test_garbage_is_an_error(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        apply_layer(io.BytesIO(data), str(tmp_path), None)


SOUND = archive(
    member("d", DIR),
    member("d/f", data=b"content" * 100),
    member("d/" + "long" * 40, data=b"x", pax_headers={"SCHILY.xattr.user.a": "b"}),
    member("s", SYMLINK, linkname="d"),
    member("s/l", LINK, linkname="d/f"),
    member("/d/../e/f", data=b"x"),
    member("f", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9000"}, data=b"x"),
)


@given(st.data())
def test_no_damage_leads_to_anything_but_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    broken = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            block = at // 512 * 512
            header = broken[block : block + 512]
            header[148:156] = b" " * 8
            broken[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    top = tmp_path_factory.mktemp("fuzz")
    (top / "in").mkdir()
    with contextlib.suppress(ArchiveError, OSError):
        apply_layer(io.BytesIO(bytes(broken)), str(top / "in"), None, limits=Limits(size=1 << 20))
    assert os.listdir(top) == ["in"]
