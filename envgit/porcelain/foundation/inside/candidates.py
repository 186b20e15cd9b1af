# SPDX-License-Identifier: Apache-2.0
"""States between a commit and what was before it, to try a command in: some of its changes.

A candidate is one layer of hard links over the chain of the nearer of the two states, made when it
is tried and gone afterwards (trials.py). What belongs to which package, and which entries of shared
databases go with it, composing.py says; here relations decide which candidates can be.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, BinaryIO

from envgit.layers.compare import difference
from envgit.layers.directory import build
from envgit.layers.entry import Directory, Entry
from envgit.layers.ids import CommitId
from envgit.packages.model import PackageName, name_of
from envgit.packages.relations import Broken
from envgit.porcelain.foundation.inside.isolation import Changes
from envgit.porcelain.foundation.merging import Contents, Side
from envgit.porcelain.foundation.packages.composing import Group, Split
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.trials import Layered, Subject

CONFIGURATION = "the run configuration"

_WORD = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9+._/-]*")
_INFO = b"var/lib/dpkg/info/"
# PEP 3147: what was compiled of a source goes where that goes.
_BYTECODE = re.compile(rb"(.*/|)__pycache__/([^/]+?)\.[^/.]+-[^/.]+(?:\.opt-\w+)?\.pyc", re.DOTALL)


@dataclass(frozen=True, slots=True)
class End:
    """One of the two states: a commit, or the worktree as it is (None), with its run configuration
    and what messages call it."""

    commit: CommitId | None
    side: Side
    config: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What changes together: a group of paths, or the run configuration (None)."""

    title: str
    group: Group | None

    @property
    def is_package(self) -> bool:
        """Whether it is one package's change."""
        return self.group is not None and self.group.change is not None

    @property
    def reason(self) -> str:
        """Why the package is there: ``manual``, ``automatic`` or nothing that is known."""
        change = self.group.change if self.group is not None else None
        return change.package.reason if change is not None else ""


class _Remembered:
    """Files of a side, of which each is looked for once: candidate after candidate needs them."""

    def __init__(self, opened: Contents) -> None:
        self._opened = opened
        self._places: dict[bytes, bytes | None] = {}

    def find(self, path: bytes) -> bytes | None:
        if path not in self._places:
            self._places[path] = self._opened.find(path)
        return self._places[path]

    def open(self, path: bytes) -> BinaryIO:
        return self._opened.open(path)


def remembering(side: Side, tree: Directory) -> Side:
    """A side whose tree is given and whose files are looked for once."""

    @cache
    def opened() -> Contents | None:
        found = side.contents()
        return _Remembered(found) if found is not None else None

    return replace(side, tree=tree, contents=opened)


