# SPDX-License-Identifier: Apache-2.0
"""The verbs as methods: the library's face, ``envgit.Repository.open(".").commit("...")``.

Each imports its verb when it is called, because ``run`` must not pay for the others. ``self`` is a
Repository, which these are mixed into; a mixin cannot say so to a type checker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from envgit.layers.compare import Change
    from envgit.layers.ids import CommitId
    from envgit.porcelain.bisectinside import InsideResult
    from envgit.porcelain.bisectrun import RunResult as BisectResult
    from envgit.porcelain.blame import LastChange, LineBlame
    from envgit.porcelain.branches import BranchInfo, Deleted, TagInfo
    from envgit.porcelain.commit import CommitResult
    from envgit.porcelain.copying import CopyResult
    from envgit.porcelain.describe import Described
    from envgit.porcelain.difference import Difference
    from envgit.porcelain.export import BillResult, ExportResult, ImageResult
    from envgit.porcelain.foundation.linking import WorktreeInfo
    from envgit.porcelain.foundation.occupants import HostMount
    from envgit.porcelain.foundation.packages.found import Found
    from envgit.porcelain.foundation.session import Step
    from envgit.porcelain.foundation.stashlist import Stashed
    from envgit.porcelain.fsck import Problem
    from envgit.porcelain.grep import FileHits
    from envgit.porcelain.history import LogEntry
    from envgit.porcelain.hookfiles import HookState
    from envgit.porcelain.importing import ImportResult
    from envgit.porcelain.maintenance import GcResult
    from envgit.porcelain.merge import MergeResult
    from envgit.porcelain.moves import MoveResult
    from envgit.porcelain.packagerollback import PackageRollback
    from envgit.porcelain.packages import Brought, Installed, OwnedFile, Package
    from envgit.porcelain.pick import PickResult
    from envgit.porcelain.run import RunResult
    from envgit.porcelain.shortlog import Group
    from envgit.porcelain.stash import Applied
    from envgit.porcelain.status import Status
    from envgit.porcelain.undo import UndoResult
    from envgit.porcelain.usage import DiskUsage
    from envgit.repo.operations import Operation


class Verbs:
    """What a Repository can be asked to do."""

    def run(self: Any, argv: Sequence[str], **options: Any) -> RunResult:
        """Run a command in the worktree; see :func:`envgit.porcelain.run.run`."""
        from envgit.porcelain.run import run

        return run(self, argv, **options)

    def status(self: Any, **options: Any) -> Status:
        """What differs from HEAD; see :func:`envgit.porcelain.status.status`."""
        from envgit.porcelain.status import status

        return status(self, **options)

    def commit(self: Any, message: str | None = None, **options: Any) -> CommitResult:
        """Record the uncommitted changes; see :func:`envgit.porcelain.commit.commit`."""
        from envgit.porcelain.commit import commit

        return commit(self, message, **options)

    def log(self: Any, *revisions: str, **options: Any) -> Iterator[LogEntry]:
        """The history, newest first; see :func:`envgit.porcelain.history.log`."""
        from envgit.porcelain.history import log

        return log(self, revisions, **options)

    def merge(self: Any, *revisions: str, **options: Any) -> MergeResult:
        """Join other histories to HEAD's; see :func:`envgit.porcelain.merge.merge`."""
        from envgit.porcelain.merge import merge

        return merge(self, revisions, **options)

    def mark_resolved(self: Any, paths: Sequence[str | bytes] = ()) -> list[bytes]:
        """Mark conflicts as resolved, as ``add``; see :func:`envgit.porcelain.resolve.mark`."""
        from envgit.porcelain.resolve import mark

        return mark(self, paths)

    def resolve_with(self: Any, side: str, paths: Sequence[str | bytes]) -> list[bytes]:
        """Take ``ours`` or ``theirs`` for conflicts; see :func:`envgit.porcelain.resolve.take`."""
        from envgit.porcelain.resolve import take

        return take(self, paths, side)

    def blame(self: Any, path: str, revision: str | None = None) -> list[LastChange]:
        """Which commit last changed a path; see :func:`envgit.porcelain.blame.blame`."""
        from envgit.porcelain.blame import blame

        return blame(self, path, revision)

    def blame_lines(self: Any, path: str, *revisions: str, **options: Any) -> LineBlame:
        """Which commit each line is from; see :func:`envgit.porcelain.blame.blame_lines`."""
        from envgit.porcelain.blame import LineQuery, blame_lines

        return blame_lines(self, path, revisions, LineQuery(**options))

    def packages(self: Any, revision: str | None = None, **options: Any) -> Installed:
        """What is installed; see :func:`envgit.porcelain.packages.packages`."""
        from envgit.porcelain.packages import packages

        return packages(self, revision, **options)

    def package_files(self: Any, name: str, revision: str | None = None) -> list[OwnedFile]:
        """The files of a package; see :func:`envgit.porcelain.packages.files_of`."""
        from envgit.porcelain.packages import files_of

        return files_of(self, name, revision)

    def package_of(self: Any, path: str, revision: str | None = None) -> Package | None:
        """Whose a file is; see :func:`envgit.porcelain.packages.owner`."""
        from envgit.porcelain.packages import owner

        return owner(self, path, revision)

    def package_changes(self: Any, old: str | None = None, new: str | None = None) -> Found:
        """What became of packages; see :func:`envgit.porcelain.packages.changes`."""
        from envgit.porcelain.packages import changes

        return changes(self, old, new)

    def blame_package(self: Any, name: str, revision: str | None = None) -> list[Brought]:
        """Which commit brought a version; see :func:`envgit.porcelain.packages.blame`."""
        from envgit.porcelain.packages import blame

        return blame(self, name, revision)

    def grep(self: Any, pattern: str, *revisions: str, **options: Any) -> Iterator[FileHits]:
        """Lines that match; see :func:`envgit.porcelain.grep.grep`, ``options`` are its Search's
        and ``paths``."""
        from envgit.porcelain.grep import Search, grep

        paths = options.pop("paths", ())
        return grep(self, Search((pattern,), **options), revisions, paths=paths)

    def describe(self: Any, revision: str | None = None, **options: Any) -> Described:
        """Name a commit after a tag; see :func:`envgit.porcelain.describe.describe`."""
        from envgit.porcelain.describe import Naming, describe

        return describe(self, revision, Naming(**options))

    def shortlog(self: Any, *revisions: str, **options: Any) -> list[Group]:
        """The log by who wrote it; see :func:`envgit.porcelain.shortlog.shortlog`."""
        from envgit.porcelain.history import log
        from envgit.porcelain.shortlog import shortlog

        return shortlog((entry.commit for entry in log(self, revisions)), **options)

    def switch(self: Any, target: str | None = None, **options: Any) -> MoveResult:
        """Go to another branch or commit; see :func:`envgit.porcelain.moves.switch`."""
        from envgit.porcelain.moves import switch

        return switch(self, target, **options)

    def reset(self: Any, revision: str = "HEAD", **options: Any) -> MoveResult:
        """Move the branch; see :func:`envgit.porcelain.moves.reset`."""
        from envgit.porcelain.moves import reset

        return reset(self, revision, **options)

    def rollback(self: Any, revision: str | None = None, **options: Any) -> MoveResult:
        """Go back; see :func:`envgit.porcelain.moves.rollback`."""
        from envgit.porcelain.moves import rollback

        return rollback(self, revision, **options)

    def rollback_packages(
        self: Any, names: Sequence[str], revision: str | None = None, **options: Any
    ) -> PackageRollback:
        """Take packages back; see :func:`envgit.porcelain.packagerollback.rollback_packages`."""
        from envgit.porcelain.packagerollback import rollback_packages

        return rollback_packages(self, names, revision, **options)

    def restore(self: Any, paths: Sequence[str | bytes], **options: Any) -> list[Change]:
        """Bring paths back; see :func:`envgit.porcelain.restore.restore`."""
        from envgit.porcelain.restore import restore

        return restore(self, paths, **options)

    def diff(
        self: Any, old: str | None = None, new: str | None = None, **options: Any
    ) -> Difference:
        """What differs; see :func:`envgit.porcelain.difference.diff`."""
        from envgit.porcelain.difference import diff

        return diff(self, old, new, **options)

    def branches(self: Any, **options: Any) -> list[BranchInfo]:
        """The branches; see :func:`envgit.porcelain.branches.list_branches`."""
        from envgit.porcelain.branches import list_branches

        return list_branches(self, **options)

    def create_branch(self: Any, name: str, start: str = "HEAD", *, force: bool = False) -> None:
        """Make a branch, or move it; see :func:`envgit.porcelain.branches.create_branch`."""
        from envgit.porcelain.branches import create_branch

        create_branch(self, name, start, force=force)

    def delete_branches(self: Any, *names: str, force: bool = False) -> list[Deleted]:
        """Delete branches; see :func:`envgit.porcelain.branches.delete_branches`."""
        from envgit.porcelain.branches import delete_branches

        return delete_branches(self, names, force=force)

    def tags(self: Any, **options: Any) -> list[TagInfo]:
        """The tags; see :func:`envgit.porcelain.branches.list_tags`."""
        from envgit.porcelain.branches import list_tags

        return list_tags(self, **options)

    def create_tag(self: Any, name: str, target: str = "HEAD", **options: Any) -> CommitId | None:
        """Make a tag; see :func:`envgit.porcelain.branches.create_tag`."""
        from envgit.porcelain.branches import create_tag

        return create_tag(self, name, target, **options)

    def delete_tags(self: Any, *names: str) -> list[Deleted]:
        """Delete tags; see :func:`envgit.porcelain.branches.delete_tags`."""
        from envgit.porcelain.branches import delete_tags

        return delete_tags(self, names)

    def cherry_pick(self: Any, *revisions: str, **options: Any) -> PickResult:
        """Do commits again on top of HEAD; see :func:`envgit.porcelain.pick.cherry_pick`.

        The options are those of :class:`envgit.porcelain.foundation.sequencer.PickOptions`.
        """
        from envgit.porcelain.pick import PickOptions, cherry_pick

        return cherry_pick(self, revisions, options=PickOptions(**options))

    def revert(self: Any, *revisions: str, **options: Any) -> PickResult:
        """Undo commits in new ones; see :func:`envgit.porcelain.pick.revert`."""
        from envgit.porcelain.pick import PickOptions, revert

        return revert(self, revisions, options=PickOptions(**options))

    def stash(self: Any, message: str | None = None, **options: Any) -> Stashed | None:
        """Put the uncommitted changes away; see :func:`envgit.porcelain.stash.push`."""
        from envgit.porcelain.stash import push

        return push(self, message, **options)

    def stash_list(self: Any) -> list[Stashed]:
        """The entries of the stash, newest first."""
        from envgit.porcelain.foundation.stashlist import entries

        return entries(self)

    def stash_apply(self: Any, entry: str | None = None, *, pop: bool = False) -> Applied:
        """Bring an entry's changes back; see :func:`envgit.porcelain.stash.apply`."""
        from envgit.porcelain.stash import apply

        return apply(self, entry, pop=pop)

    def stash_drop(self: Any, entry: str | None = None) -> Stashed:
        """Take an entry off the list; see :func:`envgit.porcelain.stash.drop`."""
        from envgit.porcelain.stash import drop

        return drop(self, entry)

    def bisect_start(self: Any, *words: str) -> Step:
        """Begin to bisect, ``BAD GOOD...``; see :func:`envgit.porcelain.bisect.start`."""
        from envgit.porcelain.bisect import start

        return start(self, words)[0]

    def bisect_mark(self: Any, term: str, *revisions: str) -> Step:
        """Mark commits as good, bad or skipped; see :func:`envgit.porcelain.bisect.mark`."""
        from envgit.porcelain.bisect import mark

        return mark(self, term, revisions)

    def bisect_run(self: Any, argv: Sequence[str], **options: Any) -> BisectResult:
        """Let a command decide; see :func:`envgit.porcelain.bisectrun.run`."""
        from envgit.porcelain.bisectrun import run

        return run(self, argv, **options)

    def bisect_inside(self: Any, argv: Sequence[str], **options: Any) -> InsideResult:
        """Find a commit's packages that make a command fail; see
        :func:`envgit.porcelain.bisectinside.inside`."""
        from envgit.porcelain.bisectinside import inside

        return inside(self, argv, **options)

    def bisect_reset(self: Any, revision: str | None = None) -> None:
        """End the bisection; see :func:`envgit.porcelain.bisect.reset`."""
        from envgit.porcelain.bisect import reset

        reset(self, revision)

    def undo(self: Any, count: int = 1) -> UndoResult:
        """Take the last operations back; see :func:`envgit.porcelain.undo.undo`."""
        from envgit.porcelain.undo import undo

        return undo(self, count)

    def redo(self: Any, count: int = 1) -> UndoResult:
        """Do again what was undone; see :func:`envgit.porcelain.undo.redo`."""
        from envgit.porcelain.undo import redo

        return redo(self, count)

    def op_log(self: Any, limit: int | None = None) -> list[Operation]:
        """The operations, newest first."""
        from envgit.porcelain.undo import op_log

        return op_log(self, limit)

    def op_restore(self: Any, name: str) -> Operation:
        """Go to where an operation led; see :func:`envgit.porcelain.undo.op_restore`."""
        from envgit.porcelain.undo import op_restore

        return op_restore(self, name)

    def copy(self: Any, sources: Sequence[str], dest: str, **options: Any) -> CopyResult:
        """Copy files in or out, as ``cp``; see :func:`envgit.porcelain.copying.copy`."""
        from envgit.porcelain.copying import copy

        return copy(self, sources, dest, **options)

    def import_image(self: Any, source: str, **options: Any) -> ImportResult:
        """Bring an image in as a branch; see :func:`envgit.porcelain.importing.import_image`."""
        from envgit.porcelain.importing import import_image

        return import_image(self, source, **options)

    def export(
        self: Any, dest: str, revision: str = "HEAD", **options: Any
    ) -> ExportResult | ImageResult:
        """Write a state as an archive or an image; see :func:`envgit.porcelain.export.export`."""
        from envgit.porcelain.export import export

        return export(self, dest, revision, **options)

    def export_sbom(self: Any, dest: str, revision: str = "HEAD", **options: Any) -> BillResult:
        """List what is installed; see :func:`envgit.porcelain.export.export_sbom`."""
        from envgit.porcelain.export import export_sbom

        return export_sbom(self, dest, revision, **options)

    def mount(self: Any, directory: str, revision: str | None = None) -> HostMount:
        """See a state from the host; see :func:`envgit.porcelain.mounting.mount`."""
        from envgit.porcelain.mounting import mount

        return mount(self, directory, revision)

    def umount(self: Any, directory: str) -> None:
        """Take a mount away; see :func:`envgit.porcelain.mounting.umount`."""
        from envgit.porcelain.mounting import umount

        umount(self, directory)

    def gc(self: Any, **options: Any) -> GcResult:
        """Remove what nothing needs; see :func:`envgit.porcelain.maintenance.gc`."""
        from envgit.porcelain.maintenance import gc

        return gc(self, **options)

    def fsck(self: Any, **options: Any) -> list[Problem]:
        """Verify everything; see :func:`envgit.porcelain.fsck.fsck`."""
        from envgit.porcelain.fsck import fsck

        return fsck(self, **options)

    def hooks(self: Any) -> list[HookState]:
        """The hooks, and which are there; see :func:`envgit.porcelain.hookfiles.list_hooks`."""
        from envgit.porcelain.hookfiles import list_hooks

        return list_hooks(self)

    def run_hook(self: Any, name: str, *args: str, **options: Any) -> int | None:
        """Call a hook; see :func:`envgit.porcelain.foundation.hooks.run_hook`."""
        from envgit.porcelain.foundation.hooks import run_hook

        return run_hook(self, name, *args, **options)

    def usage(self: Any, revision: str = "HEAD") -> DiskUsage:
        """What things cost on disk, as ``du``; see :func:`envgit.porcelain.usage.usage`."""
        from envgit.porcelain.usage import usage

        return usage(self, revision)

    def worktrees(self: Any) -> list[WorktreeInfo]:
        """The worktrees; see :func:`envgit.porcelain.worktrees.listed`."""
        from envgit.porcelain.worktrees import listed

        return listed(self)

    def add_worktree(
        self: Any, path: str, revision: str | None = None, **options: Any
    ) -> WorktreeInfo:
        """Make another worktree; see :func:`envgit.porcelain.worktrees.add`."""
        from envgit.porcelain.worktrees import add

        return add(self, path, revision, **options)

    def remove_worktree(self: Any, path: str, *, force: int = 0) -> WorktreeInfo:
        """Remove a worktree; see :func:`envgit.porcelain.worktrees.remove`."""
        from envgit.porcelain.worktrees import remove

        return remove(self, path, force=force)

    def read(self: Any, path: str | bytes, revision: str | None = None) -> BinaryIO:
        """Open a file of the worktree, or of ``revision``, for reading its bytes."""
        from envgit.porcelain.foundation.contents import open_file

        return open_file(self, os.fsencode(path), revision)

    def resolve(self: Any, revision: str) -> CommitId:
        """The commit that ``revision`` names, by git's grammar."""
        found: CommitId = self.git.resolve(revision)
        return found
