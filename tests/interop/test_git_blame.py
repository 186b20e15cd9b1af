# SPDX-License-Identifier: Apache-2.0
"""Who each line is from, as `git blame` says it, over random histories with merges and renames."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop import both
from tests.interop.dags import ENVIRONMENT, random_parents
from tests.interop.texts import Texts, Tree
from tests.interop.twins import Twins, edit, random_text

pytestmark = [pytest.mark.root, pytest.mark.peer("git>=2.30")]

FILES = (b"f", b"dir/g")


def _evolve(rng: random.Random, parents: list[Tree]) -> Tree:
    """Edits of one parent's files, or some of each parent's; now and then one is renamed."""
    if not parents:
        return {name: random_text(rng, 30) for name in FILES}
    tree = dict(rng.choice(parents))
    for other in parents:
        for path, content in other.items():
            if path in tree and rng.random() < 0.5:
                half = len(content) // 2
                tree[path] = rng.choice([content, content[:half] + tree[path][half:]])
    for path in list(tree):
        if rng.random() < 0.6:
            tree[path] = edit(rng, tree[path])
        if rng.random() < 0.1:
            content = tree.pop(path)
            tree[b"dir/" * rng.randint(0, 2) + b"moved%d" % rng.randint(0, 99)] = content
    if rng.random() < 0.2 and tree:
        path = rng.choice(sorted(tree))
        tree[path] = tree[path].rstrip(b"\n")
    return tree or {b"f": random_text(rng, 10)}


def _history(folder: Path, seed: int, commits: int) -> Texts:
    rng = random.Random(seed)
    texts = Texts(folder)
    texts.grow(rng, random_parents(rng, commits, octopus=0.05), _evolve)
    return texts


FORMS: tuple[list[str], ...] = (
    [], ["-s"], ["-l"], ["-t"], ["-e"], ["-f"], ["-n"], ["-p"], ["--line-porcelain"], ["-w"],
    ["-c"], ["-b"], ["--root"], ["--abbrev=12"], ["--date=relative"], ["--date=short", "-L1,4"],
    ["-L2,+3"], ["-L", "/alpha/,/beta/"], ["-L", "3,1", "-L", "5,+2"], ["-L", ":alpha"],
    ["--first-parent"], ["--since=2023-11-14T22:30:00Z"], ["-fn", "--date=format:%Y %j"],
    ["-L99999"], ["-L", "/nowhere/"], ["-L0"], ["--minimal"], ["-L", "2,-2"],
)  # fmt: skip


def _compare(texts: Texts, *argv: str, revision: str, theirs: str, path: str) -> None:
    date = {"GIT_TEST_DATE_NOW": "1800000000", "SOURCE_DATE_EPOCH": "1800000000"}
    form = argv or ("--lines",)
    ours = both.envgit(texts.lab, "blame", *form, revision, "--", path, env=texts.environ | date)
    plain = texts.lab.parent / "git"
    plain.mkdir(exist_ok=True)
    if not (plain / ".envgit").exists():
        (plain / ".envgit").symlink_to(texts.plain)
    said = both.git(plain, "blame", *argv, theirs, "--", path, env=date)
    assert ours[0] == said[0], (argv, ours[2], said[2])
    assert texts.numbered(ours[1]) == texts.numbered(said[1]), argv
    assert texts.numbered(ours[2]) == texts.numbered(said[2]), argv


@pytest.mark.parametrize("seed", range(6))
def test_lines_are_those_of_git(tmp_path: Path, seed: int) -> None:
    texts = _history(tmp_path, seed, 40)
    rng = random.Random(seed)
    for argv in FORMS:
        number = rng.randint(len(texts.ours) * 2 // 3, len(texts.ours) - 1)
        path = rng.choice(sorted(texts.trees[number])).decode()
        _compare(
            texts, *argv, path=path, revision=texts.ours[number], theirs=texts.theirs[number]
        )  # fmt: skip


def test_a_range_of_commits_ends_in_boundaries(tmp_path: Path) -> None:
    texts = _history(tmp_path, 77, 30)
    for first, last in ((3, 29), (20, 28), (10, 25)):
        ours = f"{texts.ours[first]}..{texts.ours[last]}"
        theirs = f"{texts.theirs[first]}..{texts.theirs[last]}"
        for path in sorted(texts.trees[last]):
            _compare(texts, "-s", path=path.decode(), revision=ours, theirs=theirs)


def test_what_is_not_committed(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    rng = random.Random(5)
    text = random_text(rng, 20)
    for _ in range(4):
        twins.change_to({"etc/f": (text, 0o644)})
        twins.commit("c")
        text = edit(rng, text)
    twins.change_to({"etc/f": (text, 0o644)})
    env = {**twins.environ, "SOURCE_DATE_EPOCH": "1800000000", "TZ": "UTC"}
    for argv in (["-s"], ["-s", "-n"], ["-p"]):
        status, ours, _ = both.envgit(twins.lab, "blame", *argv, "etc/f", env=env)
        said = twins.git("blame", *argv, "etc/f")
        assert status == 0
        assert _without_ids(ours) == _without_ids(said), argv


def _without_ids(output: bytes) -> list[bytes]:
    """The lines with each id as the number of its first appearance, and no time of now."""
    known: dict[bytes, int] = {}
    found = []
    for line in output.splitlines():
        if line.startswith((b"author-t", b"committer-t")):
            continue
        word, _, rest = line.lstrip(b"^").partition(b" ")
        if word == b"previous":
            word, _, rest = rest.partition(b" ")
        found.append(b"%d %b" % (known.setdefault(word[:7], len(known)), rest[-40:]))
    return found


def test_no_such_path(tmp_path: Path) -> None:
    texts = _history(tmp_path, 1, 3)
    _compare(texts, "-s", path="nope", revision=texts.ours[-1], theirs=texts.theirs[-1])
    env = {**ENVIRONMENT, **texts.environ}
    status, _, stderr = both.envgit(texts.lab, "blame", "-s", "nope", env=env)
    assert (status, stderr) == (128, b"fatal: no such path 'nope' in HEAD\n")
