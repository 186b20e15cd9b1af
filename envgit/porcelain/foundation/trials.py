# SPDX-License-Identifier: Apache-2.0
"""A command in state after state, or in several at once: each a mount over what exists already.

Nothing is installed, copied or unpacked for a trial, and the worktree stays where it is: the lower
directories are those of a commit's chain, perhaps with one more layer, made of hard links for this
trial alone; the upper one is emptied afterwards. Spans are built only where the chain would be
longer than may be mounted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from envgit.errors import EnvgitError
from envgit.fs import durable
from envgit.layers.entry import Entry
from envgit.layers.ids import ChangesId, CommitId
from envgit.layers.writer import write_attributes
from envgit.porcelain.foundation import chain, position
from envgit.porcelain.foundation.planning import plan_for, with_settings
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox import worker
from envgit.sandbox.plan import OverlayRoot, RunOptions
from envgit.store.spans import SMALLEST_MAXIMUM

if TYPE_CHECKING:
    from envgit.store.worktree import RunningRecord

__all__ = ["Layered", "RunOptions", "Subject", "Trial", "TrialFailed", "Trials"]


_KEPT = 16 << 20
"""Of more bytes than that, the first and the last half are kept of a trial's output."""


class TrialFailed(EnvgitError):
    """A trial could not be made at all: that says nothing about the commit."""


@dataclass(frozen=True, slots=True)
class Layered:
    """A state that no commit has: one more layer on those of ``below``.

    ``build`` makes the layer in an empty directory, of hard links, under the store's lock, and
    returns the metadata of the root directory. ``config`` is the run configuration, ``name`` what
    messages call the state.
    """

    below: CommitId
    build: Callable[[str], Entry]
    config: Mapping[str, Any]
    name: str


Subject = CommitId | Layered | None
"""What a command is tried in: a commit, a state that is none, or the worktree as it is (None)."""


