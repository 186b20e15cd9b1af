# SPDX-License-Identifier: Apache-2.0
"""Reads the history: which commits ``log`` lists, with what, and in which order.

Options mean what they mean in git-log(1). Nothing is read but commits, unless paths are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId, TreeId
from envgit.porcelain.foundation.patterns import BadPattern
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.treesame import changes, treesame
from envgit.repo.revisions import UnknownRevision, dwim
from envgit.repo.traversal import Point, Rules, Step, Traversal

if TYPE_CHECKING:
    from envgit.layers.pathspec import Pathspec
    from envgit.repo.commits import Commit
    from envgit.repo.metadata import RunRecord
    from envgit.repo.signature import Signature as Signature


_PLACE = re.compile(r"\A(.*)@\{([0-9]+)\}\Z")


class NoCommitsYet(EnvgitError):
    """The current branch has no commit."""


class BadDate(EnvgitError):
    """A date that makes no sense (git would take the present)."""


@dataclass(frozen=True, slots=True)
class ReflogStep:
    """One line of the reflog of ``ref`` (as it was asked for); ``index`` 0 is the newest."""

    ref: str
    index: int
    message: str
    who: Signature


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit of the log.

    ``parents`` are those left after simplification to paths, ``edges`` those that will be shown
    themselves. ``mark`` is git's: ``<`` or ``>`` for the sides of ``A...B``, ``-`` at the boundary,
    ``=`` where the other side has the same change, ``+`` where it has not, else empty; ``side`` is
    what ``%m`` shows. ``source`` is what led to the commit. ``path`` is where the file that
    ``--follow`` follows is in this commit.
    """

    commit: Commit
    parents: tuple[CommitId, ...]
    edges: tuple[CommitId, ...] = ()
    mark: str = ""
    side: str = ">"
    source: str = ""
    reflog: ReflogStep | None = None
    path: bytes | None = None
    children: tuple[CommitId, ...] = ()

    @property
    def id(self) -> CommitId:
        """The commit's id."""
        return self.commit.id

    @property
    def tree(self) -> TreeId:
        """The id of the git tree."""
        return self.commit.tree

    @property
    def author(self) -> Signature:
        """Who made the change."""
        return self.commit.author

    @property
    def committer(self) -> Signature:
        """Who recorded it."""
        return self.commit.committer

    @property
    def message(self) -> str:
        """The whole message."""
        return self.commit.message

    @property
    def subject(self) -> str:
        """The message's first paragraph in one line."""
        return self.commit.subject

    @property
    def body(self) -> str:
        """What follows the subject."""
        return self.commit.body


@dataclass(frozen=True, slots=True)
class Patterns:
    """What ``--grep``, ``--author`` and ``--committer`` ask for.

    ``syntax`` is basic, extended, fixed or perl. All of ``message`` must match with ``all_match``,
    one of them otherwise; ``invert`` turns the answer about messages round.
    """

    message: tuple[str, ...] = ()
    author: tuple[str, ...] = ()
    committer: tuple[str, ...] = ()
    syntax: str = "basic"
    ignore_case: bool = False
    all_match: bool = False
    invert: bool = False

    def __bool__(self) -> bool:
        return bool(self.message or self.author or self.committer)


@dataclass(frozen=True, slots=True)
class Query:
    """Which commits to list; the fields are git-log's options.

    ``since`` and ``until`` are seconds since the epoch. ``order``: default, topo, date or
    author-date. ``parents`` is the least and the greatest number of parents (None: no limit).
    ``ancestry`` keeps the shape of the history for a graph; ``children`` needs it. ``side``
    (``left``, ``right``), ``cherry`` (``mark``, ``omit``), ``boundary`` and ``ancestry_path`` are
    as in :class:`envgit.repo.traversal.Rules`. ``packages`` are names or patterns of packages that
    the commits must have changed. ``walk`` False: the named commits alone, newest
    first or, with ``unsorted``, as named.
    """

    limit: int | None = None
    skip: int = 0
    since: int | None = None
    until: int | None = None
    patterns: Patterns = Patterns()
    parents: tuple[int, int | None] = (0, None)
    first_parent: bool = False
    order: str = "default"
    reverse: bool = False
    full_history: bool = False
    ancestry: bool = False
    left_right: bool = False
    follow: bool = False
    boundary: bool = False
    ancestry_path: bool = False
    side: str = ""
    cherry: str = ""
    packages: tuple[str, ...] = ()
    walk: bool = True
    unsorted: bool = False
    children: bool = False


