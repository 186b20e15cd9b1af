# SPDX-License-Identifier: Apache-2.0
"""`status`, `ls-tree`, `rev-parse` and `merge-base`: what is there, and what names mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview, quoting
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.porcelain.listing import Listed


@verb("status", "status [<options>] [--] [<path>...]", dashes=True)
@flag("-s, --short", "show it in short")
@flag("-b, --branch", "show the branch in the short form")
@flag("--long", "show it in full (default)", default=None)
@value("--porcelain[=<version>]", "a form for programs, which stays: v1 or v2", bare="v1")
@flag("-z", "end records with NUL and do not quote names", to="null")
@value("-u, --untracked-files[=<mode>]", "all: list every path of new directories", bare="all",
       to="untracked")  # fmt: skip
@flag("--no-renames", "do not look for renames")
@value("--color[=<when>]", "always, never or auto", bare="always")
@json_flag
@argument("arguments", nargs=-1)
def status(
    app: App,
    short: bool,
    branch: bool,
    long: bool | None,
    porcelain: str | None,
    null: bool,
    untracked: str | None,
    no_renames: bool,
    color: str | None,
    as_json: bool,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
) -> int:
    """Show what changed since the last commit.

    There is no staging area: everything listed is what "envgit commit" records. A directory that is
    new or gone with all that is in it is one line; -u lists every path.
    """
    from envgit.cli import statusview
    from envgit.cli.diffview import detects_renames
    from envgit.porcelain.status import status as look

    if porcelain not in (None, "v1", "1", "v2", "2"):
        raise EnvgitError(f"unsupported porcelain version '{porcelain}'")
    if untracked not in (None, "no", "normal", "all"):
        raise EnvgitError(f"Invalid untracked files mode '{untracked}'")
    app.out.colour_for("status", when=color)
    found = look(
        app.repository,
        paths=[*arguments, *(paths or ())],
        whole=untracked != "all",
        renames=not no_renames and detects_renames(app.settings),
        packages=as_json or not (short or porcelain or (null and not long)),
    )
    if found.packages is not None:
        packageview.Problems(app).tell(found.packages.problems)
    if as_json:
        app.out.json(statusview.as_json(found))
        return 0
    if porcelain in ("v2", "2"):
        records = statusview.porcelain_v2(app, found, branch=branch, null=null)
    elif porcelain is not None or short or (null and not long):
        branch = branch or (porcelain is None and app.settings.get_bool("status.branch"))
        records = statusview.short(
            app, found, branch=branch, null=null, colored=porcelain is None and not null
        )
    else:
        hints = app.settings.get_bool("advice.statusHints")
        for line in statusview.long(app, found, hints=hints):
            app.out.line(line)
        return 0
    for record in records:
        app.out.write(record)
    return 0


@verb("ls-tree", "ls-tree [<options>] <tree-ish> [<path>...]")
@flag("-d", "show only directories", to="directories")
@flag("-r", "go into directories", to="recurse")
@flag("-t", "with -r: show the directories too", to="trees")
@flag("-l, --long", "show sizes and owners")
@flag("-z", "end records with NUL and do not quote names", to="null")
@flag("--name-only, --name-status", "show only names")
@flag("--object-only", "show only ids")
@flag("--full-tree", "accepted: paths always begin at the root")
@flag("--full-name", "accepted: names always begin at the root")
@value("--abbrev[=<n>]", "shorten ids", bare="7")
@json_flag
@argument("revision", metavar="tree-ish", required=True)
@argument("paths", nargs=-1)
def ls_tree(
    app: App,
    directories: bool,
    recurse: bool,
    trees: bool,
    long: bool,
    null: bool,
    name_only: bool,
    object_only: bool,
    full_tree: bool,
    full_name: bool,
    abbrev: str | None,
    as_json: bool,
    revision: str,
    paths: tuple[str, ...],
) -> int:
    """List the contents of a directory in a commit.

    Each line is: mode, kind (file, dir, symlink, fifo, char or block), id, name. The id is the
    sha256 of the content, or of the link's target; a directory has the id of its git tree. With -l
    the size in bytes and the owner (uid:gid) stand before the name.
    """
    from envgit.porcelain.listing import list_tree

    found = list_tree(
        app.repository, revision, paths, recurse=recurse, trees=trees, only_trees=directories
    )
    if as_json:
        app.out.json(list(found))
        return 0
    digits = int(abbrev) if abbrev is not None and abbrev.isdigit() else None
    end = "\0" if null else "\n"
    for one in found:
        name = quoting.unquoted(one.path) if null else app.out.path(one.path)
        identity = one.id[:digits]
        if name_only:
            app.out.write(name + end)
        elif object_only:
            app.out.write(identity + end)
        else:
            app.out.write(_columns(one, identity, long=long) + "\t" + name + end)
    return 0


def _columns(one: Listed, identity: str, *, long: bool) -> str:
    from envgit.cli.stat import mode_of

    line = f"{mode_of(one.entry)} {one.entry.kind} {identity}"
    if not long:
        return line
    size = str(one.entry.size) if one.entry.kind == "file" else "-"
    return f"{line} {size:>7} {one.entry.uid}:{one.entry.gid}"


@verb(
    "merge-base",
    "merge-base [-a | --all] <commit> <commit>...",
    "merge-base --is-ancestor <commit> <commit>",
    "merge-base --independent <commit>...",
)
@flag("-a, --all", "show all best common ancestors", to="every")
@flag("--is-ancestor", "exit with 0 if the first is an ancestor of the second, else 1")
@flag("--independent", "show the commits that no other of them reaches")
@json_flag
@argument("commits", nargs=-1)
def merge_base(
    app: App,
    every: bool,
    is_ancestor: bool,
    independent: bool,
    as_json: bool,
    commits: tuple[str, ...],
) -> int:
    """Find common ancestors of commits."""
    git = app.repository.git
    if is_ancestor and len(commits) != 2:
        raise EnvgitError("--is-ancestor takes exactly two commits")
    if len(commits) < (1 if independent else 2):
        raise UsageError("merge-base needs two commits", hint="see 'envgit merge-base -h'")
    ids = [_commit(app, name) for name in commits]
    if is_ancestor:
        return 0 if git.is_ancestor(ids[0], ids[1]) else 1
    if independent:
        found = [
            one for one in dict.fromkeys(ids)
            if not any(other != one and git.is_ancestor(one, other) for other in ids)
        ]  # fmt: skip
    else:
        bases = git.merge_bases(ids[0], *ids[1:])
        found = list(bases if every else bases[:1])
    if as_json:
        app.out.json(found)
    else:
        for oid in found:
            app.out.line(oid)
    return 0 if found else 1


def _commit(app: App, name: str) -> Any:
    from envgit.porcelain.foundation.naming import NotACommit

    try:
        return app.repository.resolve(name)
    except EnvgitError as error:
        raise NotACommit(f"Not a valid commit name {name}") from error