class _Mounted(NamedTuple):
    """What is mounted for a trial: ``lowers`` are host paths, ``stack`` the same directories as far
    as they are relative to the store, ``scratch`` the change set whose upper directory is one.
    ``root`` is the root directory's metadata; None: that of the topmost."""

    lowers: tuple[str, ...]
    stack: tuple[str, ...]
    config: Mapping[str, Any]
    root: Entry | None
    scratch: ChangesId | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How the command ended in a commit (None: in a state that is none).

    ``exit_code`` is its status as a shell gives it; ``timed_out`` that it was ended because its
    time was up. ``output`` is what it wrote to stdout and stderr, where that was kept; of
    much of it, the beginning and the end.
    """

    commit: CommitId | None
    exit_code: int
    signal: int | None
    duration_ms: int
    timed_out: bool = False
    output: bytes = b""


def _kept(file: IO[bytes]) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= _KEPT:
        return file.read()
    head = file.read(_KEPT // 2)
    file.seek(size - _KEPT // 2)
    return b"%b\n[... %d bytes left out ...]\n%b" % (head, size - _KEPT, file.read(_KEPT // 2))


class Trials:
    """Room for trials of one command: change sets that are used again and again.

    ``options`` are the sandbox's; ``run.env``, ``run.volume`` and ``run.network`` of the settings
    go before them. With ``host`` the command runs on the host, with the state mounted, for itself
    alone and to be changed at will, at ``$ENVGIT_ROOT``. ``timeout`` is in seconds.
    """

    def __init__(
        self,
        repository: Repository,
        argv: Sequence[str],
        *,
        options: RunOptions | None = None,
        host: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._repository = repository
        self._argv = tuple(argv)
        self._options = with_settings(repository, options or RunOptions(interactive=False), argv)
        self._host = host
        self._timeout = timeout
        self._free: list[ChangesId] = []

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        store = self._repository.store
        for changes in self._free:
            store.delete_changes(changes)
        store.empty_trash()

    def run(self, subjects: Sequence[Subject], *, capture: bool = False) -> list[Trial]:
        """Run the command in each of ``subjects``, all at once; in their order.

        ``capture`` keeps what it writes, else that goes where ours goes. Raises TrialFailed.
        """
        with ExitStack() as stack:
            workers: list[worker.Worker] = []
            files = []
            try:
                for subject in subjects:
                    file = stack.enter_context(tempfile.TemporaryFile()) if capture else None
                    files.append(file)
                    output = file.fileno() if file is not None else -1
                    workers.append(stack.enter_context(self._started(subject, output)))
            except BaseException:  # interrupted between two of them
                worker.stop(workers)
                raise
            ends = worker.wait(workers, self._timeout)
            found = []
            for subject, file, end in zip(subjects, files, ends, strict=True):
                commit = subject if isinstance(subject, str) else None
                if end.error is not None:
                    name = self._name(subject)
                    raise TrialFailed(f"the command could not be tried in {name}: {end.error}")
                data = _kept(file) if file is not None else b""
                duration = round(end.seconds * 1000)
                found.append(Trial(commit, end.exit_code, end.signal, duration, end.killed, data))
            return found

    def _name(self, subject: Subject) -> str:
        if isinstance(subject, Layered):
            return subject.name
        return self._repository.git.abbrev(subject) if subject is not None else "the worktree"

    @contextmanager
    def _started(self, subject: Subject, output: int) -> Iterator[worker.Worker]:
        repository = self._repository
        store = repository.store
        with store.lock(exclusive=False, what="a trial", on_wait=repository.waiting):
            mounted = self._mounted(subject)
            changes = self._room(mounted)
            info = {"command": " ".join(self._argv), "stack": list(mounted.stack)}
            scratch = [mounted.scratch] if mounted.scratch is not None else []
            record = repository.worktree.register({**info, "changes": changes, "below": scratch})
        started: worker.Worker | None = None
        try:
            root = OverlayRoot(
                lowers=mounted.lowers,
                upper=store.upper_path(changes),
                work=os.path.join(store.changes_path(changes), "work"),
                volatile=True,
            )
            if self._host:
                task = self._on_host(root, changes)
            else:
                plan = plan_for(repository, root, self._options, mounted.config)
                task = worker.inside(plan, record.started, (record.fd,))
            started = worker.Worker(task, output=output, own_group=self._host)
            yield started
        finally:
            # What a killed worker ran may be dying still, and write.
            self._leave(changes, record, reuse=started is not None and not started.killed)
            if mounted.scratch is not None:
                store.delete_changes(mounted.scratch)

    def _mounted(self, subject: Subject) -> _Mounted:
        repository = self._repository
        store = repository.store
        if subject is None:
            state = repository.worktree.state()
            below = store.upper_path(state.changes)
            lowers = (below, *store.stack_paths(state.stack))
            return _Mounted(lowers, state.stack, dict(state.config), None)
        commit = subject.below if isinstance(subject, Layered) else subject
        stack = chain.present(repository, commit)
        if len(stack) > max(repository.settings.get_int("core.maxdepth"), SMALLEST_MAXIMUM):
            stack, _ = chain.resolve(repository, commit)
        lowers = store.stack_paths(stack)
        if not isinstance(subject, Layered):
            config = dict(repository.git.metadata(commit).config)
            return _Mounted(lowers, stack, config, repository.git.rootfs(commit).entry)
        scratch = store.new_changes()
        try:
            upper = store.upper_path(scratch)
            root = subject.build(upper)
        except BaseException:
            store.delete_changes(scratch)
            raise
        return _Mounted((upper, *lowers), stack, subject.config, root, scratch)

    def _room(self, mounted: _Mounted) -> ChangesId:
        """An empty change set that shows the root directory's own metadata of the state."""
        store = self._repository.store
        if mounted.root is None:
            return position.fresh_changes_over(self._repository, mounted.lowers[0])
        # Between trials nobody keeps gc from taking them.
        self._free[:] = [each for each in self._free if store.changes_exist(each)]
        changes = self._free.pop() if self._free else store.new_changes()
        fd = os.open(store.upper_path(changes), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_attributes(fd, mounted.root, None)
        finally:
            os.close(fd)
        return changes

    def _on_host(self, root: OverlayRoot, changes: ChangesId) -> worker.Task:
        place = os.path.join(self._repository.store.changes_path(changes), "root")
        os.makedirs(place, exist_ok=True)
        environ = {
            **self._repository.environ,
            **dict(self._options.env),
            "ENVGIT_ROOT": place,
        }
        return worker.on_host(root, place, self._argv, environ)

    def _leave(self, changes: ChangesId, record: RunningRecord, *, reuse: bool) -> None:
        """Empty the change set for the next trial; one that cannot be emptied is given up."""
        store = self._repository.store
        upper = store.upper_path(changes)
        try:
            # A command that changed nothing, as most tests, left nothing to be removed; what is in
            # the work directory is the kernel's own business.
            if reuse and os.listdir(upper):
                durable.remove_tree(upper)
                os.mkdir(upper, 0o755)
                os.chmod(upper, 0o755)
        except OSError:
            reuse = False
        if reuse:
            self._free.append(changes)
        else:
            store.delete_changes(changes)
        record.remove()
