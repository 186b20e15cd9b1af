# SPDX-License-Identifier: Apache-2.0
"""`merge` and `add`: joins histories, says what happened in git's lines, marks what is resolved."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import editor
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.porcelain.merge import Blocked, MergeResult

_TEMPLATE = """\
# Please enter a commit message to explain why this merge is necessary,
# especially if it merges an updated upstream into a topic branch.
#
# Lines starting with '#' will be ignored, and an empty message aborts
# the commit.
"""
_FAILED = "Automatic merge failed; fix conflicts and then commit the result."
# What branch.<name>.mergeOptions may hold (git-config(1)), as options of this verb.
_OPTIONS: dict[str, tuple[str, object]] = {
    "--ff": ("ff", True),
    "--no-ff": ("ff", False),
    "--ff-only": ("ff_only", True),
    "--squash": ("squash", True),
    "--no-squash": ("squash", False),
    "--commit": ("commit", True),
    "--no-commit": ("commit", False),
    "--log": ("log", "20"),
    "--no-log": ("log", "0"),
    "--stat": ("stat", True),
    "-n": ("stat", False),
    "--no-stat": ("stat", False),
    "--edit": ("edit", True),
    "--no-edit": ("edit", False),
    "--newest": ("newest", True),
    "--no-newest": ("newest", False),
}


@verb("merge", "merge [<options>] [<commit>...]", "merge --abort", "merge --continue")
@flag("--stat", "show a diffstat at the end of the merge", default=None)
@flag("-n", "do not show a diffstat at the end of the merge", to="no_diffstat")
@flag("--summary", "(synonym to --stat)", hidden=True)
@value("--log[=<n>]", "add (at most <n>) subjects to the merge commit message", bare="20")
@flag("--squash", "create a single commit instead of doing a merge", default=None)
@flag("--commit", "perform a commit if the merge succeeds (default)", default=None)
@flag("-e, --edit", "edit message before committing", default=None)
@flag("--ff", "allow fast-forward (default)", default=None)
@flag("--ff-only", "abort if fast-forward is not possible", default=None)
@value("-s, --strategy <strategy>", "merge strategy to use: ort, ours, octopus")
@value(
    "-X, --strategy-option <option>",
    "ours or theirs: which side a conflicting line or package is taken from; newest: of a package"
    " in two versions the newer",
    to="favours",
    multiple=True,
)
@flag("--newest", "take the newer of a package in two versions (-X newest)", default=None)
@value(
    "-m, --message <message>",
    "merge commit message (for a non-fast-forward merge)",
    to="messages",
    multiple=True,
)
@value("-F, --file <path>", "read message from file")
@flag("-v, --verbose", "accepted: nothing more is known", hidden=True)
@flag("-q, --quiet", "be more quiet")
@section(
    "A merge that stopped",
    flag("--abort", "abort the current in-progress merge"),
    flag("--quit", "--abort but leave the worktree alone", to="quits"),
    flag("--continue", "continue the current in-progress merge", to="continues"),
)
@flag("--allow-unrelated-histories", "allow merging unrelated histories", to="allow_unrelated")
@flag("--signoff", "add a Signed-off-by trailer")
@flag("--no-verify", "bypass pre-merge-commit and commit-msg hooks", to="no_verify")
@json_flag
@argument("names", nargs=-1)
def merge(
    app: App,
    abort: bool,
    quits: bool,
    continues: bool,
    names: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Join other histories to the current branch.

    What only one side changed is taken from it. Where both changed a path, its mode, owner, time
    and attributes are merged one by one, texts line by line, and databases of package managers,
    users and groups by entry. A package that both sides brought to different versions is one
    conflict, unless -X or --newest decides. What cannot be merged is a conflict: resolve it in the
    environment, by "envgit restore --ours" or "--theirs", or mark it with "envgit add"; then
    "envgit commit" or "envgit merge --continue". "envgit merge --abort" goes back. Uncommitted
    changes stay as they are where the merge does not touch them.
    """
    for option, given in (("--abort", abort), ("--quit", quits), ("--continue", continues)):
        if given and names:
            raise UsageError(f"{option} expects no arguments")
    if abort or quits:
        from envgit.porcelain.merge import abort as abandon
        from envgit.porcelain.merge import quit_merge

        (abandon if abort else quit_merge)(app.repository)
        return 0
    if continues:
        return _conclude(app, edit=options["edit"])
    return _merge(app, names or _upstream(app), _with_settings(app, options), as_json=as_json)


