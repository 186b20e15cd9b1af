# SPDX-License-Identifier: Apache-2.0
"""``bisect run``: a command decides, commit after commit or in several at once.

The worktree stays where it is until the end. What is found out is published after every round, so
whatever ends a run, the next one goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.layers.ids import CommitId
from envgit.porcelain.bisect import not_enough, quoted, record, require
from envgit.porcelain.foundation import session
from envgit.porcelain.foundation.carry import WouldOverwrite
from envgit.porcelain.foundation.occupants import WorktreeBusy
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.session import SKIP, Session, Step
from envgit.porcelain.foundation.trials import RunOptions, Trial, Trials
from envgit.repo import bisection

_SKIPS = 125
_CANNOT_RUN = (126, 127)
"""What a shell answers when it cannot run a command at all (POSIX sh, 2.8.2)."""


class RunFailed(EnvgitError):
    """The command ended in a way that is no verdict: by a signal, or with 128 or more."""

    prefix = "error"


class BogusExit(Refused):
    """The command cannot be run in a good commit either: it is misspelt, or not installed."""


class Unreliable(Refused):
    """Verdicts contradict one another: the test is flaky, or the change came more than once."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial and what it was taken for: the terms for good and bad, or ``skip``."""

    commit: CommitId
    verdict: str
    exit_code: int
    signal: int | None
    duration_ms: int
    timed_out: bool


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: ``step`` says what was found; the trials in order; how many rounds of them;
    ``duration_ms`` altogether."""

    step: Step
    trials: tuple[Tried, ...]
    rounds: int
    duration_ms: int


class Watch:
    """What a run tells while it goes on; does nothing by itself."""

    def at(self, commit: CommitId) -> None:
        """The next trial is in another commit than was proposed."""

    def running(self, argv: Sequence[str], count: int) -> None:
        """That many trials begin."""

    def tried(self, trial: Trial, verdict: str) -> None:
        """One has ended; its output, where it was kept."""

    def stepped(self, step: Step, terms: tuple[str, str]) -> None:
        """What follows from a round."""


def run(
    repository: Repository,
    argv: Sequence[str],
    *,
    options: RunOptions | None = None,
    host: bool = False,
    timeout: float | None = None,
    jobs: int = 1,
    repeat: int = 1,
    capture: bool = False,
    watch: Watch | None = None,
) -> RunResult:
    """Run ``argv`` in what bisection proposes until the first bad commit is found.

    Exit status 0 is good, 125 cannot be tested, others below 128 bad. ``jobs`` commits are tried at
    once; ``repeat``: each verdict takes that many equal results. ``timeout`` in seconds: a trial
    that takes longer counts as one that cannot be tested. ``options`` and ``host`` are those of
    Trials. ``capture`` gives what a trial writes to ``watch`` also where one runs at a time. Raises
    RunFailed, BogusExit, Unreliable, TrialFailed, NotBisecting, NotEnoughKnown.
    """
    if not argv:
        raise Refused("bisect run failed: no command provided.")
    for name, number in (("-j", jobs), ("--repeat", repeat)):
        if number < 1:
            raise UsageError(f"{name} takes a positive number, not {number}")
    if timeout is not None and not timeout > 0:  # nan is not, either
        raise UsageError(f"--timeout takes a positive number of seconds, not {timeout:g}")
    found = require(repository)
    if found.bad is None or not found.good:
        raise not_enough()
    with Trials(repository, argv, options=options, host=host, timeout=timeout) as trials:
        done = _Run(repository, argv, trials, watch or Watch())
        done.jobs, done.repeat, done.capture = jobs, repeat, capture
        return done.go(found)


def rounds_left(step: Step, jobs: int) -> int:
    """About how many rounds of ``jobs`` trials at once are left."""
    return bisection.rounds(step.total, jobs)


def _start(found: Session) -> str | None:
    """The line of the log that began a bisection."""
    return next((line for line in found.log if line.startswith("git bisect start")), None)


class _Run:
    """One run under way."""

    def __init__(
        self,
        repository: Repository,
        argv: Sequence[str],
        trials: Trials,
        watch: Watch,
    ) -> None:
        self._repository = repository
        self._argv = argv
        self._trials = trials
        self._watch = watch
        self.jobs, self.repeat, self.capture = 1, 1, False
        self._tried: list[Tried] = []
        self._rounds = 0
        self._verified = False

    def go(self, found: Session) -> RunResult:
        """Round after round."""
        began = time.monotonic()
        new, step = session.decide(self._repository, found, trials=self.jobs)
        try:
            while step.testing:
                verdicts = self._round(new, step.commits)
                new, step = self._conclude(new, verdicts)
        except BaseException:
            if self._rounds:
                self._stand_at(new, step)
            raise
        took = round((time.monotonic() - began) * 1000)
        return RunResult(step, tuple(self._tried), self._rounds, took)

    # -- trials -----------------------------------------------------------------------------

    def _round(self, found: Session, commits: Sequence[CommitId]) -> dict[CommitId, str]:
        """The verdict on each of ``commits``."""
        counts: dict[CommitId, Counter[str]] = {oid: Counter() for oid in commits}
        for _ in range(self.repeat):
            for trial in self._batch(found, commits):
                assert trial.commit is not None
                counts[trial.commit][self._verdict(found, trial)] += 1
        for oid, seen in counts.items():
            self._check_steady(oid, seen)
        return {oid: next(iter(seen)) for oid, seen in counts.items()}

    def _batch(self, found: Session, commits: Sequence[CommitId]) -> list[Trial]:
        self._watch.running(self._argv, len(commits))
        done = self._trials.run(commits, capture=self.capture or len(commits) > 1)
        for trial in done:
            assert trial.commit is not None
            verdict = self._verdict(found, trial, check=False)
            self._tried.append(
                Tried(
                    trial.commit,
                    verdict,
                    trial.exit_code,
                    trial.signal,
                    trial.duration_ms,
                    trial.timed_out,
                )
            )
            self._watch.tried(trial, verdict)
        return done

    def _verdict(self, found: Session, trial: Trial, *, check: bool = True) -> str:
        code = trial.exit_code
        if code == _SKIPS or trial.timed_out:
            return SKIP
        if code == 0:
            return found.good_term
        if not check:
            return found.bad_term if code < 128 else "none"
        if code in _CANNOT_RUN and not self._verified:
            self._verify(found, trial)
        if code >= 128:
            raise RunFailed(
                f"bisect run failed: exit code {code} from '{self._command()}' is < 0 or >= 128"
            )
        return found.bad_term

    def _verify(self, found: Session, trial: Trial) -> None:
        """That the command can be run where all is well, once: what cannot is no verdict."""
        assert trial.commit is not None
        good = found.good[0]
        self._watch.at(good)
        code = self._batch(found, [good])[0].exit_code
        self._watch.at(trial.commit)
        if code >= 128:
            raise BogusExit(f"unable to verify '{self._command()}' on {found.good_term} revision")
        if code:
            raise BogusExit(f"bogus exit code {code} for {found.good_term} revision")
        self._verified = True

    def _command(self) -> str:
        return "".join(f" {quoted(word)}" for word in self._argv)

    def _check_steady(self, oid: CommitId, seen: Counter[str], wanted: str | None = None) -> None:
        """Raise Unreliable unless all trials of a commit said the same, and what is wanted."""
        if len(seen) == 1 and wanted in (None, *seen):
            return
        counts = ", ".join(f"{count} {verdict}" for verdict, count in seen.most_common())
        what = "is flaky" if len(seen) > 1 else f"should be {wanted}"
        raise Unreliable(
            f"{oid} {what}: {counts} of {seen.total()} trials",
            hint="what was known before is kept; make the test steady, or 'bisect skip' the commit",
        )

    # -- verdicts ---------------------------------------------------------------------------

    def _conclude(self, found: Session, verdicts: dict[CommitId, str]) -> tuple[Session, Step]:
        """Publish a round's verdicts; what is known then, and what is next."""
        with self._repository.locked("bisect run"):
            # Somebody may have marked something meanwhile, or ended it.
            present = require(self._repository)
            if _start(present) != _start(found):
                raise Refused("another bisection was begun meanwhile; this run ends")
            present = replace(
                present, expected=found.expected, ancestors_ok=found.ancestors_ok, log=present.log
            )
            new = self._marked(present, verdicts)
            new, step = session.proceed(self._repository, new, trials=self.jobs)
            if step.outcome == "found" and self.repeat > 1:
                self._confirm(new, step.commits[0])
            self._publish(new, step)
        self._rounds += 1
        self._watch.stepped(step, (new.bad_term, new.good_term))
        return new, step

    def _marked(self, found: Session, verdicts: dict[CommitId, str]) -> Session:
        git = self._repository.git
        bads = [oid for oid, verdict in verdicts.items() if verdict == found.bad_term]
        goods = [oid for oid, verdict in verdicts.items() if verdict == found.good_term]
        for bad in bads:
            for good in goods:
                if git.is_ancestor(bad, good):
                    raise Unreliable(
                        f"{bad} is {found.bad_term}, but {good}, which comes after it, is"
                        f" {found.good_term}",
                        hint="the change came more than once, or the test is flaky (--repeat)",
                    )
        for oid, verdict in verdicts.items():
            if oid not in bads:
                found = found.marked(git, verdict, oid, log=True)
        # The last one counts: the one that leaves the fewest.
        left = {oid: sum(1 for _ in git.walk([oid], found.good)) for oid in bads}
        for oid in sorted(bads, key=lambda oid: (-left[oid], oid)):
            found = found.marked(git, found.bad_term, oid, log=True)
        return found

    def _confirm(self, new: Session, culprit: CommitId) -> None:
        """Once more, as often as asked for: the culprit is bad, and its parent is good."""
        wanted = {culprit: new.bad_term}
        parents = self._repository.git.point(culprit).parents
        if parents:
            wanted[parents[0]] = new.good_term
        for oid, verdict in wanted.items():
            seen: Counter[str] = Counter()
            for _ in range(self.repeat):
                seen[self._verdict(new, self._batch(new, [oid])[0])] += 1
            self._check_steady(oid, seen, verdict)

    # -- publishing -------------------------------------------------------------------------

    def _publish(self, new: Session, step: Step) -> None:
        """One operation. HEAD moves at the end alone; until then the record says what is next."""
        target = step.commits[0] if step.outcome == "found" else None
        try:
            record(self._repository, new, "bisect run", target)
        except (WouldOverwrite, WorktreeBusy) as error:
            record(self._repository, new, "bisect run", None)
            self._repository.notify(f"HEAD stays where it is: {error.message.splitlines()[0]}")

    def _stand_at(self, new: Session, step: Step) -> None:
        """A run that stops early leaves checked out what is to be tested next, as git does.

        Where that cannot be, the record goes on to say it.
        """
        if step.testing:
            with (
                suppress(WouldOverwrite, WorktreeBusy),
                self._repository.locked("bisect run"),
            ):
                record(self._repository, new, "bisect run", step.commits[0])
