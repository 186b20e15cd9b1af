# SPDX-License-Identifier: Apache-2.0
"""The list of what is stashed, and how an entry of it is named (git-stash(1))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo import stash as refs
from envgit.repo.commits import Commit
from envgit.repo.refnames import STASH
from envgit.repo.revisions import UnknownRevision

# The subjects that git gives to entries; they are all that tells an entry by its commit.
_ENTRY = re.compile(r"(?:WIP on|On) .+?:")
_NUMBER = re.compile(r"[0-9]+")


class NoStash(Refused):
    """The stash is empty."""

    prefix = ""


class NotAStash(EnvgitError):
    """A commit that is no entry of the stash."""


class InvalidStash(Refused):
    """A name that is no entry of the stash."""


@dataclass(frozen=True, slots=True)
class Stashed:
    """An entry: its commit and subject, ``shown`` as the user named it, and ``ref``, which is None
    for a commit that the list does not hold."""

    commit: CommitId
    subject: str
    shown: str
    ref: str | None


def entries(repository: Repository) -> list[Stashed]:
    """The entries, newest first: the one at N is ``stash@{N}``."""
    return [
        Stashed(oid, repository.git.git_commit(oid).subject, f"stash@{{{number}}}", ref)
        for number, (ref, oid) in enumerate(refs.entries(repository.git))
    ]


def find(repository: Repository, name: str | None = None) -> Stashed:
    """The entry that ``name`` means: a number, a revision, or by default the newest.

    Raises NoStash, InvalidStash, NotAStash, ReflogTooShort.
    """
    git = repository.git
    if name is None:
        if git.ref(STASH) is None:
            raise NoStash("No stash entries found.")
        name = "0"
    shown = f"{STASH}@{{{name}}}" if _NUMBER.fullmatch(name) else name
    try:
        oid = git.resolve(shown)
    except UnknownRevision as error:
        raise InvalidStash(f"{shown} is not a valid reference") from error
    commit = git.git_commit(oid)
    listed = shown.partition("@")[0] in ("stash", STASH)
    ref = next((ref for ref, one in refs.entries(git) if listed and one == oid), None)
    # Two entries may be one commit: the number says which of them is meant.
    number = re.fullmatch(r".*@\{([0-9]+)\}", shown)
    if listed and number is not None:
        ref = refs.entries(git)[int(number[1])][0]
    if ref is None and not is_entry(commit):
        raise NotAStash(f"'{shown}' is not a stash-like commit")
    return Stashed(oid, commit.subject, shown, ref)


def require_listed(found: Stashed) -> str:
    """The ref of an entry. Raises InvalidStash for a commit that the list does not hold."""
    if found.ref is None:
        raise InvalidStash(f"'{found.shown}' is not a stash reference")
    return found.ref


def is_entry(commit: Commit) -> bool:
    """Whether a commit looks like one that ``stash`` made, as git asks before it applies one."""
    return len(commit.parents) == 1 and bool(commit.rootfs) and bool(_ENTRY.match(commit.subject))
