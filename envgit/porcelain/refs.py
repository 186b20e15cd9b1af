# SPDX-License-Identifier: Apache-2.0
"""The refs as scripts read them: what each names, and what that leads to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from envgit.layers.ids import CommitId
from envgit.layers.pathspec import translate
from envgit.porcelain.foundation.naming import full_ref, is_ambiguous, refs_of
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import ObjectMissing, Tag
from envgit.repo.refnames import check_branch as check_branch
from envgit.repo.refnames import is_ref_name as is_ref_name
from envgit.repo.refnames import is_storable, shorten


@dataclass(frozen=True, slots=True)
class Named:
    """A ref: the object it names, that object's kind, and the id that an annotated tag leads to."""

    ref: str
    object: str
    kind: str
    tag: Tag | None = None

    @property
    def commit(self) -> CommitId:
        """What the ref leads to in the end."""
        return CommitId(self.tag.target if self.tag is not None else self.object)


def named(repository: Repository, ref: str, oid: str) -> Named:
    """What is known of a ref; tags of tags are followed to their end."""
    git = repository.git
    kind = git.read(oid)[0]
    if kind != "tag":
        return Named(ref, oid, kind)
    tag = git.tag(oid)
    return Named(ref, oid, kind, tag)


def select(
    repository: Repository,
    *,
    patterns: Sequence[str] = (),
    ignore_case: bool = False,
    contains: Sequence[str] = (),
    no_contains: Sequence[str] = (),
    merged: Sequence[str] = (),
    no_merged: Sequence[str] = (),
    points_at: Sequence[str] = (),
) -> list[Named]:
    """The refs by name that a pattern matches and the filters let through (git-for-each-ref(1)).

    Raises UnknownRevision for a filter that names no commit.
    """
    git = repository.git
    matching = [_pattern(text, ignore_case=ignore_case) for text in patterns]
    found = []
    for ref, oid in refs_of(repository, "all").items():
        if matching and not any(one.match(os.fsencode(ref)) for one in matching):
            continue
        try:
            found.append(named(repository, ref, oid))
        except ObjectMissing:
            continue
    if points_at:
        wanted = {git_object(repository, name) for name in points_at}
        found = [one for one in found if wanted & {one.object, str(one.commit)}]
    filters = (contains, no_contains, merged, no_merged)
    if not any(filters):
        return found
    left = {one.commit for one in found if (one.tag.kind if one.tag else one.kind) == "commit"}
    if contains:
        left = set().union(*(git.containing(git.resolve(name), left) for name in contains))
    for name in no_contains:
        left = left - git.containing(git.resolve(name), left)
    if merged:
        left = left & set().union(*(git.ancestors(git.resolve(name)) for name in merged))
    for name in no_merged:
        left = left - git.ancestors(git.resolve(name))
    return [one for one in found if one.commit in left]


def git_object(repository: Repository, name: str) -> str:
    """The id that a name means, of a tag object where it names one."""
    from envgit.repo.revisions import resolve_object

    return resolve_object(repository.git, name)


def short_name(repository: Repository, ref: str) -> str:
    """The shortest name that still means this ref."""
    short = shorten(ref)
    if short == ref:
        short = ref.removeprefix("refs/")
    if full_ref(repository, short) == ref and not is_ambiguous(repository, short):
        return short
    return ref.removeprefix("refs/")


def symbolic(repository: Repository, name: str) -> str | None:
    """The ref that a symbolic ref such as HEAD leads to; None when it is none."""
    return repository.git.leads_to(name) if is_storable(name) else None


def expanded(repository: Repository, name: str) -> str:
    """A branch's name with ``@{-1}`` and ``-`` looked up; other names as they are."""
    if name == "-" or name.startswith("@{-"):
        return shorten(full_ref(repository, name) or name)
    return name


def _pattern(text: str, *, ignore_case: bool) -> re.Pattern[bytes]:
    """A whole name, its beginning up to a slash, or a pattern whose ``*`` stops at slashes."""
    glob = os.fsencode(text)
    start = re.escape(glob) + (b"" if text.endswith("/") else rb"(?:/|\Z)")
    whole = translate(glob, slashes=False)
    whole = b"(?i:" + whole + b")" if ignore_case else whole
    return re.compile(start + b"|" + whole, re.DOTALL)
