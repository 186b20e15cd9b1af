# SPDX-License-Identifier: Apache-2.0
"""Scanning without privileges: what is seen, what is left out and said, what is never opened."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from envgit.layers import hashing
from envgit.layers import scan as scanning
from envgit.layers.entry import Entry, Kind, Node, walk
from envgit.layers.scan import ScanError, scan
from tests.support import hardcases


def scanned(
    root: Path,
    *,
    hashes: scanning.HashCache | None = None,
    excluded: Collection[bytes] = (),
    threads: int | None = None,
) -> scanning.Scan:
    return scan(os.fsencode(root), overlay=False, hashes=hashes, excluded=excluded, threads=threads)


class Cache:
    """A `HashCache` that trusts everything it was told."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], str] = {}

    def get(self, st: os.stat_result) -> str | None:
        return self.known.get((st.st_dev, st.st_ino))

    def put(self, st: os.stat_result, sha256: str) -> None:
        self.known[(st.st_dev, st.st_ino)] = sha256


def test_hard_cases_that_need_no_privilege(tmp_path: Path) -> None:
    hardcases.make(str(tmp_path), privileged=False)
    result = scanned(tmp_path)
    entries = dict(walk(result.node))
    assert result.skipped == ()
    assert entries[b"bin/su"].mode == 0o4755
    assert entries[b"links/first"].hardlinks == (b"links/second", b"zlink")
    assert entries[b"zlink"].hardlinks == (b"links/first",)
    assert entries[b"zlink"].sha256 == hashlib.sha256(b"one inode").hexdigest()
    assert entries[b"links/absolute"].target == b"/etc/passwd"
    assert entries[b"odd/not utf-8 \xff\xfe\x80"].kind in (Kind.FILE, Kind.DIR)
    assert max(path.count(b"/") for path in entries) == hardcases.DEEP + 1
    assert result.files == sum(entry.kind != Kind.DIR for entry in entries.values())


def test_large_files_are_hashed_by_threads_to_the_same(tmp_path: Path) -> None:
    content = {}
    for number in range(40):
        content[b"%d" % number] = os.urandom(hashing.SMALL + number * 70_001)
        (tmp_path / str(number)).write_bytes(content[b"%d" % number])
    for threads in (None, 1, 3):
        result = scanned(tmp_path, threads=threads)
        found = {path: entry.sha256 for path, entry in walk(result.node) if path}
        assert found == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        assert result.bytes_hashed == sum(map(len, content.values()))


def test_a_cache_is_asked_and_told(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(100_000))
    cache = Cache()
    first = scanned(tmp_path, hashes=cache)
    assert len(cache.known) == 2 and first.bytes_hashed == 100_001
    second = scanned(tmp_path, hashes=cache)
    assert second.bytes_hashed == 0 and second.node == first.node


def test_sockets_are_left_out_with_a_word(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    result = scanned(tmp_path)
    assert [(s.path, "socket" in s.reason) for s in result.skipped] == [(b"socket", True)]
    assert list(result.node.names()) == []


def test_excluded_paths_are_left_out_while_they_are_empty(tmp_path: Path) -> None:
    (tmp_path / "dev/pts").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/used").write_text("x")
    (tmp_path / "hosts").write_text("")
    (tmp_path / "written").write_text("x")
    excluded = [b"dev", b"dev/pts", b"proc", b"hosts", b"written", b"absent", b"absent/too"]
    result = scanned(tmp_path, excluded=excluded)
    assert sorted(result.node.names()) == [b"proc", b"written"]
    assert {s.path for s in result.skipped} == {b"dev", b"dev/pts", b"hosts"}


def test_nothing_is_resolved_through_symlinks_or_opened_but_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (root / "dir").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")
    # Opening a fifo for reading would wait for a writer for ever.
    os.mkfifo(root / "fifo")
    kinds = {path: entry.kind for path, entry in walk(scanned(root).node) if path}
    assert kinds == {b"dir": "symlink", b"file": "symlink", b"fifo": "fifo"}


def test_a_tree_too_deep_for_git_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MAX_DEPTH", 5)
    (tmp_path / "1/2/3/4/5").mkdir(parents=True)
    scanned(tmp_path)
    (tmp_path / "1/2/3/4/5/6").mkdir()
    with pytest.raises(ScanError, match="nested"):
        scanned(tmp_path)


def test_few_descriptors_suffice_for_any_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardcases.make(str(tmp_path), privileged=False)
    whole = scanned(tmp_path).node
    monkeypatch.setattr(scanning, "_KEPT", 4)
    assert scanned(tmp_path).node == whole


def test_a_tree_that_changes_all_the_time_can_still_be_scanned(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"steady{number}").write_bytes(bytes(number))
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for name in ("x", "y", "z"):
                path = tmp_path / name
                path.write_bytes(os.urandom(50_000))
                path.unlink()
                path.mkdir()
                (path / "below").symlink_to("x")
                (path / "below").unlink()
                path.rmdir()
                os.mkfifo(path)
                path.unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(30):
            names = set(scanned(tmp_path).node.names())
            assert {b"steady%d" % n for n in range(50)} <= names
    finally:
        stop.set()
        thread.join()


def test_an_interrupted_scan_does_not_wait_for_a_huge_file(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as huge:
        huge.truncate(1 << 40)
    with open(tmp_path / "huge", "rb") as huge:
        status = os.fstat(huge.fileno())
        with (
            pytest.raises(KeyboardInterrupt),
            hashing.Hasher(threads=1, cache=None) as hasher,
        ):
            hasher.later(os.dup(huge.fileno()), status, Node(Entry(Kind.FILE)))
            raise KeyboardInterrupt


def test_pointers_stay_the_same_for_ever() -> None:
    """The format is fixed to the byte: these texts are in repositories."""
    file = Entry(
        Kind.FILE,
        0o4755,
        0,
        100000,
        1700000000,
        5,
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        xattrs=((b"security.capability", b"\x01\0\0\x02"), (b"user.a b", b"")),
        hardlinks=(b"caf\xc3\xa9/\xff\n%", b"usr/bin/x"),
    )
    assert file.pointer().decode() == (
        "envgit-pointer 1\n"
        "type file\n"
        "mode 4755\n"
        "owner 0:100000\n"
        "mtime 1700000000\n"
        "size 5\n"
        "sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"
        "xattr security.capability AQAAAg==\n"
        "xattr user.a%20b \n"
        "hardlink café/%FF%0A%25\n"
        "hardlink usr/bin/x\n"
    )
    directory = Entry(Kind.DIR, 0o1777, opaque=True)
    assert directory.pointer() == (b"envgit-pointer 1\ntype dir\nmode 1777\nowner 0:0\nopaque\n")
    link = Entry(Kind.SYMLINK, 0o777, mtime=-1, target=b"../a b")
    assert link.pointer() == (
        b"envgit-pointer 1\ntype symlink\nmode 0777\nowner 0:0\nmtime -1\ntarget ../a%20b\n"
    )
    device = Entry(Kind.BLOCK, 0o660, 0, 6, 0, rdev=(7, 0))
    assert device.pointer() == (
        b"envgit-pointer 1\ntype block\nmode 0660\nowner 0:6\nmtime 0\ndevice 7:0\n"
    )
    assert Entry(Kind.WHITEOUT).pointer() == b"envgit-pointer 1\ntype whiteout\n"
