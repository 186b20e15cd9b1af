# SPDX-License-Identifier: Apache-2.0
"""`rollback --package` in real environments, judged by the package managers themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import cli
from tests.support.pkglabs import debs, maintained, place, wheels
from tests.support.pkglabs.debs import Deb
from tests.support.pkglabs.place import Environment
from tests.support.pkglabs.wheels import Wheel

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

EVERYTHING = ("lib", "app", "conf", "watch", "div", "tool-a")


def rollback(lab: Environment, *words: str) -> cli.Result:
    """``envgit rollback WORDS``, whatever comes of it."""
    return lab.envgit("rollback", *words)


def told(lab: Environment, *words: str) -> dict[str, tuple[str | None, str | None]]:
    """What a rollback that must succeed took back: old and new versions by name."""
    found: dict[str, Any] = lab.json("rollback", "--json", *words)
    return {one["name"]: (one["old"], one["new"]) for one in found["packages"]}


def versions(lab: Environment) -> dict[str, str]:
    """What dpkg says is installed of the lab's packages."""
    shown = lab.sh("dpkg-query -W -f '${Package} ${Version} ${Maintainer}\\n'")
    rows = [line.split(" ", 2) for line in shown.splitlines()]
    return {name: version for name, version, by in rows if by.startswith("Ada")}


