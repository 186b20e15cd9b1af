# SPDX-License-Identifier: Apache-2.0
"""`bisect`: its subcommands, with git's words on git's streams; what a run shows meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.inside import inside
from envgit.cli.running import environment_options
from envgit.cli.tokens import AskedForHelp
from envgit.cli.verb import (
    Function,
    Group,
    Verb,
    argument,
    execute,
    flag,
    json_flag,
    section,
    value,
    verb,
)
from envgit.porcelain import bisect
from envgit.porcelain.bisectrun import RunResult, Watch
from envgit.porcelain.bisectrun import run as run_trials
from envgit.porcelain.foundation import session

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.porcelain.bisect import Went
    from envgit.porcelain.foundation.session import Step
    from envgit.porcelain.foundation.trials import Trial

_LISTED = 40
"""Files of the culprit that are listed with their changes; what it changed besides is counted."""


class _Words(Verb):
    """A verb that takes the words of its line as they are: the log repeats them, or they are for
    another verb."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Everything is one parameter, ``words``."""
        if args in (["-h"], ["--help"]):
            raise AskedForHelp(long=args == ["--help"])
        ctx.params["words"] = tuple(args)
        return []


def _words(name: str, *usage: str) -> Callable[[Function], Verb]:
    def decorate(function: Function) -> Verb:
        return click.command(name, cls=_Words, usage=usage)(click.pass_obj(function))

    return decorate


@_words(
    "bisect start",
    "bisect start [--term-(bad|new)=<term> --term-(good|old)=<term>] [--no-checkout]"
    " [--first-parent] [<bad> [<good>...]] [--] [<path>...]",
)
def start(app: App, words: tuple[str, ...]) -> int:
    """Begin, with the commits that are known to be bad and good.

    With paths, only commits that change them are tested. A bisection that is under way is given up
    for the new one. If the commits cannot be right, nothing is changed.
    """
    with changed.listing_overwritten(app):
        step, went = bisect.start(app.repository, words)
    if went is not None:
        _say_went(app, went)
    return _say(app, step)


def _mark(app: App, term: str, revisions: Sequence[str]) -> int:
    with changed.listing_overwritten(app):
        return _say(app, bisect.mark(app.repository, term, revisions))


@_words("bisect bad", "bisect (bad|new|<term-new>) [<commit>]")
def bad(app: App, words: tuple[str, ...]) -> int:
    """Mark a commit as having the change."""
    return _mark(app, "bad", words)


@_words("bisect new", "bisect (bad|new|<term-new>) [<commit>]")
def new(app: App, words: tuple[str, ...]) -> int:
    """Mark a commit as having the change."""
    return _mark(app, "new", words)


@_words("bisect good", "bisect (good|old|<term-old>) [<commit>...]")
def good(app: App, words: tuple[str, ...]) -> int:
    """Mark commits as being without the change."""
    return _mark(app, "good", words)


@_words("bisect old", "bisect (good|old|<term-old>) [<commit>...]")
def old(app: App, words: tuple[str, ...]) -> int:
    """Mark commits as being without the change."""
    return _mark(app, "old", words)


@_words("bisect skip", "bisect skip [(<commit>|<range>)...]")
def skip(app: App, words: tuple[str, ...]) -> int:
    """Mark commits that cannot be tested."""
    return _mark(app, "skip", words)


@verb("bisect next", "bisect next")
def next_verb(app: App) -> int:
    """Check out what is to be tested next."""
    with changed.listing_overwritten(app):
        return _say(app, bisect.next_step(app.repository))


@verb("bisect reset", "bisect reset [<commit>]")
@argument("revision", metavar="<commit>")
def reset(app: App, revision: str | None) -> int:
    """Go back to where the bisection began, or to a commit, and forget what was found out."""
    bisecting = app.repository.git.ref(session.RECORD) is not None
    with changed.listing_overwritten(app):
        went = bisect.reset(app.repository, revision)
    if went is not None:
        _say_went(app, went)
    elif not bisecting:
        app.out.line("We are not bisecting.")
    return 0


