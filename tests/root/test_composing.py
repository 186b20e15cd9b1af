# SPDX-License-Identifier: Apache-2.0
"""States composed of two real ones by package: laws on all of it, databases in agreement."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from envgit.layers.compare import changes
from envgit.layers.entry import Kind, find_entry
from envgit.packages.model import ABSENT
from envgit.porcelain.foundation.merging import Combined, Side, Sourced
from envgit.porcelain.foundation.packages import composing, inventories
from envgit.porcelain.foundation.packages.composing import Group, Split
from envgit.porcelain.foundation.packages.composition import is_shared
from envgit.porcelain.foundation.repository import Repository
from tests.support.pkglabs import debs, maintained, place
from tests.support.pkglabs.place import Environment

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


def _install(lab: Environment, *names: str, message: str) -> None:
    """Let dpkg install ``NAME_VERSION`` from the archive."""
    files = " ".join(f"/archive/{name}_all.deb" for name in names)
    lab.sh(f"dpkg -i {files} >/dev/null", message=message)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Two commits of which the second upgrades, installs and removes."""
    top = tmp_path_factory.mktemp("composing")
    made = place.debian(top, archive=debs.archive(maintained.library()))
    first = ("lib_1", "app_1", "conf_1", "watch_1", "div_1", "tool-a_1", "gone_1")
    _install(made, *first, message="first")
    script = (
        "dpkg --purge gone\nmkdir -p /srv/data; echo 1 > /srv/data/1; ln /srv/data/1 /srv/data/2\n"
        "echo hello >> /etc/motd\n"
    )
    files = " ".join(
        f"/archive/{name}_all.deb"
        for name in (
            "lib_2",
            "app_2",
            "conf_2",
            "watch_2",
            "div_2",
            "tool-a_2",
            "tool-b_1",
            "svc_1",
        )
    )
    made.sh(f"{script}dpkg -i {files} >/dev/null", message="second")
    yield made


@pytest.fixture(scope="module")
def split(lab: Environment) -> Split:
    """From the first to the second."""
    os.environ.update(lab.env)
    repository = Repository.open(str(lab.project))
    sides = [
        Side.of_commit(repository, repository.git.resolve(name), name)
        for name in ("HEAD~1", "HEAD")
    ]
    return Split(repository, sides[0], sides[1])


def named(split: Split, *names: str) -> list[Group]:
    """The groups of these packages."""
    return [one for one in split.groups if one.change and one.change.package.name in names]


def installed(split: Split, made: Combined) -> set[tuple[str, str]]:
    """What the databases of a composed state say."""
    inventory = inventories.of_tree(split.repository, made.tree, lambda: Sourced(made.source))
    assert not inventory.contents.problems
    return {
        (one.name, one.version) for one in inventory.contents.packages if one.state not in ABSENT
    }


def text(made: Combined, path: bytes) -> str:
    """A file of a composed state."""
    with Sourced(made.source).open(path) as file:
        return file.read().decode()


def discard(split: Split, made: Combined) -> None:
    if made.scratch is not None:
        split.repository.store.delete_changes(made.scratch)


def test_all_is_the_one_state_and_nothing_the_other(split: Split) -> None:
    everything = split.compose(split.groups)
    assert not changes(split.other.tree, everything.tree)
    assert everything.scratch is None
    nothing = composing.compose(split.repository, split.base, split.other, [])
    assert not changes(split.base.tree, nothing.tree)


def test_the_way_back_obeys_the_same_law(split: Split) -> None:
    back = Split(split.repository, split.other, split.base)
    assert not changes(split.base.tree, back.compose(back.groups).tree)
    assert not changes(split.other.tree, back.compose([]).tree)


