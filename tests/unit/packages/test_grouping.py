# SPDX-License-Identifier: Apache-2.0
"""Whose a changed path is: what managers list, what their scripts make, and what is somebody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.layers.compare import changes
from envgit.packages import grouping, noise
from envgit.packages.changes import compare
from envgit.packages.grouping import Assigned
from envgit.packages.order import ordered
from tests.support.debiantrees import debian
from tests.support.installed import MemoryFiles, inventory_of

SITE = "usr/local/lib/python3.11/site-packages"


def assigned(old: MemoryFiles, new: MemoryFiles) -> tuple[Assigned, dict[str, set[str]]]:
    """All of it, and the paths of each package by name."""
    before, after = inventory_of(old), inventory_of(new)
    changed = changes(old.tree, new.tree)
    packages = compare(before, after, changed)
    found = grouping.assign(
        changed, packages, before, after, is_shared=lambda path: path == b"var/lib/dpkg/status"
    )
    by_name = {
        one.package.name: {path.decode() for path in paths}
        for one, paths in zip(packages, found.packages, strict=True)
    }
    parts = [path for paths in found.packages for path in paths]
    parts += [path for _, paths in (*found.loose, *found.noise) for path in paths]
    parts += [*found.shared, *found.implied]
    assert sorted(parts) == [change.path for change in changed], "each path is in one part"
    return found, by_name


def test_a_package_has_its_files_and_its_records() -> None:
    old = debian({"a": ("1", ["usr/bin/a"]), "b": ("1", ["usr/bin/b"])})
    new = debian({"a": ("2", ["usr/bin/a", "usr/share/a/x"]), "b": ("1", ["usr/bin/b"])})
    found, mine = assigned(old, new)
    assert mine == {"a": {"usr/bin/a", "usr/share/a/x", "var/lib/dpkg/info/a.list"}}
    assert found.shared == (b"var/lib/dpkg/status",)
    assert found.implied == {b"usr/share", b"usr/share/a"}
    assert not found.loose and not found.noise


def test_what_scripts_make_of_a_package_goes_with_it() -> None:
    listed = ["usr/bin/vim.a", "usr/lib/python3/a.py", "usr/lib/systemd/system/a.service"]
    listed += ["etc/a.conf", "usr/lib/systemd/system/a@.service", "usr/lib/liba.so.1.2"]
    more = {
        "usr/lib/python3/__pycache__/a.cpython-311.pyc": "",
        "usr/lib/python3/__pycache__/a.cpython-311.opt-1.pyc": "",
        "etc/a.conf.dpkg-dist": "",
        "var/lib/systemd/deb-systemd-helper-enabled/a.service.dsh-also": "",
        "var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/a.service": "",
        "var/lib/systemd/deb-systemd-helper-enabled/a@tty1.service.dsh-also": "",
        "var/lib/dpkg/info/a.postinst": "",
    }
    links = {
        "etc/alternatives/vi": "/usr/bin/vim.a",
        "usr/bin/vi": "/etc/alternatives/vi",
        "etc/systemd/system/multi-user.target.wants/a.service": "/lib/systemd/system/a.service",
        "lib": "usr/lib",
        "usr/lib/liba.so.1": "liba.so.1.2",
    }
    old = debian({"base": ("1", ["usr/bin/base"])}, links={"lib": "usr/lib"})
    new = debian(
        {"base": ("1", ["usr/bin/base"]), "a": ("1", listed)},
        more,
        links,
    )
    found, mine = assigned(old, new)
    assert mine["a"] == {*listed, *more, *links, "var/lib/dpkg/info/a.list"} - {"lib"}
    assert not found.loose and not found.noise


def test_bytecode_of_a_source_that_stayed_goes_with_its_package() -> None:
    path = "usr/lib/python3/a.py"
    code = "usr/lib/python3/__pycache__/a.cpython-311.pyc"
    old = debian({"a": ("1", [path])}, {path: "same", code: "1"})
    new = debian({"a": ("2", [path])}, {path: "same", code: "2"})
    _, mine = assigned(old, new)
    assert code in mine["a"]


def test_a_file_that_another_package_took_over_is_that_ones() -> None:
    old = debian({"a": ("1", ["usr/x", "usr/a"]), "b": ("1", ["usr/b"])})
    new = debian({"a": ("2", ["usr/a"]), "b": ("2", ["usr/b", "usr/x"])})
    _, mine = assigned(old, new)
    assert "usr/x" in mine["b"] and "usr/x" not in mine["a"]


def test_what_several_brought_or_had_is_of_all_of_them() -> None:
    listed = {"a": ("1", ["usr/py/x.py"]), "b": ("1", ["usr/py/x.py", "usr/b"])}
    code = "usr/py/__pycache__/x.cpython-311.pyc"
    without, both = debian({"c": ("1", ["usr/c"])}), debian(listed, {code: "", "usr/py/own": ""})
    for old, new in ((without, both), (both, without)):
        found, mine = assigned(old, new)
        assert {path.decode() for path in found.common} == {"usr/py/x.py", code}
        assert {len(among) for among in found.common.values()} == {2}
        # What else is in their directory is of neither.
        assert "usr/py/own" not in mine["a"] | mine["b"]
    # Who had it before has it; what is in both states is of one.
    old = debian({"a": ("1", ["usr/x"])}, {"usr/x": "1"})
    new = debian({"a": ("1", ["usr/x"]), "b": ("1", ["usr/x"])}, {"usr/x": "2"})
    assert not assigned(old, new)[0].common


def test_what_a_package_claims_of_others_stays_theirs() -> None:
    others = ["var/lib/dpkg/status", "var/lib/dpkg/info/b.list", "etc/passwd", "usr/b"]
    info = f"{SITE}/p-1.dist-info"
    up = "../" * (SITE.count("/") + 1)
    record = "".join(f"{up}{path},,\n" for path in [*others, "usr/p"])
    wheel = {f"{info}/METADATA": "Name: p\nVersion: 1\n", f"{info}/RECORD": record, "usr/p": ""}
    users = {"etc/passwd": "root:x:0:0::/:\n"}
    old = debian({"b": ("1", ["usr/b"])}, users)
    new = debian(
        {"a": ("1", ["usr/a", *others]), "b": ("2", ["usr/b"])},
        wheel | {"usr/b": "2", "etc/passwd": "root:x:0:0::/:\nu:x:1:1::/:\n"},
    )
    found, mine = assigned(old, new)
    assert mine["a"] == {"usr/a", "var/lib/dpkg/info/a.list"}
    assert mine["b"] == {"usr/b"}
    assert "usr/p" in mine["p"] and not mine["p"] & {*others}
    assert found.shared == (b"var/lib/dpkg/status",)
    assert ("etc/passwd", (b"etc/passwd",)) in found.loose


def test_an_empty_directory_is_whose_list_names_it() -> None:
    old = debian({"a": ("1", ["usr/a"]), "b": ("1", ["usr/b"])})
    new = debian(
        {"a": ("2", ["usr/a", "var/lib/state"]), "b": ("2", ["usr/b"])},
        folders=("var/lib/state", "srv/mine"),
    )
    found, mine = assigned(old, new)
    assert "var/lib/state" in mine["a"]
    assert found.loose == (("srv/", (b"srv/mine",)),)


def test_what_lies_in_a_directory_of_one_package_alone_is_that_ones() -> None:
    old = debian({"a": ("1", ["usr/a"])})
    new = debian(
        {"a": ("2", ["usr/a", "opt/vendor/a/bin", "opt/vendor/a/lib"])},
        {"opt/vendor/a/generated": "x", "opt/other/tool": "y"},
    )
    found, mine = assigned(old, new)
    assert "opt/vendor/a/generated" in mine["a"]
    assert found.loose == (("opt/other/", (b"opt/other/tool",)),)


def test_a_virtual_environment_is_not_its_only_packages() -> None:
    place = "opt/venv/lib/python3.11/site-packages"
    old = debian({"a": ("1", ["usr/a"])})
    new = debian(
        {"a": ("1", ["usr/a"])},
        {
            "opt/venv/pyvenv.cfg": "",
            f"{place}/six.py": "",
            f"{place}/mine.pth": "",
            f"{place}/six-1.0.dist-info/METADATA": "Name: six\nVersion: 1.0\n",
            f"{place}/six-1.0.dist-info/RECORD": "six.py,,\nsix-1.0.dist-info/METADATA,,\n",
        },
    )
    found, mine = assigned(old, new)
    assert mine["six"] == {
        f"{place}/six.py",
        f"{place}/six-1.0.dist-info/METADATA",
        f"{place}/six-1.0.dist-info/RECORD",
    }
    assert [paths for _, paths in found.loose] == [
        (f"{place}/mine.pth".encode(),),
        (b"opt/venv/pyvenv.cfg",),
    ]


def test_loose_files_are_alone_but_for_directories_that_are_altogether_loose() -> None:
    state = {"a": ("1", ["usr/a"])}
    old = debian(state, {"etc/one": "1", "etc/two": "1", "home/old/x": "", "home/old/y/z": ""})
    new = debian(
        state,
        {
            "etc/one": "2",
            "etc/two": "2",
            "srv/app/main.py": "",
            "srv/app/__pycache__/main.cpython-311.pyc": "",
            "srv/data/1": "",
        },
    )
    found, _ = assigned(old, new)
    assert [name for name, _ in found.loose] == ["etc/one", "etc/two", "home/", "srv/"]
    assert not found.noise


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"var/log/apt/history.log", noise.MANAGERS),
        (b"var/lib/dpkg/status-old", noise.MANAGERS),
        (b"var/cache/ldconfig/aux-cache", noise.GENERATED),
        (b"usr/share/icons/hicolor/icon-theme.cache", noise.GENERATED),
        (b"usr/lib/python3/__pycache__/x.cpython-311.pyc", noise.GENERATED),
        (b"boot/initrd.img-6.1.0-13-amd64", "initramfs"),
        (b"var/log/syslog", "logs, caches and temporary files"),
        (b"root/.cache/pip/http/a", "logs, caches and temporary files"),
        (b"usr/bin/python3", None),
        (b"etc/passwd", None),
    ],
)
def test_noise_is_told_by_its_path(path: bytes, name: str | None) -> None:
    assert noise.class_of(path) == name


@given(st.data())
def test_each_change_is_in_one_part_whatever_packages_claim(data: st.DataObject) -> None:
    paths = ["usr/a", "usr/b/c", "usr/b/d", "opt/x/y", "etc/z", "var/log/l", "usr/b/__pycache__/c"]
    sides = []
    for version in ("1", "2"):
        packages = {
            name: (version, data.draw(st.lists(st.sampled_from(paths), unique=True)))
            for name in data.draw(st.sets(st.sampled_from(["p", "q", "r"])))
        }
        more = {
            path: data.draw(st.sampled_from(["x", "y"]))
            for path in data.draw(st.sets(st.sampled_from(paths)))
        }
        folders = tuple(data.draw(st.sets(st.sampled_from(["srv/e", "usr/b/e"]))))
        sides.append(debian(packages, more, folders=folders))
    assigned(sides[0], sides[1])


def test_what_is_needed_comes_first_and_circles_stay_together() -> None:
    needs = {
        "app": {"lib", "x"},
        "lib": {"libc"},
        "libc": {"gcc"},
        "gcc": {"libc"},
        "x": {"hidden"},
        "hidden": {"late"},
        "late": set[str](),
        "other": set[str](),
    }
    found = ordered(["app", "late", "gcc", "lib", "other", "libc"], needs)
    assert found.index("late") < found.index("app")
    assert found.index("libc") < found.index("lib") < found.index("app")
    assert abs(found.index("libc") - found.index("gcc")) == 1
    assert sorted(found) == ["app", "gcc", "late", "lib", "libc", "other"]


def test_a_chain_of_a_hundred_thousand_is_no_recursion() -> None:
    needs = {number: {number + 1} for number in range(100_000)}
    assert ordered([0, 99_999], needs) == [99_999, 0]
