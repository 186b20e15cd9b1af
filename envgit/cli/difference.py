# SPDX-License-Identifier: Apache-2.0
"""`diff`: what differs between two states of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview
from envgit.cli.app import App
from envgit.cli.diffview import PACKAGES, DiffView, asks_for_colour, diff_options, view_of
from envgit.cli.stat import status_of
from envgit.cli.verb import argument, flag, json_flag, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.difference import Difference


@verb(
    "diff",
    "diff [<options>] [<commit>] [--] [<path>...]",
    "diff [<options>] <commit> <commit> [--] [<path>...]",
    "diff [<options>] <commit>...<commit> [--] [<path>...]",
    dashes=True,
)
@diff_options
@flag("--exit-code", "exit with 1 if there are differences, else 0")
@flag("--quiet", "the same, and print nothing")
@flag("--merge-base", "begin at the common ancestor")
@flag("--cached, --staged", "not here: there is no staging area")
@json_flag
@argument("arguments", nargs=-1)
def diff(
    app: App,
    exit_code: bool,
    quiet: bool,
    merge_base: bool,
    cached: bool,
    as_json: bool,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
    **options: Any,
) -> int:
    """Show changes between commits, or commit and worktree.

    Without a commit: what changed since HEAD. With one: from that commit to the worktree. With two,
    or A..B: from the first to the second; A...B: from their common ancestor to B.
    """
    if cached:
        raise EnvgitError(
            "there is no staging area, so there is nothing cached to compare",
            hint="'envgit diff' shows what is uncommitted, all of which 'envgit commit' records",
        )
    app.out.colour_for("diff", when=asks_for_colour(options))
    view = view_of(options, app.settings, default=("patch",))
    if not quiet:
        app.page()
    found = _difference(app, arguments, paths, view, merge_base=merge_base)
    if as_json:
        app.out.json(_as_json(found, view))
    elif not quiet:
        view.write(app, found)
    if PACKAGES in view.parts:
        packageview.Problems(app).tell(found.packages.problems)
    return int((exit_code or quiet) and (view.shows(found) if view else bool(found)))


def _difference(
    app: App,
    arguments: Sequence[str],
    paths: Sequence[str] | None,
    view: DiffView,
    *,
    merge_base: bool,
) -> Difference:
    from envgit.porcelain import difference
    from envgit.porcelain.foundation import ranges

    repository = app.repository
    revisions, picked = ranges.split_arguments(repository, arguments, paths)
    sides = ranges.sides_of(repository, revisions, merge_base=merge_base)
    if sides.worktree:
        return difference.with_worktree(repository, sides.old, paths=picked, choice=view.choice)
    return difference.between(repository, sides.old, sides.new, paths=picked, choice=view.choice)


def _as_json(found: Difference, view: DiffView) -> object:
    """The list of changed paths; an object where packages are asked for, which has it only if some
    form of it is asked for too."""
    if PACKAGES not in view.parts:
        return records_of(found, view)
    changes = {"changes": records_of(found, view)} if view.parts - {PACKAGES} else {}
    return {**packageview.as_json(found.packages), **changes}


def records_of(found: Difference, view: DiffView) -> list[dict[str, object]]:
    """Each change with both entries; with line counts when numbers were asked for."""
    counted = bool(view.parts & {"stat", "numstat", "shortstat"})
    return [
        {
            "status": status_of(change),
            "path": change.path,
            "old_path": change.old_path,
            "old": change.old,
            "new": change.new,
            **({"lines": found.stat(change, view.text)} if counted else {}),
        }
        for change in found.changes
    ]
