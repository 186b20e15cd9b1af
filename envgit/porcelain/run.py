# SPDX-License-Identifier: Apache-2.0
"""Run a command in the worktree, or in any commit; the one verb that must start at once.

Nothing here imports the git side: the worktree's state holds what is to be mounted.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from envgit.errors import UsageError
from envgit.porcelain.foundation.occupants import note_unflushed, root_of
from envgit.porcelain.foundation.planning import plan_for, with_settings
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.failure import RootGone
from envgit.sandbox.plan import OverlayRoot, Plan, RunOptions
from envgit.sandbox.supervisor import Outcome
from envgit.sandbox.supervisor import run as run_plan
from envgit.store.failures import StoreError
from envgit.store.running import RunningRecord
from envgit.store.worktree import State, Worktree

if TYPE_CHECKING:
    from envgit.porcelain.commit import CommitResult

# The sandbox's words for a run are ours, too: the command line speaks to porcelain alone.
__all__ = ["Plan", "RunOptions", "RunResult", "run"]


class RunResult(NamedTuple):
    """How a command ended: its status as a shell gives it, the signal if one ended it, and the
    commit that was made of its changes."""

    exit_code: int
    signal: int | None = None
    commit: CommitResult | None = None


def run(
    repository: Repository,
    argv: Sequence[str] = (),
    *,
    options: RunOptions | None = None,
    message: str | None = None,
    auto: bool = False,
    discard: bool = False,
    revision: str | None = None,
    prepare: Callable[[Plan], bool] | None = None,
) -> RunResult:
    """Run ``argv`` in the worktree, where its changes stay uncommitted.

    ``message`` (or ``auto``) commits them if the command exits with 0. ``discard`` throws the
    changes of this run away; ``revision`` runs in that commit and does so too. ``options`` are
    the sandbox's; ``run.env``, ``run.volume`` and ``run.network`` of the settings go before them.
    ``prepare`` sees the plan and says whether to go on (``--dry-run``), without hooks. Raises
    SandboxError, and HookRefused when the pre-run hook says no.
    """
    commits = message is not None or auto
    if commits and (discard or revision is not None):
        raise UsageError("changes that are thrown away cannot be committed")
    wanted = with_settings(repository, options or RunOptions(), argv)
    hooked = prepare is None and _has_hooks(repository)
    if hooked:
        from envgit.porcelain.foundation import hooks

        hooks.require(repository, "pre-run", *wanted.argv)
    if discard or revision is not None:
        outcome = _run_aside(repository, wanted, revision, prepare)
    else:
        outcome = _run_in_worktree(repository, wanted, prepare)
    if outcome is None:
        return RunResult(0)
    result = RunResult(outcome.exit_code, outcome.signal)
    if hooked:
        hooks.run_hook(repository, "post-run", str(outcome.exit_code), *wanted.argv)
    if commits and outcome.exit_code == 0:
        from envgit.porcelain.commit import NothingToCommit, commit

        try:
            return result._replace(commit=commit(repository, message, auto=auto))
        except NothingToCommit:
            repository.notify("nothing to commit: the command changed nothing")
    return result


def _has_hooks(repository: Repository) -> bool:
    """Whether there can be a hook at all: without a folder of them, what calls them is not even
    imported."""
    named = repository.settings.get("core.hooksPath")
    return named is not None or os.path.isdir(os.path.join(repository.common, "hooks"))


def _run_in_worktree(
    repository: Repository, options: RunOptions, prepare: Callable[[Plan], bool] | None
) -> Outcome | None:
    """Run on the worktree's own change set, joining the mount of whatever runs there already.

    The lock is held until the environment is mounted, so that two mounts never share an upper
    directory; the record of the run is locked by the environment itself.
    """
    with ExitStack() as locked:
        worktree = locked.enter_context(repository.locked(f"run {shlex.join(options.argv)}"[:80]))
        state = worktree.state()
        if worktree.maybe_incomplete(state):
            repository.notify(
                "the machine went down before the uncommitted changes were flushed; they may be"
                " incomplete"
            )
        while True:
            plan = plan_for(repository, root_of(repository, state), options, state.config)
            if prepare is not None and not prepare(plan):
                return None
            try:
                return _start(repository, worktree, plan, options.argv, state, locked)
            except RootGone:
                # What we wanted to join ended just then; once nobody is left we mount afresh.
                continue


def _start(
    repository: Repository,
    worktree: Worktree,
    plan: Plan,
    argv: Sequence[str],
    state: State,
    locked: ExitStack,
) -> Outcome:
    """Start the plan, let go of the lock when it is mounted, wait for its end and record it.

    It is recorded while it counts as running: until then no commit seals the change set, so that
    none can have read what was run there just before.
    """
    started = time.time()
    state = note_unflushed(repository, state)
    command = shlex.join(plan.argv)
    info = {"command": command, "stack": list(state.stack), "changes": state.changes}
    with worktree.register(info) as record:

        def mounted(pid: int, created: Sequence[bytes]) -> None:
            record.started(pid, mounted=True)
            points = tuple(sorted({*state.mountpoints, *map(os.fsdecode, created)}))
            if points != state.mountpoints:
                worktree.write_state(state._replace(mountpoints=points))
            locked.close()

        outcome = run_plan(
            plan, on_mounted=mounted, inherit_fds=(record.fd,), warn=repository.notify
        )
        run = {
            "argv": list(argv),
            "exit_code": outcome.exit_code,
            "started": int(started),
            "duration_ms": int((time.time() - started) * 1000),
        }
        try:
            worktree.append_run(run, state.changes)
        except (StoreError, FileNotFoundError) as error:
            # A full disk, or a worktree that was removed, does not take the exit status away.
            repository.notify(f"this run is not recorded: {error}")
    return outcome


def _run_aside(
    repository: Repository,
    options: RunOptions,
    revision: str | None,
    prepare: Callable[[Plan], bool] | None,
) -> Outcome | None:
    """Run on a change set of its own that is thrown away afterwards."""
    with _aside(repository, options, revision) as (state, record, lowers):
        root = OverlayRoot(
            lowers=lowers,
            upper=repository.store.upper_path(state.changes),
            work=os.path.join(repository.store.changes_path(state.changes), "work"),
            volatile=True,
        )
        plan = plan_for(repository, root, options, state.config)
        if prepare is not None and not prepare(plan):
            return None

        def mounted(pid: int, _: Sequence[bytes]) -> None:
            record.started(pid)

        return run_plan(plan, on_mounted=mounted, inherit_fds=(record.fd,), warn=repository.notify)


@contextmanager
def _aside(
    repository: Repository, options: RunOptions, revision: str | None
) -> Iterator[tuple[State, RunningRecord, tuple[str, ...]]]:
    """A temporary change set on top of ``revision``, or of the worktree as it is now."""
    from envgit.porcelain.foundation import position

    store, worktree = repository.store, repository.worktree
    with repository.locked("run --rm"):
        state = worktree.state()
        below = store.upper_path(state.changes)
        if revision is not None:
            state = position.at_commit(repository, state, repository.git.resolve(revision))
            lowers = store.stack_paths(state.stack)
        else:
            changes = position.fresh_changes_over(repository, below)
            state = state._replace(changes=changes)
            lowers = (below, *store.stack_paths(state.stack))
        info = {"command": shlex.join(options.argv), "stack": list(state.stack)}
        record = worktree.register({**info, "changes": state.changes})
    try:
        yield state, record, lowers
    finally:
        store.delete_changes(state.changes)
        record.remove()
        store.empty_trash()
