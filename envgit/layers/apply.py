# SPDX-License-Identifier: Apache-2.0
"""What a layer over a base means, without mounting anything: the root filesystem after a commit.

This is overlayfs's rule as a value: a name in the layer wins, whiteouts hide, opaque directories
hide everything below, directories merge, and whatever is no directory ends the merging. Law:
``apply(old, difference(old, new))`` equals ``new``.
"""

from __future__ import annotations

from collections.abc import Iterable

from envgit.layers.entry import Directory, Entry, Kind, Node, join, read_tree
from envgit.layers.links import survivors


class Applied:
    """A `Directory`: a layer over a base, read only where it is looked at."""

    __slots__ = ("_base", "_layer", "_path", "_survivors")

    def __init__(
        self, base: Directory | None, layer: Node | None, survivors: dict[bytes, Entry], path: bytes
    ) -> None:
        self._base = base
        self._layer = layer
        self._survivors = survivors
        self._path = path

    @property
    def entry(self) -> Entry:
        if self._layer is not None:
            return self._layer.entry.plain()
        assert self._base is not None
        return self._base.entry

    @property
    def identity(self) -> object:
        """The base's identity where nothing of it changes; else an object equal to no other."""
        if self._layer is None and not self._below(self._path):
            return getattr(self._base, "identity", None) or self
        return self

    def names(self) -> Iterable[bytes]:
        children = (self._layer.children or {}) if self._layer is not None else {}
        for name in self._base.names() if self._base is not None else ():
            if name not in children:
                yield name
        for name, child in children.items():
            if child.entry.kind != Kind.WHITEOUT:
                yield name

    def lookup(self, name: bytes) -> Entry | None:
        child = self._child(name)
        if child is not None:
            return None if child.entry.kind == Kind.WHITEOUT else child.entry.plain()
        entry = self._base.lookup(name) if self._base is not None else None
        if entry is None or not entry.hardlinks:
            return entry
        return self._survivors.get(join(self._path, name), entry)

    def directory(self, name: bytes) -> Directory | None:
        path = join(self._path, name)
        child = self._child(name)
        if child is not None:
            if child.entry.kind != Kind.DIR:
                return None
            base = None
            if self._base is not None and not child.entry.opaque:
                base = self._base.directory(name)
            return Applied(base, child, self._survivors, path)
        below = self._base.directory(name) if self._base is not None else None
        if below is None or not self._below(path):
            return below
        return Applied(below, None, self._survivors, path)

    def unlike(self, other: object) -> list[bytes] | None:
        """The names that are not known to be the same in both; see `Directory`."""
        own = self._own_names()
        base = self._base
        if isinstance(other, Applied):
            own |= other._own_names()
            other = other._base
        if base is None or other is None:
            return None
        here = getattr(base, "identity", None)
        if here is not None and here == getattr(other, "identity", None):
            return list(own)
        told = base.unlike(other) if hasattr(base, "unlike") else None
        return None if told is None else list(own.union(told))

    def _own_names(self) -> set[bytes]:
        """The names that the layer has, or whose links it changes."""
        prefix = join(self._path, b"")
        start = len(prefix)
        names = set(self._layer.children or ()) if self._layer is not None else set()
        names.update(
            path[start:].partition(b"/")[0] for path in self._survivors if path.startswith(prefix)
        )
        return names

    def _child(self, name: bytes) -> Node | None:
        return None if self._layer is None else (self._layer.children or {}).get(name)

    def _below(self, path: bytes) -> bool:
        prefix = join(path, b"")
        return any(survivor.startswith(prefix) for survivor in self._survivors)


def overlaid(base: Directory | None, layer: Node) -> Directory:
    """The root filesystem that ``layer`` over ``base`` shows, read lazily."""
    return Applied(base, layer, survivors(base, layer), b"")


def apply(base: Directory | None, layer: Node) -> Node:
    """The same, whole and in memory."""
    return read_tree(overlaid(base, layer))
