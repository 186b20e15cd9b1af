# SPDX-License-Identifier: Apache-2.0
"""``bisect inside``: which packages of a commit make a command fail, and which of their files.

The command is tried in the commit, in its parent, and in states between them that have some of the
commit's changes (candidates.py); which, the search decides (isolation.py). Nothing moves, nothing
is installed, and nothing is left of a candidate once it was tried.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.layers.entry import Entry, find_entry
from envgit.layers.ids import CommitId
from envgit.porcelain.bisect import quoted
from envgit.porcelain.bisectrun import BogusExit, RunFailed, Unreliable
from envgit.porcelain.foundation import session, snapshot
from envgit.porcelain.foundation.inside.candidates import Candidates, End, Piece, remembering
from envgit.porcelain.foundation.inside.filesearch import Files, find_files
from envgit.porcelain.foundation.inside.isolation import Cause, Changes, Outcome, Search
from envgit.porcelain.foundation.inside.verdicts import NONE, Tried, alike, judged, outcome_of
from envgit.porcelain.foundation.merging import Side
from envgit.porcelain.foundation.plaintext import plain
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.ranges import sides_of, split_range
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.trials import Layered, RunOptions, Subject, Trial, Trials

_CANNOT_RUN = (126, 127)

_MOST_CAUSES = 8
"""So many are looked for, one after the other, while the rest goes on to fail."""

_KEPT = 1 << 16
"""Bytes of what a trial writes, from its end, in which files may be named."""

_FOLDERS = ("usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin")


class Ambiguous(EnvgitError):
    """A word that names a commit and a command."""


class NotInside(Refused):
    """It does not fail in the commit alone: nothing inside it can be to blame."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Changes that together make the command fail.

    ``along`` had to come with them and does not make it fail; ``bound`` cannot be told from them.
    ``undecided`` are those without which it could not be tested; ``minimal`` that none can be left
    out. ``alone`` is the trial with nothing else; ``same`` that it fails there as in the commit.
    """

    pieces: tuple[Piece, ...]
    along: tuple[Piece, ...]
    bound: tuple[Piece, ...]
    undecided: tuple[Piece, ...]
    minimal: bool
    alone: Tried
    same: bool
    files: Files | None = None


@dataclass(frozen=True, slots=True)
class InsideResult:
    """What was found. ``commit`` None is the worktree; ``total`` how many changes there were.
    ``without`` is how it goes with everything but the culprits, ``left_out``, which needs them, and
    ``going_along``, with which it cannot be tested then; ``there`` the trial in the commit itself.
    """

    commit: CommitId | None
    parent: CommitId
    total: int
    there: Tried
    culprits: tuple[Culprit, ...]
    without: Outcome
    left_out: tuple[Piece, ...]
    going_along: tuple[Piece, ...]
    trials: tuple[Tried, ...] = ()
    rounds: int = 0
    duration_ms: int = 0

    @property
    def verified(self) -> bool:
        """Whether each culprit alone fails, with nothing to spare, and everything else passes."""
        whole = all(one.minimal and not one.undecided for one in self.culprits)
        return whole and self.without is Outcome.PASSES

    @property
    def status(self) -> int:
        """The exit status: 2 if something could not be decided, as of ``bisect run``."""
        return 0 if self.verified else 2


class Watch:
    """What a search tells while it goes on; does nothing by itself."""

    def begins(self, commit: CommitId | None, parent: CommitId, argv: Sequence[str]) -> None:
        """What is looked into."""

    def searching(self, what: str, count: int) -> None:
        """So many changes, or files, are searched now."""

    def tried(self, number: int, tried: Tried, trial: Trial) -> None:
        """A trial has ended."""

    def isolated(self, result: InsideResult) -> None:
        """What it is; only files are still to be looked for."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a search goes on: ``jobs`` trials at once; ``repeat`` equal results for each verdict;
    ``same``: a failure counts if it ends as in the commit, else it is no verdict; ``files``: look
    into the culprits, too."""

    jobs: int = 1
    repeat: int = 1
    same: bool = False
    files: bool = True


def inside(
    repository: Repository,
    argv: Sequence[str],
    *,
    revision: str | None = None,
    options: RunOptions | None = None,
    host: bool = False,
    timeout: float | None = None,
    rules: Rules | None = None,
    watch: Watch | None = None,
) -> InsideResult:
    """Find the changes of ``revision`` that make ``argv`` fail.

    A range ``A..B`` is what changed from A to B; the default is what the bisection under way has
    found, or without a bisection what is uncommitted. Exit statuses mean what they mean to
    bisectrun, but for a candidate that crashes: that is no verdict. What was found is noted in the
    bisection's log if it is the bisection's commit. Raises NotInside, RunFailed, BogusExit,
    Unreliable, TrialFailed.
    """
    rules = rules or Rules()
    if not argv:
        raise Refused("bisect inside failed: no command provided.")
    for name, number in (("-j", rules.jobs), ("--repeat", rules.repeat)):
        if number < 1:
            raise UsageError(f"{name} takes a positive number, not {number}")
    if timeout is not None and not timeout > 0:
        raise UsageError(f"--timeout takes a positive number of seconds, not {timeout:g}")
    old, new = _ends(repository, revision)
    assert old.commit is not None
    watch = watch or Watch()
    watch.begins(new.commit, old.commit, argv)
    with Trials(repository, argv, options=options, host=host, timeout=timeout) as trials:
        search = _Inside(trials, Candidates(repository, old, new), (old, new), rules, watch)
        result = search.go(argv)
    _note(repository, result)
    return result


def splits(repository: Repository, words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """A commit or range, if the first of ``words`` is one, and the command. Raises Ambiguous."""
    if len(words) < 2:
        return None, words
    first, *rest = words
    if rest[0] == "--":
        return first, rest[1:]
    try:
        sides_of(repository, [first], merge_base=False)
    except EnvgitError:
        return None, words
    head = repository.git.head().commit
    tree = repository.git.rootfs(head) if head is not None else None
    if tree is not None and "/" not in first:
        places = (os.fsencode(f"{folder}/{first}") for folder in _FOLDERS)
        if any(find_entry(tree, place) is not None for place in places):
            raise Ambiguous(
                f"ambiguous argument '{first}': both revision and command",
                hint=f"envgit bisect inside {first} -- <command>, or: envgit bisect inside --"
                f" {first} ...",
            )
    if rest[0].startswith("-"):
        raise UsageError(
            f"'{rest[0]}' is no command", hint="options go before the commit, the command after it"
        )
    return first, rest


# -- what is looked into --------------------------------------------------------------------------


def _ends(repository: Repository, revision: str | None) -> tuple[End, End]:
    """What was before, and what is looked into."""
    git = repository.git
    known: dict[bytes, Entry] = {}  # the same entries are compared for candidate after candidate
    if revision is None:
        found = session.read(repository)
        if found is None:
            return _uncommitted(repository, known)
        new = _found(repository, found)
    elif split_range(revision) is not None:
        sides = sides_of(repository, [revision], merge_base=False)
        assert sides.old is not None and sides.new is not None
        return _end(repository, sides.old, known), _end(repository, sides.new, known)
    else:
        new = git.resolve(revision)
    parents = git.point(new).parents
    if not parents:
        raise NotInside(f"{git.abbrev(new)} is a first commit: there is nothing it changes")
    return _end(repository, parents[0], known), _end(repository, new, known)


def _end(repository: Repository, commit: CommitId, known: dict[bytes, Entry]) -> End:
    git = repository.git
    side = Side.of_commit(repository, commit, git.abbrev(commit))
    side = remembering(side, git.rootfs(commit).remembering(known))
    name = f"{git.abbrev(commit)} ({git.git_commit(commit).subject})"
    return End(commit, side, git.metadata(commit).config, name)


def _uncommitted(repository: Repository, known: dict[bytes, Entry]) -> tuple[End, End]:
    current = snapshot.describe(repository)
    head = current.head.commit
    if head is None or not current.changes:
        raise NotInside(
            "there is nothing to look into: no bisection has found a commit, and nothing is"
            " uncommitted",
            hint="name a commit: envgit bisect inside <commit> <command>",
        )
    side = Side.of_current(repository, current, "worktree")
    return _end(repository, head, known), End(None, side, current.state.config, "the worktree")


def _found(repository: Repository, found: session.Session) -> CommitId:
    """The first bad commit, once the bisection under way knows it. Raises NotInside until then."""
    if found.bad is not None and found.good:
        _, step = session.decide(repository, found)
        if step.outcome == "found":
            return step.commits[0]
    raise NotInside(
        "the bisection has not found a commit yet",
        hint="'envgit bisect run' finds it; or name one: envgit bisect inside <commit> <command>",
    )


def _note(repository: Repository, result: InsideResult) -> None:
    """Write into the log of the bisection what was found inside its commit."""
    found = session.read(repository)
    if found is None or found.bad is None or result.commit != found.bad:
        return
    lines = [
        f"# inside {result.commit}: {' and '.join(plain(piece.title) for piece in one.pieces)}"
        for one in result.culprits
    ]
    with repository.locked("bisect inside"):
        found = session.read(repository)
        if found is None or found.bad != result.commit:
            return
        new = replace(found, log=(*found.log, *lines))
        writer = repository.git.writer()
        refs = session.updates(repository, writer, new)
        publish(
            repository,
            writer,
            Publication(verb="bisect", description="bisect inside", refs=refs),
        )


# -- the search -----------------------------------------------------------------------------------


class _Inside:
    """One search under way."""

    def __init__(
        self,
        trials: Trials,
        candidates: Candidates,
        ends: tuple[End, End],
        rules: Rules,
        watch: Watch,
    ) -> None:
        self._trials = trials
        self._candidates = candidates
        self._old, self._new = ends
        self._rules = rules
        self._watch = watch
        self._done: list[Tried] = []
        self._rounds = 0
        self._tests: dict[Changes, Tried] = {}
        self._outputs: dict[Changes, bytes] = {}
        self._written: list[bytes] = []
        self._command = ""

    def go(self, argv: Sequence[str]) -> InsideResult:
        """Both ends first, then what is between."""
        began = time.monotonic()
        self._command = "".join(f" {quoted(word)}" for word in argv)
        there = self._check_ends()
        pieces = self._candidates.pieces
        if not pieces:
            raise Unreliable(
                f"{self._new.name} changes nothing, and yet the command fails in it alone",
                hint="make the test steady: it must end in the same way each time",
            )
        everything = frozenset(range(len(pieces)))
        search = Search(
            self._test,
            jobs=self._rules.jobs,
            closed=self._candidates.closed,
            opened=self._candidates.opened,
        )
        search.learn(everything, Outcome.FAILS)
        search.learn(frozenset(), Outcome.PASSES)
        self._tests[everything] = there
        self._outputs[everything] = self._written[0]
        self._watch.searching("changes", len(pieces))
        found = search.isolate(range(len(pieces)), most=_MOST_CAUSES)
        without, more = found.without, search.untestable(found, range(len(pieces)))
        without = Outcome.PASSES if more else without
        assert self._old.commit is not None
        result = InsideResult(
            commit=self._new.commit,
            parent=self._old.commit,
            total=len(pieces),
            there=there,
            culprits=tuple(self._culprit(cause, there) for cause in found.causes),
            without=without,
            left_out=self._pieces(found.left_out),
            going_along=self._pieces(more),
        )
        self._watch.isolated(result)
        pairs = zip(result.culprits, found.causes, strict=True)
        return replace(
            result,
            culprits=tuple(replace(one, files=self._files(one, cause)) for one, cause in pairs),
            trials=tuple(self._done),
            rounds=self._rounds,
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    def _check_ends(self) -> Tried:
        """That it fails in the commit and succeeds in its parent. Raises NotInside and others."""
        subjects: list[tuple[Subject, str, int]] = [
            (self._new.commit, self._new.name, 1),
            (self._old.commit, self._old.name, 0),
        ]
        batches = [subjects] if self._rules.jobs > 1 else [[one] for one in subjects]
        tried: list[Tried] = []
        for batch in batches:
            tried += self._try(batch, ends=True)
            if len(tried) == 1 and tried[0].exit_code == 0:
                break
        there = tried[0]
        if there.exit_code == 0:
            raise NotInside(
                f"the command succeeds in {self._new.name}",
                hint="it has to fail there, and to succeed in what was before",
            )
        before = tried[1]
        self._check_verdict(there, self._new)
        if before.exit_code in _CANNOT_RUN:
            raise BogusExit(f"bogus exit code {before.exit_code} for {self._old.name}")
        self._check_verdict(before, self._old)
        if before.exit_code:
            raise NotInside(f"the command fails in {self._old.name}, too")
        return there

    def _check_verdict(self, tried: Tried, end: End) -> None:
        if tried.exit_code >= 128 and not tried.timed_out:
            raise RunFailed(
                f"bisect inside failed: exit code {tried.exit_code} from '{self._command}' in"
                f" {end.name} is < 0 or >= 128",
                hint="if that is the failure that is looked for: sh -c '<command> || exit 1'",
            )
        if tried.verdict == Outcome.UNRESOLVED.value:
            why = "takes longer than --timeout" if tried.timed_out else "exits with 125"
            raise NotInside(f"the command cannot be tested in {end.name}: it {why}")

    def _culprit(self, cause: Cause, there: Tried) -> Culprit:
        alone = self._tests[frozenset((*cause.changes, *cause.bound, *cause.along))]
        changes, bound = self._candidates.named(cause.changes, cause.bound)
        return Culprit(
            pieces=self._pieces(changes),
            along=self._pieces(cause.along),
            bound=self._pieces(bound),
            undecided=self._pieces(cause.undecided),
            minimal=cause.complete,
            alone=alone,
            same=alike(alone, there),
        )

    def _pieces(self, places: Sequence[int]) -> tuple[Piece, ...]:
        """Those that somebody asked for first."""
        found = [self._candidates.pieces[place] for place in places]
        return tuple(sorted(found, key=lambda piece: piece.reason != "manual"))

    def _files(self, culprit: Culprit, cause: Cause) -> Files | None:
        packages = any(piece.is_package for piece in (*culprit.pieces, *culprit.bound))
        if not self._rules.files or not packages or not cause.complete:
            return None
        core = frozenset(cause.changes).union(cause.bound)
        whole, alone = core.union(cause.along), culprit.alone
        files = self._candidates.files(sorted(core))
        if not files:
            return None
        before = len(self._done)
        names = " and ".join(plain(piece.title) for piece in self._pieces(sorted(core)))
        self._watch.searching(f"file{'s' * (len(files) != 1)} of {names}", len(files))

        def test(sets: Sequence[Changes]) -> list[Outcome]:
            batch = []
            for each in sets:
                paths = [path for number in each for path in files[number]]
                what = _share(len(each), len(files), "file")
                subject = self._candidates.partly(whole, core, paths, what)
                batch.append((subject, what, len(each)))
            return [outcome_of(tried, like=alone) for tried in self._try(batch)]

        found = find_files(files, test, self._outputs[whole], jobs=self._rules.jobs)
        return replace(found, trials=len(self._done) - before)

    # -- trials -----------------------------------------------------------------------------------

    def _test(self, sets: Sequence[Changes]) -> list[Outcome]:
        batch = []
        for each in sets:
            what = self._described(each)
            batch.append((self._candidates.subject(each, what), what, len(each)))
        found = self._try(batch)
        self._tests.update(zip(sets, found, strict=True))
        self._outputs.update(zip(sets, self._written, strict=True))
        like = self._tests[frozenset(range(len(self._candidates.pieces)))]
        return [outcome_of(tried, like=like if self._rules.same else None) for tried in found]

    def _try(self, batch: Sequence[tuple[Subject, str, int]], *, ends: bool = False) -> list[Tried]:
        """Run the command in each of the states, as often as is asked for."""
        rounds = [self._round(batch) for _ in range(self._rules.repeat)]
        for several in zip(*rounds, strict=True):
            seen = Counter(tried.verdict for tried in several)
            if len(seen) > 1:
                counts = ", ".join(f"{count} {verdict}" for verdict, count in seen.most_common())
                raise Unreliable(
                    f"{several[0].what} is flaky: {counts} of {len(several)} trials",
                    hint="make the test steady",
                )
        for tried in rounds[-1]:
            if tried.verdict == NONE and not ends:
                raise RunFailed(
                    f"bisect inside failed: exit code {tried.exit_code} from '{self._command}' is"
                    " < 0 or >= 128"
                )
        return rounds[-1]

    def _round(self, batch: Sequence[tuple[Subject, str, int]]) -> list[Tried]:
        self._rounds += 1
        prepared = self._candidates.prepared
        prepared.clear()
        done = self._trials.run([subject for subject, _, _ in batch], capture=True)
        self._written = [trial.output[-_KEPT:] for trial in done]
        found = []
        for (subject, what, count), trial in zip(batch, done, strict=True):
            ms = round(prepared.pop(0) * 1000) if isinstance(subject, Layered) else 0
            tried = judged(trial, what, count, ms)
            self._done.append(tried)
            self._watch.tried(len(self._done), tried, trial)
            found.append(tried)
        return found

    def _described(self, changes: Changes) -> str:
        """What a candidate has, in words."""
        pieces = self._candidates.pieces
        if len(changes) == 1:
            return f"{pieces[min(changes)].title} alone"
        if len(changes) == len(pieces) - 1:
            missing = frozenset(range(len(pieces))) - changes
            return f"everything but {pieces[min(missing)].title}"
        return _share(len(changes), len(pieces), "change")


def _share(count: int, total: int, what: str) -> str:
    return f"{count} of {total} {what}{'s' * (total != 1)}"
