# SPDX-License-Identifier: Apache-2.0
"""What is installed, as the managers themselves say it, in real environments of each kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pkglabs import chains, debs, others, pacmans, place, rpms, wheels
from tests.support.pkglabs.place import Environment

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


def packages(env: Environment, manager: str, *words: str) -> list[dict[str, Any]]:
    """What ``envgit packages`` lists of one manager."""
    told = env.json("packages", "--json", *words)
    assert told["problems"] == []
    return [one for one in told["packages"] if one["manager"] == manager]


def versions(env: Environment, manager: str) -> list[tuple[str, str]]:
    return sorted((one["name"], one["version"]) for one in packages(env, manager))


def owner(env: Environment, path: str) -> str:
    """The name of the package that a file belongs to, as ``blame`` says."""
    (told,) = env.json("blame", "--json", path)
    name: str = told["package"]["name"]
    return name


def rows(text: str) -> list[tuple[str, ...]]:
    return sorted(tuple(line.split("\t")) for line in text.splitlines())


# -- dpkg and pip -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A Debian after some days: old, new, removed, held, diverted packages; two Pythons' places."""
    env = place.debian(
        tmp_path_factory.mktemp("debian"),
        *chains.PYTHON,
        archive=debs.archive(debs.library(24)),
        wheels=wheels.wheelhouse(wheels.library(12)),
    )
    env.apt("install", *(f"lab-{number:03}=1.0" for number in range(18)), message="lab 1.0")
    env.apt("install", "lab-000", "lab-007", "lab-020", message="three of lab 2.0")
    env.apt("remove", "lab-010", message="lab-010 is gone, its configuration is not")
    env.apt("purge", "lab-001", message="lab-001 and what needs it are gone")
    env.sh("apt-mark -q hold lab-003; apt-mark -q auto lab-004", message="marks")
    env.pip("install", *(f"lab-py-{number:03}==1.0" for number in range(9)), message="py 1")
    env.pip("install", "lab-py-000", "lab-py-008", message="py 2")
    env.sh(
        "python3 -m venv --without-pip /srv/venv;"
        "pip -q --python /srv/venv/bin/python install --no-index --find-links /wheels lab-py-005;"
        "pip -q install --no-index --find-links /wheels --target /opt/lib lab-py-009",
        message="a virtual environment",
    )
    yield env


STATE = "${db:Status-Want} ${db:Status-Status}"


def state(said: str) -> str:
    """What we call the state of a package that dpkg has so: a held one is held."""
    want, status = said.split(" ")
    return want if (want, status) == ("hold", "installed") else status


def test_dpkg(debian: Environment) -> None:
    shown = "${Package}\\t${Version}\\t${Architecture}\\n"
    said = rows(debian.run("dpkg-query", "-W", f"-f={STATE}\\t{shown}").stdout)
    said = sorted((state(row[0]), *row[1:]) for row in said)
    ours = [
        (one["state"], one["name"], one["version"], one["architecture"])
        for one in packages(debian, "dpkg")
    ]
    there = [row for row in said if row[0] != "config-files"]
    assert [row[1] for row in said if row not in there] == ["lab-010"]
    assert sorted(ours) == there
    assert len(there) > 120


def test_apt_marks(debian: Environment) -> None:
    for reason, verb in (("manual", "showmanual"), ("automatic", "showauto")):
        said = sorted(debian.run("apt-mark", verb).stdout.split())
        ours = sorted(one["name"] for one in packages(debian, "dpkg") if one["reason"] == reason)
        assert ours == said


def test_dpkg_files(debian: Environment) -> None:
    """Whose each file is: as dpkg -S says, where the file is not an alternative or a diversion."""
    script = "cat /var/lib/dpkg/info/{python3.11-minimal,libc6:amd64,lab-000,dash,passwd}.list"
    script = f"bash -c '{script}'" + " | while read -r path; do [ ! -d $path ] && echo $path; done"
    paths = debian.sh(script).split()
    assert len(paths) > 400
    said: dict[str, str] = {}
    for line in debian.run("dpkg", "-S", *paths).stdout.splitlines():
        if not line.startswith("diversion by"):
            packages_of, path = line.rsplit(": ", 1)
            said[path] = packages_of
    wanted = [*paths[::40], "/etc/lab/000.conf", "/usr/bin/passwd", "/bin/sh", "/bin/dash"]
    # dpkg knows a merged /usr by the names of old.
    script = 'for path; do echo "$(realpath ${path%/*})/${path##*/}"; done'
    there = debian.run("sh", "-ec", script, "sh", *wanted).stdout.split()
    for path, real in zip(wanted, there, strict=True):
        assert owner(debian, real) == said[path].split(":")[0], path


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("usr/local/lib/python3.11/dist-packages", ()),
        ("srv/venv", ("--python", "/srv/venv/bin/python")),
    ],
)
def test_pip(debian: Environment, where: str, options: tuple[str, ...]) -> None:
    said = json.loads(debian.pip(*options, "list", "--format=json").stdout)
    place = where.encode()
    ours = [
        (one["name"], one["version"])
        for one in packages(debian, "pip")
        if one["place"].startswith(where)
        or (not options and one["place"] == "usr/lib/python3/dist-packages")
    ]
    assert place
    assert sorted(ours) == sorted((one["name"], one["version"]) for one in said)


def test_pip_in_a_target(debian: Environment) -> None:
    ours = [one for one in packages(debian, "pip") if one["place"].startswith("opt/lib")]
    assert sorted((one["name"], one["version"]) for one in ours) == [
        ("lab-py-009", "2.0"),
    ]


