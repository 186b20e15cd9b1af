# SPDX-License-Identifier: Apache-2.0
"""`init`: a repository, and its first state from a source."""

from __future__ import annotations

import os

from envgit.cli import summary
from envgit.cli.app import App
from envgit.cli.progress import progress
from envgit.cli.verb import argument, flag, json_flag, value, verb


@verb("init", "init [-q] [-b <branch>] [--from <source> [-m <message>]] [<directory>]")
@flag("-q, --quiet", "be quiet")
@value("-b, --initial-branch <name>", "override the name of the initial branch")
@value("--from <source>", "where the first commit's content comes from", to="source")
@value("-m, --message <message>", "message of the first commit")
@json_flag
@argument("directory", default=".", metavar="<directory>")
def init(
    app: App,
    quiet: bool,
    initial_branch: str | None,
    source: str | None,
    message: str | None,
    as_json: bool,
    directory: str,
) -> int:
    """Create a repository, with a first state if asked for one.

    The sources:

    \b
    scratch                    nothing at all
    debian:SUITE[+pkg,...]     a Debian system, made by mmdebstrap from the machine's apt sources
    tar:FILE                   an archive (plain, gzip, xz, zstd); tar:- reads standard input
    rootfs:DIR                 a directory, copied
    """
    from envgit.porcelain.init import init as make

    with progress(app, quiet=quiet, delay=0.5) as meter:
        result = make(
            directory,
            source=source,
            branch=initial_branch,
            message=message,
            environ=app.environ,
            overrides=app.overrides,
            notify=app.out.note,
            progress=meter,
            stdin=app.stdin if source == "tar:-" else None,
            command=app.command,
        )
    path = os.path.join(result.repository.path, "")
    if as_json:
        first = summary.as_json(result.first) if result.first is not None else None
        app.out.json({"path": path, "reinitialized": result.reinitialized, "first": first})
        return 0
    if quiet:
        return 0
    if result.reinitialized:
        app.out.line(f"Reinitialized existing envgit repository in {path}")
    elif result.first is None:
        app.out.line(f"Initialized empty envgit repository in {path}")
    else:
        app.out.line(f"Initialized envgit repository in {path}")
    if result.first is not None:
        summary.write(app, result.first, repository=result.repository)
        summary.warn_skipped(app, result.first.skipped)
    return 0
