# SPDX-License-Identifier: Apache-2.0
"""Make a repository, and its first commit from a source."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.image.descriptors import Platform
from envgit.image.source import (
    IMAGES,
    Source,
    parse_source,
)
from envgit.layers.ids import CommitId
from envgit.porcelain.commit import CommitResult, commit
from envgit.porcelain.foundation import filling, places
from envgit.porcelain.foundation.images.places import open_source, this_machine, wanted
from envgit.porcelain.foundation.relocate import uses
from envgit.porcelain.foundation.repository import DIRECTORY, Repository, open_store
from envgit.settings import Settings
from envgit.store.worktree import State, Worktree

if TYPE_CHECKING:
    from envgit.porcelain.foundation.images.incoming import Brought, Image


@dataclass(frozen=True, slots=True)
class InitResult:
    """The repository, whether it was there before, and the first commit if a source was given.

    Of an image ``first`` is None and ``commits`` has a commit for each layer, the first first.
    """

    repository: Repository
    reinitialized: bool
    first: CommitResult | None
    commits: tuple[CommitId, ...] = ()


@dataclass(frozen=True, slots=True)
class _Content:
    """What a new repository is to hold, and how to go about it."""

    source: Source | None
    image: Image | None
    message: str | None
    squash: bool
    progress: Callable[..., None] | None
    stdin: BinaryIO | None


def init(
    directory: str = ".",
    *,
    source: str | None = None,
    branch: str | None = None,
    message: str | None = None,
    squash: bool = False,
    platform: str | None = None,
    environ: Mapping[str, str],
    overrides: Sequence[tuple[str, str | None]] = (),
    notify: Callable[[str], None] | None = None,
    progress: Callable[..., None] | None = None,
    stdin: BinaryIO | None = None,
    command: Sequence[str] = (),
) -> InitResult:
    """Make a repository in ``directory``; what ``source`` names becomes its first commit.

    ``source`` is as in :func:`envgit.image.source.parse_source`; ``stdin`` is read for ``tar:-``.
    An image becomes a commit a layer, or one with ``squash``; ``platform`` chooses among several.
    The repository appears only when its content is there. Raises SourceError, SourceUnreadable,
    ArchiveError, ImageError, BootstrapError.
    """
    parsed = parse_source(source) if source is not None else None
    chosen = wanted(parsed, platform, squash)
    project = os.path.abspath(directory)
    path = os.path.join(project, DIRECTORY)
    opened = partial(
        Repository, environ=environ, overrides=overrides, notify=notify, command=command
    )
    repository = opened(path)
    if os.path.isdir(path):
        return _again(repository, source)
    if os.path.isfile(path):  # that of a linked worktree
        return _again(opened(str(places.resolve(path))), source)
    settings = Settings.load(environ=environ, repository=None, overrides=overrides)
    store = open_store(environ, settings)
    locked = store.lock(exclusive=False, what="init", on_wait=repository.notify)
    with locked, _opened(parsed, chosen, settings, environ) as image:
        content = _Content(parsed, image, message, squash, progress, stdin)
        changes = store.new_changes()
        worktree = Worktree.create(store)
        try:
            _fill(repository, store.upper_path(changes), content)
            with _folder(project), _building(project) as place:
                made = opened(place)
                worktree.write_state(State(repository=made.path, changes=changes))
                _create(made, worktree, branch or settings.get_text("init.defaultBranch"))
                first, commits = _committed(made, content)
                _publish(made, path)
        except BaseException:
            if not uses(path, worktree.id):  # else Ctrl-C came after it was published
                store.unregister(path, [worktree.id])
                store.trash(worktree.path)
                store.delete_changes(changes)
                store.empty_trash()
            raise
    # Anew: filling may have read the settings before the repository's own file was there.
    return InitResult(opened(path), False, first, commits)


def _again(repository: Repository, source: str | None) -> InitResult:
    if source is not None and repository.git.head().commit is not None:
        raise EnvgitError(
            f"{repository.project} is an envgit repository already, with content of its own",
            hint="give another directory",
        )
    if source is not None:
        raise EnvgitError(f"{repository.project} is an envgit repository already")
    return InitResult(repository, True, None)


@contextmanager
def _folder(project: str) -> Iterator[None]:
    """The folder of the project, and those above it; what was made goes again after an error."""
    made = []
    above = project
    while not os.path.lexists(above):
        made.append(above)
        above = os.path.dirname(above)
    os.makedirs(project, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            try:
                os.rmdir(folder)
            except OSError:  # somebody else put something into it
                break
        raise


@contextmanager
def _building(project: str) -> Iterator[str]:
    """A folder beside the place where the repository will be, in which it is made first.

    So that a repository is there whole or not at all. Its maker holds a lock on it; what a killed
    one left is removed by the next.
    """
    for name in os.listdir(project):
        if name.startswith(f"{DIRECTORY}.") and name.endswith(".new"):
            _remove_abandoned(os.path.join(project, name))
    place = os.path.join(project, f"{DIRECTORY}.{os.urandom(4).hex()}.new")
    os.mkdir(place)
    crashpoint.reach("init:begun")
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield place
    finally:
        durable.remove_tree(place)  # it is not there any more when all went well
        os.close(fd)


def _remove_abandoned(place: str) -> None:
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        durable.remove_tree(place)
    except BlockingIOError:
        pass  # somebody is making a repository here right now
    finally:
        os.close(fd)


def _create(repository: Repository, worktree: Worktree, branch: str) -> None:
    """The git repository, with the settings that name its worktree."""
    from envgit.repo.config import set_value
    from envgit.repo.repository import GitRepository

    GitRepository.create(repository.path, initial_branch=branch)
    config = os.path.join(repository.path, "config")
    set_value(config, "envgit.worktree", worktree.id)


def _committed(
    repository: Repository, content: _Content
) -> tuple[CommitResult | None, tuple[CommitId, ...]]:
    """The first commit, or the commits of an image's layers."""
    source = content.source
    if source is None:
        return None, ()
    if content.image is not None:
        return None, _layers(repository, source, content.image, content)
    text = content.message or f"init: {filling.described(source)}"
    config = filling.config_of(source)
    return commit(repository, text, allow_empty=True, config=config, call_hooks=False), ()


