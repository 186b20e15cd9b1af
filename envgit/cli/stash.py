# SPDX-License-Identifier: Apache-2.0
"""`stash`: uncommitted changes put away and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.diffview import diff_options
from envgit.cli.logoptions import log_options
from envgit.cli.verb import Group, Verb, argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError, Refused

if TYPE_CHECKING:
    from envgit.porcelain.foundation.stashlist import Stashed
    from envgit.porcelain.stash import Applied


def _pushing(name: str, *usage: str, **options: Any) -> Callable[[Callable[..., int]], Verb]:
    """A way to say `stash push`: they differ in what their arguments are."""

    def decorate(function: Callable[..., Any]) -> Verb:
        for declared in (
            argument("words", nargs=-1),
            flag("-k, --keep-index", "accepted and meaningless: there is no staging area"),
            flag("-a, --all", "accepted and meaningless: everything is tracked", to="everything"),
            flag("-u, --include-untracked", "accepted and meaningless", to="untracked"),
            value("-m, --message <message>", "what the entry is called"),
            flag("-q, --quiet", "be quiet, only report errors"),
        ):
            function = declared(function)
        return verb(name, *usage, **options)(function)

    return decorate


@_pushing(
    "stash push",
    "stash [push [-q | --quiet] [(-m | --message) <message>] [--] [<path>...]]",
    dashes=True,
)
def push(
    app: App,
    quiet: bool,
    message: str | None,
    words: tuple[str, ...],
    paths: tuple[str, ...] | None,
    **_: bool,
) -> int:
    """Put the uncommitted changes away, and go back to HEAD.

    With paths, only what lies there. The commands that were recorded with the changes go along and
    come back with them.
    """
    return _push(app, message, [*words, *(paths or ())], quiet=quiet)


@_pushing("stash save", "stash save [-q | --quiet] [<message>]")
def save(app: App, quiet: bool, message: str | None, words: tuple[str, ...], **_: bool) -> int:
    """The same, with the message as argument (an older form)."""
    return _push(app, message or " ".join(words) or None, (), quiet=quiet)


def _push(app: App, message: str | None, paths: Sequence[str], *, quiet: bool) -> int:
    from envgit.porcelain.stash import push as put_away

    made = put_away(app.repository, message, paths=paths)
    if made is None:
        _say(app, "No local changes to save", quiet=quiet)
    else:
        _say(app, f"Saved working directory and index state {made.subject}", quiet=quiet)
    return 0


@verb("stash list", "stash list [<log-options>]", number="--max-count")
@log_options
@json_flag
@argument("paths", nargs=-1)
def list_(app: App, as_json: bool, paths: tuple[str, ...], **options: Any) -> int:
    """List the entries, newest first."""
    from envgit.cli.history import write_reflog
    from envgit.porcelain.foundation.stashlist import entries

    if as_json:
        app.out.json(entries(app.repository))
        return 0
    if not entries(app.repository):
        return 0
    if not options["pretty"]:
        options["pretty"] = "%gd: %gs"
    write_reflog(app, ["refs/stash"], paths, options)
    return 0


@verb("stash show", "stash show [<diff-options>] [<stash>]")
@diff_options
@flag("--include-untracked", "accepted and meaningless")
@flag("--only-untracked", "", hidden=True)
@json_flag
@argument("words", nargs=-1)
def show(app: App, as_json: bool, words: tuple[str, ...], **options: Any) -> int:
    """Show what an entry changed, by default as --stat."""
    from envgit.cli.difference import records_of
    from envgit.cli.diffview import view_of
    from envgit.porcelain.difference import between
    from envgit.porcelain.foundation.stashlist import find

    del options["include_untracked"], options["only_untracked"]
    found = find(app.repository, _one(words))
    app.out.colour_for("diff", when=options.pop("color"))
    view = view_of(options, app.settings, default=_shown_parts(app))
    app.page()
    parent = app.repository.git.commit(found.commit).parents[0]
    difference = between(app.repository, parent, found.commit, choice=view.choice)
    if as_json:
        app.out.json(records_of(difference, view))
    else:
        view.write(app, difference)
    return 0


def _shown_parts(app: App) -> tuple[str, ...]:
    """stash.showStat and stash.showPatch of git-config(1)."""
    asked = (("stat", "stash.showStat"), ("patch", "stash.showPatch"))
    return tuple(part for part, setting in asked if app.settings.get_bool(setting))


@verb("stash apply", "stash apply [--index] [-q | --quiet] [<stash>]")
@flag("--index", "accepted and meaningless: there is no staging area", to="staged")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("words", nargs=-1)
def apply(app: App, staged: bool, quiet: bool, words: tuple[str, ...]) -> int:
    """Bring an entry's changes back, and keep the entry."""
    from envgit.porcelain.stash import apply as take_out

    with changed.listing_merge_blockers(app):
        applied = take_out(app.repository, _one(words))
    return _say_applied(app, applied, quiet=quiet)


