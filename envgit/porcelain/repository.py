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
from envgit.porcelain.facade import Verbs
from envgit.settings import Settings

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository
    from envgit.repo.signature import Signature
    from envgit.store.store import Store
    from envgit.store.worktree import Worktree

DIRECTORY = ".envgit"


class NotARepository(EnvgitError):
    """No ``.envgit`` here or above."""


class InsideHook(EnvgitError):
    """A hook's command needs the lock that the hook's caller holds until the hook has ended."""


class UnsafeRepository(EnvgitError):
    """The repository belongs to another user, whose settings could run commands as us."""


class Repository(Verbs):
    """One repository with the worktree of its project folder.

    ``path`` is the ``.envgit`` folder, ``project`` the folder that holds it (both absolute).
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
        self.project = os.path.dirname(self.path)
        self.environ = environ
        self.overrides = tuple(overrides)
        self.notify: Callable[[str], None] = notify or _silent
        self.command = tuple(command)
        self.start = self.project
        """Where the search for the repository began."""
        self._recovered = False

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
        path = _discover(os.path.abspath(start), environment)
        repository = cls(
            path, environ=environment, overrides=overrides, notify=notify, command=command
        )
        repository.start = os.path.abspath(start)
        _check_owner(repository)
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
            repository=os.path.join(self.path, "config"),
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

        git = self.__dict__["git"] = GitRepository.open(self.path)
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
            from envgit.porcelain.relocate import relocate

            worktree = relocate(self, worktree)
        self.__dict__["worktree"] = worktree
        self._finish_pending()
        return worktree

    def named_worktree(self) -> Worktree:
        """The worktree that the settings name, whether or not its state can be read."""
        from envgit.layers.ids import WorktreeId
        from envgit.store.state import is_hex
        from envgit.store.worktree import Worktree

        name = self.settings.get("envgit.worktree")
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

        ``what`` is what others who wait are told. Lock order: store (shared), then worktree.
        """
        with (
            self.store.lock(exclusive=False, what=what, on_wait=self.waiting),
            self.worktree.lock(what=what, on_wait=self.waiting) as worktree,
        ):
            self.recover()
            yield worktree

    def recover(self) -> None:
        """Roll a half-done publication forward. The caller holds the worktree's lock."""
        self._recovered = True
        if self.worktree.journal.pending():
            from envgit.porcelain.publish import replay

            replay(self)

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
            if self.named_worktree().journal.pending():
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
        from envgit.porcelain.identity import signature

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


def _discover(start: str, environ: Mapping[str, str]) -> str:
    named = environ.get("ENVGIT_DIR")
    if named:
        if not _is_repository(named):
            raise NotARepository(f"not an envgit repository: '{named}'")
        return os.path.abspath(named)
    ceilings = {
        os.path.normpath(entry)
        for entry in environ.get("ENVGIT_CEILING_DIRECTORIES", "").split(":")
        if entry
    }
    folder = start
    while True:
        candidate = os.path.join(folder, DIRECTORY)
        if _is_repository(candidate):
            return candidate
        parent = os.path.dirname(folder)
        if parent == folder or parent in ceilings:
            raise NotARepository(
                f"not an envgit repository (or any of the parent directories): {DIRECTORY}",
                hint="make one with 'envgit init --from debian:bookworm'",
            )
        folder = parent


def _is_repository(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "HEAD")) and os.path.isdir(
        os.path.join(path, "objects")
    )


def _check_owner(repository: Repository) -> None:
    """Refuse a repository of another user, as git does, unless ``safe.directory`` names it."""
    owner = os.stat(repository.path).st_uid
    user = os.geteuid()
    trusted = {user}
    sudo = repository.environ.get("SUDO_UID", "")
    if user == 0 and sudo.isdigit():
        trusted.add(int(sudo))
    if owner in trusted:
        return
    safe = Settings.load(environ=repository.environ, repository=None, overrides=())
    for entry in safe.get_all("safe.directory"):
        if entry in ("*", repository.project):
            return
    raise UnsafeRepository(
        f"detected dubious ownership in repository at '{repository.project}'",
        hint=f"if you trust it: envgit config --global --add safe.directory {repository.project}",
    )
