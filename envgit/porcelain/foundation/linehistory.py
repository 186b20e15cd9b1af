# SPDX-License-Identifier: Apache-2.0
"""The versions of a text file through history: what ``blame`` and ``log -L`` are made from.

What a file is in a commit comes from git's trees, by ids. Its text comes from the layer of the
commit that brought it, so that following a file costs what changed in it, not what was installed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

from envgit.errors import EnvgitError
from envgit.layers.compare import Change, changes
from envgit.layers.entry import Entry, Kind, find_entry
from envgit.layers.ids import CommitId
from envgit.layers.lines import Chunk
from envgit.layers.renames import FileChange, classify, detect
from envgit.layers.view import Overlay, ViewError
from envgit.porcelain.foundation import contents, snapshot
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.snapshot import Current
from envgit.repo.diff import changed_lines, is_binary
from envgit.repo.pathids import PathIds
from envgit.store.store import MissingLayer

MOST_TEXT = 64 << 20
"""Bytes; larger files are not followed by lines, which would take memory many times their size."""
_KEPT_TEXTS = 32 << 20
"""Bytes of texts that are kept, for neighbours in history are asked for one after the other."""


class NotText(EnvgitError):
    """A file that has no lines: binary, too large, or no regular file."""


class ContentMissing(EnvgitError):
    """The layer with a file's content is not in the store."""


class FileVersions:
    """Reads files of many commits; None as a commit is the worktree as it is now."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._git = repository.git
        self.ids = PathIds(repository.git)
        self._texts: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    @cached_property
    def current(self) -> Current:
        """The uncommitted state, scanned when it is first asked for."""
        return snapshot.describe(self._repository)

    def entry(self, commit: CommitId | None, path: bytes) -> Entry | None:
        """The regular file or symlink at ``path``; None for anything else and for nothing."""
        found = self.any_entry(commit, path)
        return found if found is not None and found.kind in (Kind.FILE, Kind.SYMLINK) else None

    def any_entry(self, commit: CommitId | None, path: bytes) -> Entry | None:
        """Whatever is at ``path``, or None."""
        if commit is None:
            return find_entry(self.current.tree, path)
        found = self.ids.of(commit, path)
        if found is None:
            return None
        if found[0]:
            tree = self._git.files(commit)
            return find_entry(tree, path) if tree is not None else None
        return Entry.parse(self._git.read(found[1].hex())[1])

    def same(self, one: CommitId | None, other: CommitId | None, path: bytes) -> bool:
        """Whether two commits have the same at ``path``, metadata included, told by ids alone."""
        return self.ids.of(one, path) == self.ids.of(other, path)

    def text(self, commit: CommitId | None, path: bytes) -> bytes:
        """The content of a text file, or a symlink's target. Raises NotText, ContentMissing."""
        data = self.data(commit, path)
        if is_binary(data):
            raise NotText(f"'{_show(path)}' is a binary file")
        return data

    def data(self, commit: CommitId | None, path: bytes) -> bytes:
        """The content of a file, whatever it is. Raises NotText, ContentMissing."""
        entry = self.entry(commit, path)
        if entry is None:
            raise NotText(f"'{_show(path)}' is no file, so it has no lines")
        if entry.kind == Kind.SYMLINK:
            return entry.target
        if entry.size > MOST_TEXT:
            raise NotText(f"'{_show(path)}' has {entry.size} bytes: too large to follow by lines")
        known = self._texts.get(entry.sha256)
        if known is not None:
            self._texts.move_to_end(entry.sha256)
            return known
        data = self._read(commit, path)
        if commit is not None or len(data) == entry.size:
            self._keep(entry.sha256, data)
        return data

    def renamed_from(self, parent: CommitId, commit: CommitId | None, path: bytes) -> bytes | None:
        """Where the file at ``path`` was in ``parent``, if it had another name there.

        As git: of the files that went, one with the same content, else the most similar one, if
        it is so by half.
        """
        old = self._git.files(parent)
        new = self.current.tree if commit is None else self._git.files(commit)
        if old is None or new is None:
            return None

        def read(change: FileChange, new_side: bool) -> bytes | None:
            try:
                if new_side:
                    return self.data(commit, change.path)
                return self.data(parent, change.old_path)
            except (NotText, ContentMissing):
                return None

        found = [
            change
            for change in classify(_of_files(changes(old, new)))
            if change.status == "D" or (change.status == "A" and change.path == path)
        ]
        for change in detect(found, read=read):
            if change.status == "R" and change.path == path:
                return change.old_path
        return None

    def _read(self, commit: CommitId | None, path: bytes) -> bytes:
        for opened in self._places(commit, path):
            try:
                with opened() as overlay, overlay.open(path) as file:
                    return file.read(MOST_TEXT)
            except (ViewError, MissingLayer):
                continue
        raise ContentMissing(
            f"the content of '{_show(path)}' in {commit or 'the worktree'} is not in the store",
            hint="envgit fsck says which layers are missing",
        )

    def _places(self, commit: CommitId | None, path: bytes) -> list[Callable[[], Overlay]]:
        """Where to look: in the layer of the commit that brought the file, then in all of them."""
        places: list[Callable[[], Overlay]] = []
        if commit is not None:
            origin = self._brought_by(commit, path)
            layer = self._repository.store.layer_path(self._git.commit(origin).layer)
            places.append(lambda: Overlay((layer,)))
        places.append(lambda: contents.contents(self._repository, commit))
        return places

    def _brought_by(self, commit: CommitId, path: bytes) -> CommitId:
        """The nearest commit along first parents whose layer has the file."""
        while True:
            parents = self._git.point(commit).parents
            if not parents or not self.same(commit, parents[0], path):
                return commit
            commit = parents[0]

    def _keep(self, sha256: str, data: bytes) -> None:
        self._texts[sha256] = data
        self._size += len(data)
        while self._size > _KEPT_TEXTS and len(self._texts) > 2:
            self._size -= len(self._texts.popitem(last=False)[1])


def chunks(
    old: bytes,
    new: bytes,
    *,
    indent: bool = True,
    whitespace: str | None = None,
    algorithm: str | None = None,
) -> list[Chunk]:
    """Which lines became which, as ``git blame`` compares (``log -L``: without ``indent``)."""
    return changed_lines(old, new, indent=indent, whitespace=whitespace, algorithm=algorithm)


def _of_files(found: list[Change]) -> list[Change]:
    """The changes without directories, which are never renamed to files."""
    return [
        change
        for change in found
        if Kind.DIR not in (change.old and change.old.kind, change.new and change.new.kind)
    ]


def _show(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
