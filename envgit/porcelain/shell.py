# SPDX-License-Identifier: Apache-2.0
"""What `shell` needs to know before it runs: the user's shell, and where we are for the prompt.

Reads the environment's passwd and the repository's HEAD as text, so that git is not loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.users import account

DEFAULT = "/bin/sh"

# Shells that turn their user away: nobody who asks for a shell wants these.
_CLOSED = ("nologin", "false", "sync")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worktree stands: a branch, or a shortened commit; and whether it is dirty."""

    name: str
    dirty: bool


def login_shell(repository: Repository, user: str | None, revision: str | None = None) -> str:
    """The shell that the environment's passwd(5) gives ``user`` (a name or number; None: the
    configured user, else root), or /bin/sh when it gives none that can be used."""
    from envgit.porcelain.foundation.contents import open_file

    if user is None:
        user = str(repository.worktree.state().config.get("User") or "")
    wanted = user.partition(":")[0] or "0"
    try:
        with open_file(repository, b"etc/passwd", revision) as file:
            passwd = file.read().decode("utf-8", "surrogateescape")
    except (OSError, EnvgitError):
        return DEFAULT  # an environment without accounts, such as a busybox alone
    fields = account(wanted, passwd)
    shell = fields[6].strip() if fields is not None else ""
    usable = shell.startswith("/") and os.path.basename(shell) not in _CLOSED
    return shell if usable else DEFAULT


def place(repository: Repository) -> Place:
    """Where the worktree stands now."""
    with open(os.path.join(repository.path, "HEAD"), encoding="ascii", errors="replace") as file:
        text = file.read().strip()
    name = text.removeprefix("ref: ").removeprefix("refs/heads/")
    if not text.startswith("ref: "):
        name = text[:7]
    return Place(name, repository.worktree.is_dirty_quick())
