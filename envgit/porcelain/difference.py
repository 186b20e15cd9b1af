# SPDX-License-Identifier: Apache-2.0
"""What differs between two states of the environment: paths, metadata, and lines of text files.

Paths and metadata come from git alone. Contents are read from the layers, and only when somebody
asks for lines; where a layer is not in the store, its files count as binary.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from envgit.layers import combine, compare
from envgit.layers.combine import CombinedHunk as CombinedHunk
from envgit.layers.compare import Change
from envgit.layers.entry import Entry, Kind
from envgit.layers.ids import CommitId
from envgit.layers.interest import picks, wanted_by
from envgit.layers.lines import split
from envgit.layers.pathspec import Pathspec
from envgit.layers.renames import FileChange, classify, detect
from envgit.layers.view import Overlay, ViewError
from envgit.porcelain.foundation import chain, snapshot
from envgit.porcelain.foundation.comparing import Choice, Pickaxe, TextOptions
from envgit.porcelain.foundation.repository import Repository
from envgit.repo import diff as texts
from envgit.repo.diff import Hunk as Hunk
from envgit.repo.diff import TextPatch as TextPatch
from envgit.store.store import MissingLayer

if TYPE_CHECKING:
    from envgit.porcelain.foundation.packages.found import Found
    from envgit.porcelain.foundation.packages.history import History

LARGEST = 8 << 20
"""Bytes; larger files are not compared by lines, which would take memory many times their size."""


SEARCHED = 256 << 20
"""Bytes; larger files are not searched for a text."""


@dataclass(frozen=True, slots=True)
class Stat:
    """Lines added and deleted; of a binary file its new and its old size in bytes."""

    binary: bool
    added: int
    deleted: int


_LOOKED_AT = 8000
"""Bytes by which git tells binary files."""

Contents = Callable[[], Overlay | None]


class Difference:
    """The changes between two states, in bytewise order of paths, and their contents on demand."""

    def __init__(
        self,
        changes: Iterable[Change],
        old: Contents,
        new: Contents,
        spec: Pathspec,
        choice: Choice,
        packages: Callable[[], Found],
    ) -> None:
        self._choice = choice
        self._find_packages = packages
        if choice.reverse:
            changes = [Change(change.path, change.new, change.old) for change in changes]
            old, new = new, old
        self._sides = (old, new)
        self._opened: dict[int, Overlay | None] = {}
        picked = [change for change in changes if picks(spec, change)]
        found = classify(picked)
        if choice.renames is not None:
            found = detect(found, threshold=choice.renames, read=self._read_for_renames)
        self.unread: tuple[bytes, ...] = ()
        """Paths that a pickaxe should have looked into and could not read."""
        kept = [change for change in found if _kept(change, choice.filter)]
        self.changes = tuple(kept if choice.pickaxe is None else self._chosen(kept, choice.pickaxe))

    def __bool__(self) -> bool:
        return bool(self.changes)

    @cached_property
    def packages(self) -> Found:
        """What became of packages, whatever the paths that were asked for."""
        from envgit.porcelain.foundation.packages.found import Named

        found = self._find_packages()
        if self._choice.reverse:
            found = found.reversed()
        names = self._choice.packages
        return found.only([Named.parse(name) for name in names]) if names else found

    def _chosen(self, changes: Sequence[FileChange], pickaxe: Pickaxe) -> Sequence[FileChange]:
        """The changes that the pickaxe picks. Contents that did not change are not read."""
        from envgit.porcelain.foundation.pickaxe import matcher

        matches = matcher(pickaxe)
        chosen: list[FileChange] = []
        unread: list[bytes] = []
        for change in changes:
            if change.same_content or change.is_directory:
                continue
            old = self._content(0, change.old_path, change.old, limit=SEARCHED)
            new = self._content(1, change.path, change.new, limit=SEARCHED)
            if old is None or new is None:
                unread.append(change.path)
            elif matches(old, new):
                chosen.append(change)
        self.unread = tuple(unread)
        return changes if chosen and pickaxe.every else chosen

    def only(self, paths: Container[bytes]) -> Difference:
        """The same with the changes at these paths alone."""
        fewer = copy(self)
        fewer.changes = tuple(change for change in self.changes if change.path in paths)
        return fewer

    def stat(self, change: FileChange, options: TextOptions | None = None) -> Stat:
        """How many lines (or, of a binary file, bytes) the change adds and deletes."""
        if change.same_content or change.is_directory:
            return Stat(self._looks_binary(change), 0, 0)
        if change.old is None or change.new is None:
            return self._whole(change)
        # As git: a summary counts bytes of binary files even with --text.
        patch = self.text(change, replace(options or TextOptions(), text=False))
        if patch is None:
            return Stat(True, _size(change.new), _size(change.old))
        return Stat(False, patch.added, patch.deleted)

    def text(self, change: FileChange, options: TextOptions | None = None) -> TextPatch | None:
        """The change line by line; None when a side is binary, too large or not in the store."""
        options = options or TextOptions()
        sides = []
        for index, entry in enumerate((change.old, change.new)):
            path = change.path if index else change.old_path
            data = self._content(index, path, entry)
            if data is None or (not options.text and texts.is_binary(data)):
                return None
            sides.append(data)
        return texts.text_patch(
            sides[0],
            sides[1],
            options.context,
            interhunk=options.interhunk,
            whitespace=options.whitespace,
            algorithm=options.algorithm,
        )

    def _whole(self, change: FileChange) -> Stat:
        """A file that came or went: its lines, without comparing them with nothing."""
        side = int(change.old is None)
        data = self._content(side, change.path, change.new or change.old)
        if data is None or texts.is_binary(data):
            return Stat(True, _size(change.new), _size(change.old))
        lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
        return Stat(False, lines, 0) if side else Stat(False, 0, lines)

    def _looks_binary(self, change: FileChange) -> bool:
        """Whether the file, whose content did not change, would count as binary."""
        entry = change.new
        if entry is None or entry.kind != Kind.FILE or not entry.size:
            return False
        if entry.size > LARGEST:
            return True
        data = self._content(1, change.path, entry, limit=_LOOKED_AT)
        return data is None or texts.is_binary(data)

    def _content(
        self, side: int, path: bytes, entry: Entry | None, limit: int = LARGEST
    ) -> bytes | None:
        if entry is None:
            return b""
        if entry.kind == Kind.SYMLINK:
            return entry.target
        if entry.kind != Kind.FILE or entry.size > max(limit, LARGEST):
            return b"" if entry.kind != Kind.FILE else None
        if entry.size == 0:
            return b""
        if side not in self._opened:
            self._opened[side] = self._sides[side]()
        overlay = self._opened[side]
        if overlay is None:
            return None
        try:
            with overlay.open(path) as file:
                return file.read(limit)
        except ViewError:
            return None

    def _read_for_renames(self, change: FileChange, new: bool) -> bytes | None:
        entry = change.new if new else change.old
        return self._content(int(new), change.path if new else change.old_path, entry)


@dataclass(frozen=True, slots=True)
class MergedPath:
    """A path at which a merge differs from every parent, with its change from each of them."""

    path: bytes
    changes: tuple[FileChange, ...]

    @property
    def new(self) -> Entry | None:
        """What the merge has there."""
        return self.changes[0].new

    @property
    def parents(self) -> tuple[Entry | None, ...]:
        """What each parent has there, or where the file was renamed from."""
        return tuple(change.old for change in self.changes)


class Merged:
    """What a merge made itself: the paths that differ from all parents, in bytewise order.

    ``differences`` are those from each parent. ``dense``: of texts, leave out what is as in a
    parent (git's ``--cc``; ``-c`` keeps it).
    """

    def __init__(self, differences: Sequence[Difference], *, dense: bool) -> None:
        self._differences = differences
        self.dense = dense
        found = [{change.path: change for change in one.changes} for one in differences]
        common = sorted(set.intersection(*(set(one) for one in found)))
        self.paths = tuple(MergedPath(path, tuple(one[path] for one in found)) for path in common)

    @property
    def packages(self) -> Found:
        """What became of packages since the first parent that is as in no other parent."""
        first, *others = (one.packages for one in self._differences)
        made = [{change.package.id for change in other.changes} for other in others]
        return first.where(lambda change: all(change.package.id in one for one in made))

    def hunks(self, one: MergedPath, options: TextOptions) -> Sequence[CombinedHunk] | None:
        """The combined hunks; None when a side is binary, too large or not in the store."""
        sides = [
            difference._content(0, change.old_path, change.old)
            for difference, change in zip(self._differences, one.changes, strict=True)
        ]
        result = self._differences[0]._content(1, one.path, one.new)
        texts_of = [side for side in (*sides, result) if side is not None]
        if len(texts_of) <= len(sides):
            return None
        # As git: even with --text.
        if any(map(texts.is_binary, texts_of)):
            return None
        *old, new = texts_of
        parents = [
            (
                split(side),
                texts.changed_lines(
                    side, new, whitespace=options.whitespace, algorithm=options.algorithm
                ),
            )
            for side in old
        ]
        same = combine.comparer(options.whitespace)
        return list(
            combine.hunks(split(new), parents, dense=self.dense, context=options.context, same=same)
        )


def _size(entry: Entry | None) -> int:
    if entry is None:
        return 0
    return len(entry.target) if entry.kind == Kind.SYMLINK else entry.size


def _kept(change: FileChange, letters: str) -> bool:
    """``--diff-filter``: capitals name what is kept, small letters what is not."""
    chosen = {letter for letter in letters if letter.isupper()}
    dropped = {letter.upper() for letter in letters if letter.islower()}
    return change.status not in dropped and (not chosen or change.status in chosen)


def diff(
    repository: Repository,
    old: str | None = None,
    new: str | None = None,
    *,
    paths: Sequence[str | bytes] = (),
    choice: Choice | None = None,
) -> Difference:
    """The difference between two revisions, or from ``old`` (default: HEAD) to the worktree."""
    git = repository.git
    start = git.resolve(old) if old is not None else git.head().commit
    if new is None:
        return with_worktree(repository, start, paths=paths, choice=choice)
    return between(repository, start, git.resolve(new), paths=paths, choice=choice)


def between(
    repository: Repository,
    old: CommitId | None,
    new: CommitId | None,
    *,
    paths: Sequence[str | bytes] = (),
    choice: Choice | None = None,
    history: History | None = None,
) -> Difference:
    """The difference between two commits; None is the empty environment. ``history`` is what one
    asks of the packages of many differences."""
    git, spec = repository.git, Pathspec.parse(paths)

    def packages() -> Found:
        from envgit.porcelain.foundation.packages.history import History

        return (history or History(repository)).between(old, new)

    return Difference(
        compare.changes(git.files(old), git.files(new), wanted=wanted_by(spec)),
        _of_commit(repository, old),
        _of_commit(repository, new),
        spec,
        choice or Choice(),
        packages,
    )


def packages_between(
    repository: Repository,
    old: CommitId | None,
    new: CommitId | None,
    *,
    choice: Choice | None = None,
    history: History | None = None,
) -> Difference:
    """The same for who wants to know of packages alone: it has no changes of paths."""
    from envgit.porcelain.foundation.packages.history import History

    asked = history or History(repository)
    return Difference(
        (),
        lambda: None,
        lambda: None,
        Pathspec.parse(()),
        replace(choice or Choice(), pickaxe=None),
        lambda: asked.between(old, new),
    )


def with_worktree(
    repository: Repository,
    old: CommitId | None,
    *,
    paths: Sequence[str | bytes] = (),
    choice: Choice | None = None,
) -> Difference:
    """The difference between a commit (None: the empty environment) and the worktree as it is."""
    current = snapshot.describe(repository)
    if old == current.head.commit:
        found = current.changes
    else:
        found = compare.changes(repository.git.files(old), current.tree)
    stack, upper = current.state.stack, current.upper

    def packages() -> Found:
        from envgit.porcelain.foundation.packages.history import History

        return History(repository).since(old, current)

    return Difference(
        found,
        _of_commit(repository, old),
        lambda: snapshot.reader(repository, stack, upper),
        Pathspec.parse(paths),
        choice or Choice(),
        packages,
    )


def _of_commit(repository: Repository, commit: CommitId | None) -> Contents:
    def opened() -> Overlay | None:
        if commit is None:
            return None
        # The commit's own layer first: the whole chain costs as much as the history is long.
        if not repository.store.has_layer(repository.git.commit(commit).layer):
            return None
        try:
            return snapshot.reader(repository, chain.present(repository, commit))
        except MissingLayer:
            return None

    return opened
