# SPDX-License-Identifier: Apache-2.0
"""What really changed: layers without their noise, and the difference of two trees.

overlayfs leaves more in an upper directory than changed: files copied up and put back, directories
copied up for what is in them, whiteouts of what was never below. `normalize` takes that out;
`difference` makes the layer that leads from one tree to another; `changes` lists paths.

Laws (tests/unit/layers/test_laws.py): ``apply(base, normalize(layer, base).layer)`` equals
``apply(base, layer)`` but for links that copying up had broken; ``normalize`` is idempotent;
``apply(old, difference(old, new)) == new``; ``normalize(layer, base).changes`` equals
``changes(base, apply(base, normalize(layer, base).layer))``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry, join, walk
from envgit.layers.links import leaves, members, survivors


@dataclass(frozen=True, slots=True)
class Change:
    """A path that differs: ``old`` is None where it was added, ``new`` where it was deleted."""

    path: bytes
    old: Entry | None
    new: Entry | None


@dataclass(frozen=True, slots=True)
class Normalized:
    """A layer without noise, and how it differs from what was scanned and from its base.

    ``changes`` is in bytewise order of paths. ``drops`` are the scanned paths that ``layer`` lacks,
    children before parents; ``unopaque`` the directories whose opaque mark is needless.
    """

    layer: Node
    changes: list[Change]
    drops: list[bytes]
    unopaque: list[bytes]


def identical(one: Directory, other: Directory) -> bool:
    """Whether the two are known to be equal without looking inside."""
    identity = getattr(one, "identity", None)
    return identity is not None and identity == getattr(other, "identity", None)


Wanted = Callable[[bytes, bool], bool]
"""(path, whether it is a directory) -> whether it, or anything beneath it, is of interest."""


def changes(
    old: Directory | None, new: Directory | None, *, wanted: Wanted | None = None
) -> list[Change]:
    """Every path at which two root filesystems differ, in bytewise order; None has no path.

    Only what differs is looked at where directories can tell (see `Directory`); ``wanted`` prunes:
    nothing is looked at beneath a directory for which it is False.
    """
    return sorted(differing(old, new, wanted=wanted), key=_path)


def differing(
    old: Directory | None, new: Directory | None, *, wanted: Wanted | None = None
) -> Iterator[Change]:
    """The same in no order and one by one, for who may stop at the first."""
    # Directories to compare, and whether their own entries are still to be.
    stack: list[tuple[bytes, Directory | None, Directory | None, bool]] = [(b"", old, new, True)]
    while stack:
        path, old, new, own = stack.pop()
        if old is not None and new is not None and identical(old, new):
            continue
        if own and (wanted is None or wanted(path, True)):
            before = old.entry if old is not None else None
            after = new.entry if new is not None else None
            if before != after:
                yield Change(path, before, after)
        for name in unlike(old, new):
            here = join(path, name)
            below = old.directory(name) if old is not None else None
            inner = new.directory(name) if new is not None else None
            is_directory = below is not None or inner is not None
            if wanted is not None and not wanted(here, is_directory):
                continue
            gone = old.lookup(name) if old is not None and below is None else None
            come = new.lookup(name) if new is not None and inner is None else None
            plain = gone is not None or come is not None
            if plain and is_directory:
                gone = below.entry if below is not None else gone
                come = inner.entry if inner is not None else come
            if gone != come:
                yield Change(here, gone, come)
            if is_directory:
                stack.append((here, below, inner, not plain))


def unlike(old: Directory | None, new: Directory | None) -> Iterable[bytes]:
    """The names in two directories that may not be the same in both."""
    if old is None or new is None:
        present = new if old is None else old
        return present.names() if present is not None else ()
    for one, other in ((old, new), (new, old)):
        told = one.unlike(other) if hasattr(one, "unlike") else None
        if told is not None:
            return set(told)
    return {*old.names(), *new.names()}


def _path(change: Change) -> bytes:
    return change.path


def _is_dir(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == Kind.DIR


def _within(directory: Directory, prefix: bytes) -> Iterator[tuple[bytes, Entry]]:
    """All paths beneath a directory, without itself."""
    for path, entry in walk(directory):
        if path:
            yield join(prefix, path), entry


def normalize(layer: Node, base: Directory | None) -> Normalized:
    """Take out of a scanned layer what is no change against ``base``; both stay as they are.

    An entry that was copied up is unchanged when all of it but its links equals the one below and
    its links are a subset of those below (so a link that copying up broke counts for nothing).
    Nothing is taken out beneath an opaque directory, since there nothing shows through; a directory
    stays opaque while something would show through without the mark.
    """
    work = _Normalizer(layer, base)
    work.survey()
    root = work.prune()
    found = [change for change in work.changes if change.old != change.new]
    if base is not None:
        for path, entry in survivors(base, root).items():
            found.append(Change(path, find_entry(base, path), entry))
    return Normalized(root, sorted(found, key=_path), work.drops, work.unopaque)


def _shows(base: Directory, layer: Node) -> bool:
    """Whether anything of ``base`` would show if ``layer``, which lies over it, were not opaque."""
    stack = [(base, layer)]
    while stack:
        lower, upper = stack.pop()
        for name in lower.names():
            child = (upper.children or {}).get(name)
            if child is None:
                return True
            if child.entry.kind == Kind.DIR and not child.entry.opaque:
                below = lower.directory(name)
                if below is not None:
                    stack.append((below, child))
    return False


class _Place:
    """A directory of the layer with what is below it.

    ``base`` is what shows through (None beneath an opaque directory or where nothing is below),
    ``before`` what was at this path, whether it shows through or not.
    """

    __slots__ = ("base", "before", "name", "node", "parent", "path", "result")

    def __init__(
        self,
        path: bytes,
        node: Node,
        base: Directory | None,
        before: Directory | None,
        parent: _Place | None,
    ) -> None:
        self.path = path
        self.node = node
        self.base = base
        self.before = before
        self.parent = parent
        self.name = path.rpartition(b"/")[2]
        self.result = Node(node.entry)


class _Normalizer:
    def __init__(self, layer: Node, base: Directory | None) -> None:
        self.layer = layer
        self.base = base
        self.places: list[_Place] = []
        self.changes: list[Change] = []
        self.drops: list[bytes] = []
        self.unopaque: list[bytes] = []
        # Paths that may go, being equal to what is below; `prune` takes whole sets of links only.
        self.unchanged: set[bytes] = set()

    def survey(self) -> None:
        """Visit every directory of the layer, parents first."""
        if self.base is None or self.base.entry != self.layer.entry.plain():
            old = None if self.base is None else self.base.entry
            self.changes.append(Change(b"", old, self.layer.entry.plain()))
        stack = [_Place(b"", self.layer, self.base, self.base, None)]
        while stack:
            place = stack.pop()
            self.places.append(place)
            if place.node.entry.opaque:
                self._opaque(place)
            if place.base is None and place.before is not None:
                for name in place.before.names():
                    if name not in (place.node.children or {}):
                        self._deleted(join(place.path, name), place.before, name)
            for name, child in (place.node.children or {}).items():
                below = self._visit(place, name, child)
                if below is not None:
                    stack.append(below)

    def _opaque(self, place: _Place) -> None:
        """Decide about an opaque mark; the root's means nothing to overlayfs."""
        if place.parent is None or place.base is None or not _shows(place.base, place.node):
            place.result.entry = place.node.entry.plain()
            self.unopaque.append(place.path)
        else:
            place.base = None

    def _deleted(
        self, path: bytes, parent: Directory, name: bytes, new: Entry | None = None
    ) -> None:
        """Note that what was at a path is gone, or is something else now, with all beneath it."""
        old = parent.lookup(name)
        self.changes.append(Change(path, old, new))
        below = parent.directory(name) if _is_dir(old) else None
        if below is not None:
            self.changes.extend(Change(p, e, None) for p, e in _within(below, path))

    def _visit(self, place: _Place, name: bytes, child: Node) -> _Place | None:
        """Compare one name with what is below it; a directory is returned, to be visited later."""
        path = join(place.path, name)
        old = place.before.lookup(name) if place.before is not None else None
        lower = place.base.lookup(name) if place.base is not None else None
        kind = child.entry.kind
        if kind == Kind.WHITEOUT:
            if lower is None:
                self.unchanged.add(path)
            if old is not None and place.before is not None:
                self._deleted(path, place.before, name)
            return None
        if kind == Kind.DIR:
            self.changes.append(Change(path, old, child.entry.plain()))
            base = place.base.directory(name) if place.base is not None and _is_dir(lower) else None
            before = place.before
            before = before.directory(name) if before is not None and _is_dir(old) else None
            return _Place(path, child, base, before, place)
        if lower is not None and lower.kind == kind and child.entry.same_but_links(lower):
            ours = members(self.layer, path, child.entry)
            theirs = members(self.base, path, lower) if self.base is not None else ()
            if len(ours) == 1 or set(ours) <= set(theirs):
                self.unchanged.add(path)
                return None
        if _is_dir(old) and place.before is not None:
            self._deleted(path, place.before, name, child.entry)
        else:
            self.changes.append(Change(path, old, child.entry))
        return None

    def prune(self) -> Node:
        """Build the tree that stays, children first, and list what goes."""
        for path in sorted(self.unchanged):
            node = self.layer.find(path)
            if node is not None and node.entry.hardlinks and path in self.unchanged:
                self._keep_whole_sets(path, node.entry)
        for place in reversed(self.places):
            kept = place.result.children
            assert kept is not None
            for name, child in (place.node.children or {}).items():
                path = join(place.path, name)
                if child.entry.kind == Kind.DIR:
                    continue
                if path in self.unchanged:
                    self.drops.append(path)
                else:
                    kept[name] = child
            self._settle_directory(place)
        return self.places[0].result

    def _keep_whole_sets(self, path: bytes, entry: Entry) -> None:
        """Keep all of a set of links of which one must stay, being beneath an opaque directory."""
        paths = members(self.layer, path, entry)
        if all(member in self.unchanged for member in paths):
            return
        for member in paths:
            if member in self.unchanged:
                self.unchanged.remove(member)
                node = self.layer.find(member)
                old = find_entry(self.base, member) if self.base is not None else None
                self.changes.append(Change(member, old, node.entry if node else None))

    def _settle_directory(self, place: _Place) -> None:
        """Hang a finished directory into its parent, unless it says nothing."""
        if place.parent is None:
            return
        lower = place.parent.base
        below = lower.lookup(place.name) if lower is not None else None
        if place.result.children or place.result.entry != below:
            assert place.parent.result.children is not None
            place.parent.result.children[place.name] = place.result
        else:
            self.drops.append(place.path)


