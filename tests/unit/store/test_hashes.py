# SPDX-License-Identifier: Apache-2.0
"""The stat cache answers only when a file cannot have changed, and never trusts a damaged file."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from envgit.store import hashes
from envgit.store.hashes import StatCache

LATER = 100 * 10**9


def _at(offset_ns: int) -> int:
    return time.time_ns() + offset_ns


def _file(path: Path, text: str = "x") -> tuple[os.stat_result, str]:
    path.write_text(text)
    return path.stat(), hashlib.sha256(text.encode()).hexdigest()


def test_what_was_put_is_found_after_saving(tmp_path: Path) -> None:
    files = [_file(tmp_path / str(number), f"content {number}") for number in range(50)]
    cache = StatCache.load(str(tmp_path / "hashes"), clock=lambda: _at(LATER))
    for st, digest in files:
        assert cache.get(st) is None
        cache.put(st, digest)
        assert cache.get(st) == digest
    cache.save()
    again = StatCache.load(str(tmp_path / "hashes"))
    assert [again.get(st) for st, _ in files] == [digest for _, digest in files]
    assert (tmp_path / "hashes").stat().st_size == 16 + 50 * 72 + 32


def test_any_difference_in_the_status_is_a_miss(tmp_path: Path) -> None:
    st, digest = _file(tmp_path / "f")
    cache = StatCache.load(str(tmp_path / "hashes"), clock=lambda: _at(LATER))
    cache.put(st, digest)
    time.sleep(0.02)
    os.utime(tmp_path / "f", ns=(st.st_atime_ns, st.st_mtime_ns))
    assert cache.get((tmp_path / "f").stat()) is None, "ctime"
    os.unlink(tmp_path / "f")
    assert cache.get(_file(tmp_path / "f")[0]) is None, "inode or ctime"


@pytest.mark.parametrize(
    ("age", "live", "kept"),
    [
        (0, False, False),
        (hashes.SETTLED_NS // 2, False, False),
        (3 * hashes.COARSE_NS, False, True),
        (3 * hashes.COARSE_NS, True, False),
        (2 * hashes.SETTLED_LIVE_NS, True, True),
    ],
)
def test_files_that_changed_just_now_are_not_trusted(
    tmp_path: Path, age: int, live: bool, kept: bool
) -> None:
    st, digest = _file(tmp_path / "f")
    cache = StatCache.load(str(tmp_path / "hashes"), live=live, clock=lambda: st.st_ctime_ns + age)
    cache.put(st, digest)
    assert (cache.get(st) == digest) is kept


def test_a_change_within_one_tick_is_never_missed(tmp_path: Path) -> None:
    """The race that the law is about: hash, change right after, same size, mtime put back."""
    path = tmp_path / "f"
    for number in range(200):
        st, digest = _file(path, f"{number:04}a")
        cache = StatCache.load(str(tmp_path / "hashes"))
        cache.put(st, digest)
        with open(path, "r+") as file:
            file.write(f"{number:04}b")
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
        assert cache.get(path.stat()) is None


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    kept, dropped = (_file(tmp_path / name) for name in "ab")
    cache = StatCache.load(str(tmp_path / "hashes"), clock=lambda: _at(LATER))
    cache.put(*kept)
    cache.put(*dropped)
    cache.save()
    cache = StatCache.load(str(tmp_path / "hashes"))
    cache.get(kept[0])
    cache.save()
    cache = StatCache.load(str(tmp_path / "hashes"))
    assert (cache.get(kept[0]), cache.get(dropped[0])) == (kept[1], None)
    before = (tmp_path / "hashes").stat()
    cache.save()
    assert (tmp_path / "hashes").stat() == before, "nothing new: nothing written"


@pytest.mark.parametrize("damage", ["flip", "cut", "extend", "empty", "magic"])
def test_damage_means_an_empty_cache(tmp_path: Path, damage: str) -> None:
    st, digest = _file(tmp_path / "f")
    path = tmp_path / "hashes"
    cache = StatCache.load(str(path), clock=lambda: _at(LATER))
    cache.put(st, digest)
    cache.save()
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[60] ^= 1
    elif damage == "magic":
        data[7:8] = b"X"
    else:
        data = {"cut": data[:-1], "extend": data + b"\0" * 72, "empty": bytearray()}[damage]
    path.write_bytes(data)
    assert StatCache.load(str(path)).get(st) is None


def test_a_place_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    st, digest = _file(tmp_path / "f")
    cache = StatCache.load(str(tmp_path / "missing" / "hashes"), clock=lambda: _at(LATER))
    cache.put(st, digest)
    cache.save()
    assert cache.get(st) == digest
