# SPDX-License-Identifier: Apache-2.0
"""``log -- PATH`` simplifies history as ``git log -- rootfs/PATH`` does, merges included."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.layers.entry import Entry
from tests.interop.both import envgit
from tests.interop.both import git as run_git
from tests.interop.dags import git, random_parents

PATHS = ["a", "b", "dir/c", "dir/d", "dir/sub/e", "f.txt", "dir/g.txt"]
JSON = '{\n  "config": {},\n  "format": 1,\n  "runs": []\n}\n'

FORMS = [
    ["--", "a"], ["--", "b", "f.txt"], ["--", "dir"], ["--", "dir/sub"], ["--", "*.txt"],
    ["--graph", "--", "a"], ["--graph", "--", "dir"], ["--graph", "--", "*.txt"],
    ["--full-history", "--", "a"], ["--topo-order", "--", "dir/c"], ["-3", "--", "dir"],
    ["--date-order", "--graph", "--", "a", "b"], ["--first-parent", "--", "dir"],
    ["--first-parent", "--graph", "--", "dir"], ["--all", "--", "b"],
    ["--all", "--graph", "--", "b"],
    ["--merges", "--", "dir"], ["--no-merges", "--graph", "--", "a"], ["--reverse", "--", "a"],
    ["c10..main", "--", "dir"], ["main...c15", "--graph", "--left-right", "--", "dir"],
    ["^c12", "main", "--graph", "--", "b"], ["--skip=1", "-2", "--", "f.txt"], ["--", "nothing"],
    ["--full-history", "--graph", "--", "a"], ["--grep=1", "--graph", "--", "dir"],
]  # fmt: skip


def write(path: Path, rng: random.Random, commits: int) -> None:
    """Random histories of environments; merges take each path from one parent or change it."""
    parents = random_parents(rng, commits, octopus=0.05)
    states: list[dict[str, str]] = []
    stream: list[str] = []
    empty = Entry("dir", 0o755).pointer().decode()

    def file(name: str, text: str) -> None:
        stream.append(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n")

    for index, ancestors in enumerate(parents):
        state: dict[str, str] = {}
        for name in PATHS:
            if ancestors:
                source = states[rng.choice(ancestors)]
                if name in source:
                    state[name] = source[name]
            if rng.random() < 0.15:
                digest = f"{rng.randint(0, 5):064x}"
                state[name] = Entry("file", 0o644, size=1, sha256=digest).pointer().decode()
            elif rng.random() < 0.04:
                state.pop(name, None)
        states.append(state)
        stream.append(f"commit refs/heads/c{index}\nmark :{index + 1}\n")
        stream.append(f"committer C <c@x> {1_700_000_000 + 60 * index} +0000\n")
        stream.append(f"data {len(f'commit {index}')}\ncommit {index}\n")
        for order, ancestor in enumerate(ancestors):
            stream.append(f"{'from' if order == 0 else 'merge'} :{ancestor + 1}\n")
        stream.append("deleteall\n")
        file("envgit.json", JSON)
        file("layer/%dir", empty)
        for name in ("rootfs/%dir", "rootfs/dir/%dir", "rootfs/dir/sub/%dir"):
            file(name, empty)
        for name, text in state.items():
            file(f"rootfs/{name}", text)
    git(path, "init", "-q", "--bare", str(path))
    git(path, "fast-import", "--quiet", "--force", stdin="".join(stream).encode())
    git(path, "update-ref", "refs/heads/main", f"c{commits - 1}")
    git(path, "symbolic-ref", "HEAD", "refs/heads/main")


@pytest.fixture(scope="module", params=range(6))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simplify")
    write(folder / ".envgit", random.Random(request.param), 45)
    return folder


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_simplified(folder: Path, form: list[str]) -> None:
    at = form.index("--")
    options, paths = form[:at], form[at + 1 :]
    theirs = ["--", *(f"rootfs/{path}" for path in paths)]
    for format in ("--format=%s %p", "--oneline"):
        expected = run_git(folder, "log", format, *options, *theirs)
        assert expected[0] == 0, expected[2]
        got = envgit(folder, "log", format, *options, "--", *paths)
        assert got[1].decode() == expected[1].decode(), got[2].decode()


def test_a_long_history_without_any_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files then count as binary; spans that would be due are not missed."""
    monkeypatch.setenv("ENVGIT_STORE", str(tmp_path / "store"))
    monkeypatch.setitem(globals(), "random_parents", lambda _, many, octopus: [
        [number - 1] if number else [] for number in range(many)
    ])  # fmt: skip
    write(tmp_path / ".envgit", random.Random(4), 80)
    status, out, said = envgit(tmp_path, "log", "--all", "--stat", "--format=%s")
    assert status == 0, said.decode()
    assert out.count(b"commit ") == 80
