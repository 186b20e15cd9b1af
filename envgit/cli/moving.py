# SPDX-License-Identifier: Apache-2.0
"""`switch`, `checkout` and `restore`: going to another state, or bringing paths of one back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.sides import take_side
from envgit.cli.verb import argument, flag, value, verb
from envgit.errors import EnvgitError
from envgit.porcelain.foundation.hooks import HookFailed

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.porcelain.moves import MoveResult

_ADVICE = """\
Note: switching to '{target}'.

You are in 'detached HEAD' state. You can look around, make experimental
changes and commit them, and you can discard any commits you make in this
state without impacting any branches by switching back to a branch.

If you want to create a new branch to retain commits you create, you may
do so (now or later) by using -c with the switch command. Example:

  envgit switch -c <new-branch-name>

Or undo this operation with:

  envgit switch -

Turn off this advice by setting config variable advice.detachedHead to false
"""


@verb(
    "switch",
    "switch [<options>] [--no-guess] <branch>",
    "switch [<options>] --detach [<start-point>]",
    "switch [<options>] (-c|-C) <new-branch> [<start-point>]",
    "switch [<options>] --orphan <new-branch>",
)
@value("-c, --create <branch>", "create and switch to a new branch")
@value("-C, --force-create <branch>", "create/reset and switch to a branch")
@flag("-d, --detach", "detach HEAD at named commit")
@flag("-f, --force", "same as --discard-changes")
@flag("--discard-changes", "set uncommitted changes aside; undo brings them back")
@flag("-m, --merge", "", hidden=True)
@value("--orphan <new-branch>", "new branch without history")
@flag("--guess", "", default=True, hidden=True)
@flag("--ignore-other-worktrees", "do not check if another worktree is on the branch")
@flag("-q, --quiet", "suppress progress reporting")
@argument("names", nargs=-1)
def switch(
    app: App,
    create: str | None,
    force_create: str | None,
    detach: bool,
    force: bool,
    discard_changes: bool,
    merge: bool,
    orphan: str | None,
    guess: bool,
    ignore_other_worktrees: bool,
    quiet: bool,
    names: tuple[str, ...],
) -> int:
    """Switch to another branch.

    Uncommitted changes are taken along unless the branch changes the same paths; then the switch
    is refused. With --discard-changes they are set aside, and "envgit undo" brings them back.
    """
    if merge:
        raise EnvgitError("merging uncommitted changes into a branch is not possible yet")
    if len(names) > 1:
        raise EnvgitError("only one reference expected")
    given = [name for name in (create, force_create, orphan) if name is not None]
    if len(given) > 1 or (detach and given):
        raise EnvgitError("options '-c', '-C', '--orphan' and '--detach' cannot be used together")
    if orphan is not None and names:
        raise EnvgitError("'--orphan' cannot take <start-point>")
    target = names[0] if names else None
    if target is None and not given and not detach:
        raise EnvgitError("missing branch or commit argument")
    if target is not None and given:
        _check_start(app, target, f"invalid reference: {target}")
    with changed.listing_overwritten(app):
        app.repository.switch(
            target,
            create=create,
            force_create=force_create,
            orphan=orphan,
            detach=detach,
            discard_changes=force or discard_changes,
            ignore_other_worktrees=ignore_other_worktrees,
            report=lambda result: report(
                app,
                result,
                quiet=quiet,
                target=target,
                explicit=True,
                reset=force_create is not None,
            ),
        )
    return 0


@verb(
    "checkout",
    "checkout [<options>] <branch>",
    "checkout [<options>] (-b|-B) <new-branch> [<start-point>]",
    "checkout [<options>] --detach [<commit>]",
    "checkout [<options>] [<commit>] [--] <path>...",
    dashes=True,
)
@value("-b <branch>", "create and checkout a new branch", to="create")
@value("-B <branch>", "create/reset and checkout a branch", to="force_create")
@flag("-d, --detach", "detach HEAD at named commit")
@flag("-f, --force", "set uncommitted changes aside; undo brings them back")
@flag("--ours", "for paths in conflict: take our version", to="ours")
@flag("--theirs", "for paths in conflict: take their version", to="theirs")
@flag("-m, --merge", "for paths in conflict: make the conflict again", to="again")
@value("--conflict <style>", "the same, in that style: merge, diff3 or zdiff3")
@value("--orphan <new-branch>", "new branch without history")
@flag("--guess", "", default=True, hidden=True)
@flag("--ignore-other-worktrees", "do not check if another worktree is on the branch")
@flag("-q, --quiet", "suppress progress reporting")
@argument("names", nargs=-1)
def checkout(
    app: App,
    create: str | None,
    force_create: str | None,
    detach: bool,
    force: bool,
    ours: bool,
    theirs: bool,
    again: bool,
    conflict: str | None,
    orphan: str | None,
    guess: bool,
    ignore_other_worktrees: bool,
    quiet: bool,
    names: tuple[str, ...],
    paths: tuple[str, ...] | None,
) -> int:
    """Switch branches or restore paths.

    With a branch or commit, go there. With paths, bring them back as they are in the commit
    (default: HEAD); "envgit restore" does the same and says so more clearly.
    """
    creates = create or force_create or orphan
    revision, wanted = _sort_out(app, names, paths, creates=creates is not None)
    if wanted:
        if creates or detach:
            raise EnvgitError("paths cannot be used with switching branches")
        if ours or theirs or again or conflict:
            return take_side(app, wanted, revision, (ours, theirs, again, conflict))
        return _bring_back(app, wanted, revision, told=paths is None and not quiet)
    if ours or theirs or again or conflict:
        raise EnvgitError("'--ours/--theirs/--merge' needs the paths to check out")
    if revision is None and not (creates or detach or force):
        if app.repository.git.head().commit is not None:
            changed.list_short(app, app.repository.status().changes)
        return 0
    if revision is not None and creates:
        said = f"'{revision}' is not a commit and a branch '{creates}' cannot be created from it"
        _check_start(app, revision, said)
    explicit = detach or revision is None
    reset = force_create is not None
    with changed.listing_overwritten(app):
        app.repository.switch(
            revision if revision is not None or creates or detach else "HEAD",
            create=create,
            force_create=force_create,
            orphan=orphan,
            detach=detach,
            discard_changes=force,
            guess_detach=True,
            verb="checkout",
            ignore_other_worktrees=ignore_other_worktrees,
            report=lambda result: report(
                app, result, quiet=quiet, target=revision, explicit=explicit, reset=reset
            ),
        )
    return 0


@verb("restore", "restore [<options>] [--source=<commit>] [--] <path>...")
@value("-s, --source <commit>", "which commit to take the paths from")
@flag("-W, --worktree", "", hidden=True)
@flag("--ours", "for paths in conflict: take our version", to="ours")
@flag("--theirs", "for paths in conflict: take their version", to="theirs")
@flag("-m, --merge", "for paths in conflict: make the conflict again", to="again")
@value("--conflict <style>", "the same, in that style: merge, diff3 or zdiff3")
@flag("-q, --quiet", "suppress progress reporting")
@argument("paths", nargs=-1)
def restore(
    app: App,
    source: str | None,
    worktree: bool,
    ours: bool,
    theirs: bool,
    again: bool,
    conflict: str | None,
    quiet: bool,
    paths: tuple[str, ...],
) -> int:
    """Bring paths back to what a commit has.

    The commit is HEAD unless --source names another; a path that it does not have is deleted.
    What the paths held before is set aside, and "envgit undo" brings it back.

    While a merge is in conflict, --ours and --theirs take the whole of a file from that side and
    mark it as resolved; --merge makes the conflict again.
    """
    if not paths:
        raise EnvgitError("you must specify path(s) to restore")
    if ours or theirs or again or conflict:
        return take_side(app, paths, source, (ours, theirs, again, conflict))
    if source is not None:
        try:
            app.repository.resolve(source)
        except EnvgitError as error:
            raise EnvgitError(f"could not resolve {source}") from error
    return _bring_back(app, paths, source, told=False)


def report(
    app: App,
    result: MoveResult,
    *,
    quiet: bool,
    target: str | None,
    explicit: bool,
    reset: bool = False,
) -> None:
    """Say where we are now in git's words (builtin/checkout.c, update_refs_for_switched_branch)."""
    if not quiet:
        changed.list_short(app, result.carried)
    if quiet:
        return
    if result.old_branch is None and result.old_commit not in (None, result.commit):
        app.out.note(f"Previous HEAD position was {changed.one_line(app, result.old_commit)}")
    if result.branch is None:
        wants_advice = app.settings.get_bool("advice.detachedHead")
        if not explicit and wants_advice and result.old_branch is not None:
            app.out.note(_ADVICE.format(target=target))
        app.out.note(f"HEAD is now at {changed.one_line(app, result.commit)}")
    elif result.branch == result.old_branch:
        app.out.note(f"{'Reset branch' if reset else 'Already on'} '{result.branch}'")
    elif result.created:
        app.out.note(f"Switched to a new branch '{result.branch}'")
    elif reset:
        app.out.note(f"Switched to and reset branch '{result.branch}'")
    else:
        app.out.note(f"Switched to branch '{result.branch}'")
    changed.say_parked(app, result)


