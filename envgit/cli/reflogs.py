# SPDX-License-Identifier: Apache-2.0
"""`reflog`: where refs have been, shown, and taken out entry by entry. Source: git-reflog(1)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.history import write_reflog
from envgit.cli.logoptions import ONELINE, log_options
from envgit.cli.verb import Group, argument, execute, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError
from envgit.porcelain import reflogs

if TYPE_CHECKING:
    from envgit.porcelain.reflogs import Shortened

_EDITING = section(
    "What is done",
    flag("-n, --dry-run", "only say what would go"),
    flag("--rewrite", "let each entry's old id be the new one of the entry before"),
    flag("--updateref", "not here: 'envgit reset' moves a branch, and can be undone"),
    flag("--verbose", "say what stays and what goes"),
)


@verb(
    "reflog show",
    "reflog [show] [<log-options>] [<ref>]",
    dashes=True,
    number="--max-count",
)
@log_options
@json_flag
@argument("arguments", nargs=-1)
def show(
    app: App, as_json: bool, arguments: tuple[str, ...], paths: Sequence[str] | None, **options: Any
) -> int:
    """Show where a branch or HEAD has been.

    The same as "envgit log -g --abbrev-commit --pretty=oneline".
    """
    if options["pretty"] is None:
        options["pretty"] = ONELINE
    write_reflog(app, arguments, list(paths or ()), options, as_json=as_json)
    return 0


@verb("reflog exists", "reflog exists <ref>")
@argument("ref", nargs=-1)
def exists(app: App, ref: tuple[str, ...]) -> int:
    """Exit with 0 if the ref of that full name has a reflog, else with 1."""
    if len(ref) != 1:
        raise UsageProblem("one ref is needed", usage="short")
    return 0 if reflogs.has_log(app.repository, ref[0]) else 1


@verb("reflog expire", "reflog expire [<options>] [--all | <ref>...]")
@value("--expire <time>", "drop entries older than this (default: gc.reflogExpire)")
@value(
    "--expire-unreachable <time>",
    "and those that the ref does not lead to (gc.reflogExpireUnreachable)",
)
@flag("--all", "of every reflog", to="every")
@_EDITING
@json_flag
@argument("refs", nargs=-1)
def expire(
    app: App,
    expire: str | None,
    expire_unreachable: str | None,
    every: bool,
    dry_run: bool,
    rewrite: bool,
    updateref: bool,
    verbose: bool,
    as_json: bool,
    refs: tuple[str, ...],
) -> int:
    """Drop old entries of reflogs. Envgit gc does that, too."""
    _check(updateref=updateref)
    found = reflogs.expire_reflogs(
        app.repository,
        refs,
        now=int(time.time()),
        total=expire,
        unreachable=expire_unreachable,
        every=every,
        rewrite=rewrite,
        dry_run=dry_run,
    )
    _tell(app, found, dry_run=dry_run, verbose=verbose, as_json=as_json)
    return 0


@verb("reflog delete", "reflog delete [<options>] <ref>@{<number or date>}...")
@_EDITING
@json_flag
@argument("places", nargs=-1)
def delete(
    app: App,
    dry_run: bool,
    rewrite: bool,
    updateref: bool,
    verbose: bool,
    as_json: bool,
    places: tuple[str, ...],
) -> int:
    """Drop single entries of reflogs."""
    _check(updateref=updateref)
    found = reflogs.delete_entries(
        app.repository, places, now=int(time.time()), rewrite=rewrite, dry_run=dry_run
    )
    _tell(app, found, dry_run=dry_run, verbose=verbose, as_json=as_json)
    return 0


def _check(*, updateref: bool) -> None:
    if updateref:
        raise EnvgitError(
            "a reflog does not move its ref here: no --updateref",
            hint="'envgit reset' moves the branch, and 'envgit undo' takes that back",
        )


def _tell(
    app: App, found: Sequence[Shortened], *, dry_run: bool, verbose: bool, as_json: bool
) -> None:
    if as_json:
        app.out.json([{"ref": log.ref, "entry": entry, "dropped": gone}
                      for log in found for entry, gone in log.entries])  # fmt: skip
        return
    for log in found if verbose or dry_run else ():
        for entry, gone in reversed(log.entries):
            if verbose or gone:
                word = ("would prune" if dry_run else "prune") if gone else "keep"
                app.out.line(f"{word} {entry.message}")


class Reflog(Group):
    """The verb: without a word of its own it shows a log."""

    def run(self, words: Sequence[str], app: App) -> int:
        """Hand the line on to the verb that its first word names, or show."""
        named = words and f"{self.name} {words[0]}" in self.verbs
        if named or list(words[:1]) in (["-h"], ["--help"]):
            return super().run(words, app)
        return execute(show, words, app)


reflog = Reflog(
    "reflog",
    (show, exists, expire, delete),
    default="show",
    help="""Show where a branch or HEAD has been.

    Entries expire with "envgit gc"; "expire" and "delete" take them out by hand. That is no
    operation of its own: "envgit undo" brings back what commands did, by the operation log.""",
)
