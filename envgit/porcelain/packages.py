# SPDX-License-Identifier: Apache-2.0
"""What is installed in a state, the files of a package, whose a file is, and who brought a package.

All is read from the files of the state, through the layers: nothing is mounted, run or trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import UsageError
from envgit.layers.entry import find_directory, find_entry, join
from envgit.layers.ids import CommitId
from envgit.packages import changes as kinds
from envgit.packages.changes import PackageChange
from envgit.packages.inventory import Contents, Inventory
from envgit.packages.managers import NAMES
from envgit.packages.model import ABSENT, Problem, Shipped
from envgit.packages.model import Package as Package
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.packages import inventories, wording
from envgit.porcelain.foundation.packages.found import Found, Named, NoSuchPackage, manager_named
from envgit.porcelain.foundation.packages.history import History
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.ranges import tips_of
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import Commit

if TYPE_CHECKING:
    from envgit.repo.metadata import RunRecord


MANAGERS = NAMES
"""The managers that are known, system-wide ones first."""


class UnknownManager(UsageError):
    """No package manager of that name is known."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The packages of a state, by manager, place and name; and the databases that could not be
    read."""

    packages: tuple[Package, ...]
    problems: tuple[Problem, ...]

    def sorted_by_size(self) -> Installed:
        """The largest first; those whose size is not known last; equal ones as they are here."""
        found = sorted(self.packages, key=lambda one: (one.size is None, -(one.size or 0)))
        return replace(self, packages=tuple(found))


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A file as its package brought it. ``state`` is empty, ``missing`` or ``modified``; the latter
    is told where the package's digest says so without reading the file."""

    package: Package
    shipped: Shipped
    state: str


@dataclass(frozen=True, slots=True)
class Brought:
    """Which commit (None: nothing recorded it yet) brought the version of a package that is
    installed; ``runs`` are the commands recorded as what made the commit."""

    package: Package
    commit: Commit | None
    change: PackageChange
    runs: tuple[RunRecord, ...]

    @property
    def made_by(self) -> RunRecord | None:
        """The command that counts: one that names the package before one that calls its manager
        before any other, the last successful of them, else the last."""
        words = {run: wording.concerns(self.change, run.argv) for run in self.runs}
        best = [run for run in self.runs if words[run] == max(words.values())]
        done = [run for run in best if run.exit_code == 0]
        return next(reversed(done or best), None)


def packages(
    repository: Repository,
    revision: str | None = None,
    *,
    names: Sequence[str] = (),
    managers: Sequence[str] = (),
    reason: str | None = None,
) -> Installed:
    """What is installed in ``revision``, or in the worktree with what is uncommitted.

    ``names`` are names or patterns, ``MANAGER:NAME`` for one manager's; ``managers`` and
    ``reason`` (manual, automatic) leave out others. Raises UnknownManager, and NoSuchPackage for a
    plain name that is not there.
    """
    wanted = {_manager(name) for name in managers}
    inventory = _inventory(repository, revision)
    found = _require(inventory.contents, names, revision)
    asked = [Named.parse(name) for name in names]
    chosen = [
        one
        for one in found
        if (not wanted or one.manager in wanted)
        and (not asked or any(name.matches(one) for name in asked))
        and (reason is None or one.reason == reason)
    ]
    chosen.sort(key=_by_name)
    return Installed(tuple(chosen), inventory.contents.problems)


def files_of(repository: Repository, name: str, revision: str | None = None) -> list[OwnedFile]:
    """The files that a package (or those of a pattern) brought. Raises NoSuchPackage."""
    inventory = _inventory(repository, revision)
    found = _require(inventory.contents, [name], revision)
    asked = Named.parse(name)
    files = []
    for package in sorted(filter(asked.matches, found), key=_by_name):
        for shipped in inventory.manifest(package):
            entry = find_entry(inventory.files.tree, shipped.path)
            state = "" if entry is not None else "missing"
            digest = shipped.digest.removeprefix("sha256:")
            if entry is not None and digest != shipped.digest and entry.sha256 != digest:
                state = "modified"
            files.append(OwnedFile(package, shipped, state))
    return files


def owner(repository: Repository, path: str, revision: str | None = None) -> Package | None:
    """The package that a file belongs to, if any."""
    plain = plain_path(path)
    return owners(repository, [plain], revision).get(plain)


def owners(
    repository: Repository, paths: Iterable[bytes], revision: str | None = None
) -> dict[bytes, Package]:
    """Which package each of some files belongs to, for those that belong to any."""
    return _inventory(repository, revision).owning(paths)


def changes(repository: Repository, old: str | None = None, new: str | None = None) -> Found:
    """What became of packages between two revisions, or from ``old`` (HEAD) to the worktree."""
    git, history = repository.git, History(repository)
    start = git.resolve(old) if old is not None else git.head().commit
    if new is None:
        return history.since(start, snapshot.describe(repository))
    return history.between(start, git.resolve(new))


def require_known(
    repository: Repository, names: Sequence[str], revisions: Sequence[str] = ()
) -> None:
    """Raise NoSuchPackage for a plain name that is installed in none of the commits that
    ``revisions`` begin at (HEAD): to be asked where a history knows nothing of a package."""
    refused: NoSuchPackage | None = None
    for commit in tips_of(repository, revisions).include:
        where = repository.git.abbrev(commit) if revisions else "HEAD"
        try:
            _require(inventories.of_commit(repository, commit).contents, names, where)
        except NoSuchPackage as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


