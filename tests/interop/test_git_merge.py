# SPDX-License-Identifier: Apache-2.0
"""The same histories in git and in an environment, merged by both: words, statuses and files."""

from __future__ import annotations

import difflib
import os
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from envgit.layers.entry import Kind, walk
from envgit.porcelain.foundation import snapshot
from tests.interop import both
from tests.interop.dags import ENVIRONMENT
from tests.interop.twins import Tree, Twins

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.38"),
]

# libgit2 has no histogram, which git's own default is.
ORT = ("-X", "diff-algorithm=myers")


def text(*lines: str) -> tuple[bytes | str, int]:
    return "".join(f"{line}\n" for line in lines).encode(), 0o644


class Pair(Twins):
    """Twins that are merged."""

    def diverge(self, base: Tree, ours: Tree, theirs: list[Tree] | Tree) -> None:
        """``main`` at ``ours``, and ``exp`` (``exp2``...) at theirs, from a common ``base``."""
        several = list(theirs) if isinstance(theirs, list) else [theirs]
        self.change_to(base)
        self.commit("base")
        for number, tree in enumerate(several, 1):
            name = "exp" if number == 1 else f"exp{number}"
            self.go("checkout", "-q", "-b", name, "main")
            self.now = dict(base)
            self.change_to(tree)
            self.commit(name)
        self.go("checkout", "-q", "main")
        self.now = dict(base)
        self.change_to(ours)
        self.commit("main")

    def go(self, *argv: str) -> None:
        """A command that both know and that must succeed."""
        plain, ours = self.ask(*argv)
        assert (plain[0], ours[0]) == (0, 0), (plain, ours)

    def ask(self, *argv: str, only_git: Sequence[str] = ()) -> tuple[tuple[int, str, str], ...]:
        """(status, stdout, stderr) of git and of envgit, ids and names alike."""
        done = subprocess.run(
            ["git", *argv, *only_git],
            cwd=self.plain,
            env={**ENVIRONMENT, **self.environ},
            capture_output=True,
            check=False,
        )
        out = done.stdout
        if done.returncode == 0:
            # git 2.39 speaks of a conflict where a file that one side left alone gave way to the
            # other's directory; it then merges it without one.
            out = re.sub(rb"CONFLICT \(file/directory\).*\n", b"", out)
        plain = (done.returncode, out, done.stderr)
        answers = []
        for status, out, err in (plain, both.envgit(self.lab, *argv, env=self.environ)):
            answers.append((status, _alike(out), _alike(err)))
        return tuple(answers)

    def same(self, *argv: str, only_git: Sequence[str] = ()) -> tuple[int, str, str]:
        """What both answer, which must be the same."""
        plain, ours = self.ask(*argv, only_git=only_git)
        old, new = (f"{one[1]}--- {one[0]}\n{one[2]}".split("\n") for one in (plain, ours))
        difference = "\n".join(difflib.unified_diff(old, new, "git", "envgit", lineterm=""))
        assert not difference, f"{' '.join(argv)}\n{difference}"
        return ours

    def files(self) -> tuple[dict[str, tuple[bytes, int]], ...]:
        """The working trees: content (a symlink's target) and mode of each file."""
        plain: dict[str, tuple[bytes, int]] = {}
        for folder, names, files in os.walk(self.plain):
            names[:] = [name for name in names if name != ".git"]
            for name in [*files, *(one for one in names if os.path.islink(f"{folder}/{one}"))]:
                path = os.path.join(folder, name)
                shown = os.path.relpath(path, self.plain)
                if os.path.islink(path):
                    plain[shown] = os.readlink(path).encode(), 0o777
                else:
                    executable = os.stat(path).st_mode & 0o100
                    plain[shown] = Path(path).read_bytes(), 0o755 if executable else 0o644
        repository, ours = self.repository(), {}
        current = snapshot.describe(repository)
        contents = snapshot.reader(repository, current.state.stack, current.upper)
        for found, entry in walk(current.tree):
            if entry.kind == Kind.FILE:
                with contents.open(found) as file:
                    ours[os.fsdecode(found)] = file.read(), entry.mode
            elif entry.kind == Kind.SYMLINK:
                ours[os.fsdecode(found)] = entry.target, 0o777
        return plain, ours

    def abort(self) -> None:
        """envgit alone: git's own ``merge --abort`` fails where a directory took a file's place."""
        assert both.envgit(self.lab, "merge", "--abort", env=self.environ) == (0, b"", b"")
        self.git("reset", "-q", "--hard")
        self.git("clean", "-qfd")
        self.same_files()
        assert self.same("status", "-s")[1] == ""

    def same_files(self) -> None:
        plain, ours = self.files()
        assert ours == plain


