# SPDX-License-Identifier: Apache-2.0
"""Small records that a ref keeps: one JSON file in the tree of a commit.

The commit's parents are the commits that the record mentions, so that no garbage collection, git's
included, takes them away while the ref is there (as in the operation log, ``operations.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.repo.commits import encode_commit, parse_commit
from envgit.repo.metadata import canonical_json
from envgit.repo.signature import Signature
from envgit.repo.trees import parse_tree

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.repository import GitRepository


class RecordError(EnvgitError):
    """A record that this envgit does not understand."""


def write_record(
    writer: ObjectWriter,
    name: str,
    data: Mapping[str, Any],
    mentions: Iterable[CommitId],
    who: Signature,
) -> CommitId:
    """The commit of a record: ``data`` as ``<name>.json``, keeping the commits in ``mentions``."""
    blob = writer.add_blob(canonical_json(dict(data)))
    tree = writer.add_tree({f"{name}.json".encode(): (False, bytes.fromhex(blob))})
    parents = list(dict.fromkeys(mentions))
    return writer.add_commit(encode_commit(tree, parents, who, who, name))


def read_record(git: GitRepository, ref: str, name: str) -> dict[str, Any] | None:
    """The record ``name`` that ``ref`` keeps, or None without one. Raises RecordError."""
    oid = git.ref(ref)
    return None if oid is None else read_record_of(git, oid, name, ref)


def read_record_of(git: GitRepository, oid: str, name: str, ref: str = "") -> dict[str, Any]:
    """The record ``name`` in the commit ``oid`` (which ``ref`` names). Raises RecordError."""
    ref = ref or oid
    tree = parse_tree(git.read(parse_commit(oid, git.read(oid)[1]).tree)[1])
    found = tree.get(f"{name}.json".encode())
    if found is None:
        raise RecordError(f"{ref} holds no {name}.json")
    try:
        record = json.loads(git.read(found[1].hex())[1])
    except ValueError as error:
        raise RecordError(f"{ref}: {name}.json cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise RecordError(f"{ref}: {name}.json is no record")
    return record
