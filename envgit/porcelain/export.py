# SPDX-License-Identifier: Apache-2.0
"""Write a commit to an archive or as an image, or a list of what is installed in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from envgit.errors import EnvgitError, UsageError
from envgit.image.source import TAR, Source, SourceError, parse_destination
from envgit.layers.compression import compressed
from envgit.layers.ids import CommitId
from envgit.layers.tar import write
from envgit.porcelain.foundation.contents import contents
from envgit.porcelain.foundation.repository import Repository

if TYPE_CHECKING:
    from envgit.packages.inventory import Inventory
    from envgit.packages.sbom.document import Subject
    from envgit.porcelain.foundation.images.outgoing import ImageOptions

Progress = Callable[[int, int], None]
"""The entries and the bytes written so far."""


class ExportError(EnvgitError):
    """The archive cannot be written."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The commit that was exported, and where to (``-`` for standard output)."""

    commit: CommitId
    file: str


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The commit that was exported and where to: the digest of the image there, how many layers it
    has, and how many of those the place had already."""

    commit: CommitId
    file: str
    digest: str
    layers: int
    reused: int


@dataclass(frozen=True, slots=True)
class BillResult:
    """A bill of materials that was written: of which commit (None before the first), whether with
    uncommitted changes, where to (``-`` for standard output), in which format and version
    (``cyclonedx-json@1.6``), how many packages it lists, and what could not be read."""

    commit: CommitId | None
    dirty: bool
    file: str
    format: str
    packages: int
    problems: tuple[str, ...]


def export(
    repository: Repository,
    dest: str,
    revision: str = "HEAD",
    *,
    squash: bool = False,
    compression: str | None = None,
    docker: bool = False,
    stdout: BinaryIO | None = None,
    progress: Progress | None = None,
    layer_progress: Callable[..., None] | None = None,
) -> ExportResult | ImageResult:
    """Write ``revision`` to ``dest``: its file system to ``tar:FILE`` or ``tar:-``, or its history
    and config as an image, to any place of :data:`envgit.image.source.DESTINATIONS`.

    An archive's name says how it is compressed: ``.gz``/``.tgz``, ``.xz``/``.txz``,
    ``.zst``/``.tzst``. An image has a layer for each commit that changes files, or one with
    ``squash``; ``compression`` is that of its layers, ``docker`` asks for docker's media types.
    Equal commits give equal bytes. All appears when it is whole. Raises ExportError, ImageError.
    """
    parsed = _parsed(dest)
    commit = repository.git.resolve(revision)
    if parsed.kind != TAR:
        options = _options(repository, squash, compression, docker)
        return _image(repository, commit, dest, parsed, options, layer_progress)
    if squash or compression is not None or docker:
        raise UsageError("--squash, --compression and --format are for images")
    file = parsed.value
    with (
        repository.store.lock(exclusive=False, what="export", on_wait=repository.waiting),
        contents(repository, commit) as files,
        _destination(file, stdout) as stream,
        compressed(stream, file) as archive,
    ):
        write(archive, repository.git.rootfs(commit), files.open, progress=progress)
    return ExportResult(commit, file)


def _parsed(dest: str) -> Source:
    try:
        return parse_destination(dest)
    except SourceError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _options(
    repository: Repository, squash: bool, compression: str | None, docker: bool
) -> ImageOptions:
    from envgit.porcelain.foundation.images.outgoing import COMPRESSIONS, ImageOptions

    if compression is not None and compression not in COMPRESSIONS:
        raise UsageError(
            f"unknown compression '{compression}'", hint=f"one of: {', '.join(COMPRESSIONS)}"
        )
    epoch = _epoch(repository, -1)
    return ImageOptions(squash, compression, docker, epoch if epoch >= 0 else None)


def _image(
    repository: Repository,
    commit: CommitId,
    dest: str,
    place: Source,
    options: ImageOptions,
    progress: Callable[..., None] | None,
) -> ImageResult:
    from envgit.porcelain.foundation.images.outgoing import repositories, send
    from envgit.porcelain.foundation.images.places import open_destination

    with (
        repository.store.lock(exclusive=False, what="export", on_wait=repository.waiting),
        open_destination(
            place, repository.settings, repository.environ, repositories(repository, commit)
        ) as destination,
    ):
        sent = send(repository, commit, destination, options, progress=progress)
        destination.commit()
    return ImageResult(commit, dest, sent.digest, sent.layers, sent.reused)


def export_sbom(
    repository: Repository,
    dest: str,
    revision: str = "HEAD",
    *,
    format: str = "cyclonedx",
    worktree: bool = False,
    files: bool = False,
    name: str = "environment",
    tool_version: str = "",
    stdout: BinaryIO | None = None,
) -> BillResult:
    """Write a software bill of materials of ``revision``, or of the worktree, to the file ``dest``.

    ``format`` is ``cyclonedx`` or ``spdx``, with ``@VERSION`` if need be; ``files`` lists the
    packages' files, too; ``name`` is what the document calls the environment. The same commit and
    branch give the same bytes, dated as the commit unless SOURCE_DATE_EPOCH says otherwise. Raises
    ExportError, UsageError, and MissingLayer where files were never fetched.
    """
    from envgit.packages.sbom.bill import bill, render
    from envgit.packages.sbom.document import parse_format

    written = parse_format(format)
    with repository.store.lock(exclusive=False, what="export", on_wait=repository.waiting):
        subject, inventory = _subject(repository, revision, worktree, name, tool_version)
        digest = "sha1" if written.name == "spdx-json" else "sha256"
        document = bill(inventory, subject, files=digest if files else "")
        data = render(document, written)
    with _destination(dest, stdout) as stream:
        stream.write(data)
    return BillResult(
        CommitId(subject.commit) if subject.commit else None,
        subject.version != subject.commit,
        dest,
        str(written),
        len(document.components),
        tuple(document.complaints()),
    )


def _subject(
    repository: Repository, revision: str, worktree: bool, name: str, tool: str
) -> tuple[Subject, Inventory]:
    """What a bill is about, and the packages of that."""
    import time

    from envgit.packages.sbom.document import Subject
    from envgit.porcelain.foundation import snapshot
    from envgit.porcelain.foundation.packages import inventories

    git = repository.git
    dirty, inventory, branch = False, None, ""
    if worktree:
        current = snapshot.describe(repository)
        commit = current.head.commit
        branch = current.head.branch or ""
        dirty = bool(current.changes) or commit is None
        if dirty:
            inventory = inventories.of_current(repository, current)
    else:
        commit = git.resolve(revision)
        branch = _branch(repository, revision, commit)
    if inventory is None:
        contents(repository, commit).close()  # what was never fetched says so now
        inventory = inventories.of_commit(repository, commit)
    made = git.commit(commit) if commit else None
    version = (commit or "unborn") + ("-dirty" if dirty and commit else "")
    now = int(time.time()) if dirty or made is None else made.committer.time
    return (
        Subject(
            name=name,
            version=version,
            commit=commit or "",
            rootfs=made.rootfs if made and not dirty else "",
            branch=branch,
            authored=made.author.time if made else None,
            created=_epoch(repository, now),
            tool=tool,
        ),
        inventory,
    )


def _branch(repository: Repository, revision: str, commit: CommitId) -> str:
    """The branch that a revision names, empty if it names a commit in another way."""
    if revision in ("HEAD", "@"):
        return repository.git.head().branch or ""
    name = revision.removeprefix("refs/").removeprefix("heads/")
    tip = repository.git.refs("refs/heads/").get(f"refs/heads/{name}")
    return name if tip == commit else ""


def _epoch(repository: Repository, otherwise: int) -> int:
    """``SOURCE_DATE_EPOCH`` (reproducible-builds.org) if it is set."""
    text = repository.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ExportError(f"SOURCE_DATE_EPOCH is not a number of seconds: {text}")
    return int(text)


@contextmanager
def _destination(file: str, stdout: BinaryIO | None) -> Iterator[BinaryIO]:
    if file == "-":
        if stdout is None:
            raise ExportError("'-' needs a standard output to write to")
        yield stdout
        return
    if os.path.lexists(file) and not os.path.isfile(file):
        with _opened(file, file) as stream:  # a pipe or a device: nothing to rename
            yield stream
        return
    part = f"{file}.{os.getpid()}.part"
    try:
        with _opened(part, file) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def _opened(path: str, name: str) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise ExportError(f"cannot write '{name}': {error.strerror}") from error
