# SPDX-License-Identifier: Apache-2.0
"""Which commits a command line asks for: ranges, groups of refs, and what is left out.

Source: gitrevisions(7), "Specifying ranges"; git-rev-list(1) for ``--all``, ``--not``,
``--exclude`` and their like, which act in the order in which they stand.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.repo.commits import ObjectMissing
from envgit.repo.reflog import ZERO
from envgit.repo.refnames import HEADS, PRIVATE, REMOTES, TAGS
from envgit.repo.revisions import UnknownRevision, resolve, split_range

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

GROUPS = {"all": "refs/", "branches": HEADS, "tags": TAGS, "remotes": REMOTES}
"""What ``--all``, ``--branches`` and so on stand for."""
WORDS = (*GROUPS, "glob", "exclude", "not", "reflog", "bisect")
"""The options that choose where to begin, without their dashes; they act in their order."""
_SPECIAL = re.compile(r"[*?[\\]")
_BAD = "refs/bisect/bad"
_GOOD = "refs/bisect/good-"


class UnknownArgument(EnvgitError):
    """An option among revisions that is none of WORDS."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which commits a command was asked for.

    Walk from ``include`` and leave out what ``exclude`` reaches. ``left`` and ``right`` are the
    sides of ``A...B`` (else empty), whose merge bases are in ``exclude``; ``names`` says by which
    argument or ref each included commit was named.
    """

    include: tuple[CommitId, ...] = ()
    exclude: tuple[CommitId, ...] = ()
    left: tuple[CommitId, ...] = ()
    right: tuple[CommitId, ...] = ()
    names: tuple[tuple[CommitId, str], ...] = ()


def select(
    repository: GitRepository,
    arguments: Sequence[str],
    *,
    default: str | None = "HEAD",
    globs: Iterable[str] = (),
) -> Selection:
    """What ``arguments`` select together: revisions, ranges, ``^A``, ``A^@``, ``A^!``, ``A^-``, and
    the options of WORDS.

    ``globs`` are ``all``, ``branches``, ``tags``, ``remotes``: begin there, too. ``default`` is
    used when nothing is named at all.
    """
    found = _Finding(repository)
    for argument in (*(f"--{name}" for name in globs), *arguments):
        found.take(argument)
    if not found.given and default is not None:
        found.add(resolve(repository, default), default)
    return found.selection()


@dataclass
class _Finding:
    """One command line under way."""

    repository: GitRepository
    given: bool = False
    inverted: bool = False
    excluded: list[str] = field(default_factory=list)
    include: list[CommitId] = field(default_factory=list)
    exclude: list[CommitId] = field(default_factory=list)
    left: list[CommitId] = field(default_factory=list)
    right: list[CommitId] = field(default_factory=list)
    names: list[tuple[CommitId, str]] = field(default_factory=list)

    def selection(self) -> Selection:
        return Selection(
            tuple(self.include),
            tuple(self.exclude),
            tuple(self.left),
            tuple(self.right),
            tuple(self.names),
        )

    def add(self, commit: CommitId, name: str, *, excluded: bool = False) -> None:
        """Begin at a commit; with ``excluded``, or after ``--not``, leave it out."""
        if excluded != self.inverted:
            self.exclude.append(commit)
        else:
            self.include.append(commit)
            self.names.append((commit, name))

    def take(self, argument: str) -> None:
        if argument == "--not":
            self.inverted = not self.inverted
        elif argument.startswith("--exclude="):
            self.excluded.append(argument.removeprefix("--exclude="))
        elif argument.startswith("--"):
            self.given = True
            self._group(argument)
        else:
            self.given = True
            self._revision(argument)

    def _group(self, argument: str) -> None:
        for name, oid, excluded in grouped(self.repository, argument, self.excluded):
            for commit in commits_of(self.repository, [oid]):
                self.add(commit, name, excluded=excluded)
        if argument == "--all":  # as `git log`; `git rev-parse --all` lists our own HEAD only
            for name, commit in self.repository.other_heads().items():
                self.add(commit, name, excluded=False)
        self.excluded.clear()

    def _revision(self, argument: str) -> None:
        repository = self.repository
        sides = split_range(argument)
        if sides is not None:
            self._range(argument, *sides)
            return
        off = argument.startswith("^")
        parts = parents_of(argument.removeprefix("^"))
        if parts is None:
            self.add(resolve(repository, argument.removeprefix("^")), argument, excluded=off)
            return
        name, which = parts
        commit = resolve(repository, name)
        parents = repository.point(commit).parents
        if which == 0:
            for parent in parents:
                self.add(parent, argument, excluded=off)
            return
        if which is not None and which > len(parents):
            raise UnknownRevision(argument)
        for parent in parents if which is None else [parents[which - 1]]:
            self.add(parent, argument, excluded=not off)
        self.add(commit, argument, excluded=off)

    def _range(self, argument: str, old: str, new: str, symmetric: bool) -> None:
        try:
            left, right = resolve(self.repository, old), resolve(self.repository, new)
        except UnknownRevision as error:
            raise UnknownRevision(argument) from error
        self.add(left, argument, excluded=not symmetric)
        self.add(right, argument)
        if symmetric:
            for base in self.repository.merge_bases(left, right):
                self.add(base, argument, excluded=True)
            self.left.append(left)
            self.right.append(right)


def parents_of(argument: str) -> tuple[str, int | None] | None:
    """``A^@`` is (A, 0): the parents in A's place; ``A^!`` (A, None): A without all its parents;
    ``A^-N`` (A, N): without the Nth. None for anything else."""
    for suffix, which in (("^@", 0), ("^!", None)):
        if argument.endswith(suffix):
            return argument[:-2], which
    match = re.match(r"\A(.+)\^-([0-9]*)\Z", argument, re.DOTALL)
    if match is None or match[2] == "0":
        return None
    return match[1], int(match[2] or "1")


def grouped(
    repository: GitRepository, argument: str, excluded: Sequence[str] = ()
) -> Iterator[tuple[str, str, bool]]:
    """(name, object id, whether it is left out) of what ``--all``, ``--branches[=<pattern>]``,
    ``--glob=<pattern>``, ``--reflog`` or ``--bisect`` stand for.

    Names are as git prints them: without ``refs/heads/`` for ``--branches`` and its like.
    ``excluded`` are the patterns of ``--exclude`` before it. Raises UnknownArgument.
    """
    option, equals, pattern = argument.removeprefix("--").partition("=")
    if option == "bisect" and not equals:
        for name, oid in repository.refs("refs/bisect/").items():
            if name == _BAD or name.startswith(_GOOD):
                yield name, oid, name != _BAD
        return
    if option == "reflog" and not equals:
        yield from _logged(repository)
        return
    group = "all" if option == "glob" else option
    if group not in GROUPS or (option == "glob") != bool(equals and group == "all"):
        raise UnknownArgument(f"unrecognized argument: {argument}")
    prefix = "" if group == "all" else GROUPS[group]
    if equals:
        pattern = _whole_pattern(pattern, GROUPS[group])
    for name, oid in public_refs(repository, group).items():
        if not equals or fnmatch.fnmatchcase(name, pattern):
            short = name.removeprefix(prefix)
            if not any(fnmatch.fnmatchcase(short, one) for one in excluded):
                yield short, oid, False
    head = repository.head().commit
    if option != "all" or head is None:
        return
    if not any(fnmatch.fnmatchcase("HEAD", one) for one in excluded):
        yield "HEAD", head, False


def _whole_pattern(pattern: str, prefix: str) -> str:
    """As git: below the group's prefix, and without a wildcard all that is beneath it."""
    pattern = pattern if pattern.startswith("refs/") else prefix + pattern
    return pattern if _SPECIAL.search(pattern) else pattern.rstrip("/") + "/*"


