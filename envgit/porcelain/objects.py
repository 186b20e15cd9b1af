# SPDX-License-Identifier: Apache-2.0
"""Finds what an argument of ``show`` names: a commit, a tag, a file or a directory of a commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from envgit.layers.entry import Directory, Kind, find_directory, find_entry
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import contents, snapshot
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.revisions import NoSuchPath, resolve_object, split_path

if TYPE_CHECKING:
    from envgit.repo.signature import Signature


@dataclass(frozen=True, slots=True)
class TagObject:
    """An annotated tag and the commit it leads to."""

    name: str
    tagger: Signature | None
    message: str
    target: CommitId


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory: (name, whether it is a directory), sorted as git sorts."""

    names: tuple[tuple[bytes, bool], ...]


@dataclass(frozen=True, slots=True)
class FileObject:
    """A file; ``open`` reads it. A symlink's content is its target, as in git."""

    path: bytes
    open: Callable[[], BinaryIO]


def find(repository: Repository, name: str) -> CommitId | TagObject | Listing | FileObject:
    """The object that ``name`` names. Raises NoSuchPath, and what resolving raises."""
    if name.startswith(":") and not name.startswith(":/"):
        return _at_path(repository, None, "worktree", name[1:])
    parts = split_path(name)
    if parts is not None:
        return _at_path(repository, repository.git.resolve(parts[0]), parts[0], parts[1])
    git = repository.git
    oid = resolve_object(git, name)
    tag = git.tag(oid)
    if tag is not None:
        return TagObject(tag.name, tag.tagger, tag.message, git.peel(oid))
    return git.peel(oid)


def _at_path(
    repository: Repository, commit: CommitId | None, revision: str, text: str
) -> Listing | FileObject:
    path = plain_path(text)
    tree: Directory | None = repository.git.files(commit)
    if commit is None:
        tree = snapshot.describe(repository).tree
    entry = find_entry(tree, path) if tree is not None else None
    if tree is None or entry is None:
        raise NoSuchPath(f"path '{text}' does not exist in '{revision}'")
    if entry.kind == Kind.DIR:
        return Listing(_names(find_directory(tree, path)))
    if entry.kind == Kind.SYMLINK:
        return FileObject(path, lambda: BytesIO(entry.target))
    if entry.kind != Kind.FILE:
        raise NoSuchPath(f"path '{text}' in '{revision}' is a {entry.kind} and has no content")
    return FileObject(path, lambda: contents.contents(repository, commit).open(path))


def _names(directory: Directory | None) -> tuple[tuple[bytes, bool], ...]:
    if directory is None:
        return ()
    found = []
    for name in directory.names():
        entry = directory.lookup(name)
        found.append((name, entry is not None and entry.kind == Kind.DIR))
    return tuple(sorted(found, key=lambda item: item[0] + b"/" * item[1]))