def _alike(data: bytes) -> str:
    """Without ids, and with git's name for ours; hints of ours only are left out."""
    found = data.decode(errors="replace")
    found = re.sub(r"\b[0-9a-f]{7,64}\b", "ID", found).replace(" (mode)", "")
    lines = [line for line in found.split("\n") if not line.startswith("hint:")]
    return re.sub(r"\benvgit\b", "git", "\n".join(lines))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


BASE: dict[str, tuple[bytes | str, int]] = {
    "bin": (b"a\0b", 0o644),
    "d/x": text("1"),
    "f": text("a", "b", "c"),
    "k": text("k"),
    "l": ("x", 0o777),
    "same": text("s"),
    "t": text("t"),
    "tool": text("#!/bin/sh"),
}
OURS = {
    **{name: value for name, value in BASE.items() if name != "d/x"},
    "bin": (b"a\0d", 0o644),
    "d": text("file"),
    "f": text("a", "x", "c"),
    "k": text("k", "k2"),
    "l": ("z", 0o777),
    "new": text("m"),
    "t": text("t", "tt"),
    "tool": text("#!/bin/sh", "true"),
}
THEIRS = {
    **{name: value for name, value in BASE.items() if name != "k"},
    "bin": (b"a\0c", 0o644),
    "d/x": text("2"),
    "d/n": text("n"),
    "f": text("a", "y", "c"),
    "k/z": text("1"),
    "l": ("y", 0o777),
    "new": text("e"),
    "t": ("q", 0o777),
    "tool": (b"#!/bin/sh\n", 0o755),
}


@pytest.mark.parametrize("style", ["merge", "diff3", "zdiff3"])
def test_conflicts_of_every_kind(pair: Pair, style: str) -> None:
    pair.diverge(BASE, OURS, THEIRS)
    pair.go("config", "merge.conflictStyle", style)
    status, out, _ = pair.same("merge", "exp", only_git=ORT)
    assert status == 1 and out.count("CONFLICT") == 9
    _, ours = pair.files()
    if style == "merge":
        pair.same_files()
    else:
        assert b"||||||| " in ours["f"][0]
    pair.same("status", "-s", "-uall")
    pair.same("status", "-sb", "-uall")
    pair.same("status", "--porcelain", "-uall")
    pair.same("status", "-z", "-uall")
    pair.same("status", "-uall")
    _same_v2(pair)
    pair.abort()


def _same_v2(pair: Pair) -> None:
    """Ids are other ones (of contents, not blobs), and lack where git has 40 zeros as well."""
    plain, ours = (re.sub(r"\b(ID|0{40})\b", "-", one[1]) for one in pair.ask(
        "status", "--porcelain=v2", "-uall"))  # fmt: skip
    assert ours.replace("0" * 64, "-") == plain


