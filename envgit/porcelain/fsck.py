# SPDX-License-Identifier: Apache-2.0
"""Verify everything: git objects, layers down to the byte, trees, worktrees and operation log.

The checks are independent pieces of work, done by as many processes as there are processors. What
they find is then brought together with the history: which commits need what is damaged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError
from envgit.fs import durable
from envgit.layers.directory import verify
from envgit.layers.ids import ChangesId, CommitId, LayerId
from envgit.layers.links import survivors
from envgit.porcelain.foundation import position
from envgit.porcelain.foundation.needed import Need
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.workers import Job, Tick, processors, work
from envgit.repo import reachable
from envgit.repo import verify as objects
from envgit.repo.operations import REF as OPERATIONS
from envgit.store.usage import Meter
from envgit.store.worktree import Worktree

if TYPE_CHECKING:
    from envgit.layers.entry import Node
    from envgit.repo.objects import ObjectWriter

# With fewer objects than this, forking costs more than it saves (measured: 20,000 a second).
_WORTH_FORKING = 4000
_CHUNK = 20_000

BITS = {
    "object": 1,
    "layer": 1,
    "tree": 1,
    "worktree": 1,
    "operation": 1,
    "missing": 2,
    "pack": 4,
    "ref": 8,
}
"""The exit status of ``fsck`` by kind of error: the bits of git's (builtin/fsck.c)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong. ``severity`` is ``error``, or ``warning`` for what costs nothing but a
    look, or ``dangling`` or ``unreachable`` for an object that is merely not needed; ``text`` names
    the file or object and what is wrong with it.

    ``kind`` is one of BITS. ``layer`` and ``path`` name a damaged file (``/etc/passwd``; None with
    a layer: all of it). ``commits`` need what is damaged, and ``needed_by`` are names for them:
    first the branches and tags whose own state does, then ``main~3`` and the like.
    """

    severity: str
    text: str
    kind: str = ""
    layer: LayerId | None = None
    path: str | None = None
    object: str | None = None
    commits: tuple[CommitId, ...] = ()
    needed_by: tuple[str, ...] = ()


Progress = Callable[[str, int, int, str], None]
"""What is being done, how much of it is done, how much there is, and both in words."""


def fsck(
    repository: Repository,
    *,
    content: bool = True,
    connectivity: bool = False,
    dangling: bool = False,
    unreachable: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Problem]:
    """Check the repository and everything in the store that it needs. Changes nothing.

    ``content`` reads every file of every layer; otherwise only metadata and sizes are compared.
    ``connectivity`` only follows history, and looks whether each object and layer is there.
    ``dangling`` also lists objects that nothing leads to, ``unreachable`` those, too, that only
    such ones lead to. ``workers``: how many processes work, by default one a processor.
    """
    with repository.store.lock(exclusive=False, what="fsck", on_wait=repository.waiting):
        where, bad = objects.stored(repository.git)
        found = [_of_object(problem) for problem in bad]
        commits = _commits(repository, found)
        plan = _jobs(repository, commits, where, content=content, connectivity=connectivity)
        if workers is None:
            workers = processors() if len(where) > _WORTH_FORKING else 1
        tick = _Counter(progress, _total(repository, commits, where) if progress else (0, 0, 0))
        for items in work(plan, workers=workers, tick=tick):
            for item in items:
                problem = _problem(item, dangling=dangling, unreachable=unreachable)
                if problem is not None:
                    found.append(problem)
        found.extend(_worktrees(repository))
        found.extend(_records(repository))
        found.extend(_operations(repository))
        return _with_need(repository, commits, found)


def status(problems: Sequence[Problem]) -> int:
    """The exit status that ``fsck`` has for these."""
    bits = 0
    for problem in problems:
        if problem.severity == "error":
            bits |= BITS.get(problem.kind, 1)
    return bits


def lost_found(repository: Repository, problems: Sequence[Problem]) -> None:
    """Write the ids of dangling commits, and the contents of other dangling objects, into
    ``lost-found/`` of the repository, as ``git fsck --lost-found`` does."""
    for problem in problems:
        if problem.severity != "dangling" or problem.object is None:
            continue
        kind, data = repository.git.read(problem.object)
        folder = os.path.join(
            repository.git.path, "lost-found", "commit" if kind == "commit" else "other"
        )
        os.makedirs(folder, exist_ok=True)
        text = data if kind == "blob" else f"{problem.object}\n".encode()
        durable.write_file(os.path.join(folder, problem.object), text)


# -- the pieces of work ---------------------------------------------------------------------------


def _jobs(
    repository: Repository,
    commits: list[CommitId],
    where: dict[bytes, str],
    *,
    content: bool,
    connectivity: bool,
) -> list[Job]:
    """What takes longest comes first: the root commits, whose layers hold most."""
    history = partial(_history, repository, list(where), shallow=connectivity)
    if connectivity:
        return [history, partial(_presence, repository, commits)]
    firsts: dict[LayerId, CommitId] = {}
    for commit in commits:
        firsts.setdefault(repository.git.commit(commit).layer, commit)
    size = max(1, len(commits) // (processors() * 16))
    batches = [commits[:1], *(commits[at : at + size] for at in range(1, len(commits), size))]
    environments = [
        partial(_environments, repository, batch, set(firsts.values()), content=content)
        for batch in batches
        if batch
    ]
    entries = list(where.items())
    chunks = [
        partial(_objects, repository, entries[at : at + _CHUNK])
        for at in range(0, len(entries), _CHUNK)
    ]
    return [*environments[:1], history, *chunks, *environments[1:]]


def _objects(repository: Repository, entries: list[tuple[bytes, str]], tick: Tick) -> Iterator[Any]:
    for number, problem in enumerate(objects.check(repository.git, entries), 1):
        if problem is not None:
            yield ["object", problem.severity, problem.text, problem.kind, problem.oid]
        if number % 1000 == 0:
            tick("objects", 1000, 0)


def _history(
    repository: Repository, ids: list[bytes], tick: Tick, *, shallow: bool
) -> Iterator[Any]:
    history = objects.History(repository.git, shallow=shallow)
    for source in (objects.References(repository.git).problems(), history.problems()):
        for problem in source:
            yield ["object", problem.severity, problem.text, problem.kind, problem.oid]
    for loose in history.unreachable(ids):
        yield ["loose", loose.kind, loose.oid, loose.dangling]


def _presence(repository: Repository, commits: list[CommitId], tick: Tick) -> Iterator[Any]:
    layers = dict.fromkeys(repository.git.commit(commit).layer for commit in commits)
    for layer in layers:
        if not repository.store.has_layer(layer):
            yield ["lost", layer]


def _environments(
    repository: Repository,
    commits: list[CommitId],
    firsts: set[CommitId],
    tick: Tick,
    *,
    content: bool,
) -> Iterator[Any]:
    """The layers of some commits (but for those that only ``firsts`` are to check), and whether
    each root filesystem is its parent's overlaid with its layer (the law of layers)."""
    git = repository.git
    for commit in commits:
        layer = git.commit(commit).layer
        if commit in firsts and not repository.store.has_layer(layer):
            yield ["lost", layer]
        try:
            node = git.layer(commit)
            if commit in firsts:
                yield from _layer(repository, layer, node, tick, content=content)
            yield from _law(repository, commit, node)
        except EnvgitError as error:
            yield ["layer", layer, None, error.message]


