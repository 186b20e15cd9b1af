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


@verb(
    "gc", "gc [-n] [-v | -q] [--auto] [--aggressive] [--expire=<age>] [--prune=<date> | --no-prune]"
)
@flag("-n, --dry-run", "say what would be deleted, and delete nothing")
@flag("-q, --quiet", "suppress progress reporting")
@flag("-v, --verbose", "say beforehand what will be deleted, part by part")
@value("--expire <age>", "let undo and reflogs forget what is older ('30 days', 'now')")
@value("--prune[=<date>]", "delete unreachable git objects older than this", bare="2.weeks.ago")
@flag("--no-prune", "keep unreachable git objects of any age", to="keep")
@flag("--aggressive", "pack anew even where nothing changed since the last time")
@flag("--auto", "do nothing unless there is much to do (gc.auto, gc.autoPackLimit)")
@flag("--force", "accepted for git's sake: locks end with their holders", hidden=True)
@json_flag
def gc(
    app: App,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    expire: str | None,
    prune: str | None,
    keep: bool,
    aggressive: bool,
    auto: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Remove what nothing needs any more.

    Layers, parked changes and objects stay while a branch, a tag, a reflog, a worktree or an
    operation younger than gc.reflogExpire (90 days) leads to them: what "envgit undo" could still
    need is kept. With --expire, the log is shortened to that age first. Git objects that nothing
    leads to stay for gc.pruneExpire (2 weeks); --no-prune keeps them all. What will be freed is
    known, and said on a terminal, before anything is deleted.
    """
    from envgit.porcelain import maintenance

    if auto:
        if not maintenance.is_due(app.repository):
            return 0
        if not quiet:
            app.out.note("Auto packing the repository for optimum performance.")
            app.out.note('See "envgit help gc" for manual housekeeping.')
    talks = not (quiet or as_json or dry_run) and (verbose or app.out.stderr_is_terminal)
    result = maintenance.gc(
        app.repository,
        dry_run=dry_run,
        expire=_age(expire),
        prune=maintenance.NEVER if keep else _prune(prune),
        aggressive=aggressive,
        announce=(lambda plan: _announce(app, plan, verbose=verbose)) if talks else None,
    )
    if as_json:
        app.out.json(result)
    elif not quiet:
        _print_gc(app, result, verbose=verbose and dry_run)
    return 0


def _prune(text: str | None) -> float | None:
    from envgit.porcelain.maintenance import parse_expiry

    return None if text is None else parse_expiry(text)


def _age(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        age = parse_age(text)
    except ValueError as error:
        raise EnvgitError(f"'{text}' is not an age", hint="write '30 days' or 'now'") from error
    return age


def _announce(app: App, plan: GcResult, *, verbose: bool) -> None:
    """What is about to happen; talk, so on stderr."""
    app.out.note(f"Will free {human(plan.predicted.total)}")
    for line in _parts(plan) if verbose else ():
        app.out.note(line)


def _parts(result: GcResult) -> list[str]:
    predicted = result.predicted
    rows = (
        (predicted.layers, f"layers ({result.layers})"),
        (predicted.spans, f"spans ({result.spans})"),
        (predicted.changes, f"parked change sets ({result.changes})"),
        (predicted.remains, "left over in the store"),
        (predicted.objects, "git objects"),
        (predicted.refs, "refs and reflogs"),
    )
    return [
        f"{human(size) if size >= 0 else '-' + human(-size):>12}  {name}" for size, name in rows
    ]


def _print_gc(app: App, result: GcResult, *, verbose: bool) -> None:
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
    size = result.predicted.total if result.freed is None else result.freed
    frees = f"{'which frees' if result.dry_run else 'freed'} {human(max(0, size))}"
    if counts:
        out.line(f"{verb} {', '.join(counts)}; {frees}")
    elif size > 0:
        out.line(f"{'Would tidy up' if result.dry_run else 'Tidied up'}; {frees}")
    else:
        out.line("Nothing to delete")
    for line in _parts(result) if verbose else ():
        out.line(line)
    if result.expired:
        verb = "Would forget" if result.dry_run else "Forgot"
        plural = "" if result.expired == 1 else "s"
        out.line(f"{verb} {result.expired} operation{plural} older than the expiry")
    for path in result.kept_for:
        out.warning(f"layers are kept for a repository that is no longer at {path}")


@verb("count-objects", "count-objects [-v] [-H]")
@flag("-v, --verbose", "be verbose")
@flag("-H, --human-readable", "print sizes in human readable format")
@json_flag
def count_objects(app: App, verbose: bool, human_readable: bool, as_json: bool) -> int:
    """Count git objects and what they occupy.

    What git count-objects says of the repository. Layers, where the contents of files are, are
    counted by "envgit du".
    """
    from envgit.porcelain.usage import count_objects as count

    found = count(app.repository)

    def shown(size: int) -> str:
        return human(size) if human_readable else str(size // 1024)

    if as_json:
        app.out.json(found)
    elif verbose:
        for name, number in (
            ("count", str(found.count)),
            ("size", shown(found.size)),
            ("in-pack", str(found.in_pack)),
            ("packs", str(found.packs)),
            ("size-pack", shown(found.size_pack)),
            ("prune-packable", str(found.prune_packable)),
            ("garbage", str(found.garbage)),
            ("size-garbage", shown(found.size_garbage)),
        ):
            app.out.line(f"{name}: {number}")
    else:
        size = human(found.size) if human_readable else f"{found.size // 1024} kilobytes"
        app.out.line(f"{found.count} objects, {size}")
    return 0


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


@verb(
    "fsck",
    "fsck [--no-full | --connectivity-only] [--unreachable] [--no-dangling] [--lost-found] [-q]",
    "fsck --repair",
)
@flag("--full", "read every file of every layer and compare its content (default)", default=True)
@flag("--connectivity-only", "only look whether each object and layer is there", to="connectivity")
@flag("--unreachable", "show unreachable objects")
@flag("--dangling", "show dangling objects (default)", default=True)
@flag("--lost-found", "write dangling objects in .envgit/lost-found", to="lost")
@flag("-q, --quiet", "only report problems")
@flag("--repair", "give the worktree a new state at HEAD when its own cannot be read")
@json_flag
def fsck(
    app: App,
    full: bool,
    connectivity: bool,
    unreachable: bool,
    dangling: bool,
    lost: bool,
    quiet: bool,
    repair: bool,
    as_json: bool,
) -> int:
    """Verify every object, layer and file.

    Each git object is read and its hash compared, each pointer parsed, each file of each layer
    compared with its pointer: metadata, and the content's sha256 unless --no-full. What is damaged
    is named with the commits, branches and tags that need it. --repair mends what can be made again
    from the rest: a worktree's state.

    The exit status is 0 when all is well, else the sum of 1 (something is damaged), 2 (something
    that is needed is missing), 4 (a pack is damaged) and 8 (a ref is).
    """
    from envgit.porcelain import fsck as porcelain

    if repair:
        porcelain.repair(app.repository)
    with progress(app, quiet=quiet) as meter:
        problems = porcelain.fsck(
            app.repository,
            content=full,
            connectivity=connectivity,
            dangling=(dangling and not quiet) or lost,
            unreachable=unreachable,
            progress=meter,
        )
    if lost:
        porcelain.lost_found(app.repository, problems)
    if as_json:
        app.out.json(problems)
    else:
        for problem in problems:
            plain = problem.severity in ("dangling", "unreachable")
            app.out.line(problem.text if plain else f"{problem.severity}: {problem.text}")
    return porcelain.status(problems)


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
