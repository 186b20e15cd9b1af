# SPDX-License-Identifier: Apache-2.0
"""cherry-pick and revert by git and by envgit, on equal histories."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.interop.dags import ENVIRONMENT
from tests.interop.test_git_merge import Pair, text
from tests.interop.twins import Tree

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.38"),
]

BASE: Tree = {"f": text(*"123456789"), "g": text("one"), "bin/x": (b"\0\1\2", 0o755)}
CLEAN = ("# Conflicts:", "#\t")
ASIDE = re.compile(r"^(hint: .*|  \(.*\)|no changes added to commit.*)\n", re.MULTILINE)


def with_line(tree: Tree, path: str, number: int, line: str) -> dict[str, tuple[bytes | str, int]]:
    """The tree with one line of a file replaced."""
    data, mode = tree[path]
    assert isinstance(data, bytes)
    lines = data.decode().splitlines()
    lines[number - 1] = line
    return {**tree, path: (text(*lines)[0], mode)}


class Picker(Pair):
    """Twins with a history to pick from."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.trees: dict[str, Tree] = {}
        self.environ |= {"ENVGIT_EDITOR": "true", "GIT_EDITOR": "true"}

    def make(self, name: str, tree: Tree) -> None:
        """A commit called ``name`` in both, with a tag of that name."""
        self.change_to(tree)
        self.commit(f"{name}\n\nWhat {name} is for.")
        self.trees[name] = dict(tree)
        self.go("tag", name)

    def at(self, name: str, *branch: str) -> None:
        """Go to a commit, and make a branch there."""
        self.go("checkout", "-q", *(("-b", *branch) if branch else ("--detach",)), name)
        self.now = dict(self.trees[name])

    def resolve(self, change: Mapping[str, tuple[bytes | str, int] | None]) -> None:
        """Write files into both worktrees; None takes one away."""
        self.now = {path: (content, mode) for path, (content, mode) in self.files()[0].items()}
        wanted = {**self.now, **change}
        self.change_to({path: entry for path, entry in wanted.items() if entry is not None})

    def files(self) -> tuple[dict[str, tuple[bytes, int]], ...]:
        """As ``Pair.files``, with the ids in conflict markers alike."""
        marker = re.compile(rb"(?m)^(>>>>>>> (?:parent of )?)[0-9a-f]{7,} ")
        return tuple(
            {path: (marker.sub(rb"\1ID ", data), mode) for path, (data, mode) in found.items()}
            for found in super().files()
        )

    def alike(self, *argv: str, status: int = 0, only_git: Sequence[str] = ()) -> str:
        """Run in both: the status, stdout and stderr must be the same, but for advice that speaks
        of the staging area; then history, files and pseudo-refs must be."""
        self.tick()
        plain, ours = self.ask(*argv, only_git=only_git)
        shown = [(code, ASIDE.sub("", out), ASIDE.sub("", err)) for code, out, err in (plain, ours)]
        assert shown[1][0] == status, ours
        if "unmerged files" in ours[2]:
            assert plain[0] == ours[0] and "unmerged files" in plain[2]
            return ours[2]
        assert shown[0][::2] == shown[1][::2]
        # The status that goes with a commit that is empty has another form here: see docs.
        picked = [out.split("On branch")[0].split("HEAD detached")[0] for _, out, _ in shown]
        assert picked[0] == picked[1]
        self.same_state()
        return ours[1] + ours[2]

    def tick(self) -> None:
        self._when += 60
        for program in ("GIT", "ENVGIT"):
            for role in ("AUTHOR", "COMMITTER"):
                self.environ[f"{program}_{role}_DATE"] = f"{self._when} +0000"

    def same_state(self) -> None:
        """Messages, authors, dates and shape of the history, HEAD's reflog, files, pseudo-refs."""
        self.same_files()
        form = "--format=%an %ae %ad %cn %cd%n%B"
        self.same("log", "-8", form, "--date=raw")
        self.same("log", "--graph", "-8", "--format=%s")
        # git's way back is a reset that is logged even where HEAD stays.
        plain, ours = self.ask("reflog", "-8", "--format=%gs")
        logged = [
            [line for line in out[1].split("\n") if not line.startswith("reset:")][:4]
            for out in (plain, ours)
        ]
        assert logged[0] == logged[1]
        for name in ("CHERRY_PICK_HEAD", "REVERT_HEAD", "ORIG_HEAD"):
            plain, ours = self.ask("log", "-1", "--format=%s", name)
            assert (plain[0], plain[1]) == (ours[0], ours[1]), name

    def status(self) -> list[str]:
        """What both say is under way, without the lists of paths."""
        lines = []
        for answer in self.ask("status"):
            lines.append(re.split(r"\n\n|\nChanges|\nUnmerged", answer[1])[0])
        assert ASIDE.sub("", lines[0] + "\n") == ASIDE.sub("", lines[1] + "\n")
        return lines[1].split("\n")


