# SPDX-License-Identifier: Apache-2.0
"""Says which commit a path, or each line of a text file, is as it is because of.

Paths are told from git's trees alone, unchanged directories unread. Lines are attributed as git
does it: each commit passes on to its parents the lines that they have too, the newest commit first;
what no parent has is the commit's own. Source: git-blame(1); compared with ``git blame``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.entry import Directory, Entry, find_directory, join
from envgit.layers.ids import CommitId
from envgit.layers.lines import passed_on, split, union
from envgit.porcelain.foundation.linehistory import FileVersions, chunks
from envgit.porcelain.foundation.lineranges import parse_range
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.ranges import tips_of
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import Commit
from envgit.repo.escape import unescape

if TYPE_CHECKING:
    from envgit.repo.metadata import RunRecord


class NoSuchPath(EnvgitError):
    """A path that is not in the state that was asked about."""


@dataclass(frozen=True, slots=True)
class LastChange:
    """Which commit last changed a path (None: nothing recorded it yet), and what it did to it.

    ``what`` are words: added, content, type, target, mode, owner, mtime, xattrs, links, device, or
    entries (of a directory: something below). ``runs`` are the commands recorded as what made the
    commit.
    """

    path: bytes
    kind: str
    commit: Commit | None
    what: tuple[str, ...]
    runs: tuple[RunRecord, ...]

    @property
    def made_by(self) -> RunRecord | None:
        """The command that counts: the last successful one, else the last."""
        done = [run for run in self.runs if run.exit_code == 0]
        return next(reversed(done or self.runs), None)


@dataclass(frozen=True, slots=True)
class LineQuery:
    """How lines are blamed; git-blame's options.

    ``ranges`` are values of ``-L``. ``since`` is in seconds since the epoch. ``root``: commits
    without parents count as any other instead of as a boundary.
    """

    ranges: tuple[str, ...] = ()
    whitespace: str | None = None
    algorithm: str | None = None
    since: int | None = None
    first_parent: bool = False
    root: bool = False


@dataclass(frozen=True, slots=True)
class Blamed:
    """Neighbouring lines of one origin.

    ``start`` is their first line (from 0) in the file asked about, ``source`` that in ``path`` of
    ``commit`` (None: not committed yet), ``number`` how many. ``previous`` is the version before
    it, ``boundary`` says that the search ended here.
    """

    start: int
    source: int
    number: int
    commit: Commit | None
    path: bytes
    previous: tuple[CommitId, bytes] | None
    boundary: bool


@dataclass(frozen=True, slots=True)
class LineBlame:
    """A file's lines and whom they are from, in the order of the file."""

    path: bytes
    lines: list[bytes]
    blamed: list[Blamed]


# Paths -----------------------------------------------------------------------------------------


def blame(repository: Repository, path: str, revision: str | None = None) -> list[LastChange]:
    """Which commit last changed ``path``; for a directory, each entry in it.

    ``revision`` None is the worktree with what is uncommitted. At a merge, the parent that has the
    same is followed, as ``git log`` does; one that is unlike every parent is the answer itself.
    Raises NoSuchPath.
    """
    return _Paths(repository, plain_path(path), revision).find()


