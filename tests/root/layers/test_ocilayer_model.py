# SPDX-License-Identifier: Apache-2.0
"""Random layers against the rules of the OCI image spec, said once more in the plainest way."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from envgit.fs import durable
from envgit.layers.apply import apply
from envgit.layers.compare import normalize
from envgit.layers.decompression import ArchiveError
from envgit.layers.directory import settle, verify
from envgit.layers.entry import walk
from envgit.layers.scan import scan
from tests.support.layertars import DIR, LINK, Member, Stack, archive, member

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay", "mknod", "trusted_xattr")]

NAMES = ("a", "b", "c")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
STEPS = st.one_of(
    st.tuples(st.just("file"), PATHS),
    st.tuples(st.just("dir"), PATHS),
    st.tuples(st.just("whiteout"), PATHS),
    st.tuples(st.just("opaque"), PATHS),
    st.tuples(st.just("link"), PATHS, PATHS),
)
Step = tuple[str, ...]
Tree = dict[str, str]


def above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


class Refused(Exception):
    """The model says that the layer cannot be."""


class Model:
    """One layer over a tree: what it has, and what it hides of below."""

    def __init__(self, lower: Tree) -> None:
        self.lower = lower
        self.own: Tree = {}
        self.hidden: set[str] = set()  # with all beneath
        self.opaque: set[str] = set()  # all beneath, not itself

    def visible(self, path: str) -> bool:
        """Whether below shows at a path, this layer's own entries apart."""
        return path in self.lower and not (
            self.hidden.intersection([path, *above(path)]) or self.opaque.intersection(above(path))
        )

    def shows(self, path: str) -> str | None:
        if path in self.own:
            return self.own[path]
        if any(self.own.get(parent, "dir") != "dir" for parent in above(path)):
            return None
        return self.lower[path] if self.visible(path) else None

    def put(self, path: str, what: str) -> None:
        for parent in above(path):
            if self.own.setdefault(parent, "dir") != "dir":
                raise Refused
        old = self.own.get(path)
        if what == "dir":
            if old not in (None, "dir"):
                self.hidden.add(path)
        else:
            for inner in [p for p in self.own if path in above(p)]:
                del self.own[inner]
            self.hidden.add(path)
        self.own[path] = what

    def run(self, steps: list[Step]) -> Tree:
        for number, (verb, path, *rest) in enumerate(steps):
            if verb == "file":
                self.put(path, f"= {number}")
            elif verb == "dir":
                self.put(path, "dir")
            elif verb == "whiteout":
                if all(self.own.get(parent, "dir") == "dir" for parent in above(path)):
                    self.hidden.add(path)
            elif verb == "opaque":
                if all(self.own.get(p, "dir") == "dir" for p in [*above(path), path]):
                    self.opaque.add(path)
            else:
                self.link(path, rest[0])
        found: Tree = {}
        for path in sorted({*self.own, *self.lower}):
            what = self.shows(path)
            parents = [found.get(parent) for parent in above(path)]
            if what is not None and all(parent == "dir" for parent in parents):
                found[path] = what
        return found

    def link(self, path: str, target: str) -> None:
        if any(self.own.get(p, "dir") != "dir" for p in [*above(path), *above(target)]):
            raise Refused
        what = self.shows(target)
        if what in (None, "dir") or path in above(target):
            raise Refused
        if path != target:
            assert what is not None
            self.put(path, what)


def members(steps: list[Step]) -> Iterator[Member]:
    for number, (verb, path, *rest) in enumerate(steps):
        parent, _, name = path.rpartition("/")
        prefix = f"{parent}/" if parent else ""
        if verb == "file":
            yield member(path, data=str(number).encode())
        elif verb == "dir":
            yield member(path, DIR)
        elif verb == "whiteout":
            yield member(f"{prefix}.wh.{name}")
        elif verb == "opaque":
            yield member(f"{path}/.wh..wh..opq")
        else:
            yield member(path, LINK, linkname=rest[0])


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    durable.remove_tree(str(tmp_path / "model"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(STEPS.filter(lambda step: step[0] in ("file", "dir")), max_size=6),
    st.lists(STEPS, max_size=8),
)
def test_random_layers(scratch: Path, base: list[Step], steps: list[Step]) -> None:
    try:
        lower = Model({}).run(base)
    except Refused:
        assume(False)
    place = scratch / "model"
    if place.exists():
        durable.remove_tree(str(place))
    place.mkdir()
    stack = Stack(place)
    stack.add(archive(*members(base)))
    assert stack.shows() == lower
    below = stack.rootfs
    model = Model(lower)
    try:
        expected = model.run(steps)
    except Refused:
        with pytest.raises(ArchiveError):
            stack.add(archive(*members(steps)))
        return
    stack.add(archive(*members(steps)))
    assert stack.shows() == expected
    # And it is a layer as any other: freed of what is no change it is on disk what it says.
    normalized = normalize(stack.top, below)
    settle(stack.dirs[0], normalized)
    assert list(verify(stack.dirs[0], normalized.layer, content=True)) == []
    assert [p for p, _ in walk(apply(below, normalized.layer))][1:] == [
        os.fsencode(p) for p in sorted(expected, key=lambda p: p.split("/"))
    ]
    assert scan(os.fsencode(stack.dirs[0]), overlay=True).node == normalized.layer
    assert io.BytesIO(archive()).read(512) == bytes(512)