def check_dpkg(lab: Environment) -> None:
    """Nothing is half installed, missing, unmet or other than it was shipped."""
    script = "dpkg --audit; apt-get -q check >/dev/null; dpkg --verify"
    assert lab.sh(script) == ""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Commits ``first`` and ``second``, the latter with upgrades, installations and a removal."""
    extra = [
        Deb("late", "1", {"usr/lib/lab/late": "1\n"}, depends="lib (>= 2)"),
        Deb("either", "1", {"usr/lib/lab/either": "1\n"}, depends="lib (= 2) | lib (= 1)"),
        Deb("foe", "1", {"usr/lib/lab/foe": "1\n"}),
        *(Deb(f"twin-{one}", "1", {"usr/lib/twin": f"{one}\n"}) for one in "ab"),
        Deb("foe", "2", {"usr/lib/lab/foe": "2\n"}, fields={"Breaks": "lib (<< 2)"}),
    ]
    made = place.debian(
        tmp_path_factory.mktemp("rollback"),
        archive=debs.archive([*maintained.library(), *extra]),
    )
    install(
        made, *(f"{name}_1" for name in (*EVERYTHING, "gone", "either", "foe")), message="first"
    )
    made.sh("dpkg --purge gone; echo hello >> /etc/motd")
    install(made, *(f"{name}_2" for name in EVERYTHING), "tool-b_1", "svc_1", message="second")
    made.envgit("tag", "second").ok()
    made.envgit("tag", "first", "HEAD~1").ok()
    yield made


def install(lab: Environment, *names: str, message: str = "") -> None:
    files = " ".join(f"/archive/{name}_all.deb" for name in names)
    lab.sh(f"dpkg --force-confnew -i {files} >/dev/null", message=message)


@pytest.fixture
def lab(debian: Environment) -> Iterator[Environment]:
    """At ``second``, whatever a test did before."""
    yield debian
    debian.envgit("reset", "-q", "--hard", "second").ok()


def test_a_file_of_two_packages_goes_with_the_last(lab: Environment) -> None:
    lab.sh("dpkg --force-overwrite -i /archive/twin-a_1_all.deb /archive/twin-b_1_all.deb")
    # dpkg lets one package alone list a file, pip does not; so does who restores a list.
    lab.sh("echo /usr/lib/twin >> /var/lib/dpkg/info/twin-a.list", message="twins")
    assert list(told(lab, "--package", "twin-a", "second")) == ["twin-a"]
    assert lab.sh("cat /usr/lib/twin") == "b\n"
    lab.envgit("reset", "-q", "--hard").ok()
    assert list(told(lab, "--package", "twin-b", "second")) == ["twin-b"]
    assert lab.tries("test", "-e", "/usr/lib/twin")
    assert list(told(lab, "--package", "twin-a", "second")) == ["twin-a"]
    assert not lab.tries("test", "-e", "/usr/lib/twin")


# -- dpkg -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conf", "watch", "div", "tool-a", "tool-b", "svc", "gone", "foe"])
def test_one_package_is_as_it_was_and_dpkg_agrees(lab: Environment, name: str) -> None:
    before = versions(lab)
    if name == "foe":
        install(lab, "foe_2", message="foe")
        before = versions(lab)
    back = told(lab, "--package", name, "first")
    assert list(back) == [name]
    expected = before | {name: "1"} if name not in ("tool-b", "svc") else before
    if name in ("tool-b", "svc"):
        del expected[name]
    assert versions(lab) == expected
    check_dpkg(lab)
    if name == "tool-b":
        assert lab.sh("tool") == "a 2\n"
        lab.sh("update-alternatives --display tool")
    if name == "conf":
        assert lab.sh("cat /etc/lab.conf") == "version 1\n"
    if name == "svc":
        assert not lab.tries("test", "-e", "/var/lib/svc/seed")
    lab.sh("dpkg --configure -a; apt-get -q -y --reinstall install conf watch >/dev/null")
    check_dpkg(lab)


def test_going_forward_is_going_back_too(lab: Environment) -> None:
    lab.envgit("reset", "-q", "--hard", "first").ok()
    back = told(lab, "--package", "svc", "--package", "tool-b", "second")
    assert back == {"svc": (None, "1"), "tool-b": (None, "1")}
    assert lab.sh("svc").startswith("uid=")
    assert lab.sh("tool") == "b 1\n"
    check_dpkg(lab)


def test_what_depends_on_it_goes_back_along_and_that_is_said(lab: Environment) -> None:
    said = rollback(lab, "--package", "lib").ok().stdout
    assert [line.split() for line in said.splitlines()] == [
        ["downgraded", "lib", "2", "->", "1"],
        ["downgraded", "app", "2", "->", "1", "for", "app:", "lib", "(=", "2)"],
    ]
    assert versions(lab)["app"] == "1" and versions(lab)["conf"] == "2"
    check_dpkg(lab)


def test_what_it_depends_on_goes_back_along(lab: Environment) -> None:
    assert told(lab, "--package", "app") == {"app": ("2", "1"), "lib": ("2", "1")}
    check_dpkg(lab)


def test_what_cannot_stand_it_goes_back_along(lab: Environment) -> None:
    install(lab, "foe_2", message="foe")
    back = told(lab, "--package", "lib", "first")
    assert back == {"lib": ("2", "1"), "app": ("2", "1"), "foe": ("2", "1")}
    check_dpkg(lab)


def test_what_would_break_others_is_refused_with_the_relations(lab: Environment) -> None:
    install(lab, "late_1", message="late")
    refused = rollback(lab, "--package", "lib", "first")
    assert refused.status == 1
    assert "late 1: lib (>= 2) (lib 1 is installed)" in refused.stderr
    assert "hint: late: not there in first" in refused.stderr
    assert lab.envgit("status", "-s").ok().stdout == ""
    back = told(lab, "--package", "lib", "--package", "late", "first")
    assert back == {"lib": ("2", "1"), "late": ("1", None), "app": ("2", "1")}
    check_dpkg(lab)
    lab.envgit("undo").ok()
    lab.sh("apt-mark -q auto late", message="nobody asked for it")
    back = told(lab, "--package", "lib", "first")
    assert back == {"lib": ("2", "1"), "late": ("1", None), "app": ("2", "1")}
    check_dpkg(lab)


def test_by_default_it_is_what_it_was_before_its_last_change(lab: Environment) -> None:
    lab.sh("echo x > /etc/other", message="nothing of packages")
    lab.sh("echo '# mine' >> /etc/lab.conf", message="edited configuration is no other package")
    source = lab.json("rollback", "--json", "--dry-run", "--package", "conf")["source"]
    assert source == lab.head("first")
    install(lab, "conf_1")
    source = lab.json("rollback", "--json", "--dry-run", "--package", "conf")["source"]
    assert source == lab.head("HEAD"), "an uncommitted change comes first"
    rollback(lab, "--package", "conf").ok()
    assert lab.envgit("diff", "--packages").ok().stdout == ""
    assert lab.sh("cat /etc/lab.conf") == "version 2\n# mine\n"


def test_packages_that_changed_at_different_times_need_a_commit(lab: Environment) -> None:
    install(lab, "late_1", message="late")
    refused = rollback(lab, "--package", "conf", "--package", "late")
    assert refused.status == 128
    assert (
        "different commits: conf in " in refused.stderr
        and "hint: name the commit" in refused.stderr
    )


def test_nothing_else_changes_and_undo_is_one_step(lab: Environment) -> None:
    lab.sh("echo mine > /srv/mine")
    rollback(lab, "--package", "conf").ok()
    changed = lab.envgit("status", "-s", "-uall").ok().stdout
    # Both versions list the same files, and may have been installed in one second.
    paths = {line[3:] for line in changed.splitlines()} - {"var/lib/dpkg/info/conf.list"}
    assert paths == {
        "etc/lab.conf",
        "srv/mine",
        "usr/lib/lab/conf",
        "var/lib/dpkg/info/conf.md5sums",
        "var/lib/dpkg/status",
    }
    lab.envgit("undo").ok()
    assert lab.envgit("status", "-s").ok().stdout.split()[1:] == ["srv/mine"]
    assert versions(lab)["conf"] == "2"


def test_local_changes_are_not_overwritten_unless_forced(lab: Environment) -> None:
    lab.sh("echo '# mine' >> /etc/lab.conf; echo x > /usr/lib/lab/lib")
    refused = rollback(lab, "--package", "conf", "first")
    assert refused.status == 1
    assert refused.stderr == (
        "error: Your local changes to the following files would be overwritten by rollback:\n"
        "\tetc/lab.conf\nPlease commit your changes, or use --force.\nAborting\n"
    )
    said = rollback(lab, "-f", "--package", "conf", "first").ok()
    assert said.stderr == "warning: etc/lab.conf was edited; it goes back, too\n"
    assert lab.sh("cat /etc/lab.conf /usr/lib/lab/lib") == "version 1\nx\n"


def test_a_message_makes_a_commit_beside_which_changes_stay(lab: Environment) -> None:
    lab.sh("echo mine > /srv/mine")
    result = lab.json("rollback", "--json", "--package", "conf", "-m", "conf 2 is bad")
    assert result["commit"] == lab.head("HEAD")
    assert lab.envgit("log", "-1", "--format=%s").ok().stdout == "conf 2 is bad\n"
    assert lab.envgit("status", "-s").ok().stdout.split()[1:] == ["srv/mine"]
    shown = lab.envgit("diff", "--packages", "HEAD~1", "HEAD").ok().stdout
    assert shown.split() == ["downgraded", "conf", "2", "->", "1"]
    lab.sh("echo x >> /etc/lab.conf")
    refused = rollback(lab, "--package", "conf", "-m", "again")
    assert refused.status == 1 and "Please commit your changes or stash them" in refused.stderr


def test_a_dry_run_only_tells(lab: Environment) -> None:
    said = rollback(lab, "--dry-run", "--package", "lib").ok().stdout
    assert said == rollback(lab, "--package", "lib").ok().stdout
    lab.envgit("undo").ok()
    assert lab.envgit("status", "-s").ok().stdout == ""
    assert lab.envgit("fsck").ok().status == 0


def test_names_that_mean_nothing_are_told(lab: Environment) -> None:
    for words, status, text in (
        (("--package", "konf"), 128, "fatal: no package 'konf' is installed in HEAD\n"),
        (("--package", "konf", "first"), 128, "'konf' is installed here or in first"),
        (("--package", "konf"), 128, "hint: did you mean 'conf'?"),
        (("--package", "conf", "HEAD"), 1, "error: 'conf' is here what it is in HEAD\n"),
        (("--package", "dpkg"), 1, "error: 'dpkg' is as in the first commit"),
        (("--package", "conf", "nothere"), 128, "nothere"),
        (("--package", "conf", "-n", "1"), 128, "'--package' and '-n' cannot be used together"),
        (("--dry-run",), 128, "fatal: --dry-run is for --package <name>"),
        (("--package", "conf", "-f", "-m", "x"), 129, "'--force' and '-m' cannot be used together"),
    ):
        refused = rollback(lab, *words)
        assert refused.status == status, refused
        assert text in refused.stderr


# -- pip ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Two versions of a few distributions, system-wide and in a virtual environment."""
    made = []
    for version in ("1.0", "2.0"):
        made += [
            Wheel(
                "core",
                version,
                {"core/__init__.py": f"V = {version!r}\n"},
                scripts=["core = core:V"],
            ),
            Wheel("plug", version, {"plug.py": "import core\n"}, (f"core=={version}",)),
            Wheel("free", version, {"free.py": "import core\n"}, ("core>=1",)),
        ]
    lab = place.debian(
        tmp_path_factory.mktemp("python"),
        *("python3", "python3-pip"),
        wheels=wheels.wheelhouse(made),
    )
    venv = "pip -q --python /opt/venv/bin/python install --no-index --find-links /wheels"
    lab.pip("install", "core==1.0", "plug==1.0", "free==1.0")
    lab.sh(f"python3 -m venv --without-pip /opt/venv; {venv} core==1.0", message="one")
    lab.pip("install", "core==2.0", "plug==2.0", "free==2.0")
    lab.sh(f"python3 -c 'import core, plug, free'; {venv} core==2.0", message="two")
    lab.envgit("tag", "two").ok()
    yield lab


