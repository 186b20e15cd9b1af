# SPDX-License-Identifier: Apache-2.0
"""`gc`, `fsck`, `du`, `doctor`: keeping the store and the host in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envgit.cli.app import App
from envgit.cli.progress import progress
from envgit.cli.summary import human
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.config_syntax import parse_age
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.maintenance import GcResult
    from envgit.porcelain.usage import DiskUsage


@verb("gc", "gc [-n] [-q] [--expire=<age>]")
@flag("-n, --dry-run", "say what would be deleted, and delete nothing")
@flag("-q, --quiet", "suppress progress reporting")
@value("--expire <age>", "let undo forget what is older than this ('30 days', 'now')")
@flag("--auto", "accepted for git's sake: gc does what is due in any case", hidden=True)
@json_flag
def gc(app: App, dry_run: bool, quiet: bool, expire: str | None, auto: bool, as_json: bool) -> int:
    """Remove what nothing needs any more.

    Layers, parked changes and objects stay while a branch, a tag, a reflog, a worktree or an
    operation younger than gc.reflogExpire (90 days) leads to them: what "envgit undo" could still
    need is kept. With --expire, the log is shortened to that age first.
    """
    from envgit.porcelain.maintenance import gc as collect

    result = collect(app.repository, dry_run=dry_run, expire=_age(expire))
    if as_json:
        app.out.json(result)
    elif not quiet:
        _print_gc(app, result)
    return 0


def _age(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        age = parse_age(text)
    except ValueError as error:
        raise EnvgitError(f"'{text}' is not an age", hint="write '30 days' or 'now'") from error
    return age


def _print_gc(app: App, result: GcResult) -> None:
    out = app.out
    verb = "Would delete" if result.dry_run else "Deleted"
    counts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in (
            (result.layers, "layer"),
            (result.spans, "span"),
            (result.changes, "parked change set"),
        )
        if count
    ]
    if counts:
        freed = "which frees" if result.dry_run else "freed"
        out.line(f"{verb} {', '.join(counts)}; {freed} {human(result.frees.disk)}")
    else:
        out.line("Nothing to delete")
    if result.expired:
        verb = "Would forget" if result.dry_run else "Forgot"
        plural = "" if result.expired == 1 else "s"
        out.line(f"{verb} {result.expired} operation{plural} older than the expiry")
    for path in result.kept_for:
        out.warning(f"layers are kept for a repository that is no longer at {path}")


@verb("du", "du [-b] [<commit>]")
@flag("-b, --bytes", "print exact numbers of bytes", to="exact")
@json_flag
@argument("revision", default="HEAD", metavar="<commit>")
def du(app: App, exact: bool, as_json: bool, revision: str) -> int:
    """Show what a commit or branch occupies.

    One line for each commit of its history: what its layer takes on disk, and whether another
    branch or tag shares it. Then what is uncommitted, what undo keeps, and the store as a whole.
    """
    from envgit.porcelain.usage import usage

    result = usage(app.repository, revision)
    if as_json:
        app.out.json(result)
    else:
        _print_usage(app, result, exact=exact)
    return 0


def _print_usage(app: App, result: DiskUsage, *, exact: bool) -> None:
    git = app.repository.git
    rows = []
    for layer in result.layers:
        shared = "" if layer.exclusive else " (shared)"
        rows.append((layer.usage.disk, f"{git.abbrev(layer.commit)} {layer.subject}{shared}"))
    rows += [
        (result.uncommitted.disk, "uncommitted changes"),
        (result.parked.disk, "parked for undo"),
        (result.spans.disk, "spans"),
        (result.objects.disk, "git objects"),
        (result.store.disk, "the whole store, all repositories"),
    ]
    shown = [(str(size) if exact else human(size), text) for size, text in rows]
    width = max(len(size) for size, _ in shown)
    for size, text in shown:
        app.out.line(f"{size:>{width}}  {text}")


@verb("fsck", "fsck [--full] [-q]", "fsck --repair")
@flag("--full", "read every file of every layer and compare its content (default)", default=True)
@flag("-q, --quiet", "only report problems")
@flag("--repair", "give the worktree a new state at HEAD when its own cannot be read")
@json_flag
def fsck(app: App, full: bool, quiet: bool, repair: bool, as_json: bool) -> int:
    """Verify every object, layer and file.

    Each git object is read and its hash compared, each pointer parsed, each file of each layer
    compared with its pointer: metadata, and the content's sha256 unless --no-full. The exit status
    is 0 when all is well. --repair mends what can be made again from the rest: a worktree's state.
    """
    from envgit.porcelain import fsck as porcelain

    if repair:
        porcelain.repair(app.repository)
    with progress(app, quiet=quiet) as meter:
        problems = porcelain.fsck(app.repository, content=full, progress=meter)
    if as_json:
        app.out.json(problems)
    else:
        for problem in problems:
            app.out.line(f"{problem.severity}: {problem.text}")
    return 1 if any(problem.severity == "error" for problem in problems) else 0


@verb("doctor", "doctor")
@json_flag
def doctor(app: App, as_json: bool) -> int:
    """Try what this host can do, and explain.

    Each ability that envgit needs is tried for real, not guessed from versions: "ok" works, "NO"
    does not and is needed (then the exit status is 1), "--" does not and can be done without.
    """
    from envgit.porcelain.doctor import doctor as examine

    probes = examine(app.environ, app.settings)
    if as_json:
        app.out.json(probes)
    else:
        width = max(len(probe.name) for probe in probes)
        for probe in probes:
            mark = "ok" if probe.ok else "NO" if probe.needed else "--"
            app.out.line(f"{mark}  {probe.name:<{width}}  {probe.detail}")
            if not probe.ok and probe.remedy:
                app.out.line(f"    {'':<{width}}  {probe.remedy}")
    return 1 if any(probe.needed and not probe.ok for probe in probes) else 0
