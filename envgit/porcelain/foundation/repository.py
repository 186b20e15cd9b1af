# SPDX-License-Identifier: Apache-2.0
"""The repository a command works on: its place, settings, store, worktree and git side.

What it can be asked to do is in ``facade.py``. Everything costly is put off until
it is asked for, because ``run`` opens a repository too and must not pay for git.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError
from envgit.porcelain.foundation import places
from envgit.porcelain.foundation.facade import Verbs
from envgit.porcelain.foundation.places import DIRECTORY, NotARepository
from envgit.settings import Settings

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository
    from envgit.repo.signature import Signature
    from envgit.store.locks import Held
    from envgit.store.store import Store
    from envgit.store.worktree import Worktree

__all__ = [
    "DIRECTORY",
    "InsideHook",
    "NotARepository",
    "Repository",
    "UnsafeRepository",
    "open_store",
]


class InsideHook(EnvgitError):
    """A hook's command needs the lock that the hook's caller holds until the hook has ended."""


class UnsafeRepository(EnvgitError):
    """The repository belongs to another user, whose settings could run commands as us."""


class Repository(Verbs):
    """One repository with the worktree of its project folder.

    ``path`` is the ``.envgit`` folder, ``project`` the folder that holds it (both absolute). Of a
    linked worktree ``path`` is its place, ``.envgit/worktrees/NAME`` (:mod:`.places`). ``common``
    is the ``.envgit`` folder of them all.
    ``environ`` is what settings, identity and dates are read from; ``notify`` receives one-line
    notices (a lock that is waited for, a change set that may be incomplete). ``command`` is what
    the operation log says was typed.
    """

    def __init__(
        self,
        path: str,
        *,
        environ: Mapping[str, str],
        overrides: Sequence[tuple[str, str | None]] = (),
        notify: Callable[[str], None] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        # Without symlinks, as getcwd(3) has it: one folder must not look like two.
        self.path = os.path.realpath(path)
        self.common = places.common_dir(self.path)
        self.project = places.project_dir(self.path)
        self.environ = environ
        self.overrides = tuple(overrides)
        self.notify: Callable[[str], None] = notify or _silent
        self.command = tuple(command)
        self.start = self.project
        """Where the search for the repository began."""
        self._recovered = False
        self._publishing: Held | None = None
        self._ids: dict[str, tuple[tuple[int, int], str | None]] = {}

    @property
    def is_linked(self) -> bool:
        """Whether this is a linked worktree and not the repository's main one."""
        return self.common != self.path

    @classmethod
    def open(
        cls,
        start: str = ".",
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Sequence[tuple[str, str | None]] = (),
        notify: Callable[[str], None] | None = None,
        command: Sequence[str] = (),
    ) -> Repository:
        """Find the repository that ``start`` is in, searching upwards as git does.

        ``ENVGIT_DIR`` names it outright and ``ENVGIT_CEILING_DIRECTORIES`` ends the search. Raises
        NotARepository, and UnsafeRepository when it belongs to somebody else (as git's
        ``safe.directory``, CVE-2022-24765).
        """
        environment = os.environ if environ is None else environ
        path, folder = places.discover(os.path.abspath(start), environment)
        repository = cls(
            path, environ=environment, overrides=overrides, notify=notify, command=command
        )
        repository.start = os.path.abspath(start)
        _check_owner(repository, folder)
        if repository.is_linked and folder is not None:
            folder = os.path.realpath(folder)
            if folder != repository.project:
                from envgit.porcelain.foundation.relocate import arrive_linked

                return arrive_linked(repository, folder)
        return repository

    @classmethod
    def init(cls, directory: str = ".", *, source: str | None = None, **options: Any) -> Repository:
        """Make a repository in ``directory``; see :func:`envgit.porcelain.init.init`."""
        from envgit.porcelain.init import init

        options.setdefault("environ", os.environ)
        return init(directory, source=source, **options).repository

    # -- what a repository is made of -------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """System, user and repository settings, and the overrides of ``-c``."""
        return Settings.load(
            environ=self.environ,
            repository=os.path.join(self.common, "config"),
            worktree=os.path.join(self.path, places.CONFIG) if self.is_linked else None,
            overrides=self.overrides,
        )

    @cached_property
    def store(self) -> Store:
        """The user's store (``core.store``, ``ENVGIT_STORE``), opened."""
        return open_store(self.environ, self.settings)

    @cached_property
    def git(self) -> GitRepository:
        """The git side. The first use imports pygit2."""
        from envgit.repo.repository import GitRepository

        git = self.__dict__["git"] = GitRepository.open(self.common, self.path)
        git.listener = self.notify
        self._finish_pending()
        return git

    @cached_property
    def worktree(self) -> Worktree:
        """The worktree of the project folder.

        A project folder that was moved takes its worktree along; one that was copied gets a new
        worktree at HEAD, since two folders cannot share uncommitted changes.
        """
        worktree = self.named_worktree()
        owner = worktree.state().repository
        if owner != self.path:
            from envgit.porcelain.foundation.relocate import relocate

            worktree = relocate(self, worktree)
        self.__dict__["worktree"] = worktree
        self._finish_pending()
        return worktree

    def named_worktree(self) -> Worktree:
        """The worktree that the settings name, whether or not its state can be read."""
        from envgit.layers.ids import WorktreeId
        from envgit.store.state import is_hex
        from envgit.store.worktree import Worktree

        # Never the main worktree's for one that git itself added, which has none.
        own = places.worktree_id(self.path) if self.is_linked else None
        name = own if self.is_linked else self.settings.get("envgit.worktree")
        if name is None:
            raise EnvgitError(
                f"{self.path} names no worktree",
                hint="set envgit.worktree in its config, or make the environment again with init",
            )
        if not is_hex(name, 16):
            raise EnvgitError(f"envgit.worktree is not the name of a worktree: {name!r}")
        return Worktree(self.store, WorktreeId(name))

    # -- locks ------------------------------------------------------------------------------

    @contextmanager
    def locked(self, what: str) -> Iterator[Worktree]:
        """Hold the worktree's lock, finish what a crash left half done, and keep ``gc`` out.

        ``what`` is what others who wait are told. Lock order: store (shared), then worktree, then
        (``publishing``) the repository.
        """
        with (
            self.store.lock(exclusive=False, what=what, on_wait=self.waiting),
            self.worktree.lock(what=what, on_wait=self.waiting) as worktree,
        ):
            self.recover()
            yield worktree

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold the right to change what the worktrees share: refs and the operation log.

        A journal is there only while its writer holds this, or after its death. So who gets the
        lock carries out what the other worktrees' journals hold before anything else.
        """
        if self._publishing is not None:
            yield
            return
        from envgit.store import locks

        path = os.path.join(self.common, "envgit-publish")
        with locks.acquire(path, exclusive=True, what="publish", on_wait=self.waiting) as held:
            self._publishing = held
            try:
                for sibling in self._unfinished():
                    # As it is named, for where its folder is now is of no matter here.
                    sibling.__dict__["worktree"] = sibling.named_worktree()
                    sibling._replay()
                yield
            finally:
                self._publishing = None

    def recover(self) -> None:
        """Roll half-done publications forward. The caller holds the worktree's lock."""
        self._recovered = True
        mine = self.worktree.journal.pending()
        if mine or self._unfinished():
            with self.publishing():  # which does the others'
                if mine:
                    self._replay()

    def _replay(self) -> None:
        from envgit.porcelain.foundation.publish import replay

        with self.publishing():
            replay(self)

    def _unfinished(self) -> list[Repository]:
        """The other worktrees of the repository in which something was decided and not finished."""
        others = places.linked(self.common)
        if not others and not self.is_linked:
            return []
        found = []
        for place in (self.common, *others):
            name = self._id_of(place) if place != self.path else None
            if name is not None and os.path.exists(
                os.path.join(self.store.path, "worktrees", os.path.basename(name), "journal")
            ):
                found.append(self.beside(place))
        return found

    def _id_of(self, place: str) -> str | None:
        """The store's worktree of a place. Reading settings is what many worktrees would cost."""
        file = os.path.join(place, "config" if place == self.common else places.CONFIG)
        try:
            status = os.stat(file)
        except FileNotFoundError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns)
        known = self._ids.get(place)
        if known is None or known[0] != stamp:
            known = self._ids[place] = (stamp, places.worktree_id(place))
        return known[1]

    def beside(self, place: str) -> Repository:
        """The same repository as another of its worktrees sees it; ``place`` is that one's."""
        other = Repository(
            place,
            environ=self.environ,
            overrides=self.overrides,
            notify=self.notify,
            command=self.command,
        )
        other._recovered = True
        other._publishing = self._publishing
        return other

    def _finish_pending(self) -> None:
        """Before anything is read: finish what a crash left half done, or wait for who is at it.

        Refs and worktree are moved one after the other, and who reads in between would see a third
        state. Where it cannot be finished, that is said, and reading goes on.
        """
        if self._recovered:
            return
        self._recovered = True
        if self.settings.get("envgit.worktree") is None:
            return  # history alone, such as a mirror: nothing here can be half done
        try:
            if self.named_worktree().journal.pending() or self._unfinished():
                with self.locked("finishing what was interrupted"):
                    pass
        except EnvgitError as error:
            self.notify(error.message)
        except OSError as error:
            self.notify(f"an interrupted change cannot be finished yet: {error.strerror}")

    def waiting(self, holder: str) -> None:
        """Tell for whom we wait; what locks call. Raises InsideHook when it would be for ever."""
        caller = self.environ.get("ENVGIT_HOOK_OF")
        if caller and f"(pid {caller})" in holder:
            raise InsideHook(
                f"this cannot be done in a hook of {holder}, which waits for the hook",
                hint="reading works here; what changes the environment belongs into a pre-commit or"
                " post-* hook",
            )
        self.notify(f"waiting for {holder}")

    # -- the user's identity ----------------------------------------------------------------

    def signature(
        self, role: str = "COMMITTER", *, author: str | None = None, date: str | None = None
    ) -> Signature:
        """Who acts, and when: ``ENVGIT_<role>_NAME/_EMAIL/_DATE``, else ``user.*``, else git's."""
        from envgit.porcelain.foundation.identity import signature

        return signature(self, role, author=author, date=date)


