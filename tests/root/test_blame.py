# SPDX-License-Identifier: Apache-2.0
"""`blame PATH`: the commit and the command behind a path, through merges, with what is not
committed; and what blame and grep do about odd files and missing layers."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from envgit.porcelain.blame import blame, blame_lines
from tests.interop.dags import git, random_parents
from tests.interop.test_git_blame import _evolve
from tests.interop.texts import Texts
from tests.support import builders, cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.mark.peer("git>=2.30")
@pytest.mark.parametrize("seed", range(4))
def test_paths_are_blamed_as_the_log_simplifies(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    texts = Texts(tmp_path)
    texts.grow(rng, random_parents(rng, 40, octopus=0.05), _evolve)
    for number in range(20, 40, 3):
        tree = texts.trees[number]
        names = {path.partition(b"/")[0] for path in tree} | set(tree)
        expected = {}
        for name in names:
            argv = ("log", "-1", "--format=%H", texts.theirs[number], "--", name.decode())
            oid = git(texts.plain, *argv).decode().strip()
            expected[name] = texts.ours[texts.theirs.index(oid)]
        revision = texts.ours[number]
        for path in tree:
            (found,) = blame(texts.repository, path.decode(), revision)
            assert found.commit is not None and found.commit.id == expected[path], path
        listed = {one.path: one.commit for one in blame(texts.repository, "/", revision)}
        assert listed.keys() == {name for name in names if b"/" not in name}
        for path, commit in listed.items():
            assert commit is not None and commit.id == expected[path], path


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    builders.rootfs(tmp_path / "rootfs", {"opt": {"a": "one\n", "b": "one\n", "sub": {"c": "x\n"}}})
    cli.run(["init", "-q", tmp_path / "lab", "--from", f"rootfs:{tmp_path}/rootfs"]).ok()
    return tmp_path / "lab"


def _run(lab: Path, script: str, *options: str) -> None:
    cli.run(["run", *options, "sh", "-c", script], cwd=lab)


def _records(lab: Path, *argv: str) -> dict[str, dict[str, object]]:
    found = json.loads(cli.run(["blame", "--json", *argv], cwd=lab).ok().stdout)
    return {one["path"]: one for one in found}


def test_the_command_and_what_it_changed(lab: Path) -> None:
    _run(lab, "echo two >> /opt/a", "-m", "content")
    _run(lab, "chmod 600 /opt/b; false")
    _run(lab, "chown 5 /opt/b", "-m", "metadata")
    _run(lab, "echo y > /opt/sub/c", "-m", "below")
    found = _records(lab, "opt")
    assert {path: one["what"] for path, one in found.items()} == {
        "opt/a": ["content"], "opt/b": ["mode", "owner"], "opt/sub": ["entries"],
    }  # fmt: skip
    made = found["opt/b"]["made_by"]
    assert isinstance(made, dict)
    # The last one that succeeded, although another one ran for the same commit.
    assert made["argv"] == ["sh", "-c", "chown 5 /opt/b"] and made["exit_code"] == 0
    line = cli.run(["blame", "/opt/b"], cwd=lab).ok().stdout
    assert line.endswith("mode,owner  opt/b  $ sh -c 'chown 5 /opt/b' and 1 more\n")
    (first,) = _records(lab, "etc/passwd").values()
    assert first["what"] == ["added"] and first["made_by"] is None
    assert "(init: rootfs:" in cli.run(["blame", "HEAD", "etc/passwd"], cwd=lab).ok().stdout


def test_what_is_not_committed_counts_without_a_revision(lab: Path) -> None:
    _run(lab, "echo two >> /opt/a; rm /opt/b; mkdir /opt/new; echo n > /opt/new/n")
    found = _records(lab, "opt")
    assert found.keys() == {"opt/a", "opt/new", "opt/sub"}
    assert found["opt/a"]["commit"] is None and found["opt/new"]["what"] == ["added"]
    assert found["opt/sub"]["commit"] is not None
    assert "not committed yet" in cli.run(["blame", "opt/a"], cwd=lab).ok().stdout
    assert _records(lab, "HEAD", "--", "opt").keys() == {"opt/a", "opt/b", "opt/sub"}
    assert "no such path 'opt/b'" in cli.run(["blame", "opt/b"], cwd=lab).exited(128).stderr
    lines = cli.run(["blame", "--lines", "opt/a"], cwd=lab).ok().lines
    assert [line[:9] for line in lines] == [lines[0][:9], "00000000 "]
    assert "(Not Committed Yet " in lines[1] and lines[1].endswith(" 2) two")


def test_kinds_without_lines_are_refused_clearly(lab: Path) -> None:
    assert "is a binary file" in cli.run(["blame", "-s", "bin/busybox"], cwd=lab).exited(128).stderr
    assert "no file" in cli.run(["blame", "-s", "opt"], cwd=lab).exited(128).stderr
    assert cli.run(["blame", "-s", "bin/sh"], cwd=lab).ok().stdout.endswith(" 1) busybox\n")
    _run(lab, "mkfifo /opt/fifo; : > /opt/empty", "-m", "special")
    assert cli.run(["blame", "-s", "opt/empty"], cwd=lab).ok().stdout == ""
    assert "opt/fifo" in cli.run(["blame", "opt/fifo"], cwd=lab).ok().stdout
    cli.run(["blame"], cwd=lab).exited(129)


def test_odd_names_are_quoted(lab: Path) -> None:
    _run(lab, "printf 'x\\n' > '/opt/new\nline'", "-m", "odd")
    stdout = cli.run(["blame", "opt"], cwd=lab).ok().stdout
    assert '"opt/new\\nline"' in stdout
    assert cli.run(["grep", "-n", "x", "--", "opt"], cwd=lab).ok().lines == [
        '"opt/new\\nline":1:x', "opt/sub/c:1:x",
    ]  # fmt: skip
    assert cli.run(["grep", "-lz", "^x", "--", "opt"], cwd=lab).ok().stdout == (
        "opt/new\nline\0opt/sub/c\0"
    )


def test_a_long_line_and_bytes_that_are_no_text(lab: Path) -> None:
    (lab.parent / "long").write_bytes(b"a" * 20_000_000 + b"needle\xff\xfe\nsecond needle\n")
    cli.run(["cp", lab.parent / "long", ":/opt/long"], cwd=lab).ok()
    found = cli.run(["grep", "-c", "needle", "--", "opt"], cwd=lab).ok()
    assert found.lines == ["opt/long:2"]
    shown = cli.run(["grep", "-h", "-v", "second", "--", "opt/long"], cwd=lab).ok()
    assert shown.stdout_bytes.endswith(b"aneedle\xff\xfe\n")


def test_a_missing_layer_is_named(lab: Path, tmp_path: Path) -> None:
    _run(lab, "echo two >> /opt/a", "-m", "gone")
    _run(lab, "echo three >> /opt/a", "-m", "here")
    texts = blame_lines(_open(lab), "opt/a", ["HEAD"])
    assert [one.number for one in texts.blamed] == [1, 1, 1]
    repository = _open(lab)
    parent = repository.git.resolve("HEAD~1")
    shutil.rmtree(repository.store.layer_path(repository.git.commit(parent).layer))
    for argv in (["blame", "-s", "HEAD", "opt/a"], ["grep", "x", "HEAD"]):
        said = cli.run(argv, cwd=lab).exited(128).stderr
        assert said.startswith("fatal: ") and ("not in the store" in said or "missing" in said), (
            said
        )
    # Whole paths need no contents.
    assert cli.run(["blame", "opt/a"], cwd=lab).ok().lines


def _open(lab: Path):  # type: ignore[no-untyped-def]
    import envgit

    return envgit.Repository.open(str(lab))


def test_files_that_vanish_while_grep_reads_are_passed_over(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envgit.layers import filewalk
    from envgit.porcelain import grep as module

    _run(lab, "for n in 1 2 3 4; do mkdir /opt/d$n; echo here > /opt/d$n/f; done")
    repository = _open(lab)
    upper = Path(repository.store.upper_path(repository.worktree.state().changes))
    real = filewalk.read_at

    def remove_others(fd: int, name: bytes, most: int) -> bytes | None:
        shutil.rmtree(upper / "opt/d2", ignore_errors=True)
        if not (upper / "opt/d3").is_symlink():
            shutil.rmtree(upper / "opt/d3")
            (upper / "opt/d3").symlink_to("/etc")
            (upper / "opt/d4/f").unlink()
            (upper / "opt/d4/f").symlink_to("/etc/passwd")
        return real(fd, name, most)

    monkeypatch.setattr(module, "read_at", remove_others)
    found = [one.path for one in module.grep(repository, "here\\|root", paths=["opt"])]
    assert found == [b"opt/d1/f"]


def test_json(lab: Path) -> None:
    _run(lab, "echo two >> /opt/a", "-m", "content")
    lines = json.loads(cli.run(["blame", "--json", "-L2", "HEAD", "opt/a"], cwd=lab).ok().stdout)
    head = cli.run(["rev-parse", "HEAD"], cwd=lab).ok().stdout.strip()
    assert [(one["line"], one["text"], one["commit"]) for one in lines] == [(2, "two", head)]
    (file,) = json.loads(
        cli.run(["grep", "--json", "tw", "HEAD", "--", "opt"], cwd=lab).ok().stdout
    )
    assert (file["revision"], file["path"]) == ("HEAD", "opt/a")
    assert file["lines"] == [{"line": 2, "column": 1, "text": "two", "matches": [[0, 2]]}]
    cli.run(["grep", "--json", "nowhere to be found", "--", "opt"], cwd=lab).exited(1)
    (described,) = json.loads(cli.run(["describe", "--always", "--json"], cwd=lab).ok().stdout)
    assert described["commit"] == head and head.startswith(described["text"])
    (person,) = json.loads(cli.run(["shortlog", "--json"], cwd=lab).ok().stdout)
    assert person["count"] == 2 and person["commits"][1]["id"] == head