def difference(old: Directory | None, new: Directory | None) -> Node:
    """The layer that turns ``old`` into ``new``; where ``new`` is None, an empty root is meant."""
    return _Difference(old, new if new is not None else Node(Entry(Kind.DIR, 0o755))).layer()


class _Difference:
    def __init__(self, old: Directory | None, new: Directory) -> None:
        self.old = old
        self.new = new
        self.root = Node(new.entry)
        # Paths, no directories: of the old tree that the layer hides or replaces, and of the layer.
        self.hidden: set[bytes] = set()
        self.inside: set[bytes] = set()
        # Members of the sets of hard links that something happens to.
        self.affected: set[bytes] = set()
        # Directories that exist on both sides, parents first, to be taken out if they say nothing.
        self.common: list[tuple[Node, bytes, Entry]] = []

    def layer(self) -> Node:
        stack: list[tuple[bytes, Directory | None, Directory, Node]]
        stack = [(b"", self.old, self.new, self.root)]
        while stack:
            path, before, after, node = stack.pop()
            children = node.children
            assert children is not None
            for name in unlike(before, after):
                here = join(path, name)
                old = before.lookup(name) if before is not None else None
                new = after.lookup(name)
                below = before.directory(name) if before is not None and _is_dir(old) else None
                if new is None or not _is_dir(new):
                    self._leaf(here, name, children, old, new, below)
                    continue
                inner = after.directory(name)
                if inner is None or (below is not None and identical(below, inner)):
                    continue
                child = children[name] = Node(new)
                if below is not None and old is not None:
                    if self._disjoint(below, inner):
                        child.entry = Entry(
                            Kind.DIR, new.mode, new.uid, new.gid, xattrs=new.xattrs, opaque=True
                        )
                        self._hide(below, here)
                        below = None
                    self.common.append((node, name, old))
                elif old is not None:
                    self._touch(self.old, here, old)
                stack.append((here, below, inner, child))
        self._close_links()
        for parent, name, entry in reversed(self.common):
            node = (parent.children or {})[name]
            if not node.children and node.entry == entry:
                del (parent.children or {})[name]
        return self.root

    def _leaf(
        self,
        path: bytes,
        name: bytes,
        children: dict[bytes, Node],
        old: Entry | None,
        new: Entry | None,
        below: Directory | None,
    ) -> None:
        """A name that is no directory in the new tree, or not there at all."""
        if old == new:
            return
        if below is not None:
            self._hide(below, path)
        if new is None:
            children[name] = Node(Entry(Kind.WHITEOUT))
            if old is not None and below is None:
                self._touch(self.old, path, old)
            return
        self.affected.update(members(self.new, path, new))
        if old is not None and not _is_dir(old):
            if old.same_but_links(new):
                assert self.old is not None
                self.affected.update(members(self.old, path, old))
                return
            self._touch(self.old, path, old)
        self.inside.add(path)
        children[name] = Node(new)

    @staticmethod
    def _disjoint(below: Directory, inner: Directory) -> bool:
        """Whether nothing of an old directory is left, so that one mark says it for all names."""
        names = set(below.names())
        return bool(names) and names.isdisjoint(inner.names())

    def _touch(self, root: Directory | None, path: bytes, entry: Entry) -> None:
        self.hidden.add(path)
        if entry.hardlinks and root is not None:
            self.affected.update(members(root, path, entry))

    def _hide(self, directory: Directory, prefix: bytes) -> None:
        for path, entry in leaves(directory, prefix):
            self._touch(self.old, path, entry)

    def _close_links(self) -> None:
        """Take whole sets of hard links into the layer where parts of them would not come true."""
        done: set[bytes] = set()
        for path in sorted(self.affected):
            entry = find_entry(self.new, path)
            if path in done or entry is None or entry.kind == Kind.DIR:
                continue
            paths = members(self.new, path, entry)
            done.update(paths)
            if any(member in self.inside for member in paths) or not self._survives(paths):
                for member in paths:
                    self._include(member)

    def _survives(self, paths: tuple[bytes, ...]) -> bool:
        """Whether a set that the layer leaves alone shows as it should, by `links.survivors`."""
        for path in paths:
            old = find_entry(self.old, path) if self.old is not None else None
            if old is None or self.old is None:
                return False
            left = [p for p in members(self.old, path, old) if p not in self.hidden]
            if set(left) != set(paths):
                return False
        return True

    def _include(self, path: bytes) -> None:
        """Put a path into the layer, with the directories on its way."""
        if path in self.inside:
            return
        entry = find_entry(self.new, path)
        if entry is None:
            return
        node, directory, done = self.root, self.new, b""
        *above, last = path.split(b"/")
        for name in above:
            below = directory.directory(name)
            if below is None:
                return
            children = node.children
            assert children is not None
            done = join(done, name)
            if name not in children:
                children[name] = Node(below.entry)
            node, directory = children[name], below
        assert node.children is not None
        node.children[last] = Node(entry)
        self.inside.add(path)
        self.hidden.add(path)
