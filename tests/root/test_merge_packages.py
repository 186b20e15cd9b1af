# SPDX-License-Identifier: Apache-2.0
"""Merged environments in which the package managers themselves find nothing to complain about."""

from __future__ import annotations

import pytest

from tests.support.pkglabs import debs, place, wheels
from tests.support.pkglabs.debs import Deb
from tests.support.pkglabs.merges import APT, Lab
from tests.support.pkglabs.wheels import Wheel

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


def daemon(name: str) -> Deb:
    """A package with a user of its own, whom files and an override belong to."""
    return Deb(
        name,
        files={f"usr/lib/{name}/helper": "#!/bin/sh\nid\n"},
        scripts={
            "postinst": (
                f"id {name} >/dev/null 2>&1 || useradd -r -d /var/lib/{name} -m {name}\n"
                f"install -d -o {name} -g {name} /var/lib/{name}\n"
                f"dpkg-statoverride --list /usr/lib/{name}/helper >/dev/null ||"
                f" dpkg-statoverride --update --add {name} {name} 4750 /usr/lib/{name}/helper"
            ),
            "postrm": (
                f'[ "$1" != purge ] || {{ dpkg-statoverride --remove /usr/lib/{name}/helper;'
                f" userdel {name}; rm -rf /var/lib/{name}; }}"
            ),
        },
    )


def diverting(name: str, path: str) -> Deb:
    """A package that puts its own file in the place of another's."""
    divert = f"dpkg-divert --package {name} --rename --divert /{path}.{name}"
    return Deb(
        name,
        files={path: f"#!/bin/sh\necho {name}\n"},
        scripts={
            "preinst": f"{divert} --add /{path}",
            "postrm": f'[ "$1" = upgrade ] || {divert} --remove /{path}',
        },
    )