def test_pip_packages_go_back_with_what_needs_them(python: Environment) -> None:
    back = told(python, "--package", "plug")
    assert back == {"plug": ("2.0", "1.0"), "core": ("2.0", "1.0")}
    said = python.sh(
        "pip check; python3 -c 'import core, plug; print(core.V)'; pip list --format json"
    )
    lines = said.splitlines()
    assert lines[:2] == ["No broken requirements found.", "1.0"]
    listed = {one["name"]: one["version"] for one in json.loads(lines[2])}
    assert (listed["core"], listed["plug"], listed["free"]) == ("1.0", "1.0", "2.0")
    python.envgit("reset", "-q", "--hard", "two").ok()


def test_what_another_manager_brought_goes_back_with_that(python: Environment) -> None:
    refused = rollback(python, "--package", "pip:wheel")
    assert refused.status == 1
    assert "error: 'pip:wheel' is part of a package of dpkg\nhint: 'envgit blame " in refused.stderr


def test_of_several_places_one_is_named(python: Environment) -> None:
    refused = rollback(python, "--package", "core")
    assert refused.status == 128
    assert "may be pip:core@/" in refused.stderr and "pip:core@/opt/venv/lib" in refused.stderr
    assert told(python, "--package", "pip:core@/opt/venv") == {"core": ("2.0", "1.0")}
    versions = "import core; print(core.V)"
    assert (
        python.sh(f"/opt/venv/bin/python -c '{versions}'; python3 -c '{versions}'") == "1.0\n2.0\n"
    )
    python.envgit("reset", "-q", "--hard", "two").ok()
