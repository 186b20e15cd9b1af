# SPDX-License-Identifier: Apache-2.0
"""What became of packages, of made-up states of dpkg and pip: kinds, files, owners and cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.compare import changes
from envgit.layers.entry import Node
from envgit.packages.changes import PackageChange, compare, examine
from envgit.packages.inventory import Inventory
from envgit.packages.model import name_of
from tests.support.installed import MemoryFiles, inventory_of


class Remembering:
    """A cache in memory."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.values[key] = value


class Counted(MemoryFiles):
    """Files that tell which of them were read."""

    def __init__(self, files: dict[bytes, bytes]) -> None:
        super().__init__(files)
        self.asked: list[bytes] = []

    def read(self, path: bytes, limit: int = 1 << 30) -> bytes:
        self.asked.append(path)
        return super().read(path, limit)


@dataclass(frozen=True)
class Deb:
    """A package of dpkg and its files."""

    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"
    status: str = "install ok installed"
    size: int = 1


def debian(*packages: Deb, more: Mapping[str, str] | None = None, auto: str = "") -> Counted:
    """A root filesystem in which dpkg has installed these packages."""
    files = {name.encode(): text.encode() for name, text in (more or {}).items()}
    stanzas = []
    for one in packages:
        lines = [
            f"Package: {one.name}",
            f"Status: {one.status}",
            f"Architecture: {one.architecture}",
            f"Version: {one.version}",
            f"Installed-Size: {one.size}",
        ]
        if one.config:
            lines.append("Conffiles:")
            lines += [f" /{path} {_md5(text)}" for path, text in one.config.items()]
        stanzas.append("\n".join(lines) + "\n")
        there = {**one.files, **one.config}
        for path, text in there.items():
            files.setdefault(path.encode(), text.encode())
        info = f"var/lib/dpkg/info/{one.name}"
        files[f"{info}.list".encode()] = "".join(f"/{path}\n" for path in there).encode()
        sums = "".join(f"{_md5(text)}  {path}\n" for path, text in one.files.items())
        files[f"{info}.md5sums".encode()] = sums.encode()
    files[b"var/lib/dpkg/status"] = "\n".join(stanzas).encode()
    if auto:
        files[b"var/lib/apt/extended_states"] = (
            f"Package: {auto}\nArchitecture: amd64\nAuto-Installed: 1\n".encode()
        )
    return Counted(files)


def _itself(files: Counted) -> Counted:
    return files


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def touched(files: Counted, *paths: str, mode: int | None = None) -> Counted:
    """The same with other times, or another mode, of some paths."""
    assert isinstance(files.tree, Node)
    for path in paths:
        node = files.tree.find(path.encode())
        assert node is not None
        entry = node.entry
        node.entry = replace(entry, mtime=99) if mode is None else replace(entry, mode=mode)
    return files


def became(old: MemoryFiles, new: MemoryFiles) -> list[PackageChange]:
    """What `compare` finds, by way of nothing remembered."""
    one, other = (inventory_of(files) for files in (old, new))
    return compare(one, other, changes(old.tree, new.tree))


def said(old: MemoryFiles, new: MemoryFiles) -> list[tuple[str, str]]:
    """(kind, name) of each change."""
    return [(one.kind, one.package.name) for one in became(old, new)]


TOOL = Deb("tool", "1.0", {"usr/bin/tool": "tool"}, {"etc/tool.conf": "a=1\n"})
OTHER = Deb("other", "2.0", {"usr/bin/other": "other"})


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ((), (TOOL,), "added"),
        ((TOOL,), (), "removed"),
        ((TOOL,), (replace(TOOL, version="1.0-1"),), "upgraded"),
        ((TOOL,), (replace(TOOL, version="1.0~rc1"),), "downgraded"),
        ((TOOL,), (replace(TOOL, version="1:0.1"),), "upgraded"),
        ((replace(TOOL, version="9"),), (replace(TOOL, version="10"),), "upgraded"),
        ((TOOL,), (replace(TOOL, status="deinstall ok config-files"),), "removed"),
        ((replace(TOOL, status="deinstall ok config-files"),), (TOOL,), "added"),
        ((replace(TOOL, status="deinstall ok config-files"),), (), "changed"),
        ((TOOL,), (replace(TOOL, status="install ok half-configured"),), "changed"),
        ((TOOL,), (replace(TOOL, status="hold ok installed"),), "changed"),
        ((replace(TOOL, status="hold ok installed"),), (TOOL,), "changed"),
        ((TOOL,), (replace(TOOL, size=2),), "reinstalled"),
        ((TOOL,), (replace(TOOL, version="2", architecture="all"),), "upgraded"),
    ],
)
def test_records_say_what_became_of_a_package(
    old: tuple[Deb, ...], new: tuple[Deb, ...], kind: str
) -> None:
    assert said(debian(OTHER, *old), debian(OTHER, *new)) == [(kind, "tool")]


