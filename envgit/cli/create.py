# SPDX-License-Identifier: Apache-2.0
"""`init` and `import`: a repository and what comes into it from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.cli import summary
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.progress import progress
from envgit.cli.verb import argument, flag, json_flag, value, verb

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.porcelain.foundation.repository import Repository
    from envgit.porcelain.init import InitResult


@verb(
    "init",
    "init [-q] [-b <branch>] [--from <source> [-m <message>]] [<directory>]",
    "init [-q] [-b <branch>] --from <image> [-m <message>] [--squash] [--platform <platform>]"
    " [<directory>]",
)
@flag("-q, --quiet", "be quiet")
@value("-b, --initial-branch <name>", "override the name of the initial branch")
@value("--from <source>", "where the first commit's content comes from", to="source")
@value("-m, --message <message>", "message of the first commit (of an image: of the last)")
@flag("--squash", "make one commit of all layers of an image")
@value("--platform <os/arch[/variant]>", "of an image for several platforms, take this one")
@json_flag
@argument("directory", default=".", metavar="<directory>")
def init(
    app: App,
    quiet: bool,
    initial_branch: str | None,
    source: str | None,
    message: str | None,
    squash: bool,
    platform: str | None,
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
    docker://NAME[:TAG]        an image in a registry
    oci:DIR[:TAG]              an image in an OCI layout; oci-archive:FILE[:TAG] in one in a file
    docker-archive:FILE[:NAME] an image that docker save wrote
    dir:DIR                    an image in a folder, as skopeo has it

    An image becomes a commit a layer, with the steps of its history as messages and its config.
    """
    from envgit.porcelain.init import init as make

    with progress(app, quiet=quiet, delay=0.5) as meter:
        result = make(
            directory,
            source=source,
            branch=initial_branch,
            message=message,
            squash=squash,
            platform=platform,
            environ=app.environ,
            overrides=app.overrides,
            notify=app.out.note,
            progress=meter,
            stdin=app.stdin if source == "tar:-" else None,
            command=app.command,
        )
    _report(app, result, quiet=quiet, as_json=as_json)
    return 0


def _report(app: App, result: InitResult, *, quiet: bool, as_json: bool) -> None:
    path = os.path.join(result.repository.path, "")
    if as_json:
        first = summary.as_json(result.first) if result.first is not None else None
        found = {"path": path, "reinitialized": result.reinitialized, "first": first}
        if result.commits:
            found["commits"] = result.commits
        app.out.json(found)
        return
    if quiet:
        return
    if result.reinitialized:
        app.out.line(f"Reinitialized existing envgit repository in {path}")
    elif result.first is None and not result.commits:
        app.out.line(f"Initialized empty envgit repository in {path}")
    else:
        app.out.line(f"Initialized envgit repository in {path}")
    if result.first is not None:
        summary.write(app, result.first, repository=result.repository)
        summary.warn_skipped(app, result.first.skipped)
    if result.commits:
        git = result.repository.git
        _brought(app, result.repository, git.head().branch or "HEAD", result.commits)


def _brought(app: App, repository: Repository, branch: str, commits: Sequence[CommitId]) -> None:
    """Say what an image became, as git says what a commit recorded."""
    tip = repository.git.commit(commits[-1])
    number = "1 commit" if len(commits) == 1 else f"{len(commits)} commits"
    app.out.line(f"[{branch} {repository.git.abbrev(tip.id)}] {tip.subject}")
    app.out.line(f" {number} imported")


@verb(
    "import",
    "import [-q] [-b <branch>] [-m <message>] <source>",
    "import [-q] [-b <branch>] [-m <message>] [--squash] [--platform <platform>] <image>",
)
@flag("-q, --quiet", "be quiet")
@value("-b, --branch <name>", "the new branch (default: called after the source)")
@value("-m, --message <message>", "message of the last commit")
@flag("--squash", "make one commit of all layers")
@value("--platform <os/arch[/variant]>", "of an image for several platforms, take this one")
@json_flag
@argument("source", metavar="<source>")
def import_verb(
    app: App,
    quiet: bool,
    branch: str | None,
    message: str | None,
    squash: bool,
    platform: str | None,
    as_json: bool,
    source: str | None,
) -> int:
    """Bring an image, or another source, into the repository as a branch.

    \b
    docker://NAME[:TAG]        an image in a registry
    oci:DIR[:TAG]              an image in an OCI layout; oci-archive:FILE[:TAG] in one in a file
    docker-archive:FILE[:NAME] an image that docker save wrote
    dir:DIR                    an image in a folder, as skopeo has it
    debian:, tar:, rootfs:     as for init --from: one commit

    The branch must not exist. In a repository without commits it is the current one, and the
    worktree shows what was imported; elsewhere the worktree stays, and 'envgit switch' goes there.

    Each layer becomes a commit, with the step that made it as the message, its author and time, and
    the config as it was then; steps without a layer belong to the commit before them.
    Of an image for several platforms that of this machine is taken, unless --platform names
    another. Every layer is checked against its digests; after an error nothing of it is left.
    """
    from envgit.porcelain.importing import import_image

    if source is None:
        raise UsageProblem("a source is needed", usage="short")
    with progress(app, quiet=quiet, delay=0.5) as meter:
        result = import_image(
            app.repository,
            source,
            branch=branch,
            message=message,
            squash=squash,
            platform=platform,
            progress=meter,
            stdin=app.stdin if source == "tar:-" else None,
        )
    if as_json:
        app.out.json(result)
        return 0
    if not quiet:
        _brought(app, app.repository, result.branch, result.commits)
    summary.warn_skipped(app, result.skipped)
    return 0
