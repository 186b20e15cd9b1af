# SPDX-License-Identifier: Apache-2.0
"""Repacks and prunes the objects for ``gc``: one pack of all that is needed, with deltas."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.repo.consolidate import alone
from envgit.repo.pack import NUMBERS, PackWriter
from envgit.repo.packindex import PackIndex, index_paths
from envgit.repo.reachable import links, reach, tips
from envgit.repo.resemblance import Related

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_HEX = set("0123456789abcdef")
_SUFFIXES = (".idx", ".rev", ".bitmap", ".mtimes", ".pack")  # in the order in which they go
_NOTE = ("objects", "info", "envgit-gc")


class RepackBusy(EnvgitError):
    """Another process merges or prunes packs right now."""


@dataclass(frozen=True, slots=True)
class Repacked:
    """``objects`` in the new pack, ``kept`` unreachable but too young to go, ``pruned`` gone;
    ``before`` and ``after`` are the bytes on disk of the packs and loose objects in question."""

    objects: int
    kept: int
    pruned: int
    before: int
    after: int

    @property
    def frees(self) -> int:
        """Bytes on disk."""
        return self.before - self.after


@dataclass(frozen=True, slots=True)
class Counts:
    """What git-count-objects(1) tells: loose objects and their KiB on disk, objects in packs, the
    packs and their KiB, loose objects that a pack has, and files that do not belong there."""

    count: int
    size: int
    in_pack: int
    packs: int
    size_pack: int
    prune_packable: int
    garbage: int
    size_garbage: int


def count(repository: GitRepository) -> Counts:
    """Count; sizes are in bytes."""
    directory = os.path.join(repository.path, "objects", "pack")
    loose = list(loose_objects(repository))
    stems = [path[:-4] for path in index_paths(directory)]
    packed: set[bytes] = set()
    in_pack = 0
    for stem in stems:
        with PackIndex(stem + ".idx") as index:
            packed.update(index.ids())
            in_pack += index.count
    known = {stem + suffix for stem in stems for suffix in (*_SUFFIXES, ".keep", ".promisor")}
    known.add(os.path.join(directory, "multi-pack-index"))
    with os.scandir(directory) as entries:
        garbage = [entry.stat().st_size for entry in entries if entry.path not in known]
    return Counts(
        count=len(loose),
        size=sum(durable.blocks(path) for _, path in loose),
        in_pack=in_pack,
        packs=len(stems),
        size_pack=sum(os.path.getsize(stem + end) for stem in stems for end in (".pack", ".idx")),
        prune_packable=sum(1 for binary, _ in loose if binary in packed),
        garbage=len(garbage),
        size_garbage=sum(garbage),
    )


def repack(repository: GitRepository, *, prune_before: int | None) -> Repacked:
    """`Repack`, at once and from everything that is there."""
    with Repack(repository, tips(repository), prune_before=prune_before) as prepared:
        prepared.publish()
        prepared.remove()
    repository.pack_refs()
    return prepared.result


class Repack:
    """Puts every object that ``start`` leads to into one pack, and drops old ones that it does not.

    On entry the new packs are written, under names that nobody reads, and ``result`` says what will
    come of it; with ``dry`` they are only measured. Then comes publish(), and then remove().

    An unreachable object is dropped when the pack or file it is in is older than ``prune_before``
    (seconds since the epoch; None: never) and no younger one needs it; the others go into a pack of
    their own that keeps their age. What gc itself wrote last and is still all there is stays as it
    is, unless ``always``. Raises RepackBusy, and ObjectMissing when the history has a hole.
    """

    def __init__(
        self,
        repository: GitRepository,
        start: Iterable[str],
        *,
        prune_before: int | None,
        dry: bool = False,
        always: bool = False,
    ) -> None:
        self._repository = repository
        self._start = list(start)
        self._prune_before = prune_before
        self._dry = dry
        self._always = always
        self._directory = os.path.join(repository.path, "objects", "pack")
        self._stack = ExitStack()
        self._new: PackWriter | None = None
        self._young: tuple[PackWriter, float] | None = None
        self._names: list[str | None] = []
        self.result: Repacked

    def __enter__(self) -> Repack:
        with self._stack as stack:
            if not self._dry and not stack.enter_context(alone(self._directory)):
                raise RepackBusy("another process is packing this repository")
            self._prepare(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prepare(self, stack: ExitStack) -> None:
        old = [path[:-4] for path in index_paths(self._directory)]
        self._replaced = [stem for stem in old if not _is_kept(stem)]
        self._loose = list(loose_objects(self._repository))
        found = reach(self._repository, self._start)
        elsewhere = _ids(stem for stem in old if stem not in self._replaced)
        ages = self._unreachable(found, elsewhere)
        young = self._kept(ages)
        self._leftovers = list(_leftovers(self._directory))
        if len(young) == len(ages) and self._is_done(found, elsewhere, len(young)):
            self._replaced = []
            size = sum(map(durable.blocks, self._leftovers))
            self.result = Repacked(len(found.objects), len(young), 0, size, 0)
            return
        self._new = stack.enter_context(PackWriter(self._directory, written=not self._dry))
        found.write(self._new, lru_cache(maxsize=256)(self._read), but=elsewhere)
        sizes = list(self._new.sizes())
        if young:
            writer = stack.enter_context(PackWriter(self._directory, written=not self._dry))
            for binary in young:
                kind, data = self._repository.read(binary.hex())
                writer.add(binary, NUMBERS[kind], data)
            self._young = writer, max(ages[binary] for binary in young)
            sizes += writer.sizes()
        sizes.append(len(_note(["pack-" + "0" * 40]) * (len(sizes) // 2)))
        block = os.statvfs(self._directory).f_frsize
        after = sum(-(-size // block) * block for size in sizes)
        before = sum(map(durable.blocks, self._old_files()))
        pruned = len(ages) - len(young)
        self.result = Repacked(len(found.objects), len(young), pruned, before, after)

    def _read(self, binary: bytes) -> bytes:
        return self._repository.read(binary.hex())[1]

    def _is_done(self, found: Related, elsewhere: set[bytes], young: int) -> bool:
        """Whether the packs are gc's last ones and hold just what they would hold again."""
        if self._always or self._loose or elsewhere or not self._replaced:
            return False
        if {os.path.basename(stem) for stem in self._replaced} != _last_packs(
            self._repository.path
        ):
            return False
        return len(_ids(self._replaced)) == len(found.objects) + young

    def _unreachable(self, found: Related, elsewhere: set[bytes]) -> dict[bytes, float]:
        """The objects that nothing leads to, and when each was written, as far as can be told."""
        ages: dict[bytes, float] = {}
        for stem in self._replaced:
            age = os.stat(stem + ".pack").st_mtime
            with PackIndex(stem + ".idx") as index:
                for binary in index.ids():
                    if binary not in found.objects and binary not in elsewhere:
                        ages[binary] = max(age, ages.get(binary, 0))
        for binary, path in self._loose:
            if binary not in found.objects and binary not in elsewhere:
                ages[binary] = max(os.stat(path).st_mtime, ages.get(binary, 0))
        return ages

    def _kept(self, ages: dict[bytes, float]) -> list[bytes]:
        """The young ones, and what they need: git keeps both (git-prune(1), ``--expire``)."""
        before = self._prune_before
        stack = [oid for oid, age in ages.items() if before is None or age >= before]
        kept = dict.fromkeys(stack)
        while stack and len(kept) < len(ages):
            kind, data = self._repository.read(stack.pop().hex())
            for oid, _ in links(kind, data):
                if oid in ages and oid not in kept:
                    kept[oid] = None
                    stack.append(oid)
        return list(kept)

    def _old_files(self) -> Iterator[str]:
        """What remove() removes; a loose object's folder goes with the last one in it."""
        yield os.path.join(self._directory, "multi-pack-index")
        yield os.path.join(self._repository.path, *_NOTE)
        for stem in self._replaced:
            yield from (stem + suffix for suffix in _SUFFIXES)
        loose = {path for _, path in self._loose}
        yield from loose
        for folder in {os.path.dirname(path) for path in loose}:
            if all(os.path.join(folder, name) in loose for name in os.listdir(folder)):
                yield folder
        yield from self._leftovers

    def publish(self) -> None:
        """Make the new packs part of the repository; everything is then there twice."""
        assert not self._dry, "this was only to be measured"
        if self._new is not None:
            self._names.append(self._new.publish())
        if self._young is not None:
            writer, age = self._young
            name = writer.publish()
            self._names.append(name)
            if name is not None:
                os.utime(name + ".pack", (age, age))
        crashpoint.reach("repo:repacked")
        self._repository.forget_packs()

    def remove(self) -> None:
        """Remove what the new packs replace, and what nothing needs."""
        gone = [stem for stem in self._replaced if stem not in self._names]
        _remove(self._directory, gone, self._loose)
        for path in self._leftovers:
            with suppress(FileNotFoundError):
                os.unlink(path)
        if self._new is not None:
            _note_packs(self._repository.path, [name for name in self._names if name])
        self._repository.forget_packs()


