# SPDX-License-Identifier: Apache-2.0
"""Damage done to real files, for readers that must neither hang nor die of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from envgit.layers.entry import find_directory
from envgit.packages.managers import manager
from envgit.packages.model import Files, Unreadable

_NUMBERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]

SECONDS = 10.0
"""No reader may work longer on one damaged database; whole ones of that size take milliseconds."""


def mutant(data: bytes, rng: random.Random) -> bytes:
    """``data`` after some accidents and some malice."""
    found = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if not found:
            break
        at = rng.randrange(len(found))
        length = min(rng.choice([1, 4, 16, 64, 4096]), len(found) - at)
        match rng.randrange(8):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at : at + length] = bytes([rng.choice([0, 0xFF, 10, 32])]) * length
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length] * rng.choice([1, 2, 50])
            case 4:
                found[at : at + length] = rng.randbytes(length)
            case 5:
                number = rng.choice([*_NUMBERS, rng.getrandbits(32)])
                found[at : at + 4] = number.to_bytes(4, rng.choice(["big", "little"]))
            case 6:
                other = rng.randrange(len(found))
                found[at : at + length] = found[other : other + length]
            case 7:
                if rng.random() < 0.2:
                    del found[at:]
    return bytes(found)


def survives(name: str, files: Files, paths: Iterable[bytes] = ()) -> None:
    """A manager's reader gives packages and manifests of ``files``, or says why not; in time.

    ``paths`` are directories that its units lie in, besides the root.
    """
    reader = manager(name)
    started = time.process_time()
    for path in (b"", *paths):
        directory = find_directory(files.tree, path)
        if directory is None:
            continue
        for unit in reader.units(path, directory, set(directory.names())):
            try:
                packages = list(reader.read(unit, files))
            except Unreadable:
                continue
            for package in packages[:50]:
                try:
                    for shipped in reader.manifest(package, files):
                        assert not shipped.path.startswith(b"/"), shipped
                        assert b".." not in shipped.path.split(b"/"), shipped
                except Unreadable:
                    continue
    assert time.process_time() - started < SECONDS