def open_store(environ: Mapping[str, str], settings: Settings) -> Store:
    """The store of this user: ``ENVGIT_STORE``, ``core.store``, or the default for root or not."""
    from envgit.store.store import Store

    path = environ.get("ENVGIT_STORE") or settings.get_path("core.store")
    if not path:
        if os.geteuid() == 0:
            path = "/var/lib/envgit"
        else:
            home = environ.get("HOME", "/")
            data = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local/share")
            path = os.path.join(data, "envgit")
    return Store.open(os.path.expanduser(path))


def _silent(_: str) -> None:
    """Nobody listens."""


def _check_owner(repository: Repository, folder: str | None) -> None:
    """Refuse a repository of another user, as git does, unless ``safe.directory`` names it.

    A file ``.envgit`` of somebody else's would lead us astray as well.
    """
    believed = {repository.path, repository.common}
    if repository.is_linked and folder is not None:
        believed.add(os.path.join(folder, DIRECTORY))
    owners = {os.lstat(path).st_uid for path in believed}
    user = os.geteuid()
    trusted = {user}
    sudo = repository.environ.get("SUDO_UID", "")
    if user == 0 and sudo.isdigit():
        trusted.add(int(sudo))
    if owners <= trusted:
        return
    safe = Settings.load(environ=repository.environ, repository=None, overrides=())
    for entry in safe.get_all("safe.directory"):
        if entry in ("*", repository.project):
            return
    raise UnsafeRepository(
        f"detected dubious ownership in repository at '{repository.project}'",
        hint=f"if you trust it: envgit config --global --add safe.directory {repository.project}",
    )