@pytest.fixture
def pair(tmp_path: Path) -> Picker:
    """``main``: base - ours; ``side``: base - s1 (line 3) - s2 (a new file) - s3 (line 3 again)."""
    pair = Picker(tmp_path)
    pair.make("base", BASE)
    s1 = with_line(BASE, "f", 3, "three")
    pair.at("base", "side")
    pair.make("s1", s1)
    s2 = {**s1, "new/file": text("new")}
    pair.make("s2", s2)
    pair.make("s3", with_line(s2, "f", 3, "drei"))
    pair.go("checkout", "-q", "main")
    pair.now = dict(BASE)
    pair.make("ours", {**BASE, "g": text("two")})
    pair.tick()
    return pair


def test_one_and_many(pair: Picker) -> None:
    pair.alike("cherry-pick", "s1")
    pair.alike("cherry-pick", "s2", "s3", "s2~0")
    pair.alike("revert", "--no-edit", "HEAD")
    pair.alike("revert", "--no-edit", "HEAD")
    pair.alike("revert", "HEAD~3..HEAD")
    pair.alike("cherry-pick", "ours..side", status=1)


def test_a_range_from_old_to_new(pair: Picker) -> None:
    pair.alike("cherry-pick", "main..side")
    pair.alike("revert", "main~3..main")


@pytest.mark.parametrize("option", ["-x", "-s", "-xs", "-n", "-e", "--ff"])
def test_options(pair: Picker, option: str) -> None:
    options = ("-x", "-s") if option == "-xs" else (option,)
    pair.alike("cherry-pick", *options, "s1")
    if option in ("-x", "-s", "-xs"):
        pair.alike("revert", *options[-1:] if option != "-x" else (), "HEAD")
        pair.go("tag", "again", "HEAD~1")
        pair.alike("cherry-pick", *options, "again")


def test_fast_forward(pair: Picker) -> None:
    pair.at("base", "other")
    pair.alike("cherry-pick", "--ff", "s1", "s2")


def test_revert_without_commit(pair: Picker) -> None:
    pair.alike("revert", "-n", "ours")
    pair.status()
    pair.alike("revert", "--continue")


@pytest.mark.parametrize("end", ["--continue", "--skip", "--abort", "--quit", "commit"])
@pytest.mark.parametrize("verb", ["cherry-pick", "revert"])
def test_conflict(pair: Picker, verb: str, end: str) -> None:
    what = "s3" if verb == "cherry-pick" else "s1"
    if verb == "revert":
        pair.at("s3")
    pair.alike(verb, what, status=1)
    pair.status()
    pair.alike(verb, "base", status=128)
    if end == "--continue":
        pair.alike(verb, end, status=128)
    if end in ("--continue", "commit"):
        pair.resolve({"f": text("resolved")})
        pair.status()
    if end == "commit":
        pair.alike("commit", "--no-edit", only_git=["--cleanup=strip"])
    else:
        pair.alike(verb, end)


@pytest.mark.parametrize("end", ["--continue", "--skip", "--abort", "--quit", "commit"])
def test_conflict_amid_many(pair: Picker, end: str) -> None:
    pair.alike("cherry-pick", "s2", "s3", "s1", status=1)
    pair.status()
    if end in ("--continue", "commit"):
        pair.resolve({"f": text("resolved")})
    if end == "commit":
        answers = pair.ask("commit", "--no-edit", "-q", only_git=["--cleanup=strip"])
        assert [answer[0] for answer in answers] == [0, 0], answers
        pair.status()
        pair.alike("cherry-pick", "--skip", status=128)
        pair.alike("cherry-pick", "--abort")
    else:
        pair.alike("cherry-pick", end, status=1 if end == "--continue" else 0)
    if end == "--continue":
        pair.status()
        pair.alike("cherry-pick", "--skip")
    pair.status()