def _layer(
    repository: Repository, layer: LayerId, node: Node, tick: Tick, *, content: bool
) -> Iterator[Any]:
    done = [0, 0]

    def progress(files: int, size: int) -> None:
        tick("files", files - done[0], size - done[1])
        done[:] = files, size

    path = repository.store.layer_path(layer)
    if not repository.store.has_layer(layer):
        return
    for problem in verify(os.fsencode(path), node, content=content, progress=progress):
        yield ["layer", layer, os.fsdecode(problem.path), problem.what]


def _law(repository: Repository, commit: CommitId, node: Node) -> Iterator[Any]:
    with repository.git.writer() as writer:
        expected = _overlaid(repository, writer, commit, node)
    actual = repository.git.commit(commit).rootfs
    if expected != actual:
        text = f"its rootfs {actual} is not its parent's with its layer on top, which is {expected}"
        yield ["law", commit, text]


def _overlaid(repository: Repository, writer: ObjectWriter, commit: CommitId, node: Node) -> str:
    git = repository.git
    parents = git.commit(commit).parents
    if not parents:
        return writer.write_rootfs(None, node)
    base = git.rootfs(parents[0])
    return writer.write_rootfs(git.commit(parents[0]).rootfs, node, survivors(base, node))


# -- what comes of it -----------------------------------------------------------------------------


