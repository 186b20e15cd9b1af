# SPDX-License-Identifier: Apache-2.0
"""Repacks and prunes the objects for ``gc``: one pack of all that is needed, with deltas."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.repo.consolidate import alone
from envgit.repo.pack import NUMBERS, PackWriter
from envgit.repo.packindex import PackIndex, index_paths
from envgit.repo.reachable import reach
from envgit.repo.resemblance import Related

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_HEX = set("0123456789abcdef")


class RepackBusy(EnvgitError):
    """Another process merges or prunes packs right now."""


@dataclass(frozen=True, slots=True)
class Repacked:
    """``objects`` in the new pack, ``kept`` unreachable but too young to go, ``pruned`` gone;
    ``before`` and ``after`` are the bytes of ``objects/``."""

    objects: int
    kept: int
    pruned: int
    before: int
    after: int


def repack(repository: GitRepository, *, prune_before: int | None) -> Repacked:
    """Put every object that is reachable into one pack, and drop old ones that are not.

    An unreachable object is dropped when the pack or file it is in is older than ``prune_before``
    (seconds since the epoch; None: never); the younger ones go into a pack of their own that keeps
    their age. Nothing is removed before its successor is durable. Raises RepackBusy, and
    ObjectMissing (with nothing changed) when the history has a hole.
    """
    directory = _packs(repository)
    before = _bytes(repository)
    with alone(directory) as exclusive:
        if not exclusive:
            raise RepackBusy("another process is packing this repository")
        old = [path[:-4] for path in index_paths(directory)]
        replaced = [stem for stem in old if not _is_kept(stem)]
        loose = list(_loose(repository))
        found = reach(repository)
        elsewhere = _ids(stem for stem in old if stem not in replaced)
        with PackWriter(directory) as writer:
            found.write(writer, lru_cache(maxsize=256)(_reader(repository)), but=elsewhere)
            name = writer.publish()
        kept, pruned, kept_name = _write_young(
            repository, found, elsewhere, replaced, loose, prune_before
        )
        crashpoint.reach("repo:repacked")
        _remove(directory, [stem for stem in replaced if stem not in (name, kept_name)], loose)
    repository.forget_packs()
    repository.pack_refs()
    return Repacked(len(found.objects), kept, pruned, before, _bytes(repository))


def _reader(repository: GitRepository) -> Callable[[bytes], bytes]:
    return lambda binary: repository.read(binary.hex())[1]


def _write_young(
    repository: GitRepository,
    found: Related,
    elsewhere: set[bytes],
    replaced: list[str],
    loose: list[tuple[bytes, str]],
    prune_before: int | None,
) -> tuple[int, int, str | None]:
    """(objects kept although nothing leads to them, objects dropped, the pack of the former)."""
    ages: dict[bytes, float] = {}
    for stem in replaced:
        age = os.stat(stem + ".pack").st_mtime
        with PackIndex(stem + ".idx") as index:
            for binary in index.ids():
                if binary not in found.objects and binary not in elsewhere:
                    ages[binary] = max(age, ages.get(binary, 0))
    for binary, path in loose:
        if binary not in found.objects and binary not in elsewhere:
            ages[binary] = max(os.stat(path).st_mtime, ages.get(binary, 0))
    young = [oid for oid, age in ages.items() if prune_before is None or age >= prune_before]
    name = None
    if young:
        with PackWriter(_packs(repository)) as writer:
            for binary in young:
                kind, data = repository.read(binary.hex())
                writer.add(binary, NUMBERS[kind], data)
            name = writer.publish()
        if name is not None:
            newest = max(ages[binary] for binary in young)
            os.utime(name + ".pack", (newest, newest))
    return len(young), len(ages) - len(young), name


def _remove(directory: str, packs: list[str], loose: list[tuple[bytes, str]]) -> None:
    """Remove packs and loose objects whose content is in the new packs, or not needed."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, "multi-pack-index"))
    for stem in packs:
        for suffix in (".idx", ".rev", ".bitmap", ".mtimes", ".pack"):
            with suppress(FileNotFoundError):
                os.unlink(stem + suffix)
        crashpoint.reach("repo:pack-removed")
    durable.sync_directory(directory)
    for _, path in loose:
        with suppress(FileNotFoundError):
            os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))
    for name in os.listdir(directory):
        if name.startswith(("tmp_pack_", "tmp_idx_")):
            _remove_leftover(os.path.join(directory, name))


def _remove_leftover(path: str) -> None:
    """Remove what a killed writer left; a day is what git's prune-packed grants at least."""
    with suppress(FileNotFoundError):
        newest = max(entry.stat().st_mtime for entry in os.scandir(os.path.dirname(path)))
        if os.stat(path).st_mtime < newest - 86400:
            os.unlink(path)


def _is_kept(stem: str) -> bool:
    """Whether somebody wants the pack to stay as it is (bitmaps and cruft packs do not count)."""
    return any(os.path.exists(stem + suffix) for suffix in (".keep", ".promisor"))


def _ids(stems: Iterator[str]) -> set[bytes]:
    found: set[bytes] = set()
    for stem in stems:
        with PackIndex(stem + ".idx") as index:
            found.update(index.ids())
    return found


def _packs(repository: GitRepository) -> str:
    return os.path.join(repository.path, "objects", "pack")


def _loose(repository: GitRepository) -> Iterator[tuple[bytes, str]]:
    """(id, path) of the loose objects."""
    objects = os.path.join(repository.path, "objects")
    for folder in os.listdir(objects):
        if len(folder) == 2 and set(folder) <= _HEX:
            for name in os.listdir(os.path.join(objects, folder)):
                if len(name) == 38 and set(name) <= _HEX:
                    yield bytes.fromhex(folder + name), os.path.join(objects, folder, name)


def _bytes(repository: GitRepository) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512
        for folder, _, names in os.walk(os.path.join(repository.path, "objects"))
        for name in names
    )
