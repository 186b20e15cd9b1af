# SPDX-License-Identifier: Apache-2.0
"""`rollback --package`: packages go back to what they were, files and databases, and nothing else.

What needs them, or is needed by them, and does not fit any more goes back with them where it did
change, and else the whole is refused: what was satisfied before is satisfied afterwards. Only hard
links are made (composing.py), no package manager runs and nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.layers.compare import Change, changes
from envgit.layers.ids import CommitId
from envgit.packages import changes as kinds
from envgit.packages import noise
from envgit.packages.grouping import above
from envgit.packages.model import PackageName, Unreadable, name_of
from envgit.packages.relations import Broken
from envgit.porcelain.foundation import hooks, landing, pending, snapshot
from envgit.porcelain.foundation.carry import WouldOverwrite
from envgit.porcelain.foundation.merging import Combined, Side
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.packages import inventories
from envgit.porcelain.foundation.packages.composing import Group, Split
from envgit.porcelain.foundation.packages.found import Named, NoSuchPackage
from envgit.porcelain.foundation.packages.goingback import Closure
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import Metadata

if TYPE_CHECKING:
    from envgit.packages.changes import PackageChange
    from envgit.packages.inventory import Inventory
    from envgit.packages.model import Package


# Changes at which nobody looks, as long as there is one.
_SOME = (Change(b"", None, None),)


class PackageUnchanged(Refused):
    """A package is what it was there: there is nothing to take back."""


class AmbiguousPackage(EnvgitError):
    """Several packages are called so, or no one state is that before they changed."""


class WouldBreak(Refused):
    """Other packages would be broken, and cannot go back along. ``broken`` are the relations."""

    def __init__(self, message: str, broken: Sequence[Broken], *, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.broken = tuple(broken)


@dataclass(frozen=True, slots=True)
class Returned:
    """A package that went back: ``change`` leads from what it was before the rollback to what it is
    now. ``because`` is the relation for which it had to, None where it was asked for."""

    change: PackageChange
    because: Broken | None = None


@dataclass(frozen=True, slots=True)
class PackageRollback:
    """What went back: the packages, and all paths that changed, their databases' included.

    ``source`` is the commit that they are now as in; ``commit`` the new one, None where the changes
    are uncommitted. ``edited`` are files of configuration that somebody had changed since they were
    installed.
    """

    source: CommitId
    packages: tuple[Returned, ...]
    changes: tuple[Change, ...]
    edited: tuple[bytes, ...] = ()
    commit: CommitId | None = None


def rollback_packages(
    repository: Repository,
    names: Sequence[str],
    revision: str | None = None,
    *,
    message: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> PackageRollback:
    """Make packages what they are in ``revision``; by default what they were before their last
    change, be that uncommitted or a commit's.

    ``names`` are as in ``log --package``; ``NAME@/DIRECTORY`` is the one of a directory. The result
    is uncommitted, or with ``message`` a commit on HEAD, beside which uncommitted changes stay.
    ``force``: also where that takes back uncommitted changes to the packages' files; ``dry_run``:
    only say what would happen.

    Raises NoSuchPackage, AmbiguousPackage, PackageUnchanged, WouldBreak, WouldOverwrite,
    WorktreeBusy, HookRefused.
    """
    if not names:
        raise UsageError("rollback --package needs the name of a package")
    if message is not None and force:
        raise UsageError("options '--force' and '-m' cannot be used together")
    work = _Rollback(repository, names, revision, commits=message is not None, force=force)
    if dry_run:
        with work.planned() as (plan, _):
            return plan
    head = repository.git.head().commit or hooks.NOBODY
    if hooks.find(repository, "pre-rollback") is not None:
        with work.planned() as (plan, _):
            source = plan.source
        hooks.require(repository, "pre-rollback", head, source)
    with repository.locked("rollback"):
        check_idle(repository)
        with work.planned() as (plan, combined):
            result = work.write(plan, combined, message)
    if result.commit is not None:
        hooks.package_changed(repository, head, result.commit)
    hooks.run_hook(repository, "post-rollback", head, result.commit or head)
    return result


class _Rollback:
    """One rollback, from the names to the state."""

    def __init__(
        self,
        repository: Repository,
        names: Sequence[str],
        revision: str | None,
        *,
        commits: bool,
        force: bool,
    ) -> None:
        self._repository = repository
        self._asked = [_Asked.parse(name) for name in names]
        self._revision = revision
        self._commits = commits
        self._force = force

    @contextmanager
    def planned(self) -> Iterator[tuple[PackageRollback, Combined]]:
        """What would happen, and the state. Raises what stands in the way."""
        repository = self._repository
        current = self._current = snapshot.describe(repository)
        head = current.head.commit
        if head is None:
            raise Refused("there is nothing to roll back to: no commit yet")
        self._local = _Step(
            inventories.of_commit(repository, head),
            inventories.of_current(repository, current),
            lambda: current.changes,
        )
        source = self._source(head)
        if self._commits or not current.changes:
            here = Side.of_commit(repository, head, "HEAD")
        else:
            here = Side.of_current(repository, current, "worktree")
        there = Side.of_commit(repository, source, self._called(source))
        split = Split(repository, here, there, thorough=False)
        try:
            targets = self._targets(split, source)
        except PackageUnchanged:
            # Its record is the same: only files of it can have changed.
            split = Split(repository, here, there)
            targets = self._targets(split, source)
        chosen = self._closed(split, targets, source)
        groups = [group for group in split.groups if _key(group) in chosen]
        if len(chosen) == len(split.names):
            # Nothing else was installed since: what is generated from all packages is as it was.
            groups += [group for group in split.groups if group.title == noise.GENERATED]
        combined = split.compose(groups)
        try:
            changed = changes(here.tree, combined.tree)
            self._check_local(groups, changed)
            packages = [
                Returned(group.change, chosen[_key(group)])
                for group in groups
                if group.change is not None
            ]
            packages.sort(key=lambda one: one.because is not None)
            edited = tuple(sorted(_edited(split, packages, changed)))
            yield PackageRollback(source, tuple(packages), tuple(changed), edited), combined
        finally:
            if combined.scratch is not None and repository.store.changes_exist(combined.scratch):
                repository.store.delete_changes(combined.scratch)

    def write(
        self, plan: PackageRollback, combined: Combined, message: str | None
    ) -> PackageRollback:
        """Make it so; the caller holds the lock. Raises WouldOverwrite."""
        repository, current = self._repository, self._current
        snapshot.check_flushed(repository)
        writer = repository.git.writer()
        names = " ".join(one.text for one in self._asked)
        reason = f"rollback: {names} as in {self._called(plan.source)}"
        if message is None:
            landing.as_changes(
                repository,
                writer,
                current,
                combined,
                verb="rollback",
                reason=reason,
                pending_next=pending.read(repository),
            )
            return plan
        unfinished = pending.read(repository)
        if unfinished is not None:
            raise Refused(
                f"cannot commit in the middle of a {unfinished.verb}",
                hint="without -m the packages go back and nothing is committed",
            )
        head = current.head.commit
        assert head is not None  # or there would be no plan
        commit = landing.as_commit(
            repository,
            writer,
            current,
            combined,
            parents=[head],
            metadata=Metadata(config=repository.git.metadata(head).config, runs=()),
            author=repository.signature("AUTHOR"),
            committer=repository.signature(),
            message=message if message.endswith("\n") else message + "\n",
            verb="rollback",
            reason=reason,
        )
        return replace(plan, commit=commit)

    # -- which packages, and from where -----------------------------------------------------------

    def _source(self, head: CommitId) -> CommitId:
        """The commit whose state the packages get."""
        git = self._repository.git
        if self._revision is not None:
            return git.resolve(self._revision)
        found = [self._before(head, asked) for asked in self._asked]
        if len(set(found)) > 1:
            listed = ", ".join(
                f"{asked.text} in {self._called(commit)}"
                for asked, commit in zip(self._asked, found, strict=True)
            )
            raise AmbiguousPackage(
                f"the packages were last what they are not now in different commits: {listed}",
                hint="name the commit, or take them back one by one",
            )
        return found[0]

    def _before(self, head: CommitId, asked: _Asked) -> CommitId:
        """The last commit before the package changed. Not every change counts: marks and edited
        configuration are no other package."""
        git, here = self._repository.git, inventories.of_commit(self._repository, head)
        known = [one for one in here.contents.packages if asked.matches(one)]
        # Until it is found the package is what it is in HEAD, and so are its files.
        files = {shipped.path for one in known for shipped in here.manifest(one)}
        if not self._commits and self._counts(asked, files, self._local):
            return head
        commit = head
        while True:
            parents = git.git_commit(commit).parents
            below = parents[0] if parents else None
            before = inventories.of_commit(self._repository, below)
            before.follow(here)
            trees = git.files(below), git.files(commit)
            if self._counts(asked, files, _Step(before, here, partial(changes, *trees))):
                break
            if below is None:
                self._require(asked, [inventories.of_commit(self._repository, head)], "in HEAD")
                raise PackageUnchanged(f"'{asked.text}' has not changed in any commit")
            commit, here = below, before
        if below is None:
            raise PackageUnchanged(
                f"'{asked.text}' is as in the first commit: there is nothing before that"
            )
        return below

    def _counts(self, asked: _Asked, files: Collection[bytes], step: _Step) -> bool:
        """Whether something was done to a package whose files these are, by somebody who would
        want to take it back."""
        if any(map(asked.counts, step.packages())):
            return True
        touched = any(change.path in files for change in step.changed())
        return touched and any(map(asked.counts, step.touched()))

    def _targets(self, split: Split, source: CommitId) -> list[Group]:
        """The groups that are asked for."""
        found: dict[PackageName, Group] = {}
        for asked in self._asked:
            mine = [
                group
                for group in split.groups
                if group.change is not None and any(map(asked.matches, group.change.sides))
            ]
            if not mine:
                self._require(asked, [split.old, split.new], f"here or in {self._called(source)}")
                raise PackageUnchanged(
                    f"'{asked.text}' is here what it is in {self._called(source)}"
                )
            if len(mine) > 1 and not asked.is_pattern:
                packages = [group.change.package for group in mine if group.change is not None]
                raise AmbiguousPackage(
                    f"'{asked.text}' may be {' or '.join(map(_spelled, packages))}",
                    hint="name the one you mean like that",
                )
            found.update((_key(group), group) for group in mine)
        return list(found.values())

    def _require(self, asked: _Asked, where: Iterable[Inventory], said: str) -> None:
        """Raise NoSuchPackage unless there is such a package."""
        known = [one for inventory in where for one in inventory.contents.packages]
        carried = [one for one in known if one.carried_by and asked.named.matches(one)]
        if carried and not any(map(asked.matches, known)):
            raise PackageUnchanged(
                f"'{asked.text}' is part of a package of {carried[0].carried_by}",
                hint=f"'envgit blame {os.fsdecode(carried[0].unit)}' says of which",
            )
        if not any(map(asked.matches, known)):
            raise NoSuchPackage(
                f"no package '{asked.text}' is installed {said}",
                asked.named.pattern,
                {one.name for one in known},
            )

    def _called(self, commit: CommitId) -> str:
        return self._revision or self._repository.git.abbrev(commit)

    # -- what goes along, and what stands in the way ----------------------------------------------

    def _closed(
        self, split: Split, targets: Iterable[Group], source: CommitId
    ) -> dict[PackageName, Broken | None]:
        """What has to go back: the targets, and for which relation each of the others does."""
        chosen: dict[PackageName, Broken | None] = {_key(group): None for group in targets}
        closure = Closure(split)
        while broken := split.unsatisfied(closure.groups(chosen)):
            more = {_key(group): one for one in broken for group in closure.mending(one, chosen)}
            if not more:
                raise self._would_break(broken, closure.refused, source)
            chosen |= more
        return chosen

    def _would_break(
        self, broken: Sequence[Broken], refused: Sequence[Package], source: CommitId
    ) -> WouldBreak:
        listed = "".join(f"\n\t{_said(one)}" for one in dict.fromkeys(broken))
        where = self._called(source)
        hint = None
        if refused:
            names = ", ".join(dict.fromkeys(one.name for one in refused))
            hint = f"{names}: not there in {where}; to remove that, too, name it with --package"
        return WouldBreak(
            f"with {' and '.join(one.text for one in self._asked)} as in {where} this would not"
            f" hold any more:{listed}",
            broken,
            hint=hint,
        )

    def _check_local(self, groups: Iterable[Group], changed: Iterable[Change]) -> None:
        """Raise WouldOverwrite where files of a package that is what it is in HEAD were changed
        since: somebody did that by hand. With a commit, landing checks."""
        if self._force or self._commits or not self._current.changes:
            return
        touched = {change.path for change in changed}
        local = {change.path for change in self._current.changes}
        done = {
            name_of(one.package)
            for one in self._local.packages()
            if one.kind not in (kinds.MODIFIED, kinds.CHANGED)
        }
        clash = [
            path
            for group in groups
            if group.change is not None and _key(group) not in done
            for path in group.paths
            if path in touched and path in local
        ]
        if clash:
            raise WouldOverwrite(
                "Your local changes to the following files would be overwritten by rollback:",
                sorted(clash),
            )


@dataclass(frozen=True, slots=True)
class _Step:
    """What somebody did: two states and what tells the paths that differ."""

    old: Inventory
    new: Inventory
    changed: Callable[[], Sequence[Change]]

    def packages(self) -> list[PackageChange]:
        """The packages that came, went or have other records."""
        found = kinds.examine(self.old, self.new, _SOME, claims=False, owners=False)
        return found.changes

    def touched(self) -> list[PackageChange]:
        """Those, too, of which only files changed."""
        return kinds.examine(self.old, self.new, self.changed(), claims=False).changes


@dataclass(frozen=True, slots=True)
class _Asked:
    """A package as it was typed; ``place`` is the directory that was named with it, if any."""

    text: str
    named: Named
    place: bytes | None

    @classmethod
    def parse(cls, text: str) -> _Asked:
        """``NAME``, ``MANAGER:NAME``, and either with ``@/DIRECTORY`` behind it."""
        name, at, place = text.rpartition("@/")
        if not at:
            return cls(text, Named.parse(text), None)
        return cls(text, Named.parse(name), os.fsencode(place.strip("/")))

    @property
    def is_pattern(self) -> bool:
        """Whether it may mean several."""
        return self.named.is_pattern

    def matches(self, package: Package) -> bool:
        """Whether the package is meant."""
        if package.carried_by or not self.named.matches(package):
            return False
        return self.place is None or self.place in (package.place, *above(package.place))

    def counts(self, change: PackageChange) -> bool:
        """Whether the change is one of the package that somebody would want to take back."""
        trifle = change.kind == kinds.CHANGED or (change.kind == kinds.MODIFIED and change.config)
        return not trifle and any(map(self.matches, change.sides))


def _edited(
    split: Split, packages: Iterable[Returned], changed: Iterable[Change]
) -> Iterator[bytes]:
    """Configuration that was not as shipped and is something else now."""
    there = {change.path for change in changed if change.old is not None}
    for one in packages:
        if one.change.old is None:
            continue
        for shipped in split.old.manifest(one.change.old):
            algorithm, _, digest = shipped.digest.partition(":")
            if not (shipped.config and digest and shipped.path in there):
                continue
            with suppress(Unreadable, ValueError, TypeError):
                data = split.old.files.read(shipped.path)
                if hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() != digest:
                    yield shipped.path


def _key(group: Group) -> PackageName:
    """The name of a group's package; of loose files one that no package has."""
    return (
        name_of(group.change.package)
        if group.change is not None
        else PackageName("", b"", group.title)
    )


def _spelled(package: Package) -> str:
    """A package as one may type it where there are several of its name."""
    place = f"@/{os.fsdecode(package.place)}" if package.place else ""
    return f"{package.manager}:{package.name}{place}"


def _said(one: Broken) -> str:
    """``app 2.0 needs libfoo (>= 2.0): libfoo is 1.0``."""
    return f"{one.package.name} {one.package.version}: {one.relation} ({one.why})"
