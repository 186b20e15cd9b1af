# SPDX-License-Identifier: Apache-2.0
"""Where a repository and its worktrees are: gitrepository-layout(5), with ``.envgit`` for ``.git``.

A linked worktree's folder holds a file ``.envgit`` that names a folder ``worktrees/NAME`` in the
repository, its *place*: HEAD and whatever is this worktree's alone. The place names both in turn:
``commondir`` the repository, ``gitdir`` the file. The way to ``run`` passes here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from envgit.errors import EnvgitError

DIRECTORY = ".envgit"
WORKTREES = "worktrees"
CONFIG = "config.worktree"


class NotARepository(EnvgitError):
    """No ``.envgit`` here or above."""


def discover(start: str, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """The repository (or place) that ``start`` is in, and the folder that was found to hold it.

    ``ENVGIT_DIR`` names it outright; then there is no such folder. Raises NotARepository.
    """
    named = environ.get("ENVGIT_DIR")
    if named:
        path = resolve(os.path.abspath(named))
        if path is None:
            raise NotARepository(f"not an envgit repository: '{named}'")
        return path, None
    ceilings = {
        os.path.normpath(entry)
        for entry in environ.get("ENVGIT_CEILING_DIRECTORIES", "").split(":")
        if entry
    }
    folder = start
    while True:
        found = resolve(os.path.join(folder, DIRECTORY))
        if found is not None:
            return found, folder
        parent = os.path.dirname(folder)
        if parent == folder or parent in ceilings:
            raise NotARepository(
                f"not an envgit repository (or any of the parent directories): {DIRECTORY}",
                hint="make one with 'envgit init --from debian:bookworm'",
            )
        folder = parent


def resolve(candidate: str) -> str | None:
    """The repository or place that ``candidate`` is, or as a file names; None if it is neither.

    Raises NotARepository for a file that names what is not there, as git does.
    """
    if is_repository(candidate):
        return candidate
    target = read_link(candidate)
    if target is None:
        if os.path.isfile(candidate):
            raise NotARepository(f"invalid gitfile format: {candidate}")
        return None
    if not is_repository(target):
        raise NotARepository(
            f"not an envgit repository: {target}",
            hint="if the main worktree was moved, 'envgit worktree repair' there mends this one",
        )
    return target


def is_repository(path: str) -> bool:
    """Whether that folder is a repository, or the place of one of its linked worktrees."""
    return os.path.isfile(os.path.join(path, "HEAD")) and (
        os.path.isdir(os.path.join(path, "objects"))
        or os.path.isfile(os.path.join(path, "commondir"))
    )


def read_link(file: str) -> str | None:
    """The folder that a file ``.envgit`` names (``gitdir: PATH``), or None if it is none."""
    data = _read(file)
    if data is None or not data.startswith(b"gitdir:") or len(data) > _LONGEST:
        return None
    target = os.fsdecode(data[7:].strip())
    return os.path.normpath(os.path.join(os.path.dirname(file), target)) if target else None


def common_dir(path: str) -> str:
    """The repository that a place belongs to; a repository itself belongs to none but itself."""
    text = read_line(path, "commondir")
    return path if text is None else os.path.realpath(os.path.join(path, text))


def project_dir(path: str) -> str:
    """The folder of the worktree whose repository or place ``path`` is, as it is written down."""
    text = read_line(path, "gitdir")
    return os.path.dirname(path if text is None else os.path.normpath(os.path.join(path, text)))


def linked(common: str) -> list[str]:
    """The places of the linked worktrees, by name; none for a repository that never had one."""
    folder = os.path.join(common, WORKTREES)
    with suppress(FileNotFoundError, NotADirectoryError):
        return [
            os.path.join(folder, name)
            for name in sorted(os.listdir(folder))
            if is_repository(os.path.join(folder, name))
        ]
    return []


def read_line(path: str, name: str) -> str | None:
    """The text of a file of one line in ``path``, or None without one; empty for what is no file.

    As in git, to which these are C strings, a NUL ends it.
    """
    file = os.path.join(path, name)
    data = _read(file)
    if data is None:
        return "" if os.path.lexists(file) else None
    return os.fsdecode(data.partition(b"\0")[0]).rstrip("\n")


_LONGEST = 1 << 16


def _read(file: str) -> bytes | None:
    """The beginning of a regular file; None for anything else. Opening a FIFO would hang, and
    anybody can put one called ``.envgit`` into /tmp."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return None
        with open(file, "rb") as stream:
            return stream.read(_LONGEST + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def worktree_id(path: str) -> str | None:
    """The store's worktree that a repository (``config``) or place (``config.worktree``) names."""
    from envgit.settings import read_file

    is_place = os.path.exists(os.path.join(path, "commondir"))
    entries = read_file(os.path.join(path, CONFIG if is_place else "config"), {})
    named = [entry.value for entry in entries if entry.name == "envgit.worktree"]
    return named[-1] if named else None