class _Paths:
    def __init__(self, repository: Repository, path: bytes, revision: str | None) -> None:
        self._repository = repository
        self._git = repository.git
        self._path = path
        self._versions = FileVersions(repository)
        self._gone: set[bytes] = set()
        self._revision = revision
        self._start = self._git.resolve(revision) if revision else self._git.head().commit

    def find(self) -> list[LastChange]:
        found: dict[bytes, LastChange] = {}
        if self._revision is None:
            found = self._uncommitted()
        known = found.keys() | self._gone
        wanted = [path for path in self._wanted() if path not in known]
        if not wanted and not found:
            if self._exists_as_directory():
                return []
            shown = self._path.decode("utf-8", "backslashreplace") or "/"
            raise NoSuchPath(f"no such path '{shown}' in {self._revision or 'the worktree'}")
        for commit, paths in self._walk(wanted):
            for path in paths:
                found[path] = self._change(commit, path)
        return [found[path] for path in sorted(found)]

    def _exists_as_directory(self) -> bool:
        if self._revision is None:
            return find_directory(self._versions.current.tree, self._path) is not None
        at = self._versions.ids.of(self._start, self._path)
        return at is not None and at[0]

    def _wanted(self) -> list[bytes]:
        """The paths in the commit to begin with: the one asked for, or what is in it."""
        if self._start is None:
            return []
        at = self._versions.ids.of(self._start, self._path)
        if at is None:
            return []
        if not at[0]:
            return [self._path]
        names = self._versions.ids.children(at)
        return [join(self._path, unescape(name)) for name in names]

    def _uncommitted(self) -> dict[bytes, LastChange]:
        """What differs from HEAD at or below the path; a path that is gone is none of it."""
        from envgit.porcelain.foundation.snapshot import uncommitted_runs

        current = self._versions.current
        directory = find_directory(current.tree, self._path)
        runs = None
        found: dict[bytes, LastChange] = {}
        for change in current.changes:
            at = _within(change.path, self._path, directory is not None)
            if at is None or at in found:
                continue
            entry = _at(current.tree, at)
            if entry is None:
                self._gone.add(at)
                continue
            if runs is None:
                runs = uncommitted_runs(self._repository, current)
            before = self._versions.any_entry(self._start, at) if self._start else None
            found[at] = LastChange(at, entry.kind, None, _what(before, entry), runs)
        return found

    def _walk(self, wanted: Sequence[bytes]) -> Iterable[tuple[CommitId, list[bytes]]]:
        """The commits that changed the paths, newest first, each with those it changed."""
        if self._start is None:
            return
        ticket = count()
        point = self._git.point
        waiting: dict[CommitId, set[bytes]] = {self._start: set(wanted)}
        queue = [(-point(self._start).time, next(ticket), self._start)]
        while queue:
            commit = heapq.heappop(queue)[2]
            paths = waiting.pop(commit, None)
            if not paths:
                continue
            for parent in point(commit).parents:
                same = self._unchanged(commit, parent, paths)
                if same:
                    if parent not in waiting:
                        heapq.heappush(queue, (-point(parent).time, next(ticket), parent))
                    waiting.setdefault(parent, set()).update(same)
                    paths -= same
                if not paths:
                    break
            if paths:
                yield commit, sorted(paths)

    def _unchanged(self, commit: CommitId, parent: CommitId, paths: set[bytes]) -> set[bytes]:
        """Those of the paths that are the same in both."""
        ids = self._versions.ids
        above = self._path
        if len(paths) > 1 and ids.of(commit, above) == ids.of(parent, above):
            return set(paths)
        return {path for path in paths if ids.of(commit, path) == ids.of(parent, path)}

    def _change(self, oid: CommitId, path: bytes) -> LastChange:
        commit = self._git.commit(oid)
        entry = self._versions.any_entry(oid, path)
        assert entry is not None  # it was there in a descendant that is the same
        before = self._versions.any_entry(commit.parents[0], path) if commit.parents else None
        return LastChange(
            path, entry.kind, commit, _what(before, entry), self._git.metadata(oid).runs
        )


def _within(path: bytes, above: bytes, is_directory: bool) -> bytes | None:
    """The path asked for, or the child of that directory, that ``path`` belongs to."""
    if not is_directory:
        return above if path == above else None
    prefix = above + b"/" if above else b""
    if not path.startswith(prefix) or path == above:
        return None
    return prefix + path[len(prefix) :].partition(b"/")[0]


def _at(tree: Directory, path: bytes) -> Entry | None:
    parent, _, name = path.rpartition(b"/")
    directory = find_directory(tree, parent)
    if directory is None:
        return None
    return directory.lookup(name) if path else tree.entry


_FIELDS = (
    ("target", "target"),
    ("rdev", "device"),
    ("mode", "mode"),
    ("mtime", "mtime"),
    ("xattrs", "xattrs"),
    ("hardlinks", "links"),
)


