# SPDX-License-Identifier: Apache-2.0
"""The user's own programs that are called at certain points, as githooks(5) has them.

A hook is an executable file in ``hooks/`` of the repository or in ``core.hooksPath``. Nothing else
is ever run: a repository of somebody else is refused when it is opened, and of git's own settings
``core.hooksPath`` is not taken over.

Where a hook runs decides what it may do. Those before a change (``pre-commit``, ``pre-run``,
``pre-rollback``) and after it (``post-*``) run while we hold no lock, so any command works in them.
``prepare-commit-msg``, ``commit-msg``, ``pre-merge-commit`` and ``reference-transaction`` run in
the middle of a change that is worked out already: there, reading works, and what would wait for
the worktree's lock is refused at once (``Repository.waiting``) instead of waiting for itself.

A command without hooks pays one stat(2) for each that it looks for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused
from envgit.repo.refnames import PRIVATE

if TYPE_CHECKING:
    import subprocess

    from envgit.porcelain.foundation.repository import Repository

NOBODY = "0" * 40
"""What stands for a commit or value that is not there."""

PACKAGES = "package-changed"

HOLDER = "ENVGIT_HOOK_OF"
"""The variable that tells a hook's own commands which process has the worktree locked."""


class HookRefused(Refused):
    """A hook exited with another status than 0 and thereby stopped what it was called for.

    ``hook`` is its name, ``status`` what it exited with.
    """

    def __init__(self, hook: str, status: int, *, hint: str | None = None) -> None:
        super().__init__(f"the '{hook}' hook said no (exit status {status})", hint=hint)
        self.hook = hook
        self.status = status


class HookFailed(Refused):
    """A hook that cannot stop anything any more exited with another status than 0."""

    def __init__(self, hook: str, status: int) -> None:
        super().__init__(f"all is done, but the '{hook}' hook failed (exit status {status})")
        self.hook = hook
        self.status = status


class UpdatesAborted(EnvgitError):
    """``reference-transaction`` said no: no ref moved."""


def folder(repository: Repository) -> str:
    """Where hooks are looked for: ``core.hooksPath`` (relative to the project folder), else
    ``hooks`` beside the repository's settings. Empty when ``core.hooksPath`` is."""
    named = repository.settings.get_path("core.hooksPath")
    if named is None:
        return os.path.join(repository.common, "hooks")
    return os.path.join(repository.project, named) if named else ""


def find(repository: Repository, name: str) -> str | None:
    """The file of the hook ``name`` if there is one that can be executed.

    One that cannot be is ignored, with git's advice (``advice.ignoredHook``).
    """
    directory = folder(repository)
    if not directory or "/" in name or name in ("", ".", ".."):
        return None
    path = os.path.join(directory, name)
    try:
        os.stat(path)
    except (OSError, ValueError):
        return None
    if os.access(path, os.X_OK):
        return path
    if repository.settings.get_bool("advice.ignoredHook"):
        repository.notify(
            f"hint: The '{_shown(repository, path)}' hook was ignored because it's not set as"
            " executable.\n"
            "hint: You can disable this warning with `envgit config advice.ignoredHook false`."
        )
    return None


def run_hook(
    repository: Repository,
    name: str,
    *args: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    locked: bool = False,
) -> int | None:
    """Call the hook ``name`` and return its exit status; None when there is no such hook.

    It runs in the project folder with the user's environment and ENVGIT_DIR, ENVGIT_PREFIX and
    ``env``; its standard output goes to our standard error, as git's hooks' does. ``locked`` says
    that the caller holds the worktree's lock. A hook that cannot be executed has status 1, one
    that a signal ended 128 + its number; both are said in git's words.
    """
    path = find(repository, name)
    if path is None:
        return None
    return _execute(repository, path, args, stdin, _environment(repository, env, locked=locked))


def require(
    repository: Repository,
    name: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    locked: bool = False,
    hint: str | None = None,
) -> None:
    """Call the hook ``name``, if there is one. Raises HookRefused unless it exits with 0."""
    status = run_hook(repository, name, *args, env=env, locked=locked)
    if status:
        raise HookRefused(name, status, hint=hint)


def post_checkout(
    repository: Repository, old: str | None, new: str | None, *, branch: bool
) -> None:
    """Call ``post-checkout`` after HEAD (``branch``) or paths were checked out. Raises HookFailed
    unless it exits with 0: git, too, makes the command's exit status 1 then."""
    if branch and old is not None:
        package_changed(repository, old, new)
    flag = "1" if branch else "0"
    status = run_hook(repository, "post-checkout", old or NOBODY, new or NOBODY, flag)
    if status:
        raise HookFailed("post-checkout", status)


@contextmanager
def following(repository: Repository) -> Iterator[None]:
    """Call ``post-checkout`` at the end if HEAD or the worktree is elsewhere then. The caller
    takes the worktree's lock inside."""
    if find(repository, "post-checkout") is None and find(repository, PACKAGES) is None:
        yield
        return
    old, shown = repository.git.head(), _shows(repository)
    yield
    new = repository.git.head()
    if (old.value, old.commit, shown) != (new.value, new.commit, _shows(repository)):
        post_checkout(repository, old.commit, new.commit, branch=True)