def _logged(repository: GitRepository) -> Iterator[tuple[str, str, bool]]:
    """Every commit that a reflog mentions."""
    from envgit.repo import reflog

    for name in reflog.names(repository.path):
        if name.startswith(PRIVATE):
            continue
        for entry in repository.reflog(name):
            for oid in (entry.old, entry.new):
                if oid != ZERO and repository.exists(oid):
                    yield "", oid, False


def tips(repository: GitRepository, group: str) -> list[CommitId]:
    """The commits of all refs (``all``, with HEAD), or of ``branches``, ``tags``, ``remotes``."""
    return commits_of(repository, (oid for _, oid, _ in grouped(repository, f"--{group}")))


def public_refs(repository: GitRepository, group: str) -> dict[str, str]:
    """Full name -> object id of a group's refs (see GROUPS), sorted, without envgit's own."""
    found = repository.refs(GROUPS[group])
    return {name: oid for name, oid in found.items() if not name.startswith(PRIVATE)}


def commits_of(repository: GitRepository, oids: Iterable[str]) -> list[CommitId]:
    """The commits that the ids lead to; a tag of a tree or a file leads to none."""
    found: list[CommitId] = []
    for oid in oids:
        with suppress(ObjectMissing):
            found.append(repository.peel(oid))
    return found
