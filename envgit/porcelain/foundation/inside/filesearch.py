# SPDX-License-Identifier: Apache-2.0
"""Which changed files of a package make a command fail, where single files can be told from it.

Half a package fails in ways of its own, so that only the very same failure counts as one, and all
others are unresolved. What the failure's output names is tried first. Where files alone do not
bring the failure back, those may be found that mend it when they alone are put back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from envgit.porcelain.foundation.inside.isolation import (
    Cause,
    Changes,
    Outcome,
    OverLimit,
    Search,
    Test,
)

_PATIENCE = 3
"""So many mixtures that fail otherwise say that this package is one thing: a guess."""

_LIMIT = 20
"""Trials in all. The package is known, and somebody waits: some packages, of which any part fails,
would be taken apart file by file."""

_MOST = 4
"""So many files, or sets of them, are looked for that do it each by itself."""


@dataclass(frozen=True, slots=True)
class Files:
    """What was found among ``of`` changed files.

    With each of ``causes`` alone, and what the manager's database says, the command fails in the
    same way, and with all files but them it succeeds; there are none where that could not be
    verified. Then ``mending`` may be files that make it succeed when they are put back.
    """

    causes: tuple[tuple[bytes, ...], ...] = ()
    mending: tuple[bytes, ...] = ()
    of: int = 0
    trials: int = 0

    @property
    def verified(self) -> bool:
        """Whether files could be told from the package as a whole."""
        return bool(self.causes)


def find_files(
    files: Sequence[tuple[bytes, ...]], test: Test, output: bytes, *, jobs: int
) -> Files:
    """The files, each with what is made of it, without which the command would not fail.

    ``test`` says how it goes with some of them (by place); with all it fails. ``output`` is what
    the command wrote then.
    """
    return _FileSearch(files, test, output, jobs).found()


class _FileSearch:
    """One search."""

    def __init__(
        self, files: Sequence[tuple[bytes, ...]], test: Test, output: bytes, jobs: int
    ) -> None:
        self._files = files
        self._jobs = jobs
        self._all = frozenset(range(len(files)))
        self._order, self._named = _by_mention(files, output)
        self._limit = min(2 * math.ceil(math.log2(len(files) + 1)) + 6, _LIMIT - 2)
        self._states = Search(test, jobs=jobs, limit=_LIMIT)
        self._states.learn(self._all, Outcome.FAILS)

    def found(self) -> Files:
        """The files that do it, or else those that mend it."""
        try:
            return self._found(len(self._files))
        except OverLimit:
            return Files(of=len(self._files))

    def _found(self, total: int) -> Files:
        if self._states.ask(frozenset()) != [Outcome.PASSES]:
            return Files(of=total)  # what the database says is enough to make it fail
        if total == 1:
            return Files((self._files[0],), of=total)
        search = self._search(self._states.ask_all)
        found = search.isolate(self._among(search), most=_MOST)
        causes = tuple(self._paths(cause.changes) for cause in found.causes)
        whole = any(len(cause.changes) == total for cause in found.causes)
        clear = all(cause.complete and not cause.undecided for cause in found.causes)
        if clear and not whole and self._passes_without(found.causes):
            return Files(causes, of=total)
        search = self._search(self._mended)
        mends = search.smallest(self._among(search))
        if not mends.complete or mends.undecided or len(mends.changes) == total:
            return Files(of=total)
        mending = self._paths(mends.changes)
        if self._states.ask(frozenset(mends.changes)) == [Outcome.FAILS]:
            return Files((mending,), of=total)
        return Files(mending=mending, of=total)

    def _search(self, test: Test) -> Search:
        search = Search(test, jobs=self._jobs, limit=self._limit, patience=_PATIENCE)
        search.learn(self._all, Outcome.FAILS)
        search.learn(frozenset(), Outcome.PASSES)
        return search

    def _among(self, search: Search) -> list[int]:
        """Those that are named, if they are enough; else all, in an order that begins with them."""
        named = self._order[: self._named]
        few = 0 < len(named) < len(self._order)
        if few and search.ask(frozenset(named)) == [Outcome.FAILS]:
            return named
        return self._order

    def _passes_without(self, causes: Sequence[Cause]) -> bool:
        taken = {change for cause in causes for change in cause.changes}
        return self._states.ask(self._all - taken) == [Outcome.PASSES]

    def _mended(self, sets: Sequence[Changes]) -> list[Outcome]:
        """How it goes without the sets, where success is what is looked for."""
        swapped = {Outcome.PASSES: Outcome.FAILS, Outcome.FAILS: Outcome.PASSES}
        found = self._states.ask_all([self._all - each for each in sets])
        return [swapped.get(one, one) for one in found]

    def _paths(self, places: Sequence[int]) -> tuple[bytes, ...]:
        return tuple(sorted(path for place in places for path in self._files[place]))


def _by_mention(files: Sequence[tuple[bytes, ...]], output: bytes) -> tuple[list[int], int]:
    """The places of files, those first that the output names (the last one first, as it is the
    nearest), and how many it names."""
    last = [max(output.rfind(b"/" + path) for path in paths) for paths in files]
    order = sorted(range(len(files)), key=lambda place: -last[place])
    return order, sum(place >= 0 for place in last)
