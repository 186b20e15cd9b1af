# SPDX-License-Identifier: Apache-2.0
"""States composed of two trees of other managers than dpkg, judged by those managers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from envgit.layers.compare import changes
from envgit.layers.directory import build
from envgit.layers.entry import read_tree
from envgit.layers.scan import scan
from envgit.porcelain.foundation.merging import Side
from envgit.porcelain.foundation.packages.composing import Group, Split
from tests.support import labs
from tests.support.labs import Lab
from tests.support.pkglabs import others, pacmans, rpms

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


class Folder:
    """A directory of this machine as what opens the files of a state."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)

    def find(self, path: bytes) -> bytes | None:
        """Where a file is."""
        full = os.path.join(self.root, path)
        return full if os.path.lexists(full) else None

    def open(self, path: bytes) -> BinaryIO:
        """Open a file."""
        return open(os.path.join(self.root, path), "rb")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with labs.scratch(tmp_path) as top:
        yield labs.make(top)


def split_of(lab: Lab, old: Path, new: Path) -> Split:
    """From the one tree to the other."""
    sides = [
        Side(
            scan(os.fsencode(root), hashes=None, overlay=False).node,
            lambda root=root: Folder(root),  # type: ignore[misc]
            root.name,
        )
        for root in (old, new)
    ]
    return Split(lab.open(), sides[0], sides[1])


def composed(split: Split, chosen: list[Group], into: Path) -> Path:
    """Make a composed state a directory."""
    made = split.compose(chosen)
    into.mkdir()
    build(str(into), read_tree(made.tree), made.source)
    if made.scratch is not None:
        split.repository.store.delete_changes(made.scratch)
    return into


def check_laws(split: Split) -> None:
    """All of it is the one, nothing the other."""
    assert not changes(split.other.tree, split.compose(split.groups).tree)
    assert not changes(split.base.tree, split.compose([]).tree)


def every_third(split: Split) -> tuple[list[Group], dict[str, str]]:
    """Some groups, and the versions that are installed with them."""
    chosen = [
        one for number, one in enumerate(split.groups) if number % 3 == 0 and one.change is not None
    ]
    assert chosen
    return chosen, {one.name: one.version for one in split.installed(chosen)}


def upgraded(top: Path, install: Callable[[Path, str], None]) -> tuple[Path, Path]:
    """Two trees: versions 1.0 of the library, and then versions 2.0 of half of it."""
    old, new = top / "old", top / "new"
    old.mkdir()
    install(old, "*-1.0-1[.-]*")
    shutil.copytree(old, new, symlinks=True)
    install(new, "*-00[0-5]-2.0-1[.-]*")
    return old, new


@pytest.mark.peer("rpm")
def test_rpm(lab: Lab, tmp_path: Path) -> None:
    packages = rpms.built(rpms.library())
    old, new = upgraded(
        tmp_path, lambda root, names: rpms.install(root, sorted(packages.glob(names)))
    )
    rpms.rpm(new, "--erase", "lab-011")
    split = split_of(lab, old, new)
    check_laws(split)
    chosen, expected = every_third(split)
    made = composed(split, chosen, tmp_path / "made")
    said = rpms.rpm(made, "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\n").splitlines()
    assert dict(line.split() for line in said) == {
        name: version.partition(":")[2] or version for name, version in expected.items()
    }
    rpms.rpm(made, "-Va", "--nodeps", "--nomtime")
    rpms.rpm(made, "--verifydb")
    for name in ("lab-000", "lab-005"):  # the indexes lead to the right rows
        (version,) = rpms.rpm(
            made, "-qf", "--qf", "%{VERSION}", f"/usr/share/lab/{name[4:]}"
        ).split()
        assert expected[name].startswith(version)


@pytest.mark.peer("pacman")
def test_pacman(lab: Lab, tmp_path: Path) -> None:
    packages = pacmans.built(pacmans.library())
    old, new = upgraded(
        tmp_path, lambda root, names: pacmans.install(root, sorted(packages.glob(names)))
    )
    pacmans.pacman(new, "-R", "lab-011")
    split = split_of(lab, old, new)
    check_laws(split)
    chosen, expected = every_third(split)
    made = composed(split, chosen, tmp_path / "made")
    said = pacmans.pacman(made, "-Q").splitlines()
    assert dict(line.split() for line in said) == expected
    pacmans.pacman(made, "-Dk")
    assert "0 missing files" in pacmans.pacman(made, "-Qk")


@pytest.mark.peer("npm")
def test_npm(lab: Lab, tmp_path: Path) -> None:
    packs, old, new = tmp_path / "packs", tmp_path / "old", tmp_path / "new"
    names = ("aa", "bb", "@lab/c")
    versions = {
        version: [others.npm_pack(packs, name, version, {}) for name in names]
        for version in ("1.0.0", "2.0.0")
    }
    others.npm(old / "srv/app", "install", *map(str, versions["1.0.0"]))
    shutil.copytree(old, new, symlinks=True)
    others.npm(new / "srv/app", "install", *map(str, versions["2.0.0"]))
    split = split_of(lab, old, new)
    check_laws(split)
    chosen = [one for one in split.groups if one.change and one.change.package.name == "bb"]
    made = composed(split, chosen, tmp_path / "made")
    assert others.npm_listed(made / "srv/app") == {
        "aa": {"1.0.0"},
        "bb": {"2.0.0"},
        "@lab/c": {"1.0.0"},
    }
    lock = (made / "srv/app/package-lock.json").read_text()
    assert "bb-2.0.0.tgz" in lock and "aa-1.0.0.tgz" in lock and "aa-2.0.0.tgz" not in lock