def log(
    repository: Repository,
    revisions: Sequence[str] = (),
    *,
    paths: Sequence[str | bytes] = (),
    query: Query | None = None,
    limit: int | None = None,
    keep: Callable[[LogEntry], bool] | None = None,
) -> Iterator[LogEntry]:
    """The commits that ``revisions`` name (default HEAD) and ``query`` picks, newest first.

    ``revisions`` are git's: ``main``, ``^old``, ``a..b``, ``a...b``, ``--all``, ``--branches``,
    ``--tags``. ``limit`` is short for the query's, and counts what ``keep`` keeps. Raises
    NoCommitsYet, and UnknownRevision.
    """
    query = query or Query()
    if limit is not None:
        query = replace(query, limit=limit)
    found = _Log(repository, revisions, _parse(paths), query)
    if keep is None:
        entries = found.entries(query.limit)
    else:
        entries = islice(filter(keep, found.entries(None)), query.limit)
    return reversed(list(entries)) if query.reverse else entries


def chooser(repository: Repository, query: Query) -> Callable[[LogEntry], bool]:
    """Whether the query picks a commit by who made it, by its message and by its parents."""
    wanted = _filter(repository, query)
    if wanted is None:
        return lambda _: True
    return lambda entry: wanted(repository.git.point(entry.id), len(entry.commit.parents))


def walk_reflog(
    repository: Repository,
    ref: str = "HEAD",
    *,
    paths: Sequence[str | bytes] = (),
    query: Query | None = None,
) -> Iterator[LogEntry]:
    """The commits a ref has been at, newest first (``log -g``); from ``REF@{N}`` on, if so named.

    Raises UnknownRevision.
    """
    query = query or Query()
    git = repository.git
    place = _PLACE.match(ref)
    first = int(place[2]) if place is not None else 0
    ref = place[1] if place is not None else ref
    name = full_name(repository, ref)
    if git.ref(name) is None and not git.reflog(name):
        raise UnknownRevision(ref)
    wanted = _filter(repository, query)
    spec = _parse(paths)
    same = treesame(repository, spec, query.packages)
    point = git.point

    def entries() -> Iterator[LogEntry]:
        for index, line in enumerate(git.reflog(name)):
            if index < first or set(line.new) == {"0"}:
                continue
            commit = git.git_commit(line.new)
            if query.until is not None and commit.committer.time > query.until:
                continue
            if query.since is not None and commit.committer.time < query.since:
                continue
            if wanted is not None and not wanted(point(commit.id), len(commit.parents)):
                continue
            parent = point(commit.parents[0]) if commit.parents else None
            if same is not None and same(point(commit.id), parent):
                continue
            step = ReflogStep(ref, index, line.message, line.who)
            yield LogEntry(commit, commit.parents, reflog=step)

    stop = None if query.limit is None else query.skip + query.limit
    return islice(entries(), query.skip, stop)


def runs(repository: Repository, entry: LogEntry) -> tuple[RunRecord, ...]:
    """The commands recorded as what made the commit; none for a commit that git made."""
    return repository.git.metadata(entry.id).runs if entry.commit.rootfs else ()


def entry(repository: Repository, oid: str) -> LogEntry:
    """One commit as the log would show it."""
    commit = repository.git.git_commit(oid)
    return LogEntry(commit, commit.parents)


def moment(text: str, now: int | None = None) -> int:
    """A date as ``--since`` takes it, in seconds since the epoch. Raises BadDate."""
    from envgit.repo.dates import approxidate

    try:
        return approxidate(text, now)
    except ValueError as error:
        raise BadDate(f"invalid date: {text}") from error


def full_name(repository: Repository, ref: str) -> str:
    """The full name of a ref given in short, as git searches for it; the name itself if none."""
    return "HEAD" if ref in ("@", "") else dwim(repository.git, ref) or ref