@verb("stash pop", "stash pop [--index] [-q | --quiet] [<stash>]")
@flag("--index", "accepted and meaningless: there is no staging area", to="staged")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("words", nargs=-1)
def pop(app: App, staged: bool, quiet: bool, words: tuple[str, ...]) -> int:
    """Bring an entry's changes back, and take it off the list.

    When there are conflicts, it stays on the list.
    """
    from envgit.porcelain.foundation.carry import WouldOverwrite
    from envgit.porcelain.stash import apply as take_out

    try:
        with changed.listing_merge_blockers(app):
            applied = take_out(app.repository, _one(words), pop=True)
    except WouldOverwrite:
        app.out.line(_KEPT)
        raise
    return _say_applied(app, applied, quiet=quiet)


_KEPT = "The stash entry is kept in case you need it again."


def _say_applied(app: App, applied: Applied, *, quiet: bool) -> int:
    for line in applied.messages:
        app.out.line(line)
    if not quiet:
        _say_status(app)
    if applied.conflicts:
        if applied.popped:
            app.out.line(_KEPT)
        return 1
    if applied.popped:
        _say_dropped(app, applied.entry, quiet=quiet)
    return 0


@verb("stash drop", "stash drop [-q | --quiet] [<stash>]")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("words", nargs=-1)
def drop(app: App, quiet: bool, words: tuple[str, ...]) -> int:
    """Take an entry off the list; "envgit undo" brings it back."""
    from envgit.porcelain.stash import drop as take_off

    _say_dropped(app, take_off(app.repository, _one(words)), quiet=quiet)
    return 0


@verb("stash clear", "stash clear")
@argument("words", nargs=-1)
def clear(app: App, words: tuple[str, ...]) -> int:
    """Take all entries off the list; "envgit undo" brings them back."""
    from envgit.porcelain.stash import clear as empty

    if words:
        raise Refused("envgit stash clear with arguments is unimplemented")
    empty(app.repository)
    return 0


@verb("stash branch", "stash branch <branchname> [<stash>]")
@argument("words", nargs=-1)
def branch(app: App, words: tuple[str, ...]) -> int:
    """Make a branch where the entry was made, with its changes, and take it off the list."""
    from envgit.porcelain.stash import branch as grow

    if not words:
        raise StashRefused("No branch name specified")
    with changed.listing_overwritten(app):
        applied = grow(app.repository, words[0], _one(words[1:]))
    app.out.note(f"Switched to a new branch '{words[0]}'")
    return _say_applied(app, applied, quiet=False)


@verb("stash create", "stash create [<message>]")
@argument("words", nargs=-1)
def create(app: App, words: tuple[str, ...]) -> int:
    """Make an entry's commit without storing it anywhere, and print its id."""
    from envgit.porcelain.stash import create as make

    made = make(app.repository, " ".join(words) or None)
    if made is not None:
        app.out.line(made)
    return 0


@verb("stash store", "stash store [(-m | --message) <message>] [-q | --quiet] <commit>")
@value("-m, --message <message>", "what the entry is called")
@flag("-q, --quiet", "be quiet, only report errors")
@argument("words", nargs=-1)
def store(app: App, message: str | None, quiet: bool, words: tuple[str, ...]) -> int:
    """Put a commit that "stash create" made on the list."""
    from envgit.porcelain.stash import store as keep

    if len(words) != 1:
        raise StashRefused('"envgit stash store" requires one <commit> argument')
    keep(app.repository, words[0], message)
    return 0


class StashRefused(Refused):
    """A line that ``stash`` cannot take; said without a prefix, as git says it."""

    prefix = ""


class _Stash(Group):
    """`stash` alone, and `stash` before an option, mean `stash push`."""

    def run(self, words: Sequence[str], app: Any) -> int:
        first = words[0] if words else ""
        if first.startswith("-") and first not in ("-h", "--help"):
            return super().run(["push", *words], app)
        if first and not first.startswith("-") and f"stash {first}" not in self.verbs:
            raise EnvgitError(
                f"subcommand wasn't specified; 'push' can't be assumed due to unexpected token"
                f" '{first}'"
            )
        return super().run(words, app)


stash = _Stash(
    "stash",
    (push, save, list_, show, apply, pop, drop, clear, branch, create, store),
    default="push",
    help="""Put uncommitted changes away, and take them out again.

    Everything uncommitted is put away: there is no staging area, and no file is untracked. Entries
    are called stash@{0} (the newest), stash@{1} and so on, or by the number alone. They are commits
    on top of the HEAD they were made on; every worktree of the repository sees them, and they are
    kept until they are dropped.
    """,
)


def _one(words: Sequence[str]) -> str | None:
    if len(words) > 1:
        named = " ".join(f"'{word}'" for word in words)
        raise StashRefused(f"Too many revisions specified: {named}")
    return words[0] if words else None


def _say_status(app: App) -> None:
    from envgit.cli import statusview

    app.out.colour_for("status")
    hints = app.settings.get_bool("advice.statusHints")
    for line in statusview.long(app, app.repository.status(), hints=hints):
        app.out.line(line)


def _say_dropped(app: App, entry: Stashed, *, quiet: bool) -> None:
    _say(app, f"Dropped {entry.shown} ({entry.commit})", quiet=quiet)


def _say(app: App, text: str, *, quiet: bool) -> None:
    if not quiet:
        app.out.line(text)
