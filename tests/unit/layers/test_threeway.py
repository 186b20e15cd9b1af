# SPDX-License-Identifier: Apache-2.0
"""The laws of the three-way merge, on random trees and on the cases that have a name."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.layers.apply import overlaid
from envgit.layers.compare import difference
from envgit.layers.entry import Entry, Kind, Node, find_entry, read_tree, walk
from envgit.layers.links import linked, members
from envgit.layers.resolution import Merged, Reader, Resolution, Sides
from envgit.layers.threeway import merge
from tests.support.trees import trees


def no_contents(side: str, path: bytes) -> bytes | None:
    return None


def merged(base: Node | None, ours: Node, theirs: Node, **options: object) -> Merged:
    return merge(base, ours, theirs, reader=no_contents, **options)  # type: ignore[arg-type]


@st.composite
def _edited(draw: st.DrawFn, tree: Node) -> Node:
    """A copy in which some paths are another tree's, or gone."""
    other = draw(trees())
    return _mixed(draw, tree, other)


def _mixed(draw: st.DrawFn, tree: Node, other: Node) -> Node:
    copy = read_tree(tree)
    for name in sorted({*(copy.children or {}), *(other.children or {})}):
        what = draw(st.sampled_from(["keep", "keep", "take", "drop"]))
        assert copy.children is not None
        if what == "drop":
            copy.children.pop(name, None)
        elif what == "take" and (other.children or {}).get(name) is not None:
            copy.children[name] = (other.children or {})[name]
    return _sound(copy)


def _sound(root: Node) -> Node:
    """Sets of links cut down to members that are there, alike and agree about their set."""
    before = dict(walk(root))
    for path, entry in before.items():
        node = root.find(path)
        assert node is not None
        if entry.kind == Kind.DIR or not entry.hardlinks:
            continue
        paths = [
            one
            for one in members(root, path, entry)
            if one in before and before[one].same_but_links(entry)
        ]
        node.entry = entry.with_links(())
        if path in paths and min(paths) == path and len(paths) > 1:
            for one, links in linked(paths).items():
                member = root.find(one)
                assert member is not None
                before[one] = member.entry = entry.with_links(links)
    return _checked(root)


def _checked(root: Node) -> Node:
    """Without links that only one side names."""
    found = dict(walk(root))
    for path, entry in found.items():
        if entry.hardlinks and entry.kind != Kind.DIR:
            paths = members(root, path, entry)
            whole = {one: found.get(one) for one in paths}
            wanted = linked(paths) if len(paths) > 1 else {path: ()}
            if any(e is None or e.hardlinks != wanted[p] for p, e in whole.items()):
                for one in paths:
                    node = root.find(one)
                    if node is not None and node.entry.kind != Kind.DIR:
                        node.entry = node.entry.with_links(())
                        found[one] = node.entry
    return root


@st.composite
def triples(draw: st.DrawFn) -> tuple[Node, Node, Node]:
    base = draw(trees())
    return base, draw(_edited(base)), draw(_edited(base))


def is_sound(tree: Node) -> bool:
    """The law of fsck: sets of links agree, and what is linked is the same."""
    found = dict(walk(tree))
    for path, entry in found.items():
        if entry.kind == Kind.DIR or not entry.hardlinks:
            continue
        paths = members(tree, path, entry)
        if len(paths) < 2:
            return False
        for one, links in linked(paths).items():
            other = found.get(one)
            if other is None or other.hardlinks != links or not other.same_but_links(entry):
                return False
    return True


@settings(max_examples=300, deadline=None)
@given(triples())
def test_a_side_that_changed_nothing_takes_the_other(triple: tuple[Node, Node, Node]) -> None:
    base, ours, theirs = triple
    for result, expected in (
        (merged(base, ours, base), ours),
        (merged(base, base, theirs), theirs),
        (merged(base, ours, ours), ours),
        (merged(None, ours, ours), ours),
    ):
        assert result.conflicts == ()
        assert dict(walk(read_tree(result.tree))) == dict(walk(expected))