DEBS = [
    *debs.library(12),
    *(
        Deb(
            "trio",
            version,
            {"usr/lib/trio/data": version, f"usr/lib/trio/{version}": version},
            fields={"Installed-Size": version[0]},
        )
        for version in ("1.0", "2.0", "3.0")
    ),
    Deb("wants-trio", depends="trio (>= 2.0)"),
    *map(daemon, ("alpha", "beta", "gamma")),
    Deb(
        "tools", files={"usr/bin/one": "#!/bin/sh\necho 1\n", "usr/bin/two": "#!/bin/sh\necho 2\n"}
    ),
    diverting("first", "usr/bin/one"),
    diverting("second", "usr/bin/two"),
]
WHEELS = [
    *wheels.library(6),
    *(Wheel("trio-py", version, {"trio_py.py": f"V = {version!r}\n"}) for version in "123"),
    Wheel("wants", requires=("trio-py>=2",)),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    env = place.debian(
        tmp_path_factory.mktemp("merges"),
        "python3-pip",
        archive=debs.archive(DEBS),
        wheels=wheels.wheelhouse(WHEELS),
    )
    env.sh(APT + "install trio=1.0 tools; pip_install trio-py==1", message="base")
    env.envgit("tag", "base").ok()
    return Lab(env)


def test_different_packages(lab: Lab) -> None:
    theirs = lab.diverge(
        "install alpha lab-000 lab-005 first; pip_install lab-py-000",
        "install beta gamma lab-006 lab-007 second; pip_install lab-py-002",
    )
    merged = lab.merge(theirs)
    assert merged.status == 0, merged.stdout
    assert "CONFLICT" not in merged.stdout and "warning" not in merged.stdout
    lab.check()
    wanted = ("alpha", "beta", "gamma", "lab-000", "lab-005", "lab-006", "lab-007", "first")
    assert "" not in lab.has(*wanted, "second", "tools")
    told = lab.sh(
        "lab-tool; one; two; one.first; two.second; ls /usr/lib/lab; pip list 2>/dev/null"
    )
    assert told.startswith("006 2.0\nfirst\nsecond\n1\n2\n000\n004\n005\n006\n007\n")
    assert "lab-py-000" in told and "lab-py-002" in told
    # Each user is somebody, with what is theirs.
    owners = lab.sh(
        "for one in alpha beta gamma; do stat -c '%U:%G %a' /usr/lib/$one/helper /var/lib/$one;"
        " done; stat -c %u /var/lib/alpha /var/lib/beta /var/lib/gamma | sort -u | wc -l"
    )
    assert owners.splitlines()[:2] == ["alpha:alpha 4750", "alpha:alpha 755"]
    assert owners.splitlines()[2:] == [
        *("beta:beta 4750", "beta:beta 755", "gamma:gamma 4750", "gamma:gamma 755", "3")
    ]
    # And the managers go on from here.
    lab.sh("purge alpha beta lab-006; remove second; install lab-003; pip_install lab-py-005")
    assert lab.sh("lab-tool; one; two; getent passwd alpha beta || true") == "005 2.0\nfirst\n2\n"
    lab.check()
    lab.clean()


def test_a_package_in_two_versions(lab: Lab) -> None:
    theirs = lab.diverge("install trio=2.0 lab-001", "install trio=3.0 lab-002")
    ours = lab.env.head()
    merged = lab.merge(theirs)
    assert merged.status == 1
    conflicts = [line for line in merged.stdout.splitlines() if "CONFLICT" in line]
    assert conflicts == [f"CONFLICT (package): trio 2.0 in HEAD, 3.0 in {theirs}"]
    assert lab.has("trio", "lab-001", "lab-002") == ["2.0", "2.0", "2.0"]
    assert lab.sh("cat /usr/lib/trio/data; ls /usr/lib/trio") == "2.02.0\ndata\n"
    lab.check()
    path = "var/lib/dpkg/info/trio.list"
    status = lab.env.envgit("status").ok().stdout
    assert f"both modified:   {path} (package trio)" in status
    (told,) = lab.env.json("status", "--json")["unmerged"]
    assert told["package"]["name"] == "trio" and told["kind"] == "package"
    # The other side is taken whole, and ours again.
    for side, version in (("--theirs", "3.0"), ("--ours", "2.0"), ("--theirs", "3.0")):
        lab.env.envgit("checkout", side, "--", path).ok()
        assert lab.has("trio", "lab-001", "lab-002") == [version, "2.0", "2.0"]
        assert lab.sh("cat /usr/lib/trio/data; ls /usr/lib/trio") == f"{version}{version}\ndata\n"
        lab.check()
    assert lab.env.json("status", "--json")["unmerged"] == []
    lab.env.envgit("restore", "--merge", path).ok()
    assert lab.has("trio") == ["2.0"]
    assert lab.env.envgit("commit", "-q", "-m", "no").status == 128
    lab.env.envgit("merge", "--abort").ok()
    # Options decide without asking.
    for words, version in (
        (("--newest",), "3.0"),
        (("-X", "newest"), "3.0"),
        (("-X", "ours"), "2.0"),
        (("-X", "theirs"), "3.0"),
        (("-X", "ours", "--newest"), "3.0"),
    ):
        merged = lab.merge(*words, theirs)
        assert merged.status == 0, merged.stdout
        assert f"Auto-merging package trio: {version} from" in merged.stdout
        assert lab.has("trio", "lab-001", "lab-002") == [version, "2.0", "2.0"]
        assert lab.sh("cat /usr/lib/trio/data; ls /usr/lib/trio") == f"{version}{version}\ndata\n"
        lab.check()
        lab.env.envgit("reset", "-q", "--hard", ours).ok()


@pytest.mark.slow(thorough=True)
def test_removed_here_and_upgraded_there(lab: Lab) -> None:
    theirs = lab.diverge("purge trio", "install trio=3.0")
    merged = lab.merge(theirs)
    assert merged.status == 1
    told = [line for line in merged.stdout.splitlines() if "CONFLICT" in line]
    assert told == [f"CONFLICT (package): trio removed in HEAD, 3.0 in {theirs}"]
    assert lab.has("trio") == [""]
    lab.check()
    (path,) = [one["path"] for one in lab.env.json("status", "--json")["unmerged"]]
    lab.env.envgit("checkout", "--theirs", "--", path).ok()
    assert lab.has("trio") == ["3.0"]
    lab.env.envgit("commit", "-q", "-m", "merged").ok()
    lab.check()
    lab.env.envgit("reset", "-q", "--hard", "HEAD^").ok()
    assert lab.merge("-X", "ours", theirs).status == 0
    assert lab.has("trio") == [""]
    lab.check()


@pytest.mark.slow(thorough=True)
def test_the_same_version_on_both_sides(lab: Lab) -> None:
    theirs = lab.diverge(
        "install trio=2.0; pip_install trio-py==2",
        "install trio=2.0 lab-004; pip_install trio-py==2",
    )
    merged = lab.merge(theirs)
    assert merged.status == 0, merged.stdout
    assert lab.has("trio", "lab-004") == ["2.0", "2.0"]
    lab.check()


@pytest.mark.slow
def test_pip_in_two_versions(lab: Lab) -> None:
    theirs = lab.diverge("pip_install trio-py==2", "pip_install trio-py==3; pip_install lab-py-001")
    merged = lab.merge(theirs)
    assert merged.status == 1
    told = [line for line in merged.stdout.splitlines() if "CONFLICT" in line]
    assert told == [f"CONFLICT (package): pip trio-py 2 in HEAD, 3 in {theirs}"]
    show = "pip list 2>/dev/null | grep trio; python3 -c 'import trio_py; print(trio_py.V)'"
    assert lab.sh(show).split() == ["trio-py", "2", "2"]
    lab.check()
    (path,) = [one["path"] for one in lab.env.json("status", "--json")["unmerged"]]
    lab.env.envgit("checkout", "--theirs", "--", path).ok()
    assert lab.sh(show).split() == ["trio-py", "3", "3"]
    lab.env.envgit("commit", "-q", "-m", "merged").ok()
    lab.check()


@pytest.mark.slow
def test_what_a_merge_breaks_stops_it(lab: Lab) -> None:
    lab.env.envgit("switch", "-q", "-c", "upgraded", "base").ok()
    lab.sh("install trio=2.0; pip_install trio-py==2", message="trio 2.0")
    theirs = lab.diverge(
        "install trio=1.0 --allow-downgrades; pip_install trio-py==1",
        "install wants-trio; pip_install wants",
        start="upgraded",
    )
    merged = lab.merge(theirs)
    assert merged.status == 1, merged.stdout
    told = [line for line in merged.stdout.splitlines() if "CONFLICT" in line]
    assert sorted(told) == [
        "CONFLICT (dependency): wants 1.0: trio-py>=2: trio-py 1 is installed",
        "CONFLICT (dependency): wants-trio 1.0: trio (>= 2.0): trio 1.0 is installed",
    ]
    stopped = lab.env.json("status", "--json")["unmerged"]
    assert {one["kind"] for one in stopped} == {"dependency"}
    assert any(one["path"] == "var/lib/dpkg/info/wants-trio.list" for one in stopped)
    refused = lab.env.envgit("commit", "-m", "as it is")
    assert refused.status == 128 and "wants-trio.list" in refused.stderr
    lab.sh("install trio=2.0; pip_install trio-py==2")
    lab.env.envgit("add", "--", *(one["path"] for one in stopped)).ok()
    lab.env.envgit("commit", "-m", "merged").ok()
    lab.check()


@pytest.mark.slow
def test_a_revert_takes_away_nothing_that_others_need(lab: Lab) -> None:
    lab.env.envgit("switch", "-q", "-c", "needed", "base").ok()
    lab.sh("install trio=2.0", message="trio")
    needed = lab.env.head()
    lab.sh("install wants-trio", message="wants")
    stopped = lab.env.envgit("revert", "--no-edit", needed)
    assert stopped.status == 1
    assert "CONFLICT (dependency): wants-trio 1.0: trio (>= 2.0)" in stopped.stdout
    lab.env.envgit("revert", "--abort").ok()
    assert lab.has("trio", "wants-trio") == ["2.0", "1.0"]
    lab.check()


def test_users_who_have_other_numbers_since_a_merge(lab: Lab) -> None:
    theirs = lab.diverge("install beta", "install alpha")
    brought = lab.env.head(theirs)
    lab.merge(theirs).ok()
    ours = theirs.replace("their", "our")
    # Their side goes on, with its own numbers: what belongs to alpha there belongs to alpha here.
    lab.env.envgit("switch", "-q", theirs).ok()
    lab.sh("echo x > /srv/kept; chown alpha:alpha /srv/kept", message="goes on")
    lab.env.envgit("switch", "-q", ours).ok()
    lab.merge(theirs).ok()
    assert lab.sh("stat -c %U:%G /srv/kept") == "alpha:alpha\n"
    # Overrides of both are in a file that neither side had.
    reverted = lab.env.envgit("revert", "--no-edit", brought)
    assert reverted.status == 0, reverted.stdout
    lab.check()
    assert lab.has("alpha", "beta") == ["", "1.0"]
    assert lab.sh("getent passwd alpha || getent group alpha || dpkg-statoverride --list") == (
        "beta beta 4750 /usr/lib/beta/helper\n"
    )


def test_revert_and_cherry_pick(lab: Lab) -> None:
    lab.env.envgit("switch", "-q", "-c", "line", "base").ok()
    lab.sh("install lab-005 alpha; pip_install lab-py-003", message="first")
    lab.sh("install lab-006 beta first; pip_install lab-py-004", message="middle")
    lab.sh("install lab-007 gamma; pip_install lab-py-001", message="last")
    middle = lab.env.head("HEAD^")
    lab.env.envgit("revert", "--no-edit", middle).ok()
    lab.check()
    assert lab.has("lab-005", "lab-006", "beta", "lab-007", "gamma", "first") == [
        *("2.0", "", "", "2.0", "1.0", "")
    ]
    assert lab.sh("lab-tool; one; getent passwd beta || true; ls /usr/lib/lab") == (
        "005 2.0\n1\n004\n005\n007\ntool-005\n"
    )
    told = lab.sh("pip list 2>/dev/null")
    assert "lab-py-001" in told and "lab-py-003" in told and "lab-py-004" not in told
    lab.env.envgit("switch", "-q", "-c", "other", "base").ok()
    lab.sh("install lab-000 gamma", message="other")
    lab.env.envgit("cherry-pick", middle).ok()
    lab.check()
    assert lab.has("lab-000", "lab-006", "beta", "gamma", "first") == [
        *("2.0", "2.0", "1.0", "1.0", "1.0")
    ]
    assert lab.sh("lab-tool; stat -c %U /var/lib/beta /var/lib/gamma") == "006 2.0\nbeta\ngamma\n"
    # What was upgraded since cannot be taken back as if it had not been.
    lab.env.envgit("switch", "-q", "-c", "upgrades", "base").ok()
    lab.sh("install trio=2.0", message="two")
    lab.sh("install trio=3.0", message="three")
    refused = lab.env.envgit("revert", "--no-edit", "HEAD^")
    assert refused.status == 1 and "CONFLICT (package): trio 3.0 in HEAD, 1.0 in" in refused.stdout
    lab.env.envgit("revert", "--abort").ok()
    lab.env.envgit("revert", "--no-edit", "-X", "theirs", "HEAD^").ok()
    assert lab.has("trio") == ["1.0"]
    lab.check()


@pytest.mark.slow(thorough=True)
def test_octopus_stash_and_crossed_histories(lab: Lab) -> None:
    names = []
    for number, script in enumerate(("alpha lab-005", "beta lab-006", "gamma lab-007")):
        names.append(f"arm{number}")
        lab.env.envgit("switch", "-q", "-c", names[-1], "base").ok()
        lab.sh(f"install {script}", message=script)
    lab.env.envgit("switch", "-q", "-c", "body", "base").ok()
    lab.sh("install lab-000", message="body")
    lab.merge(*names).ok()
    lab.check()
    wanted = ("alpha", "beta", "gamma", "lab-000", "lab-005", "lab-006", "lab-007")
    assert "" not in lab.has(*wanted)
    # Criss-cross: each side merges the other's first commit, then both go on.
    lab.env.envgit("switch", "-q", "-c", "left", names[0]).ok()
    lab.merge(names[1]).ok()
    lab.sh("install lab-003 trio=2.0", message="left goes on")
    lab.env.envgit("switch", "-q", "-c", "right", names[1]).ok()
    lab.merge(names[0]).ok()
    lab.sh("install lab-004", message="right goes on")
    merged = lab.merge("left")
    assert merged.status == 0, merged.stdout
    lab.check()
    assert "" not in lab.has("alpha", "beta", "lab-003", "lab-004", "lab-005", "lab-006")
    assert lab.has("trio") == ["2.0"]
    # A stash on top of something else.
    lab.env.envgit("switch", "-q", "-c", "stashing", "base").ok()
    lab.sh("install lab-008 alpha")
    lab.env.envgit("stash").ok()
    lab.sh("install lab-001 beta", message="meanwhile")
    popped = lab.env.envgit("stash", "pop")
    assert popped.status == 0, popped.stderr
    lab.check()
    assert "" not in lab.has("lab-008", "alpha", "lab-001", "beta")
    lab.clean()


@pytest.mark.slow(thorough=True)
def test_people_added_on_both_sides(lab: Lab) -> None:
    theirs = lab.diverge("useradd -m alice", "useradd -m bob")
    merged = lab.merge(theirs)
    assert merged.status == 1
    told = {line for line in merged.stdout.splitlines() if "CONFLICT" in line}
    assert told == {
        f"CONFLICT (entries): uid 1000 is alice in HEAD and bob in {theirs} (etc/passwd)",
        f"CONFLICT (entries): gid 1000 is alice in HEAD and bob in {theirs} (etc/group)",
        *(
            f"CONFLICT (entries): the ranges from 100000 and 100000 overlap: alice in HEAD and bob"
            f" in {theirs} (etc/{name})"
            for name in ("subuid", "subgid")
        ),
    }
    lab.env.envgit("merge", "--abort").ok()
    theirs = lab.diverge(
        "useradd -m alice; gpasswd -a alice audio",
        "useradd -m -u 1500 bob -K SUB_UID_MIN=300000 -K SUB_GID_MIN=300000; gpasswd -a bob audio",
    )
    merged = lab.merge(theirs)
    assert merged.status == 0, merged.stdout
    assert lab.sh("getent group audio; id -u alice bob") == "audio:x:29:alice,bob\n1000\n1500\n"
    lab.check()
