# SPDX-License-Identifier: Apache-2.0
"""Lists what is in a directory of a commit, for ``ls-tree``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind, find_directory, join
from envgit.porcelain.foundation.naming import identity_of
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.revisions import split_path
from envgit.repo.trees import TreeDirectory


class NotATree(EnvgitError):
    """What was to be listed is no directory."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry. ``id``: sha256 of a file's content or a link's target, a directory's git tree."""

    path: bytes
    entry: Entry
    id: str


def list_tree(
    repository: Repository,
    revision: str,
    paths: Sequence[str] = (),
    *,
    recurse: bool = False,
    trees: bool = False,
    only_trees: bool = False,
) -> Iterator[Listed]:
    """The entries of a commit's root, or of ``REV:DIR``, in bytewise order.

    ``paths`` restrict them: ``dir`` is the directory itself, ``dir/`` what is in it. ``recurse``
    goes into directories, which are then listed only with ``trees``; ``only_trees`` leaves out all
    else. Raises NotATree.
    """
    root = _root(repository, revision)
    wanted = [_normal(path) for path in paths]
    return _walk(root, b"", wanted, _How(recurse, trees, only_trees))


@dataclass(frozen=True, slots=True)
class _How:
    recurse: bool
    trees: bool
    only_trees: bool


def _normal(path: str) -> bytes:
    """As plain_path; a trailing slash stays, for it means something here."""
    plain = plain_path(path)
    return plain + b"/" if plain and path.endswith("/") else plain


def _root(repository: Repository, revision: str) -> TreeDirectory:
    git = repository.git
    name, path = split_path(revision) or (revision, "")
    found = git.files(git.resolve(name))
    if found is None:
        raise NotATree(f"'{name}' holds no environment")
    below = find_directory(found, plain_path(path))
    if not isinstance(below, TreeDirectory):
        raise NotATree("not a tree object", hint=f"'{path}' is no directory in '{name}'")
    return below


def _walk(
    directory: TreeDirectory, base: bytes, wanted: Sequence[bytes], how: _How
) -> Iterator[Listed]:
    found: list[tuple[bytes, bytes, Entry]] = []
    for name in directory.names():
        entry = directory.lookup(name)
        if entry is not None:
            found.append((name + b"/" if entry.kind == Kind.DIR else name, name, entry))
    for _, name, entry in sorted(found, key=lambda item: item[0]):
        path = join(base, name)
        if entry.kind != Kind.DIR:
            if not how.only_trees and _selected(path, wanted):
                yield Listed(path, entry, identity_of(entry))
            continue
        below = directory.directory(name)
        if below is None:
            continue
        selected, leads = _selected(path, wanted), _leads_to(path, wanted)
        if not (selected or leads):
            continue
        enter = how.recurse or leads
        if not enter or how.trees or (how.recurse and how.only_trees):
            yield Listed(path, entry, str(below.identity))
        if enter:
            yield from _walk(below, path, wanted, how)


def _selected(path: bytes, wanted: Sequence[bytes]) -> bool:
    """Whether the path is one of those wanted, or lies in one."""
    if not wanted or b"" in wanted:
        return True
    for one in wanted:
        plain = one.rstrip(b"/")
        if path.startswith(plain + b"/") or (path == plain and not one.endswith(b"/")):
            return True
    return False


def _leads_to(path: bytes, wanted: Sequence[bytes]) -> bool:
    return any(one.startswith(path + b"/") for one in wanted)