@settings(max_examples=400, deadline=None)
@given(triples())
def test_the_result_is_a_sound_tree(triple: tuple[Node, Node, Node]) -> None:
    base, ours, theirs = triple
    result = merged(base, ours, theirs)
    tree = read_tree(result.tree)
    assert is_sound(tree)
    # And a layer leads to it, from ours and from theirs.
    for side in (ours, theirs):
        assert read_tree(overlaid(side, difference(side, tree))) == tree


@settings(max_examples=300, deadline=None)
@given(triples())
def test_sides_can_be_exchanged(triple: tuple[Node, Node, Node]) -> None:
    base, ours, theirs = triple
    one, other = merged(base, ours, theirs), merged(base, theirs, ours)
    # What is moved aside is named after its side.
    left = {_plain(clash.path) for clash in one.conflicts}
    assert left == {_plain(clash.path) for clash in other.conflicts}
    there = dict(walk(read_tree(other.tree)))
    for path, entry in walk(read_tree(one.tree)):
        if _plain(path) not in left:
            assert there[path] == entry or entry.hardlinks or there[path].hardlinks


def _plain(path: bytes) -> bytes:
    return path.partition(b"~")[0]


@settings(max_examples=200, deadline=None)
@given(triples())
def test_every_path_says_where_its_content_is(triple: tuple[Node, Node, Node]) -> None:
    base, ours, theirs = triple
    sides = {"base": base, "ours": ours, "theirs": theirs}
    result = merged(base, ours, theirs)
    for path, entry in walk(read_tree(result.tree)):
        if entry.kind == Kind.FILE and path not in result.contents:
            side, where = result.origins.get(path, ("ours", path))
            source = find_entry(sides[side], where)
            assert source is not None and source.sha256 == entry.sha256


# -- cases with a name ------------------------------------------------------------------------


def file(text: str, **fields: object) -> Node:
    entry = Entry(
        Kind.FILE, 0o644, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest()
    )
    return Node(replace(entry, **fields))  # type: ignore[arg-type]


def folder(children: dict[str, Node] | None = None, **fields: object) -> Node:
    entry = replace(Entry(Kind.DIR, 0o755), **fields)  # type: ignore[arg-type]
    return Node(entry, {name.encode(): node for name, node in (children or {}).items()})


def link(target: str) -> Node:
    return Node(Entry(Kind.SYMLINK, 0o777, target=target.encode()))


def kinds(result: Merged) -> dict[bytes, str]:
    return {clash.path: clash.kind for clash in result.conflicts}


def test_fields_of_one_file_merge_by_themselves() -> None:
    base = folder({"f": file("a", mtime=1, xattrs=((b"user.x", b"1"),))})
    ours = folder({"f": file("a", mode=0o600, mtime=5, xattrs=((b"user.x", b"1"),))})
    theirs = folder({"f": file("b", uid=7, mtime=3, xattrs=((b"user.y", b"2"),))})
    result = merged(base, ours, theirs)
    assert result.conflicts == ()
    expected = file("b", mode=0o600, uid=7, mtime=5, xattrs=((b"user.y", b"2"),)).entry
    assert find_entry(result.tree, b"f") == expected
    assert result.origins == {b"f": ("theirs", b"f")}


def test_attributes_clash() -> None:
    base, ours, theirs = (folder({"f": file("a", mode=m)}) for m in (0o644, 0o600, 0o755))
    result = merged(base, ours, theirs, labels=("HEAD", "exp"))
    assert kinds(result) == {b"f": "attributes"}
    assert find_entry(result.tree, b"f") == file("a", mode=0o600).entry
    assert result.messages == (
        "CONFLICT (attributes): mode of f differs in HEAD and exp.  Version HEAD left in tree.",
    )
    assert merged(base, ours, theirs, favour="theirs").conflicts == ()


def test_a_directory_that_is_deleted_stays_for_what_is_added() -> None:
    base = folder({"d": folder({"x": file("1"), "y": file("1")}, mode=0o700)})
    ours = folder()
    theirs = folder({"d": folder({"x": file("1"), "y": file("1"), "z": file("2")}, mode=0o700)})
    for one, other in ((ours, theirs), (theirs, ours)):
        result = merged(base, one, other)
        assert result.conflicts == ()
        expected = folder({"d": folder({"z": file("2")}, mode=0o700)})
        assert read_tree(result.tree) == expected


