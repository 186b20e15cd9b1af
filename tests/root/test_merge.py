# SPDX-License-Identifier: Apache-2.0
"""Merges of environments: metadata and links, uncommitted changes, resolving, going back."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import labs
from tests.support.labs import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

Change = Callable[[str], None]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with labs.scratch(tmp_path) as top:
        yield labs.make(top)


def write(**files: str) -> Change:
    """Write files in ``etc``; an empty text deletes."""

    def change(root: str) -> None:
        for name, text in files.items():
            path = os.path.join(root, "etc", name)
            if text:
                Path(path).write_text(text)
            else:
                os.unlink(path)

    return change


def diverge(lab: Lab, ours: Change, theirs: Change) -> None:
    """``main`` with ours and ``exp`` with theirs."""
    lab.call(["switch", "-qc", "exp"]).ok()
    lab.inside(theirs)
    lab.call(["commit", "-qm", "theirs"]).ok()
    lab.call(["switch", "-q", "main"]).ok()
    lab.inside(ours)
    lab.call(["commit", "-qm", "ours"]).ok()


def read(lab: Lab, name: str) -> str:
    return lab.inside(lambda root: Path(root, "etc", name).read_text())


def said(lab: Lab, *argv: str) -> str:
    return lab.call(list(argv)).said


def test_metadata_and_links_are_merged(lab: Lab) -> None:
    def links(root: str) -> None:
        os.link(f"{root}/usr/lib/a", f"{root}/usr/lib/a2")
        os.chmod(f"{root}/etc/conf", 0o4711)
        os.chown(f"{root}/etc/passwd", 7, 8)
        os.setxattr(f"{root}/usr/lib/b", "user.x", b"1")
        os.chmod(f"{root}/var/empty", 0o1777)

    def contents(root: str) -> None:
        Path(root, "etc", "conf").write_text("other\n")
        Path(root, "usr", "lib", "b").write_text("other b\n")
        os.setxattr(f"{root}/etc/passwd", "user.y", b"2")
        Path(root, "var", "empty", "new").write_text("new\n")
        os.utime(f"{root}/etc/conf", (2_000_000_000, 2_000_000_000))

    diverge(lab, links, contents)
    lab.call(["merge", "exp"]).ok()

    def check(root: str) -> dict[str, object]:
        conf, passwd = os.stat(f"{root}/etc/conf"), os.stat(f"{root}/etc/passwd")
        return {
            "conf": (conf.st_mode & 0o7777, conf.st_mtime),
            "text": Path(root, "etc", "conf").read_text(),
            "passwd": (passwd.st_uid, passwd.st_gid, os.getxattr(f"{root}/etc/passwd", "user.y")),
            "b": (os.getxattr(f"{root}/usr/lib/b", "user.x"), Path(root, "usr/lib/b").read_text()),
            "a": os.path.samefile(f"{root}/usr/lib/a", f"{root}/usr/lib/a2"),
            "empty": os.stat(f"{root}/var/empty").st_mode & 0o7777,
            "new": os.path.exists(f"{root}/var/empty/new"),
        }

    assert lab.inside(check) == {
        "conf": (0o4711, 2_000_000_000),
        "text": "other\n",
        "passwd": (7, 8, b"2"),
        "b": (b"1", "other b\n"),
        "a": True,
        "empty": 0o1777,
        "new": True,
    }
    assert said(lab, "status", "-s") == ""
    lab.fsck()


def test_bytes_that_are_no_utf8_survive(lab: Lab) -> None:
    def text(*lines: bytes) -> Change:
        return lambda root: (Path(root, "etc", "conf").write_bytes(b"\n".join(lines)), None)[1]

    lab.inside(text(b"\xff1", b"2", b"3", b"4\xfe"))
    lab.call(["commit", "-qm", "base"]).ok()
    diverge(lab, text(b"\xff1\xf0", b"2", b"3", b"4\xfe"), text(b"\xff1", b"2", b"3", b"\xfd4"))
    lab.call(["merge", "exp"]).ok()
    found = lab.inside(lambda root: Path(root, "etc", "conf").read_bytes())
    assert found == b"\xff1\xf0\n2\n3\n\xfd4"
    lab.fsck()


def test_no_text_gets_into_the_repository(lab: Lab) -> None:
    diverge(lab, write(conf="ours\none\n"), write(conf="one\ntheirs secret\n"))
    lab.call(["merge", "exp"])
    git = lab.open().git
    done = subprocess.run(
        ["git", f"--git-dir={git.path}", "cat-file", "--batch-all-objects", "--batch"],
        capture_output=True,
        check=True,
    )
    assert b"secret" not in done.stdout


def test_uncommitted_changes_elsewhere_stay(lab: Lab) -> None:
    diverge(lab, write(conf="ours\n"), write(conf="theirs\n", new="new\n"))
    lab.inside(write(passwd="mine\n"))
    before = lab.sight()
    assert lab.call(["merge", "exp"]).status == 1
    assert read(lab, "passwd") == "mine\n" and read(lab, "new") == "new\n"
    assert "UU etc/conf" in said(lab, "status", "-s")
    lab.call(["merge", "--abort"]).ok()
    assert lab.sight() == before
    assert said(lab, "status", "-s") == "M  etc/passwd\n"
    lab.call(["undo"]).ok()
    assert "UU etc/conf" in said(lab, "status", "-s")
    lab.call(["undo"]).ok()
    assert lab.sight() == before
    lab.fsck()


def test_uncommitted_changes_in_the_way(lab: Lab) -> None:
    diverge(lab, write(conf="ours\n"), write(conf="theirs\n"))
    lab.inside(write(conf="mine\n"))
    before = lab.sight()
    answer = lab.call(["merge", "exp"])
    assert answer.status == 2 and "\tetc/conf\n" in answer.said
    assert lab.sight() == before


@pytest.mark.parametrize("verb", ["restore", "checkout"])
def test_taking_sides(lab: Lab, verb: str) -> None:
    def special(root: str) -> None:
        write(conf="theirs\n", passwd="theirs\n")(root)
        os.chown(f"{root}/etc/conf", 5, 6)
        os.utime(f"{root}/etc/conf", (1_900_000_000, 1_900_000_000))

    diverge(lab, write(conf="ours\n", passwd="ours\n"), special)
    assert lab.call(["merge", "exp"]).status == 1
    assert lab.call([verb, "--", "etc/conf"]).said.startswith("error: path 'etc/conf' is unmerged")
    lab.call([verb, "--theirs", "--", "etc/conf"]).ok()
    status = lab.inside(lambda root: os.stat(f"{root}/etc/conf"))
    assert (status.st_uid, status.st_gid, int(status.st_mtime)) == (5, 6, 1_900_000_000)
    assert read(lab, "conf") == "theirs\n"
    assert said(lab, "status", "-s") == "M  etc/conf\nUU etc/passwd\n"
    lab.call([verb, "--ours", "--", "etc"]).ok()
    assert (read(lab, "conf"), read(lab, "passwd")) == ("ours\n", "ours\n")
    assert "All conflicts fixed but you are still merging." in said(lab, "status")
    lab.call([verb, "--merge", "--", "etc/passwd"]).ok()
    marked = "<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\n"
    assert read(lab, "passwd") == marked
    assert said(lab, "status", "-s") == "UU etc/passwd\n"
    lab.call([verb, "--conflict=diff3", "--", "etc/passwd"]).ok()
    assert "||||||| base\nroot:x:0:0:root:/root:/bin/sh\n" in read(lab, "passwd")
    lab.call(["undo"]).ok()
    assert read(lab, "passwd") == marked
    lab.call([verb, "--theirs", "--", "etc/passwd"]).ok()
    lab.call(["merge", "--continue"]).ok()
    repository = lab.open()
    commit = repository.git.commit(repository.git.resolve("HEAD"))
    assert len(commit.parents) == 2 and commit.message == "Merge branch 'exp'\n"
    lab.fsck()


def test_marking_as_resolved(lab: Lab) -> None:
    diverge(lab, write(conf="", link=""), write(conf="theirs\n"))
    answer = lab.call(["merge", "exp"])
    assert "CONFLICT (modify/delete): etc/conf deleted in HEAD and modified in exp." in answer.said
    assert said(lab, "status", "-s") == "DU etc/conf\n"
    assert lab.call(["commit", "-m", "x"]).status == 128
    assert said(lab, "add", "nothing").startswith("fatal: pathspec 'nothing'")
    assert said(lab, "add", "-n", "etc") == "add 'etc/conf'\n"
    assert said(lab, "restore", "--ours", "etc/conf").startswith(
        "error: path 'etc/conf' does not have our version"
    )
    lab.call(["add", "etc/conf"]).ok()
    assert said(lab, "status", "-s") == "A  etc/conf\n"
    lab.call(["undo"]).ok()
    assert said(lab, "status", "-s") == "DU etc/conf\n"
    lab.inside(write(conf=""))
    assert "All conflicts fixed" in said(lab, "status")
    lab.call(["commit", "-q", "--no-edit"]).ok()
    assert said(lab, "log", "-1", "--format=%s") == "Merge branch 'exp'\n"
    lab.fsck()


def test_attributes_that_clash(lab: Lab) -> None:
    diverge(
        lab,
        lambda root: os.chmod(f"{root}/etc/conf", 0o600),
        lambda root: os.chmod(f"{root}/etc/conf", 0o640),
    )
    answer = lab.call(["merge", "exp"])
    assert answer.status == 1
    assert "CONFLICT (attributes): mode of etc/conf differs" in answer.said
    assert "both modified:   etc/conf (attributes)" in said(lab, "status")
    lab.call(["restore", "--theirs", "etc/conf"]).ok()
    assert lab.inside(lambda root: os.stat(f"{root}/etc/conf").st_mode & 0o777) == 0o640
    lab.call(["commit", "-q", "--no-edit"]).ok()
    lab.fsck()


def test_a_file_moved_aside_can_be_taken_back(lab: Lab) -> None:
    def directory(root: str) -> None:
        os.mkdir(f"{root}/opt")
        Path(root, "opt", "x").write_text("x\n")

    diverge(lab, lambda root: (Path(root, "opt").write_text("file\n"), None)[1], directory)
    answer = lab.call(["merge", "exp"])
    assert "moving it to opt~HEAD instead." in answer.said
    assert "AU opt~HEAD" in said(lab, "status", "-s")
    lab.call(["restore", "--ours", "opt~HEAD"]).ok()
    assert lab.inside(lambda root: Path(root, "opt~HEAD").read_text()) == "file\n"
    lab.call(["commit", "-q", "--no-edit"]).ok()
    lab.fsck()


def test_configuration_is_merged_by_key(lab: Lab) -> None:
    from envgit.porcelain.foundation import merging

    base = {"Env": ["A=1", "B=1"], "Cmd": ["sh"], "Labels": {"x": "1"}}
    ours = {"Env": ["A=2", "B=1"], "Cmd": ["sh"], "Labels": {"x": "1", "y": "2"}}
    theirs = {"Env": ["A=1", "B=3", "C=4"], "Cmd": ["bash"], "Labels": {"x": "0"}, "User": "u"}
    clashes: list[str] = []
    assert merging.merged_config(base, ours, theirs, clashes.append) == {
        "Env": ["A=2", "B=3", "C=4"],
        "Cmd": ["bash"],
        "Labels": {"x": "0", "y": "2"},
        "User": "u",
    }
    assert clashes == []
    merged = merging.merged_config({}, {"Env": ["A=1"]}, {"Env": ["A=2"]}, clashes.append)
    assert merged == {"Env": ["A=1"]} and clashes == ["Env A"]


def test_settings(lab: Lab) -> None:
    diverge(lab, write(conf="ours\n"), write(new="new\n"))
    lab.call(["branch", "behind", "main~1"]).ok()
    lab.call(["config", "--", "branch.main.mergeOptions", "--no-commit"]).ok()
    assert "stopped before committing" in said(lab, "merge", "exp")
    lab.call(["merge", "--abort"]).ok()
    lab.call(["config", "merge.ff", "only"]).ok()
    assert said(lab, "merge", "exp") == "fatal: Not possible to fast-forward, aborting.\n"
    lab.call(["config", "merge.ff", "false"]).ok()
    lab.call(["config", "merge.stat", "false"]).ok()
    lab.call(["switch", "-q", "behind"]).ok()
    assert said(lab, "merge", "exp") == "Merge made by the 'ort' strategy.\n"


def test_a_favoured_side(lab: Lab) -> None:
    diverge(lab, write(conf="ours\n", passwd="o\0"), write(conf="theirs\n", passwd="t\0"))
    lab.call(["merge", "-q", "-X", "theirs", "exp"]).ok()
    assert (read(lab, "conf"), read(lab, "passwd")) == ("theirs\n", "t\0")
    lab.fsck()


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_no_favoured_side_loses_entries_of_a_damaged_database(lab: Lab, side: str) -> None:
    """A package twice is merged by line, where a hunk of one side may hold another's package."""

    def status(*packages: tuple[str, int]) -> Change:
        def change(root: str) -> None:
            path = Path(root, "var/lib/dpkg/status")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                for name, version in packages:
                    file.write(f"Package: {name}\nStatus: install ok installed\n")
                    file.write(f"Architecture: all\nVersion: {version}\n\n")

        return change

    lab.inside(status(("base", 1)))
    lab.call(["commit", "-qm", "base"]).ok()
    diverge(lab, status(("two", 1), ("dup", 3)), status(("one", 1), ("dup", 1), ("dup", 2)))
    answer = lab.call(["merge", "-X", side, "exp"])
    assert answer.status == 1
    assert "CONFLICT (content): Merge conflict in var/lib/dpkg/status\n" in answer.said
    assert "warning: var/lib/dpkg/status: two entries are called 'dup" in answer.said
    assert "UU var/lib/dpkg/status" in said(lab, "status", "-s")
    both = lab.inside(lambda root: Path(root, "var/lib/dpkg/status").read_text())
    assert {"Package: one", "Package: two"} <= set(both.splitlines())


