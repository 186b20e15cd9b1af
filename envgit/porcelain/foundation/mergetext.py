# SPDX-License-Identifier: Apache-2.0
"""What a merge commit says unless told otherwise, as git-fmt-merge-msg(1) has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import HEADS, REMOTES, TAGS

if TYPE_CHECKING:
    from envgit.repo.refs import Head
    from envgit.repo.signature import Signature

_KINDS = (
    ("branch", "branches"),
    ("remote-tracking branch", "remote-tracking branches"),
    ("tag", "tags"),
    ("commit", "commits"),
)
# builtin/merge.c, merge_name(): exp~2 and exp^^ are older states of a branch, exp~0 is itself.
_EARLY = re.compile(r"\A(?P<name>[^~^]+)(?:(?P<here>~0+)|\^+|~[0-9]*)\Z")
# fmt-merge-msg.h, DEFAULT_MERGE_LOG_LEN
LOG_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Merging:
    """A commit that is being merged, and what the user called it."""

    name: str
    commit: CommitId


def title(repository: Repository, head: Head, merged: Sequence[Merging]) -> str:
    """``Merge branch 'exp' into topic``; with an annotated tag, its message as well."""
    named: dict[str, list[str]] = {}
    for one in merged:
        kind, name = _called(repository, one.name)
        named.setdefault(kind, []).append(name)
    parts = [
        f"{single if len(named[single]) == 1 else several} {_joined(named[single])}"
        for single, several in _KINDS
        if single in named
    ]
    text = "Merge " + ", ".join(parts)
    branch = head.branch or "HEAD"
    hidden = repository.settings.get_all("merge.suppressdest") or ["main", "master"]
    if not any(fnmatchcase(branch, pattern) for pattern in hidden if pattern):
        text += f" into {branch}"
    return text + "\n" + _tag_message(repository, merged)


def shortlog(repository: Repository, head: CommitId, one: Merging, length: int) -> str:
    """The subjects of what a merge brings, for ``--log``."""
    git = repository.git
    kind, name = _called(repository, one.name)
    shown = name.strip("'") if kind == "branch" else f"{kind} {name}"
    found = [git.git_commit(oid) for oid in git.walk([one.commit], [head])]
    subjects = [commit.subject for commit in found if len(commit.parents) < 2]
    if len(subjects) <= length:
        return "".join([f"\n* {shown}:\n", *(f"  {subject}\n" for subject in subjects)])
    lines = [f"\n* {shown}: ({len(subjects)} commits)\n"]
    lines += [f"  {subject}\n" for subject in subjects[:length]]
    return "".join([*lines, "  ...\n"])


def squashed(repository: Repository, head: CommitId, merged: Sequence[CommitId]) -> str:
    """The message of ``merge --squash``: every commit that is squashed (git's SQUASH_MSG)."""
    git = repository.git
    text = "Squashed commit of the following:\n"
    for oid in git.walk(merged, [head]):
        commit = git.git_commit(oid)
        text += f"\ncommit {oid}\n"
        if len(commit.parents) > 1:
            text += f"Merge: {' '.join(git.abbrev(parent) for parent in commit.parents)}\n"
        author = commit.author
        text += f"Author: {author.name} <{author.email}>\nDate:   {_date(author)}\n\n"
        lines = commit.message.rstrip("\n").split("\n")
        text += "".join(f"    {line}\n" if line else "    \n" for line in lines)
    return text


def _called(repository: Repository, name: str) -> tuple[str, str]:
    """(branch, tag, ... and its name in quotes), by what the name leads to."""
    git = repository.git
    for prefix, kind in ((HEADS, "branch"), (TAGS, "tag"), (REMOTES, "remote-tracking branch")):
        if git.ref(prefix + name.removeprefix(prefix)) is not None:
            return kind, f"'{name}'"
    early = _EARLY.match(name)
    if early is not None and git.ref(HEADS + early["name"]) is not None:
        return "branch", f"'{early['name']}'" + ("" if early["here"] else " (early part)")
    return "commit", f"'{name}'"


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _tag_message(repository: Repository, merged: Sequence[Merging]) -> str:
    if len(merged) != 1:
        return ""
    oid = repository.git.ref(TAGS + merged[0].name.removeprefix(TAGS))
    tag = repository.git.tag(oid) if oid is not None else None
    return f"\n{tag.message.strip()}\n" if tag is not None and tag.message.strip() else ""


def _date(who: Signature) -> str:
    """As git's default: ``Tue Nov 24 02:16:15 2026 +0000``; the day without a leading zero."""
    zone = timezone(timedelta(minutes=who.offset))
    when = datetime.fromtimestamp(who.time, zone)
    return when.strftime(f"%a %b {when.day} %H:%M:%S %Y %z")
