# SPDX-License-Identifier: Apache-2.0
"""The git repository of an environment: objects, refs and history, without libgit2's types.

``GitRepository`` is what porcelain holds. Ids are 40 hexadecimal digits. pygit2 is loaded when the
first object is read: refs alone need none of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from envgit.fs import durable
from envgit.layers.entry import Node
from envgit.layers.ids import CommitId, LayerId, OperationId, TreeId
from envgit.repo import reflog
from envgit.repo.commits import (
    LAYER,
    NO_ENVIRONMENT,
    ROOTFS,
    Commit,
    Environment,
    NotAnEnvironment,
    ObjectCorrupt,
    ObjectMissing,
    Tag,
    parse_commit,
    parse_point,
    parse_tag,
)
from envgit.repo.metadata import FILE_NAME, Metadata
from envgit.repo.reflog import ReflogEntry
from envgit.repo.refnames import HEADS, STASH, SYMBOLIC, is_other_head
from envgit.repo.refs import CorruptRef, Head, HeadUpdate, Refs, RefUpdate
from envgit.repo.signature import Signature
from envgit.repo.traversal import Point
from envgit.repo.trees import RawTree, TreeDirectory, TreeError, parse_tree, read_node

if TYPE_CHECKING:
    from pygit2 import _pygit2 as native

    from envgit.repo.history import Abbreviator
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.operations import Operation

KIND_NAMES = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_CACHED_COMMITS = 4096


class GitRepository:
    """The bare git repository at ``path`` (the ``.envgit`` folder), as one of its worktrees sees
    it: ``place`` is the folder of a linked one, where its HEAD is (None: the main one)."""

    def __init__(self, path: str, place: str | None = None) -> None:
        self.path = os.path.abspath(path)
        self.place = self.path if place is None else os.path.abspath(place)
        self._refs = Refs(self.place, self.path)
        self._commits: dict[str, tuple[CommitId, bytes]] = {}
        self._environments: dict[TreeId, Environment] = {}
        self._points: dict[str, Point] = {}
        self._said: set[str] = set()
        self.listener: Callable[[str], None] = lambda _: None
        """Is told what say() is."""
        self._seen: ObjectWriter | None = None

    @classmethod
    def open(cls, path: str, place: str | None = None) -> GitRepository:
        """Open what create() made; errors about its content come from the first use."""
        return cls(path, place)

    @classmethod
    def create(cls, path: str, *, initial_branch: str = "main") -> GitRepository:
        """Make a bare repository, as git init --bare, at ``path`` (made if need be)."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"):
            os.makedirs(os.path.join(path, folder), exist_ok=True)
        config = (
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
            # A bare repository logs no refs unless told to (git-config(1), core.logAllRefUpdates).
            "\tlogAllRefUpdates = true\n"
        )
        durable.write_file(os.path.join(path, "config"), config.encode())
        head = f"{SYMBOLIC}{HEADS}{initial_branch}\n"
        # Last, for a folder without HEAD is no repository to anybody.
        durable.write_file(os.path.join(path, "HEAD"), head.encode())
        return cls(path)

    def say(self, text: str) -> None:
        """Remark something, such as that a name is ambiguous, in a line or more; once each."""
        if text not in self._said:
            self._said.add(text)
            self.listener(text)

    @cached_property
    def library(self) -> native.Repository:
        """libgit2's view of the repository; only modules of this room may use it."""
        from envgit.repo.libgit2 import open_repository

        return open_repository(self.path)

    @cached_property
    def _odb(self) -> native.Odb:
        return self.library.odb

    # -- objects --------------------------------------------------------------------------------

    def read(self, oid: str) -> tuple[str, bytes]:
        """(kind, data) of an object; raises ObjectMissing or ObjectCorrupt."""
        try:
            number, data = self._odb.read(oid)
        except KeyError:
            if self._seen is not None and (held := self._seen.held(oid)) is not None:
                return held
            raise ObjectMissing(
                f"object {oid} is missing from {self.path}",
                hint="envgit fsck says what else is",
            ) from None
        except Exception as error:  # pygit2 has no common base for what libgit2 reports
            raise ObjectCorrupt(f"object {oid} cannot be read: {error}") from error
        return KIND_NAMES[int(number)], data

    def exists(self, oid: str) -> bool:
        """Whether an object of that full id is there."""
        return oid in self._odb or (self._seen is not None and self._seen.held(oid) is not None)

    @contextmanager
    def seeing(self, writer: ObjectWriter) -> Iterator[None]:
        """In the block, what ``writer`` holds can be read as if it were in the repository."""
        self._seen = writer
        try:
            yield
        finally:
            self._seen = None

    def writer(self) -> ObjectWriter:
        """A new collector of objects for this repository."""
        from envgit.repo.objects import ObjectWriter

        return ObjectWriter(self.path, self, packs_replaced=self.forget_packs)

    def forget_packs(self) -> None:
        """Let libgit2 start anew, because packs were replaced: it would keep the deleted ones open,
        a descriptor each, as long as it lives."""
        self.__dict__.pop("_odb", None)
        self.__dict__.pop("library", None)

    def commit(self, oid: str) -> Commit:
        """A commit with the ids of its environment; annotated tags are followed.

        Raises NotAnEnvironment for a commit without one (made by git, not by envgit).
        """
        found = self.git_commit(oid)
        if found.rootfs:
            return found
        raise NotAnEnvironment(f"commit {found.id} holds no environment")

    def git_commit(self, oid: str) -> Commit:
        """A commit whatever its tree holds; ``rootfs`` and ``layer`` are empty if it has none."""
        known = self._commits.get(oid)
        if known is None:
            # What a walk has met is a commit: a log of thousands need not ask for the kind of each.
            commit_id = CommitId(oid) if oid in self._points else self.peel(oid)
            if len(self._commits) >= _CACHED_COMMITS:
                self._commits.clear()
            known = self._commits[oid] = commit_id, self.read(commit_id)[1]
        # Not the commit itself is kept: it knows us, and two that know one another hold deleted
        # packs open until the collector comes by.
        return Commit(*known, self._environment)

    def _environment(self, tree: TreeId) -> Environment:
        """The ids of what the tree of a commit holds; empty ones if it is no environment's."""
        known = self._environments.get(tree)
        if known is None:
            if len(self._environments) >= _CACHED_COMMITS:
                self._environments.clear()
            known = self._environments[tree] = self._read_environment(tree)
        return known

    def _read_environment(self, tree: TreeId) -> Environment:
        try:
            raw = self._tree(tree)
        except TreeError:
            return NO_ENVIRONMENT  # modes that envgit does not write
        rootfs, layer = raw.get(ROOTFS), raw.get(LAYER)
        if rootfs and layer and rootfs[0] and layer[0] and FILE_NAME in raw:
            return TreeId(rootfs[1].hex()), LayerId(layer[1].hex())
        return NO_ENVIRONMENT

    def peel(self, oid: str) -> CommitId:
        """The commit that an id leads to through annotated tags; raises ObjectMissing."""
        for _ in range(100):
            kind, data = self.read(oid)
            if kind == "commit":
                return CommitId(oid)
            if kind != "tag":
                break
            oid = parse_tag(oid, data).target
        raise ObjectMissing(f"object {oid} is no commit and no tag of one")

    def tag(self, oid: str) -> Tag | None:
        """An annotated tag by its object's id, or None when the id is something else's."""
        kind, data = self.read(oid)
        return parse_tag(oid, data) if kind == "tag" else None

    def metadata(self, oid: str) -> Metadata:
        """The ``envgit.json`` of a commit."""
        commit = self.commit(oid)
        found = self._tree(commit.tree)[FILE_NAME]
        return Metadata.parse(self.read(found[1].hex())[1])

    def rootfs(self, commit: str) -> TreeDirectory:
        """The root directory of a commit, read on demand. Raises NotAnEnvironment."""
        return TreeDirectory(self, self.commit(commit).rootfs)

    def files(self, commit: str | None) -> TreeDirectory | None:
        """The root directory of a commit, None for no commit and for one that git made."""
        rootfs = self.git_commit(commit).rootfs if commit is not None else None
        return TreeDirectory(self, rootfs) if rootfs else None

    def layer(self, commit: str) -> Node:
        """The layer of a commit, whole. Raises NotAnEnvironment."""
        return read_node(self, TreeId(self.commit(commit).layer))

    def tree_of(self, commit: str) -> RawTree:
        """The tree of a commit that need not be an environment's: name -> (is a tree, id)."""
        kind, data = self.read(commit)
        return self._tree(parse_commit(commit, data).tree) if kind == "commit" else {}

    def _tree(self, oid: str) -> RawTree:
        return parse_tree(self.read(oid)[1])

    # -- refs -----------------------------------------------------------------------------------

    def head(self) -> Head:
        """Where HEAD points."""
        return self._refs.head()

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Full name -> object id of the refs whose name begins with ``prefix``, sorted."""
        return self._refs.all(prefix)

    def ref(self, name: str) -> str | None:
        """The object id of the ref with that full name (``HEAD``, ``refs/heads/main``), or None."""
        return self._refs.resolve(name)

    def other_heads(self) -> dict[str, CommitId]:
        """``worktrees/NAME/HEAD`` or ``main-worktree/HEAD`` -> its commit, of the other worktrees;
        those that cannot be read left out."""
        from envgit.repo.reachable import places

        found = {}
        for place in places(self.path):
            name = os.path.relpath(place, self.path) if place != self.path else "main-worktree"
            with suppress(CorruptRef):
                commit = Refs(place, self.path).head().commit if place != self.place else None
                if commit is not None:
                    found[f"{name}/HEAD"] = commit
        return found

    def value(self, name: str) -> str | None:
        """What an update of that ref calls its old value: an id, or for the HEAD of another
        worktree (``worktrees/NAME/HEAD``, ``main-worktree/HEAD``) perhaps ``ref: NAME``."""
        return self._refs.raw(name) if is_other_head(name) else self._refs.resolve(name)

    def leads_to(self, name: str) -> str | None:
        """The full name that a symbolic ref such as HEAD leads to; None when it is none."""
        value = self._refs.raw(name)
        return value.removeprefix(SYMBOLIC) if value and value.startswith(SYMBOLIC) else None

    def upstream(self, branch: str) -> str | None:
        """The full name of the ref that ``branch`` (short) tracks, from ``branch.<name>.*``."""
        from envgit.repo.config import upstream

        return upstream(self.path, branch)

    def check_updates(self, updates: Sequence[RefUpdate], head: HeadUpdate | None) -> None:
        """Raise RefMoved, RefConflict or BadRefName if apply() could not carry these out now."""
        self._refs.check(updates, head)

    def apply(self, updates: Sequence[RefUpdate], head: HeadUpdate | None, who: Signature) -> None:
        """Carry out ref updates; see :meth:`envgit.repo.refs.Refs.apply`."""
        self._refs.apply(updates, head, who)

    def edit_reflog(
        self, name: str, choose: Callable[[list[ReflogEntry]], list[ReflogEntry]]
    ) -> None:
        """Replace a ref's log, under git's lock: ``choose`` gets the entries, newest first, and
        gives those that stay. The file is replaced whole, synced."""
        self._refs.edit_log(name, choose)

    def pack_refs(self) -> int:
        """Move loose refs into ``packed-refs``; returns how many it then holds."""
        return self._refs.pack()

    def packing_frees(self) -> int:
        """Bytes on disk that pack_refs() would give back."""
        return self._refs.packing_frees()

    def reflog(self, name: str = "HEAD") -> list[ReflogEntry]:
        """The entries of a ref's log, newest first; ``name`` is a full name."""
        if name == STASH:
            from envgit.repo import stash

            return stash.as_reflog(self)
        return reflog.read(*self._refs.home(name))

    # -- history --------------------------------------------------------------------------------

    def point(self, oid: CommitId) -> Point:
        """A commit as walks see it, read cheaply and kept: its parents and times."""
        known = self._points.get(oid)
        if known is None:
            kind, data = self.read(oid)
            if kind != "commit":
                raise ObjectMissing(f"object {oid} is a {kind}, not a commit")
            known = self._points[oid] = parse_point(oid, data)
        return known

    def reachable_environments(self) -> list[CommitId]:
        """The commits with an environment that refs, HEAD, reflogs and operations lead to, children
        before parents."""
        from envgit.repo import reachable

        found = reachable.commits(self, reachable.tips(self))
        return [oid for oid in found if self.git_commit(oid).rootfs]

    def resolve(self, spec: str) -> CommitId:
        """The commit that ``spec`` names in git's grammar; raises UnknownRevision and others."""
        from envgit.repo import revisions

        return revisions.resolve(self, spec)

    def walk(
        self,
        include: Sequence[str],
        exclude: Sequence[str] = (),
        *,
        order: str = "default",
        first_parent: bool = False,
        reverse: bool = False,
    ) -> Iterator[CommitId]:
        """The commits reachable from ``include`` and not from ``exclude``.

        ``order``: ``default`` (by commit date, as git log), ``date`` (children first, then by
        date), ``author-date``, ``topo`` (children first, branches not mixed).
        """
        from envgit.repo import history

        return history.walk(
            self, include, exclude, order=order, first_parent=first_parent, reverse=reverse
        )

    def merge_bases(self, first: str, *others: str) -> list[CommitId]:
        """The best common ancestors of ``first`` and a hypothetical merge of ``others``."""
        from envgit.repo import history

        return history.merge_bases(self, first, others)

    def merge_base(self, first: str, second: str) -> CommitId | None:
        """One best common ancestor of two commits, or None."""
        return next(iter(self.merge_bases(first, second)), None)

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether ``ancestor`` is reachable from ``descendant`` (or is it)."""
        from envgit.repo import history

        return history.is_ancestor(self, ancestor, descendant)

    def ancestors(self, commit: CommitId) -> set[CommitId]:
        """The commit and all that is reachable from it."""
        from envgit.repo import history

        return history.ancestors(self, commit)

    def containing(self, commit: CommitId, tips: Iterable[CommitId]) -> set[CommitId]:
        """Those of ``tips`` from which ``commit`` is reachable."""
        from envgit.repo import history

        return history.containing(self, commit, tips)

    def ahead_behind(self, local: str, upstream: str) -> tuple[int, int]:
        """How many commits only ``local`` has, and only ``upstream``."""
        ahead = sum(1 for _ in self.walk([local], [upstream]))
        return ahead, sum(1 for _ in self.walk([upstream], [local]))

    def abbrev(self, oid: str, length: int | None = None) -> str:
        """The shortest prefix of at least ``length`` digits that names no other object.

        Without a length it is git's: 7, and more for repositories of over 16,384 objects.
        """
        return self._abbreviator.shorten(oid, length)

    def shortener(self) -> Callable[[str, int | None], str]:
        """abbrev() for thousands of ids: objects that come after the first one do not count."""
        from envgit.repo.history import Abbreviator

        return Abbreviator(self.path, still=True).shorten

    @cached_property
    def _abbreviator(self) -> Abbreviator:
        from envgit.repo.history import Abbreviator

        return Abbreviator(self.path)

    # -- operations -----------------------------------------------------------------------------

    def append_operation(
        self, writer: ObjectWriter, operation: Operation, who: Signature
    ) -> tuple[OperationId, RefUpdate]:
        """Add an operation's record to ``writer``; the update publishes it."""
        from envgit.repo import operations

        return operations.append(self, writer, operation, who)

    def operations(self, limit: int | None = None) -> Iterator[Operation]:
        """The operation log, newest first."""
        from envgit.repo import operations

        return operations.log(self, limit)