def _what(old: Entry | None, new: Entry) -> tuple[str, ...]:
    """Words for how an entry changed; a new mtime goes without saying when the content is new."""
    if old is None:
        return ("added",)
    if old.kind != new.kind:
        return ("type",)
    words = ["content"] if (old.sha256, old.size) != (new.sha256, new.size) else []
    words += [word for field, word in _FIELDS if getattr(old, field) != getattr(new, field)]
    if (old.uid, old.gid) != (new.uid, new.gid):
        words.append("owner")
    if len(words) > 1 and ("content" in words or "target" in words) and "mtime" in words:
        words.remove("mtime")
    return tuple(words) or ("entries",)


# Lines -----------------------------------------------------------------------------------------


def blame_lines(
    repository: Repository,
    path: str,
    revisions: Sequence[str] = (),
    query: LineQuery | None = None,
) -> LineBlame:
    """Which commit each line of a text file is from, as ``git blame``.

    ``revisions`` name one commit and perhaps what to leave out (``A..B``, ``^A``); none is the
    worktree. Raises NoSuchPath, NotText, ContentMissing, BadRange.
    """
    return _Lines(repository, plain_path(path), revisions, query or LineQuery()).run()


@dataclass(frozen=True, slots=True)
class _Origin:
    commit: CommitId | None
    path: bytes


_Group = tuple[int, int, int]
"""(first line in the final text, first line in the origin's text, how many lines)."""