def _note_packs(path: str, stems: list[str]) -> None:
    """Remember which packs gc wrote last, beside git's own notes on objects."""
    durable.write_file(os.path.join(path, *_NOTE), _note(stems))


def _note(stems: list[str]) -> bytes:
    return "".join(f"{os.path.basename(stem)}\n" for stem in stems).encode()


def _last_packs(path: str) -> set[str]:
    try:
        with open(os.path.join(path, *_NOTE), encoding="utf-8", errors="replace") as file:
            return set(file.read().split())
    except FileNotFoundError:
        return set()


def _remove(directory: str, packs: list[str], loose: list[tuple[bytes, str]]) -> None:
    """Remove packs and loose objects whose content is in the new packs, or not needed."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, "multi-pack-index"))
    for stem in packs:
        for suffix in _SUFFIXES:
            with suppress(FileNotFoundError):
                os.unlink(stem + suffix)
        crashpoint.reach("repo:pack-removed")
    durable.sync_directory(directory)
    for _, path in loose:
        with suppress(FileNotFoundError):
            os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))


def _leftovers(directory: str) -> Iterator[str]:
    """What killed writers left; a day is what git's prune-packed grants at least."""
    with os.scandir(directory) as entries:
        files = [(entry.path, entry.stat().st_mtime) for entry in entries]
    newest = max((age for _, age in files), default=0)
    for path, age in files:
        if os.path.basename(path).startswith(("tmp_pack_", "tmp_idx_")) and age < newest - 86400:
            yield path


def _is_kept(stem: str) -> bool:
    """Whether somebody wants the pack to stay as it is (bitmaps and cruft packs do not count)."""
    return any(os.path.exists(stem + suffix) for suffix in (".keep", ".promisor"))


def _ids(stems: Iterable[str]) -> set[bytes]:
    found: set[bytes] = set()
    for stem in stems:
        with PackIndex(stem + ".idx") as index:
            found.update(index.ids())
    return found


def loose_objects(repository: GitRepository) -> Iterator[tuple[bytes, str]]:
    """(id, path) of the loose objects."""
    objects = os.path.join(repository.path, "objects")
    for folder in os.listdir(objects):
        if len(folder) == 2 and set(folder) <= _HEX:
            for name in os.listdir(os.path.join(objects, folder)):
                if len(name) == 38 and set(name) <= _HEX:
                    yield bytes.fromhex(folder + name), os.path.join(objects, folder, name)
