# SPDX-License-Identifier: Apache-2.0
"""`rollback` and `reset`: the branch goes back to an earlier state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.check import FirstGood
    from envgit.porcelain.moves import MoveResult
    from envgit.porcelain.packagerollback import PackageRollback


@verb(
    "rollback",
    "rollback [--keep-history] [-n <number> | <commit>]",
    "rollback [--keep-history] --check <command> [--bisect] [<commit>]",
    "rollback --package <name>... [-f] [--dry-run] [-m <message>] [<commit>]",
)
@value("-n <number>", "go back by this many commits", to="count", type=int)
@value("--check <command>", "go back until the command succeeds, and say how far")
@flag("--bisect", "with --check: 1, 2, 4, ... commits back, then by halves", to="by_halves")
@flag("--keep-history", "make a new commit with the earlier state instead")
@value(
    "--package <name>",
    "take only this package back, and what depends on the change",
    to="names",
    multiple=True,
)
@flag("-f, --force", "with --package: even if its files have uncommitted changes")
@flag("--dry-run", "with --package: only show what would go back")
@value(
    "-m, --message <message>",
    "with --keep-history: the new commit's message; with --package: make a commit",
)
@flag("-q, --quiet", "be quiet, only report errors")
@json_flag
@argument("revision", metavar="<commit>")
def rollback(app: App, names: tuple[str, ...], force: bool, dry_run: bool, **given: Any) -> int:
    """Take the branch back to an earlier state.

    Without arguments: if there are uncommitted changes, drop them; otherwise go to the commit
    before. Nothing is lost: what is left behind is set aside and logged, and "envgit undo"
    reverses the rollback.

    With --check, the command is run by the environment's shell in each commit, beginning with the
    current one, until it succeeds there; that is where the branch goes. With --bisect, few commits
    are tried, supposing that it fails in all from some commit on.

    With --package, only that package becomes what it is in the commit, its files and what the
    databases say of it; without a commit, what it was before it last changed. Packages that would
    not fit any more go back with it, and if one cannot, nothing does. The result is uncommitted, or
    with -m a commit; the branch stays. A name may say whose it is, as in "pip:numpy", and where it
    is installed, as in "pip:numpy@/opt/venv".
    """
    if not names:
        for option, wanted in (("--force", force), ("--dry-run", dry_run)):
            if wanted:
                raise EnvgitError(f"{option} is for --package <name>")
        return _branch(app, **given)
    for option, name in (
        ("-n", "count"),
        ("--check", "check"),
        ("--bisect", "by_halves"),
        ("--keep-history", "keep_history"),
    ):
        if given.pop(name):
            raise EnvgitError(f"options '--package' and '{option}' cannot be used together")
    return _packages(app, names, force=force, dry_run=dry_run, **given)


def _branch(
    app: App,
    *,
    count: int | None,
    check: str | None,
    by_halves: bool,
    keep_history: bool,
    message: str | None,
    quiet: bool,
    as_json: bool,
    revision: str | None,
) -> int:
    """``rollback`` without ``--package``."""
    if by_halves and check is None:
        raise EnvgitError("--bisect is for --check <command>")
    if count is not None and count < 1:
        raise EnvgitError(f"-n takes a positive number, not {count}")
    found = None
    if check is not None:
        found = _checked(app, check, revision, by_halves=by_halves, quiet=quiet, as_json=as_json)
        if found.commit == app.repository.git.head().commit and not found.dirty:
            if as_json:
                app.out.json(_check_record(found, None))
            elif not quiet:
                app.out.line("the check succeeds where we are; nothing was rolled back")
            return 0
        revision = found.commit
    result = app.repository.rollback(
        revision, count=count, keep_history=keep_history, message=message
    )
    if as_json:
        app.out.json(result if found is None else _check_record(found, result))
    elif not quiet:
        if found is not None:
            app.out.line(_how_far(found))
        app.out.line(f"HEAD is now at {changed.one_line(app, result.commit)}")
    if not quiet:
        changed.say_parked(app, result)
    return 0


def _packages(
    app: App,
    names: tuple[str, ...],
    *,
    revision: str | None,
    message: str | None,
    force: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """``rollback --package``."""
    from envgit.cli import packageview

    with packageview.suggesting(), _listing_local(app, commits=message is not None):
        result = app.repository.rollback_packages(
            names, revision, message=message, force=force, dry_run=dry_run
        )
    if as_json:
        app.out.json(_package_record(result))
        return 0
    for path in result.edited:
        app.out.warning(f"{app.out.path(path)} was edited; it goes back, too")
    if quiet:
        return 0
    lines = packageview.lines(app, [one.change for one in result.packages])
    for one, line in zip(result.packages, lines, strict=True):
        broken = one.because
        if broken is not None:
            line += f"  for {packageview.plain(broken.package.name)}"
            line += f": {packageview.plain(broken.relation)}"
        app.out.line(line)
    if result.commit is not None:
        app.out.line(f"HEAD is now at {changed.one_line(app, result.commit)}")
    return 0


def _package_record(result: PackageRollback) -> dict[str, object]:
    from envgit.cli import packageview

    packages = packageview.records(one.change for one in result.packages)
    for record, one in zip(packages, result.packages, strict=True):
        broken = one.because
        record["because"] = (
            None
            if broken is None
            else {
                "package": broken.package.name,
                "version": broken.package.version,
                "relation": broken.relation,
                "why": broken.why,
            }
        )
    return {
        "source": result.source,
        "commit": result.commit,
        "packages": packages,
        "paths": [change.path for change in result.changes],
        "edited": result.edited,
    }


@contextmanager
def _listing_local(app: App, *, commits: bool) -> Iterator[None]:
    """List the files whose uncommitted changes would be lost, and what can be done."""
    from envgit.porcelain.foundation.carry import WouldOverwrite

    try:
        yield
    except WouldOverwrite as error:
        listed = "".join(f"\t{app.out.path(path) or '/'}\n" for path in error.paths)
        remedy = (
            "commit your changes or stash them"
            if commits
            else "commit your changes, or use --force"
        )
        error.message += f"\n{listed}Please {remedy}.\nAborting"
        raise


def _checked(
    app: App, check: str, start: str | None, *, by_halves: bool, quiet: bool, as_json: bool
) -> FirstGood:
    """Where the command succeeds; what it writes goes to stderr where JSON has stdout."""
    from envgit.porcelain.check import first_good

    found = first_good(
        app.repository,
        check,
        start=start,
        bisect=by_halves,
        capture=as_json,
        notify=_say_nothing if quiet else app.out.note,
    )
    for trial in found.trials:
        if trial.output:
            app.out.note(trial.output.decode("utf-8", "surrogateescape").rstrip("\n"))
    return found


def _say_nothing(text: str) -> None:
    """What --quiet does with notices."""


def _how_far(found: FirstGood) -> str:
    steps, trials = found.steps, len(found.trials)
    back = f"{steps} commit{'s' * (steps != 1)} back" if steps else "without uncommitted changes"
    return f"the check succeeds {back} ({trials} trial{'s' * (trials != 1)})"


def _check_record(found: FirstGood, result: MoveResult | None) -> dict[str, object]:
    trials = [
        {
            "commit": trial.commit,
            "exit_code": trial.exit_code,
            "signal": trial.signal,
            "duration_ms": trial.duration_ms,
        }
        for trial in found.trials
    ]
    moved = {} if result is None else {"moved": result}
    return {"commit": found.commit, "steps": found.steps, "trials": trials, **moved}


@verb("reset", "reset [--mixed | --soft | --hard | --keep] [-q] [<commit>]", dashes=True)
@flag(
    "--mixed",
    "reset HEAD and keep the worktree (as --soft: there is no index)",
    to="mode",
    flag_value="mixed",
)
@flag("--soft", "reset only HEAD", to="mode", flag_value="soft")
@flag("--hard", "reset HEAD and the worktree", to="mode", flag_value="hard")
@flag("--keep", "reset HEAD but keep local changes", to="mode", flag_value="keep")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("revision", metavar="<commit>")
def reset(
    app: App,
    mode: str | None,
    quiet: bool,
    revision: str | None,
    paths: tuple[str, ...] | None,
) -> int:
    """Set the branch to a commit.

    --soft and --mixed leave the worktree as it is, so that the difference becomes uncommitted;
    --hard sets the worktree to the commit, too. What --hard drops is set aside, and "envgit undo"
    brings it back.
    """
    mode = mode or "mixed"
    if paths:
        raise EnvgitError(
            f"Cannot do {mode} reset with paths.",
            hint="there is no index here; 'envgit restore' brings paths back",
        )
    with changed.listing_overwritten(app):
        result = app.repository.reset(revision or "HEAD", mode=mode)
    if quiet:
        return 0
    if mode == "hard":
        app.out.line(f"HEAD is now at {changed.one_line(app, result.commit)}")
        changed.say_parked(app, result)
    elif mode == "mixed":
        left = app.repository.status().changes
        if left:
            app.out.line("Uncommitted changes after reset:")
            changed.list_short(app, left)
    return 0
