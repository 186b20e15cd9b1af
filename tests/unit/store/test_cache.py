# SPDX-License-Identifier: Apache-2.0
"""Derived data in the store: found again, made anew when damaged, deleted when nobody asks."""

from __future__ import annotations

import os
import time
from pathlib import Path

from envgit.store.cache import UNUSED, ContentCache, stale


def _only_file(store: Path) -> Path:
    (found,) = (path for path in store.rglob("*") if path.is_file())
    return found


def test_a_value_is_found_by_its_key_and_kind_alone(tmp_path: Path) -> None:
    cache = ContentCache(str(tmp_path), "packages")
    cache.put("one", b"first")
    cache.put("one", b"second")
    assert cache.get("one") == b"second"
    assert cache.get("other") is None
    assert ContentCache(str(tmp_path), "texts").get("one") is None


def test_a_value_cut_short_or_altered_is_not_there(tmp_path: Path) -> None:
    cache = ContentCache(str(tmp_path), "packages")
    cache.put("key", b"value")
    file = _only_file(tmp_path)
    whole = file.read_bytes()
    for damaged in (whole[:-1], b"", whole[:-1] + b"E", whole + b"more"):
        file.write_bytes(damaged)
        assert cache.get("key") is None
    cache.put("key", b"again")
    assert cache.get("key") == b"again"


def test_what_cannot_be_written_is_not_kept_and_nobody_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    cache = ContentCache(str(tmp_path), "packages")
    cache.put("key", b"value")
    assert cache.get("key") is None


def test_what_is_used_does_not_become_stale(tmp_path: Path) -> None:
    cache = ContentCache(str(tmp_path), "packages")
    cache.put("key", b"value")
    assert list(stale(str(tmp_path))) == []
    file = _only_file(tmp_path)
    old = time.time() - UNUSED - 60
    os.utime(file, (old, old))
    assert list(stale(str(tmp_path))) == [str(file.relative_to(tmp_path))]
    assert cache.get("key") == b"value"
    assert list(stale(str(tmp_path))) == []