@contextmanager
def _opened(
    source: Source | None,
    platform: Platform | None,
    settings: Settings,
    environ: Mapping[str, str],
) -> Iterator[Image | None]:
    """The image that is named, looked at before anything is made for it; None for no image."""
    if source is None or source.kind not in IMAGES:
        yield None
        return
    from envgit.porcelain.foundation.images.incoming import look_at

    with open_source(source, settings, environ) as opened:
        yield look_at(opened, platform, this_machine())


def _fill(repository: Repository, upper: str, content: _Content) -> None:
    """Put into the first change set what becomes the first commit, if that is no image."""
    if content.source is not None and content.image is None:
        filling.fill(
            repository, upper, content.source, progress=content.progress, stdin=content.stdin
        )


def _layers(
    repository: Repository, source: Source, image: Image, content: _Content
) -> tuple[CommitId, ...]:
    """The image's layers as the commits of the branch that HEAD is on."""
    from envgit.porcelain.foundation.images import landing
    from envgit.porcelain.foundation.images.incoming import bring

    branch = repository.git.head().branch or ""
    title = filling.described(source)
    with repository.git.writer() as writer, repository.locked("init"):
        brought: Brought = bring(
            repository,
            writer,
            image,
            title=title,
            message=content.message,
            squash=content.squash,
            progress=content.progress,
        )
        try:
            landing.publish_on(repository, writer, brought, branch, here=True, title=title)
        except BaseException:
            brought.forget()
            raise
    for skipped in brought.skipped:
        path = skipped.path.decode("utf-8", "backslashreplace")
        repository.notify(f"{path} is left out: {skipped.reason}")
    return tuple(brought.commits)


def _publish(repository: Repository, path: str) -> None:
    """Give the finished repository its name. Raises EnvgitError when there is one meanwhile."""
    worktree = repository.worktree
    repository.store.register(path, [worktree.id])
    worktree.write_state(worktree.state()._replace(repository=path))
    durable.sync_directory(repository.path)
    crashpoint.reach("init:made")
    try:
        os.rename(repository.path, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise EnvgitError(f"'{path}' was made meanwhile by somebody else") from error
    durable.sync_directory(repository.project)
    crashpoint.reach("init:published")
