# SPDX-License-Identifier: Apache-2.0
"""Trees compared by id give what comparing every entry gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.compare import changes
from envgit.layers.entry import Entry, Kind, Node, find_entry
from envgit.layers.ids import TreeId
from envgit.repo.diff import is_binary, text_patch
from envgit.repo.objects import ObjectWriter
from envgit.repo.trees import TreeDirectory, read_node
from tests.support.history import file, layer

CONTENT = st.sampled_from([b"1", b"2"])
LEAF = st.one_of(
    CONTENT.map(file), st.just(Entry(Kind.FIFO, 0o600)), st.just(Entry(Kind.DIR, 0o700))
)
SHAPES = st.recursive(
    LEAF,
    lambda inner: st.dictionaries(st.sampled_from([b"a", b".git", b"\xff"]), inner),
    max_leaves=12,
)
TREES = st.dictionaries(st.sampled_from([b"x", b"y", b"%dir"]), SHAPES).map(layer)


class _Nothing:
    def read(self, oid: str) -> tuple[str, bytes]:
        raise KeyError(oid)


@given(TREES, TREES)
def test_as_entry_by_entry(old: Node, new: Node) -> None:
    writer = ObjectWriter("/nonexistent", _Nothing())  # nothing is flushed
    one, other = (TreeId(writer.write_rootfs(None, node)) for node in (old, new))
    assert read_node(writer, one) == old
    trees = TreeDirectory(writer, one), TreeDirectory(writer, other)
    expected = changes(old, new)
    assert changes(*trees) == expected
    assert changes(None, trees[0]) == changes(None, old)
    assert changes(trees[0], None) == changes(old, None)
    picked = changes(*trees, wanted=lambda path, _: path.startswith(b"x") or not path)
    assert picked == [each for each in expected if each.path.startswith(b"x") or not each.path]
    for change in expected:
        assert find_entry(trees[0], change.path) == change.old
        assert find_entry(trees[1], change.path) == change.new


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_patches_add_up(old: bytes, new: bytes) -> None:
    patch = text_patch(old, new, context=0)
    lines = [line for hunk in patch.hunks for line in hunk.lines]
    assert patch.added == sum(line.origin == "+" for line in lines)
    assert patch.deleted == sum(line.origin == "-" for line in lines)
    assert (old == new) == (not lines)


def test_hunks() -> None:
    old = b"def f():\n\xff\n" + b"".join(b"%d\n" % number for number in range(20))
    new = old.replace(b"15\n", b"changed\n") + b"no newline"
    patch = text_patch(old, new, context=1)
    assert [hunk.header for hunk in patch.hunks] == [
        b"@@ -17,3 +17,3 @@ def f():",
        b"@@ -22 +22,2 @@ def f():",
    ]
    last = patch.hunks[1].lines[-1]
    assert (last.origin, last.text) == ("+", b"no newline")
    head = b"f\xff(\n" + b"9\n" * 9
    strange = text_patch(head + b"a\n", head + b"b\n")
    assert strange.hunks[0].header == b"@@ -8,4 +8,4 @@ f"  # libgit2 stops at what is not UTF-8
    assert text_patch(b"a  b\n", b"a b\n", whitespace="change").hunks == ()


def test_binary() -> None:
    assert is_binary(b"a\0") and not is_binary(b"a" * 8000 + b"\0") and not is_binary(b"\xff")
