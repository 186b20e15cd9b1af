# SPDX-License-Identifier: Apache-2.0
"""Three-way merge of root filesystems: what became of both sides, and what nobody can decide.

Only paths that differ from the base on one of the sides are looked at. A path changed on one side
is that side's; changed on both it is merged field by field, and its content by a driver. What git
calls a conflict is one here, has git's name and leaves what git leaves (git-merge(1), "HOW
CONFLICTS ARE PRESENTED"; strategy ``ort`` without renames); that attributes clash is our own.

Laws (tests/unit/layers/test_threeway.py): ``merge(b, o, o) == o``, ``merge(b, b, t) == t``,
``merge(b, o, b) == o``; conflicts are at the same paths with the sides exchanged; without conflicts
the tree is the same, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from envgit.layers.apply import overlaid
from envgit.layers.compare import changes
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.layers.fields import (
    content_of,
    described,
    is_directory,
    is_leaf,
    merge_attributes,
    pick,
    same_but_time,
    with_content,
)
from envgit.layers.regroup import regroup
from envgit.layers.resolution import (
    Clash,
    Driver,
    Merged,
    Reader,
    Resolution,
    Settler,
    Sides,
)

ADDED = "add/add"
ATTRIBUTES = "attributes"
CONTENT = "content"
DELETED = "modify/delete"
IN_THE_WAY = "file/directory"
TYPES = "distinct types"


def merge(
    base: Directory | None,
    ours: Directory,
    theirs: Directory,
    *,
    drivers: Sequence[Driver] = (),
    settle: Settler | None = None,
    remade: Collection[bytes] = (),
    reader: Reader,
    labels: tuple[str, str] = ("ours", "theirs"),
    favour: str | None = None,
    virtual: bool = False,
) -> Merged:
    """Merge ``theirs`` into ``ours``; ``base`` None has no path.

    ``remade`` are paths of ``theirs`` that its files on the host are not like: they are made anew
    wherever they come from there. ``labels`` are what messages call the sides. ``favour``
    (``ours``, ``theirs``) settles content and attributes that clash for that side. ``virtual``: the
    result is to be a base itself, so that what is not decided stays as it is in ``base`` and
    nothing is moved aside.
    """
    work = _Merge(base, ours, theirs, drivers, reader)
    work.labels, work.favour, work.virtual, work.settle = labels, favour, virtual, settle
    work.remade = remade
    return work.run()


@dataclass(slots=True)
class _Leaf:
    """What became of something that is no directory."""

    entry: Entry | None
    kind: str = ""
    content: bytes | None = None
    side: str = "ours"


class _Merge:
    def __init__(
        self,
        base: Directory | None,
        ours: Directory,
        theirs: Directory,
        drivers: Sequence[Driver],
        reader: Reader,
    ) -> None:
        self.base, self.ours, self.theirs = base, ours, theirs
        self.drivers, self.reader = drivers, reader
        self.labels = ("ours", "theirs")
        self.favour: str | None = None
        self.virtual = False
        self.settle: Settler | None = None
        self.remade: Collection[bytes] = ()
        # Of each path that differs somewhere: base, ours, theirs.
        self.sides: dict[bytes, Sides] = {}
        self.final: dict[bytes, Entry | None] = {}
        self.contents: dict[bytes, bytes] = {}
        self.origins: dict[bytes, tuple[str, bytes]] = {}
        self.clashes: dict[bytes, str] = {}
        # The sides of clashes that are not about directories.
        self.clashing: dict[bytes, Sides] = {}
        self.merged: list[bytes] = []
        self.messages: list[tuple[bytes, int, str]] = []

    def run(self) -> Merged:
        here = {change.path: change for change in changes(self.base, self.ours)}
        there = {change.path: change for change in changes(self.base, self.theirs)}
        asked = self.settle.paths if self.settle is not None else ()
        for path in sorted({*here, *there, *asked}):
            one, other = here.get(path), there.get(path)
            base = one.old if one is not None else other.old if other is not None else None
            if one is None and other is None:
                base = find_entry(self.ours, path)
            self.sides[path] = Sides(
                path, base, one.new if one else base, other.new if other else base
            )
        leaves = {path: self._leaf(sides) for path, sides in self.sides.items()}
        self._directories(leaves)
        for path, leaf in leaves.items():
            self._place(path, leaf)
        linked = regroup((self.base, self.ours, self.theirs), self._seeds(), self._result)
        for path, entry in linked.items():
            self.final[path] = entry
        self.messages.sort(key=lambda one: one[:2])
        return Merged(
            tree=overlaid(self.ours, self._layer(linked)),
            conflicts=tuple(self._clash(path) for path in sorted(self.clashes)),
            contents=self.contents,
            origins=self.origins,
            made=tuple(path for path in sorted(self.final) if self._is_made(path)),
            merged=tuple(self.merged),
            messages=tuple(text for _, _, text in self.messages),
        )

    def _clash(self, path: bytes) -> Clash:
        sides = self.clashing.get(path) or self.sides[path]
        left = self.final.get(path)
        return Clash(path, self.clashes[path], sides.base, sides.ours, sides.theirs, left)

    # -- what is no directory ---------------------------------------------------------------

    def _leaf(self, sides: Sides) -> _Leaf:
        """Merge a path as if it had no directory on any side."""
        base, ours, theirs = (
            entry if is_leaf(entry) else None for entry in (sides.base, sides.ours, sides.theirs)
        )
        if self.settle is not None:
            settled = self.settle(Sides(sides.path, base, ours, theirs))
            if settled is not None:
                return self._settled(sides, settled)
        if base == theirs:
            return _Leaf(ours)
        if base == ours:
            return _Leaf(theirs, side="theirs")
        if ours == theirs:
            return _Leaf(ours)
        if ours is None or theirs is None:
            return self._one_sided(base, ours, theirs)
        return self._both(Sides(sides.path, base, ours, theirs))

    def _settled(self, sides: Sides, settled: Resolution) -> _Leaf:
        """A path that was decided on as a whole."""
        for text in settled.messages:
            self._say(sides.path, text)
        entry = settled.entry
        if entry is not None and settled.content is not None:
            entry = with_content(entry, described(settled.content)).with_links(())
            return _Leaf(entry, kind=settled.conflict or "", content=settled.content)
        places = {"ours": sides.ours, "theirs": sides.theirs, "base": sides.base}
        side = next((name for name, there in places.items() if there == entry), "ours")
        return _Leaf(entry, kind=settled.conflict or "", side=side)

    def _one_sided(self, base: Entry | None, ours: Entry | None, theirs: Entry | None) -> _Leaf:
        """A path that one side deleted and the other changed."""
        left, side = (ours, "ours") if theirs is None else (theirs, "theirs")
        if same_but_time(left, base):
            return _Leaf(None)
        if self.virtual:
            return _Leaf(base, kind=DELETED, side="base")
        return _Leaf(left, kind=DELETED, side=side)

    def _both(self, sides: Sides) -> _Leaf:
        """A path that both sides have and at least one of them changed."""
        base, ours, theirs = sides.base, sides.ours, sides.theirs
        assert ours is not None and theirs is not None
        content, clash = pick(content_of(base), content_of(ours), content_of(theirs))
        if not clash:
            side, chosen = ("ours", ours) if content == content_of(ours) else ("theirs", theirs)
            if ours.kind != theirs.kind:
                return _Leaf(chosen, side=side)
            return self._with_attributes(sides, _Leaf(chosen, side=side))
        if ours.kind != theirs.kind:
            if self.virtual:
                return _Leaf(base, kind=TYPES, side="base")
            return _Leaf(ours, kind=TYPES)
        leaf = self._content(sides)
        kept = leaf.entry if leaf.content is None else None
        leaf = self._with_attributes(sides, leaf)
        if kept is not None and leaf.entry is not None:
            # One side's content after all: it was written when that side says.
            leaf.entry = replace(leaf.entry, mtime=kept.mtime)
        return leaf

    def _content(self, sides: Sides) -> _Leaf:
        """Ask the drivers about content that both sides changed."""
        assert sides.ours is not None and sides.theirs is not None
        for driver in self.drivers:
            made = driver(sides, self.reader)
            if made is None:
                continue
            for text in made.messages:
                self._say(sides.path, text)
            kind = made.conflict or ""
            entry = made.entry or sides.ours
            if made.content is not None:
                entry = with_content(entry, described(made.content))
            self.merged.append(sides.path)
            side = "theirs" if made.content is None and entry == sides.theirs else "ours"
            return _Leaf(entry, kind=kind, content=made.content, side=side)
        if self.favour is not None:
            return _Leaf(sides.theirs if self.favour == "theirs" else sides.ours)
        if self.virtual:
            return _Leaf(sides.base, kind=CONTENT, side="base")
        return _Leaf(sides.ours, kind=CONTENT)

    def _with_attributes(self, sides: Sides, leaf: _Leaf) -> _Leaf:
        """The merged attributes with the content that was decided on."""
        assert sides.ours is not None and sides.theirs is not None
        if leaf.entry is None:
            return leaf
        merged, clashes = merge_attributes(sides.base, sides.ours, sides.theirs, self.favour)
        leaf.entry = with_content(merged, leaf.entry)
        if clashes and not leaf.kind:
            leaf.kind = ATTRIBUTES
            if not self.virtual:
                self._attributes(sides.path, clashes)
        elif leaf.kind == CONTENT and sides.base is None:
            leaf.kind = ADDED
        return leaf

    def _attributes(self, path: bytes, clashes: Sequence[str]) -> None:
        name, (one, other) = _shown(path), self.labels
        what = ", ".join(clashes)
        verb = "differ" if len(clashes) > 1 else "differs"
        text = f"CONFLICT ({ATTRIBUTES}): {what} of {name or './'} {verb} in {one} and {other}."
        self._say(path, f"{text}  Version {one} left in tree.")

    # -- directories ------------------------------------------------------------------------

    def _directories(self, leaves: dict[bytes, _Leaf]) -> None:
        """Decide which directories there are, and what they are like."""
        undecided: list[tuple[bytes, Sides, Entry]] = []
        emptied = self._emptied(leaves)
        for path, sides in self.sides.items():
            base, ours, theirs = (
                entry if is_directory(entry) else None
                for entry in (sides.base, sides.ours, sides.theirs)
            )
            settled = None
            if self.settle is not None and (ours is not None or theirs is not None):
                settled = self.settle(Sides(path, base, ours, theirs))
            if ours is not None and theirs is not None and settled is not None:
                self.final[path] = settled.entry
            elif ours is not None and theirs is not None:
                merged, clashes = merge_attributes(base, ours, theirs, self.favour)
                self.final[path] = merged
                if clashes:
                    self.clashes[path] = ATTRIBUTES
                    self._attributes(path, clashes)
            elif ours is not None or theirs is not None:
                kept = ours if ours is not None else theirs
                assert kept is not None
                if settled is not None and settled.entry is not None:
                    self.final[path] = settled.entry
                elif settled is not None or (base is None and path in emptied):
                    undecided.append((path, replace(sides, base=kept), kept))
                elif base is None:
                    self.final[path] = kept
                else:
                    undecided.append((path, sides, kept))
        self._deleted(undecided, leaves)

    def _emptied(self, leaves: dict[bytes, _Leaf]) -> set[bytes]:
        """Directories that had something in them, all of which was settled away."""
        if self.settle is None:
            return set()
        had, have = set[bytes](), set[bytes]()
        for path, leaf in leaves.items():
            sides = self.sides[path]
            if leaf.entry is not None:
                have.update(_above(path))
            elif is_leaf(sides.ours) or is_leaf(sides.theirs):
                had.update(_above(path))
        return had - have

    def _deleted(
        self, undecided: Sequence[tuple[bytes, Sides, Entry]], leaves: dict[bytes, _Leaf]
    ) -> None:
        """A directory that one side deleted stays if something is in it or the other changed it."""
        there = {path for path, leaf in leaves.items() if leaf.entry is not None}
        needed = {above for path in (*there, *self.final) for above in _above(path)}
        for path, sides, kept in sorted(undecided, key=lambda one: one[0], reverse=True):
            if path not in needed:
                if kept == sides.base or self.virtual:
                    self.final[path] = None
                    continue
                self.clashes[path] = DELETED
                self._say_deleted(path, ours_deleted=not is_directory(sides.ours))
                if path in there:
                    continue  # something else has taken its place
            self.final[path] = kept
            needed.update(_above(path))

    # -- putting it together ----------------------------------------------------------------

    def _place(self, path: bytes, leaf: _Leaf) -> None:
        """Put something that is no directory where it belongs, aside if it cannot stay."""
        if leaf.entry is None:
            self.final.setdefault(path, None)
            return
        if leaf.kind == TYPES and not self.virtual:
            self._apart(path)
            return
        if self.final.get(path) is None:
            self._put(path, path, leaf)
            return
        if self.virtual:
            return  # a base for others: the directory stays, as in git
        sides = self.sides[path]
        label = self.labels[0] if not is_directory(sides.ours) else self.labels[1]
        aside = self._aside(path, label)
        self._say(
            aside,
            f"CONFLICT ({IN_THE_WAY}): directory in the way of {_shown(path)} from {label};"
            f" moving it to {_shown(aside)} instead.",
        )
        leaf.kind = leaf.kind or IN_THE_WAY
        self._put(aside, path, leaf)

    def _put(self, path: bytes, source: bytes, leaf: _Leaf) -> None:
        entry = leaf.entry
        assert entry is not None
        self.final[path] = entry.with_links(())
        if leaf.content is not None:
            self.contents[path] = leaf.content
        elif leaf.side != "ours" or path != source:
            self.origins[path] = (leaf.side, source)
        if not leaf.kind:
            return
        self.clashes[path] = leaf.kind
        sides = self.sides[source]
        entries = (sides.base, sides.ours, sides.theirs)
        self.clashing[path] = Sides(path, *(one if is_leaf(one) else None for one in entries))
        if leaf.kind == DELETED:
            self._say_deleted(path, ours_deleted=not is_leaf(sides.ours))
        elif leaf.kind in (CONTENT, ADDED):
            self._say(path, f"CONFLICT ({leaf.kind}): Merge conflict in {_shown(path)}")

    def _apart(self, path: bytes) -> None:
        """Two things of different types: the regular file, or else both, get another name."""
        sides = self.sides[path]
        ours, theirs = sides.ours, sides.theirs
        assert ours is not None and theirs is not None
        files = [ours.kind == Kind.FILE, theirs.kind == Kind.FILE]
        renamed = files if any(files) else [True, True]
        what = "both" if all(renamed) else "one"
        text = f"CONFLICT ({TYPES}): {_shown(path)} had different types on each side; renamed"
        self._say(path, f"{text} {what} of them so each can be recorded somewhere.")
        base = sides.base
        places = ((ours, "ours", self.labels[0]), (theirs, "theirs", self.labels[1]))
        for (entry, side, label), rename in zip(places, renamed, strict=True):
            place = self._aside(path, label) if rename else path
            old = base if base is not None and base.kind == entry.kind else None
            mine = (entry, None) if side == "ours" else (None, entry)
            self.clashing[place] = Sides(place, old, *mine)
            self.clashes[place] = TYPES
            self.final[place] = entry.with_links(())
            self.origins[place] = (side, path)
        self.final.setdefault(path, None)

    def _aside(self, path: bytes, label: str) -> bytes:
        """A path nearby that nobody has, named after the side as git does."""
        wanted = path + b"~" + label.replace("/", "_").encode("utf-8", "surrogateescape")
        name, number = wanted, 0
        while self._taken(name):
            name, number = wanted + b"_%d" % number, number + 1
        return name

    def _taken(self, path: bytes) -> bool:
        return path in self.final or any(
            find_entry(tree, path) is not None for tree in (self.ours, self.theirs)
        )

    def _say(self, path: bytes, text: str) -> None:
        if not self.virtual:
            self.messages.append((path, len(self.messages), text))

    def _say_deleted(self, path: bytes, *, ours_deleted: bool) -> None:
        one, other = self.labels if ours_deleted else self.labels[::-1]
        name = _shown(path)
        self._say(
            path,
            f"CONFLICT ({DELETED}): {name} deleted in {one} and modified in {other}."
            f"  Version {other} of {name} left in tree.",
        )

    # -- links and the layer ----------------------------------------------------------------

    def _seeds(self) -> Iterable[bytes]:
        for path, sides in self.sides.items():
            for entry in (sides.base, sides.ours, sides.theirs):
                if entry is not None and entry.hardlinks:
                    yield path
                    break

    def _result(self, path: bytes) -> Entry | None:
        return self.final[path] if path in self.final else find_entry(self.ours, path)

    def _is_made(self, path: bytes) -> bool:
        """Whether no side has the file that a path became."""
        entry = self.final[path]
        if entry is None or entry.kind == Kind.DIR:
            return False
        if path in self.contents:
            return True
        side, source = self.origins.get(path, ("ours", path))
        if side == "theirs" and source in self.remade:
            return True
        trees = {"base": self.base, "ours": self.ours, "theirs": self.theirs}
        tree = trees[side]
        there = find_entry(tree, source) if tree is not None else None
        return there is None or not there.same_but_links(entry)

    def _layer(self, linked: Iterable[bytes]) -> Node:
        """The layer over ours; sets of hard links go into it whole, so that none breaks."""
        whole = set(linked)
        root = Node(self.final.get(b"") or self.ours.entry)
        for path in sorted(self.final):
            entry = self.final[path]
            if not path:
                continue
            old = self.sides[path].ours if path in self.sides else find_entry(self.ours, path)
            if (entry == old and path not in whole) or (entry is None and old is None):
                continue
            parent = self._parent(root, path)
            if parent is None or parent.children is None:
                continue  # gone with what is above it
            name = path.rpartition(b"/")[2]
            if entry is None:
                parent.children[name] = Node(Entry(Kind.WHITEOUT))
            elif entry.kind == Kind.DIR and (present := parent.children.get(name)) is not None:
                present.entry = entry
            else:
                parent.children[name] = Node(entry)
        return root

    def _parent(self, root: Node, path: bytes) -> Node | None:
        node, above = root, b""
        for name in path.split(b"/")[:-1]:
            above = above + b"/" + name if above else name
            if node.children is None:
                return None
            child = node.children.get(name)
            if child is None:
                entry = self._result(above)
                if entry is None:
                    return None
                child = node.children[name] = Node(entry)
            node = child
        return node


def _above(path: bytes) -> list[bytes]:
    """The directories on the way to a path, without the root."""
    parts = path.split(b"/")
    return [b"/".join(parts[:end]) for end in range(1, len(parts))]


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