def test_empty(pair: Picker) -> None:
    pair.alike("cherry-pick", "s1")
    pair.alike("cherry-pick", "s1", status=1)
    pair.status()
    pair.alike("cherry-pick", "--continue", status=1)
    pair.alike("cherry-pick", "--skip")
    pair.alike("cherry-pick", "s1", "s2", status=1)
    pair.go("commit", "--allow-empty", "--no-edit", "-q")
    pair.alike("cherry-pick", "--continue")
    pair.alike("cherry-pick", "--keep-redundant-commits", "s1")
    pair.go("commit", "--allow-empty", "-m", "nothing", "-q")
    pair.go("tag", "nothing")
    pair.alike("cherry-pick", "nothing", status=1)
    pair.alike("cherry-pick", "--abort")
    pair.alike("cherry-pick", "--allow-empty", "nothing")
    pair.alike("revert", "nothing", status=1)
    pair.status()


def test_merges(pair: Picker) -> None:
    pair.go("merge", "-q", "--no-edit", "side")
    pair.go("tag", "merged")
    pair.alike("revert", "HEAD", status=128)
    pair.alike("revert", "-m", "1", "HEAD")
    pair.alike("cherry-pick", "merged", status=128)
    pair.alike("cherry-pick", "-m", "3", "merged", status=128)
    pair.alike("cherry-pick", "-m", "1", "merged")
    pair.alike("cherry-pick", "-m", "2", "s1", status=128)


def test_first_commits(pair: Picker) -> None:
    """A commit without a parent: all of it is new, or goes."""
    pair.go("checkout", "-q", "--orphan", "new")
    pair.change_to({})
    pair.alike("cherry-pick", "base")
    pair.alike("cherry-pick", "s1", "s2")
    pair.go("tag", "last")
    pair.alike("revert", "last~2", status=1)
    pair.alike("revert", "--abort")
    pair.at("base")
    pair.alike("cherry-pick", "new~2", status=1)
    pair.alike("cherry-pick", "--skip")
    pair.go("checkout", "-q", "--detach", "new~2")
    pair.alike("revert", "HEAD")
    pair.alike("cherry-pick", "HEAD~1")


def test_where_there_is_no_commit_and_a_conflict(pair: Picker) -> None:
    """git stops and cannot abort; here nothing has happened."""
    pair.go("checkout", "-q", "--orphan", "new")
    pair.change_to({})
    status, _, said = pair.ask("cherry-pick", "s1")[1]
    assert status == 128
    assert "changes what is not there yet (f)" in said
    assert pair.files()[1] == {}
    assert pair.ask("cherry-pick", "base")[1][0] == 0


def test_beside_uncommitted_changes(pair: Picker) -> None:
    changed = {**pair.now, "g": text("uncommitted")}
    pair.change_to(changed)
    for words in (["reset", "-q"], ["update-ref", "-d", "ORIG_HEAD"]):
        subprocess.run(["git", *words], cwd=pair.plain, env=ENVIRONMENT, check=True)
    pair.alike("cherry-pick", "s1")
    pair.alike("revert", "ours", status=128)
    pair.alike("cherry-pick", "s2", "s3")


@pytest.mark.parametrize("favour", ["ours", "theirs"])
def test_one_side_wins(pair: Picker, favour: str) -> None:
    pair.alike("cherry-pick", f"-X{favour}", "s3", status=1 if favour == "ours" else 0)


@pytest.mark.parametrize(
    "line",
    [
        "cherry-pick nope",
        "cherry-pick HEAD..HEAD",
        "cherry-pick --continue",
        "cherry-pick --skip",
        "cherry-pick --abort",
        "cherry-pick --quit",
        "revert --continue",
        "revert --skip",
        "revert --abort",
        "revert --quit",
        "revert nope",
        "cherry-pick --ff -x s1",
        "cherry-pick --ff -n s1",
    ],
)
def test_errors(pair: Picker, line: str) -> None:
    plain, ours = pair.ask(*line.split())
    assert ours == plain


def test_deleted_and_binary(pair: Picker) -> None:
    gone = {path: entry for path, entry in pair.now.items() if path != "g"}
    pair.make("gone", {**gone, "bin/x": (b"\0other", 0o755)})
    pair.at("s3")
    pair.alike("cherry-pick", "gone", status=1)
    pair.alike("cherry-pick", "--abort")
    pair.at("gone")
    pair.alike("revert", "HEAD")
    pair.at("gone")
    pair.resolve({"bin/x": (b"\0third", 0o755)})
    pair.commit("third")
    pair.alike("revert", "gone", status=1)
