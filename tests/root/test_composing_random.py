# SPDX-License-Identifier: Apache-2.0
"""The laws of composed states on made-up ones, with every choice of what differs between them."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from envgit.layers.compare import changes
from envgit.layers.entry import find_entry
from envgit.packages.model import ABSENT
from envgit.porcelain.foundation.merging import Combined, Side
from envgit.porcelain.foundation.packages import inventories
from envgit.porcelain.foundation.packages.composing import Split
from envgit.porcelain.foundation.packages.composition import is_shared
from tests.support import labs
from tests.support.debiantrees import debian
from tests.support.installed import MemoryFiles
from tests.support.labs import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

PATHS = [
    *("usr/bin/a", "usr/bin/b", "usr/lib/python3/x.py", "usr/lib/deep/one/y", "usr/lib/deep/two"),
    *("usr/lib/python3/__pycache__/x.cpython-311.pyc", "etc/a.conf", "opt/v/t/x", "srv/d/1"),
    *("srv/d/2", "var/log/a.log", "var/cache/apt/x", "usr/lib/deep", "opt/v"),
]


class Memory:
    """The files of a made-up state, which lie nowhere."""

    def __init__(self, files: MemoryFiles) -> None:
        self.files = files

    def find(self, path: bytes) -> bytes | None:
        return b"/" + path if path in self.files.files else None

    def open(self, path: bytes) -> BinaryIO:
        if path not in self.files.files:
            raise FileNotFoundError(os.fsdecode(path))
        return io.BytesIO(self.files.files[path])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with labs.scratch(tmp_path_factory.mktemp("random")) as top:
        yield labs.make(top)


def made_up(dice: random.Random) -> MemoryFiles:
    """A state with some packages and files; no path lies beneath another that is a file."""
    paths = [path for path in PATHS if dice.random() < 0.6]
    paths = [path for path in paths if not any(one.startswith(f"{path}/") for one in paths)]
    packages = {}
    for name in ("p", "q", "r", "s"):
        if dice.random() < 0.7:
            listed = [path for path in paths if dice.random() < 0.3]
            packages[name] = (dice.choice("12"), listed)
    more = {path: dice.choice("xy") for path in paths if dice.random() < 0.5}
    folders = tuple(
        folder
        for folder in ("var/lib/e", "usr/share/e/f")
        if dice.random() < 0.4 and not any(path.startswith(folder) for path in paths)
    )
    return debian(packages, more, folders=folders)


def text(made: Combined, files: tuple[MemoryFiles, MemoryFiles], path: bytes) -> bytes:
    """A file of a composed state, wherever it is from."""
    place = made.source(path)
    if place is None or find_entry(made.tree, path) is None:
        raise FileNotFoundError(os.fsdecode(path))
    if place != b"/" + path:
        return Path(os.fsdecode(place)).read_bytes()
    entry = find_entry(made.tree, path)
    return next(
        side.files[path]
        for side in files
        if path in side.files and find_entry(side.tree, path) == entry
    )


@pytest.mark.parametrize("seed", range(40))
def test_made_up_states(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    old, new = made_up(dice), made_up(dice)
    sides = [Side(one.tree, lambda one=one: Memory(one), "side") for one in (old, new)]  # type: ignore[misc]
    split = Split(lab.open(), sides[0], sides[1])
    assert not changes(new.tree, split.compose(split.groups).tree)
    assert not changes(old.tree, split.compose([]).tree)
    for _ in range(4):
        chosen = [one for one in split.groups if dice.random() < 0.5]
        made = split.compose(chosen)

        class Read:
            """The composed state, as readers of packages want it."""

            tree = made.tree

            def find(self, path: bytes) -> bytes | None:
                return path

            def open(self, path: bytes) -> BinaryIO:
                return io.BytesIO(text(made, (old, new), path))  # noqa: B023

        inventory = inventories.of_tree(split.repository, made.tree, lambda: Read())
        says = {(one.name, one.version) for one in inventory.contents.packages}
        assert says == {
            (one.name, one.version) for one in split.installed(chosen) if one.state not in ABSENT
        }
        taken = {path for one in chosen for path in one.paths}
        gone = {one.path for one in split.changed if one.new is None}
        left = [one for one in split.groups if one.change is not None and one not in chosen]
        taken -= {path for one in left for path in one.paths if path in gone}
        for change in split.changed:
            if change.path in split.assigned.implied or is_shared(change.path):
                continue
            blocked = any(
                change.path.startswith(one.path + b"/") for one in split.changed if one != change
            ) or any(one.path.startswith(change.path + b"/") for one in split.changed)
            if not blocked:  # a file in the place of a directory is taken with all of it, or not
                wanted = change.new if change.path in taken else change.old
                assert find_entry(made.tree, change.path) == wanted
        if made.scratch is not None:
            split.repository.store.delete_changes(made.scratch)
