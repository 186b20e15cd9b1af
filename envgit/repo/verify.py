# SPDX-License-Identifier: Apache-2.0
"""Checks every object of a repository for ``fsck``: that it can be read, is what its id says, and
means something to envgit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind
from envgit.repo import reflog
from envgit.repo.commits import LAYER, ROOTFS, parse_commit, parse_tag
from envgit.repo.escape import DIRECTORY_ENTRY, unescape
from envgit.repo.metadata import FILE_NAME, Metadata
from envgit.repo.pack import NUMBERS, object_id
from envgit.repo.packindex import PackError, PackIndex, index_paths
from envgit.repo.resemblance import parse_any_tree
from envgit.repo.trees import parse_tree

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ObjectProblem:
    """What is wrong with an object: ``severity`` is ``error`` or ``warning``."""

    severity: str
    text: str


def verify_objects(
    repository: GitRepository, progress: Progress | None = None
) -> Iterator[ObjectProblem]:
    """Read everything; ``progress(done, total)`` is called now and then. Changes nothing."""
    yield from _Verifier(repository, progress).run()


class _Verifier:
    def __init__(self, repository: GitRepository, progress: Progress | None) -> None:
        self._repository = repository
        self._progress = progress
        self._kinds: dict[bytes, str] = {}
        self._bad: set[bytes] = set()
        # What was checked already, by what it was found as: a tree of a layer may hold whiteouts.
        self._trees: set[tuple[bytes, bool]] = set()
        self._pointers: dict[bytes, Entry | None] = {}

    def run(self) -> Iterator[ObjectProblem]:
        yield from self._stored()
        yield from self._refs()
        yield from self._history()

    def _stored(self) -> Iterator[ObjectProblem]:
        """Every object in packs: readable, and of the id it goes by."""
        where: dict[bytes, str] = {}
        for path in index_paths(os.path.join(self._repository.path, "objects", "pack")):
            try:
                with PackIndex(path) as index:
                    where.update(dict.fromkeys(index.ids(), os.path.basename(path)[:-4]))
            except PackError as error:
                yield ObjectProblem("error", error.message)
        for number, (binary, pack) in enumerate(where.items()):
            if self._progress is not None and number % 1000 == 0:
                self._progress(number, len(where))
            kind, data = self._read(binary)
            if not kind:
                yield ObjectProblem("error", f"object {binary.hex()} in {pack}.pack is corrupt")
            elif object_id(NUMBERS[kind], data) != binary:
                self._bad.add(binary)
                yield ObjectProblem("error", f"object {binary.hex()} in {pack}.pack is another")
        if self._progress is not None:
            self._progress(len(where), len(where))

    def _read(self, binary: bytes) -> tuple[str, bytes]:
        """(kind, data), or empty strings for one that cannot be read."""
        try:
            kind, data = self._repository.read(binary.hex())
        except EnvgitError:
            self._bad.add(binary)
            return "", b""
        self._kinds[binary] = kind
        return kind, data

    def _refs(self) -> Iterator[ObjectProblem]:
        try:
            refs = dict(self._repository.refs())
            head = self._repository.head()
        except EnvgitError as error:
            yield ObjectProblem("error", error.message)
            return
        if head.symbolic is None and head.commit is not None:
            refs["HEAD"] = head.commit
        for name, oid in refs.items():
            if not self._read(bytes.fromhex(oid))[0]:
                yield ObjectProblem("error", f"{name} points at {oid}, which cannot be read")
        for name in reflog.names(self._repository.path):
            for entry in self._repository.reflog(name):
                if entry.new != reflog.ZERO and not self._repository.exists(entry.new):
                    yield ObjectProblem("warning", f"reflog of {name} mentions lost {entry.new}")

    def _history(self) -> Iterator[ObjectProblem]:
        """Every commit from the refs, as far as history can be followed, and its environment."""
        try:
            stack = [bytes.fromhex(oid) for oid in self._repository.refs().values()]
            head = self._repository.head().commit
        except EnvgitError:
            return  # said by _refs()
        stack += [bytes.fromhex(head)] if head else []
        seen: set[bytes] = set()
        while stack:
            binary = stack.pop()
            if binary in seen:
                continue
            seen.add(binary)
            kind, data = self._read(binary)
            if kind == "tag":
                stack.append(bytes.fromhex(parse_tag("", data).target))
            elif kind == "commit":
                commit = parse_commit(binary.hex(), data)
                for parent in commit.parents:
                    if not self._repository.exists(parent):
                        yield ObjectProblem(
                            "error", f"commit {commit.id}: its parent {parent} is missing"
                        )
                    else:
                        stack.append(bytes.fromhex(parent))
                yield from self._environment(commit.id, bytes.fromhex(commit.tree))

    def _environment(self, commit: str, tree: bytes) -> Iterator[ObjectProblem]:
        kind, data = self._read(tree)
        if kind != "tree":
            yield ObjectProblem("error", f"commit {commit}: its tree {tree.hex()} cannot be read")
            return
        entries = parse_any_tree(data)
        if not {ROOTFS, LAYER, FILE_NAME} <= entries.keys():
            return  # an operation, or a commit of git's
        try:
            Metadata.parse(self._read(entries[FILE_NAME][1])[1])
        except EnvgitError as error:
            yield ObjectProblem("error", f"commit {commit}: {error.message}")
        for part, in_layer in ((ROOTFS, False), (LAYER, True)):
            where = f"commit {commit}: {part.decode()}"
            yield from self._tree(where, entries[part][1], in_layer=in_layer)

    def _tree(self, where: str, root: bytes, *, in_layer: bool) -> Iterator[ObjectProblem]:
        stack = [(where, root)]
        while stack:
            path, tree = stack.pop()
            if (tree, in_layer) in self._trees:
                continue
            self._trees.add((tree, in_layer))
            kind, data = self._read(tree)
            try:
                entries = parse_tree(data) if kind == "tree" else None
            except EnvgitError as error:
                yield ObjectProblem("error", f"{path}: tree {tree.hex()}: {error.message}")
                continue
            if entries is None:
                yield ObjectProblem("error", f"{path}: tree {tree.hex()} cannot be read")
                continue
            if DIRECTORY_ENTRY not in entries:
                yield ObjectProblem("error", f"{path}: tree {tree.hex()} has no entry '%dir'")
            for name, (is_tree, oid) in entries.items():
                below = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                if is_tree:
                    stack.append((below, oid))
                problem = None if is_tree else self._pointer(name, oid, in_layer=in_layer)
                if name != DIRECTORY_ENTRY and problem is None:
                    problem = _name_problem(name)
                if problem is not None:
                    yield ObjectProblem("error", f"{below}: {problem}")

    def _pointer(self, name: bytes, oid: bytes, *, in_layer: bool) -> str | None:
        """What is wrong with a pointer in its place."""
        if oid not in self._pointers:
            try:
                self._pointers[oid] = Entry.parse(self._read(oid)[1])
            except EnvgitError as error:
                self._pointers[oid] = None
                return f"pointer {oid.hex()}: {error.message}"
        entry = self._pointers[oid]
        if entry is None:
            return f"pointer {oid.hex()} cannot be read"
        if (entry.kind == Kind.DIR) != (name == DIRECTORY_ENTRY):
            return f"pointer {oid.hex()} is a {entry.kind} in the wrong place"
        if not in_layer and (entry.kind == Kind.WHITEOUT or entry.opaque):
            return f"pointer {oid.hex()} belongs into a layer, not into a root filesystem"
        return None


def _name_problem(name: bytes) -> str | None:
    try:
        unescape(name)
    except EnvgitError as error:
        return error.message
    return None