class Candidates:
    """The states between ``old``, a commit, and ``new``. Numbers are places in ``pieces``, where
    what others need comes before them."""

    def __init__(self, repository: Repository, old: End, new: End) -> None:
        assert old.commit is not None
        self._repository = repository
        self._old = old
        self._new = new
        self._below = old.commit
        self._split = Split(repository, old.side, new.side)
        self.prepared: list[float] = []
        """Seconds that making each layer took, for whoever asks; in order."""

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All that differs."""
        found = [Piece(group.title, group) for group in self._split.groups]
        if dict(self._old.config) != dict(self._new.config):
            found.append(Piece(CONFIGURATION, None))
        return tuple(found)

    # -- relations --------------------------------------------------------------------------------

    def closed(self, changes: Changes) -> Changes | None:
        """The changes with what they need, or what cannot stay as it was with them."""
        found = changes
        while broken := self._broken(found):
            more: set[int] = set()
            for one in broken:
                more |= self._mending(one, found)
            if more <= found:
                return None
            found = found.union(more)
        return found

    def opened(self, changes: Changes) -> Changes | None:
        """The changes without those that cannot be, since something is not among them."""
        found = changes
        while broken := self._broken(found):
            fewer: set[int] = set()
            for one in broken:
                own = self._places.get(name_of(one.package))
                named = {own} & found if own is not None else set()
                fewer |= named or (self._mentioned(one) & found)
            if not fewer:
                return None
            found = found.difference(fewer)
        return found

    def named(
        self, changes: tuple[int, ...], bound: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A cause and what cannot be told from it, with what somebody asked for as the cause."""
        if len(changes) > 1 or self.pieces[changes[0]].reason == "manual":
            return changes, bound
        whole = self.closed(frozenset(changes))
        for one in bound:
            asked = self.pieces[one].reason == "manual"
            if asked and self.closed(frozenset({one})) == whole:
                return (one,), (*changes, *(each for each in bound if each != one))
        return changes, bound

    def _broken(self, changes: Changes) -> list[Broken]:
        return self._split.unsatisfied(self._groups(changes))

    def _mending(self, one: Broken, present: Changes) -> set[int]:
        """What may mend a relation: a change of what it names, else one of who has it."""
        named = self._mentioned(one) - present
        if named:
            return named
        own = self._places.get(name_of(one.package))
        return {own} - present if own is not None else set()

    def _mentioned(self, one: Broken) -> set[int]:
        """The changes of packages of the same manager that a relation names."""
        # What follows a semicolon is pip's condition (PEP 508), and names what is not needed.
        words = _WORD.findall(one.relation.partition(";")[0])
        keys = {(one.package.manager, _plain(word)) for word in words}
        own = self._places.get(name_of(one.package))
        return {place for key in keys for place in self._names.get(key, ())} - {own}

    @cached_property
    def _places(self) -> dict[PackageName, int]:
        return {
            name_of(piece.group.change.package): place
            for place, piece in enumerate(self.pieces)
            if piece.group is not None and piece.group.change is not None
        }

    @cached_property
    def _names(self) -> dict[tuple[str, str], set[int]]:
        """Which pieces a word of a relation may mean: names, and what they provide."""
        found: dict[tuple[str, str], set[int]] = {}
        for place, piece in enumerate(self.pieces):
            if piece.group is None or piece.group.change is None:
                continue
            for package in piece.group.change.sides:
                texts = (package.name, *package.provides)
                for word in filter(None, map(_WORD.search, texts)):
                    found.setdefault((package.manager, _plain(word[0])), set()).add(place)
        return found

    # -- states -----------------------------------------------------------------------------------

    def subject(self, changes: Changes, name: str) -> Subject:
        """The state with these changes alone."""
        if not changes:
            return self._below
        if len(changes) == len(self.pieces):
            return self._new.commit
        groups = self._groups(changes)
        return self._layered(groups, self._config(changes), name)

    def partly(
        self, whole: Changes, parts: Iterable[int], paths: Iterable[bytes], name: str
    ) -> Subject:
        """The state with the changes ``whole``, but of ``parts`` of them only what databases say
        and ``paths``."""
        wanted, partial = frozenset(paths), frozenset(parts)
        groups = []
        for place in sorted(whole):
            group = self.pieces[place].group
            if group is not None and place in partial:
                kept = tuple(
                    each for each in group.paths if each in wanted or _records(group, each)
                )
                group = replace(group, paths=kept)
            if group is not None:
                groups.append(group)
        return self._layered(groups, self._config(whole), name)

    def files(self, parts: Iterable[int]) -> list[tuple[bytes, ...]]:
        """The changed files of pieces, each with what is made of it, in order of paths."""
        found: dict[bytes, dict[bytes, None]] = {}
        for place in parts:
            group = self.pieces[place].group
            for path in group.paths if group is not None else ():
                assert group is not None
                if not _records(group, path):
                    source = _BYTECODE.fullmatch(path) if path.endswith(b".pyc") else None
                    key = b"%b%b.py" % (source[1], source[2]) if source else path
                    found.setdefault(key, {})[path] = None
        return [tuple(found[key]) for key in sorted(found)]

    def _groups(self, changes: Changes) -> list[Group]:
        found = [self.pieces[place].group for place in sorted(changes)]
        return [group for group in found if group is not None]

    def _config(self, changes: Changes) -> Mapping[str, Any]:
        chosen = any(self.pieces[place].group is None for place in changes)
        return self._new.config if chosen else self._old.config

    def _layered(self, groups: Sequence[Group], config: Mapping[str, Any], name: str) -> Layered:
        below, tree = self._below, self._old.side.tree
        if self._new.commit is not None and 2 * _weight(groups) > self._weight:
            below, tree = self._new.commit, self._new.side.tree
        return Layered(below, self._builder(groups, tree), config, name)

    def _builder(self, groups: Sequence[Group], tree: Directory | None) -> Callable[[str], Entry]:
        def make(upper: str) -> Entry:
            began = time.monotonic()
            combined = self._split.compose(groups)
            try:
                build(os.fsencode(upper), difference(tree, combined.tree), combined.source)
            finally:
                if combined.scratch is not None:  # what is needed of it has another name now
                    self._repository.store.delete_changes(combined.scratch)
            self.prepared.append(time.monotonic() - began)
            return combined.tree.entry

        return make

    @cached_property
    def _weight(self) -> int:
        return _weight(self._split.groups)


def _weight(groups: Iterable[Group]) -> int:
    return sum(len(group.paths) for group in groups)


def _records(group: Group, path: bytes) -> bool:
    """Whether a path is what the manager says of the package, rather than a file of the package."""
    if group.change is None:
        return False
    for package in group.change.sides:
        unit = package.unit
        if unit and (path == unit or path.startswith(unit + b"/")):
            return True
    return path.startswith(_INFO)


def _plain(word: str) -> str:
    """A name as it is compared whatever the manager (PEP 503 folds most)."""
    return re.sub(r"[-_.]+", "-", word).rstrip("-").lower()
