# SPDX-License-Identifier: Apache-2.0
"""Who needs whom, and what does not hold, in the syntax of each manager."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.packages import relations
from envgit.packages.model import Package
from envgit.packages.needs import conda, gems, noderange

VENV = b"opt/venv/lib/python3.9/site-packages"


def made(manager: str, name: str, version: str = "1.0", **more: Any) -> Package:
    for field in ("requires", "provides", "conflicts"):
        if isinstance(more.get(field), str):
            more[field] = (more[field],)
    return Package(manager, name, version, **more)


def holds(manager: str, relation: str, *others: Package) -> bool:
    """Whether a package that requires this is satisfied by the others."""
    return not relations.missing([made(manager, "asker", requires=relation), *others])


def stands(manager: str, relation: str, *others: Package) -> bool:
    """Whether a package that conflicts with this stands the others."""
    return not relations.conflicting([made(manager, "asker", conflicts=relation), *others])


def needed(packages: list[Package]) -> dict[str, set[str]]:
    found = relations.edges(packages)
    return {one.name: {other.name for other in others} for one, others in found.items()}


# -- systems ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "other", "expected"),
    [
        ("a", made("dpkg", "a"), True),
        ("a", made("dpkg", "b"), False),
        ("a (>= 1.0)", made("dpkg", "a"), True),
        ("a (>> 1.0)", made("dpkg", "a"), False),
        ("a (= 1:1.0)", made("dpkg", "a"), False),
        ("a (<< 1.0) | b | c", made("dpkg", "b"), True),
        ("a:any (>= 0)", made("dpkg", "a"), True),
        ("a:i386", made("dpkg", "a", architecture="amd64"), False),
        ("a:i386", made("dpkg", "a", architecture="i386"), True),
        ("mta", made("dpkg", "postfix", provides="mta"), True),
        ("mta (>= 1)", made("dpkg", "postfix", provides="mta"), False),
        ("mta (>= 1)", made("dpkg", "postfix", provides="mta (= 2)"), True),
        ("a", made("dpkg", "a", state="config-files"), False),
        ("a", made("dpkg", "a", state="triggers-pending"), True),
        ("a (is odd", made("dpkg", "b"), True),
        ("a", made("rpm", "a"), False),
    ],
)
def test_dpkg(relation: str, other: Package, expected: bool) -> None:
    assert holds("dpkg", relation, other) == expected


def test_dpkg_conflicts() -> None:
    assert not stands("dpkg", "a", made("dpkg", "a"))
    assert not stands("dpkg", "mta", made("dpkg", "postfix", provides="mta"))
    assert not stands("dpkg", "a (<< 2)", made("dpkg", "a"))
    assert stands("dpkg", "a (<< 1)", made("dpkg", "a"))
    assert stands("dpkg", "mta (<< 9)", made("dpkg", "postfix", provides="mta"))
    assert stands("dpkg", "a:i386", made("dpkg", "a", architecture="amd64"))
    only_one = made("dpkg", "postfix", provides="mta", conflicts="mta")
    assert relations.conflicting([only_one]) == []


def test_dpkg_of_two_architectures_uses_its_own() -> None:
    packages = [
        made("dpkg", "app", architecture="i386", requires="libc6"),
        made("dpkg", "libc6", architecture="amd64"),
        made("dpkg", "libc6", architecture="i386"),
    ]
    (used,) = relations.edges(packages)[packages[0].id]
    assert used == packages[2].id


@pytest.mark.parametrize(
    ("relation", "other", "expected"),
    [
        ("a >= 1.0", made("rpm", "a", "1.0-3.fc40"), True),
        ("a = 1.0", made("rpm", "a", "1.0-3.fc40"), True),
        ("a = 1.0-4.fc40", made("rpm", "a", "1.0-3.fc40"), False),
        ("a >= 1:0", made("rpm", "a", "1.0-3.fc40"), False),
        ("libx.so.1()(64bit)", made("rpm", "x", provides="libx.so.1()(64bit)"), True),
        ("libx.so.1()(64bit)", made("rpm", "x"), False),
        ("font > 3", made("rpm", "x", provides="font"), True),
        ("rpmlib(CompressedFileNames) <= 3.0.4-1", made("rpm", "x"), True),
        ("/bin/sh", made("rpm", "x"), True),
        ("(a or b)", made("rpm", "b"), True),
        ("(a or c)", made("rpm", "b"), False),
        ("(a if b)", made("rpm", "b"), False),
        ("(a if c)", made("rpm", "b"), True),
        ("(b >= 1 with b < 2)", made("rpm", "b", "1.5-1"), True),
        ("(b >= 1 with b < 2)", made("rpm", "b", "2.5-1"), False),
        ("((a or b) and c)", made("rpm", "x"), True),
    ],
)
def test_rpm(relation: str, other: Package, expected: bool) -> None:
    assert holds("rpm", relation, other) == expected


def test_files_that_are_needed() -> None:
    shell = made("rpm", "bash")
    packages = [made("rpm", "asker", requires="/bin/sh"), shell]
    owning = {b"usr/bin/sh": shell}.get
    assert relations.missing(packages, owning=owning) == []
    assert relations.edges(packages, owning=owning)[packages[0].id] == {shell.id}
    (broken,) = relations.missing(packages, owning=lambda path: None)
    assert broken.relation == "/bin/sh"


@pytest.mark.parametrize(
    ("relation", "other", "expected"),
    [
        (
            "so:libc.musl-x86_64.so.1",
            made("apk", "musl", provides="so:libc.musl-x86_64.so.1=1"),
            True,
        ),
        ("so:libz.so.1", made("apk", "musl"), False),
        ("cmd:ash", made("apk", "busybox", provides="cmd:ash=1.36.1-r5"), True),
        ("a~1.2", made("apk", "a", "1.2.3-r0"), True),
        ("a~1.2", made("apk", "a", "1.20-r0"), False),
        ("a<1.3", made("apk", "a", "1.2.3-r0"), True),
        ("a=1.2.3-r1", made("apk", "a", "1.2.3-r0"), False),
        ("a@edge>=1", made("apk", "a", "1.2.3-r0"), True),
        ("a><Q1abc=", made("apk", "b"), True),
    ],
)
def test_apk(relation: str, other: Package, expected: bool) -> None:
    assert holds("apk", relation, other) == expected


def test_apk_conflicts() -> None:
    assert relations.conflicting([made("apk", "asker", conflicts="a"), made("apk", "a")])
    assert relations.conflicting([made("apk", "asker", conflicts="a<2"), made("apk", "a")])
    assert not relations.conflicting([made("apk", "asker", conflicts="a<1"), made("apk", "a")])


@pytest.mark.parametrize(
    ("relation", "other", "expected"),
    [
        ("glibc>=2.36", made("pacman", "glibc", "2.38-7"), True),
        ("a=1.2", made("pacman", "a", "1.2-4"), True),
        ("a=1.2-3", made("pacman", "a", "1.2-4"), False),
        ("sh", made("pacman", "bash", provides="sh"), True),
        ("sh>=1", made("pacman", "bash", provides="sh"), False),
        ("libx.so=1-64", made("pacman", "x", provides="libx.so=1-64"), True),
        ("libx.so=1-64", made("pacman", "x", provides="libx.so=1-32"), False),
    ],
)
def test_pacman(relation: str, other: Package, expected: bool) -> None:
    assert holds("pacman", relation, other) == expected


# -- Python -----------------------------------------------------------------------------------


def py(name: str, version: str = "1.0", place: bytes = VENV, *requires: str) -> Package:
    return Package("pip", name, version, place=place, requires=requires)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("Idna_x>=3", True),
        ("idna-x (<4)", True),
        ("idna.x~=3.1", False),
        ("nothing", False),
        ("nothing; python_version < '3.9'", True),
        ("nothing; python_version < '3.10'", False),
        ("nothing; sys_platform == 'win32'", True),
        ("nothing; extra == 'never'", True),
        ("nothing; python_full_version >= '3.9.5'", False),
        ("nothing; python_full_version >= '3.11.5'", True),
        ("idna-x @ https://example.org/idna.zip", True),
        ("idna-x===odd", False),
        ("is no requirement at all", True),
        ("idna-x>=not.a.version", True),
    ],
)
def test_pip(requirement: str, expected: bool) -> None:
    packages = [py("asker", "1.0", VENV, requirement), py("idna.X", "3.0rc1")]
    if expected and "3" in requirement and "python" not in requirement:
        packages[1] = py("idna.X", "3.0")
    assert (not relations.missing(packages)) == expected


def test_extras_hold_where_they_are_asked_for() -> None:
    requests = py("requests", "2.0", VENV, "idna", 'PySocks; extra == "socks"', 'x; extra == "y"')
    packages = [requests, py("idna")]
    assert relations.missing(packages) == []
    packages.append(py("asker", "1.0", VENV, "requests[Socks]"))
    assert [one.relation for one in relations.missing(packages)] == ['PySocks; extra == "socks"']
    # An extra that an extra asks for.
    packages[2] = py("asker", "1.0", VENV, "middle[all]")
    packages.append(py("middle", "1.0", VENV, 'requests[socks]; extra == "all"'))
    assert [one.package.name for one in relations.missing(packages)] == ["requests"]
    packages.append(py("pysocks"))
    assert relations.missing(packages) == []
    assert needed(packages)["requests"] == {"idna", "pysocks"}


def test_each_interpreter_sees_its_own() -> None:
    debian, local = b"usr/lib/python3/dist-packages", b"usr/local/lib/python3.11/dist-packages"
    user = b"home/me/.local/lib/python3.11/site-packages"
    system = [py("idna", "2.0", debian), made("dpkg", "python3", "3.11.2-1+b1")]

    def missing(place: bytes, *more: Package) -> list[str]:
        asker = py("asker", "1.0", place, "idna>=1", "nope; python_version < '3.11'")
        return [one.relation for one in relations.missing([asker, *system, *more])]

    assert missing(VENV) == ["idna>=1", "nope; python_version < '3.11'"]
    assert missing(VENV.replace(b"3.9", b"3.12")) == ["idna>=1"]
    assert missing(local) == missing(debian) == missing(user) == missing(b"srv/libs") == []
    # What lies in /usr/local is seen first.
    assert missing(debian, py("idna", "0.1", local)) == ["idna>=1"]
    assert missing(debian, py("idna", "0.1", b"usr/local/lib/python3.9/dist-packages")) == []


# -- the others -------------------------------------------------------------------------------


def test_conda() -> None:
    python = made("conda", "python", "3.11.9", place=b"env", provides="python=3.11.9=h1_cpython")

    def fits(relation: str) -> bool:
        asker = made("conda", "asker", place=b"env", requires=relation)
        return not relations.missing([asker, python])

    assert fits("python >=3.11,<3.12.0a0") and fits("python 3.11.*") and fits("python")
    assert fits("python >= 3.11, < 3.13") and fits("python 3.11.9 *_cpython")
    assert not fits("python 3.11.9 *_pypy") and not fits("python 3.11") and not fits("numpy")
    assert fits("__glibc >=2.17") and fits("python[version='>=9']") and fits("conda-forge::python")
    # Another environment's packages are not there.
    elsewhere = made("conda", "asker", place=b"other", requires="python")
    assert relations.missing([elsewhere, python])
    constraining = made("conda", "asker", place=b"env", conflicts="python <3")
    assert relations.conflicting([constraining, python])
    assert not relations.conflicting([made("conda", "c", place=b"env", conflicts="x <3"), python])


@pytest.mark.parametrize(
    ("version", "condition", "expected"),
    [
        ("1.2rc1", "1.2.*", True),
        ("1.20", "1.2.*", False),
        ("1.2", "=1", True),
        ("1.2", "==1", False),
        ("2.0", "<2.0a0|>=2.0", True),
        ("2.0a1", ">=2.0", False),
        ("1.4.5", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("1.3", "!=1.3.*", False),
    ],
)
def test_conda_conditions(version: str, condition: str, expected: bool) -> None:
    assert conda.satisfies(version, condition) == expected


def test_npm_looks_upward() -> None:
    def npm(place: bytes, name: str, version: str, *requires: str) -> Package:
        return Package("npm", name, version, place=place, requires=requires)

    app, inner = b"srv/app", b"srv/app/node_modules/a"
    packages = [
        npm(app, "a", "1.0.0", "b@^2", "@s/c@1", "absent@*", "gone@* (optional)"),
        npm(app, "b", "1.0.0", "a@latest", "a@git+https://example.org/a"),
        npm(inner, "b", "2.5.0", "@s/c@npm:other@^3"),
        npm(b"srv", "@s/c", "1.9.0"),
    ]
    found = relations.edges(packages)
    assert found[packages[0].id] == {packages[2].id, packages[3].id}
    assert found[packages[1].id] == {packages[0].id}
    assert [(one.relation, one.why) for one in relations.missing(packages)] == [
        ("absent@*", "absent is not installed"),
        ("@s/c@npm:other@^3", "@s/c 1.9.0 is installed"),
    ]


def test_pnpm_has_several_versions_for_one_project() -> None:
    packages = [
        Package("npm", "debug", "2.6.9", place=b"srv/app", requires=("ms@2.0.0",)),
        Package("npm", "ms", "2.1.3", place=b"srv/app"),
        Package("npm", "ms", "2.0.0", place=b"srv/app"),
    ]
    assert relations.missing(packages) == []
    assert relations.missing(packages[:2])


@pytest.mark.parametrize(
    ("wanted", "fitting", "unfitting"),
    [
        ("^1.2.3", "1.9.0", "2.0.0"),
        ("^0.2.3", "0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("~1.2", "1.2.9", "1.3.0"),
        ("~> 1", "1.9.9", "2.0.0"),
        (">= 1.2 <2", "1.2.0", "2.0.0-rc.1"),
        ("1.2 - 2", "2.9.0", "3.0.0"),
        ("1.x || >=3.0.0-beta", "3.0.0-rc.1", "2.0.0"),
        ("*", "0.0.1", "1.0.0-rc.1"),
        ("<=1.2", "1.2.9", "1.3.0"),
        (">1", "2.0.0", "1.9.9"),
        ("=v1.0.0", "1.0.0+build", "1.0.0-0"),
    ],
)
def test_npm_ranges(wanted: str, fitting: str, unfitting: str) -> None:
    assert noderange.satisfies(fitting, wanted)
    assert not noderange.satisfies(unfitting, wanted)


@pytest.mark.parametrize("wanted", ["latest", "file:../x", "github:a/b", "workspace:^", "^", "x.1"])
def test_what_is_no_range_holds(wanted: str) -> None:
    assert noderange.satisfies("1.0.0", wanted)


def test_npm_ranges_as_npm_itself() -> None:
    """A thousand random ranges, each of many versions."""
    npm = shutil.which("npm")
    library = Path(npm).resolve().parents[1] / "node_modules/semver" if npm else Path("/nowhere")
    if not library.is_dir():
        pytest.skip("npm's semver is not here")
    rng = random.Random(4)
    versions = ["0.0.1", "0.2.3", "1.0.0", "1.2.3", "1.2.4", "2.0.0-rc.1", "2.0.0", "1.2.3-a.1"]
    parts = ["0", "1", "2", "3", "x", "*"]

    def simple() -> str:
        sign = rng.choice(["", "^", "~", ">", ">=", "<", "<=", "=", "~>"])
        return sign + rng.choice(
            [rng.choice(versions), ".".join(rng.choices(parts, k=rng.randint(1, 3)))]
        )

    ranges = [
        rng.choice([" || ", "||"]).join(
            rng.choice([" ", " "]).join(simple() for _ in range(rng.randint(1, 2)))
            for _ in range(rng.randint(1, 2))
        )
        for _ in range(1000)
    ]
    script = (
        "const s=require(process.argv[1]),d=JSON.parse(require('fs').readFileSync(0));"
        "console.log(d.r.map(r=>s.validRange(r,true)===null?'?'.repeat(d.v.length):"
        "d.v.map(v=>s.satisfies(v,r,true)?'1':'0').join('')).join('\\n'))"
    )
    said = subprocess.run(
        ["node", "-e", script, str(library)],
        input=json.dumps({"r": ranges, "v": versions}),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for wanted, row in zip(ranges, said, strict=True):
        ours = "".join("01"[noderange.satisfies(version, wanted)] for version in versions)
        assert row in (ours, "?" * len(versions)), wanted


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("1.4.9", "~> 1.4", True),
        ("2.0", "~> 1.4", False),
        ("2.0.0.rc1", "~> 1.4", False),
        ("1.4.9", "~> 1.4.2, != 1.4.3", True),
        ("1.5", "~> 1.4.2", False),
        ("1.0.0.pre", ">= 1.0.0", False),
        ("3", "", True),
        ("3", "odd thing", True),
    ],
)
def test_gems(version: str, bounds: str, expected: bool) -> None:
    assert gems.satisfies(version, bounds) == expected
    other = made("gem", "rack", version)
    assert holds("gem", f"rack ({bounds})", other) == expected


def test_any_of_several_versions_of_a_gem_will_do() -> None:
    assert holds("gem", "rack (~> 2.0)", made("gem", "rack", "3.0"), made("gem", "rack", "2.2"))
    assert not holds("gem", "rack (~> 1.0)", made("gem", "rack", "3.0"), made("gem", "rack", "2.2"))


# -- laws -------------------------------------------------------------------------------------

MANAGERS = ("dpkg", "rpm", "apk", "pacman", "conda", "pip", "npm", "gem", "cargo", "unheard-of")


def test_every_package_has_an_entry_and_none_needs_itself() -> None:
    packages = [made(one, "a", requires=("a", "a (>= 0)", "a@*", "a>=0")) for one in MANAGERS]
    found = relations.edges(packages)
    assert found.keys() == {one.id for one in packages}
    assert not any(found.values())


@pytest.mark.fuzz
def test_nothing_odd_is_broken_or_an_error(effort: Callable[[int, int], int]) -> None:
    pieces = ["a", "b", "(", ")", "[", "]", ">=", "<", "=", "~", "!", "|", ",", ";", " ", "@", "1"]
    pieces += [
        ":",
        "*",
        "x",
        ".",
        "'",
        '"',
        "extra",
        "python_version",
        "and",
        "or",
        "if",
        "/bin/sh",
    ]
    pieces += ["\0", "ü", "npm:", "~>", "^", "||", "-", "so:", "9" * 5000, "(" * 300, "\udc80"]
    for seed in range(effort(300, 30_000)):
        rng = random.Random(seed)

        def text(rng: random.Random = rng) -> str:
            return "".join(rng.choices(pieces, k=rng.randint(0, 12)))

        packages = [
            Package(
                rng.choice(MANAGERS),
                rng.choice(["a", "b", text()]),
                rng.choice(["1", text()]),
                rng.choice(["", "amd64", text()]),
                place=rng.choice([b"", VENV, b"node_modules", b"usr/lib/python3/dist-packages"]),
                requires=tuple(text() for _ in range(3)),
                provides=tuple(text() for _ in range(3)),
                conflicts=tuple(text() for _ in range(3)),
            )
            for _ in range(6)
        ]
        relations.edges(packages)
        for broken in relations.broken(packages):
            assert broken.package in packages and broken.why


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize(
    "relation", ["(" * 4000, "a|" * 2000, "a " * 2000, "a,<" * 1300, ";x" * 2000]
)
def test_hostile_relations_are_read_in_time(manager: str, relation: str) -> None:
    started = time.process_time()
    package = made(manager, "a", requires=(relation,) * 100, conflicts=(relation,) * 100)
    relations.broken([package, made(manager, "b", provides=(relation,) * 100)])
    assert time.process_time() - started < 5


def test_thousands_of_packages_take_no_time() -> None:
    """Debian's own relations are ten a package; of 3,000 they are evaluated in half a second."""
    rng = random.Random(1)
    packages = [
        made(
            "dpkg",
            f"p{number}",
            f"1.{number}-1",
            architecture="amd64",
            requires=tuple(f"p{rng.randrange(3000)} (>= 1.0)" for _ in range(10)),
            conflicts=tuple(f"p{rng.randrange(3000)} (<< 0.5)" for _ in range(2)),
        )
        for number in range(3000)
    ]
    started = time.process_time()
    assert relations.broken(packages) == []
    assert len(relations.edges(packages)) == 3000
    assert time.process_time() - started < 4