def test_nothing_became_of_what_is_as_it_was() -> None:
    assert said(debian(TOOL, OTHER), debian(OTHER, TOOL)) == []
    assert said(debian(TOOL), debian(TOOL, more={"tmp/x": "x"})) == []


def test_the_same_name_for_another_architecture_is_another_package() -> None:
    foreign = replace(TOOL, architecture="i386")
    assert said(debian(TOOL), debian(foreign)) == [("removed", "tool"), ("added", "tool")]
    both = became(debian(TOOL), debian(replace(TOOL, version="2"), replace(foreign, version="2")))
    assert [(one.kind, one.package.architecture) for one in both] == [
        ("upgraded", "amd64"),
        ("added", "i386"),
    ]


def test_several_versions_of_one_are_told_apart_by_what_stays() -> None:
    one, two, three = (_gem(version) for version in ("1", "2", "3"))
    assert said(MemoryFiles(one | two), MemoryFiles(two | three)) == [
        ("removed", "rake"),
        ("added", "rake"),
    ]
    assert said(MemoryFiles(one), MemoryFiles(one | two)) == [("added", "rake")]
    assert said(MemoryFiles(one), MemoryFiles(two)) == [("upgraded", "rake")]


def _gem(version: str) -> dict[bytes, bytes]:
    path = f"var/lib/gems/3.1.0/specifications/rake-{version}.gemspec".encode()
    text = (
        f'Gem::Specification.new do |s|\n  s.name = "rake".freeze\n  s.version = "{version}"\nend\n'
    )
    return {path: text.encode()}


def test_the_reason_alone_is_a_change() -> None:
    (one,) = became(debian(TOOL, auto="tool"), debian(TOOL))
    assert one.kind == "changed"
    assert (one.old and one.old.reason, one.new and one.new.reason) == ("automatic", "manual")


def test_sizes_are_what_the_manager_counts() -> None:
    (one,) = became(debian(TOOL), debian(replace(TOOL, version="2", size=13)))
    assert one.size == 12 * 1024
    (gone,) = became(debian(TOOL), debian(replace(TOOL, status="deinstall ok config-files")))
    assert gone.size == -1024


# -- files ----------------------------------------------------------------------------------------


def test_a_file_that_is_not_as_shipped_is_a_modification() -> None:
    (one,) = became(debian(TOOL), debian(TOOL, more={"usr/bin/tool": "patched"}))
    assert (one.kind, one.modified, one.config) == ("modified", (b"usr/bin/tool",), False)


def test_changed_configuration_is_said_as_such() -> None:
    (one,) = became(debian(TOOL), debian(TOOL, more={"etc/tool.conf": "a=2\n"}))
    assert (one.kind, one.modified, one.config) == ("modified", (b"etc/tool.conf",), True)
    both = {"etc/tool.conf": "a=2\n", "usr/bin/tool": "patched"}
    (one,) = became(debian(TOOL), debian(TOOL, more=both))
    assert (len(one.modified), one.config) == (2, False)


def test_a_missing_file_counts() -> None:
    new = debian(TOOL)
    del new.files[b"usr/bin/tool"]
    (one,) = became(debian(TOOL), MemoryFiles(new.files))
    assert (one.kind, one.modified) == ("modified", (b"usr/bin/tool",))


def test_what_is_repaired_is_installed_again() -> None:
    assert said(debian(TOOL, more={"usr/bin/tool": "patched"}), debian(TOOL)) == [
        ("reinstalled", "tool")
    ]


def test_a_new_mode_is_a_modification_and_a_new_time_is_nothing() -> None:
    assert said(debian(TOOL), touched(debian(TOOL), "usr/bin/tool", mode=0o600)) == [
        ("modified", "tool")
    ]
    assert said(debian(TOOL), touched(debian(TOOL), "usr/bin/tool")) == []


def test_a_record_that_was_written_again_is_a_reinstallation() -> None:
    again = touched(debian(TOOL), "usr/bin/tool", "var/lib/dpkg/info/tool.list")
    (one,) = became(debian(TOOL), again)
    assert one.kind == "reinstalled"
    assert one.paths == (b"usr/bin/tool", b"var/lib/dpkg/info/tool.list")


