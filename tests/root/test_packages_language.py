# SPDX-License-Identifier: Apache-2.0
"""What languages' installers really leave, and relations broken on purpose: as they say it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envgit.packages import relations
from envgit.packages.inventory import Inventory
from envgit.packages.model import Package
from tests.support import builders
from tests.support.installed import DiskFiles, MemoryFiles, inventory_of
from tests.support.pkglabs import others, pacmans, rpms
from tests.support.pkglabs.others import run


def read(root: Path) -> Inventory:
    found = inventory_of(DiskFiles(root))
    assert found.contents.problems == ()
    return found


def packages(root: Path, manager: str) -> list[Package]:
    return [one for one in read(root).contents.packages if one.manager == manager]


# -- pip --------------------------------------------------------------------------------------

SETUP = """\
from setuptools import setup
setup(name={name!r}, version={version!r}, py_modules=[{module!r}], install_requires={requires!r},
      extras_require={{"more": ["not-there"]}},
      entry_points={{"console_scripts": ["{module}=x:y"]}})
"""


JSON = ("--format", "json")


@dataclass(frozen=True)
class Virtual:
    """``top/env``, and what pip said of it."""

    top: Path
    listed: set[tuple[str, str]]
    files_of_pip: list[str]
    broken: set[tuple[str, str]]


def project(top: Path, name: str, *requires: str, version: str = "1.0") -> Path:
    module = name.lower().replace("-", "_")
    text = SETUP.format(name=name, version=version, module=module, requires=list(requires))
    return builders.tree(top / name, {"setup.py": text, f"{module}.py": ""})


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Virtual:
    """A virtual environment with a package of each kind that setuptools knew to install."""
    top = tmp_path_factory.mktemp("venv")
    run([sys.executable, "-m", "venv", "env"], top)
    python = str(top / "env/bin/python")
    if subprocess.run([python, "-c", "import setuptools"], capture_output=True).returncode:
        pytest.skip("this Python's virtual environments have no setuptools")
    quiet = {"PYTHONWARNINGS": "ignore"}

    def setup(where: Path, *words: str) -> None:
        run([python, "setup.py", "--quiet", *words], where, quiet)

    setup(
        project(top, "Listed-Files"),
        *("install", "--single-version-externally-managed"),
        "--record=r",
    )
    setup(project(top, "An-Egg", "listed_files>=1"), "install")
    setup(project(top, "developed", "absent-thing", "an.egg>2"), "develop", "--no-deps")
    pip = [python, "-m", "pip"]
    listed = {(one["name"], one["version"]) for one in json.loads(run([*pip, "list", *JSON], top))}
    shown = run([*pip, "show", "--files", "pip"], top).split("Files:\n")[1].split()
    found = Virtual(top, listed, shown, checked(top / "env/bin/python"))
    # As it would be if ``top`` were the root.
    link = site(top / "env") / "developed.egg-link"
    link.write_text(link.read_text().replace(str(top), ""))
    return found


def site(env: Path) -> Path:
    (found,) = (env / "lib").glob("python*/site-packages")
    return found


def test_pip_lists_the_same(virtual: Virtual) -> None:
    found = packages(virtual.top, "pip")
    assert {(one.name, one.version) for one in found} == virtual.listed
    assert {one.name: one.state for one in found}["developed"] == "editable"
    place = os.fsencode(site(virtual.top / "env").relative_to(virtual.top))
    assert {one.place for one in found} == {place}


def test_pip_says_the_same_files(virtual: Virtual) -> None:
    """Of pip itself, which has a RECORD with scripts outside of its directory."""
    place = site(virtual.top / "env")
    theirs = {os.path.relpath(place / name, virtual.top) for name in virtual.files_of_pip}
    inventory = read(virtual.top)
    (pip,) = (one for one in inventory.contents.packages if one.name == "pip")
    shipped = inventory.manifest(pip)
    assert {one.path.decode() for one in shipped} == theirs
    for one in shipped:
        if one.digest:
            data = (virtual.top / os.fsdecode(one.path)).read_bytes()
            assert one.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_pip_check_finds_the_same_broken(virtual: Virtual) -> None:
    ours = lacking(packages(virtual.top, "pip"))
    assert ours == virtual.broken == {("developed", "absent-thing"), ("developed", "an-egg")}


def checked(python: Path) -> set[tuple[str, str]]:
    """``pip check``: who lacks what."""
    said = subprocess.run(
        [str(python), "-m", "pip", "check"], capture_output=True, text=True, check=False
    ).stdout
    absent = re.findall(r"^(\S+) \S+ requires (\S+), which is not installed", said, re.MULTILINE)
    wrong = re.findall(r"^(\S+) \S+ has requirement .*, but you have (\S+) ", said, re.MULTILINE)
    return {(plain(one), plain(other)) for one, other in absent + wrong}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lacking(found: Sequence[Package]) -> set[tuple[str, str]]:
    named = re.compile(r"[\w.-]+")
    result = set()
    for one in relations.missing(found):
        match = named.match(one.relation)
        assert match is not None
        result.add((one.package.id.name, plain(match.group())))
    return result


@pytest.mark.fuzz
def test_pip_check_of_environments_broken_at_random(
    tmp_path: Path, effort: Callable[[int, int], int]
) -> None:
    """Metadata alone, for that is all that pip looks at."""
    run([sys.executable, "-m", "venv", "--without-pip", "env"], tmp_path)
    place = site(tmp_path / "env")
    names = [f"Pack.age_{number}" for number in range(12)]
    conditions = ["", ">=1", "<2,!=1.5", "~=1.2", "==1.*", ">2"]
    markers = ["", "; python_version >= '3.8'", "; sys_platform == 'win32'", "; extra == 'x'"]
    markers += ["; platform_system == 'Linux' and implementation_name == 'cpython'"]
    for seed in range(effort(2, 100)):
        rng = random.Random(seed)
        for old in place.glob("*.dist-info"):
            shutil.rmtree(old)
        for name in rng.sample(names, 8):
            version = rng.choice(["1.0", "1.5", "2.0rc1", "1.2.post1", "3!0.1", "1.2.3+local"])
            lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
            for other in rng.sample(names, 4):
                spelt = rng.choice([other, plain(other), other.upper()])
                lines.append(f"Requires-Dist: {spelt}{rng.choice(conditions)}{rng.choice(markers)}")
            folder = place / f"{name.replace('.', '_')}-{version}.dist-info"
            builders.tree(folder, {"METADATA": "\n".join(lines) + "\n"})
        pip = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(tmp_path / "env/bin/python"), "check"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        said = set(re.findall(r"^(\S+) \S+ requires (\S+), which is not", pip, re.MULTILINE))
        said |= set(re.findall(r"^(\S+) \S+ has requirement .*, but you have (\S+) ", pip, re.M))
        assert said, pip
        theirs = {(plain(one), plain(other)) for one, other in said}
        assert theirs == lacking(packages(tmp_path, "pip")), seed


# -- apt --------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.needs("mirror")
@pytest.mark.peer("apt-get")
@pytest.mark.fuzz
@pytest.mark.slow
def test_apt_finds_the_same_broken(tmp_path: Path, effort: Callable[[int, int], int]) -> None:
    """A Debian whose status has lost packages, versions and peace, at random."""
    root = builders.debian_rootfs(tmp_path / "root")
    status = root / "var/lib/dpkg/status"
    whole = [one for one in status.read_text().split("\n\n") if one.strip()]
    wishes = ["libc6 (>= 3) | perl-base", "awk", "libc6:i386", "dpkg:any (<< 1)", "nobody | apt"]
    foes = ["libc6 (<< 3)", "awk", "libc6:i386", "perl-base (>> 99)", "awk (= 1)"]

    def broken(stanza: str, rng: random.Random) -> str:
        match rng.randrange(5):
            case 0:
                return ""
            case 1:
                version = rng.choice(["0.1", "0:0~", "99:1", "2.36-9~"])
                return re.sub(r"(?m)^Version: .*$", f"Version: {version}", stanza)
            case 2:
                return re.sub(r"(?m)^Status: .*$", "Status: deinstall ok config-files", stanza)
            case 3:
                return re.sub(r"(?m)^Depends: ", f"Depends: {rng.choice(wishes)}, ", stanza)
        more = f"\nConflicts: {rng.choice(foes)}" if "\nConflicts:" not in stanza else ""
        return stanza.rstrip("\n") + more

    for seed in range(effort(1, 300)):
        rng = random.Random(seed)
        stanzas = list(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(stanzas))
            stanzas[at] = broken(stanzas[at], rng) if stanzas[at] else ""
        status.write_text("\n\n".join(one.rstrip("\n") for one in stanzas if one) + "\n")
        there = MemoryFiles({b"var/lib/dpkg/status": status.read_bytes()})
        found = inventory_of(there).contents.packages
        assert apt_check(root) == of_first_alternatives(found), seed


def apt_check(root: Path) -> set[tuple[str, str]]:
    """``apt-get check``: package and relation, the first alternative of each."""
    options = [f"Dir={root}", f"Dir::State::status={root}/var/lib/dpkg/status"]
    options.append("Debug::NoLocking=1")
    said = subprocess.run(
        ["apt-get", *(f"-o{one}" for one in options), "check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    found, name = set(), ""
    line_of = re.compile(
        r"^ (?:(\S+) :| +) ?(?:PreDepends|Depends|Breaks|Conflicts): (.*?)(?: but .*| or)?$"
    )
    for line in (said.stdout + said.stderr).splitlines():
        match = line_of.match(line)
        if match is not None:
            name = (match.group(1) or name).partition(":")[0]
            found.add((name, match.group(2).strip()))
    return found


def of_first_alternatives(found: Sequence[Package]) -> set[tuple[str, str]]:
    return {
        (
            one.package.name,
            one.relation.partition("|")[0].strip().replace("<<", "<").replace(">>", ">"),
        )
        for one in relations.broken(found)
    }


# -- rpm and pacman ---------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.peer("rpm>=4.16")
@pytest.mark.peer("rpmbuild")
def test_rpm_finds_the_same_broken(tmp_path: Path) -> None:
    """Installed with --nodeps: names, versions with and without releases and epochs, files."""
    conditions = ["", " >= 1.0", " = 1.0", " = 1.0-1", " < 1.0-2", " > 1:0", " >= 2", " = 1:1.5"]
    rng = random.Random(3)
    names = [f"rel-{number}" for number in range(12)]
    made = []
    for number, name in enumerate(names[:10]):
        requires = [f"{rng.choice(names)}{condition}" for condition in conditions]
        requires += [f"cap({rng.randrange(8)}){rng.choice(conditions)}", "(rel-1 or rel-11)"]
        requires += ["(rel-11 if rel-1)", "(rel-11 if rel-10)", "(rel-2 >= 1 with rel-2 < 1.2)"]
        requires += ["/usr/share/rel/3", "/usr/share/rel/none"]
        provides = f"Provides: cap({number})" + (" = 1.0" if number % 2 else "")
        files = {f"usr/share/rel/{number}": "x\n"}
        version, epoch = rng.choice(["1.0", "1.1", "2.0"]), rng.choice(["", "", "1"])
        made.append(rpms.Rpm(name, version, "1", epoch, files, requires=requires, header=provides))
    root = tmp_path / "root"
    root.mkdir()
    rpms.install(root, sorted(rpms.built(made).glob("*.rpm")))
    where = ["--define", f"_dbpath {rpms.DATABASE}", "--define", "_db_backend sqlite"]
    said = subprocess.run(
        ["rpm", "--root", str(root), *where, "-Va", "--nofiles", "--noscripts", "--nodigest"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ).stdout
    theirs, name = set(), ""
    for line in said.splitlines():
        head = re.fullmatch(r"Unsatisfied dependencies for (rel-\d+)-\S+:", line)
        name = head.group(1) if head else name
        need = re.fullmatch(r"\s+(.+) is needed by \(installed\) .*", line)
        if need is not None:
            theirs.add((name, need.group(1)))
    inventory = read(root)
    owners = inventory.owners
    found = relations.missing(inventory.contents.packages, owning=owners.get)
    assert {(one.package.name, one.relation) for one in found} == theirs
    assert len(theirs) > 50


@pytest.mark.root
@pytest.mark.peer("pacman>=6")
def test_pacman_finds_the_same_broken(tmp_path: Path) -> None:
    conditions = ["", ">=1.0", "=1.0", "=1.0-1", "<1.0-2", ">1:0", ">=2", "=1:1.1"]
    rng = random.Random(3)
    names = [f"rel-{number}" for number in range(12)]
    made = []
    for number, name in enumerate(names[:10]):
        depends = [f"{other}{rng.choice(conditions)}" for other in rng.sample(names, 6)]
        version = rng.choice(["1.0-1", "1.0-2", "1:1.1-1", "2.0-1"])
        made.append(pacmans.Pac(name, version, {f"usr/share/rel/{number}": ""}, (), depends))
    root = tmp_path / "root"
    root.mkdir()
    pacmans.pacman(root, "-U", "-dd", *map(str, sorted(pacmans.built(made).glob("*.pkg.*"))))
    said = subprocess.run(
        ["pacman", "-Dk", f"--root={root}", f"--dbpath={root}/var/lib/pacman"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    theirs = set(re.findall(r"missing '(.+)' dependency for '(.+)'", said.stdout + said.stderr))
    found = relations.missing(packages(root, "pacman"))
    assert {(one.relation, one.package.name) for one in found} == theirs
    assert len(theirs) > 10


# -- npm --------------------------------------------------------------------------------------


@pytest.mark.peer("npm>=7")
def test_npm_finds_the_same_missing_and_invalid(tmp_path: Path) -> None:
    tars = {
        "a": others.npm_pack(tmp_path, "a", "1.0.0", {}),
        "@s/b": others.npm_pack(tmp_path, "@s/b", "2.0.0", {}),
    }
    app = tmp_path / "srv/app"
    wanted = {name: f"file:{tar}" for name, tar in tars.items()}
    builders.tree(
        app,
        {"package.json": json.dumps({"name": "app", "version": "1.0.0", "dependencies": wanted})},
    )
    others.npm(app, "install")
    assert relations.broken(packages(tmp_path / "srv", "npm")) == []

    modules = app / "node_modules"
    os.remove(modules / ".package-lock.json")
    damage: dict[str, dict[str, Any]] = {
        "a": {"dependencies": {"@s/b": "^1", "lost": "1"}},
        "@s/b": {"peerDependencies": {"a": ">=2 || 0.x", "b": "*"}},
        "extra": {"optionalDependencies": {"a": "^3", "nowhere": "1"}, "version": "0.1.0"},
    }
    for name, more in damage.items():
        path = modules / name / "package.json"
        told = json.loads(path.read_text()) if path.exists() else {"name": name}
        builders.tree(path.parent, {"package.json": json.dumps({**told, **more})})
    said = subprocess.run(
        ["npm", "ls", "--all", "--json"], cwd=app, capture_output=True, check=False
    ).stdout
    problems = [one for one in json.loads(said)["problems"] if not one.startswith("extraneous")]
    missing = {tuple(re.findall(r"missing: (.*), required by (.*)@", one)) for one in problems}
    found = relations.missing(packages(tmp_path / "srv", "npm"))
    ours = {(one.relation, one.package.name) for one in found if one.why.endswith("not installed")}
    assert {pair for row in missing for pair in row} == ours == {("lost@1", "a"), ("b@*", "@s/b")}
    invalid = {match.group(1) for one in problems if (match := re.match(r"invalid: (.+?)@\d", one))}
    wrong = {one.why.split()[0] for one in found if one.why.endswith("is installed")}
    assert invalid == wrong == {"a", "@s/b"}


# -- conda ------------------------------------------------------------------------------------


def conda_package(
    channel: Path, name: str, version: str, files: Mapping[str, bytes], depends: Sequence[str]
) -> None:
    """A package as "Conda package specification" describes it, in a local channel."""
    about = {"name": name, "version": version, "build": "h1_0", "build_number": 0}
    index = {**about, "depends": list(depends), "license": "MIT", "subdir": "linux-64"}
    rows = [
        {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
            **(
                {"prefix_placeholder": "/opt/pre", "file_mode": "text"}
                if b"/opt/pre" in data
                else {}
            ),
        }
        for path, data in files.items()
    ]
    held = {
        "info/index.json": json.dumps(index).encode(),
        "info/paths.json": json.dumps({"paths": rows, "paths_version": 1}).encode(),
        "info/files": "\n".join(files).encode(),
        **files,
    }
    folder = channel / "linux-64"
    folder.mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    with tarfile.open(folder / f"{name}-{version}-h1_0.tar.bz2", "w:bz2") as archive:
        for path, data in held.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def test_conda_environments_that_rattler_installed(tmp_path: Path) -> None:
    """No channel is asked: py-rattler solves and installs from one that is made here."""
    rattler: Any = pytest.importorskip("rattler")
    index: Any = pytest.importorskip("rattler.index")
    channel, env = tmp_path / "channel", tmp_path / "root/opt/env"
    conda_package(channel, "liba", "1.2", {"lib/liba.so": b"a", "etc/a": b"/opt/pre\n"}, [])
    conda_package(channel, "tool", "2.0", {"bin/tool": b"t"}, ["liba >=1.2,<2.0a0"])

    async def install() -> None:
        await index.index_fs(channel)
        records = await rattler.solve(
            [rattler.Channel(f"file://{channel}")], ["tool"], platforms=["linux-64", "noarch"]
        )
        await rattler.install(records, target_prefix=env, cache_dir=tmp_path / "cache")

    asyncio.run(install())
    inventory = read(tmp_path / "root")
    found = {one.name: one for one in inventory.contents.packages}
    known = [rattler.PrefixRecord.from_path(path) for path in (env / "conda-meta").glob("*.json")]
    assert {(one.name, one.version, one.place) for one in found.values()} == {
        (one.name.normalized, str(one.version), b"opt/env") for one in known
    }
    for one in known:
        shipped = inventory.manifest(found[one.name.normalized])
        paths = {os.fsdecode(each.path) for each in shipped}
        assert {f"opt/env/{path}" for path in map(str, one.files)} < paths
        for each in shipped:
            data = (tmp_path / "root" / os.fsdecode(each.path)).read_bytes()
            assert each.digest in ("", f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert relations.edges(found.values())[found["tool"].id] == {found["liba"].id}
    assert relations.broken(found.values()) == []
    assert relations.missing([found["tool"]])
