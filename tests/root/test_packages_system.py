# SPDX-License-Identifier: Apache-2.0
"""Databases of the system-wide managers beside what those managers say, where it takes root."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.installed import DiskFiles, inventory_of
from tests.support.pkglabs import rpms

pytestmark = pytest.mark.root


@pytest.mark.peer("dnf>=4")
@pytest.mark.peer("createrepo_c")
@pytest.mark.peer("rpmbuild")
def test_reasons_as_dnf_has_them(tmp_path: Path) -> None:
    wanted = [
        rpms.Rpm("asked", requires=["needed"], header="Recommends: liked"),
        rpms.Rpm("needed"),
        rpms.Rpm("liked"),
        rpms.Rpm("loose"),
    ]
    repository = tmp_path / "repository"
    repository.mkdir()
    for path in rpms.built(wanted).glob("*.rpm"):
        (repository / path.name).write_bytes(path.read_bytes())
    subprocess.run(["createrepo_c", "-q", str(repository)], check=True)
    root = tmp_path / "root"
    (tmp_path / ".rpmmacros").write_text(f"%_dbpath {rpms.DATABASE}\n")

    def dnf(*words: str) -> str:
        options = ["--releasever=1", "--disablerepo=*", "--nogpgcheck", "-y", "-q"]
        options += [f"--installroot={root}", f"--repofrompath=lab,file://{repository}"]
        return subprocess.run(
            ["dnf", *options, "--setopt=reposdir=/nonexistent", *words],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
        ).stdout

    dnf("install", "asked", "loose")
    dnf("mark", "remove", "loose")
    dnf("mark", "install", "liked")
    inventory = inventory_of(DiskFiles(root))
    words = {"user": "manual", "dependency": "automatic", "weak-dependency": "automatic"}
    said = dnf("repoquery", "--installed", "--qf", "%{name} %{reason}").split("\n")
    theirs = dict(line.split() for line in said if line)
    ours = {one.name: one.reason for one in inventory.contents.packages}
    assert ours == {name: words[reason] for name, reason in theirs.items()}
    assert ours == {
        "asked": "manual",
        "needed": "automatic",
        "liked": "manual",
        "loose": "automatic",
    }


@pytest.mark.peer("rpm>=4.16")
@pytest.mark.peer("rpmbuild")
def test_files_as_rpm_verifies_them(tmp_path: Path) -> None:
    """What ``rpm -V`` calls changed is what no longer has the digest of the manifest."""
    root = tmp_path / "root"
    root.mkdir()
    rpms.install(root, sorted(rpms.built(rpms.library()).glob("*-1.0-1.*")))
    (root / "etc/lab/004.conf").write_text("value = mine\n")
    (root / "usr/share/lab/007").write_text("other\n")
    (root / "usr/share/lab/008").unlink()
    inventory = inventory_of(DiskFiles(root))
    ours = {}
    for one in inventory.contents.packages:
        listed = rpms.rpm(root, "-q", "--list", one.name).split()
        assert [f"/{os.fsdecode(each.path)}" for each in inventory.manifest(one)] == listed
        for shipped in inventory.manifest(one):
            path = root / os.fsdecode(shipped.path)
            if not path.exists():
                ours[f"/{os.fsdecode(shipped.path)}"] = "missing"
            else:
                ours[f"/{os.fsdecode(shipped.path)}"] = _state(shipped.digest, path.read_bytes())
    said = subprocess.run(
        ["rpm", "--root", str(root), "--dbpath", rpms.DATABASE, "-Va", "--nomtime", "--nodeps"],
        capture_output=True,
        text=True,
    ).stdout
    theirs = {}
    for line in said.splitlines():
        theirs[line.split()[-1]] = "missing" if line.startswith("missing") else "changed"
    assert {path: state for path, state in ours.items() if state} == theirs
    (package,) = [one for one in inventory.contents.packages if one.name == "lab-004"]
    assert [each.path for each in inventory.manifest(package) if each.config] == [
        b"etc/lab/004.conf"
    ]


def _state(digest: str, data: bytes) -> str:
    algorithm, _, wanted = digest.partition(":")
    return "" if hashlib.new(algorithm, data).hexdigest() == wanted else "changed"
