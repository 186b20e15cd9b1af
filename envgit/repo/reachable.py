# SPDX-License-Identifier: Apache-2.0
"""Finds every object that refs, HEAD and reflogs lead to, those of linked worktrees included."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from envgit.layers.ids import CommitId
from envgit.repo import reflog
from envgit.repo.commits import parse_commit, parse_tag
from envgit.repo.pack import BLOB, COMMIT, NUMBERS, TAG, TREE
from envgit.repo.refs import Refs
from envgit.repo.resemblance import Related, parse_any_tree

if TYPE_CHECKING:
    from envgit.repo.reflog import ReflogEntry
    from envgit.repo.repository import GitRepository

# gitrevisions(7), "pseudo refs", and what else git keeps in files of that kind. FETCH_HEAD and
# MERGE_HEAD may have several lines, each of which begins with an id.
PSEUDO_REFS = (
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "BISECT_HEAD",
    "REBASE_HEAD",
    "AUTO_MERGE",
)
RECORDS = "refs/worktree/envgit/"
_ID_AT_START = re.compile(rb"^([0-9a-f]{40})(?![0-9a-f])", re.MULTILINE)


def places(path: str) -> list[str]:
    """The folders that hold a HEAD and refs of their own: the repository's, then those of its
    linked worktrees (gitrepository-layout(5), ``worktrees``)."""
    linked = os.path.join(path, "worktrees")
    with suppress(FileNotFoundError, NotADirectoryError):
        return [path, *(os.path.join(linked, name) for name in sorted(os.listdir(linked)))]
    return [path]


def refs(path: str) -> dict[str, str]:
    """Every ref and pseudo-ref of the repository in the folder ``path`` and of its linked
    worktrees (``worktrees/<name>/HEAD``) -> the id it holds."""
    found: dict[str, str] = {}
    for place in places(path):
        prefix = os.path.relpath(place, path) + "/" if place != path else ""
        for name, oid in Refs(place).all("refs/").items():
            found[prefix + name] = oid
        for name in PSEUDO_REFS:
            for number, oid in enumerate(_ids_in(os.path.join(place, name))):
                found[f"{prefix}{name}{f':{number}' if number else ''}"] = oid
    return found


def is_ref(name: str) -> bool:
    """Whether a name that `refs` gives is one that must lead somewhere: no pseudo-ref but HEAD."""
    return "refs/" in name or name.rpartition("/")[2] == "HEAD"


def _ids_in(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return [match.decode() for match in _ID_AT_START.findall(file.read())]
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return []


def logs(path: str) -> Iterator[tuple[str, str, list[ReflogEntry]]]:
    """(folder, full name of the ref, entries newest first) of every reflog there is."""
    for place in places(path):
        for name in reflog.names(place):
            yield place, name, reflog.read(place, name)


def tips(
    repository: GitRepository,
    *,
    entries: Iterable[ReflogEntry] | None = None,
    instead: Mapping[str, str] | None = None,
) -> list[str]:
    """The ids that everything kept is reached from, reflogs included. Ids that a reflog mentions
    and that are gone already are left out.

    ``entries`` stand for those of all reflogs, ``instead`` for what some refs hold: to see what
    would be kept.
    """
    found: dict[str, None] = {}
    for name, oid in (refs(repository.path) | dict(instead or {})).items():
        # A pseudo-ref may outlive its commit, for git's gc takes no notice of it.
        if is_ref(name) or repository.exists(oid):
            found[oid] = None
    if entries is None:
        entries = (entry for _, _, log in logs(repository.path) for entry in log)
    lost = {reflog.ZERO}
    for entry in entries:
        for oid in (entry.old, entry.new):
            if oid in found or oid in lost:
                continue
            if repository.exists(oid):
                found[oid] = None
            else:
                lost.add(oid)
    return list(found)


def commits(repository: GitRepository, start: Iterable[str]) -> list[CommitId]:
    """Every commit reachable from the ids, children before parents."""
    found = []
    for oid in start:
        kind, data = repository.read(oid)
        while kind == "tag":
            oid = parse_tag(oid, data).target
            kind, data = repository.read(oid)
        if kind == "commit":
            found.append(oid)
    return list(repository.walk(found, order="date"))


def reach(repository: GitRepository, start: Iterable[str] | None = None) -> Related:
    """Walk everything from ``start`` (default: the tips). Raises ObjectMissing when the history
    has a hole."""
    found = Related()
    start = tips(repository) if start is None else list(start)
    loose: list[bytes] = []
    for oid in start:
        kind, data = repository.read(oid)
        while kind == "tag":
            found.objects[bytes.fromhex(oid)] = TAG
            oid = parse_tag(oid, data).target
            kind, data = repository.read(oid)
        if kind != "commit":
            loose.append(bytes.fromhex(oid))
    walked = commits(repository, start)
    for oid in walked:
        found.objects[bytes.fromhex(oid)] = COMMIT

    def read(tree: bytes) -> bytes:
        return repository.read(tree.hex())[1]

    for oid in walked:
        commit = parse_commit(oid, repository.read(oid)[1])
        tree = bytes.fromhex(commit.tree)
        _visit(repository, found, tree)
        if commit.parents:
            parent = parse_commit("", repository.read(commit.parents[0])[1])
            found.pair_versions(bytes.fromhex(parent.tree), tree, read)
    for binary in loose:
        if repository.read(binary.hex())[0] == "tree":
            _visit(repository, found, binary)
        else:
            found.objects.setdefault(binary, BLOB)
    return found


def _visit(repository: GitRepository, found: Related, root: bytes) -> None:
    """Take up a tree and all beneath it that was not seen."""
    stack = [root]
    while stack:
        tree = stack.pop()
        if tree in found.objects:
            continue
        found.objects[tree] = TREE
        first: bytes | None = None
        for is_tree, oid in parse_any_tree(repository.read(tree.hex())[1]).values():
            if is_tree:
                stack.append(oid)
            elif oid not in found.objects:
                found.objects[oid] = BLOB
                # Pointers of one directory share owner, mode and often their time.
                if first is None:
                    first = oid
                else:
                    found.pair(oid, first)


def recorded_changes(repository: GitRepository) -> set[str]:
    """The change sets that the records of a worktree's unfinished business name
    (``refs/worktree/envgit/``, JSON in the tree of a commit): where ``--abort`` will return to."""
    found: set[str] = set()
    for name, oid in refs(repository.path).items():
        if RECORDS in name:
            found.update(changes_in_record(repository, oid))
    return found


def changes_in_record(repository: GitRepository, oid: str) -> Iterator[str]:
    """The change sets that one record names (``repo/records.py``); a linked worktree's names
    records of its own."""
    kind, data = repository.read(oid)
    if kind != "commit":
        return
    tree = parse_any_tree(repository.read(parse_commit(oid, data).tree)[1])
    for is_tree, blob in tree.values():
        if is_tree:
            continue
        text = repository.read(blob.hex())[1]
        yield from _changes_in(text)
        for name, inner in _private_in(text):
            if name.startswith(RECORDS):
                yield from changes_in_record(repository, inner)


def _private_in(data: bytes) -> list[tuple[str, str]]:
    """The refs of its own that the record of a linked worktree lists."""
    with suppress(ValueError, RecursionError):
        record = json.loads(data)
        private = record.get("private") if isinstance(record, dict) else None
        if isinstance(private, dict):
            return [(str(name), str(oid)) for name, oid in private.items()]
    return []


def _changes_in(data: bytes) -> Iterator[str]:
    try:
        pending = [json.loads(data)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            name = value.get("changes")
            if isinstance(name, str):
                yield name
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def links(kind: str, data: bytes) -> list[tuple[bytes, int]]:
    """The objects that one object names, with the kind that each must be of."""
    if kind == "commit":
        commit = parse_commit("", data)
        parents = [(bytes.fromhex(parent), COMMIT) for parent in commit.parents]
        return [(bytes.fromhex(commit.tree), TREE), *parents]
    if kind == "tree":
        return [(oid, TREE if is_tree else BLOB) for is_tree, oid in parse_any_tree(data).values()]
    if kind == "tag":
        lines = dict(line.split(b" ", 1) for line in data.split(b"\n")[:2] if b" " in line)
        target = bytes.fromhex(parse_tag("", data).target)
        return [(target, NUMBERS.get(lines.get(b"type", b"").decode("ascii", "replace"), 0))]
    return []