def test_one_conflict_to_its_end(pair: Pair) -> None:
    pair.diverge({"f": text("a")}, {"f": text("b")}, {"f": text("c"), "n": text("n")})
    assert pair.same("merge", "exp")[0] == 1
    pair.same("status", "-uall")
    plain, ours = pair.ask("commit", "-m", "x")
    assert plain[0] == ours[0] == 128
    assert "Committing is not possible because you have unmerged files." in ours[2]
    assert pair.same("merge", "exp")[0] == 128
    pair.same_files()
    pair.now = {"f": text("b"), "n": text("n")}
    pair.change_to({"f": text("d"), "n": text("n")})
    pair.same("status", "-uall")
    pair.go("commit", "-q", "--no-edit")
    pair.same("status", "-uall")
    assert pair.same("log", "-1", "--format=%s %P")[1] == "Merge branch 'exp' ID ID\n"
    assert pair.same("reflog", "-1", "--format=%gs")[1] == "commit (merge): Merge branch 'exp'\n"


def test_words_of_merges_that_succeed(pair: Pair) -> None:
    base = {"f": text(*"abcdef"), "g": text("g")}
    ours, theirs = {**base, "f": text(*"abcdefg")}, {**base, "f": text(*"0abcdef")}
    pair.diverge(base, ours, theirs)
    pair.go("branch", "old", "main~1")
    pair.go("branch", "side", "main")
    pair.same("merge", "old")
    pair.same("merge", "--squash", "old")
    assert pair.same("merge", "--ff-only", "exp")[0] == 128
    pair.same("merge", "--no-commit", "exp", only_git=ORT)
    pair.same("status", "-uall")
    pair.same("status", "-s", "-uall")
    pair.same("merge", "--abort")
    pair.same("merge", "--squash", "exp", only_git=ORT)
    pair.same_files()
    pair.go("reset", "-q", "--hard")
    pair.same("merge", "exp", only_git=ORT)
    pair.same("log", "-1", "--format=%B%n%P")
    pair.same("reflog", "-1", "--format=%gs")
    pair.go("checkout", "-q", "side")
    pair.same("merge", "--no-ff", "-m", "hello", "main")
    pair.same("log", "-1", "--format=%B%n%P")
    pair.go("checkout", "-q", "old")
    pair.same("merge", "exp")
    pair.same("reflog", "-1", "--format=%gs")
    pair.same("merge", "main~1")
    pair.same("merge", "-q", "main")
    pair.same_files()
    pair.go("checkout", "-q", "-b", "more", "exp")
    pair.same("merge", "-n", "--log", "-s", "ours", "side")
    pair.same("log", "-1", "--format=%B")


def test_words_of_merges_that_are_refused(pair: Pair) -> None:
    pair.diverge({"f": text("a")}, {"f": text("b")}, {"f": text("a"), "n": text("n")})
    pair.same("merge", "nothing")
    assert pair.same("merge")[0] == 128
    pair.same("merge", "--squash", "--no-ff", "exp")
    pair.same("merge", "--abort")
    pair.same("merge", "--continue")
    pair.same("merge", "--quit")
    plain, ours = pair.ask("merge", "-X", "nonsense", "exp")
    assert plain[0] == ours[0] == 128
    pair.change_to({"f": text("b"), "n": text("mine")})
    pair.git("add", "-A")
    plain, ours = pair.ask("merge", "exp")
    assert ours[2] == plain[2].replace("merge:\n  n", "merge:\n\tn") or "\tn\n" in ours[2]
    assert ours[0] == plain[0] == 2


def test_uncommitted_changes_in_the_way_of_a_fast_forward(pair: Pair) -> None:
    pair.diverge(
        {"f": text("a"), "g": text("g")}, {"f": text("b"), "g": text("g")}, {"g": text("h")}
    )
    pair.go("checkout", "-q", "-b", "back", "main~1")
    pair.now = {"f": text("a"), "g": text("g")}
    pair.change_to({"f": text("mine"), "g": text("g")})
    assert pair.same("merge", "main")[0] == 1
    pair.go("checkout", "-q", "HEAD", "--", "f")
    pair.now = {"f": text("a"), "g": text("g")}
    pair.change_to({"f": text("a"), "g": text("mine")})
    assert pair.same("merge", "main")[0] == 0
    pair.same_files()
    pair.same("status", "-s", "-uall")


