# SPDX-License-Identifier: Apache-2.0
"""`packages`: what is installed, by manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.cli import packageview, wrap
from envgit.cli.app import App
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.porcelain.packages import Installed, OwnedFile, Package


@verb("packages", "packages [<options>] [<commit>] [--] [<package>...]", dashes=True)
@value("--manager <name>", "show packages of one manager: apt, pip, npm, ...", to="managers",
       multiple=True)  # fmt: skip
@flag("--manual", "show what somebody asked for", to="reason", flag_value="manual")
@flag("--automatic", "show what came because something else needs it", to="reason",
      flag_value="automatic")  # fmt: skip
@flag("--size", "show sizes, the largest first")
@flag("--files", "show the files of the packages that are named")
@flag("--names", "show only names")
@flag("--problems", "show only which databases could not be read, and exit with 1 if any")
@json_flag
@argument("arguments", nargs=-1)
def packages(
    app: App,
    managers: tuple[str, ...],
    reason: str | None,
    size: bool,
    files: bool,
    names: bool,
    problems: bool,
    as_json: bool,
    arguments: tuple[str, ...],
    paths: Sequence[str] | None,
) -> int:
    """Show what is installed, in the worktree or in a commit.

    What the package managers' own databases say is read from the files of that state: nothing is
    mounted or run. A package is named by its name, by a pattern ("python3-*"), or with its manager
    ("pip:numpy"). Each line is: manager, name, version, architecture, then why it is there, what
    brought it along and where it is installed, as far as that is known.
    """
    from envgit.porcelain import packages as porcelain

    revision, named = _split(app, arguments, paths)
    if files and not named:
        raise UsageError("--files needs the name of a package", hint="see 'envgit packages -h'")
    app.page()
    with packageview.suggesting():
        found = porcelain.packages(
            app.repository, revision, names=named, managers=managers, reason=reason
        )
        owned = [
            file
            for name in (named if files else ())
            for file in porcelain.files_of(app.repository, name, revision)
        ]
    if size:
        found = found.sorted_by_size()
    if as_json:
        app.out.json(_as_json(found, owned if files else None))
    elif problems:
        for one in found.problems:
            path = app.out.path(one.path)
            app.out.line(f"{one.manager}  {path}  {packageview.plain(one.reason)}")
    elif files:
        for file in owned:
            app.out.line(app.out.path(file.shipped.path) + _mark(file))
    elif names:
        for package in found.packages:
            app.out.line(packageview.name_of(package))
    else:
        _write(app, found.packages, size=size)
    if not problems:
        packageview.Problems(app).tell(found.problems)
    return int(problems and bool(found.problems))


def _split(
    app: App, arguments: Sequence[str], after: Sequence[str] | None
) -> tuple[str | None, list[str]]:
    """The commit, if the first argument is one, and the names of packages."""
    names = list(after or ())
    if not arguments:
        return None, names
    first, *rest = arguments
    if after is not None and rest:
        raise UsageError("packages looks at one commit")
    try:
        app.repository.resolve(first)
    except EnvgitError:
        if after is not None or any(sign in first for sign in ("~", "^", "@{", "..")):
            raise
        return None, [*arguments]
    return first, [*rest, *names]


def _write(app: App, found: Sequence[Package], *, size: bool) -> None:
    rows = [_row(app, package, size=size) for package in found]
    widths = [max((wrap.width(row[at]) for row in rows), default=0) for at in range(5)]
    for row in rows:
        cells = [
            " " * (width - wrap.width(cell)) + cell
            if at == 4
            else cell + " " * (width - wrap.width(cell))
            for at, (cell, width) in enumerate(zip(row, widths, strict=False))
            if width
        ]
        app.out.line("  ".join([*cells, *filter(None, row[5:])]).rstrip())


def _row(app: App, package: Package, *, size: bool) -> list[str]:
    """Manager, name, version, architecture, size; then what is not known of all."""
    plain = packageview.plain
    shown = "" if not size else "-" if package.size is None else packageview.size(package.size)
    said = [package.reason, package.state if package.state != "installed" else ""]
    if package.carried_by:
        said.append(f"(part of {package.carried_by})")
    if package.place:
        said.append(f"in {app.out.path(packageview.place(package))}")
    fixed = [package.manager, package.name, package.version, package.architecture]
    return [*map(plain, [*fixed, shown, *said])]


def _mark(file: OwnedFile) -> str:
    marks = [word for word in ("config" if file.shipped.config else "", file.state) if word]
    return f"  ({', '.join(marks)})" if marks else ""


def _as_json(found: Installed, owned: Sequence[OwnedFile] | None) -> dict[str, object]:
    shown: dict[str, object] = {"packages": found.packages, "problems": found.problems}
    if owned is not None:
        shown["files"] = [
            {
                "path": file.shipped.path,
                "manager": file.package.manager,
                "package": file.package.name,
                "digest": file.shipped.digest,
                "config": file.shipped.config,
                "state": file.state,
            }
            for file in owned
        ]
    return shown