@_words("bisect visualize", "bisect (visualize|view) [<log-options>]")
def visualize(app: App, words: tuple[str, ...]) -> int:
    """Show what is left in the log, with its options."""
    from envgit.cli.history import log

    found = bisect.require(app.repository)
    if found.bad is None or not found.good:
        raise bisect.not_enough()
    end = words.index("--") if "--" in words else len(words)
    tips = (found.bad, *(f"^{oid}" for oid in found.good))
    paths = (*found.paths, *words[end + 1 :])
    return execute(log, [*words[:end], *tips, "--", *paths], app)


@verb("bisect log", "bisect log")
def log_verb(app: App) -> int:
    """Print what was done, for "bisect replay", git's or ours."""
    for line in bisect.log(app.repository):
        app.out.line(line)
    return 0


@verb("bisect replay", "bisect replay <logfile>")
@argument("name", metavar="<logfile>")
def replay(app: App, name: str | None) -> int:
    """Do again what a log says, perhaps after mending it; "-" reads it from standard input."""
    if name is None:
        raise bisect.NotBisecting("no logfile given")
    try:
        if name == "-":
            text = app.stdin.read().decode("utf-8", "surrogateescape")
        else:
            with open(name, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
    except OSError as error:
        raise bisect.NotBisecting(f"cannot read file '{name}' for replaying") from error
    with changed.listing_overwritten(app):
        return _say(app, bisect.replay(app.repository, text))


@_words("bisect terms", "bisect terms [--term-good | --term-bad]")
def terms(app: App, words: tuple[str, ...]) -> int:
    """Show the words that stand for good and bad."""
    if len(words) > 1:
        raise bisect.BadTerm("'envgit bisect terms' requires 0 or 1 argument")
    found = session.read(app.repository)
    if found is None or found.terms is None:
        raise bisect.BadTerm("no terms defined")
    bad_term, good_term = found.terms
    if not words:
        app.out.line(
            f"Your current terms are {good_term} for the old state\n"
            f"and {bad_term} for the new state."
        )
    elif words[0] in ("--term-good", "--term-old"):
        app.out.line(good_term)
    elif words[0] in ("--term-bad", "--term-new"):
        app.out.line(bad_term)
    else:
        raise bisect.BadTerm(
            f"invalid argument {words[0]} for 'envgit bisect terms'.\nSupported options are:"
            " --term-good|--term-old and --term-bad|--term-new."
        )
    return 0


@verb("bisect run", "bisect run [<options>] [--] <command> [<args>...]", command_follows=True)
@section(
    "Trials",
    value("-j, --jobs <n>", "try so many commits at once", default=1, type=int),
    value(
        "--repeat <n>",
        "each verdict takes so many equal results; else the test is flaky",
        default=1,
        type=int,
    ),
    value("--timeout <seconds>", "a trial that takes longer counts as untestable", type=float),
    flag("--host", "run the command on the host, with the state mounted at $ENVGIT_ROOT"),
    flag("-q, --quiet", "say nothing on standard error about trials and times"),
)
@environment_options
@json_flag
@argument("argv", nargs=-1)
def run(
    app: App,
    jobs: int,
    repeat: int,
    timeout: float | None,
    host: bool,
    quiet: bool,
    as_json: bool,
    argv: tuple[str, ...],
    **options: Any,
) -> int:
    """Let a command decide.

    It is run inside each state that is to be tested, on a mount of its own whose changes are thrown
    away; the worktree stays as it is until the end. Exit status 0 is good, 125 cannot be tested,
    others up to 127 bad; 128 and more, or a signal, ends the run. 126 and 127 count only once the
    command was seen to succeed in a good commit, so that a misspelt one finds no culprit.

    The run can be interrupted: it goes on from there when it is started again.
    """
    from envgit.cli.launching import sandbox_options

    shown = _Shown(app, quiet=quiet, as_json=as_json, jobs=jobs)
    result = run_trials(
        app.repository,
        argv,
        options=sandbox_options(app, tty=False, interactive=False, **options),
        host=host,
        timeout=timeout,
        jobs=jobs,
        repeat=repeat,
        capture=as_json,
        watch=shown,
    )
    shown.end(result)
    return result.step.status


@verb("bisect help", "bisect help")
def help_verb(app: App) -> int:
    """Print how each subcommand is used."""
    app.out.write(bisect_verb.short_usage())
    return 0


class _Bisect(Group):
    """The subcommands, and the terms of the bisection that is under way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.usage = tuple(dict.fromkeys(self.usage))  # bad and new are one line

    def run(self, words: Sequence[str], app: Any) -> int:
        first = words[0] if words else ""
        if first == "view":
            words = ["visualize", *words[1:]]
        elif first and not first.startswith("-") and f"bisect {first}" not in self.verbs:
            found = session.read(app.repository)
            if found is not None and found.terms is not None and first in found.terms:
                return _mark(app, first, words[1:])
        if not first:
            raise UsageProblem("need a subcommand", usage=self.short_usage())
        return super().run(words, app)


bisect_verb = _Bisect(
    "bisect",
    (
        *(start, bad, new, good, old, skip, next_verb, reset, visualize, replay, log_verb),
        *(terms, run, inside, help_verb),
    ),
    help="""Find the commit that brought a change.

    Say which commit is bad and which was good; each test of the one in the middle then halves what
    is left. "bisect run" does that by itself: each trial is one mount over a state that exists, so
    nothing is installed, copied or moved. "bisect inside" then finds which packages of that commit
    are to blame. "envgit undo" takes back a wrong verdict.
    """,
)


# -- what is said -----------------------------------------------------------------------------


def _say(app: App, step: Step) -> int:
    """A step in git's words; its exit status."""
    for text in step.warned:
        app.out.note(text)
    for line in step.said:
        app.out.line(line)
    if step.outcome == "found":
        _show(app, step.commits[0])
    return step.status


def _show(app: App, commit: CommitId) -> None:
    """The culprit as `show` has it, with its recorded commands, and as many of its files as one
    reads."""
    from envgit.cli.history import show
    from envgit.porcelain.difference import between

    parents = app.repository.git.point(commit).parents
    changes = between(app.repository, parents[0] if parents else None, commit).changes
    many = len(changes) > _LISTED
    app.paginate = False
    form = ["-s"] if many else ["--stat", "--summary", "--diff-merges=first-parent"]
    execute(show, ["--runs", "--no-abbrev-commit", *form, commit], app)
    if many:
        app.out.line()
        for change in changes[:_LISTED]:
            app.out.line(f" {change.status} {app.out.path(change.path)}")
        app.out.line(f" ... and {len(changes) - _LISTED} more ('envgit show --stat' lists them)")


def _say_went(app: App, went: Went) -> None:
    """As git's checkout says it."""
    out = app.out
    if went.old_branch is None and went.old_commit != went.commit:
        out.note(f"Previous HEAD position was {changed.one_line(app, went.old_commit)}")
    if went.branch is None:
        out.note(f"HEAD is now at {changed.one_line(app, went.commit)}")
    elif went.branch == went.old_branch:
        out.note(f"Already on '{went.branch}'")
    else:
        out.note(f"Switched to branch '{went.branch}'")


class _Shown(Watch):
    """Shows a run: git's lines on standard output, trials and times on standard error."""

    def __init__(self, app: App, *, quiet: bool, as_json: bool, jobs: int) -> None:
        self._app = app
        self._as_json = as_json
        self._jobs = jobs
        self._progress = not quiet and app.out.stderr_is_terminal
        self._quiet = quiet
        self._times: list[int] = []

    def at(self, commit: CommitId) -> None:
        if not self._as_json:
            subject = self._app.repository.git.git_commit(commit).subject
            self._app.out.line(f"[{commit}] {subject}")

    def running(self, argv: Sequence[str], count: int) -> None:
        words = "".join(f" {bisect.quoted(word)}" for word in argv)
        if not self._as_json:
            self._app.out.line(f"running {words}")
        self._app.out.flush()

    def tried(self, trial: Trial, verdict: str) -> None:
        self._times.append(trial.duration_ms)
        out = self._app.out
        if trial.output:
            if self._as_json:
                out.note(trial.output.decode("utf-8", "surrogateescape").rstrip("\n"))
            else:
                out.write(trial.output)
        if self._progress or (self._jobs > 1 and not self._quiet):
            assert trial.commit is not None
            late = ", timed out" if trial.timed_out else ""
            name = self._app.repository.git.abbrev(trial.commit)
            out.note(f"{name}: {verdict} ({trial.exit_code}{late}, {trial.duration_ms} ms)")

    def stepped(self, step: Step, terms: tuple[str, str]) -> None:
        if self._as_json:
            return
        for text in step.warned:
            self._app.out.note(text)
        for line in step.said:
            self._app.out.line(line)
        if step.testing and self._progress:
            from envgit.porcelain.bisectrun import rounds_left

            left = rounds_left(step, self._jobs)
            usual = sorted(self._times)[len(self._times) // 2] / 1000
            self._app.out.note(
                f"{step.total} commits left, {left} round{'s' * (left != 1)},"
                f" about {left * usual:.1f} s"
            )

    def end(self, result: RunResult) -> None:
        """What was found, or why nothing can be."""
        app, step = self._app, result.step
        found = session.read(app.repository)
        terms = (found.bad_term, found.good_term) if found else session.DEFAULT_TERMS
        if self._as_json:
            app.out.json(_as_json(app, result, terms))
        elif not result.rounds:
            _say(app, step)
        elif step.outcome == "found":
            _show(app, step.commits[0])
        if step.outcome == "found":
            if not self._as_json:
                app.out.line(f"bisect found first {terms[0]} commit")
        elif step.outcome == "skipped":
            app.out.note("error: bisect run cannot continue any more")
        else:
            verdict = result.trials[-1].verdict if result.trials else "next"
            app.out.note(
                f"error: bisect run failed: 'envgit bisect {verdict}' exited with error code"
                f" -{step.status}"
            )
        count = len(result.trials)
        if count and not self._quiet:
            app.out.note(
                f"{count} trial{'s' * (count != 1)} in {result.rounds}"
                f" round{'s' * (result.rounds != 1)}, {result.duration_ms / 1000:.1f} s"
            )


def _as_json(app: App, result: RunResult, terms: tuple[str, str]) -> dict[str, object]:
    """All of a run: the culprit with its commands and files, and each trial."""
    step = result.step
    found = step.commits[0] if step.outcome == "found" else None
    return {
        "outcome": step.outcome,
        "first_bad": _culprit(app, found) if found is not None else None,
        "candidates": step.commits,
        "terms": {"bad": terms[0], "good": terms[1]},
        "trials": result.trials,
        "rounds": result.rounds,
        "duration_ms": result.duration_ms,
        "status": step.status,
    }


def _culprit(app: App, commit: CommitId) -> dict[str, object]:
    from envgit.porcelain.difference import between
    from envgit.porcelain.history import entry, runs

    one = entry(app.repository, commit)
    parents = one.commit.parents
    changes = between(app.repository, parents[0] if parents else None, commit).changes
    return {
        "id": commit,
        "subject": one.subject,
        "author": one.author,
        "runs": runs(app.repository, one),
        "changes": len(changes),
        "files": [{"status": change.status, "path": change.path} for change in changes[:_LISTED]],
    }
