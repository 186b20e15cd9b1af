# SPDX-License-Identifier: Apache-2.0
"""The packages of commits and of the worktree: envgit.packages over what is in the layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.entry import Directory, Kind, Node
from envgit.layers.entry import Entry as DirectoryEntry
from envgit.layers.ids import CommitId
from envgit.packages.inventory import Inventory
from envgit.packages.model import LARGEST, Unreadable
from envgit.porcelain.foundation import contents, snapshot
from envgit.porcelain.foundation.repository import Repository
from envgit.store.cache import ContentCache

if TYPE_CHECKING:
    from envgit.porcelain.foundation.merging import Contents
    from envgit.porcelain.foundation.snapshot import Current


class StateFiles:
    """A tree and what opens its files: the `Files` that readers of packages look into."""

    def __init__(self, tree: Directory, opened: Callable[[], Contents | None]) -> None:
        self.tree = tree
        self._opened = opened

    @cached_property
    def _contents(self) -> Contents | None:
        return self._opened()

    def read(self, path: bytes, limit: int = LARGEST) -> bytes:
        """A regular file's content. Raises Unreadable."""
        name = path.decode("utf-8", "backslashreplace")
        if self._contents is None:
            raise Unreadable(f"{name} is not here")
        try:
            with self._contents.open(path) as file:
                data = file.read(limit + 1)
        except (OSError, EnvgitError) as error:
            raise Unreadable(f"{name}: {error}") from error
        if len(data) > limit:
            raise Unreadable(f"{name} is larger than {limit} bytes")
        return data


def of_commit(repository: Repository, commit: CommitId | None) -> Inventory:
    """What a commit has installed; None is the empty environment."""
    if commit is None:
        return of_tree(repository, Node(DirectoryEntry(Kind.DIR, 0o755)), lambda: None)
    return of_tree(
        repository,
        repository.git.rootfs(commit),
        lambda: contents.contents(repository, commit),
    )


def of_current(repository: Repository, current: Current) -> Inventory:
    """What the worktree has installed, with what is uncommitted."""
    return of_tree(
        repository,
        current.tree,
        lambda: snapshot.reader(repository, current.state.stack, current.upper),
    )


def of_tree(
    repository: Repository, tree: Directory, opened: Callable[[], Contents | None]
) -> Inventory:
    """What is installed in any tree whose contents ``opened`` gives."""
    identity = getattr(tree, "identity", None)
    return Inventory(
        lambda: StateFiles(tree, opened),
        ContentCache(repository.store.path, "packages"),
        identity if isinstance(identity, str) else None,
    )
