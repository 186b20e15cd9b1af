# SPDX-License-Identifier: Apache-2.0
"""New commits out of trees: which layer leads from one tree to another, and making it in the store.

A layer that equals the change set is the change set itself, renamed when it is published. Every
other layer (amend, commit of some paths, restore, rollback with history, later merge and revert)
is built from hard links into directories that exist, so that its cost follows the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.layers.apply import overlaid
from envgit.layers.compare import Change, changes, difference
from envgit.layers.directory import build, settle
from envgit.layers.entry import Directory
from envgit.layers.ids import ChangesId, CommitId, LayerId, TreeId
from envgit.layers.interest import picks
from envgit.layers.links import survivors
from envgit.layers.pathspec import Pathspec
from envgit.layers.select import select
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import Metadata, RunRecord

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.signature import Signature


_SNAPSHOT_SUBJECT = "uncommitted changes\n"


@dataclass(frozen=True, slots=True)
class Layered:
    """A layer and the tree it leads to, both written.

    ``seal`` names the change set whose upper directory becomes the layer when all is published;
    None when the store has the layer already.
    """

    layer: LayerId
    rootfs: TreeId
    seal: tuple[ChangesId, LayerId] | None


def seal_changes(repository: Repository, writer: ObjectWriter, current: Current) -> Layered:
    """The change set itself, as a layer on its base."""
    node = current.normalized.layer
    layer = writer.write_layer(node)
    base = repository.git.commit(current.state.base).rootfs if current.state.base else None
    rootfs = writer.write_rootfs(base, node, survivors(current.base_tree, node))
    settle_changes(current)
    return Layered(layer, rootfs, (current.source, layer))


def settle_changes(current: Current) -> None:
    """Make the change set on disk what ``normalized`` says: no mount points, no mere copies."""
    if not current.copied:
        settle(os.fsencode(current.upper), current.normalized)


def layer_between(
    repository: Repository,
    writer: ObjectWriter,
    old: tuple[Directory, TreeId] | None,
    target: Directory,
    source: Callable[[bytes], bytes | None],
) -> Layered:
    """The layer that turns the tree ``old`` into ``target``.

    ``source`` gives the host path of a file of ``target``, which is hard-linked. The layer is
    built inside a change set of its own and sealed like any other: a layer that shares inodes
    with a change set still in use must not be in the store before that is given up.
    """
    tree, rootfs = old if old is not None else (None, None)
    node = difference(tree, target)
    layer = writer.write_layer(node)
    new_rootfs = writer.write_rootfs(rootfs, node, survivors(tree, node))
    if repository.store.has_layer(layer):
        return Layered(layer, new_rootfs, None)
    changes = repository.store.new_changes()
    upper = repository.store.upper_path(changes)
    build(os.fsencode(upper), node, source)
    return Layered(layer, new_rootfs, (changes, layer))


def tree_of(repository: Repository, commit: CommitId | None) -> tuple[Directory, TreeId] | None:
    """A commit's tree for ``layer_between``."""
    if commit is None:
        return None
    return repository.git.rootfs(commit), repository.git.commit(commit).rootfs


def with_paths(
    base: Directory | None, other: Directory | None, spec: Pathspec
) -> tuple[Directory, list[Change]]:
    """``base`` with the paths that ``spec`` picks taken from ``other``, and what that changes."""
    taken = [change for change in changes(base, other) if picks(spec, change)]
    return overlaid(base, select(base, other, taken)), taken


def write_commit(
    writer: ObjectWriter,
    layered: Layered,
    metadata: Metadata,
    parents: Iterable[CommitId],
    author: Signature,
    committer: Signature,
    message: str,
) -> CommitId:
    """The commit object of a layer and its tree."""
    return writer.write_commit(
        rootfs=layered.rootfs,
        layer=layered.layer,
        metadata=metadata,
        parents=tuple(parents),
        author=author,
        committer=committer,
        message=message,
    )


def write_snapshot(
    writer: ObjectWriter,
    layered: Layered,
    parent: CommitId | None,
    config: Mapping[str, Any],
    who: Signature,
    runs: tuple[RunRecord, ...] = (),
) -> CommitId:
    """A commit on no branch that stands for an uncommitted state, to stand on.

    The operation log refers to it, which keeps it until it expires there.
    """
    metadata = Metadata(config=config, runs=runs)
    parents = (parent,) if parent else ()
    return write_commit(writer, layered, metadata, parents, who, who, _SNAPSHOT_SUBJECT)
