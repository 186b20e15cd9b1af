# SPDX-License-Identifier: Apache-2.0
"""What names mean and what things are called: refs, commits, and the content of paths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind, find_directory, find_entry
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import HEADS, REMOTES, TAGS
from envgit.repo.refnames import shorten as shorten
from envgit.repo.revisions import (
    NoSuchPath,
    UnknownRevision,
    dwim,
    matches,
    meanings,
    previous_branch,
    resolve_object,
    split_path,
)
from envgit.repo.selection import public_refs
from envgit.repo.trees import TreeDirectory


class NotACommit(EnvgitError):
    """A name that leads to no commit, in the words of merge-base."""


KINDS = {HEADS: "branch", REMOTES: "remotebranch", TAGS: "tag", "refs/stash": "stash"}
"""How the refs beneath a prefix are coloured."""


@dataclass(frozen=True, slots=True)
class Name:
    """A ref that names a commit: ``kind`` is head or one of KINDS; ``points`` is HEAD's branch."""

    kind: str
    ref: str
    points: str = ""

    @property
    def short(self) -> str:
        """The name without ``refs/heads/`` and its like."""
        return shorten(self.ref)


def refs_of(repository: Repository, group: str) -> dict[str, str]:
    """The refs (full name -> object id) of ``all``, ``branches``, ``tags`` or ``remotes``."""
    return public_refs(repository.git, group)


def full_ref(repository: Repository, name: str) -> str | None:
    """The full name of the ref that ``name`` means, None when it names no ref.

    HEAD is the branch it points to, or itself when detached.
    """
    git = repository.git
    if name in ("HEAD", "@"):
        return git.head().symbolic or "HEAD"
    if name == "-" or (name.startswith("@{-") and name.endswith("}")):
        branch = previous_branch(git, 1 if name == "-" else int(name[3:-1]))
        return dwim(git, branch) if branch is not None else None
    if name.endswith(("@{u}", "@{upstream}")):
        branch = name.partition("@{")[0] or git.head().branch
        return git.upstream(branch) if branch else None
    return dwim(git, name)


def is_ambiguous(repository: Repository, name: str) -> bool:
    """Whether a short name of a ref could mean another ref, too."""
    return len(meanings(repository.git, name)) > 1


def objects_like(repository: Repository, prefix: str) -> list[str]:
    """The ids of all objects that begin so; none for less than four digits."""
    return sorted(matches(repository.git, prefix.lower())) if len(prefix) >= 4 else []


def object_of(repository: Repository, name: str) -> str:
    """The id of what ``name`` names: a commit, a tag, or (``REV:PATH``) what ``ls-tree`` shows."""
    parts = split_path(name)
    if parts is None:
        return resolve_object(repository.git, name)
    path = plain_path(parts[1])
    try:
        root = repository.git.files(repository.git.resolve(parts[0]))
    except UnknownRevision as error:
        raise NoSuchPath(f"invalid object name '{parts[0]}'.") from error
    directory = find_directory(root, path) if root is not None else None
    if isinstance(directory, TreeDirectory):
        return directory.identity
    entry = find_entry(root, path) if root is not None else None
    if entry is None:
        raise NoSuchPath(f"path '{parts[1]}' does not exist in '{parts[0]}'")
    return identity_of(entry)


def identity_of(entry: Entry) -> str:
    """The sha256 of a file's content or of a link's target; zeros for what has no content."""
    if entry.kind == Kind.FILE:
        return entry.sha256
    if entry.kind == Kind.SYMLINK:
        return hashlib.sha256(entry.target).hexdigest()
    return "0" * 64


def names_of_commits(repository: Repository) -> dict[CommitId, tuple[Name, ...]]:
    """Every named commit with its names in git's order: HEAD first, then refs backwards."""
    git = repository.git
    head = git.head()
    found: dict[CommitId, list[Name]] = {}
    for ref, oid in reversed(git.refs("refs/").items()):
        kind = next((kind for prefix, kind in KINDS.items() if ref.startswith(prefix)), None)
        if kind is None or git.read(oid)[0] not in ("commit", "tag"):
            continue
        if ref != head.symbolic:
            found.setdefault(git.peel(oid), []).append(Name(kind, ref))
    if head.commit is not None:
        found.setdefault(head.commit, []).insert(0, Name("head", "HEAD", head.symbolic or ""))
    return {commit: tuple(names) for commit, names in found.items()}