@pytest.mark.parametrize("gone", [["tool.list"], ["tool.md5sums"], ["tool.list", "tool.md5sums"]])
def test_a_record_that_is_gone_is_damage(gone: list[str]) -> None:
    new = debian(TOOL, OTHER)
    paths = [f"var/lib/dpkg/info/{name}".encode() for name in gone]
    for path in paths:
        del new.files[path]
    (one,) = became(debian(TOOL, OTHER), MemoryFiles(new.files))
    assert (one.kind, one.package.name, one.modified) == ("modified", "tool", tuple(paths))
    # Who installs it again writes another part of it.
    again = touched(Counted(new.files), "usr/bin/tool", "var/lib/dpkg/info/other.list")
    if len(gone) == 1:
        left = {"tool.list", "tool.md5sums"}.difference(gone).pop()
        again = touched(again, f"var/lib/dpkg/info/{left}")
        found = {name: kind for kind, name in said(debian(TOOL, OTHER), again)}
        assert found == {"tool": "reinstalled", "other": "reinstalled"}


def test_what_another_kind_of_record_says_is_no_news() -> None:
    modules, names = "srv/node_modules", ("a", "b")
    more = '"version": "1.0.0", "license": "MIT", "description": "of which no lockfile tells"'
    files = {f"{modules}/{name}/package.json": f'{{"name": "{name}", {more}}}' for name in names}
    entries = ", ".join(f'"node_modules/{name}": {{"version": "1.0.0"}}' for name in names)
    lock = {f"{modules}/.package-lock.json": f'{{"packages": {{{entries}}}}}'}
    locked, free, edited = (
        MemoryFiles({path.encode(): text.encode() for path, text in each.items()})
        for each in (files | lock, files, files | {f"{modules}/a/index.js": "1"})
    )
    assert said(locked, free) == said(free, locked) == []
    assert said(edited, locked) == [("modified", "a")]


def test_a_record_that_is_new_is_a_reinstallation() -> None:
    site = "usr/lib/python3/site-packages"
    told = "Name: a\nVersion: 1\nSummary: {}\n\n"
    old = {f"{site}/a-1.egg-info/PKG-INFO": told.format("eggs"), f"{site}/a.py": ""}
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    new = {
        f"{site}/a-1.dist-info/METADATA": told.format("wheels"),
        f"{site}/a-1.dist-info/RECORD": f"a.py,sha256={empty},0\na-1.dist-info/METADATA,,\n",
        f"{site}/a.py": "",
    }
    one, other = (
        MemoryFiles({path.encode(): text.encode() for path, text in each.items()})
        for each in (old, new)
    )
    assert said(one, other) == [("reinstalled", "a")]


def test_compiled_python_and_files_without_digests_do_not_count() -> None:
    plain = replace(TOOL, files={"usr/bin/tool": "tool", "usr/lib/t.pyc": "1"})
    assert said(debian(plain), debian(plain, more={"usr/lib/t.pyc": "2"})) == []
    old = debian(plain)
    listed = old.files[b"var/lib/dpkg/info/tool.list"] + b"/var/cache/tool\n"
    states = []
    for text in (b"1", b"2"):
        files = {**old.files, b"var/lib/dpkg/info/tool.list": listed, b"var/cache/tool": text}
        states.append(MemoryFiles(files))
    assert said(states[0], states[1]) == []


def test_the_files_of_what_changed_its_version_are_its_own() -> None:
    new = replace(TOOL, version="2", files={"usr/bin/tool": "new", "usr/bin/more": "more"})
    (one,) = became(debian(TOOL), debian(new))
    assert one.modified == ()
    assert one.paths == (
        b"usr/bin/more",
        b"usr/bin/tool",
        b"var/lib/dpkg/info/tool.list",
        b"var/lib/dpkg/info/tool.md5sums",
    )


def test_a_package_whose_name_is_spelt_in_another_way_is_the_same() -> None:
    # As MarkupSafe 3.0.2 and markupsafe 3.0.3.
    site = "usr/lib/python3/site-packages"

    def installed(name: str, version: str) -> MemoryFiles:
        record = f"{site}/{name}-{version}.dist-info"
        files = {
            f"{record}/METADATA": f"Name: {name}\nVersion: {version}\n\n",
            f"{record}/RECORD": f"thing.py,,\n{name}-{version}.dist-info/METADATA,,\n",
            f"{site}/thing.py": version,
        }
        return MemoryFiles({path.encode(): text.encode() for path, text in files.items()})

    old, new = installed("Mark_Safe", "3.0.2"), installed("mark-safe", "3.0.3")
    assert said(old, new) == [("upgraded", "mark-safe")]
    (change,) = became(old, new)
    assert {name_of(one) for one in change.sides} == {name_of(one.id) for one in change.sides}
    assert len({name_of(one) for one in change.sides}) == 1


