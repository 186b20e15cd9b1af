# SPDX-License-Identifier: Apache-2.0
"""Checks every object of a repository for ``fsck``: that it can be read, is what its id says, means
something to envgit, and that nothing which it leads to is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind
from envgit.repo import reflog
from envgit.repo.commits import LAYER, ROOTFS, parse_commit
from envgit.repo.escape import DIRECTORY_ENTRY, unescape
from envgit.repo.maintenance import loose_objects
from envgit.repo.metadata import FILE_NAME, Metadata
from envgit.repo.pack import BLOB, KINDS, NUMBERS, TREE, object_id
from envgit.repo.packindex import PackError, PackIndex, index_paths
from envgit.repo.reachable import is_ref, links, logs, refs, tips
from envgit.repo.resemblance import parse_any_tree
from envgit.repo.trees import parse_tree

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ObjectProblem:
    """What is wrong: ``severity`` is ``error`` or ``warning``; ``kind`` is ``object`` (damaged, or
    not what it should be), ``missing``, ``pack`` or ``ref``; ``oid`` the object in question."""

    severity: str
    text: str
    kind: str = "object"
    oid: str = ""


@dataclass(frozen=True, slots=True)
class Loose:
    """An object that no ref, reflog or worktree leads to; ``dangling``: no other object either."""

    kind: str
    oid: str
    dangling: bool


def verify_objects(
    repository: GitRepository, progress: Progress | None = None
) -> Iterator[ObjectProblem]:
    """Read everything; ``progress(done, total)`` is called now and then. Changes nothing."""
    where, problems = stored(repository)
    yield from problems
    for number, found in enumerate(check(repository, where.items())):
        if progress is not None and number % 1000 == 0:
            progress(number, len(where))
        if found is not None:
            yield found
    yield from References(repository).problems()
    yield from History(repository).problems()


def stored(repository: GitRepository) -> tuple[dict[bytes, str], list[ObjectProblem]]:
    """Every object's id and the pack it is in ("" for a loose one), and indexes that are bad."""
    where: dict[bytes, str] = {binary: "" for binary, _ in loose_objects(repository)}
    problems = []
    directory = os.path.join(repository.path, "objects", "pack")
    names = set(os.listdir(directory))
    for path in index_paths(directory):
        try:
            with PackIndex(path) as index:
                where.update(dict.fromkeys(index.ids(), os.path.basename(path)[:-4]))
        except (PackError, OSError) as error:
            text = error.message if isinstance(error, PackError) else f"{path}: {error.strerror}"
            problems.append(ObjectProblem("error", text, "pack"))
    for name in sorted(names):
        if name.endswith(".idx") and name[:-4] + ".pack" not in names:
            problems.append(ObjectProblem("error", f"{name} has no pack", "pack"))
    return where, problems


def check(
    repository: GitRepository, objects: Iterable[tuple[bytes, str]]
) -> Iterator[ObjectProblem | None]:
    """For each object: what is wrong with its bytes, None when they are what the id says."""
    for binary, pack in objects:
        where = f"in {pack}.pack" if pack else "(loose)"
        try:
            kind, data = repository.read(binary.hex())
        except EnvgitError:
            text = f"object {binary.hex()} {where} is corrupt"
            yield ObjectProblem("error", text, oid=binary.hex())
            continue
        if object_id(NUMBERS[kind], data) != binary:
            text = f"object {binary.hex()} {where} is another"
            yield ObjectProblem("error", text, oid=binary.hex())
        else:
            yield None


