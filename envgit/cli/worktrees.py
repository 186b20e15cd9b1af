# SPDX-License-Identifier: Apache-2.0
"""`worktree`: several environments of one repository, made, listed, moved and removed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.quoting import quote
from envgit.cli.verb import Group, argument, count, flag, json_flag, value, verb
from envgit.config_syntax import parse_age
from envgit.errors import EnvgitError
from envgit.porcelain import worktrees
from envgit.porcelain.foundation.hooks import HookFailed

if TYPE_CHECKING:
    from envgit.porcelain.worktrees import WorktreeInfo


@verb(
    "worktree add",
    "worktree add [-f] [--detach] [--lock [--reason <string>]]"
    " [-b <new-branch>] <path> [<commit-ish>]",
)
@flag("-f, --force", "checkout <branch> even if already checked out in other worktree")
@value("-b <branch>", "create a new branch", to="branch")
@value("-B <branch>", "create or reset a branch", to="force_branch")
@flag("-d, --detach", "detach HEAD at named commit")
@flag("--checkout", "", default=True, hidden=True)
@flag("--lock", "keep the new working tree locked", to="locked")
@value("--reason <string>", "reason for locking")
@flag("-q, --quiet", "suppress progress reporting")
@json_flag
@argument("path", required=True, metavar="<path>")
@argument("revision", metavar="<commit-ish>")
def add(
    app: App,
    force: bool,
    branch: str | None,
    force_branch: str | None,
    detach: bool,
    checkout: bool,
    locked: bool,
    reason: str | None,
    quiet: bool,
    as_json: bool,
    path: str,
    revision: str | None,
) -> int:
    """Make another worktree of the repository in a folder.

    Without a commit it is on a new branch named after the folder. Nothing is copied: however large
    the environment is, this takes a moment.
    """
    if sum(map(bool, (branch, force_branch, detach))) > 1:
        raise EnvgitError("options '-b', '-B', and '--detach' cannot be used together")
    if reason is not None and not locked:
        raise EnvgitError("the option '--reason' requires '--lock'")
    if not checkout:
        raise EnvgitError("'--no-checkout' has no meaning here: nothing is copied into a worktree")

    def say(made: WorktreeInfo) -> None:
        if as_json:
            app.out.json(_as_json(made))
        elif not quiet:
            app.out.line(f"HEAD is now at {changed.one_line(app, made.commit)}")

    try:
        worktrees.add(
            app.repository,
            path,
            revision,
            branch=branch,
            force_branch=force_branch,
            detach=detach,
            force=force,
            locked=(reason or "") if locked else None,
            report=None if quiet or as_json else app.out.note,
            made=say,
        )
    except HookFailed as error:
        app.out.note(f"error: {error.message}")
        return error.status
    return 0


@verb("worktree list", "worktree list [-v | --porcelain [-z]]")
@flag("--porcelain", "machine-readable output")
@flag("-v, --verbose", "show extended annotations and reasons, if available")
@flag("-z", "terminate records with a NUL character", to="nul")
@json_flag
def listing(app: App, porcelain: bool, verbose: bool, nul: bool, as_json: bool) -> int:
    """List the worktrees, the main one first."""
    if verbose and porcelain:
        raise EnvgitError("options '--verbose' and '--porcelain' cannot be used together")
    if nul and not porcelain:
        raise EnvgitError("the option '-z' requires '--porcelain'")
    found = worktrees.listed(app.repository)
    if as_json:
        app.out.json([_as_json(each) for each in found])
    elif porcelain:
        end = "\0" if nul else "\n"
        for each in found:
            app.out.write("".join(f"{line}{end}" for line in [*_porcelain(each, nul=nul), ""]))
    else:
        width = max(len(each.path) for each in found)
        for each in found:
            _print(app, each, width, verbose=verbose)
    return 0


@verb("worktree lock", "worktree lock [--reason <string>] <worktree>")
@value("--reason <string>", "reason for locking")
@argument("path", required=True, metavar="<worktree>")
def lock(app: App, reason: str | None, path: str) -> int:
    """Keep a worktree from being pruned, moved or removed.

    Such as one on a disk that is not always there.
    """
    worktrees.lock(app.repository, path, reason or "")
    return 0


@verb("worktree unlock", "worktree unlock <worktree>")
@argument("path", required=True, metavar="<worktree>")
def unlock(app: App, path: str) -> int:
    """Allow a worktree to be pruned, moved and removed again."""
    worktrees.unlock(app.repository, path)
    return 0


@verb("worktree move", "worktree move <worktree> <new-path>")
@count("-f, --force", "force move even if worktree is dirty or locked")
@argument("path", required=True, metavar="<worktree>")
@argument("target", required=True, metavar="<new-path>")
def move(app: App, force: int, path: str, target: str) -> int:
    """Move a worktree's folder.

    One that was moved by other means is found again when it is used.
    """
    worktrees.move(app.repository, path, target, force=force)
    return 0


@verb("worktree prune", "worktree prune [-n] [-v] [--expire <expire>]")
@flag("-n, --dry-run", "do not remove, show only")
@flag("-v, --verbose", "report pruned working trees")
@value("--expire <expire>", "expire working trees older than <time>")
def prune(app: App, dry_run: bool, verbose: bool, expire: str | None) -> int:
    """Forget worktrees whose folders are gone.

    What was uncommitted in them stays for "envgit undo" until it expires.
    """
    age: int | None = 0
    if expire is not None:
        try:
            age = parse_age(expire)
        except ValueError as error:
            raise UsageProblem(f"malformed expiration date '{expire}'") from error
    report = app.out.note if dry_run or verbose else None
    worktrees.prune(app.repository, dry_run=dry_run, expire=age, report=report)
    return 0


@verb("worktree remove", "worktree remove [-f] <worktree>")
@count("-f, --force", "force removal even if worktree is dirty or locked")
@argument("path", required=True, metavar="<worktree>")
def remove(app: App, force: int, path: str) -> int:
    """Remove a worktree with its folder.

    Its branch stays, and "envgit undo" brings the worktree back with what was uncommitted in it.
    """
    worktrees.remove(app.repository, path, force=force)
    return 0


@verb("worktree repair", "worktree repair [<path>...]")
@argument("paths", nargs=-1, metavar="[<path>...]")
def repair(app: App, paths: tuple[str, ...]) -> int:
    """Let worktrees be found again after something was moved by hand.

    Without a path when the main worktree was moved; else the folders where linked ones are now.
    """
    worktrees.repair(
        app.repository,
        paths or (os.curdir,),
        report=lambda text: app.out.note(f"repair: {text}"),
    )
    return 0


worktree = Group(
    "worktree",
    (add, listing, lock, move, prune, remove, repair, unlock),
    help="""Manage several environments of one repository at once.

    Each worktree has a folder, a HEAD and uncommitted changes of its own. Branches, tags, history
    and layers are shared, so another one takes no room but for what is changed in it. A branch is
    checked out in one worktree only.
    """,
)


def _print(app: App, each: WorktreeInfo, width: int, *, verbose: bool) -> None:
    short = app.repository.git.abbrev(each.commit) if each.commit else "0" * 7
    where = f"[{each.branch}]" if each.branch is not None else "(detached HEAD)"
    line = f"{each.path:<{width}}  {short} {where}"
    if each.locked is not None and not (verbose and each.locked):
        line += " locked"
    if each.prunable is not None and not verbose:
        line += " prunable"
    app.out.line(line)
    if verbose and each.locked:
        app.out.line(f"\tlocked: {each.locked}")
    if verbose and each.prunable is not None:
        app.out.line(f"\tprunable: {each.prunable}")


def _porcelain(each: WorktreeInfo, *, nul: bool) -> list[str]:
    lines = [f"worktree {each.path}", f"HEAD {each.commit or '0' * 40}"]
    lines.append(f"branch refs/heads/{each.branch}" if each.branch is not None else "detached")
    if each.locked is not None:
        reason = each.locked if nul else quote(os.fsencode(each.locked))
        lines.append(f"locked {reason}" if reason else "locked")
    if each.prunable is not None:
        lines.append(f"prunable {each.prunable}")
    return lines


def _as_json(each: WorktreeInfo) -> dict[str, object]:
    return {
        "name": each.name or None,
        "path": each.path,
        "commit": each.commit,
        "branch": each.branch,
        "locked": each.locked,
        "prunable": each.prunable,
        "worktree": each.id,
    }