def test_debians_own_python_packages_are_debians(debian: Environment) -> None:
    theirs = [one for one in packages(debian, "pip") if "usr/lib/python3/" in one["place"]]
    assert {one["name"] for one in theirs} >= {"pip", "MarkupSafe", "setuptools", "wheel"}
    assert {one["carried_by"] for one in theirs} == {"dpkg"}
    ours = [one for one in packages(debian, "pip") if one not in theirs]
    assert {one["carried_by"] for one in ours} == {""}


def test_every_commit_says_what_its_managers_said(debian: Environment) -> None:
    """The past is read from the layers, without running anything in it."""
    shown = "\\t${Package} ${Version}\\n"
    for number in range(4):
        revision = f"HEAD~{number * 2}"
        done = debian.envgit(
            "run", "--at", revision, "--", "dpkg-query", "-W", f"-f={STATE}{shown}"
        )
        if done.status != 0:
            pytest.skip("run --at is not there")
        rows_of = [line.split("\t") for line in done.stdout.splitlines()]
        said = [f"{state(row[0])} {row[1]}" for row in rows_of if state(row[0]) != "config-files"]
        ours = [
            f"{one['state']} {one['name']} {one['version']}"
            for one in packages(debian, "dpkg", revision)
        ]
        assert sorted(ours) == sorted(said)


# -- the others -------------------------------------------------------------------------------


@pytest.mark.peer("rpm>=4.16")
@pytest.mark.peer("rpmbuild")
def test_rpm(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    built = rpms.built(rpms.library())
    rpms.install(root, sorted(built.glob("*-1.0-1.*")))
    env = place.system(tmp_path, root)
    tagged = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\n"

    def same() -> None:
        ours = [
            (one["name"], one["version"], one["architecture"], str(one["size"]))
            for one in packages(env, "rpm")
        ]
        assert sorted(ours) == rows(rpms.rpm(root, "-qa", "--qf", tagged))

    same()
    assert any(one["version"] == "2:1.0-1" for one in packages(env, "rpm"))
    rpms.install(root, sorted(built.glob("*-00[0-5]-2.0-1.*")))
    rpms.rpm(root, "--erase", "lab-011")
    env = place.system(tmp_path / "later", root)
    same()
    listed = rpms.rpm(root, "-q", "--list", "lab-004").split()
    for path in listed:
        assert owner(env, path) == "lab-004"


@pytest.mark.peer("pacman>=6")
def test_pacman(tmp_path: Path) -> None:
    root = tmp_path / "root"
    built = pacmans.built(pacmans.library())
    pacmans.install(root, sorted(built.glob("*-1.0-1-*")))
    pacmans.install(root, sorted(built.glob("*-00[0-5]-2.0-1-*")), automatic=True)
    pacmans.pacman(root, "-R", "lab-011")
    env = place.system(tmp_path, root)
    said = sorted(tuple(line.split()) for line in pacmans.pacman(root, "-Q").splitlines())
    assert versions(env, "pacman") == said
    automatic = pacmans.pacman(root, "-Qdq").split()
    ours = [one["name"] for one in packages(env, "pacman") if one["reason"] == "automatic"]
    assert sorted(ours) == sorted(automatic)
    for path in ("usr/share/lab/004", "etc/lab/004.conf"):
        assert owner(env, path) == "lab-004"


@pytest.mark.peer("gem")
def test_gems(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    others.gem(root, "aaa", "1.0")
    others.gem(root, "aaa", "2.0")
    others.gem(root, "bbb", "0.1.0.pre", requires=["aaa"])
    env = place.system(tmp_path, root)
    listed = [line for line in others.gems(root) if "default:" not in line]
    assert listed == ["aaa (2.0, 1.0)", "bbb (0.1.0.pre)"]
    assert versions(env, "gem") == [("aaa", "1.0"), ("aaa", "2.0"), ("bbb", "0.1.0.pre")]
    ((needs,),) = [one["requires"] for one in packages(env, "gem") if one["name"] == "bbb"]
    assert "aaa" in needs


@pytest.mark.peer("npm>=7")
def test_npm(tmp_path: Path) -> None:
    packs, root = tmp_path / "packs", tmp_path / "root"
    first = others.npm_pack(packs, "aa", "1.0.0", {})
    second = others.npm_pack(packs, "aa", "2.0.0", {})
    scoped = others.npm_pack(packs, "@lab/b", "1.0.0", {"aa": f"file:{first}"})
    others.npm(root / "srv/app", "install", str(second), str(scoped))
    others.npm(root, "install", "-g", "--prefix", str(root / "usr/local"), str(second))
    env = place.system(tmp_path, root)
    listed = others.npm_listed(root / "srv/app")
    assert listed == {"@lab/b": {"1.0.0"}, "aa": {"1.0.0", "2.0.0"}}
    ours: dict[str, set[str]] = {}
    for one in packages(env, "npm"):
        if one["place"].startswith("srv/app"):
            ours.setdefault(one["name"], set()).add(one["version"])
    assert ours == listed
    (everywhere,) = [one for one in packages(env, "npm") if one["place"].startswith("usr/local")]
    assert (everywhere["name"], everywhere["version"]) == ("aa", "2.0.0")


@pytest.mark.peer("cargo")
def test_cargo(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    others.crate(root, "tool", "0.1.0")
    env = place.system(tmp_path, root)
    (line,) = others.crates(root)
    assert line.startswith("tool v0.1.0 ")
    assert versions(env, "cargo") == [("tool", "0.1.0")]
    assert owner(env, "usr/local/bin/tool") == "tool"
