# SPDX-License-Identifier: Apache-2.0
"""Layers and root filesystems in and out of trees, and what survives on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.fs import crashpoint
from envgit.layers.entry import Entry, Kind, Node, read_tree, walk
from envgit.layers.ids import TreeId
from envgit.repo import objects
from envgit.repo.commits import NotAnEnvironment, ObjectMissing
from envgit.repo.metadata import Metadata, MetadataError, RunRecord
from envgit.repo.repository import GitRepository
from envgit.repo.trees import TreeDirectory, TreeError, encode_tree, parse_tree, read_node
from tests.support.history import WHITEOUT, History, directory, file, layer, who

BASE = layer(
    {
        b"etc": {b"passwd": b"root", b".git": {b"config": b"x"}, b"empty": {}},
        b"usr": {b"bin": {b"a": b"1", b"b": b"2"}},
        b"\xff\n%dir": b"odd",
    }
)


@pytest.fixture
def git(tmp_path: Path) -> GitRepository:
    return GitRepository.create(str(tmp_path / "r.git"))


def test_round_trip(git: GitRepository) -> None:
    with git.writer() as writer:
        oid = writer.write_layer(BASE)
        rootfs = writer.write_rootfs(None, BASE)
        assert str(oid) == rootfs  # without whiteouts both are the same tree
        writer.flush()
    assert read_node(git, TreeId(oid)) == BASE
    assert read_tree(TreeDirectory(git, rootfs)) == BASE


def test_overlay(git: GitRepository) -> None:
    change = layer(
        {
            b"etc": {b"passwd": WHITEOUT, b".git": b"now a file", b"new": {b"deep": {b"f": b""}}},
            b"usr": {b"bin": {b"a": b"changed"}, b"none": WHITEOUT},
            b"\xff\n%dir": {b"was": b"a file"},
        }
    )
    assert change.children is not None
    change.children[b"etc"].entry = directory(0o700)
    with git.writer() as writer:
        base = writer.write_rootfs(None, BASE)
        tree = writer.write_rootfs(base, change)
        expected = layer(
            {
                b"etc": {b".git": b"now a file", b"empty": {}, b"new": {b"deep": {b"f": b""}}},
                b"usr": {b"bin": {b"a": b"changed", b"b": b"2"}},
                b"\xff\n%dir": {b"was": b"a file"},
            }
        )
        assert expected.children is not None
        expected.children[b"etc"].entry = directory(0o700)
        assert writer.write_rootfs(None, expected) == tree


def test_opaque_and_survivors(git: GitRepository) -> None:
    change = layer({b"usr": {b"c": b"3"}})
    assert change.children is not None
    change.children[b"usr"].entry = directory(opaque=True)
    lone = file(b"root").with_links(())
    with git.writer() as writer:
        base = writer.write_rootfs(None, BASE)
        moved = file(b"other", mode=0o600)
        tree = writer.write_rootfs(base, change, {b"etc/passwd": moved, b"etc/.git/config": lone})
        expected = layer(
            {
                b"etc": {b"passwd": moved, b".git": {b"config": lone}, b"empty": {}},
                b"usr": {b"c": b"3"},
                b"\xff\n%dir": b"odd",
            }
        )
        assert writer.write_rootfs(None, expected) == tree
        kept = writer.write_layer(change)
        writer.flush()
    usr = read_node(git, TreeId(kept)).find(b"usr")
    assert usr is not None and usr.entry.opaque


def test_unflushed_objects_are_read_through_the_writer(git: GitRepository) -> None:
    writer = git.writer()
    blob = writer.add_blob(b"text")
    assert writer.read(blob) == ("blob", b"text")
    with pytest.raises(ObjectMissing):
        git.read(blob)
    writer.close()
    assert os.listdir(os.path.join(git.path, "objects", "pack")) == []


def test_spilling(git: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_HELD_BYTES", 1000)
    with git.writer() as writer:
        blobs = [writer.add_blob(b"%d" % number * 200) for number in range(50)]
        assert [writer.read(oid)[1] for oid in blobs] == [b"%d" % n * 200 for n in range(50)]
        tree = writer.write_layer(BASE)
        writer.flush()
    assert read_node(git, TreeId(tree)) == BASE
    assert git.read(blobs[7]) == ("blob", b"7" * 200)
    names = os.listdir(os.path.join(git.path, "objects", "pack"))
    assert len(names) == 2


def test_known_objects_are_not_written_again(git: GitRepository) -> None:
    for _ in range(2):
        with git.writer() as writer:
            writer.write_layer(BASE)
            writer.flush()
    assert len(os.listdir(os.path.join(git.path, "objects", "pack"))) == 2


def test_an_interrupted_flush_leaves_the_old_state(git: GitRepository) -> None:
    class Interrupted(Exception):
        pass

    def stop_at(wanted: str) -> Callable[[str], None]:
        def stop(name: str) -> None:
            if name == wanted:
                raise Interrupted

        return stop

    for point in ("repo:pack-written", "repo:pack-synced"):
        crashpoint.install(stop_at(point))
        try:
            with git.writer() as writer, pytest.raises(Interrupted):
                oid = writer.write_layer(BASE)
                writer.flush()
        finally:
            crashpoint.install(None)
        with pytest.raises(ObjectMissing):
            git.read(oid)
        assert os.listdir(os.path.join(git.path, "objects", "pack")) == []


def test_commits(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    metadata = Metadata({"Env": ["A=b"]}, (RunRecord(("sh", "\udcff"), 3, 5, 7),))
    first = history.commit(BASE, message="one\n\nbody\nmore\n", metadata=metadata)
    second = history.commit({b"x": b"y"})
    commit = history.git.commit(first)
    assert (commit.subject, commit.body) == ("one", "body\nmore\n")
    assert commit.author == who(1) and commit.parents == ()
    assert history.git.commit(second).parents == (first,)
    assert history.git.metadata(first) == metadata
    assert history.git.head().commit == second
    assert [path for path, _ in walk(history.git.layer(second))] == [b"", b"x"]
    operation = history.git.ref("refs/envgit/operations")
    assert operation is not None
    with pytest.raises(NotAnEnvironment):
        history.git.commit(operation)
    with pytest.raises(ObjectMissing):
        history.git.commit("1" * 40)


@pytest.mark.parametrize(
    "data",
    [b"x", b"[]", b'{"format": true}', b'{"format": 2, "config": {}, "runs": []}',
     b'{"format": 1, "config": [], "runs": []}', b'{"format": 1, "config": {}}',
     b'{"format": 1, "config": {}, "runs": [{"argv": [1], "exit_code": 0, "started": 0, '
     b'"duration_ms": 0}]}'],
)  # fmt: skip
def test_bad_metadata(data: bytes) -> None:
    with pytest.raises(MetadataError):
        Metadata.parse(data)


def test_golden_ids(git: GitRepository) -> None:
    """For ever: the same tree has the same layer id on every machine."""
    node = layer({b"etc": {b"hosts": b"127.0.0.1 localhost\n"}, b".git": b"", b"tmp": {}})
    node.children[b"tmp"].entry = directory(0o1777)  # type: ignore[index]
    node.children[b"link"] = Node(Entry(Kind.SYMLINK, 0o777, mtime=1, target=b"etc/hosts"))  # type: ignore[index]
    with git.writer() as writer:
        assert writer.write_layer(node) == "8b3a4614d4c1ad904ff1d5ca9da351cdea25f23d"


def test_trees_of_others_are_refused(git: GitRepository) -> None:
    for data in (b"100755 a\0" + b"x" * 20, b"100644 a\0short", b"junk"):
        with pytest.raises(TreeError):
            parse_tree(data)
    assert parse_tree(encode_tree({b"a": (True, b"x" * 20)})) == {b"a": (True, b"x" * 20)}
    with git.writer() as writer:
        empty = writer.add_tree({})
        writer.flush()
    with pytest.raises(TreeError):
        TreeDirectory(git, TreeId(empty)).entry  # noqa: B018