# -- blame --------------------------------------------------------------------------------------


def blame(repository: Repository, name: str, revision: str | None = None) -> list[Brought]:
    """Which commit brought the installed version of a package, or of each that a pattern names.

    At a merge the parent that has the same version is followed, as for paths. What is part of
    another manager's package came with that. Raises NoSuchPackage.
    """
    inventory = _inventory(repository, revision)
    known = _require(inventory.contents, [name], revision)
    asked = Named.parse(name)
    wanted = sorted(filter(asked.matches, known), key=_by_name)
    whole = (_carrier(inventory, one) if one.carried_by else one for one in wanted)
    found = dict.fromkeys(one for one in whole if one is not None)
    return _Bringers(repository, list(found), revision).find()


def _carrier(inventory: Inventory, package: Package) -> Package | None:
    """The package that brought the record of one that is part of it."""
    folder = find_directory(inventory.files.tree, package.unit)
    inside = sorted(folder.names()) if folder is not None else []
    paths = [package.unit, *(join(package.unit, name) for name in inside)]
    found = inventory.owning(paths).values()
    return next((one for one in found if not one.carried_by), None)


class _Bringers:
    """Finds who brought packages, going back from where they are installed."""

    def __init__(
        self, repository: Repository, wanted: Sequence[Package], revision: str | None
    ) -> None:
        self._repository = repository
        self._history = History(repository)
        self._wanted = wanted
        self._revision = revision

    def find(self) -> list[Brought]:
        git = self._repository.git
        found: dict[Package, Brought] = {}
        if self._revision is None:
            start = git.head().commit
            current = snapshot.describe(self._repository)
            for package, change in self._brought(self._history.uncommitted(current)).items():
                runs = snapshot.uncommitted_runs(self._repository, current)
                found[package] = Brought(package, None, change, runs)
        else:
            start = git.resolve(self._revision)
        # What each commit that is still to be looked at has to answer for.
        todo: dict[CommitId, list[Package]] = {}
        if start is not None:
            todo[start] = [one for one in self._wanted if one not in found]
        while todo:
            commit, asked = todo.popitem()
            parents: tuple[CommitId | None, ...] = git.git_commit(commit).parents or (None,)
            answers: dict[Package, PackageChange] = {}
            for parent in parents:
                if not asked:
                    break
                brought = self._brought(self._history.between(parent, commit), asked)
                same = [one for one in asked if one not in brought]
                if parent is not None and same:
                    todo.setdefault(parent, []).extend(same)
                for package in asked:
                    if package in brought:
                        answers.setdefault(package, brought[package])
                asked = [one for one in asked if one in brought]
            for package in asked:
                found[package] = self._answer(package, commit, answers[package])
        return [found[one] for one in self._wanted if one in found]

    def _brought(
        self, found: Found, asked: Sequence[Package] | None = None
    ) -> dict[Package, PackageChange]:
        """Of the packages asked for, those that the change put there in this version."""
        known = {(one.id, one.version): one for one in (asked or self._wanted)}
        brought: dict[Package, PackageChange] = {}
        for change in found.changes:
            if change.kind in (kinds.ADDED, kinds.UPGRADED, kinds.DOWNGRADED) and change.new:
                package = known.get((change.new.id, change.new.version))
                if package is not None:
                    brought[package] = change
        return brought

    def _answer(self, package: Package, commit: CommitId, change: PackageChange) -> Brought:
        git = self._repository.git
        found = git.git_commit(commit)
        return Brought(package, found, change, git.metadata(commit).runs if found.rootfs else ())


# -- what is there ------------------------------------------------------------------------------


def _inventory(repository: Repository, revision: str | None) -> Inventory:
    """What a revision has installed, or the worktree, told from HEAD where that is known."""
    if revision is not None:
        return inventories.of_commit(repository, repository.git.resolve(revision))
    current = snapshot.describe(repository)
    if current.head.commit is not None and not current.changes:
        return inventories.of_commit(repository, current.head.commit)
    found = inventories.of_current(repository, current)
    if current.head.commit is not None:
        before = inventories.of_commit(repository, current.head.commit)
        _ = before.units  # remembered by the tree's id
        found.follow(before)
    return found


def _manager(name: str) -> str:
    found = manager_named(name)
    if found is None:
        raise UnknownManager(
            f"unknown package manager '{name}'", hint=f"known are: {', '.join(MANAGERS)}"
        )
    return found


def _require(contents: Contents, names: Iterable[str], revision: str | None) -> list[Package]:
    """The packages that are there. Raises NoSuchPackage for a name without wildcards that none of
    them has."""
    found = [one for one in contents.packages if one.state not in ABSENT]
    for name in names:
        asked = Named.parse(name)
        if not asked.is_pattern and not any(map(asked.matches, found)):
            where = f"in {revision}" if revision is not None else "here"
            known = {one.name for one in found}
            error = NoSuchPackage(f"no package '{name}' is installed {where}", asked.pattern, known)
            if contents.problems:
                at = f" {revision}" if revision is not None else ""
                error.hint = f"not all databases can be read: see 'envgit packages --problems{at}'"
            raise error
    return found


def _by_name(package: Package) -> tuple[object, ...]:
    return (
        MANAGERS.index(package.manager),
        package.place,
        package.name,
        package.architecture,
        package.version,
    )
