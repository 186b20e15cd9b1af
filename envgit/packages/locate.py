# SPDX-License-Identifier: Apache-2.0
"""Finds the units of all package databases in a tree, or those that two trees do not share."""

from __future__ import annotations

from envgit.layers.compare import identical, unlike
from envgit.layers.entry import Directory, join
from envgit.packages.managers import managers
from envgit.packages.model import Unit

_DEEPEST = 256
"""Directories below one another; deeper is nobody's installation but a trap for recursion."""


def units(tree: Directory) -> list[Unit]:
    """Every unit in ``tree``, by path. Looks at directories and names, and reads no file."""
    return sorted(set(differing(None, tree)[1]), key=by_path)


def differing(old: Directory | None, new: Directory | None) -> tuple[list[Unit], list[Unit]]:
    """The units of ``old`` that ``new`` lacks or has otherwise, and the other way round.

    Costs what differs: directories known to be the same are not looked into.
    """
    known = managers()
    found: tuple[set[Unit], set[Unit]] = (set(), set())
    stack: list[tuple[bytes, Directory | None, Directory | None]] = [(b"", old, new)]
    while stack:
        path, one, other = stack.pop()
        if one is not None and other is not None and identical(one, other):
            continue
        sides = []
        for directory, units_there in zip((one, other), found, strict=True):
            names = set(directory.names()) if directory is not None else set()
            sides.append(names)
            if directory is not None:
                for manager in known:
                    units_there.update(manager.units(path, directory, names))
        if path.count(b"/") >= _DEEPEST:
            continue
        for name in unlike(one, other):
            below = one.directory(name) if one is not None and name in sides[0] else None
            inner = other.directory(name) if other is not None and name in sides[1] else None
            if below is not None or inner is not None:
                stack.append((join(path, name), below, inner))
    gone, come = found[0] - found[1], found[1] - found[0]
    return sorted(gone, key=by_path), sorted(come, key=by_path)


def by_path(unit: Unit) -> tuple[bytes, str]:
    """The key by which units are in order."""
    return unit.path, unit.manager
