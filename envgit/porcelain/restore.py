# SPDX-License-Identifier: Apache-2.0
"""Bring paths of the worktree back to what HEAD, or another commit, has there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from envgit.errors import Refused
from envgit.layers.compare import Change
from envgit.layers.entry import Directory
from envgit.layers.ids import CommitId
from envgit.layers.pathspec import Pathspec
from envgit.porcelain.foundation import chain, hooks, layering, pending, position, snapshot
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.paths import require_match
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.operations import WorktreePoint

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current


class UnmergedPath(Refused):
    """The path is in conflict: it has more than one version."""


def restore(
    repository: Repository,
    paths: Sequence[str | bytes],
    *,
    source: str | None = None,
    verb: str = "restore",
    report: Callable[[list[Change]], None] | None = None,
) -> list[Change]:
    """Make ``paths`` (pathspecs) of the worktree what they are in ``source`` (default: HEAD).

    The worktree as it was becomes a snapshot that ``undo`` goes back to; what is brought back is
    hard-linked from the layers, so that nothing is copied. Returns what changed; ``report`` gets
    it before the post-checkout hook is called. Raises
    NoMatch for one that neither side has, WorktreeBusy while commands run, HookFailed afterwards.
    """
    with repository.locked(verb):
        check_idle(repository)
        git, current = repository.git, snapshot.stable(repository)
        commit = git.resolve(source) if source is not None else current.head.commit
        tree = git.rootfs(commit) if commit else None
        spec = Pathspec.parse(paths)
        require_match(spec, (tree, current.tree))
        if source is None:
            _check_merged(repository, current, spec)
        target, taken = layering.with_paths(current.tree, tree, spec)
        if taken:
            _write(repository, current, commit, target, spec, f"{verb}: {_shown(paths)}", verb)
    if report is not None:
        report(taken)
    head = current.head.commit
    hooks.post_checkout(repository, head, head, branch=False)
    return taken


def _check_merged(repository: Repository, current: Current, spec: Pathspec) -> None:
    """Refuse, as git, to say which version of a path in conflict is meant."""
    found = pending.read(repository)
    for conflict in pending.unresolved(repository, found, current) if found is not None else ():
        if spec.matches(conflict.path):
            name = conflict.path.decode("utf-8", "backslashreplace")
            raise UnmergedPath(
                f"path '{name}' is unmerged",
                hint="take a side with --ours or --theirs, or name a commit",
            )


def _write(
    repository: Repository,
    current: Current,
    commit: CommitId | None,
    target: Directory,
    spec: Pathspec,
    reason: str,
    verb: str,
) -> None:
    """Stand on a commit of ``target`` on top of a snapshot of what is there now."""
    git, writer, who = repository.git, repository.git.writer(), repository.signature()
    state = current.state
    kept = layering.seal_changes(repository, writer, current)
    runs = snapshot.uncommitted_runs(repository, current)
    before = layering.write_snapshot(writer, kept, state.base, state.config, who, runs)
    source = _source(repository, current, commit, spec)
    made = layering.layer_between(repository, writer, (current.tree, kept.rootfs), target, source)
    head = current.head.commit
    if head is not None and git.commit(head).rootfs == made.rootfs:
        next_state = position.at_commit(repository, state, head)
    else:
        after = layering.write_snapshot(writer, made, before, state.config, who)
        stack, depth = position.on_top(repository, state, state.base, kept.layer)
        below = state._replace(base=before, stack=stack, depth=depth)
        mounted = position.on_top(repository, below, before, made.layer)
        next_state = position.standing(repository, state, after, mounted, state.config, target)
    publish(
        repository,
        writer,
        Publication(
            verb=verb,
            description=reason,
            state=next_state,
            seals=[each.seal for each in (kept, made) if each.seal],
            discards=[current.source],
            before=WorktreePoint(before, None),
            after=WorktreePoint(next_state.base, None),
            sealed=(state.changes, before),
        ),
        who,
    )
    position.shorten(repository)


def _source(
    repository: Repository, current: Current, commit: CommitId | None, spec: Pathspec
) -> Callable[[bytes], bytes | None]:
    """Where a file of the new tree lies: in the layers of ``commit``, or where it is now."""
    present = snapshot.reader(repository, current.state.stack, current.upper)
    stack = chain.resolve(repository, commit)[0] if commit else ()
    past = snapshot.reader(repository, stack)

    def host_path(path: bytes) -> bytes | None:
        return (past if spec.matches(path) else present).find(path)

    return host_path


def _shown(paths: Sequence[str | bytes]) -> str:
    return b" ".join(map(os.fsencode, paths)).decode("utf-8", "backslashreplace")