@pytest.mark.parametrize("seed", range(12))
def test_any_choice_has_the_files_and_entries_of_what_was_chosen(split: Split, seed: int) -> None:
    dice = random.Random(seed)
    ways = [split, Split(split.repository, split.other, split.base)]
    way = ways[seed % 2]
    chosen = [one for one in way.groups if dice.random() < 0.5]
    made = way.compose(chosen)
    try:
        expected = {
            (one.name, one.version) for one in way.installed(chosen) if one.state not in ABSENT
        }
        assert installed(way, made) == expected
        for group in way.groups:
            tree = way.other.tree if group in chosen else way.base.tree
            assert tree is not None
            for path in group.paths:
                if path.startswith((b"etc/alternatives/", b"usr/bin/tool", b"usr/share/man")):
                    continue  # links follow what there is to choose from
                if not path.startswith((b"etc/passwd", b"etc/shadow", b"etc/group", b"etc/gsh")):
                    one, other = find_entry(tree, path), find_entry(made.tree, path)
                    assert one == other, (group.title, path)
        check_alternative(made)
    finally:
        discard(way, made)


def check_alternative(made: Combined) -> None:
    """The links lead to something that is there, and to the best of it."""
    there = [
        name for name in (b"b", b"a") if find_entry(made.tree, b"usr/bin/tool-" + name) is not None
    ]
    link = find_entry(made.tree, b"etc/alternatives/tool")
    page = find_entry(made.tree, b"etc/alternatives/tool.1")
    if not there:
        assert link is None and page is None
        assert find_entry(made.tree, b"usr/bin/tool") is None
        return
    assert link is not None and link.target == b"/usr/bin/tool-" + there[0]
    assert page is not None and page.target == b"/usr/share/man/man1/tool-%b.1" % there[0]
    outer = find_entry(made.tree, b"usr/bin/tool")
    assert outer is not None and outer.target == b"/etc/alternatives/tool"


def test_a_service_brings_its_user_along_and_its_directory(split: Split) -> None:
    made = split.compose(named(split, "svc"))
    try:
        for path in (b"etc/passwd", b"etc/shadow", b"etc/group", b"etc/gshadow"):
            assert "\nsvc:" in text(made, path)
        folder = find_entry(made.tree, b"var/lib/svc/run")
        assert folder is not None and folder.kind == Kind.DIR and folder.uid
    finally:
        discard(split, made)


def test_a_directory_goes_with_the_last_of_what_is_in_it(split: Split) -> None:
    (gone,) = named(split, "gone")
    made = split.compose([gone])
    assert find_entry(made.tree, b"usr/share/gone") is None
    kept = [path for path in gone.paths if path != b"usr/share/gone/deep/y"]
    partly = split.compose([], kept)
    assert find_entry(partly.tree, b"usr/share/gone/deep/y") is not None
    assert find_entry(partly.tree, b"usr/share/gone/x") is None
    for one in (made, partly):
        discard(split, one)


def test_hard_links_stay_links(split: Split) -> None:
    (data,) = [one for one in split.groups if one.title == "srv/data/"]
    made = split.compose([data])
    entry = find_entry(made.tree, b"srv/data/1")
    assert entry is not None and entry.hardlinks == (b"srv/data/2",)


def test_dependencies_come_first_and_what_breaks_is_told(split: Split) -> None:
    titles = [one.title for one in split.groups]
    assert titles.index("apt: lib 1 -> 2") < titles.index("apt: app 1 -> 2")
    assert "etc/motd" in titles
    broken = split.unsatisfied(named(split, "lib"))
    assert [(one.package.name, one.relation) for one in broken] == [("app", "lib (= 1)")]
    assert split.unsatisfied(named(split, "lib", "app")) == []


def test_composing_reads_no_file_but_shared_databases(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def noting(files: object, original: object) -> None:
        def reading(path: bytes, limit: int = 1 << 30) -> bytes:
            read.append(path)
            return original(path, limit)  # type: ignore[operator,no-any-return]

        monkeypatch.setattr(files, "read", reading, raising=False)

    groups: Sequence[Group] = split.groups
    for side in (split.old, split.new):
        noting(side.files, side.files.read)
    discard(split, split.compose(groups[::2]))
    assert {path for path in read if not is_shared(path)} <= {
        b"etc/passwd",
        b"etc/shadow",
        b"etc/group",
        b"etc/gshadow",
    }


def test_the_cost_follows_what_differs(split: Split) -> None:
    assert sum(len(one.paths) for one in split.groups) < 200
    assert Path(split.repository.store.path).exists()