@verb("add", "add [<options>] [--] [<path>...]", dashes=True)
@flag("-A, --all", "every path", to="everything")
@flag("-u, --update", "every path", hidden=True)
@flag("-n, --dry-run", "show what would be marked")
@flag("-v, --verbose", "name what is marked")
@argument("arguments", nargs=-1)
def add(
    app: App,
    everything: bool,
    update: bool,
    dry_run: bool,
    verbose: bool,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
) -> int:
    """Mark conflicts as resolved.

    There is no staging area: everything uncommitted is committed. Of the paths named, those that
    a merge, cherry-pick or revert left in conflict count as resolved from now on; for all others
    nothing needs to be done and nothing is.
    """
    from envgit.porcelain.resolve import mark

    named = [os.fsencode(path) for path in (*arguments, *(paths or ()))]
    if not named and not (everything or update):
        app.out.note("Nothing specified, nothing added.")
        return 0
    for path in mark(app.repository, named, dry_run=dry_run):
        if verbose or dry_run:
            app.out.line(f"add '{app.out.path(path)}'")
    return 0


def _upstream(app: App) -> tuple[str, ...]:
    """What ``merge`` without a name merges (git: builtin/merge.c, setup_with_upstream)."""
    git = app.repository.git
    branch = git.head().branch
    if branch is None:
        raise EnvgitError("No current branch.")
    name = git.upstream(branch)
    if name is None:
        raise EnvgitError("No remote for the current branch.")
    return (name,)


def _with_settings(app: App, given: dict[str, Any]) -> dict[str, Any]:
    """The options, with what settings say where nothing was given."""
    settings = app.settings
    ff = (settings.get("merge.ff") or "").lower()
    chosen: dict[str, Any] = {
        "ff": None if not ff or ff == "only" else ff in ("true", "yes", "on", "1"),
        "ff_only": ff == "only",
    }
    branch = app.repository.git.head().branch
    said = settings.get(f"branch.{branch}.mergeoptions") if branch is not None else None
    for word in shlex.split(said or ""):
        name, set_to = _OPTIONS.get(word, ("", None))
        if not name:
            raise EnvgitError(f"Bad branch.{branch}.mergeoptions string: '{said}'")
        chosen[name] = set_to
    for name, set_to in given.items():
        if set_to is not None or name not in chosen:
            chosen[name] = set_to
    if given["ff"] is not None and given["ff_only"] is None:
        chosen["ff_only"] = False
    if given["ff_only"]:
        chosen["ff"] = None
    log = settings.get("merge.log")
    if chosen["log"] is None and log is not None:
        chosen["log"] = log if log.isdigit() else "20" if log in ("true", "yes", "on") else "0"
    if given["stat"] is None and chosen.get("stat") is None:
        chosen["stat"] = settings.get_bool("merge.stat")
    return chosen


def _merge(app: App, names: Sequence[str], chosen: dict[str, Any], *, as_json: bool) -> int:
    from envgit.porcelain.merge import Blocked, NotMergeable

    quiet = chosen["quiet"]
    _check(chosen)
    message = _message(app, chosen)

    def report(result: MergeResult) -> None:
        if as_json:
            app.out.json(result)
        else:
            stat = chosen["stat"] and not chosen["no_diffstat"]
            _say(app, result, quiet=quiet, stat=stat, squash=chosen["squash"])

    try:
        edit = _editing(app, chosen["edit"], given=message is not None)
        result = app.repository.merge(
            *names,
            message=message,
            edit=edit,
            template=_with_comments if edit is not None else None,
            report=report,
            ff=chosen["ff"] is not False,
            ff_only=bool(chosen["ff_only"]),
            squash=bool(chosen["squash"]),
            commit=chosen["commit"] is not False,
            strategy=chosen["strategy"],
            favour=_favour(chosen["favours"], newest=bool(chosen["newest"])),
            allow_unrelated=chosen["allow_unrelated"],
            log=_number(chosen["log"]),
            signoff=chosen["signoff"],
            verify=not chosen["no_verify"],
        )
    except NotMergeable as error:
        app.out.note(error.message)
        return 1
    except Blocked as error:
        return _say_blocked(app, error, chosen["strategy"] or "ort", quiet=quiet)
    return 1 if result.conflicts or result.outcome in ("no message", "refused") else 0


def _check(chosen: dict[str, Any]) -> None:
    if chosen["squash"] and chosen["ff"] is False:
        raise EnvgitError("options '--squash' and '--no-ff.' cannot be used together")
    if chosen["squash"] and chosen["commit"]:
        raise EnvgitError("options '--squash' and '--commit.' cannot be used together")


def _favour(options: Sequence[str], *, newest: bool) -> str | None:
    from envgit.porcelain.foundation.packages.disputes import NEWEST, favouring

    known = [option for option in options if option != "no-renames"]
    for option in known:
        if option not in ("ours", "theirs", NEWEST):
            raise EnvgitError(f"Unknown option for merge-recursive: -X{option}")
    return favouring([*known, *([NEWEST] if newest else [])])


