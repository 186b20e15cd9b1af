# SPDX-License-Identifier: Apache-2.0
"""Finds lines that match a pattern in the files of the worktree or of any commits, as ``git grep``.

Contents are read from the layers, nothing is mounted. What most files hold is no match, so each is
searched as a whole first; lines are looked at only where that finds something. With several
processors, helpers do that first search. A file that several commits share is searched once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from envgit.layers.entry import join
from envgit.layers.filewalk import Listing, Walk, is_gone, read_and_close, read_at
from envgit.layers.ids import CommitId
from envgit.layers.pathspec import Pathspec
from envgit.porcelain.foundation import chain
from envgit.porcelain.foundation.patterns import BadPattern, PatternError, translate
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.workers import processors, work

LARGEST = 1 << 30
"""Bytes of a file that are searched at most."""
_LOOKED_AT = 8000
"""Bytes by which git tells binary files."""
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_MANY = 4_000
"""Files from which on helpers pay: a process costs some ten milliseconds."""
_SAMPLE = 100
"""Files that are searched to see whether matches are rare."""
_PIECES = 4
"""Jobs for each helper, so that none waits long for the last one."""
_KEPT = 8 << 20
"""Bytes of matching files of one directory that are kept instead of being read again."""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; git-grep's options.

    ``syntax`` is basic, extended, fixed or perl. ``binary`` says what happens to binary files:
    ``match`` (only whether they match), ``text`` (-a) or ``skip`` (-I). ``limit`` is the most
    matching lines a file. ``first`` is enough where only names are wanted. ``depth``: how many
    directories deep below each path, None for no limit. ``origin`` is how errors call a pattern.
    """

    patterns: tuple[str, ...]
    syntax: str = "basic"
    ignore_case: bool = False
    word: bool = False
    invert: bool = False
    binary: str = "match"
    limit: int | None = None
    first: bool = False
    depth: int | None = None
    origin: str = "-e option"
    spans: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A matching line: its ``number`` (from 1), where it is in the data, and the matches in it."""

    number: int
    start: int
    end: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FileHits:
    """A file with its matching lines; ``revision`` as it was given, None for the worktree.

    Of a binary file that is not searched as text, ``hits`` has the first line only. ``hits`` is
    empty for a file without a match, which is reported when ``without`` is asked for.
    """

    revision: str | None
    path: bytes
    data: bytes
    binary: bool
    hits: tuple[Hit, ...]


def grep(
    repository: Repository,
    search: Search | str,
    revisions: Sequence[str] = (),
    *,
    paths: Sequence[str | bytes] = (),
    without: bool = False,
) -> Iterator[FileHits]:
    """The files with lines that match, in the order of their paths, revision after revision.

    No revision is the worktree. ``without``: also the files with none. Raises BadPattern,
    MissingLayer, UnknownRevision.
    """
    if isinstance(search, str):
        search = Search((search,))
    finder = Finder(search)
    commits = [repository.git.resolve(revision) for revision in revisions]
    spec = Pathspec.parse(paths)
    stacks: list[tuple[str | None, tuple[str, ...]]] = []
    if not revisions:
        stacks.append((None, _worktree(repository)))
    stacks += [
        (revision, _stack(repository, commit))
        for revision, commit in zip(revisions, commits, strict=True)
    ]
    known: dict[int, bool] | None = {} if len(stacks) > 1 else None
    for name, stack in stacks:
        yield from _Search(finder, spec, stack, known, without=without, say=repository.notify).run(
            name
        )


def _worktree(repository: Repository) -> tuple[str, ...]:
    state = repository.worktree.state()
    upper = repository.store.upper_path(state.changes)
    return (upper, *chain.directories(repository, state.stack))


def _stack(repository: Repository, commit: CommitId) -> tuple[str, ...]:
    return chain.directories(repository, chain.present(repository, commit))


class Finder:
    """Finds matching lines in data; made once for all files."""

    def __init__(self, search: Search) -> None:
        self.search = search
        texts = [text for given in search.patterns for text in given.split("\n")]
        compiled = [self._compile(text) for text in texts]
        self._each = [one for one in compiled if one is not None]
        self._whole = self._combined(compiled)

    def _compile(self, text: str) -> re.Pattern[bytes] | None:
        search = self.search
        try:
            made = translate(text, syntax=search.syntax, ignore_case=search.ignore_case)
            flags = re.MULTILINE | (re.IGNORECASE if search.ignore_case else 0)
            return re.compile(made, flags)
        except PatternError as error:
            raise BadPattern(f"{search.origin}, '{text}': {error.message}") from error
        except (re.error, OverflowError, RecursionError) as error:
            raise BadPattern(f"{search.origin}, '{text}': {error}") from error

    def _combined(self, compiled: Sequence[re.Pattern[bytes] | None]) -> re.Pattern[bytes] | None:
        """One pattern for a whole file; None where matches might hold a newline, or groups would
        be counted wrongly."""
        if self.search.syntax == "perl" or not compiled:
            return None
        parts = [one for one in compiled if one is not None]
        if len(parts) == 1:
            return parts[0]
        if any(one.groups for one in parts):
            return None
        flags = re.MULTILINE | (re.IGNORECASE if self.search.ignore_case else 0)
        return re.compile(b"|".join(b"(?:" + one.pattern + b")" for one in parts), flags)

    def any(self, data: bytes) -> bool:
        """Whether any line is one to show."""
        if self._whole is None or self.search.invert or self.search.word:
            return next(self.lines(data), None) is not None
        found = self._whole.search(data)
        if found is None:
            return False
        # What matches only behind the last newline is in no line.
        return found.start() < len(data) or not (not data or data.endswith(b"\n"))

    def lines(self, data: bytes) -> Iterator[Hit]:
        """The lines to show."""
        if self.search.limit == 0:
            return
        found = self._by_line(data) if self._whole is None else self._by_match(data)
        if self.search.invert:
            found = self._others(data, found)
        for many, hit in enumerate(found, 1):
            yield hit
            if many == self.search.limit:
                return

    def _by_match(self, data: bytes) -> Iterator[Hit]:
        pattern = self._whole
        assert pattern is not None
        size, at, number, counted = len(data), 0, 1, 0
        while at < size:
            match = pattern.search(data, at)
            if match is None or (match.start() == size and data.endswith(b"\n")):
                return
            start = data.rfind(b"\n", 0, match.start()) + 1
            end = data.find(b"\n", match.start())
            end = size if end < 0 else end
            at = end + 1
            if self.search.word and not self._in_line(pattern, data[start:end]):
                continue
            number += data.count(b"\n", counted, start)
            counted = start
            yield Hit(number, start, end, self._spans(data, start, end))

    def _spans(self, data: bytes, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The matches in one line, leftmost first, up to the first empty one, as git."""
        if not self.search.spans:
            return ()
        line = data[start:end]
        patterns = self._each if self._whole is None else (self._whole,)
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(line):
            matches = [one for one in (self._find(each, line, at) for each in patterns) if one]
            if not matches:
                break
            best = min(matches, key=lambda one: (one[0], -one[1]))
            at = best[1]
            if best[0] == at:
                break
            found.append(best)
        return tuple(found)

    def _by_line(self, data: bytes) -> Iterator[Hit]:
        start, number, size = 0, 1, len(data)
        while start < size:
            end = data.find(b"\n", start)
            end = size if end < 0 else end
            line = data[start:end]
            if any(self._in_line(pattern, line) for pattern in self._each):
                yield Hit(number, start, end, self._spans(data, start, end))
            start, number = end + 1, number + 1

    def _in_line(self, pattern: re.Pattern[bytes], line: bytes) -> bool:
        return self._find(pattern, line, 0) is not None

    def _find(self, pattern: re.Pattern[bytes], line: bytes, at: int) -> tuple[int, int] | None:
        """The first match in a line from ``at`` on; with ``word`` the first that is a word.

        As git (grep.c, match_one_pattern): a match that is none is not made shorter, the search
        goes on behind the next character that is part of no word.
        """
        while True:
            found = pattern.search(line, at)
            if found is None or not self.search.word:
                return None if found is None else found.span()
            start, end = found.span()
            begins = start == at or line[start - 1] not in _WORD
            if start != end and begins and (end == len(line) or line[end] not in _WORD):
                return start, end
            at = start + 1
            while at < len(line) and line[at - 1] in _WORD:
                at += 1
            if at >= len(line):
                return None

    def _others(self, data: bytes, matching: Iterator[Hit]) -> Iterator[Hit]:
        start, number, size = 0, 1, len(data)
        following = next(matching, None)
        while start < size:
            end = data.find(b"\n", start)
            end = size if end < 0 else end
            if following is not None and following.start == start:
                following = next(matching, None)
            else:
                yield Hit(number, start, end, ())
            start, number = end + 1, number + 1


