# SPDX-License-Identifier: Apache-2.0
"""Where the bulk data lives: one directory tree per user that all of its repositories share.

The layout is docs/design/store.rst. Directories appear in their final place by one rename and
leave it by one rename into ``trash/``; so whatever has a proper name is whole, at any instant.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from envgit.fs import crashpoint, durable
from envgit.layers.ids import ChangesId, LayerId, WorktreeId
from envgit.store import locks
from envgit.store.failures import StoreError, explained, translate

if TYPE_CHECKING:
    from envgit.store.registry import Registration
    from envgit.store.spans import Spans

FORMAT = 1
FORMAT_LINE = f"envgit-store {FORMAT}\n"
FEATURES: frozenset[str] = frozenset()
"""What a store may require of its reader (lines ``requires NAME`` in ``format``)."""

DIRECTORIES = (
    "layers",
    "spans",
    "changes",
    "worktrees",
    "repositories",
    "trash",
    "tmp",
    "cache",
)


class ForeignStore(StoreError):
    """The directory is no store, belongs to somebody else, or has a format we do not know."""


class MissingLayer(StoreError):
    """A directory that a worktree mounts, or a sealed layer, is not in the store."""


class MissingChanges(StoreError):
    """A set of uncommitted changes is not in the store."""


class Store:
    """An opened store. ``path`` is absolute; nothing is cached, so many may be open at once."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str, *, create: bool = True) -> Store:
        """Open the store at ``path``, making it (mode 0700) when absent and ``create`` is true.

        Raises ForeignStore, StoreNotWritable, StoreFull.
        """
        store = cls(os.path.abspath(path))
        try:
            text = _read_format(store.path)
        except FileNotFoundError:
            if not create:
                raise ForeignStore(
                    f"there is no store at {store.path}",
                    hint="core.store or ENVGIT_STORE name its place",
                ) from None
            store._create()
            text = _read_format(store.path)
        _check_format(store.path, text)
        _check_owner(store.path)
        return store

    def _create(self) -> None:
        """Make the directories, then ``format``: a store without it was never finished."""
        with explained("make the store", self.path):
            os.makedirs(self.path, 0o700, exist_ok=True)
            alien = set(os.listdir(self.path)) - {*DIRECTORIES, "format", "lock", "lost+found"}
            # What a crash may have left of writing ``format``, and hidden files, are no objection.
            alien = {name for name in alien if not name.startswith((".", "format."))}
            if alien:
                raise ForeignStore(
                    f"{self.path} is not an envgit store: it has other files, such as "
                    f"{min(alien)!r}",
                    hint="core.store or ENVGIT_STORE name another directory",
                )
            os.chmod(self.path, 0o700)
            for name in DIRECTORIES:
                os.makedirs(os.path.join(self.path, name), 0o700, exist_ok=True)
            durable.sync_directory(self.path)
            crashpoint.reach("store:create")
            durable.write_file(os.path.join(self.path, "format"), FORMAT_LINE.encode())
            durable.sync_directory(os.path.dirname(self.path))

    # -- locks ------------------------------------------------------------------------------

    def lock(
        self,
        *,
        exclusive: bool,
        what: str,
        on_wait: Callable[[str], None] | None = None,
        timeout: float | None = None,
    ) -> locks.Held:
        """Keep ``gc`` out (shared), or everybody (exclusive, for ``gc``).

        Taken before any worktree's lock. See :func:`envgit.store.locks.acquire`.
        """
        return locks.acquire(
            os.path.join(self.path, "lock"),
            exclusive=exclusive,
            what=what,
            on_wait=on_wait,
            timeout=timeout,
        )

    # -- layers -----------------------------------------------------------------------------

    def layer_path(self, layer: LayerId) -> str:
        """Where the sealed layer is, or would be."""
        return os.path.join(self.path, "layers", layer)

    def has_layer(self, layer: LayerId) -> bool:
        """Whether the layer is here."""
        return os.path.isdir(self.layer_path(layer))

    def adopt_layer(self, directory: str, layer: LayerId) -> str:
        """Seal ``directory`` as ``layer`` by one rename, and make the rename durable.

        The directory's content must have been synced (syncfs) by the caller. Two that seal the
        same layer are no conflict: the one that comes second is thrown away. Of a change set whose
        ``upper/`` this is nothing remains. Returns the layer's path.
        """
        target = self.layer_path(layer)
        with explained(f"seal layer {layer}", target):
            try:
                # Plain rename(2) refuses a target that is not empty, which is all we need here,
                # and renameat2 would cost loading ctypes.
                os.rename(directory, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self.trash(directory)
            crashpoint.reach("store:adopted")
            durable.sync_directory(os.path.dirname(target))
            owner = os.path.dirname(directory)
            durable.sync_directory(owner)
        if os.path.dirname(owner) == os.path.join(self.path, "changes"):
            # Work directory, runs and hashes. Left over after a crash, gc takes them for what they
            # are by the missing upper/.
            with suppress(OSError):
                durable.remove_tree(owner)
        return target

    def stack_paths(self, stack: Iterable[str]) -> tuple[str, ...]:
        """The directories of a mount stack as absolute paths, top first. Raises MissingLayer."""
        # Equal layers (two empty commits; install, remove, install) are one directory, which
        # overlayfs refuses twice (ELOOP). The topmost says all that the lower ones would.
        paths = tuple(os.path.join(self.path, name) for name in dict.fromkeys(stack))
        for path in paths:
            if not os.path.isdir(path):
                raise _missing(path)
        return paths

    def all_layers(self) -> list[LayerId]:
        """The sealed layers, sorted."""
        return [LayerId(name) for name in self.names("layers")]

    def all_spans(self) -> list[str]:
        """The directory names beneath ``spans/``, sorted; see spans.py."""
        return self.names("spans")

    @property
    def spans(self) -> Spans:
        """The spans, which keep mount stacks short."""
        from envgit.store.spans import Spans

        return Spans(self)

    # -- change sets ------------------------------------------------------------------------

    def new_changes(self) -> ChangesId:
        """Make an empty change set, durably: ``upper/`` (0755) and ``work/``.

        The caller gives ``upper/`` the owner, mode and xattrs of the root directory below.
        """
        changes = ChangesId(os.urandom(16).hex())
        with explained("make a change set", os.path.join(self.path, "changes")):
            made = self.make_temporary("changes")
            for name, mode in (("upper", 0o755), ("work", 0o700)):
                os.mkdir(os.path.join(made, name))
                os.chmod(os.path.join(made, name), mode)  # whatever the umask is
            durable.sync_directory(made)
            os.rename(made, self.changes_path(changes))
            crashpoint.reach("store:changes")
            durable.sync_directory(os.path.join(self.path, "changes"))
        return changes

    def changes_path(self, changes: ChangesId) -> str:
        """Where the change set is, or would be: ``upper/ work/ runs hashes``."""
        return os.path.join(self.path, "changes", changes)

    def upper_path(self, changes: ChangesId) -> str:
        """The change set's upper directory."""
        return os.path.join(self.path, "changes", changes, "upper")

    def changes_exist(self, changes: ChangesId) -> bool:
        """Whether the change set is here and not sealed."""
        return os.path.isdir(self.upper_path(changes))

    def require_changes(self, changes: ChangesId) -> str:
        """The change set's directory. Raises MissingChanges."""
        path = self.changes_path(changes)
        if not os.path.isdir(path + "/upper"):
            raise MissingChanges(
                f"the uncommitted changes {path} are gone",
                hint="envgit reset --hard starts again from the last commit",
            )
        return path

    def delete_changes(self, changes: ChangesId) -> None:
        """Move a change set to the trash; nothing happens if it is gone already."""
        self.trash(self.changes_path(changes))

    def all_changes(self) -> list[ChangesId]:
        """The change sets, parked ones included, sorted."""
        return [ChangesId(name) for name in self.names("changes")]

    # -- worktrees --------------------------------------------------------------------------

    def worktree_path(self, worktree: WorktreeId) -> str:
        """Where the worktree's state is, or would be."""
        return os.path.join(self.path, "worktrees", worktree)

    def all_worktrees(self) -> list[WorktreeId]:
        """The worktrees, sorted."""
        return [WorktreeId(name) for name in self.names("worktrees")]

    # -- repositories -----------------------------------------------------------------------

    def register(self, repository: str, worktrees: Iterable[WorktreeId]) -> None:
        """Make the repository (its ``.envgit``) a root of garbage collection, durably."""
        from envgit.store import registry

        registry.register(self, repository, worktrees)

    def unregister(self, repository: str, worktrees: Iterable[WorktreeId]) -> None:
        """Take back what `register` did, if it did."""
        from envgit.store import registry

        registry.unregister(self, repository, worktrees)

    def repositories(self) -> list[Registration]:
        """The repositories that use this store; see registry.py."""
        from envgit.store import registry

        return registry.repositories(self)

    # -- what is on its way in or out ---------------------------------------------------------

    def make_temporary(self, prefix: str) -> str:
        """A new directory (0700) in ``tmp/``. Hold the store's lock: ``gc`` clears ``tmp/``."""
        path = os.path.join(self.path, "tmp", f"{prefix}-{os.urandom(8).hex()}")
        with explained("make a temporary directory", path):
            os.mkdir(path, 0o700)
        return path

    @contextmanager
    def temporary(self, prefix: str) -> Iterator[str]:
        """A directory that is gone at the end, unless it was renamed away meanwhile."""
        path = self.make_temporary(prefix)
        try:
            yield path
        finally:
            if os.path.lexists(path):
                # gc sweeps tmp/; what the block raised is what the user must read
                with suppress(OSError):
                    durable.remove_tree(path)

    def trash(self, path: str) -> None:
        """Take ``path`` away by one rename into ``trash/``; nothing happens if it is gone.

        ``trash/`` must be on the same file system, so ``path`` is inside the store.
        """
        name = f"{os.urandom(8).hex()}-{os.path.basename(path)}"
        try:
            os.rename(path, os.path.join(self.path, "trash", name[:200]))
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate(error, "move to the trash", path) from error
        crashpoint.reach("store:trashed")

    def empty_trash(self) -> int:
        """Delete what is in ``trash/``; returns the bytes on disk given back. Needs no lock."""
        folder = os.path.join(self.path, "trash")
        freed = 0
        for name in self.names("trash"):
            path = os.path.join(folder, name)
            # Not found: somebody else empties it too.
            with suppress(FileNotFoundError), explained("empty the trash", path, or_missing=True):
                freed += durable.remove_tree(path)
            crashpoint.reach("store:emptied")
        return freed

    def names(self, kind: str) -> list[str]:
        """What is in a folder of the store (``layers``, ``worktrees/<id>``, ...), sorted."""
        folder = os.path.join(self.path, kind)
        with explained("read", folder):
            return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _read_format(path: str) -> str:
    """The text of ``format``. Raises FileNotFoundError where there is none."""
    file = os.path.join(path, "format")
    with (
        explained("open the store", file, or_missing=True),
        open(file, encoding="utf-8", errors="replace") as stream,
    ):
        return stream.read(4096)


def _check_format(path: str, text: str) -> None:
    if text == FORMAT_LINE:
        return
    lines = text.splitlines()
    word, _, version = (lines[0] if lines else "").partition(" ")
    file = os.path.join(path, "format")
    if word != "envgit-store" or not version.isdigit():
        raise ForeignStore(
            f"{file} is damaged: it should say {FORMAT_LINE.strip()!r}",
            hint="if this is your store, write that line into it",
        )
    if int(version) != FORMAT:
        raise ForeignStore(
            f"{path} has store format {version}; this envgit knows format {FORMAT}",
            hint="use the version of envgit that made it",
        )
    for line in lines[1:]:
        key, _, feature = line.partition(" ")
        if key != "requires" or feature not in FEATURES:
            raise ForeignStore(
                f"{file} asks for something this envgit does not know: {line!r}",
                hint="use the version of envgit that made the store",
            )


def _check_owner(path: str) -> None:
    """Layers hold set-user-ID files, and paths are trusted: never use somebody else's store."""
    owner = os.stat(path).st_uid
    if owner != os.geteuid():
        raise ForeignStore(
            f"the store {path} belongs to user {owner}, not to you (user {os.geteuid()})",
            hint="core.store or ENVGIT_STORE name a store of your own",
        )


def _missing(path: str) -> MissingLayer:
    return MissingLayer(
        f"{path} is missing from the store",
        hint="envgit fsck says which commits need it; a clone or an export may still have it",
    )