class References:
    """Checks that refs and reflogs lead somewhere, those of linked worktrees included."""

    def __init__(self, repository: GitRepository) -> None:
        self._repository = repository

    def problems(self) -> Iterator[ObjectProblem]:
        try:
            found = refs(self._repository.path)
            self._repository.head()
        except EnvgitError as error:
            yield ObjectProblem("error", error.message, "ref")
            return
        for name, oid in found.items():
            try:
                self._repository.read(oid)
            except EnvgitError:
                severity = "error" if is_ref(name) else "warning"
                text = f"{name} points at {oid}, which cannot be read"
                yield ObjectProblem(severity, text, "ref", oid)
        for place, name, entries in logs(self._repository.path):
            own = os.path.relpath(place, self._repository.path)
            full = name if own == "." else f"{own}/{name}"
            for entry in entries:
                if entry.new != reflog.ZERO and not self._repository.exists(entry.new):
                    text = f"reflog of {full} mentions lost {entry.new}"
                    yield ObjectProblem("warning", text, "ref", entry.new)


class History:
    """Follows history from every ref and reflog, as far as it can be followed, and checks each
    environment. With ``shallow`` files' pointers need only be there (``--connectivity-only``)."""

    def __init__(self, repository: GitRepository, *, shallow: bool = False) -> None:
        self._repository = repository
        self._shallow = shallow
        self.reached: set[bytes] = set()
        # What was checked already, by what it was found as: a tree of a layer may hold whiteouts.
        self._trees: set[tuple[bytes, bool]] = set()
        self._pointers: dict[bytes, Entry | None] = {}

    def problems(self) -> Iterator[ObjectProblem]:
        try:
            stack = [bytes.fromhex(oid) for oid in tips(self._repository)]
        except EnvgitError:
            return  # said by References
        while stack:
            binary = stack.pop()
            if binary in self.reached:
                continue
            self.reached.add(binary)
            kind, data = self._read(binary)
            if not kind:
                continue  # said by whoever leads here, or by check()
            if kind == "tree":
                yield from self._any_tree(f"tree {binary.hex()}", binary)
                continue
            for oid, number in links(kind, data):
                if not self._repository.exists(oid.hex()):
                    what = "parent" if kind == "commit" and number != TREE else "target"
                    what = "tree" if number == TREE else what
                    text = f"{kind} {binary.hex()}: its {what} {oid.hex()} is missing"
                    yield ObjectProblem("error", text, "missing", oid.hex())
                elif number != TREE or kind == "tag":
                    stack.append(oid)
            if kind == "commit":
                tree = parse_commit("", data).tree
                yield from self._environment(binary.hex(), bytes.fromhex(tree))

    def _read(self, binary: bytes) -> tuple[str, bytes]:
        """(kind, data), or empty strings for one that cannot be read."""
        try:
            return self._repository.read(binary.hex())
        except EnvgitError:
            return "", b""

    def _lost(self, where: str, what: str, binary: bytes) -> ObjectProblem:
        """That an object is missing, or there and cannot be read."""
        kind = "object" if self._repository.exists(binary.hex()) else "missing"
        how = "cannot be read" if kind == "object" else "is missing"
        return ObjectProblem("error", f"{where}: {what} {binary.hex()} {how}", kind, binary.hex())

    def _environment(self, commit: str, tree: bytes) -> Iterator[ObjectProblem]:
        kind, data = self._read(tree)
        self.reached.add(tree)
        if kind != "tree":
            if kind or self._repository.exists(tree.hex()):
                yield self._lost(f"commit {commit}", "its tree", tree)
            return
        entries = parse_any_tree(data)
        if not {ROOTFS, LAYER, FILE_NAME} <= entries.keys():
            yield from self._any_tree(f"commit {commit}", tree)  # an operation, a record, or git's
            return
        described = entries[FILE_NAME][1]
        self.reached.add(described)
        text = self._read(described)[1]
        try:
            Metadata.parse(text)
        except EnvgitError as error:
            if text:
                message = f"commit {commit}: {error.message}"
                yield ObjectProblem("error", message, oid=described.hex())
            else:
                yield self._lost(f"commit {commit}", FILE_NAME.decode(), described)
        for part, in_layer in ((ROOTFS, False), (LAYER, True)):
            where = f"commit {commit}: {part.decode()}"
            yield from self._tree(where, entries[part][1], in_layer=in_layer)

    def _any_tree(self, where: str, root: bytes) -> Iterator[ObjectProblem]:
        """A tree that is no environment: all that it names must be there."""
        stack = [root]
        while stack:
            tree = stack.pop()
            self.reached.add(tree)
            kind, data = self._read(tree)
            if kind != "tree":
                yield self._lost(where, "tree", tree)
                continue
            for oid, number in links(kind, data):
                if number == TREE and oid not in self.reached:
                    stack.append(oid)
                elif number == BLOB:
                    self.reached.add(oid)
                    if not self._repository.exists(oid.hex()):
                        yield self._lost(where, "blob", oid)

    def _tree(self, where: str, root: bytes, *, in_layer: bool) -> Iterator[ObjectProblem]:
        stack = [(where, root)]
        while stack:
            path, tree = stack.pop()
            if (tree, in_layer) in self._trees:
                continue
            self._trees.add((tree, in_layer))
            self.reached.add(tree)
            kind, data = self._read(tree)
            if kind != "tree":
                yield self._lost(path, "tree", tree)
                continue
            try:
                entries = parse_tree(data)
            except EnvgitError as error:
                text = f"{path}: tree {tree.hex()}: {error.message}"
                yield ObjectProblem("error", text, oid=tree.hex())
                continue
            if DIRECTORY_ENTRY not in entries:
                text = f"{path}: tree {tree.hex()} has no entry '%dir'"
                yield ObjectProblem("error", text, oid=tree.hex())
            for name, (is_tree, oid) in entries.items():
                if is_tree:
                    below = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                    stack.append((below, oid))
                    continue
                problem = self._pointer(name, oid, in_layer=in_layer)
                if problem is not None:
                    below = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                    yield ObjectProblem("error", f"{below}: {problem[1]}", problem[0], oid.hex())
            yield from self._names(path, entries)

    def _names(self, path: str, entries: Iterable[bytes]) -> Iterator[ObjectProblem]:
        for name in entries:
            if name != DIRECTORY_ENTRY:
                try:
                    unescape(name)
                except EnvgitError as error:
                    below = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                    yield ObjectProblem("error", f"{below}: {error.message}")

    def _pointer(self, name: bytes, oid: bytes, *, in_layer: bool) -> tuple[str, str] | None:
        """What is wrong with a pointer in its place: (kind, words)."""
        if oid not in self._pointers:
            self.reached.add(oid)
            if self._shallow and self._repository.exists(oid.hex()):
                return None
            kind, data = self._read(oid)
            if kind != "blob":
                self._pointers[oid] = None
                there = kind or self._repository.exists(oid.hex())
                how = "cannot be read" if there else "is missing"
                return "object" if there else "missing", f"pointer {oid.hex()} {how}"
            try:
                self._pointers[oid] = Entry.parse(data)
            except EnvgitError as error:
                self._pointers[oid] = None
                return "object", f"pointer {oid.hex()}: {error.message}"
        entry = self._pointers[oid]
        if entry is None:
            return "object", f"pointer {oid.hex()} cannot be read"
        if (entry.kind == Kind.DIR) != (name == DIRECTORY_ENTRY):
            return "object", f"pointer {oid.hex()} is a {entry.kind} in the wrong place"
        if not in_layer and (entry.kind == Kind.WHITEOUT or entry.opaque):
            text = f"pointer {oid.hex()} belongs into a layer, not into a root filesystem"
            return "object", text
        return None

    def unreachable(self, where: Iterable[bytes]) -> Iterator[Loose]:
        """Of all objects ``where``, those that problems() did not come by."""
        left = [oid for oid in where if oid not in self.reached]
        kinds: dict[bytes, str] = {}
        named: set[bytes] = set()
        for oid in left:
            kind, data = self._read(oid)
            if kind:
                kinds[oid] = kind
                named.update(target for target, _ in links(kind, data))
        order = {name.decode(): number for number, name in KINDS.items()}
        for oid, kind in sorted(kinds.items(), key=lambda item: (order[item[1]], item[0])):
            yield Loose(kind, oid.hex(), oid not in named)