def test_a_part_of_another_package_has_no_change_of_its_own() -> None:
    metadata = "Metadata-Version: 2.1\nName: part\nVersion: {}\n"
    where = "usr/lib/python3/dist-packages/part-{}.dist-info/METADATA"
    old = {where.format("1"): metadata.format("1")}
    new = {where.format("2"): metadata.format("2")}
    tool = replace(TOOL, files={**TOOL.files, **old})
    later = replace(TOOL, version="2", files={**TOOL.files, **new})
    assert said(debian(tool), debian(later)) == [("upgraded", "tool")]


def test_a_database_that_cannot_be_read_is_no_removal() -> None:
    old, broken = debian(TOOL), debian(TOOL, more={"usr/bin/tool": "x"})
    broken.files[b"var/lib/dpkg/status"] = b"\x00\xff" * 50
    new = MemoryFiles(broken.files)
    one, other = (inventory_of(files) for files in (old, new))
    for sides in ((one, other), (other, one)):
        found = examine(*sides, changes(sides[0].files.tree, sides[1].files.tree))
        assert [change.kind for change in found.changes] in ([], ["modified"])
        assert [problem.manager for problem in found.problems] == ["dpkg"]


def test_of_a_folder_with_an_unreadable_record_nothing_seems_to_go() -> None:
    site = b"opt/lib/python3.11/site-packages/"
    metadata = b"Metadata-Version: 2.1\nName: thing\nVersion: 1\n"
    record = b"thing.py,,\nthing-1.dist-info/METADATA,,\n"
    old = MemoryFiles(
        {
            site + b"thing-1.dist-info/METADATA": metadata,
            site + b"thing-1.dist-info/RECORD": record,
            site + b"thing.py": b"1",
        }
    )
    broken = site + b"thing-2.dist-info/METADATA"
    new = MemoryFiles({broken: metadata, site + b"thing.py": b"2"})
    del new.files[broken]
    one, other = inventory_of(old), inventory_of(new)
    found = examine(one, other, changes(old.tree, new.tree))
    assert found.changes == []
    assert [problem.manager for problem in found.problems] == ["pip"]


# -- laws and cost --------------------------------------------------------------------------------

STATES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.tuples(st.sampled_from(["1", "2", "10", "1:0"]), st.sampled_from(["x", "y"])),
).map(lambda found: tuple(Deb(name, v, {f"usr/{name}": text}) for name, (v, text) in found.items()))


@given(STATES, STATES)
def test_the_way_back_is_the_way_turned_round(old: tuple[Deb, ...], new: tuple[Deb, ...]) -> None:
    there, back = became(debian(*old), debian(*new)), became(debian(*new), debian(*old))
    versions = {"added", "removed", "upgraded", "downgraded"}
    turned = sorted(
        (one.kind, one.package.name) for change in there for one in [change.reversed()]
        if one.kind in versions
    )  # fmt: skip
    found = sorted((one.kind, one.package.name) for one in back if one.kind in versions)
    assert turned == found


@given(STATES, STATES, STATES)
def test_owners_told_from_a_neighbour_are_those_told_anew(
    one: tuple[Deb, ...], two: tuple[Deb, ...], three: tuple[Deb, ...]
) -> None:
    made = [debian(*packages) for packages in (one, two, three)]
    paths = [path for files in made for path in files.files]
    near: Inventory | None = None
    for files in made:
        here = inventory_of(files)
        if near is not None:
            here.follow(near)
        anew = inventory_of(files)
        assert here.owning(paths) == anew.owning(paths)
        few = paths[:3]
        assert here.owning(few) == {p: one for p, one in here.owning(paths).items() if p in few}
        near = here


def test_what_is_remembered_is_not_read_again() -> None:
    cache = Remembering()
    old, new = debian(TOOL, OTHER), debian(TOOL, OTHER, more={"tmp/x": "1"})
    for files in (old, new):
        one = Inventory(partial(_itself, old), cache, "old")
        other = Inventory(partial(_itself, files), cache, None)
        compare(one, other, changes(old.tree, new.tree))
        first, old.asked, new.asked = [*old.asked, *new.asked], [], []
    assert first == []


def test_only_manifests_that_are_in_question_are_read() -> None:
    old, new = debian(TOOL, OTHER), debian(replace(TOOL, version="2"), OTHER)
    one, other = (inventory_of(files) for files in (old, new))
    compare(one, other, changes(old.tree, new.tree))
    assert not [path for path in new.asked if b"other" in path]
