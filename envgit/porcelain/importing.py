# SPDX-License-Identifier: Apache-2.0
"""Bring an image, or another source, into a repository that exists, as a branch of its own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from envgit.errors import EnvgitError, Refused
from envgit.image.descriptors import Platform
from envgit.image.source import DOCKER, IMAGES, Source, parse_source
from envgit.layers.ids import CommitId
from envgit.layers.scan import Skipped
from envgit.porcelain.foundation import filling, position
from envgit.porcelain.foundation.images import landing
from envgit.porcelain.foundation.images.incoming import Brought, bring, bring_files, look_at
from envgit.porcelain.foundation.images.places import open_source, this_machine, wanted
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.refnames import HEADS, BadRefName, check_branch

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter


class BranchTaken(Refused):
    """The branch that an import would make is there already."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was imported: the commits, the first first; on which branch; whether the worktree shows
    it now; the last one's subject; and what could not be kept of it."""

    source: str
    branch: str
    commits: tuple[CommitId, ...]
    checked_out: bool
    subject: str
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Request:
    """What to import, and how."""

    source: Source
    message: str | None
    squash: bool
    platform: Platform | None
    progress: Callable[..., None] | None
    stdin: BinaryIO | None


def import_image(
    repository: Repository,
    source: str,
    *,
    branch: str | None = None,
    message: str | None = None,
    squash: bool = False,
    platform: str | None = None,
    progress: Callable[..., None] | None = None,
    stdin: BinaryIO | None = None,
) -> ImportResult:
    """Import what ``source`` names as ``branch``: of an image one commit a layer, or with
    ``squash`` one in all; of any other source one commit. ``stdin`` is read for ``tar:-``.

    Without ``branch`` the name is that of the image; in a repository without a commit it is the
    current branch, and the worktree shows it. ``message`` is for the last commit. Raises
    SourceError, SourceUnreadable, ArchiveError, ImageError, BootstrapError, BranchTaken.
    """
    parsed = parse_source(source)
    request = _Request(parsed, message, squash, wanted(parsed, platform, squash), progress, stdin)
    git = repository.git
    unborn = git.head().commit is None
    name = branch or (git.head().branch if unborn else None) or derived_name(parsed)
    here = unborn and git.head().symbolic == HEADS + name
    _check(repository, name, here=here)
    with (
        repository.store.lock(exclusive=False, what="import", on_wait=repository.waiting),
        git.writer() as writer,
    ):
        brought = _brought(repository, writer, request)
        try:
            with repository.locked("import"):
                _check(repository, name, here=here)
                title = filling.described(parsed)
                landing.publish_on(repository, writer, brought, name, here=here, title=title)
        except BaseException:
            landing.forget_unless_published(repository, brought, name)
            raise
    return ImportResult(
        source=str(parsed),
        branch=name,
        commits=tuple(brought.commits),
        checked_out=here,
        subject=brought.subject,
        skipped=tuple(brought.skipped),
    )


def _brought(repository: Repository, writer: ObjectWriter, request: _Request) -> Brought:
    """The source as commits that nobody sees yet."""
    source = request.source
    title = filling.described(source)
    if source.kind in IMAGES:
        with open_source(source, repository.settings, repository.environ) as opened:
            return bring(
                repository,
                writer,
                look_at(opened, request.platform, this_machine()),
                title=title,
                message=request.message,
                squash=request.squash,
                progress=request.progress,
            )
    return bring_files(
        repository,
        writer,
        lambda upper: filling.fill(
            repository, upper, source, progress=request.progress, stdin=request.stdin
        ),
        filling.config_of(source),
        request.message or f"import: {title}",
    )


def derived_name(source: Source) -> str:
    """The branch that a source is imported as when nobody says: after its tag, file or suite.

    Raises EnvgitError when no name can be made of it.
    """
    text = (source.value if source.kind == DOCKER else source.name).partition("@")[0]
    if text:
        last = posixpath.basename(text)
        head, _, tag = last.partition(":")
        text = head if tag in ("", "latest") else f"{head}-{tag}"
    else:
        text = posixpath.basename(source.value.rstrip("/")) or source.kind
        text = re.sub(r"\.(?:tar|t[gx]z|tzst)(?:\.\w+)?\Z", "", text)
    text = re.sub(r"[^\w.+-]+", "-", text).strip("-.")
    try:
        check_branch(text)
        return text
    except BadRefName as error:
        raise EnvgitError(
            "no branch can be called after this source", hint="give a name with -b"
        ) from error


def _check(repository: Repository, name: str, *, here: bool) -> None:
    """Refuse before anything is unpacked what could not be published after."""
    check_branch(name)
    if repository.git.ref(HEADS + name) is not None:
        raise BranchTaken(
            f"a branch named '{name}' already exists", hint="give another name with -b"
        )
    if here and position.is_dirty(repository, repository.worktree.state()):
        raise Refused(
            "the worktree has uncommitted changes, and no commit that they belong to",
            hint="commit them first, or import to a branch with another name (-b)",
        )