def _number(text: str | None) -> int:
    if text is not None and not text.isdigit():
        raise UsageError(f"option `log' expects a numerical value, not '{text}'")
    return int(text or 0)


def _message(app: App, chosen: dict[str, Any]) -> str | None:
    if chosen["messages"]:
        return editor.clean("\n\n".join(chosen["messages"]), comments=False)
    if chosen["file"] is not None:
        return editor.clean(editor.read_message(app, chosen["file"]), comments=False)
    return None


def _editing(app: App, wanted: bool | None, *, given: bool) -> Callable[[str], str] | None:
    """An editor for the message: asked for, or at a terminal when no message was given (git:
    builtin/merge.c, default_edit_option)."""
    if wanted is None:
        quiet = app.environ.get("ENVGIT_MERGE_AUTOEDIT", "").lower() in ("no", "false", "0")
        wanted = not given and not quiet and app.stdin_is_terminal and app.out.stdout_is_terminal
    if not wanted:
        return None

    return lambda text: editor.edit(app, editor.default_path(app, "MERGE_MSG"), text)


def _with_comments(draft: str) -> str:
    return draft + _TEMPLATE


def _conclude(app: App, *, edit: bool | None) -> int:
    """``--continue``: git calls commit, and so do we."""
    from envgit.cli import summary
    from envgit.cli.template import template
    from envgit.porcelain.merge import require_pending

    require_pending(app.repository)

    def ask(text: str) -> str:
        return editor.edit(app, editor.default_path(app, "COMMIT_EDITMSG"), text)

    def fill(draft: str) -> str:
        return template(app, draft, verbose=False)

    asks = editor.command(app) is not None if edit is None else edit
    result = app.repository.commit(edit=ask if asks else None, template=fill if asks else None)
    summary.write(app, result)
    return 0


# -- what is said ---------------------------------------------------------------------------------


def _say(app: App, result: MergeResult, *, quiet: bool, stat: bool, squash: bool) -> None:
    out, git = app.out, app.repository.git
    if result.outcome == "up to date":
        if not quiet:
            out.line("Already up to date." + (" (nothing to squash)" if squash else ""))
        return
    ahead = result.outcome == "fast-forward"
    squashed_ahead = (
        result.outcome == "squashed"
        and len(result.theirs) == 1
        and result.old is not None
        and git.is_ancestor(result.old, result.theirs[0])
    )
    if (ahead or squashed_ahead) and result.old is not None and not quiet:
        out.line(f"Updating {git.abbrev(result.old)}..{git.abbrev(result.theirs[0])}")
        out.line("Fast-forward")
    for message in result.messages:
        out.line(message)
    if result.outcome == "merged" and not quiet:
        out.line(f"Merge made by the '{result.strategy}' strategy.")
    if result.squashed and not quiet:
        out.line("Squash commit -- not updating HEAD")
    if result.outcome == "conflicts":
        out.line(_FAILED)
    elif result.outcome == "stopped" or (result.outcome == "squashed" and not squashed_ahead):
        out.note("Automatic merge went well; stopped before committing as requested")
    elif result.outcome == "no message":
        out.note("error: Empty commit message.")
    if result.outcome in ("no message", "refused"):
        out.note("Not committing merge; use 'envgit commit' to complete the merge.")
    elif stat and not quiet and (ahead or squashed_ahead or result.outcome == "merged"):
        _write_stat(app, result, result.theirs[0] if squashed_ahead else result.commit)


def _write_stat(app: App, result: MergeResult, commit: Any) -> None:
    from envgit.cli.diffview import DiffView
    from envgit.porcelain.difference import between
    from envgit.porcelain.foundation.comparing import Choice, TextOptions

    if result.old is None:
        return
    view = DiffView(frozenset({"stat", "summary"}), TextOptions(), Choice())
    view.write(app, between(app.repository, result.old, commit))


def _say_blocked(app: App, error: Blocked, strategy: str, *, quiet: bool) -> int:
    """Uncommitted changes are in the way: git's list, and its two statuses."""
    git = app.repository.git
    if error.updating is not None and not quiet:
        old, new = error.updating
        app.out.line(f"Updating {git.abbrev(old)}..{git.abbrev(new)}")
    app.out.flush()
    app.out.note(f"error: {error.message}")
    for path in error.paths:
        app.out.note(f"\t{app.out.path(path) or '/'}")
    app.out.note("Please commit your changes or stash them before you merge.\nAborting")
    if error.updating is not None:
        return 1
    app.out.note(f"Merge with strategy {strategy} failed.")
    return 2