def test_the_library(lab: Lab) -> None:
    diverge(lab, write(conf="ours\n"), write(conf="theirs\n", new="n\n"))
    result = lab.open().merge("exp")
    assert result.outcome == "conflicts"
    assert [(one.path, one.kind) for one in result.conflicts] == [(b"etc/conf", "content")]
    assert lab.open().resolve_with("theirs", ["etc/conf"]) == [b"etc/conf"]
    assert lab.open().commit().subject == "Merge branch 'exp'"


@pytest.mark.needs("busybox")
def test_while_a_command_runs(tmp_path: Path) -> None:
    """The mount of a running command cannot be exchanged: a merge is refused, as a switch is."""
    from tests.support import scenarios

    with labs.scratch(tmp_path) as top:
        lab = scenarios.build(top, busybox=True)
        reader, pid = labs.start(["run", "--", "sleep", "30"], lab.project, lab.environ)
        try:
            _wait_for_a_run(lab)
            before = lab.open().git.refs()
            answer = lab.call(["merge", "exp"])
            assert answer.status != 0 and "sleep" in answer.said
            assert lab.open().git.refs() == before
        finally:
            for one in lab.open().worktree.running():
                os.kill(one.init_pid, 9)
            os.waitpid(pid, 0)
            os.close(reader)


def _wait_for_a_run(lab: Lab) -> None:
    for _ in range(2000):
        if lab.open().worktree.running():
            return
        time.sleep(0.01)
    raise AssertionError("the command did not start")
