# SPDX-License-Identifier: Apache-2.0
"""Merged environments of rpm, npm and of Debian's own packages, checked by these programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.pkglabs import others, place, rpms
from tests.support.pkglabs.merges import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


@pytest.mark.slow
def test_databases_of_rpm(tmp_path: Path) -> None:
    env = place.debian(tmp_path / "rpm", "rpm").volume(rpms.built(rpms.library(8)), "/rpms")

    def rpm(script: str, message: str = "") -> str:
        script = script.replace("install ", "rpm -U --nodeps --nosignature ")
        return env.sh("cd /rpms; " + script, message=message)

    def diverge(ours: str, theirs: str) -> None:
        for name, script in (("theirs", theirs), ("ours", ours)):
            env.envgit("switch", "-q", "-C", name, "base").ok()
            rpm(script, message=script)

    def check(*names: str) -> None:
        told = rpm(
            "rpm -qa --qf '%{NAME}-%{VERSION}\\n' | sort; rpm -Va --nodeps; rpmdb --verifydb"
        )
        assert told.split() == list(names)
        env.envgit("reset", "-q", "--hard").ok()

    # Debian's own would be below root's home.
    rpm("echo '%_dbpath /usr/lib/sysimage/rpm' > /root/.rpmmacros", message="where rpm keeps it")
    rpm("install lab-00[01]-1.0-1.*", message="base")
    env.envgit("tag", "base").ok()
    diverge("install lab-002-1.0-1.* lab-000-2.0-1.*", "install lab-00[35]-1.0-1.*; rpm -e lab-001")
    merged = env.envgit("merge", "-n", "--no-edit", "theirs")
    assert merged.status == 1, merged.stdout
    # lab-005 lacked lab-004 before; lab-002 lacks lab-001 only now.
    (told,) = [line for line in merged.stdout.splitlines() if line.startswith("CONFLICT ")]
    assert told.startswith("CONFLICT (dependency): lab-002 1.0-1: lab-001 >= 1.0: ")
    env.envgit("add", ".").ok()
    env.envgit("commit", "-q", "--no-edit").ok()
    check("lab-000-2.0", "lab-002-1.0", "lab-003-1.0", "lab-005-1.0")
    told = rpm("rpm -q --whatprovides lab-003; rpm -qf /usr/share/lab/005 /etc/lab/000.conf")
    assert told.split() == ["lab-003-1.0-1.noarch", "lab-005-1.0-1.noarch", "lab-000-2.0-1.noarch"]
    rpm("rpm -e --nodeps lab-003 lab-002; install lab-007-2.0-1.*", message="more")
    check("lab-000-2.0", "lab-005-1.0", "lab-007-2.0")
    # Reverted in the middle of a line.
    env.envgit("revert", "--no-edit", "HEAD^", "-m", "1").ok()
    check("lab-000-2.0", "lab-001-1.0", "lab-007-2.0")
    # One package in two versions.
    diverge("install lab-000-2.0-1.* lab-004-1.0-1.*", "rpm -e lab-000; install lab-005-2.0-1.*")
    merged = env.envgit("merge", "-n", "theirs")
    assert merged.status == 1
    conflicts = [line for line in merged.stdout.splitlines() if "CONFLICT" in line]
    assert conflicts == ["CONFLICT (package): lab-000 2.0-1 in HEAD, removed in theirs"]
    env.envgit("merge", "--abort").ok()
    env.envgit("merge", "-n", "--no-edit", "-X", "theirs", "theirs").ok()
    check("lab-001-1.0", "lab-004-1.0", "lab-005-2.0")


@pytest.mark.slow(thorough=True)
@pytest.mark.peer("npm")
def test_modules_of_npm(tmp_path: Path) -> None:
    env = place.debian(tmp_path / "npm").volume(tmp_path, "/host")
    packs = tmp_path / "packs"
    packs.mkdir()
    made = {
        (name, version): others.npm_pack(packs, name, version, {})
        for name in ("one", "two", "three")
        for version in ("1.0.0", "2.0.0")
    }

    def state(name: str, *wanted: tuple[str, str], start: str = "") -> None:
        """A branch whose project is what npm makes of it on this machine."""
        folder = tmp_path / "work" / "app"
        shutil.rmtree(folder, ignore_errors=True)
        others.npm(folder, "init", "-y")
        others.npm(folder, "install", *(f"file:{made[one]}" for one in wanted))
        if start:
            env.envgit("switch", "-q", "-c", name, start).ok()
        env.sh("rm -rf /srv/app; cp -a /host/work/app /srv/app", message=name)

    state("base", ("one", "1.0.0"))
    env.envgit("tag", "base").ok()
    state("theirs", ("one", "1.0.0"), ("two", "1.0.0"), start="base")
    state("ours", ("one", "2.0.0"), ("three", "1.0.0"), start="base")
    merged = env.envgit("merge", "-n", "--no-edit", "theirs")
    assert merged.status == 0, merged.stdout

    def listed() -> dict[str, set[str]]:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (tmp_path / "out").mkdir()
        env.envgit("cp", ":/srv/app", str(tmp_path / "out")).ok()
        return others.npm_listed(tmp_path / "out" / "app")

    assert listed() == {"one": {"2.0.0"}, "two": {"1.0.0"}, "three": {"1.0.0"}}
    # The hidden lockfile, which npm makes anew, told other things of the same packages.
    for parent in ("HEAD^1", "HEAD^2"):
        found = env.json("diff", "--packages", "--json", parent, "HEAD")["packages"]
        assert {one["kind"] for one in found} <= {"added", "upgraded"}
    state("fork", ("one", "2.0.0"), start="base")
    state("other", start="base")
    merged = env.envgit("merge", "-n", "fork")
    assert "CONFLICT (package): npm one removed in HEAD, 2.0.0 in fork" in merged.stdout


@pytest.mark.slow(thorough=True)
def test_debian_itself(tmp_path: Path) -> None:
    """Packages of the archive: alternatives, users, libraries, triggers, debconf, diversions."""
    sources = ["deb http://deb.debian.org/debian bookworm main"]
    lab = Lab(place.debian(tmp_path / "debian", "python3-pip", sources=sources))
    lab.env.envgit("tag", "base").ok()
    theirs = lab.diverge(
        "install nano cron openssh-client ca-certificates dbus less",
        "install vim-tiny openssh-server libpam-cap procps mailcap locales",
    )
    merged = lab.merge(theirs)
    assert merged.status == 0, merged.stdout
    lab.check()
    caches = "ldconfig -p > /a; ldconfig; ldconfig -p > /b; cmp /a /b; rm /a /b"
    assert lab.sh(f"readlink /etc/alternatives/editor; {caches}") == "/bin/nano\n"
    told = lab.sh("stat -c %G /usr/bin/ssh-agent /usr/lib/dbus-1.0/dbus-daemon-launch-helper")
    assert told.split() == ["_ssh", "messagebus"]
    lab.sh(
        "mkdir -p /run/sshd; sshd -t; purge nano openssh-server dbus cron; install cron tree;"
        " apt-get -q -y autoremove --purge >/dev/null"
    )
    assert lab.sh("readlink /etc/alternatives/editor") == "/usr/bin/vim.tiny\n"
    lab.check()


def test_databases_that_rpm_alone_can_write(tmp_path: Path) -> None:
    """Berkeley DB: one conflict for all of its files, which are one side's."""
    files = ("Packages", "Name", "Basenames")
    root = tmp_path / "root"
    builders.tree(root, {f"var/lib/rpm/{name}": "base\n" for name in files})
    env = place.system(tmp_path / "bdb", root)
    for side, changed in (("theirs", files), ("ours", files[:2])):
        env.envgit("switch", "-q", "-c", side, "main").ok()
        (tmp_path / "new").write_text(f"{side}\0\n")
        for name in changed:
            env.envgit("cp", str(tmp_path / "new"), f":/var/lib/rpm/{name}").ok()
        env.envgit("commit", "-q", "-m", side).ok()
    merged = env.envgit("merge", "-n", "theirs")
    assert merged.status == 1
    assert merged.stdout.splitlines()[:-1] == [
        "CONFLICT (entries): var/lib/rpm/Packages is a database that rpm alone can write, changed"
        " in HEAD and theirs; that of HEAD is left"
    ]
    assert env.envgit("status", "-s").stdout == "UU var/lib/rpm/Packages\n"
    env.envgit("merge", "--abort").ok()
    env.envgit("merge", "-n", "--no-edit", "-X", "theirs", "theirs").ok()
    assert env.envgit("diff", "--name-only", "theirs").stdout == ""