def _of_object(problem: objects.ObjectProblem) -> Problem:
    return Problem(problem.severity, problem.text, problem.kind, object=problem.oid or None)


def _problem(item: list[Any], *, dangling: bool, unreachable: bool) -> Problem | None:
    """The problem that a job reported."""
    what, *values = item
    if what == "object":
        severity, text, kind, oid = values
        return Problem(severity, text, kind, object=oid or None)
    if what == "loose":
        kind, oid, is_dangling = values
        if dangling and is_dangling:
            return Problem("dangling", f"dangling {kind} {oid}", object=oid)
        if unreachable:
            return Problem("unreachable", f"unreachable {kind} {oid}", object=oid)
        return None
    if what == "lost":
        return Problem("error", f"layer {values[0]} is missing", "missing", LayerId(values[0]))
    if what == "law":
        commit, text = values
        return Problem("error", f"commit {commit}: {text}", "tree", commits=(CommitId(commit),))
    layer, path, text = values
    if path is None:
        return Problem("error", f"layer {layer}: {text}", "layer", LayerId(layer))
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    text = f"layer {layer}: /{shown} {text}"
    return Problem("error", text, "layer", LayerId(layer), "/" + path)


def _with_need(
    repository: Repository, commits: list[CommitId], found: list[Problem]
) -> list[Problem]:
    """The problems with the commits that need what is damaged, which costs only when any is."""
    need = Need(repository, commits)
    done = []
    for problem in found:
        if problem.severity in ("dangling", "unreachable"):
            done.append(problem)
            continue
        needing = problem.commits
        if problem.layer is not None:
            needing = need.of_file(problem.layer, problem.path)
        elif problem.object is not None and problem.kind in ("object", "missing"):
            needing = need.of_object(problem.object)
        names = need.names(needing)
        text = problem.text
        if names:
            shown = ", ".join(names[:_NAMED])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            text += f"; needed by {shown}{more}"
        done.append(replace(problem, text=text, commits=needing, needed_by=names))
    return done


_NAMED = 6
"""How many names of commits a line has."""


class _Counter:
    """Adds up what the workers do, for whoever watches."""

    def __init__(self, progress: Progress | None, total: tuple[int, int, int]) -> None:
        self._progress = progress
        self._objects, self._files, self._bytes = total
        self._done = {"objects": 0, "files": 0}
        self._read = 0

    def __call__(self, kind: str, count: int, size: int) -> None:
        if self._progress is None:
            return
        self._done[kind] += count
        self._read += size
        done, total = self._done["objects"] + self._read, self._objects + self._bytes
        words = (
            f"{self._done['files']:,}/{self._files:,} files, "
            f"{self._read / 1e6:,.0f}/{self._bytes / 1e6:,.0f} MB"
        )
        self._progress("checking", min(done, total), total, words)


def _total(
    repository: Repository, commits: list[CommitId], where: dict[bytes, str]
) -> tuple[int, int, int]:
    """How many objects, files and bytes there are to check."""
    layers = dict.fromkeys(repository.git.commit(commit).layer for commit in commits)
    usage = Meter().measure_all(repository.store.layer_path(layer) for layer in layers)
    return len(where), usage.files, usage.content


def _commits(repository: Repository, found: list[Problem]) -> list[CommitId]:
    """The environments that anything leads to, oldest first."""
    git = repository.git
    try:
        head = git.head()
        tips = {**git.refs("refs/heads/"), **git.refs("refs/tags/"), "HEAD": head.commit}
        for ref, oid in tips.items():
            if oid is not None and not git.git_commit(oid).rootfs:
                severity = "error" if ref in ("HEAD", head.symbolic) else "warning"
                text = f"{ref}: commit {oid} holds no environment"
                found.append(Problem(severity, text, "ref"))
        return list(reversed(git.reachable_environments()))
    except EnvgitError as error:
        found.append(Problem("error", error.message, "missing"))
        return []


# -- worktrees, records, operations ---------------------------------------------------------------


