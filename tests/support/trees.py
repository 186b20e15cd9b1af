# SPDX-License-Identifier: Apache-2.0
"""Strategies that make small hostile trees and layers, with few names so that they collide."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from envgit.layers.entry import Directory, Entry, Kind, Node, read_tree, walk
from envgit.layers.links import linked

NAMES = st.sampled_from([b"a", b"b", b"c", b"a.b", b"\xff"])
_SHA = [hashlib.sha256(text).hexdigest() for text in (b"", b"1", b"2")]

FILES = st.builds(
    Entry,
    kind=st.just(Kind.FILE),
    mode=st.sampled_from([0o644, 0o4755]),
    uid=st.sampled_from([0, 100000]),
    sha256=st.sampled_from(_SHA),
)
SYMLINKS = st.builds(
    Entry, kind=st.just(Kind.SYMLINK), mode=st.just(0o777), target=st.sampled_from([b"a", b"/x y"])
)
DEVICES = st.builds(Entry, kind=st.just(Kind.CHAR), mode=st.just(0o600), rdev=st.just((1, 3)))
FIFOS = st.builds(Entry, kind=st.just(Kind.FIFO), mode=st.just(0o600))
LEAVES = st.one_of(FILES, FILES, SYMLINKS, DEVICES, FIFOS)
DIRECTORIES = st.builds(
    Entry,
    kind=st.just(Kind.DIR),
    mode=st.sampled_from([0o755, 0o1777]),
    xattrs=st.sampled_from([(), ((b"user.x", b"1"),)]),
)


def at(root: Node, path: bytes) -> Node:
    """The node at a path that is there."""
    node = root.find(path)
    assert node is not None
    return node


def with_links(root: Node, groups: list[list[bytes]]) -> Node:
    """Make each group of paths (those that exist and are no directories) one set of hard links."""
    used: set[bytes] = set()
    for group in groups:
        paths = sorted({p for p in group if p not in used and _is_leaf(root.find(p))})
        if len(paths) < 2:
            continue
        used.update(paths)
        entry = at(root, paths[0]).entry
        for path, hardlinks in linked(paths).items():
            at(root, path).entry = entry.with_links(hardlinks)
    return root


def _is_leaf(node: Node | None) -> bool:
    return node is not None and node.entry.kind not in (Kind.DIR, Kind.WHITEOUT)


def _nodes(
    leaves: st.SearchStrategy[Entry], directories: st.SearchStrategy[Entry], depth: int
) -> st.SearchStrategy[Node]:
    leaf = leaves.map(Node)
    if depth == 0:
        return leaf
    below = st.dictionaries(NAMES, _nodes(leaves, directories, depth - 1), max_size=4)
    return st.one_of(leaf, st.builds(Node, directories, below))


@st.composite
def _rooted(
    draw: st.DrawFn, leaves: st.SearchStrategy[Entry], directories: st.SearchStrategy[Entry]
) -> Node:
    children = draw(st.dictionaries(NAMES, _nodes(leaves, directories, 2), max_size=4))
    root = Node(draw(DIRECTORIES), children)
    paths = [path for path, _ in walk(root) if path]
    groups: list[list[bytes]] = []
    if paths:
        groups = draw(
            st.lists(st.lists(st.sampled_from(paths), min_size=2, max_size=4), max_size=3)
        )
    return with_links(root, groups)


def trees() -> st.SearchStrategy[Node]:
    """Root filesystems."""
    return _rooted(LEAVES, DIRECTORIES)


def layers() -> st.SearchStrategy[Node]:
    """Layers as a scan may find them, whatever they lie on: whiteouts and opaque directories."""
    whiteout = st.just(Entry(Kind.WHITEOUT))
    opaque = DIRECTORIES.map(
        lambda e: Entry(Kind.DIR, e.mode, e.uid, e.gid, xattrs=e.xattrs, opaque=True)
    )
    return _rooted(st.one_of(LEAVES, whiteout), st.one_of(DIRECTORIES, DIRECTORIES, opaque))


@st.composite
def stacked(draw: st.DrawFn) -> tuple[Node, Node]:
    """A base and a layer over it, in which some of the base's entries were copied up unchanged."""
    base, layer = draw(trees()), draw(layers())
    paths = [path for path, _ in walk(base) if path]
    copied = draw(st.lists(st.sampled_from(paths), max_size=6)) if paths else []
    for path in copied:
        names = path.split(b"/")
        children = layer.children
        for depth in range(1, len(names)):
            if children is None:
                break
            directory = at(base, b"/".join(names[:depth]))
            children = children.setdefault(names[depth - 1], Node(directory.entry)).children
        if children is not None and names[-1] not in children:
            children[names[-1]] = Node(at(base, path).entry.with_links(()))
    linkable = [p for p, e in walk(layer) if p in copied and e.kind != Kind.DIR and not e.hardlinks]
    if len(linkable) > 1 and draw(st.booleans()):
        entry = at(layer, linkable[0]).entry
        same = [p for p in linkable if at(layer, p).entry == entry]
        with_links(layer, [same])
    return base, layer


def inodes(root: Directory) -> dict[bytes, tuple[Entry, frozenset[bytes]]]:
    """Every path with its entry but links, and the whole set of links it belongs to."""
    tree = read_tree(root)
    sets: dict[bytes, frozenset[bytes]] = {}
    for path, entry in walk(tree):
        if entry.hardlinks and path < entry.hardlinks[0]:
            group = frozenset((path, *entry.hardlinks))
            sets.update(dict.fromkeys(group, group))
    return {p: (e.with_links(()), sets.get(p, frozenset((p,)))) for p, e in walk(tree)}
