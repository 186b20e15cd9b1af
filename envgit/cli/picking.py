# SPDX-License-Identifier: Apache-2.0
"""`cherry-pick` and `revert`: the changes of commits done again, or undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envgit.cli import changed, editor, summary
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envgit.porcelain.commit import CommitResult
    from envgit.porcelain.foundation.sequencer import Calls, Picked, PickOptions, Stopped
    from envgit.porcelain.pick import PickResult

_FAVOURS = ("ours", "theirs", "newest")


def _declared(function: Callable[..., int]) -> Callable[..., int]:
    """The options that both verbs have, in git's order."""
    for one in reversed(
        (
            flag("--quit", "end revert or cherry-pick sequence", to="action", flag_value="quit"),
            flag("--continue", "resume revert or cherry-pick sequence", to="action",
                 flag_value="continue"),
            flag("--abort", "cancel revert or cherry-pick sequence", to="action",
                 flag_value="abort"),
            flag("--skip", "skip current commit and continue", to="action", flag_value="skip"),
            flag("-n, --no-commit", "don't automatically commit", to="no_commit"),
            flag("-e, --edit", "edit the commit message", default=None),
            flag("-s, --signoff", "add a Signed-off-by trailer"),
            value("-m, --mainline <parent-number>", "select mainline parent", type=int),
            value("-X, --strategy-option <option>", "ours or theirs: settle conflicts for one side;"
                  " newest: of a package in two versions take the newer",
                  to="strategy_options", multiple=True),
            flag("--newest", "take the newer of a package in two versions (-X newest)"),
            json_flag,
            argument("names", nargs=-1),
        )
    ):  # fmt: skip
        function = one(function)
    return function


@verb(
    "cherry-pick",
    "cherry-pick [--edit] [-n] [-m <parent-number>] [-s] [-x] [--ff] <commit>...",
    "cherry-pick (--continue | --skip | --abort | --quit)",
)
@_declared
@flag("-x", "append commit name", to="origin")
@flag("--ff", "allow fast-forward")
@flag("--allow-empty", "preserve initially empty commits")
@flag("--allow-empty-message", "allow commits with empty messages")
@flag("--keep-redundant-commits", "keep redundant, empty commits", to="keep_redundant")
def cherry_pick(app: App, **given: Any) -> int:
    """Do the changes of commits again on top of HEAD.

    Each becomes a commit with the old author and message, and with the commands that were recorded
    in it. Of a range, the oldest comes first. Uncommitted changes stay where they are not touched.

    At conflicts it stops: resolve them in the environment, mark them with "envgit add", then
    "envgit cherry-pick --continue".
    """
    return _main(app, "cherry-pick", given)


@verb(
    "revert",
    "revert [--[no-]edit] [-n] [-m <parent-number>] [-s] <commit>...",
    "revert (--continue | --skip | --abort | --quit)",
)
@_declared
@flag("--reference", "use the 'reference' format to refer to commits")
def revert(app: App, **given: Any) -> int:
    """Undo the changes of commits, in new commits on top of HEAD.

    Of a range, the newest comes first. Uncommitted changes stay where they are not touched. Stops
    at conflicts, as cherry-pick does.
    """
    return _main(app, "revert", given)


def _main(app: App, verb: str, given: dict[str, Any]) -> int:
    from envgit.porcelain.commit import EmptyMessage
    from envgit.porcelain.foundation.sequencer import NothingToSay

    as_json, action, names = given.pop("as_json"), given.pop("action"), given.pop("names")
    try:
        with _failing(app, verb):
            return _act(app, verb, action, names, given, as_json=as_json)
    except (EmptyMessage, NothingToSay) as error:
        app.out.note(error.message)
        return 1


