# SPDX-License-Identifier: Apache-2.0
"""`commit`: gathers the message, calls porcelain, and says what was recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import editor, summary
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError
from envgit.porcelain.commit import EmptyAmend, EmptyMessage, NothingToCommit

if TYPE_CHECKING:
    from envgit.porcelain.foundation.repository import Repository


@verb(
    "commit",
    "commit [-a] [-v] [--amend] [(-C | -c) <commit> | -F <file> | -m <msg> | --auto]"
    " [--reset-author] [--allow-empty] [--allow-empty-message] [-e]"
    " [--author=<author>] [--date=<date>] [--] [<path>...]",
)
@flag("-q, --quiet", "suppress summary after successful commit")
@flag("-v, --verbose", "show diff in commit message template")
@section(
    "Commit message options",
    value("-F, --file <file>", "read message from file"),
    value("--author <author>", "override author for commit"),
    value("--date <date>", "override date for commit"),
    value(
        "-m, --message <message>",
        "commit message; several make paragraphs",
        to="messages",
        multiple=True,
    ),
    value(
        "-c, --reedit-message <commit>", "reuse and edit message from specified commit", to="reedit"
    ),
    value("-C, --reuse-message <commit>", "reuse message from specified commit", to="reuse"),
    flag("--reset-author", "the commit is authored by me now (used with -C/-c/--amend)"),
    flag("--auto", "take the drafted message as it is"),
    flag("-e, --edit", "force edit of commit", default=None),
)
@section(
    "Commit contents options",
    flag(
        "-a, --all",
        "accepted and meaningless: everything uncommitted is committed",
        to="everything",
    ),
    flag("-n, --no-verify", "bypass pre-commit and commit-msg hooks", to="no_verify"),
    flag("--dry-run", "show what would be committed"),
    flag("--amend", "amend previous commit"),
    flag("--allow-empty", "ok to record an empty change"),
    flag("--allow-empty-message", "ok to record a change with an empty message"),
    flag("--allow-unflushed", "commit changes that a power cut may have left incomplete"),
)
@json_flag
@argument("paths", nargs=-1)
def commit(
    app: App,
    quiet: bool,
    verbose: bool,
    file: str | None,
    messages: tuple[str, ...],
    reedit: str | None,
    reuse: str | None,
    auto: bool,
    edit: bool | None,
    everything: bool,
    no_verify: bool,
    dry_run: bool,
    as_json: bool,
    paths: tuple[str, ...],
    **options: Any,
) -> int:
    """Record the uncommitted changes as a commit.

    There is no staging area: everything uncommitted is committed, or only what lies beneath the
    paths named, which are paths of the environment ("etc/hosts" and "/etc/hosts" are the same).

    Without a message, an editor opens on a draft: the commands that were run since the last
    commit. --auto takes that draft as it is.

    The summary counts paths, not lines: contents are not read again for it. Use "envgit show
    --stat" for lines.
    """
    _check_sources(messages, file, reedit or reuse, auto)
    if dry_run:
        return _say_what_would_be(app, paths)
    message = _message(app, messages, file, reedit or reuse)
    asks = edit or reedit is not None or (edit is None and message is None and not auto)
    picks = app.repository.git.ref("CHERRY_PICK_HEAD") is not None
    try:
        result = app.repository.commit(
            message,
            paths=[os.fsencode(path) for path in paths],
            auto=auto,
            edit=_edit(app) if asks else None,
            template=_template(app, verbose=verbose) if asks else None,
            source=_source(messages, file, reedit or reuse),
            verify=not no_verify,
            **options,
        )
    except (NothingToCommit, EmptyAmend, EmptyMessage) as error:
        if not as_json:
            return _say_refused(app, error)
        app.out.json({"commit": None, "reason": error.message.rpartition("\n")[2]})
        return 1
    except editor.EditorError as error:
        error.message += "\nPlease supply the message using either -m or -F option."
        raise
    if as_json:
        app.out.json(summary.as_json(result))
    elif not quiet:
        summary.write(app, result, dated=options["amend"] or options["date"] is not None or picks)
    summary.warn_skipped(app, result.skipped)
    return 0


def _say_refused(app: App, error: NothingToCommit | EmptyAmend | EmptyMessage) -> int:
    """git prints the status where there was nothing; its last line says why."""
    if not isinstance(error, NothingToCommit):
        app.out.note(error.message)
    elif _say_what_would_be(app, ()) == 0:
        app.out.line(error.message.rpartition("\n")[2])
    return 1


def _say_what_would_be(app: App, paths: Sequence[str]) -> int:
    """Print the status, as git does for ``--dry-run``; 1 when nothing would be committed."""
    from envgit.cli import statusview

    app.out.colour_for("status")
    status = app.repository.status(paths=paths, packages=True)
    for line in statusview.long(app, status):
        app.out.line(line)
    return 0 if status.changes else 1


def _check_sources(
    messages: Sequence[str], file: str | None, reused: str | None, auto: bool
) -> None:
    named = [
        name
        for name, given in (
            ("-m", bool(messages)),
            ("-F", file is not None),
            ("-C", reused is not None),
            ("--auto", auto),
        )
        if given
    ]
    if len(named) > 1:
        raise EnvgitError(f"options '{named[0]}' and '{named[1]}' cannot be used together")


def _message(app: App, messages: Sequence[str], file: str | None, reused: str | None) -> str | None:
    """The message that options give, cleaned as git cleans what was not edited."""
    if messages:
        return editor.clean("\n\n".join(messages), comments=False)
    if file is not None:
        return editor.clean(editor.read_message(app, file), comments=False)
    if reused is not None:
        repository: Repository = app.repository
        return repository.git.commit(repository.resolve(reused)).message
    return None


def _source(messages: Sequence[str], file: str | None, reused: str | None) -> tuple[str, ...]:
    """What prepare-commit-msg is told of where the message comes from (githooks(5))."""
    if reused is not None:
        return ("commit", reused)
    return ("message",) if messages or file is not None else ()


def _edit(app: App) -> Callable[[str], str]:
    """The user's editor, as porcelain calls it."""
    return lambda text: editor.edit(app, editor.default_path(app, "COMMIT_EDITMSG"), text)


def _template(app: App, *, verbose: bool) -> Callable[[str], str]:
    """What puts git's comments below a draft."""

    def fill(draft: str) -> str:
        from envgit.cli.template import template

        return template(app, draft, verbose=verbose)

    return fill
