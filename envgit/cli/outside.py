# SPDX-License-Identifier: Apache-2.0
"""`cp`, `mount`, `umount`, `export`: the environment seen from the host, and taken out of it."""

from __future__ import annotations

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.progress import progress
from envgit.cli.verb import argument, flag, json_flag, verb
from envgit.errors import EnvgitError


@verb("export", "export [-q] [<commit>] tar:<file>")
@flag("-q, --quiet", "suppress progress reporting")
@json_flag
@argument("words", nargs=-1)
def export(app: App, quiet: bool, as_json: bool, words: tuple[str, ...]) -> int:
    """Write a state as an archive.

    The whole file system of the commit (default: HEAD) goes into a tar archive that GNU tar and
    container tools read. The name says how it is compressed: .gz, .xz or .zst, else not at all;
    tar:- writes to standard output. Equal states give equal archives.
    """
    from envgit.porcelain.export import export as write

    if not 1 <= len(words) <= 2:
        raise UsageProblem("a destination is needed, and at most a commit before it", usage="short")
    revision, dest = (words[0], words[1]) if len(words) == 2 else ("HEAD", words[0])
    to_stdout = dest == "tar:-"
    if to_stdout and app.out.stdout_is_terminal:
        raise EnvgitError("refusing to write an archive to a terminal", hint="use tar:FILE")
    with progress(app, quiet=quiet) as meter:
        result = write(
            app.repository,
            dest,
            revision,
            stdout=app.out.binary() if to_stdout else None,
            progress=None if meter is None else lambda entries, size: meter("entries", entries),
        )
    if to_stdout:
        return 0
    if as_json:
        app.out.json(result)
    elif not quiet:
        app.out.line(f"Exported {changed.one_line(app, result.commit)} to {result.file}")
    return 0
