# SPDX-License-Identifier: Apache-2.0
"""The laws of layers as properties, against a second, plain statement of what overlayfs shows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.apply import apply
from envgit.layers.compare import changes, difference, normalize
from envgit.layers.entry import Entry, Kind, Node, walk
from envgit.layers.links import survivors
from tests.support.trees import DEVICES, FILES, at, inodes, layers, stacked, trees


def shown(base: Node, layer: Node) -> dict[bytes, Entry]:
    """What overlayfs shows, path by path and without links, said another way than in apply.py."""
    view = {p: e.with_links(()) for p, e in walk(base)}
    for path, entry in walk(layer):
        old = view.get(path)
        if path and (entry.kind != Kind.DIR or entry.opaque or (old and old.kind != Kind.DIR)):
            prefix = path + b"/"
            view = {p: e for p, e in view.items() if p != path and not p.startswith(prefix)}
        if entry.kind != Kind.WHITEOUT:
            view[path] = replace(entry, hardlinks=(), opaque=False)
    return view


def sets_hold(root: Node) -> None:
    """Every set of links is told consistently, by the rule in docs/design/layers.rst."""
    for path, entry in walk(root):
        if entry.hardlinks and path < entry.hardlinks[0]:
            for other in entry.hardlinks:
                twin = at(root, other).entry
                assert twin.hardlinks == (path,)
                assert twin.same_but_links(entry)
        elif entry.hardlinks:
            assert path in at(root, entry.hardlinks[0]).entry.hardlinks


@given(trees(), layers())
def test_apply_shows_what_overlayfs_shows(base: Node, layer: Node) -> None:
    result = apply(base, layer)
    assert {p: e.with_links(()) for p, e in walk(result)} == shown(base, layer)
    sets_hold(result)


@given(trees(), trees())
def test_difference_leads_exactly_from_one_to_the_other(old: Node, new: Node) -> None:
    layer = difference(old, new)
    assert apply(old, layer) == new
    if not any(entry.hardlinks for _, entry in walk(old)):
        # Breaking links on purpose is a difference, but in an upper directory just a copy-up.
        assert normalize(layer, old).layer == layer
    sets_hold(layer)


@given(trees())
def test_difference_of_equals_is_empty(tree: Node) -> None:
    assert list(walk(difference(tree, tree))) == [(b"", tree.entry)]
    assert difference(None, tree) == tree


@given(stacked())
def test_normalizing_keeps_the_meaning(pair: tuple[Node, Node]) -> None:
    base, layer = pair
    normalized = normalize(layer, base)
    before, after = inodes(apply(base, layer)), inodes(apply(base, normalized.layer))
    assert {p: e for p, (e, _) in before.items()} == {p: e for p, (e, _) in after.items()}
    for path, (_, group) in before.items():
        # Links that copying up had broken may come back; none is lost.
        assert group <= after[path][1]
    sets_hold(normalized.layer)


@given(stacked())
def test_normalizing_is_idempotent_and_changes_are_the_changes(pair: tuple[Node, Node]) -> None:
    base, layer = pair
    normalized = normalize(layer, base)
    again = normalize(normalized.layer, base)
    assert again.layer == normalized.layer
    assert not again.drops and not again.unopaque
    assert normalized.changes == changes(base, apply(base, normalized.layer))
    scanned, kept = dict(walk(layer)), dict(walk(normalized.layer))
    assert set(normalized.drops) == set(scanned) - set(kept)
    assert len(normalized.drops) == len(set(normalized.drops))


@given(stacked())
def test_drops_come_children_first(pair: tuple[Node, Node]) -> None:
    base, layer = pair
    drops = normalize(layer, base).drops
    for index, path in enumerate(drops):
        assert not any(later.startswith(path + b"/") for later in drops[index:])


@given(stacked())
def test_nothing_unchanged_stays_but_beneath_opaque_directories(pair: tuple[Node, Node]) -> None:
    base, layer = pair
    result = normalize(layer, base).layer
    before = dict(walk(base))
    opaque = [path + b"/" for path, entry in walk(result) if entry.opaque]
    linked = any(entry.hardlinks for _, entry in walk(result))
    for path, entry in walk(result):
        if not path or linked or any(path.startswith(prefix) for prefix in opaque):
            continue
        if entry.kind != Kind.DIR:
            assert before.get(path, Entry(Kind.WHITEOUT)) != entry


@given(trees(), trees())
def test_changes_are_symmetric_and_complete(old: Node, new: Node) -> None:
    there, back = changes(old, new), changes(new, old)
    assert [(c.path, c.new, c.old) for c in there] == [(c.path, c.old, c.new) for c in back]
    view = dict(walk(old))
    for change in there:
        assert view.get(change.path) == change.old
        view.pop(change.path, None)
        if change.new is not None:
            view[change.path] = change.new
    assert view == dict(walk(new))
    assert [c.path for c in there] == sorted(c.path for c in there)


@given(trees(), layers())
def test_survivors_are_untouched_paths_whose_links_changed(base: Node, layer: Node) -> None:
    before, after = dict(walk(base)), dict(walk(apply(base, layer)))
    touched = {path for path, _ in walk(layer)}
    for path, entry in survivors(base, layer).items():
        assert after[path] == entry
        assert before[path] != entry and before[path].same_but_links(entry)
        assert path not in touched


NAMES = st.binary(min_size=1, max_size=255).filter(lambda b: b"\0" not in b)
PATHS = st.lists(
    NAMES.filter(lambda b: b"/" not in b and b not in (b".", b"..")), min_size=1, max_size=4
).map(b"/".join)
XATTRS = st.dictionaries(
    NAMES.filter(lambda b: not b.startswith((b"trusted.overlay.", b"user.overlay."))),
    st.binary(max_size=40),
    max_size=3,
).map(lambda d: tuple(sorted(d.items())))
LINKS = st.lists(PATHS, max_size=3, unique=True).map(lambda paths: tuple(sorted(paths)))
OWNERS = st.integers(0, 2**32 - 2)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(["file", "dir", "symlink", "fifo", "char", "block", "whiteout"]))
    if kind == Kind.WHITEOUT:
        return Entry(kind)
    rdev = draw(st.tuples(st.integers(1, 4095), st.integers(0, 2**20 - 1)))
    return Entry(
        kind,
        draw(st.integers(0, 0o7777)),
        draw(OWNERS),
        draw(OWNERS),
        0 if kind == Kind.DIR else draw(st.integers(-(2**63), 2**63 - 1)),
        draw(st.integers(0, 2**63 - 1)) if kind == Kind.FILE else 0,
        draw(FILES).sha256 if kind == Kind.FILE else "",
        draw(NAMES) if kind == Kind.SYMLINK else b"",
        rdev if kind == draw(DEVICES).kind or kind == Kind.BLOCK else (0, 0),
        draw(XATTRS),
        draw(st.booleans()) if kind == Kind.DIR else False,
        () if kind == Kind.DIR else draw(LINKS),
    )


@given(entries())
def test_a_pointer_reads_back_as_what_it_was_written_from(entry: Entry) -> None:
    text = entry.pointer()
    assert Entry.parse(text) == entry
    # No byte of a name can end a line or a word, whatever reads the text.
    words = [line.split(" ") for line in text.decode("utf-8").removesuffix("\n").split("\n")]
    assert not [w for line in words for word in line for w in word if w.isspace() or w < " "]
