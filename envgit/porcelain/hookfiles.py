# SPDX-License-Identifier: Apache-2.0
"""Which hooks there are, which of them a repository has, and copying in those that come with us.

What is shipped lies in ``hooks/`` of the source tree, or of an installed envgit's ``share/envgit``.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError, Refused, UsageError
from envgit.fs import durable
from envgit.porcelain.foundation import hooks
from envgit.porcelain.foundation.repository import Repository

KNOWN: dict[str, str] = {
    "pre-commit": "before a commit is made",
    "prepare-commit-msg": "when the message of a commit is drafted",
    "commit-msg": "when the message of a commit is finished",
    "post-commit": "after a commit",
    "pre-merge-commit": "before a merge is committed",
    "post-merge": "after a merge",
    "post-checkout": "after HEAD or paths were checked out",
    "post-rewrite": "after a commit was amended",
    "reference-transaction": "when refs are about to move, and when they have",
    "pre-run": "before a command is run in the environment",
    "post-run": "after a command was run",
    "pre-rollback": "before a rollback",
    "post-rollback": "after a rollback",
    "package-changed": "when HEAD has come to other packages",
}
"""Every hook that envgit calls, with when (docs/hooks.rst has the rest)."""


class InTheWay(Refused):
    """Another file is where a hook would be installed."""


@dataclass(frozen=True, slots=True)
class HookState:
    """One hook of a repository: its name, when it is called, the file it would be, and whether
    that is there and can be executed. ``known`` is False for a file that envgit never calls."""

    name: str
    when: str
    path: str
    installed: bool
    executable: bool
    known: bool = True


@dataclass(frozen=True, slots=True)
class Kit:
    """Files that belong together and are installed together.

    ``files`` are (name in the folder of the kit, where it goes to, mode).
    """

    name: str
    about: str
    files: tuple[tuple[str, str, int], ...]


KITS: dict[str, Kit] = {
    kit.name: kit
    for kit in (
        Kit(
            "git",
            "in a git repository of sources: the environment follows its branches",
            (("post-checkout", "post-checkout", 0o755), ("post-merge", "post-merge", 0o755)),
        ),
        Kit(
            "shell",
            "in your home: shows in the prompt where the environment stands",
            (("envgit-prompt.sh", "envgit-prompt.sh", 0o644),),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A file that was put somewhere, or was there already as it should be (``new`` False)."""

    kit: str
    path: str
    new: bool


def list_hooks(repository: Repository) -> list[HookState]:
    """Every hook that envgit knows, and what else lies in the folder of hooks and is executable."""
    directory = hooks.folder(repository)
    try:
        present = sorted(os.listdir(directory)) if directory else []
    except OSError:
        present = []
    strangers = [name for name in present if name not in KNOWN and _is_hook(directory, name)]
    return [
        HookState(
            name=name,
            when=KNOWN.get(name, ""),
            path=os.path.join(directory, name) if directory else "",
            installed=name in present,
            executable=name in present and os.access(os.path.join(directory, name), os.X_OK),
            known=name in KNOWN,
        )
        for name in (*KNOWN, *strangers)
    ]


def _is_hook(directory: str, name: str) -> bool:
    path = os.path.join(directory, name)
    sample = name.endswith((".sample", "~", ".bak", ".orig"))
    return not sample and os.path.isfile(path) and os.access(path, os.X_OK)


def shipped() -> str:
    """The folder with the hooks that come with envgit. Raises EnvgitError when it is not there."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    places = [os.path.join(source, "hooks")]
    for scheme in (None, f"{os.name}_user"):
        paths = sysconfig.get_paths() if scheme is None else sysconfig.get_paths(scheme)
        places.append(os.path.join(paths["data"], "share", "envgit", "hooks"))
    # A package in PREFIX/lib/pythonX.Y/site-packages has its data beneath the same prefix.
    prefix = os.path.dirname(os.path.dirname(os.path.dirname(source)))
    places.append(os.path.join(prefix, "share", "envgit", "hooks"))
    for place in places:
        if os.path.isfile(os.path.join(place, "git", "post-checkout")):
            return place
    raise EnvgitError(
        "the hooks that come with envgit are not installed: there is no " + ", no ".join(places)
    )


def install(
    repository: Repository | None,
    names: Sequence[str],
    *,
    into: str | None = None,
    force: bool = False,
    data_home: str | None = None,
) -> list[Installed]:
    """Put the kits ``names`` where they work: ``git`` into the hooks of the git repository ``into``
    (default: the one that the project folder of ``repository`` is in), ``shell`` into ``envgit`` of
    ``data_home`` (XDG_DATA_HOME).

    A file that is there already and differs is replaced only with ``force``. Raises InTheWay,
    UsageError for a kit that there is none of, and whatever keeps a file from being written.
    """
    for name in names:
        if name not in KITS:
            raise UsageError(
                f"there is no '{name}' to be installed", hint=f"these can: {', '.join(KITS)}"
            )
    done: list[Installed] = []
    for name in names:
        kit = KITS[name]
        if name == "git":
            folder = _git_hooks(into or (repository.project if repository else "."))
            done += _into_folder(kit, folder, force=force)
        else:
            if data_home is None:
                raise UsageError("no home directory to install 'shell' in")
            done += _into_folder(kit, os.path.join(data_home, "envgit"), force=force)
    return done


def _into_folder(kit: Kit, folder: str, *, force: bool) -> list[Installed]:
    done = []
    for name, target, _ in kit.files:
        path = os.path.join(folder, target)
        old = _read(path)
        done.append(
            Installed(kit.name, path, old != _read(os.path.join(shipped(), kit.name, name)))
        )
        if old is not None and done[-1].new and not force:
            raise _in_the_way(path)
    os.makedirs(folder, exist_ok=True)
    for (name, target, mode), one in zip(kit.files, done, strict=True):
        if one.new:
            source = os.path.join(shipped(), kit.name, name)
            durable.write_file(os.path.join(folder, target), _read(source) or b"", mode=mode)
        os.chmod(os.path.join(folder, target), mode)
    return done


def _in_the_way(path: str) -> InTheWay:
    return InTheWay(
        f"another file is at {path}",
        hint="--force replaces it; or keep yours and call what envgit ships from it",
    )


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _git_hooks(folder: str) -> str:
    """Where git looks for the hooks of the repository that ``folder`` is in (git-rev-parse(1))."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "--path-format=absolute", "--git-path", "hooks"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise EnvgitError(f"cannot run git: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.strip().removeprefix("fatal: ")
        raise EnvgitError(said, hint="--into=<folder> names the repository of the sources")
    return done.stdout.rstrip("\n")