class _Search:
    """The search of one stack of layers."""

    def __init__(
        self,
        finder: Finder,
        spec: Pathspec,
        stack: Sequence[str],
        known: dict[int, bool] | None,
        *,
        without: bool,
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._finder = finder
        self._spec = spec
        self._stack = stack
        self._known = known
        self._without = without
        self._binary = finder.search.binary
        plain = spec.plain() if spec else [b""]
        self._tops = [top for top in plain or [b""]]

    def run(self, revision: str | None) -> Iterator[FileHits]:
        wanted = self._spec.may_match_beneath if self._spec else None
        with Walk(self._stack, self._within_depth(wanted)) as walk:
            listings = [self._picked(one) for one in walk.listings()]
            if self._known is None or not self._known:
                self._search_at_once(walk, listings)
            held: list[FileHits] = []
            for listing in listings:
                # git's order is that of whole paths: what sorts before this directory can go.
                here = listing.path + b"/" if listing.path else b""
                yield from _release(held, here)
                for (name, layer, _), data in self._matching(walk, listing):
                    path = join(listing.path, name)
                    if data is None:
                        data = self._again(walk, path, layer)
                    if data is not None:
                        held.append(self._look(revision, path, data))
                held.sort(key=lambda one: one.path)
            yield from held

    def _picked(self, listing: Listing) -> Listing:
        """The directory with those files that the path specifications pick."""
        spec = self._spec
        if spec:
            path = listing.path
            listing.files = [one for one in listing.files if spec.matches(join(path, one[0]))]
        return listing

    def _search_at_once(self, walk: Walk, listings: list[Listing]) -> None:
        """Where there is much to search, let helpers find the files that match, and keep those."""
        helpers = processors()
        total = sum(len(one.files) for one in listings)
        if helpers < 2 or total < _MANY or self._without or self._finder.search.invert:
            return
        if self._most_match(walk, listings):
            return  # what helpers find is read once more here
        jobs, start, size = [], 0, 0
        for end, listing in enumerate(listings, 1):
            size += len(listing.files)
            if size >= total // (helpers * _PIECES) or end == len(listings):
                jobs.append(partial(self._job, walk, listings[start:end], start))
                start, size = end, 0
        found: dict[int, set[int]] = {}
        for results in work(jobs, workers=helpers, tick=lambda *_: None):
            for number, names in results:
                found[number] = set(names)
        for number, listing in enumerate(listings):
            keep = found.get(number, set())
            if self._known is not None:
                self._known |= {
                    inode: place in keep
                    for place, (_, layer, inode) in enumerate(listing.files)
                    if layer > 0
                }
            listing.files = [listing.files[place] for place in sorted(keep)]

    def _most_match(self, walk: Walk, listings: Sequence[Listing]) -> bool:
        """Whether of the first files one in four has a match."""
        searched = matching = 0
        for listing in listings:
            searched += len(listing.files)
            matching += sum(1 for _ in self._matching(walk, listing))
            if searched >= _SAMPLE:
                break
        return matching * 4 > searched

    def _job(
        self, walk: Walk, listings: Sequence[Listing], first: int, tick: object
    ) -> Iterator[tuple[int, list[int]]]:
        """The numbers of the directories with matching files, and those files' places in them."""
        for number, listing in enumerate(listings, first):
            places = {one[0]: place for place, one in enumerate(listing.files)}
            names = [places[one[0]] for one, _ in self._matching(walk, listing)]
            if names:
                yield number, names

    def _within_depth(
        self, wanted: Callable[[bytes], bool] | None
    ) -> Callable[[bytes], bool] | None:
        depth = self._finder.search.depth
        if depth is None:
            return wanted
        tops = self._tops

        def within(path: bytes) -> bool:
            if wanted is not None and not wanted(path):
                return False
            below = [top for top in tops if not top or path == top or path.startswith(top + b"/")]
            if not below:
                return True  # on the way to one
            rest = min(path[len(top) :].strip(b"/").count(b"/") + (path != top) for top in below)
            return rest <= depth

        return within

    def _matching(
        self, walk: Walk, listing: Listing
    ) -> Iterator[tuple[tuple[bytes, int, int], bytes | None]]:
        """The files of a directory that are to be reported, with their data where it was kept."""
        kept = 0
        known, find = self._known, self._finder.any
        fds: dict[int, int] = {}
        try:
            for file in listing.files:
                name, layer, inode = file
                if known is not None and not known.get(inode, True) and not self._without:
                    continue
                if layer not in fds:
                    fds[layer] = walk.directory(listing.path, layer)
                try:
                    data = read_at(fds[layer], name, LARGEST)
                except OSError:
                    yield file, None  # said where it is read again
                    continue
                if data is None:
                    continue
                skipped = self._binary == "skip" and b"\0" in data[:_LOOKED_AT]
                hit = not skipped and find(data)
                if known is not None and layer > 0:
                    known[inode] = hit
                if hit or (self._without and not skipped):
                    kept += len(data)
                    yield file, data if kept <= _KEPT else None
        except OSError as error:
            if not is_gone(error):
                raise
        finally:
            for fd in fds.values():
                os.close(fd)

    def _again(self, walk: Walk, path: bytes, layer: int) -> bytes | None:
        try:
            return read_and_close(walk.open(path, layer), LARGEST)
        except OSError as error:
            if not is_gone(error):
                self._say(f"error: '{os.fsdecode(path)}': {error.strerror}")
            return None

    def _look(self, revision: str | None, path: bytes, data: bytes) -> FileHits:
        binary = self._binary != "text" and b"\0" in data[:_LOOKED_AT]
        hits = self._finder.lines(data)
        if self._finder.search.first:
            first = next(hits, None)
            return FileHits(revision, path, data, binary, () if first is None else (first,))
        return FileHits(revision, path, data, binary, tuple(hits))


def _release(held: list[FileHits], here: bytes) -> Iterator[FileHits]:
    """Those of ``held``, which is sorted, that come before everything in ``here``."""
    count = 0
    while count < len(held) and held[count].path < here:
        count += 1
    done = held[:count]
    del held[:count]
    yield from done
