# SPDX-License-Identifier: Apache-2.0
"""`cp`, `mount`, `umount`, `export`: the environment seen from the host, and taken out of it."""

from __future__ import annotations

import os

from envgit.cli import changed
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.progress import progress
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.errors import EnvgitError

_FORMATS = ("cyclonedx", "cyclonedx-json", "spdx", "spdx-json")


@verb("mount", "mount [-q] [<commit>] <directory>", "mount")
@flag("-q, --quiet", "be quiet, only report errors")
@json_flag
@argument("words", nargs=-1)
def mount(app: App, quiet: bool, as_json: bool, words: tuple[str, ...]) -> int:
    """See a state of the environment from the host.

    With a commit, its file system is mounted read-only at the directory. Without one, the worktree
    is mounted there, and can be changed. Without arguments, list what is mounted.
    """
    from envgit.porcelain import mounting

    if not words:
        found = mounting.mounts(app.repository)
        if as_json:
            app.out.json(found)
        for one in found if not as_json else ():
            app.out.line(f"{one.directory}\t{_named(app, one.commit) or 'the worktree'}")
        return 0
    if len(words) > 2:
        raise UsageProblem("a directory is needed, and at most a commit before it", usage="short")
    revision, directory = words if len(words) == 2 else (None, words[0])
    result = mounting.mount(app.repository, directory, revision)
    if as_json:
        app.out.json(result)
    elif not quiet:
        what = _named(app, result.commit)
        mode = ", read-only" if what else ""
        app.out.line(f"{what or 'The worktree'} is mounted at {result.directory}{mode}")
    return 0


def _named(app: App, commit: str | None) -> str:
    return changed.one_line(app, app.repository.resolve(commit)) if commit else ""


@verb("umount", "umount <directory>...")
@argument("directories", nargs=-1)
def umount(app: App, directories: tuple[str, ...]) -> int:
    """Take such a view away again."""
    from envgit.porcelain import mounting

    if not directories:
        raise UsageProblem("a directory is needed", usage="short")
    for directory in directories:
        mounting.umount(app.repository, directory)
    return 0


@verb("cp", "cp [-a] [-L] <source>... <destination>")
@flag("-a, --archive", "keep owners, too (by default files become the copying user's)")
@flag("-L, --follow-link", "copy what a source that is a symbolic link leads to")
@json_flag
@argument("words", nargs=-1)
def cp(app: App, archive: bool, follow_link: bool, as_json: bool, words: tuple[str, ...]) -> int:
    """Copy between the host and the environment.

    ":path" is a path of the worktree, "REV:path" one of a commit, everything else a path of the
    host (a host path with a colon is written with a slash before it: "./a:b"). Directories are
    copied whole. Into a directory that exists, a source goes under its own name, as with cp(1).

    Links inside the environment mean its own files and never lead out of it.
    """
    from envgit.porcelain import copying

    if len(words) < 2:
        raise UsageProblem("a source and a destination are needed", usage="short")
    result = copying.copy(
        app.repository, words[:-1], words[-1], keep_owner=archive, follow_links=follow_link
    )
    if as_json:
        app.out.json(result)
    return 0


@verb(
    "export",
    "export [-q] [<commit>] tar:<file>",
    "export [-q] [--squash] [--compression <how>] [--format <format>] [<commit>] <image>",
    "export --sbom[=<format>] [--files] [--name <name>] [<commit> | --worktree] <file>",
)
@flag("-q, --quiet", "suppress progress reporting")
@section(
    "Images",
    flag("--squash", "one layer with all files, instead of one for each commit"),
    value("--compression <how>", "of layers: gzip (the default), zstd or none"),
    value("--format <format>", "media types: oci (the default) or docker"),
)
@section(
    "Bill of materials",
    value(
        "--sbom[=<format>]",
        "list what is installed: cyclonedx-json (the default) or spdx-json, '@1.5' for a version",
        bare="cyclonedx-json",
    ),
    flag("--worktree", "of what is there now, with uncommitted changes"),
    flag("--files", "list the files of packages, with their digests"),
    value("--name <name>", "call the environment so in the document (default: environment)"),
)
@json_flag
@argument("words", nargs=-1)
def export(
    app: App,
    quiet: bool,
    squash: bool,
    compression: str | None,
    format: str | None,
    sbom: str | None,
    worktree: bool,
    files: bool,
    name: str | None,
    as_json: bool,
    words: tuple[str, ...],
) -> int:
    """Write a state as an archive or an image, or list what is installed in it.

    \b
    tar:FILE                   the whole file system of the commit (default: HEAD)
    docker://NAME[:TAG]        an image in a registry
    oci:DIR[:TAG]              an image in an OCI layout, beside those that it has
    oci-archive:FILE[:TAG]     an image in an OCI layout in a file
    docker-archive:FILE[:NAME] an image for docker load
    dir:DIR                    an image in a folder, as skopeo has it

    The tar archive is for GNU tar and container tools. Its name says how it is compressed: .gz, .xz
    or .zst, else not at all; tar:- writes to standard output.

    An image has a layer and an entry of history for each commit, and the commit's config; a commit
    that changes no file has no layer. A layer that came from an image, unchanged, keeps its digest
    where the destination has it. Equal commits give equal images; with SOURCE_DATE_EPOCH commits of
    equal content do, and no file in new layers is younger than that.

    With --sbom a software bill of materials goes to the file, "-" being standard output: packages
    of all managers with their URLs (purl), licences and dependencies, the distribution, and the
    commit. The same commit gives the same bytes; its date is the document's, SOURCE_DATE_EPOCH
    another. Databases that cannot be read are warned about and noted in the document.
    """
    if sbom is not None:
        if squash or compression is not None or format is not None:
            raise UsageProblem("--squash, --compression and --format are for images", usage="short")
        return _bill(app, sbom, words, quiet, worktree, files, name, as_json)
    if worktree or files or name is not None:
        raise UsageProblem("--worktree, --files and --name go with --sbom", usage="short")
    return _state(app, words, quiet, squash, compression, format, as_json)