def test_several_at_once(pair: Pair) -> None:
    base = {"f": text("f"), "g": text("g"), "h": text("h")}
    one, two = {**base, "g": text("G")}, {**base, "h": text("H")}
    pair.diverge(base, {**base, "f": text("F")}, [one, two])
    plain, ours = pair.ask("merge", "exp", "exp2")
    assert (ours[0], ours[1]) == (plain[0], plain[1])
    pair.same_files()
    pair.same("log", "-1", "--format=%B%P")
    pair.go("reset", "-q", "--hard", "HEAD~1")
    pair.now = {**base, "f": text("F")}
    pair.change_to({**base, "f": text("F"), "h": text("other")})
    pair.commit("conflicting")
    assert both.envgit(pair.lab, "merge", "exp", "exp2", env=pair.environ)[0] == 2


def test_unrelated_histories(pair: Pair) -> None:
    pair.change_to({"f": text("a")})
    pair.commit("one")
    pair.go("checkout", "-q", "--orphan", "other")
    pair.now = {"f": text("a")}
    pair.change_to({"f": text("a"), "g": text("g")})
    pair.commit("two")
    assert pair.same("merge", "main")[0] == 128
    pair.same("merge", "--allow-unrelated-histories", "main")
    pair.same_files()


def test_criss_cross(pair: Pair) -> None:
    """Two merge bases: both are merged first, and the result is git's to the byte."""
    lines = [f"line {number}" for number in range(12)]

    def at(**changed: str) -> dict[str, tuple[bytes | str, int]]:
        return {"f": text(*[changed.get(f"l{n}", line) for n, line in enumerate(lines)])}

    pair.diverge(at(), at(l0="main"), at(l11="exp"))
    pair.go("branch", "one", "main")
    pair.go("branch", "two", "exp")
    pair.go("merge", "-q", "-m", "m1", "two")
    pair.go("checkout", "-q", "exp")
    pair.go("merge", "-q", "-m", "m2", "one")
    pair.now = at(l0="main", l11="exp")
    pair.change_to(at(l0="main", l11="exp", l5="theirs"))
    pair.commit("theirs")
    pair.go("checkout", "-q", "main")
    pair.now = at(l0="main", l11="exp")
    pair.change_to(at(l0="main", l11="exp", l5="ours"))
    pair.commit("ours")
    pair.go("config", "merge.conflictStyle", "diff3")
    assert pair.same("merge", "exp", only_git=ORT)[0] == 1
    pair.same_files()


NAMES = [a + b for a in ("", "d/", "d/e/", "b/") for b in ("a", "b", "c")]


def random_tree(rng: random.Random, tree: Tree) -> dict[str, tuple[bytes | str, int]]:
    """A tree made of another one. Each new line occurs once, so that git finds no renames: its
    ``-X no-renames`` is without effect in some versions (2.39)."""
    new = dict(tree)
    for _ in range(rng.randint(1, 6)):
        path, what = rng.choice(NAMES), rng.random()
        fresh = [f"{rng.getrandbits(64):x}" for _ in range(rng.randint(4, 8))]
        if path in new and what < 0.5:
            content, mode = new[path]
            if isinstance(content, bytes):
                lines = content.split(b"\n")
                place = rng.randint(0, len(lines) - 1)
                lines[place : place + rng.randint(0, 2)] = [fresh[0].encode()]
                new[path] = b"\n".join(lines), mode
        elif path in new and what < 0.6:
            content, mode = new[path]
            new[path] = content, mode if isinstance(content, str) else mode ^ 0o111
        elif path in new and what < 0.75:
            del new[path]
        else:
            # What is in its way goes: a file above it, or what is beneath it.
            for other in list(new):
                if other.startswith(path + "/") or path.startswith(other + "/"):
                    del new[other]
            new[path] = (fresh[0], 0o777) if what > 0.9 else text(*fresh)
    return new