def _worktrees(repository: Repository) -> Iterator[Problem]:
    """The repository's own, and every other one in the store that says it is this repository's."""
    try:
        own = repository.named_worktree()
    except EnvgitError as error:
        yield Problem("error", error.message, "worktree")
        return
    yield from _worktree(repository, own, "")
    for name in repository.store.all_worktrees():
        other = Worktree(repository.store, name)
        try:
            ours = name != own.id and _belongs(repository, other.state().repository)
        except EnvgitError:
            continue  # `gc` names it; whose it is cannot be told
        if ours:
            yield from _worktree(repository, other, f"worktree {name}: ")


def _belongs(repository: Repository, path: str) -> bool:
    """Whether a worktree's state names this repository, or a linked worktree's folder in it."""
    folders = [repository.path, *reachable.places(repository.git.path)]
    return os.path.realpath(path) in {os.path.realpath(folder) for folder in folders}


def _worktree(repository: Repository, worktree: Worktree, where: str) -> Iterator[Problem]:
    store = repository.store
    try:
        state = worktree.state()
        store.require_changes(state.changes)
        store.stack_paths(state.stack)
        if state.base is not None:
            repository.git.commit(state.base)
    except EnvgitError as error:
        yield Problem("error", f"{where}{error.message}", "worktree")
        return
    if worktree.journal.pending():
        text = "a change is half done; the next command will finish it"
        yield Problem("warning", where + text, "worktree")
    if worktree.maybe_incomplete(state):
        text = "uncommitted changes may be incomplete: the machine went down before they were"
        yield Problem("warning", f"{where}{text} flushed", "worktree")


def _records(repository: Repository) -> Iterator[Problem]:
    """What merge, cherry-pick, revert and bisect have noted: one JSON object each."""
    git = repository.git
    try:
        for name, oid in reachable.refs(git.path).items():
            if reachable.RECORDS not in name:
                continue
            tree = list(git.tree_of(oid).values())
            texts = [git.read(blob.hex())[1] for is_tree, blob in tree if not is_tree]
            if len(tree) != 1 or not texts or not isinstance(_parsed(texts[0]), dict):
                yield Problem("error", f"{name}: {oid} is no record", "operation", object=oid)
        for changes in sorted(reachable.recorded_changes(git)):
            if not repository.store.changes_exist(ChangesId(changes)):
                text = f"what is under way cannot be aborted: its changes {changes} are gone"
                yield Problem("error", text, "operation")
    except EnvgitError as error:
        yield Problem("error", error.message, "operation")


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _operations(repository: Repository) -> Iterator[Problem]:
    store = repository.store
    sealed = set()
    try:
        for operation in repository.git.operations():
            if operation.sealed is not None:
                sealed.add(operation.sealed[0])
            for point in (operation.before, operation.after):
                if point is None or point.changes is None or point.changes in sealed:
                    continue
                if not store.changes_exist(point.changes):
                    yield Problem(
                        "error",
                        f"operation {operation.id[:12]} ({operation.description}) cannot be gone"
                        f" back to: its uncommitted changes {point.changes} are gone",
                        "operation",
                    )
    except EnvgitError as error:
        yield Problem("error", f"{OPERATIONS}: {error.message}", "operation")


def _usable(repository: Repository, worktree: Worktree) -> bool:
    """Whether the worktree's state can be read and all that it names is there."""
    try:
        state = worktree.state()
        worktree.store.require_changes(state.changes)
        worktree.store.stack_paths(state.stack)
        if state.base is not None:
            repository.git.commit(state.base)
    except EnvgitError:
        return False
    return True


def repair(repository: Repository) -> bool:
    """Give the worktree a new state at HEAD when its own cannot be read; whether that was so.

    Nothing is deleted: what the lost state's change set held stays in the store until ``gc``.
    """
    from envgit.store.worktree import State

    worktree = repository.named_worktree()
    with worktree.lock(what="fsck --repair", on_wait=repository.waiting):
        if _usable(repository, worktree):
            return False
        empty = State(repository=repository.path, changes=repository.store.new_changes())
        head = repository.git.head().commit
        state = position.at_commit(repository, empty, head) if head is not None else empty
        worktree.write_state(state)
        if state.changes != empty.changes:
            repository.store.delete_changes(empty.changes)
        return True
