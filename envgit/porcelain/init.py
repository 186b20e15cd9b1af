# SPDX-License-Identifier: Apache-2.0
"""Make a repository, and its first commit from a source."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from envgit.errors import EnvgitError
from envgit.fs import crashpoint, durable
from envgit.image.source import DEBIAN, ROOTFS, SCRATCH, TAR, Source, parse_source
from envgit.layers.ids import ChangesId
from envgit.porcelain.commit import CommitResult, commit
from envgit.porcelain.foundation import places
from envgit.porcelain.foundation.relocate import uses
from envgit.porcelain.foundation.repository import DIRECTORY, Repository, open_store
from envgit.sandbox.plan import DEFAULT_PATH
from envgit.settings import Settings
from envgit.store.worktree import State, Worktree

# Architectures by the names of the OCI image spec (Go's GOARCH).
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


class SourceUnreadable(EnvgitError):
    """The source of ``init --from`` is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class InitResult:
    """The repository, whether it was there before, and the first commit if a source was given."""

    repository: Repository
    reinitialized: bool
    first: CommitResult | None


def init(
    directory: str = ".",
    *,
    source: str | None = None,
    branch: str | None = None,
    message: str | None = None,
    environ: Mapping[str, str],
    overrides: Sequence[tuple[str, str | None]] = (),
    notify: Callable[[str], None] | None = None,
    progress: Callable[[str], None] | None = None,
    stdin: BinaryIO | None = None,
    command: Sequence[str] = (),
) -> InitResult:
    """Make a repository in ``directory``; what ``source`` names becomes its first commit.

    ``source`` is as in :func:`envgit.image.source.parse_source`; ``stdin`` is read for ``tar:-``.
    The repository appears only when its content is there. Raises SourceError, SourceUnreadable,
    ArchiveError, BootstrapError.
    """
    parsed = parse_source(source) if source is not None else None
    project = os.path.abspath(directory)
    path = os.path.join(project, DIRECTORY)

    def opened(place: str) -> Repository:
        return Repository(
            place, environ=environ, overrides=overrides, notify=notify, command=command
        )

    repository = opened(path)
    if os.path.isdir(path):
        return _again(repository, source)
    if os.path.isfile(path):  # that of a linked worktree
        return _again(opened(str(places.resolve(path))), source)
    settings = Settings.load(environ=environ, repository=None, overrides=overrides)
    store = open_store(environ, settings)
    with store.lock(exclusive=False, what="init", on_wait=repository.notify):
        changes = store.new_changes()
        worktree = Worktree.create(store)
        try:
            if parsed is not None:
                _fill(repository, changes, parsed, progress, stdin)
            with _folder(project), _building(project) as place:
                made = opened(place)
                worktree.write_state(State(repository=made.path, changes=changes))
                _create(made, worktree, branch or settings.get_text("init.defaultBranch"))
                first = _first(made, parsed, message) if parsed is not None else None
                _publish(made, path)
        except BaseException:
            if not uses(path, worktree.id):  # else Ctrl-C came after it was published
                store.unregister(path, [worktree.id])
                store.trash(worktree.path)
                store.delete_changes(changes)
                store.empty_trash()
            raise
    # Anew: filling may have read the settings before the repository's own file was there.
    return InitResult(opened(path), False, first)


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


def _first(repository: Repository, source: Source, message: str | None) -> CommitResult:
    text = message or f"init: {_described(source)}"
    return commit(repository, text, allow_empty=True, config=_config(source), call_hooks=False)


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


def _fill(
    repository: Repository,
    changes: ChangesId,
    source: Source,
    progress: Callable[[str], None] | None,
    stdin: BinaryIO | None,
) -> None:
    """Put the source's content into the (never mounted) upper directory of ``changes``."""
    upper = repository.store.upper_path(changes)
    if source.kind == SCRATCH:
        return
    if source.kind == TAR:
        _extract(repository, source.value, upper, stdin)
    elif source.kind == ROOTFS:
        _copy(source.value, upper)
    elif source.kind == DEBIAN:
        from envgit.image.debian import bootstrap

        bootstrap(
            source.value,
            source.packages,
            upper,
            environment=repository.environ,
            progress=progress,
        )


def _extract(repository: Repository, file: str, upper: str, stdin: BinaryIO | None) -> None:
    from envgit.layers.untar import extract

    if file == "-":
        if stdin is None:
            raise SourceUnreadable("tar:- needs an archive on standard input")
        extracted = extract(stdin, upper)
    else:
        try:
            stream = open(file, "rb")  # noqa: SIM115  (only opening is to be explained)
        except OSError as error:
            raise SourceUnreadable(f"cannot read '{file}': {error.strerror}") from error
        with stream:
            extracted = extract(stream, upper)
    for skipped in extracted.skipped:
        path = skipped.path.decode("utf-8", "backslashreplace")
        repository.notify(f"{path} is left out: {skipped.reason}")


def _copy(folder: str, upper: str) -> None:
    from envgit.layers.directory import copy
    from envgit.layers.scan import scan

    if not os.path.isdir(folder):
        raise SourceUnreadable(f"'{folder}' is no directory")
    root = os.fsencode(os.path.abspath(folder))
    node = scan(root, hashes=None, overlay=False).node
    copy(os.fsencode(upper), node, root)


def _described(source: Source) -> str:
    if source.kind in (TAR, ROOTFS):
        return f"{source.kind}:{os.path.basename(source.value.rstrip('/')) or source.value}"
    return str(source)


def _config(source: Source) -> dict[str, Any]:
    """The run configuration of a new environment, in the words of the OCI image spec."""
    machine = platform.machine()
    config: dict[str, Any] = {"Architecture": _ARCHITECTURES.get(machine, machine), "Os": "linux"}
    if source.kind != SCRATCH:
        config["Env"] = [f"PATH={DEFAULT_PATH}"]
    return config