@pytest.mark.parametrize("seed", range(40))
def test_random_histories(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)
    base: Tree = {"keep": text("k")}
    for _ in range(3):
        base = random_tree(rng, base)
    ours, theirs = random_tree(rng, base), random_tree(rng, base)
    pair.diverge(base, ours, theirs)
    pair.same("merge", "exp", only_git=ORT)
    pair.same_files()
    pair.same("status", "-s", "-uall")
    assert both.envgit(pair.lab, "fsck", env=pair.environ)[0] == 0
    if pair.repository().status().unmerged:
        pair.abort()


@pytest.mark.parametrize("seed", [1, 8, 16, 21, 38, 47])
def test_random_criss_cross(pair: Pair, seed: int) -> None:
    """Two merge bases that had to be merged with one another first."""
    rng = random.Random(seed)
    base: Tree = {"keep": text("k")}
    for _ in range(3):
        base = random_tree(rng, base)
    pair.diverge(base, random_tree(rng, base), random_tree(rng, base))
    pair.go("branch", "one", "main")
    pair.go("branch", "two", "exp")
    for branch, other in (("main", "two"), ("exp", "one")):
        pair.go("checkout", "-q", branch)
        assert pair.same("merge", "-m", "crossing", "-X", "ours", other, only_git=ORT)[0] == 0
    for branch in ("main", "exp"):
        pair.go("checkout", "-q", branch)
        plain, ours = pair.files()
        assert ours == plain
        pair.now = {
            path: (os.fsdecode(content) if mode == 0o777 else content, mode)
            for path, (content, mode) in ours.items()
        }
        pair.change_to(random_tree(rng, pair.now))
        pair.commit(f"on {branch}")
    pair.same("merge", "main", only_git=ORT)
    pair.same_files()
    pair.same("status", "-s", "-uall")


def test_titles(pair: Pair) -> None:
    """What merge commits say: git-fmt-merge-msg(1)."""
    base = {"f": text("f"), "keep": text("k")}
    pair.diverge(
        base, {**base, "m": text("m")}, [{**base, "a": text("a")}, {**base, "b": text("b")}]
    )
    pair.go("tag", "light", "exp")
    pair.go("tag", "-a", "-m", "a tag\n\nwith a body", "heavy", "exp")
    pair.go("checkout", "-q", "-b", "topic/x", "main")
    commit = pair.git("rev-parse", "exp").decode().strip()
    ours = pair.repository().resolve("exp")
    for names in (["exp"], ["exp~0"], ["light"], ["heavy"], ["exp", "exp2"], ["refs/heads/exp"]):
        _said_and_undone(pair, *names)
    pair.go("checkout", "-q", "--detach", "main")
    _said_and_undone(pair, "exp")
    pair.go("checkout", "-q", "main")
    _said_and_undone(pair, "exp", "--log")
    _said_and_undone(pair, "exp", "--signoff")
    _said_and_undone(pair, "-m", "one", "-m", "two", "--log=1", "exp2")
    pair.go("config", "merge.suppressDest", "topic/*")
    _said_and_undone(pair, "exp")
    assert pair.git("merge", "-q", commit) == b""
    both.envgit(pair.lab, "merge", "-q", ours, env=pair.environ)
    assert pair.same("log", "-1", "--format=%B")[1] == "Merge commit 'ID' into main\n\n"


def _said_and_undone(pair: Pair, *argv: str) -> None:
    pair.ask("merge", "-q", *argv)
    pair.same("log", "-1", "--format=%B")
    pair.go("reset", "-q", "--hard", "HEAD^")


@pytest.mark.parametrize(
    "message",
    [
        "merged\n\nReviewed-by: R <r@example.com>",
        "merged\n\nSigned-off-by: C O Mitter <committer@example.com>",
        "merged: a title is no trailer",
        "merged\n\nWords: that are\nno trailers at all",
    ],
)
def test_signing_off_joins_the_trailers_there_are(pair: Pair, message: str) -> None:
    base = {"f": text("1")}
    pair.diverge(base, base | {"a": text("a")}, base | {"b": text("b")})
    _said_and_undone(pair, "--signoff", "-m", message, "exp")