def _act(
    app: App,
    verb: str,
    action: str | None,
    names: tuple[str, ...],
    given: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    from envgit.porcelain import pick

    asked = given["edit"]
    options = _options(verb, action, names, given)
    if action == "quit":
        pick.quit_sequence(app.repository)
        return 0
    if action == "abort":
        if pick.abort(app.repository).moved:
            app.out.warning("You seem to have moved HEAD. Not rewinding, check your HEAD!")
        return 0
    talk = _calls(app, asks=_asks(app, verb, asked), quiet=as_json)
    if action == "skip":
        result = pick.skip(app.repository, verb, calls=talk)
    elif action == "continue":
        try:
            result = _go_on(app, verb, asked, talk, quiet=as_json)
        except pick.NothingToCommit:
            _say_empty(app, verb)
            return 1
    else:
        do = pick.cherry_pick if verb == "cherry-pick" else pick.revert
        result = do(app.repository, names, options=options, calls=talk)
    if as_json:
        app.out.json(result)
    return _end(app, result, quiet=as_json)


def _options(verb: str, action: str | None, names: tuple[str, ...], given: Any) -> PickOptions:
    from envgit.porcelain.foundation.packages.disputes import favouring
    from envgit.porcelain.foundation.sequencer import PickOptions

    if action is not None:
        for name, flagged in given.items():
            if flagged and name != "edit":
                text = name.replace("_", "-")
                raise EnvgitError(f"{verb}: --{text} cannot be used with --{action}")
        if names:
            raise UsageProblem(f"{verb}: --{action} takes no commits", usage="short")
        return PickOptions()
    if not names:
        raise UsageProblem("", usage="short")
    if given.get("ff"):
        for name, shown in (("signoff", "--signoff"), ("no_commit", "--no-commit"),
                            ("origin", "-x"), ("edit", "--edit")):  # fmt: skip
            if given[name]:
                raise EnvgitError(f"{verb}: {shown} cannot be used with --ff")
    if given["mainline"] is not None and given["mainline"] < 1:
        raise UsageProblem("option `mainline' expects a number greater than zero")
    favours = [*given.pop("strategy_options"), *(["newest"] if given.pop("newest") else [])]
    for option in favours:
        if option not in _FAVOURS:
            raise EnvgitError(f"unknown strategy option: -X{option}")
    favour = favouring(favours)
    commit = not given.pop("no_commit")
    if given.get("keep_redundant"):
        given["allow_empty"] = True
    return PickOptions(commit=commit, favour=favour, **given)


def _asks(app: App, verb: str, edit: bool | None) -> bool:
    """Whether an editor opens on each message: for revert when somebody sits there, as in git."""
    return bool(edit) or (edit is None and verb == "revert" and app.stdin_is_terminal)


def _calls(app: App, *, asks: bool, quiet: bool) -> Calls:
    from envgit.porcelain.foundation.sequencer import Calls

    def done(picked: Picked) -> None:
        if quiet:
            return
        for line in picked.merged:
            app.out.line(line)
        if picked.commit is not None and not picked.forward:
            summary.write(app, _as_committed(picked), dated=True)

    return Calls(done, _edit(app) if asks else None, _template(app) if asks else None)


def _edit(app: App) -> Callable[[str], str]:
    return lambda text: editor.edit(app, editor.default_path(app, "COMMIT_EDITMSG"), text)


def _template(app: App) -> Callable[[str], str]:
    def fill(draft: str) -> str:
        from envgit.cli.template import template

        return template(app, draft, verbose=False)

    return fill


def _as_committed(picked: Picked) -> CommitResult:
    from envgit.porcelain.commit import CommitResult

    assert picked.commit is not None  # the caller looked
    return CommitResult(
        commit=picked.commit,
        branch=picked.branch,
        root=False,  # git does not say (root-commit) of what is picked
        subject=picked.subject,
        changes=picked.changes,
        skipped=(),
        author=picked.author,
        committer=picked.committer,
    )


def _go_on(app: App, verb: str, edit: bool | None, talk: Calls, *, quiet: bool) -> PickResult:
    from envgit.porcelain import pick

    asks = edit if edit is not None else app.stdin_is_terminal

    def concluded(result: CommitResult) -> None:
        if not quiet:
            summary.write(app, result, dated=verb == "cherry-pick")

    return pick.go_on(
        app.repository,
        calls=talk,
        edit=_edit(app) if asks else None,
        template=_template(app) if asks else None,
        concluded=concluded,
    )


@contextmanager
def _failing(app: App, verb: str) -> Iterator[None]:
    """What git adds to an error that ends a sequence: a line of its own, and status 128."""
    from envgit.porcelain.commit import EmptyMessage, NothingToCommit
    from envgit.porcelain.foundation.carry import WouldOverwrite
    from envgit.porcelain.foundation.sequencer import NothingToSay

    try:
        with changed.listing_merge_blockers(app):
            yield
    except (NothingToCommit, EmptyMessage, NothingToSay):
        raise
    except WouldOverwrite as error:
        error.message += f"\nfatal: {verb} failed"
        error.exit_code = 128  # type: ignore[misc]
        raise
    except Refused as error:
        error.message += "".join(f"\nhint: {line}" for line in (error.hint or "").splitlines())
        error.hint = None
        error.message += f"\nfatal: {verb} failed"
        error.exit_code = 128  # type: ignore[misc]
        raise


def _end(app: App, result: PickResult, *, quiet: bool) -> int:
    stopped = result.stopped
    if stopped is None:
        return 0
    if not quiet:
        for line in stopped.merged:
            app.out.line(line)
    if stopped.why == "empty":
        _say_empty(app, stopped.verb)
    else:
        _say_conflicts(app, stopped)
    return 1


_NOW_EMPTY = """\
The previous cherry-pick is now empty, possibly due to conflict resolution.
If you wish to commit it anyway, use:

    envgit commit --allow-empty

Otherwise, please use 'envgit cherry-pick --skip'"""


def _say_empty(app: App, verb: str) -> None:
    if verb == "cherry-pick":
        app.out.note(_NOW_EMPTY)
    _say_status(app)


def _say_status(app: App) -> None:
    from envgit.cli import statusview

    app.out.colour_for("status")
    status = app.repository.status()
    for line in statusview.long(app, status, hints=app.settings.get_bool("advice.statusHints")):
        app.out.line(line)


def _say_conflicts(app: App, stopped: Stopped) -> None:
    git, verb = app.repository.git, stopped.verb
    did = "revert" if verb == "revert" else "apply"
    subject = git.commit(stopped.source).subject
    app.out.note(f"error: could not {did} {git.abbrev(stopped.source)}... {subject}")
    if not stopped.commits:
        app.out.hint("after resolving the conflicts, mark the corrected paths")
        app.out.hint("with 'envgit add <paths>' or 'envgit restore --ours|--theirs <paths>'")
        return
    for line in (
        "After resolving the conflicts, mark them with",
        '"envgit add <pathspec>" or "envgit restore --ours|--theirs <pathspec>", then run',
        f'"envgit {verb} --continue".',
        f'You can instead skip this commit with "envgit {verb} --skip".',
        f'To abort and get back to the state before "envgit {verb}",',
        f'run "envgit {verb} --abort".',
    ):
        app.out.hint(line)
