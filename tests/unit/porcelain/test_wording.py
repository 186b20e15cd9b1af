# SPDX-License-Identifier: Apache-2.0
"""Messages of commits that changed packages, and the lines that a hook reads."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.changes import PackageChange
from envgit.packages.model import Package
from envgit.porcelain.foundation.packages.wording import concerns, draft, hook_lines


def package(name: str, version: str, manager: str = "dpkg", reason: str = "") -> Package:
    return Package(manager=manager, name=name, version=version, reason=reason)


def upgraded(name: str, old: str, new: str, **more: str) -> PackageChange:
    return PackageChange("upgraded", package(name, old, **more), package(name, new, **more))


def added(name: str, version: str, **more: str) -> PackageChange:
    return PackageChange("added", None, package(name, version, **more))


def test_one_package_is_one_line() -> None:
    assert draft([upgraded("libssl3", "3.0.11-1", "3.0.13-1")]) == (
        "apt: upgrade libssl3 3.0.11-1 → 3.0.13-1\n"
    )
    assert draft([added("curl", "8")]) == "apt: install curl 8\n"
    gone = PackageChange("removed", package("curl", "8"), None)
    assert draft([gone]) == "apt: remove curl 8\n"


def test_the_body_lists_all() -> None:
    found = [upgraded("libssl3", "1", "2"), added("openssl", "2"), added("ca", "1")]
    assert draft(found, ["apt-get", "install", "openssl"]) == (
        "apt: install openssl 2, +2 more\n\n"
        "install openssl 2\ninstall ca 1\nupgrade libssl3 1 → 2\n"
    )


def test_what_somebody_asked_for_comes_before_what_it_needs() -> None:
    found = [added("a", "1", reason="automatic"), added("z", "1", reason="manual")]
    assert str(draft(found)).startswith("apt: install z 1, +1 more\n")


def test_names_are_found_in_scripts_files_and_pips_spellings() -> None:
    found = [added("aaa", "1", manager="pip"), added("Foo_Bar", "1", manager="pip")]
    for words in (
        ["pip", "install", "foo-bar==1"],
        ["sh", "-c", "cd /x && pip install 'foo.bar>=1'; true"],
        ["pip", "install", "./dist/Foo_Bar-1-py3-none-any.whl", "foo-bar"],
    ):
        assert str(draft(found, words)).startswith("pip: install Foo_Bar 1, +1 more\n")


def test_names_are_found_beside_npms_versions() -> None:
    found = [added(name, "1", manager="npm") for name in ("@x/a", "chalk", "express", "@x/z")]
    for words, first in (
        (["npm", "install", "express@5", "chalk@latest"], "express"),
        (["npm", "i", "-g", "@x/z@^2.0"], "@x/z"),
        (["npm", "i", "@x/z"], "@x/z"),
    ):
        assert str(draft(found, words)).startswith(f"npm: install {first} 1, +3 more\n")


def test_the_program_that_a_new_environment_brings_is_not_what_was_asked_for() -> None:
    found = [added("pip", "23", manager="pip"), added("fastapi", "1", manager="pip")]
    words = ["sh", "-c", "python3 -m venv /opt/app && /opt/app/bin/pip install fastapi"]
    assert str(draft(found, words)).startswith("pip: install fastapi 1, +1 more\n")
    assert draft(found[:1], ["pip", "install", "-U", "pip"]) == "pip: install pip 23\n"


def test_several_managers_have_a_headline_each() -> None:
    found = [added("six", "1", manager="pip"), added("curl", "8"), added("wget", "1")]
    assert draft(found) == (
        "apt: install curl 8, +1 more; pip: install six 1\n\n"
        "apt: install curl 8\napt: install wget 1\npip: install six 1\n"
    )


def test_a_reason_is_news_only_where_there_is_nothing_else() -> None:
    mark = PackageChange(
        "changed", package("vim", "9", reason="automatic"), package("vim", "9", reason="manual")
    )
    assert draft([mark]) == "apt: mark vim as manual\n"
    assert draft([mark, added("curl", "8")]) == (
        "apt: install curl 8, +1 more\n\ninstall curl 8\nmark vim as manual\n"
    )


def test_what_is_not_to_be_upgraded_is_said() -> None:
    free = package("vim", "9")
    held = replace(free, state="hold")
    assert draft([PackageChange("changed", free, held)]) == "apt: mark vim as held\n"
    assert draft([PackageChange("changed", held, free)]) == "apt: mark vim as not held\n"


def test_what_was_written_again_is_news_only_where_it_was_asked_for() -> None:
    one = package("vim", "9")
    again = PackageChange("reinstalled", one, one)
    assert draft([again]) == "apt: reinstall vim 9\n"
    assert draft([again, added("curl", "8")]) == "apt: install curl 8\n"
    assert str(draft([again, added("curl", "8")], ["apt", "install", "--reinstall", "vim"])) == (
        "apt: reinstall vim 9, +1 more\n\nreinstall vim 9\ninstall curl 8\n"
    )


def test_files_that_were_changed_by_hand_are_no_news() -> None:
    one = package("vim", "9")
    assert draft([PackageChange("modified", one, one, (b"etc/vimrc",))]) is None
    assert draft([PackageChange("changed", one, one)]) is None
    assert draft([]) is None


def test_files_that_were_changed_by_hand_are_listed_beside_other_news() -> None:
    one = package("debconf", "1.5")
    found = [PackageChange("modified", one, one, (b"usr/share/x",)), added("curl", "8")]
    assert draft(found) == "apt: install curl 8\n\ninstall curl 8\nmodify files of debconf\n"
    assert draft([found[0], added("six", "1", manager="pip")]) == (
        "pip: install six 1\n\npip: install six 1\napt: modify files of debconf\n"
    )


def test_which_command_concerns_a_package() -> None:
    one = added("libssl3", "1")
    assert concerns(one, ["apt-get", "install", "libssl3"]) == 2
    assert concerns(one, ["sh", "-c", "apt-get -y upgrade"]) == 1
    assert concerns(one, ["pip", "install", "six"]) == 0


@given(st.text(), st.text())
def test_whatever_a_database_says_stays_in_its_place(name: str, version: str) -> None:
    found = [added(name, version), added("other", "1")]
    assert len(str(draft(found)).splitlines()) == 4
    lines = hook_lines(found).decode().split("\n")
    assert [len(line.split(" ")) for line in lines] == [5, 5, 1]
    assert lines[1] == "added dpkg other - 1"