class _Lines:
    def __init__(
        self, repository: Repository, path: bytes, revisions: Sequence[str], query: LineQuery
    ) -> None:
        self._repository = repository
        self._git = repository.git
        self._versions = FileVersions(repository)
        self._path = path
        self._query = query
        self._revisions = revisions
        self._waiting: dict[CommitId | None, dict[_Origin, list[_Group]]] = {}
        self._queue: list[tuple[int, int, CommitId | None]] = []
        self._ticket = count()
        self._previous: dict[_Origin, _Origin] = {}
        self._boundary: set[CommitId] = set()
        self._done: list[tuple[int, int, int, _Origin]] = []

    def run(self) -> LineBlame:
        start = self._find_start()
        origin = _Origin(start, self._path)
        lines = split(self._versions.text(start, self._path))
        self._give(origin, self._first_groups(lines))
        while self._queue:
            commit = heapq.heappop(self._queue)[2]
            for one, groups in self._waiting.pop(commit, {}).items():
                self._assign(one, groups)
        return LineBlame(self._path, lines, self._result())

    def _find_start(self) -> CommitId | None:
        shown = self._path.decode("utf-8", "backslashreplace")
        tips = tips_of(self._repository, self._revisions)
        positive = [one for one in self._revisions if not one.startswith("^")]
        self._excluded = tips.exclude
        if len(set(tips.include)) > 1:
            raise EnvgitError("More than one commit to dig from")
        if not positive:
            head = self._git.head().commit
            if head is None or self._versions.any_entry(head, self._path) is None:
                raise NoSuchPath(f"no such path '{shown}' in HEAD")
            if self._versions.any_entry(None, self._path) is None:
                raise NoSuchPath(f"Cannot lstat '{shown}': No such file or directory")
            return None
        start = tips.include[0]
        if self._versions.any_entry(start, self._path) is None:
            raise NoSuchPath(f"no such path {shown} in {positive[0].rpartition('..')[2]}")
        return start

    def _first_groups(self, lines: list[bytes]) -> list[_Group]:
        found = []
        anchor = 1
        name = self._path.decode("utf-8", "surrogateescape")
        for text in self._query.ranges or ("1,",):
            if not lines and not self._query.ranges:
                break
            span = parse_range(text, lines, anchor, name)
            anchor = span.end + 1
            found.append(span)
        return [(span.start, span.start, len(span)) for span in union(found)]

    def _give(self, origin: _Origin, groups: list[_Group]) -> None:
        if not groups:
            return
        here = self._waiting.get(origin.commit)
        if here is None:
            here = self._waiting[origin.commit] = {}
            when = 1 << 62 if origin.commit is None else self._git.point(origin.commit).time
            heapq.heappush(self._queue, (-when, next(self._ticket), origin.commit))
        here.setdefault(origin, []).extend(groups)

    @cached_property
    def _uninteresting(self) -> set[CommitId]:
        return set(self._git.walk(self._excluded)) if self._excluded else set()

    def _assign(self, origin: _Origin, groups: list[_Group]) -> None:
        commit = origin.commit
        if commit is not None:
            since = self._query.since
            old = since is not None and self._git.point(commit).time < since
            if old or commit in self._uninteresting:
                self._boundary.add(commit)
                self._keep(origin, groups)
                return
        left = self._pass(origin, groups)
        if commit is not None and not self._git.point(commit).parents and not self._query.root:
            self._boundary.add(commit)
        self._keep(origin, left)

    def _keep(self, origin: _Origin, groups: list[_Group]) -> None:
        self._done += [(*group, origin) for group in groups]

    def _parents(self, commit: CommitId | None) -> tuple[CommitId, ...]:
        if commit is not None:
            parents = self._git.point(commit).parents
        else:
            heads = (self._git.head().commit, self._git.ref("MERGE_HEAD"))
            parents = tuple(CommitId(oid) for oid in heads if oid is not None)
        return parents[:1] if self._query.first_parent else parents

    def _pass(self, origin: _Origin, groups: list[_Group]) -> list[_Group]:
        """Pass lines on to the parents; returns those that stay."""
        found: dict[int, tuple[_Origin, object]] = {}
        mine = self._content(origin)
        parents = self._parents(origin.commit)
        for renamed in (False, True):
            for index, parent in enumerate(parents):
                if index in found:
                    continue
                before = self._before(origin, parent, renamed=renamed)
                if before is None:
                    continue
                theirs = self._content(before)
                if theirs == mine:
                    self._give(before, groups)
                    return []
                if all(theirs != other for _, other in found.values()):
                    found[index] = (before, theirs)
        for _, (before, _) in sorted(found.items()):
            self._previous.setdefault(origin, before)
            between = chunks(
                self._text(before),
                self._text(origin),
                whitespace=self._query.whitespace,
                algorithm=self._query.algorithm,
            )
            groups, passed = passed_on(groups, between)
            self._give(before, passed)
            if not groups:
                break
        return groups

    def _before(self, origin: _Origin, parent: CommitId, *, renamed: bool) -> _Origin | None:
        """The file in the parent: of the same name, or under the one it was renamed from."""
        path: bytes | None = origin.path
        if renamed:
            path = self._versions.renamed_from(parent, origin.commit, origin.path)
        if path is None:
            return None
        old = self._versions.entry(parent, path)
        new = self._versions.entry(origin.commit, origin.path)
        if old is None or new is None or old.kind != new.kind:
            return None
        return _Origin(parent, path)

    def _content(self, origin: _Origin) -> tuple[str, str, bytes]:
        entry = self._versions.entry(origin.commit, origin.path)
        assert entry is not None  # origins are files
        return entry.kind, entry.sha256, entry.target

    def _text(self, origin: _Origin) -> bytes:
        return self._versions.data(origin.commit, origin.path)

    def _result(self) -> list[Blamed]:
        merged: list[tuple[int, int, int, _Origin]] = []
        for start, source, number, origin in sorted(self._done, key=lambda one: one[0]):
            if merged:
                last = merged[-1]
                follows = last[0] + last[2] == start and last[1] + last[2] == source
                if follows and last[3] == origin:
                    merged[-1] = (last[0], last[1], last[2] + number, origin)
                    continue
            merged.append((start, source, number, origin))
        return [self._blamed(*one) for one in merged]

    def _blamed(self, start: int, source: int, number: int, origin: _Origin) -> Blamed:
        before = self._previous.get(origin)
        previous = None
        if before is not None and before.commit is not None:
            previous = (before.commit, before.path)
        commit = self._git.git_commit(origin.commit) if origin.commit is not None else None
        boundary = origin.commit in self._boundary
        return Blamed(start, source, number, commit, origin.path, previous, boundary)
