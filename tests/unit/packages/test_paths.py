# SPDX-License-Identifier: Apache-2.0
"""Paths of databases as paths of a tree."""

from __future__ import annotations

import time

import pytest

from envgit.packages import paths
from envgit.packages.paths import Resolver, plain, resolver
from tests.support.installed import MemoryFiles


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"/usr/bin/x", b"usr/bin/x"),
        (b"./usr//bin/./x", b"usr/bin/x"),
        (b"usr/.hidden/...", b"usr/.hidden/..."),
        (b"/", None),
        (b"", None),
        (b".", None),
        (b"/a/../b", None),
        (b"a\0b", None),
        (b"a/" * 3000 + b"b", None),
        (b"n" * 256, None),
    ],
)
def test_plain(written: bytes, meant: bytes | None) -> None:
    assert plain(written) == meant


def test_directory_links_are_followed_and_the_last_name_is_not() -> None:
    links = {
        b"lib": b"usr/lib",
        b"usr/lib/up": b"../../../..",
        b"ring": b"ring2",
        b"ring2": b"ring",
    }
    links |= {b"usr/lib/abs": b"/opt/x", b"opt/x": b"../srv"}
    resolve = resolver(MemoryFiles({b"usr/lib/f": b"", b"srv/g": b""}, links=links)).resolve
    assert resolve(b"/lib/f") == b"usr/lib/f"
    assert resolve(b"lib") == b"lib"
    assert resolve(b"lib/abs/g") == b"srv/g"
    assert resolve(b"lib/abs") == b"usr/lib/abs"
    # Above the root is the root.
    assert resolve(b"lib/up/etc/shadow") == b"etc/shadow"
    assert resolve(b"ring/x") is None
    assert resolve(b"none/of/it") == b"none/of/it"


def test_long_ways_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that lead through long paths to one another, asked for from many places."""
    monkeypatch.setattr(paths, "_STEPS", 300_000)
    links = {b"l%d" % n: b"d/../" * 800 + b"l%d" % (n + 1) for n in range(39)}
    resolve = Resolver(MemoryFiles({b"d/f": b""}, links=links).tree).resolve
    started = time.process_time()
    for number in range(200_000):
        resolve(b"l0/%d/f" % number)
    assert time.process_time() - started < 20
