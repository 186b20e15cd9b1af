# SPDX-License-Identifier: Apache-2.0
"""Groups the commits of a log by who wrote them, as git-shortlog(1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from envgit.porcelain.foundation.trailers import values
from envgit.repo.commits import Commit
from envgit.repo.signature import Signature

_PERSON = re.compile(r"(?P<name>[^<]*?)\s*<(?P<email>[^>]*)>")


@dataclass(frozen=True, slots=True)
class Group:
    """Everything of one person (or of one value of a trailer), the newest commit first."""

    name: str
    commits: tuple[Commit, ...]


def shortlog(
    commits: Iterable[Commit],
    by: Sequence[str] = ("author",),
    *,
    email: bool = False,
    numbered: bool = False,
) -> list[Group]:
    """The commits by each of ``by``: ``author``, ``committer`` or ``trailer:<key>``.

    Sorted by name, or with ``numbered`` by how many commits there are, most first. A commit counts
    once for a name, however often it bears it; ``email`` adds addresses to names.
    """
    found: dict[str, list[Commit]] = {}
    for commit in commits:
        for name in dict.fromkeys(_names(commit, by, email=email)):
            found.setdefault(name, []).append(commit)
    names = sorted(found, key=lambda name: name.encode("utf-8", "surrogateescape"))
    if numbered:
        names.sort(key=lambda name: -len(found[name]))
    return [Group(name, tuple(found[name])) for name in names]


def _names(commit: Commit, by: Sequence[str], *, email: bool) -> Iterator[str]:
    for what in by:
        if what == "author":
            yield _person(commit.author, email=email)
        elif what == "committer":
            yield _person(commit.committer, email=email)
        else:
            for value in values(commit.message, what.removeprefix("trailer:")):
                found = _PERSON.match(value)
                if found is None:
                    yield value
                else:
                    yield f"{found['name']} <{found['email']}>" if email else found["name"]


def _person(who: Signature, *, email: bool) -> str:
    return f"{who.name} <{who.email}>" if email else who.name