def _shows(repository: Repository) -> tuple[object, object]:
    state = repository.worktree.state()
    return state.base, state.changes


def package_changed(
    repository: Repository, old: str | None, new: str | None, *, locked: bool = False
) -> None:
    """Call ``package-changed`` if packages are others in HEAD's commit ``new`` than in ``old``,
    where it was before; with a line for each."""
    if old == new or find(repository, PACKAGES) is None:
        return
    from envgit.layers.ids import CommitId
    from envgit.porcelain.foundation.packages.history import History
    from envgit.porcelain.foundation.packages.wording import hook_lines

    sides = [CommitId(one) if one is not None else None for one in (old, new)]
    lines = hook_lines(History(repository).between(*sides).changes)
    if lines:
        ends = (old or NOBODY, new or NOBODY)
        run_hook(repository, PACKAGES, *ends, stdin=lines, locked=locked)


def post_rewrite(
    repository: Repository, command: str, rewritten: Sequence[tuple[str, str]]
) -> None:
    """Call ``post-rewrite`` with what ``command`` (``amend``) replaced: (old, new) commits."""
    lines = "".join(f"{old} {new}\n" for old, new in rewritten)
    run_hook(repository, "post-rewrite", command, stdin=lines.encode("ascii"))


class Transaction:
    """The ``reference-transaction`` hook of one change of refs, told of each stage of it.

    ``updates`` are (old, new, full name) with None for a ref that is not there. Refs that are
    envgit's own are left out; with none left, or no hook, nothing is called.
    """

    __slots__ = ("_path", "_repository", "_text")

    def __init__(
        self, repository: Repository, updates: Iterable[tuple[str | None, str | None, str]]
    ) -> None:
        self._repository = repository
        self._text = ""
        self._path = find(repository, "reference-transaction")
        if self._path is not None:
            self._text = "".join(
                f"{old or NOBODY} {new or NOBODY} {name}\n"
                for old, new, name in updates
                if not name.startswith(PRIVATE)
            )

    def prepared(self) -> None:
        """All is checked and written, no ref has moved yet. Raises UpdatesAborted when the hook
        does not want them to."""
        if self._call("prepared"):
            self._call("aborted")
            raise UpdatesAborted("ref updates aborted by hook")

    def committed(self) -> None:
        """The refs have moved; the hook's status means nothing any more."""
        self._call("committed")

    def _call(self, state: str) -> int:
        if self._path is None or not self._text:
            return 0
        environ = _environment(self._repository, None, locked=True)
        text = self._text.encode("utf-8", "surrogateescape")
        return _execute(self._repository, self._path, (state,), text, environ)


# -- how one is called --------------------------------------------------------------------------


def _environment(
    repository: Repository, extra: Mapping[str, str] | None, *, locked: bool
) -> dict[str, str]:
    environ = {**repository.environ, "ENVGIT_DIR": repository.path}
    environ["ENVGIT_PREFIX"] = _prefix(repository)
    environ.pop(HOLDER, None)
    if locked:
        environ[HOLDER] = str(os.getpid())
    return {**environ, **(extra or {})}


def _prefix(repository: Repository) -> str:
    """Where the user is below the project folder, with a slash at the end; empty for its top."""
    below = os.path.relpath(os.path.realpath(repository.start), repository.project)
    return "" if below == "." or below.startswith("..") else f"{below}/"


def _execute(
    repository: Repository, path: str, args: Sequence[str], stdin: bytes, environ: dict[str, str]
) -> int:
    shown = _shown(repository, path)
    try:
        process = _start(repository.project, [path, *args], stdin, environ)
    except OSError as error:
        verb = "exec" if error.errno == errno.EACCES else "run"
        name = f"'{shown}'" if verb == "exec" else shown
        repository.notify(f"fatal: cannot {verb} {name}: {error.strerror}")
        return 1
    # A hook need not read what it is given, nor all of it; communicate() allows for that.
    process.communicate(stdin or None)
    if process.returncode < 0:
        repository.notify(f"error: {shown} died of signal {-process.returncode}")
        return 128 - process.returncode
    return process.returncode


def _start(
    cwd: str, argv: list[str], stdin: bytes, environ: dict[str, str]
) -> subprocess.Popen[bytes]:
    import subprocess

    source = subprocess.PIPE if stdin else subprocess.DEVNULL
    try:
        return subprocess.Popen(argv, cwd=cwd, stdin=source, stdout=2, env=environ)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without "#!": a shell runs it, as execvp(3) and git do.
    return subprocess.Popen(["/bin/sh", *argv], cwd=cwd, stdin=source, stdout=2, env=environ)


def _shown(repository: Repository, path: str) -> str:
    """A hook's file as messages name it: from the project folder, if it lies there."""
    below = repository.project.rstrip("/") + "/"
    return path.removeprefix(below)