class _Log:
    """One ``log`` under way."""

    def __init__(
        self, repository: Repository, revisions: Sequence[str], spec: Pathspec | None, query: Query
    ) -> None:
        from envgit.porcelain.foundation.ranges import tips_of

        self._repository = repository
        self._query = query
        self._spec = spec
        self._tips = tips_of(repository, revisions)
        if not revisions and not self._tips.include:
            branch = repository.git.head().branch or "HEAD"
            raise NoCommitsYet(f"your current branch '{branch}' does not have any commits yet")

    @cached_property
    def _traversal(self) -> Traversal:
        query, tips = self._query, self._tips
        rules = Rules(
            order=query.order,
            first_parent=query.first_parent,
            full_history=query.full_history,
            ancestry=query.ancestry,
            treesame=treesame(self._repository, self._spec, query.packages),
            wanted=_filter(self._repository, query),
            since=query.since,
            until=query.until,
            boundary=query.boundary,
            ancestry_path=query.ancestry_path,
            side=query.side,
            cherry=query.cherry,
            children=query.children,
            changes=changes(self._repository, self._spec) if query.cherry else None,
        )
        point = self._repository.git.point
        return Traversal(point, tips.include, tips.exclude, left=tips.left, rules=rules)

    def entries(self, limit: int | None) -> Iterator[LogEntry]:
        query = self._query
        stop = None if limit is None else query.skip + limit
        if query.follow:
            yield from islice(self._followed(), query.skip, stop)
            return
        if not query.walk:
            yield from islice(self._named(), query.skip, stop)
            return
        shown: list[Step] = []
        for step in islice(self._traversal.steps(), query.skip, stop):
            if query.boundary:
                shown.append(step)
            yield self._entry(step)
        for step in self._traversal.boundary(shown) if shown else ():
            yield self._entry(step)

    def _named(self) -> Iterator[LogEntry]:
        """The commits that were named, and no others."""
        point, git = self._repository.git.point, self._repository.git
        points = [point(oid) for oid in dict.fromkeys(self._tips.include)]
        if not self._query.unsorted:
            points.sort(key=lambda one: -one.time)
        wanted = _filter(self._repository, self._query)
        for one in points:
            if wanted is None or wanted(one, len(one.parents)):
                yield LogEntry(git.git_commit(one.id), one.parents)

    def _entry(self, step: Step, path: bytes | None = None) -> LogEntry:
        commit = self._repository.git.git_commit(step.point.id)
        side = "-" if step.boundary else "=" if step.same else "<" if step.left else ">"
        mark = ""
        if self._query.left_right or side in "-=":
            mark = side
        elif self._query.cherry == "mark" and not self._query.ancestry:
            mark = "+"
        children = step.children
        return LogEntry(commit, step.parents, step.edges, mark, side, path=path, children=children)

    def _followed(self) -> Iterator[LogEntry]:
        """The history of one file through its renames; merges are not looked at, as in git."""
        from envgit.layers.interest import differs
        from envgit.layers.pathspec import Pathspec
        from envgit.layers.renames import renamed_from

        plain = None if self._spec is None else self._spec.plain()
        if plain is None or len(plain) != 1:
            raise EnvgitError("--follow requires exactly one pathspec")
        path = plain[0]
        self._spec = None
        git = self._repository.git
        for step in self._traversal.steps():
            if len(step.point.parents) > 1:
                continue
            point, parents = step.point, step.point.parents
            old = git.files(parents[0] if parents else None)
            new = git.files(point.id)
            if not differs(old, new, Pathspec.parse([b":(literal)" + path])):
                continue
            yield self._entry(step, path)
            source = renamed_from(old, new, path)
            path = path if source is None else source


def _parse(paths: Sequence[str | bytes]) -> Pathspec | None:
    """The path specifications; loaded only when there are any."""
    if not paths:
        return None
    from envgit.layers.pathspec import Pathspec

    return Pathspec.parse(paths)


def _filter(repository: Repository, query: Query) -> Callable[[Point, int], bool] | None:
    least, most = query.parents
    matches = _matcher(query.patterns) if query.patterns else None
    if matches is None and least == 0 and most is None:
        return None

    def wanted(point: Point, parents: int) -> bool:
        if parents < least or (most is not None and parents > most):
            return False
        return matches is None or matches(repository.git.git_commit(point.id))

    return wanted


def _matcher(patterns: Patterns) -> Callable[[Commit], bool]:
    def compiled(texts: tuple[str, ...]) -> list[re.Pattern[str]]:
        return [_compile(text, patterns) for text in texts]

    message, author = compiled(patterns.message), compiled(patterns.author)
    committer = compiled(patterns.committer)
    enough = all if patterns.all_match else any

    def matches(commit: Commit) -> bool:
        for people, who in ((author, commit.author), (committer, commit.committer)):
            name = f"{who.name} <{who.email}>"
            if people and not any(one.search(name) for one in people):
                return False
        if not message:
            return True
        return enough(bool(one.search(commit.message)) for one in message) != patterns.invert

    return matches


def _compile(text: str, patterns: Patterns) -> re.Pattern[str]:
    if patterns.syntax == "fixed":
        text = re.escape(text)
    elif patterns.syntax == "basic":
        text = basic_to_extended(text)
    flags = re.MULTILINE | (re.IGNORECASE if patterns.ignore_case else 0)
    try:
        return re.compile(text, flags)
    except re.error as error:
        raise BadPattern(f"command line, '{text}': {error}") from error


def basic_to_extended(pattern: str) -> str:
    """POSIX basic syntax in Python's: ``\\|`` is special and ``|`` plain, and so on (regex(7))."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\" and at < len(pattern):
            following = pattern[at]
            at += 1
            out.append(following if following in "|(){}+?" else char + following)
        elif char == "[":
            end = pattern.find("]", at + (2 if pattern[at : at + 1] == "^" else 1))
            end = len(pattern) if end < 0 else end + 1
            out.append(char + pattern[at:end].replace("[", "\\["))
            at = end
        elif char in "|(){}+?" or (char == "*" and not out):
            out.append("\\" + char)
        else:
            out.append(char)
    return "".join(out)