def _check_start(app: App, start: str, complaint: str) -> None:
    """Word an unknown start point of a new branch as git does."""
    try:
        app.repository.resolve(start)
    except EnvgitError as error:
        raise EnvgitError(complaint) from error


def _sort_out(
    app: App, names: Sequence[str], after: Sequence[str] | None, *, creates: bool
) -> tuple[str | None, tuple[str, ...]]:
    """Tell the revision from the paths, by git's rules: a first word that names a commit is one."""
    if after is not None:
        if len(names) > 1:
            raise EnvgitError("only one reference expected")
        return (names[0] if names else None), tuple(after)
    if not names:
        return None, ()
    if creates:
        if len(names) > 1:
            raise EnvgitError("paths cannot be used with switching branches")
        return names[0], ()
    if names[0] == "-":
        return "-", tuple(names[1:])
    try:
        app.repository.resolve(names[0])
    except EnvgitError:
        return None, tuple(names)
    return names[0], tuple(names[1:])


def _bring_back(app: App, paths: Sequence[str], source: str | None, *, told: bool) -> int:
    """Restore ``paths``; the exit status, which is post-checkout's if it fails, as in git."""

    def report(changed: Sequence[Change]) -> None:
        if told:
            _say_updated(app, len(changed), source)

    wanted = [os.fsencode(path) for path in paths]
    try:
        app.repository.restore(wanted, source=source, report=report)
    except HookFailed as error:
        app.out.note(f"error: {error.message}")
        return error.status
    return 0


def _say_updated(app: App, count: int, revision: str | None) -> None:
    git = app.repository.git
    commit = app.repository.resolve(revision or "HEAD")
    paths = "path" if count == 1 else "paths"
    app.out.note(f"Updated {count} {paths} from {git.abbrev(commit)}")
