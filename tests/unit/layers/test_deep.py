# SPDX-License-Identifier: Apache-2.0
"""Trees far deeper than Python recurses and than descriptors and PATH_MAX allow."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from envgit.fs import durable
from envgit.layers import directory, tar, untar
from envgit.layers.apply import apply
from envgit.layers.compare import changes, difference, normalize
from envgit.layers.entry import Entry, Kind, Node, walk
from envgit.layers.merge import merge
from envgit.layers.scan import scan
from envgit.layers.view import Overlay
from envgit.layers.writer import WriteError

DEPTH = 1100


def dig(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEPTH):
        os.mkdir("name", 0o755, dir_fd=fd)
        below = os.open("name", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(file, b"deep")
    os.close(file)
    os.close(fd)


@pytest.mark.slow
def test_everything_works_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    dig(root)
    node = scan(os.fsencode(root), overlay=True).node
    nothing = Node(Entry(Kind.DIR, 0o755, os.getuid(), os.getgid()))
    assert len(changes(nothing, node)) >= DEPTH + 1
    assert apply(nothing, difference(nothing, node)) == node
    assert normalize(node, node).drops != []
    layer = normalize(node, nothing)
    assert layer.drops == []
    path = max((p for p, _ in walk(node)), key=len)
    for what in ("built", "copied", "merged", "unpacked"):
        (tmp_path / what).mkdir()
    with Overlay([str(root)]) as view:
        assert view.open(path).read() == b"deep"
        directory.build(str(tmp_path / "built"), node, view.find)
        archive = io.BytesIO()
        tar.write(archive, node, view.open)
    directory.copy(str(tmp_path / "copied"), node, str(root))
    members = [os.fsencode(tmp_path / name) for name in ("built", "copied")]
    merge(str(tmp_path / "merged"), members, keep_whiteouts=False)
    untar.extract(io.BytesIO(archive.getvalue()), str(tmp_path / "unpacked"))
    directory.settle(str(tmp_path / "copied"), layer)
    for what in ("built", "copied", "merged", "unpacked"):
        assert list(directory.verify(str(tmp_path / what), node, content=True)) == []
        durable.remove_tree(str(tmp_path / what))
    durable.remove_tree(str(root))


@pytest.mark.parametrize("missing", [b"name/file", b"other"])
def test_building_without_a_source_is_an_error(tmp_path: Path, missing: bytes) -> None:
    node = Node(Entry(Kind.DIR, 0o755, os.getuid(), os.getgid()))
    node.children = {missing[:4]: Node(Entry(Kind.FILE, 0o644, sha256="0" * 64))}
    with pytest.raises(WriteError):
        directory.build(str(tmp_path), node, lambda path: None)
