# SPDX-License-Identifier: Apache-2.0
"""`branch` and `tag`: the names of commits, listed, made, moved and deleted."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.cli import editor, refformat
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import Function, argument, count, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError
from envgit.porcelain import branches

_GENERIC, _ACTIONS, _LISTING = "Generic options", "Specific actions", "Tag listing options"

_TAG_TEMPLATE = """
#
# Write a message for tag:
#   {name}
# Lines starting with '#' will be ignored.
"""


def _listing(function: Function) -> Function:
    """The options that choose which branches or tags are listed."""
    options = (
        section(
            _GENERIC,
            value("--contains [<commit>]", "print only those that contain the commit", bare="HEAD"),
            value(
                "--no-contains [<commit>]",
                "print only those that don't contain the commit",
                to="no_contains",
                bare="HEAD",
            ),
            value("--merged [<commit>]", "print only those that are merged", bare="HEAD"),
            value(
                "--no-merged [<commit>]",
                "print only those that are not merged",
                to="no_merged",
                bare="HEAD",
            ),
            value("--points-at <object>", "print only those of the object"),
            value("--sort <key>", "refname, committerdate or authordate; - before it reverses"),
            value("--format <format>", "format to use for the output", to="template"),
            flag("-i, --ignore-case", "sorting and filtering are case insensitive"),
            value("--color[=<when>]", "use colored output", bare="always"),
        ),
        json_flag,
    )
    for option in reversed(options):
        function = option(function)
    return function


@verb(
    "branch",
    "branch [<options>] [-a] [--merged] [--no-merged]",
    "branch [<options>] [-f] <branch-name> [<start-point>]",
    "branch [<options>] [-l] [<pattern>...]",
    "branch [<options>] (-d | -D) <branch-name>...",
    "branch [<options>] (-m | -M) [<old-branch>] <new-branch>",
    "branch [<options>] (-c | -C) [<old-branch>] <new-branch>",
)
@section(
    _GENERIC,
    count("-v, --verbose", "show hash and subject"),
    flag("-q, --quiet", "suppress informational messages"),
    value("--abbrev[=<n>]", "use <n> digits to display object names", bare="7", type=int),
)
@_listing
@section(
    _ACTIONS,
    flag("-r, --remotes", "act on remote-tracking branches"),
    flag("-a, --all", "list both remote-tracking and local branches", to="everything"),
    flag("-d, --delete", "delete fully merged branch"),
    flag("-D", "delete branch (even if not merged)", to="force_delete"),
    flag("-m, --move", "move/rename a branch and its reflog"),
    flag("-M", "move/rename a branch, even if target exists", to="force_move"),
    flag("-c, --copy", "copy a branch"),
    flag("-C", "copy a branch, even if target exists", to="force_copy"),
    flag("-l, --list", "list branch names", to="listing"),
    flag("--show-current", "show current branch name"),
    flag("-f, --force", "force creation, move/rename, deletion"),
)
@argument("names", nargs=-1)
def branch(
    app: App,
    quiet: bool,
    delete: bool,
    force_delete: bool,
    move: bool,
    force_move: bool,
    copy: bool,
    force_copy: bool,
    listing: bool,
    show_current: bool,
    force: bool,
    names: tuple[str, ...],
    **options: object,
) -> int:
    """List, create, rename or delete branches.

    What a deleted branch pointed to stays for "envgit undo" until it expires.
    """
    actions = [delete or force_delete, move or force_move, copy or force_copy, show_current]
    if sum(actions) > 1 or (listing and any(actions)):
        raise UsageProblem("these options cannot be used together", usage="short")
    if show_current:
        current = app.repository.git.head().branch
        if current is not None:
            app.out.line(current)
    elif delete or force_delete:
        _delete(app, names, force=force or force_delete, quiet=quiet)
    elif move or force_move or copy or force_copy:
        action = branches.rename_branch if move or force_move else branches.copy_branch
        _check_count(names, "rename" if move or force_move else "copy")
        old = names[0] if len(names) == 2 else None
        action(app.repository, old, names[-1], force=force or force_move or force_copy)
    elif names and not listing and not _filters(options):
        if len(names) > 2:
            raise UsageProblem("too many arguments", usage="short")
        start = names[1] if len(names) == 2 else "HEAD"
        _resolves(app, start, f"not a valid object name: '{start}'")
        branches.create_branch(app.repository, names[0], start, force=force)
    else:
        _list_branches(app, names, options)
    return 0


@verb(
    "tag",
    "tag [-a] [-f] [-m <msg> | -F <file>] <tagname> [<commit>]",
    "tag -d <tagname>...",
    "tag [-n[<num>]] [-l] [<options>] [<pattern>...]",
)
@flag("-l, --list", "list tag names", to="listing")
@value("-n[=<n>]", "print <n> lines of each tag message", to="lines", bare="1", type=int)
@flag("-d, --delete", "delete tags")
@section(
    "Tag creation options",
    flag("-a, --annotate", "annotated tag, needs a message"),
    value("-m, --message <message>", "tag message", to="messages", multiple=True),
    value("-F, --file <file>", "read message from file"),
    flag("-f, --force", "replace the tag if exists"),
)
@_listing
@argument("names", nargs=-1)
def tag(
    app: App,
    listing: bool,
    lines: int | None,
    delete: bool,
    annotate: bool,
    messages: tuple[str, ...],
    file: str | None,
    force: bool,
    names: tuple[str, ...],
    **options: object,
) -> int:
    """List, create or delete tags.

    A tag without a message is light: a name for a commit and nothing else.
    """
    if delete:
        for gone in branches.delete_tags(app.repository, names):
            app.out.line(
                f"Deleted tag '{gone.name}' (was {app.repository.git.abbrev(gone.commit)})"
            )
        return 0
    if listing or lines is not None or not names or _filters(options):
        _list_tags(app, names, lines or 0, options)
        return 0
    if len(names) > 2:
        raise EnvgitError("too many arguments")
    target = names[1] if len(names) == 2 else "HEAD"
    _resolves(app, target, f"Failed to resolve '{target}' as a valid ref.")
    message = _tag_message(app, names[0], annotate, messages, file)
    before = branches.create_tag(app.repository, names[0], target, message=message, force=force)
    if before is not None:
        app.out.line(f"Updated tag '{names[0]}' (was {app.repository.git.abbrev(before)})")
    return 0


def _tag_message(
    app: App, name: str, annotate: bool, messages: Sequence[str], file: str | None
) -> str | None:
    if messages and file is not None:
        raise EnvgitError("options '-F' and '-m' cannot be used together")
    if messages:
        return editor.clean("\n\n".join(messages), comments=False)
    if file is not None:
        return editor.clean(editor.read_message(app, file), comments=False)
    if not annotate:
        return None
    path = editor.default_path(app, "TAG_EDITMSG")
    text = editor.clean(editor.edit(app, path, _TAG_TEMPLATE.format(name=name)), comments=True)
    if not text:
        raise EnvgitError("no tag message?")
    return text


def _delete(app: App, names: Sequence[str], *, force: bool, quiet: bool) -> None:
    if not names:
        raise EnvgitError("branch name required")
    for gone in branches.delete_branches(app.repository, names, force=force):
        if not quiet:
            was = app.repository.git.abbrev(gone.commit)
            app.out.line(f"Deleted branch {gone.name} (was {was}).")


def _check_count(names: Sequence[str], what: str) -> None:
    if not names:
        raise EnvgitError("branch name required")
    if len(names) > 2:
        raise EnvgitError(f"too many arguments for a {what} operation")


def _filters(options: dict[str, object]) -> bool:
    names = ("contains", "no_contains", "merged", "no_merged", "points_at")
    return any(options[name] is not None for name in names)


def _resolves(app: App, revision: str, complaint: str) -> None:
    try:
        app.repository.resolve(revision)
    except EnvgitError as error:
        raise EnvgitError(complaint) from error


def _list_branches(app: App, patterns: Sequence[str], options: dict[str, object]) -> None:
    if options["remotes"]:
        return  # remotes are a later issue: there are none to list
    app.page(by_default=options["verbose"] == 0)
    app.out.colour_for("branch", when=_text(options["color"]))
    found = branches.list_branches(
        app.repository,
        patterns=patterns,
        contains=_text(options["contains"]),
        no_contains=_text(options["no_contains"]),
        merged=_text(options["merged"]),
        no_merged=_text(options["no_merged"]),
        points_at=_text(options["points_at"]),
    )
    rows = refformat.sort(app, found, _text(options["sort"]), fold=bool(options["ignore_case"]))
    template = _text(options["template"])
    if options["as_json"]:
        app.out.json(rows)
    elif template is not None:
        for row in rows:
            app.out.line(refformat.expand(app, template, row, prefix="refs/heads/"))
    else:
        _print_branches(app, rows, patterns, options)


def _print_branches(
    app: App,
    rows: Sequence[branches.BranchInfo],
    patterns: Sequence[str],
    options: dict[str, object],
) -> None:
    from envgit.porcelain.status import detached

    git, out = app.repository.git, app.out
    head = git.head()
    lines = [(row.name, row.commit, row.subject, row.current, row.worktree) for row in rows]
    if head.branch is None and head.commit is not None and not patterns and not _filters(options):
        subject = git.commit(head.commit).subject
        label = f"(HEAD detached {detached(app.repository, head.commit)})"
        lines.insert(0, (label, head.commit, subject, True, None))
    width = max((len(line[0]) for line in lines), default=0)
    very = isinstance(options["verbose"], int) and options["verbose"] > 1
    for name, commit, subject, current, elsewhere in lines:
        slot = "branch.current" if current else "branch.local"
        mark = "* " if current else "  "
        if elsewhere is not None:
            slot, mark = "branch.worktree", "+ "
            subject = f"({elsewhere}) {subject}" if very else subject
        text = mark + out.paint(slot, name)
        if options["verbose"]:
            digits = options["abbrev"]
            short = commit[:digits] if isinstance(digits, int) else git.abbrev(commit)
            text += f"{' ' * (width - len(name))} {short} {subject}"
        out.line(text)


def _list_tags(app: App, patterns: Sequence[str], lines: int, options: dict[str, object]) -> None:
    app.page()
    app.out.colour_for("tag", when=_text(options["color"]))
    found = branches.list_tags(
        app.repository,
        patterns=patterns,
        contains=_text(options["contains"]),
        points_at=_text(options["points_at"]),
    )
    rows = refformat.sort(app, found, _text(options["sort"]), fold=bool(options["ignore_case"]))
    template = _text(options["template"])
    if options["as_json"]:
        app.out.json(rows)
        return
    for row in rows:
        if template is not None:
            app.out.line(refformat.expand(app, template, row, prefix="refs/tags/"))
        elif lines:
            first, *rest = row.message.rstrip("\n").split("\n")[:lines]
            app.out.line(f"{row.name:<15} {first}")
            for line in rest:
                app.out.line(f"    {line}")
        else:
            app.out.line(row.name)


def _text(option: object) -> str | None:
    return option if isinstance(option, str) else None
