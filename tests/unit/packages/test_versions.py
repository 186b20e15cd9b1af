# SPDX-License-Identifier: Apache-2.0
"""Orders of versions, against the managers themselves where there is a program to ask."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.versions import compare, newest

MANAGERS = ("dpkg", "rpm", "apk", "pacman", "conda", "pip", "npm", "gem", "cargo", "unheard-of")

PIECES = ["0", "1", "2", "10", "01", "007", "20240101", ".", ".", "-", "+", "~", "^", "_", ":", "!"]
PIECES += ["a", "b", "rc", "alpha", "pre", "dev", "post", "p", "r1", "-r2", "git", "A", "Z", "é"]


def random_pairs(
    count: int, allowed: Callable[[str], bool], seed: int = 4
) -> list[tuple[str, str]]:
    """Pairs that are often nearly the same."""
    rng = random.Random(seed)
    pieces = [piece for piece in PIECES if allowed(piece)]
    found = []
    for _ in range(count):
        words = [rng.choice(["1", "2", "0"]), *rng.choices(pieces, k=rng.randint(0, 6))]
        other = list(words)
        for _ in range(rng.randint(0, 2)):
            other[rng.randrange(len(other)) :] = rng.choices(pieces, k=rng.randint(0, 2))
            other = other or ["1"]
        found.append(("".join(words), "".join(other)))
    return found


def differing(manager: str, expected: dict[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    return [(a, b, want) for (a, b), want in expected.items() if compare(manager, a, b) != want]


@pytest.mark.peer("dpkg")
def test_dpkg_agrees(tmp_path: Path, effort: Callable[[int, int], int]) -> None:
    # Two processes for each pair.
    pairs = random_pairs(effort(250, 7000), lambda piece: piece not in ":!é")
    pairs += [(f"{i % 3}:{a}", b) for i, (a, b) in enumerate(pairs[:60])]
    pairs += [("1.0-1", "1.0"), ("1.0-0", "1.0"), ("1.0~rc1", "1.0"), ("0:1", "1"), ("1", "1a")]
    script = tmp_path / "compare"
    script.write_text(
        "while read -r a b; do\n"
        '  if dpkg --compare-versions "$a" lt "$b" 2>&-; then echo -1\n'
        '  elif dpkg --compare-versions "$a" gt "$b" 2>&-; then echo 1; else echo 0; fi\n'
        "done\n"
    )
    # What dpkg refuses it calls neither older nor newer: of those it says nothing.
    refused = [pair for pair in pairs if any(_refused(v) for v in pair)]
    pairs = [pair for pair in pairs if pair not in refused]
    said = subprocess.run(
        ["sh", script], input=lines(pairs), capture_output=True, text=True, check=True
    ).stdout.split()
    assert not differing("dpkg", dict(zip(pairs, map(int, said), strict=True)))


@pytest.mark.peer("rpm")
def test_rpm_agrees(tmp_path: Path) -> None:
    pairs = random_pairs(5000, lambda piece: piece not in ":!" and "-" not in piece)
    pairs += [(f"{i % 3}:{a}-{i % 5}", f"{b}-{i % 7}") for i, (a, b) in enumerate(pairs[:500])]
    table = tmp_path / "pairs"
    table.write_text(lines(pairs))
    lua = (
        f"for l in io.lines('{table}') do local a,b=l:match('(%S+) (%S+)') "
        "print(rpm.vercmp(a,b)..' ') end"
    )
    said = subprocess.run(
        ["rpm", "--eval", f"%{{lua: {lua}}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not differing("rpm", dict(zip(pairs, map(int, said), strict=True)))


@pytest.mark.peer("vercmp")
def test_pacman_agrees(tmp_path: Path) -> None:
    pairs = random_pairs(1500, lambda piece: piece != "é")
    pairs += [("1.0a", "1.0"), ("1.0", "1.0.a"), ("1:1", "2"), ("1.0-1", "1.0"), ("1.", "1")]
    said = subprocess.run(
        ["sh", "-c", 'while read -r a b; do vercmp "$a" "$b"; done'],
        input=lines(pairs),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not differing("pacman", dict(zip(pairs, map(int, said), strict=True)))


@pytest.mark.peer("npm")
def test_npm_agrees(tmp_path: Path) -> None:
    root = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True).stdout.strip()
    if not Path(root, "npm/node_modules/semver").is_dir():
        pytest.skip("npm without its semver")
    rng = random.Random(4)
    words = ["alpha", "beta", "rc", "0", "1", "2", "11", "x-y", "A"]
    pairs = []
    for _ in range(2000):
        pair = []
        for _ in range(2):
            text = ".".join(str(rng.choice([0, 1, 2, 10])) for _ in range(3))
            if rng.random() < 0.6:
                text += "-" + ".".join(rng.choices(words, k=rng.randint(1, 3)))
            pair.append(text + rng.choice(["", "", "+build.1"]))
        pairs.append((pair[0], pair[1]))
    script = (
        f"const s=require('{root}/npm/node_modules/semver');"
        "require('fs').readFileSync(0,'utf8').trim().split('\\n').forEach(l=>{"
        "const [a,b]=l.split(' ');console.log(s.compare(a,b))})"
    )
    said = subprocess.run(
        ["node", "-e", script], input=lines(pairs), capture_output=True, text=True, check=True
    ).stdout.split()
    expected = dict(zip(pairs, map(int, said), strict=True))
    assert not differing("npm", expected)


def test_pip_agrees() -> None:
    from packaging.version import InvalidVersion, Version

    for a, b in random_pairs(3000, lambda piece: piece not in "é:~^"):
        try:
            one, other = Version(a), Version(b)
        except InvalidVersion:
            continue
        assert compare("pip", a, b) == (one > other) - (one < other), (a, b)


def test_conda_agrees() -> None:
    rattler = pytest.importorskip("rattler", reason="py-rattler: conda's order in Rust")
    compared = 0
    for a, b in random_pairs(6000, lambda piece: piece not in "é:~^-"):
        try:
            one, other = rattler.Version(a), rattler.Version(b)
        except Exception:
            continue
        compared += 1
        assert compare("conda", a, b) == (one > other) - (one < other), (a, b)
    assert compared > 1000


# Facts of apk-tools: its documentation of versions and the cases that its own tests are about.
APK = """
2.34 > 0.1.0_alpha
0.1.0_alpha = 0.1.0_alpha
0.1.0_alpha2 > 0.1.0_alpha
1.1 > 1.1_alpha1
1.2 < 1.3_alpha
0.8_beta4 < 4.8-r1
2.3.0b-r1 < 2.3.0b-r2
3.1_p16 < 3.1_p17
1.06-r6 < 006
006 > 1.0.0
1.00_beta2 > 0.9.2
4.5_p1-r1 > 4.5_p1
1.7 < 1.7b
1.8.5 < 1.8.5_p2
104-r11 > 104-r9
0.9.28-r2 < 0.9.28.1
2.5.1-r8 < 2.5.1a-r1
0.1.0_alpha_pre2 < 0.1.0_alpha
1.0.0_pre20191002222144-r0 < 1.0.0_pre20210530193627-r0
1.0_p10-r0 > 1.0_p9-r0
1.3_pre1-r1 < 1.3.2
6b-r7 > 1.12-r7
1.02 < 1.1
"""


def test_apk_orders_as_it_says() -> None:
    signs = {"<": -1, "=": 0, ">": 1}
    for line in APK.strip().splitlines():
        a, sign, b = line.split()
        assert compare("apk", a, b) == signs[sign], (a, sign, b)
        assert compare("apk", b, a) == -signs[sign], (a, sign, b)


def test_gem_orders_as_it_says() -> None:
    """The documentation of Gem::Version."""
    ascending = ["0.9", "1.0.a.2", "1.0.a9", "1.0.a10", "1.0.b1", "1.0-1", "1.0", "1.0.1", "1.10"]
    for index, version in enumerate(ascending):
        for later in ascending[index + 1 :]:
            assert compare("gem", version, later) == -1, (version, later)
    assert compare("gem", "1", "1.0.0") == 0


def test_cargo_and_newest() -> None:
    assert newest("cargo", ["1.0.0-rc.1", "1.0.0", "0.9.9"]) == "1.0.0"
    assert newest("dpkg", ["1.9", "1.10", "1:0.1", "1.10~rc1"]) == "1:0.1"
    assert newest("pip", ["2.0.dev1", "1.9", "2.0rc1"]) == "2.0rc1"


@pytest.mark.fuzz
@pytest.mark.parametrize("manager", MANAGERS)
@given(st.lists(st.one_of(st.text(), st.from_regex(r"[0-9a.~^_+:!-]{0,12}")), max_size=4))
def test_any_texts_have_an_order(manager: str, texts: list[str]) -> None:
    for a in texts:
        for b in texts:
            assert compare(manager, a, b) == -compare(manager, b, a)
    if texts:
        assert newest(manager, texts) in texts


@pytest.mark.parametrize("manager", MANAGERS)
def test_absurdly_long_versions_take_no_time(manager: str) -> None:
    for piece in ("1", "1.", "a", "-", "~", "1a", "1.0-", "_p1", "+1", "!"):
        assert compare(manager, piece * 500_000, piece * 500_000 + "1") in (-1, 0, 1)


def _refused(version: str) -> bool:
    """Whether dpkg finds no upstream version, or no revision where it expects one."""
    return version.startswith("-") or version.endswith("-") or ":-" in version


def lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{a} {b}\n" for a, b in pairs)