def _state(
    app: App,
    words: tuple[str, ...],
    quiet: bool,
    squash: bool,
    compression: str | None,
    format: str | None,
    as_json: bool,
) -> int:
    if not 1 <= len(words) <= 2:
        raise UsageProblem("a destination is needed, and at most a commit before it", usage="short")
    from envgit.porcelain.export import ImageResult
    from envgit.porcelain.export import export as write

    revision, dest = (words[0], words[1]) if len(words) == 2 else ("HEAD", words[0])
    if format not in (None, "oci", "docker"):
        raise UsageProblem(f"unknown format '{format}': oci or docker")
    to_stdout = dest == "tar:-"
    if to_stdout and app.out.stdout_is_terminal:
        raise EnvgitError("refusing to write an archive to a terminal", hint="use tar:FILE")
    with progress(app, quiet=quiet) as meter:
        result = write(
            app.repository,
            dest,
            revision,
            squash=squash,
            compression=compression,
            docker=format == "docker",
            stdout=app.out.binary() if to_stdout else None,
            progress=None if meter is None else lambda entries, size: meter("entries", entries),
            layer_progress=meter,
        )
    if to_stdout:
        return 0
    if as_json:
        app.out.json(result)
    elif not quiet:
        app.out.line(f"Exported {changed.one_line(app, result.commit)} to {result.file}")
        if isinstance(result, ImageResult):
            number = "1 layer" if result.layers == 1 else f"{result.layers} layers"
            there = f", {result.reused} of them there already" if result.reused else ""
            app.out.line(f" {number}{there}, {result.digest}")
    return 0


def _bill(
    app: App,
    format: str,
    words: tuple[str, ...],
    quiet: bool,
    worktree: bool,
    files: bool,
    name: str | None,
    as_json: bool,
) -> int:
    import envgit
    from envgit.porcelain.export import export_sbom

    if not 1 <= len(words) <= 2 - worktree:
        before = "" if worktree else ", and at most a commit before it"
        raise UsageProblem(f"a destination is needed{before}", usage="short")
    dest = words[-1]
    _check_meant(app, words, worktree)
    result = export_sbom(
        app.repository,
        dest,
        words[0] if len(words) == 2 else "HEAD",
        format=format,
        worktree=worktree,
        files=files,
        name=name or "environment",
        tool_version=envgit.__version__,
        stdout=app.out.binary() if dest == "-" else None,
    )
    for problem in result.problems:
        app.out.warning(problem)
    if dest == "-":
        return 0
    if as_json:
        app.out.json(result)
    elif not quiet:
        number = "1 package" if result.packages == 1 else f"{result.packages} packages"
        dirty = " with uncommitted changes" if result.dirty else ""
        what = changed.one_line(app, result.commit) if result.commit else "the worktree"
        app.out.line(f"Listed {number} of {what}{dirty} in {dest}")
    return 0


def _check_meant(app: App, words: tuple[str, ...], worktree: bool) -> None:
    """Refuse lines that would be read otherwise than they were meant."""
    first = words[0]
    if first.partition("@")[0] in _FORMATS and len(words) == 2 and not _is_commit(app, first):
        raise UsageProblem(f"a format follows an equals sign: --sbom={first}")
    if words[-1].startswith("tar:"):
        raise UsageProblem("a bill of materials is no archive: name a file, or '-'")
    plain = first != "-" and not {"/", "."} & set(first) and not os.path.lexists(first)
    if len(words) == 1 and plain and not worktree and _is_commit(app, first):
        raise UsageProblem(
            f"'{first}' is a commit, and a destination is needed:"
            f" '{first} -' lists it on standard output, './{first}' is a file"
        )


def _is_commit(app: App, name: str) -> bool:
    try:
        app.repository.resolve(name)
    except EnvgitError:
        return False
    return True
