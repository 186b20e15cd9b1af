# SPDX-License-Identifier: Apache-2.0
"""Which objects resemble each other, so that packs can hold one as a delta against another.

Nothing is searched: an older version of a tree or pointer resembles the one that took its place,
and pointers of one directory share owner, mode and often their time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from envgit.repo import delta
from envgit.repo.commits import LAYER
from envgit.repo.pack import TREE, PackWriter

_ANY_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_SUBMODULE = b"160000"
_TREE_MODE = b"40000"
# git's own limit when it makes chains of deltas is 50.
_MAX_CHAIN = 40

AnyTree = dict[bytes, tuple[bool, bytes]]


@dataclass(slots=True)
class Related:
    """``objects``: 20-byte id -> kind, newest first. ``bases``: of two objects that resemble each
    other, the one that should be a delta -> the other, without circles and long chains."""

    objects: dict[bytes, int] = field(default_factory=dict)
    bases: dict[bytes, bytes] = field(default_factory=dict)

    def pair(self, old: bytes, new: bytes) -> None:
        """Let ``old`` be a delta against ``new``, if it is none yet and no chain gets too long."""
        if old == new or old in self.bases:
            return
        depth, at = 1, new
        while at in self.bases:
            at = self.bases[at]
            depth += 1
            if at == old or depth > _MAX_CHAIN:
                return  # a state that came back would make a circle
        self.bases[old] = new

    def pair_versions(
        self,
        old: bytes,
        new: bytes,
        read: Callable[[bytes], bytes | None],
        within: Container[bytes] | None = None,
    ) -> None:
        """Pair two versions of a commit's tree, and what both have under one name.

        ``read`` gives the bytes of a tree, or None for one to be left out; only pairs ``within``
        these objects are made.
        """
        stack = [(old, new, True)]
        while stack:
            old, new, top = stack.pop()
            if old == new or (before := read(old)) is None or (after := read(new)) is None:
                continue
            if not top:
                self.pair(old, new)
            entries = parse_any_tree(before)
            for name, (is_tree, newer) in parse_any_tree(after).items():
                older = entries.get(name)
                # A layer has nothing to do with the layer before it.
                if older is None or older[1] == newer or (top and name == LAYER):
                    continue
                if is_tree and older[0]:
                    stack.append((older[1], newer, False))
                elif is_tree == older[0] and (
                    within is None or (older[1] in within and newer in within)
                ):
                    self.pair(older[1], newer)

    def write(
        self, writer: PackWriter, read: Callable[[bytes], bytes], but: Container[bytes] = ()
    ) -> None:
        """Write the objects ``but`` these into a pack, with deltas where they save something."""
        offsets: dict[bytes, int] = {}
        for binary in self._bases_first():
            if binary in but:
                continue
            kind, base = self.objects[binary], self.bases.get(binary)
            change = None
            if base is not None and base in offsets:
                change = delta.between(read(base), read(binary), is_tree=kind == TREE)
            if base is not None and change is not None:
                offsets[binary] = writer.add_delta(binary, offsets[base], change)
            else:
                offsets[binary] = writer.add(binary, kind, read(binary))

    def _bases_first(self) -> Iterator[bytes]:
        done: set[bytes] = set()
        for first in self.objects:
            chain = [first]
            while chain[-1] not in done and chain[-1] in self.bases:
                chain.append(self.bases[chain[-1]])
            for binary in reversed(chain):
                if binary not in done:
                    done.add(binary)
                    yield binary


def parse_any_tree(data: bytes) -> AnyTree:
    """A tree that anybody may have written; submodules are left out, being in no pack."""
    return {
        name: (mode == _TREE_MODE, oid)
        for mode, name, oid in _ANY_ENTRY.findall(data)
        if mode != _SUBMODULE
    }