def test_a_directory_that_one_deleted_and_the_other_changed() -> None:
    base, ours, theirs = folder({"d": folder()}), folder(), folder({"d": folder(mode=0o700)})
    result = merged(base, ours, theirs, labels=("HEAD", "exp"))
    assert kinds(result) == {b"d": "modify/delete"}
    assert read_tree(result.tree) == theirs


def test_a_deletion_outweighs_a_touch() -> None:
    base, ours = folder({"f": file("a", mtime=1)}), folder()
    result = merged(base, ours, folder({"f": file("a", mtime=2)}))
    assert result.conflicts == () and read_tree(result.tree) == ours


def test_a_file_in_the_way_of_a_directory_is_moved_aside() -> None:
    base = folder()
    ours, theirs = folder({"k": file("a")}), folder({"k": folder({"z": file("b")})})
    result = merged(base, ours, theirs, labels=("HEAD", "a/b"))
    assert kinds(result) == {b"k~HEAD": "file/directory"}
    assert set(dict(walk(result.tree))) == {b"", b"k", b"k/z", b"k~HEAD"}
    assert result.origins[b"k~HEAD"] == ("ours", b"k")
    other = merged(base, theirs, ours, labels=("HEAD", "a/b"))
    assert kinds(other) == {b"k~a_b": "file/directory"}


def test_types_that_differ_are_both_kept() -> None:
    base, ours, theirs = (folder({"t": node}) for node in (file("a"), file("b"), link("q")))
    result = merged(base, ours, theirs, labels=("HEAD", "exp"))
    assert kinds(result) == {b"t": "distinct types", b"t~HEAD": "distinct types"}
    assert find_entry(result.tree, b"t") == link("q").entry
    assert find_entry(result.tree, b"t~HEAD") == file("b").entry


def linked_pair(one: Node, **others: Node) -> Node:
    tree = folder({"p": one, "q": Node(one.entry), **others})
    for path, hardlinks in linked([b"p", b"q"]).items():
        node = tree.find(path)
        assert node is not None
        node.entry = node.entry.with_links(hardlinks)
    return tree


def test_links_stay_when_both_sides_change_the_file() -> None:
    base, ours = linked_pair(file("a")), linked_pair(file("b"))
    theirs = linked_pair(file("a", mode=0o600))
    result = merged(base, ours, theirs)
    assert read_tree(result.tree) == linked_pair(file("b", mode=0o600))


def test_a_link_that_one_side_broke_stays_broken() -> None:
    base, theirs = linked_pair(file("a")), linked_pair(file("a"), new=file("n"))
    ours = folder({"p": file("b"), "q": file("a")})
    result = merged(base, ours, theirs)
    assert read_tree(result.tree) == folder({"p": file("b"), "q": file("a"), "new": file("n")})


def test_a_driver_merges_its_path() -> None:
    """What a driver for a package database will do: merge by entry instead of by line."""

    def reader(side: str, path: bytes) -> bytes | None:
        return {"base": b"a", "ours": b"a,o", "theirs": b"a,t"}[side]

    def union(sides: Sides, read: Reader) -> Resolution | None:
        if sides.path != b"db":
            return None
        have = {
            e for side in ("ours", "theirs") for e in (read(side, sides.path) or b"").split(b",")
        }
        return Resolution(sides.ours, content=b",".join(sorted(have)))

    base, ours, theirs = (folder({"db": file(t)}) for t in ("a", "a,o", "a,t"))
    result = merge(base, ours, theirs, drivers=[union], reader=reader)
    assert result.conflicts == ()
    assert result.contents == {b"db": b"a,o,t"}
    assert find_entry(result.tree, b"db") == file("a,o,t").entry
    assert result.merged == (b"db",)


@pytest.mark.parametrize("virtual", [False, True])
def test_what_a_base_made_of_bases_holds(virtual: bool) -> None:
    base, ours, theirs = (folder({"f": file(t)}) for t in "abc")
    result = merged(base, ours, theirs, virtual=virtual)
    assert find_entry(result.tree, b"f") == file("a" if virtual else "b").entry
