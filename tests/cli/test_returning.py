# SPDX-License-Identifier: Apache-2.0
"""`rollback`, `reset`, `undo`, `redo`, `op` and the upkeep verbs: what they print and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import builders, cli


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with three commits without content."""
    project = tmp_path / "project"
    cli.run(["init", "-q", project, "--from", "scratch", "-m", "one"]).ok()
    for message in ("two", "three"):
        cli.run(["commit", "-q", "--allow-empty", "-m", message], cwd=project).ok()
    return project


def said(project: Path, *args: str) -> str:
    return cli.normalise(cli.run(args, cwd=project).ok().stdout)


def test_going_back_and_forth(project: Path) -> None:
    assert said(project, "rollback") == "HEAD is now at <id> two\n"
    assert said(project, "undo") == (
        "Undid <id>: rollback: moving to HEAD~1\nHEAD is now at <id> three (on branch main)\n"
    )
    assert said(project, "redo") == (
        "Redid <id>: rollback: moving to HEAD~1\nHEAD is now at <id> two (on branch main)\n"
    )
    assert said(project, "undo", "2").count("Undid") == 2
    assert said(project, "rollback", "-q", "HEAD~1") == ""
    nothing = cli.run(["redo"], cwd=project).exited(1)
    assert nothing.stderr == "error: there is nothing to redo\n"
    far = cli.run(["rollback", "-n", "7"], cwd=project).exited(1)
    assert far.stderr == "error: the history does not go back that far: HEAD~7\n"
    cli.run(["rollback", "-n", "0"], cwd=project).exited(128)
    cli.run(["undo", "0"], cwd=project).exited(128)


@pytest.mark.parametrize("name", ["\udcff\udcfe", "x" * 251, "y" * 300, "a/" * 2030 + "z"])
def test_no_name_of_a_branch_stands_in_the_way_of_what_comes_after(
    project: Path, name: str
) -> None:
    made = cli.run(["branch", name], cwd=project)
    assert made.status == (0 if name.startswith("\udcff") else 128)
    assert "bug" not in made.stderr
    assert said(project, "rollback") == "HEAD is now at <id> two\n"
    assert said(project, "branch").count("\n") == 2 - bool(made.status)
    assert said(project, "fsck") == ""


def test_keeping_history(project: Path) -> None:
    cli.run(["rollback", "--keep-history", "HEAD~2"], cwd=project).ok()
    shown = cli.run(["log", "--oneline"], cwd=project).ok().lines
    assert [line.partition(" ")[2] for line in shown] == [
        'Roll back to "one"', "three", "two", "one",
    ]  # fmt: skip


def test_the_operation_log(project: Path) -> None:
    nameless = cli.run(["op", "restore"], cwd=project).exited(129)
    assert nameless.stderr.startswith("error: missing argument: <operation>\n")
    cli.run(["branch", "exp"], cwd=project).ok()
    lines = cli.run(["op", "log"], cwd=project).ok().lines
    assert [line.split(" ", 4)[4] for line in lines] == [
        "branch: Created from HEAD", "commit: three", "commit: two", "commit (initial): one",
    ]  # fmt: skip
    assert cli.run(["op"], cwd=project).ok().lines == lines
    assert cli.run(["op", "log", "-1"], cwd=project).ok().lines == lines[:1]
    newest = json.loads(cli.run(["op", "log", "--json"], cwd=project).ok().stdout)[0]
    assert newest["command"] == ["envgit", "branch", "exp"]
    shown = cli.run(["op", "show"], cwd=project).ok().stdout
    assert f"operation {newest['id']}\n" in shown
    assert "Command:  envgit branch exp\n" in shown
    oldest = lines[-1].split()[0]
    restored = cli.normalise(cli.run(["op", "restore", oldest], cwd=project).ok().stdout)
    assert restored.endswith("HEAD is now at <id> one (on branch main)\n")
    assert said(project, "branch") == "* main\n"
    cli.run(["undo"], cwd=project).ok()
    assert said(project, "branch") == "  exp\n* main\n"
    assert cli.run(["op", "show", "zzzz"], cwd=project).exited(128).stderr.startswith("fatal: no ")
    assert (
        cli.run(["op", "zork"], cwd=project)
        .exited(129)
        .stderr.startswith("error: unknown subcommand: `zork'\nusage: envgit op log")
    )


def test_upkeep(project: Path) -> None:
    assert said(project, "fsck") == ""
    assert said(project, "fsck", "--no-full") == ""
    assert cli.run(["gc", "-n"], cwd=project).ok().stderr == ""
    cli.run(["gc", "-q"], cwd=project).ok()
    assert (
        cli.run(["gc", "--expire", "zork"], cwd=project)
        .exited(128)
        .stderr.startswith("fatal: 'zork' is not an age\nhint: ")
    )
    usage = cli.run(["du"], cwd=project).ok().lines
    assert [line.split()[3] for line in usage[:3]] == ["three", "two", "one"]
    assert json.loads(cli.run(["du", "--json"], cwd=project).ok().stdout)["layers"]
    assert said(project, "undo").startswith("Undid ")  # gc keeps what undo needs


def test_a_damaged_state_is_named_and_repaired(project: Path, store: Path) -> None:
    (state,) = store.glob("worktrees/*/state")
    state.write_text("{garbage")
    damaged = cli.run(["status"], cwd=project).exited(128)
    assert str(state) in damaged.stderr
    assert "hint: " in damaged.stderr
    assert str(state) in cli.run(["fsck"], cwd=project).exited(1).stdout
    cli.run(["fsck", "--repair"], cwd=project).ok()
    assert cli.run(["status"], cwd=project).ok().lines[0] == "On branch main"


def test_json_is_one_document(project: Path) -> None:
    for line in (
        *("branch", "tag", "status", "log", "diff", "reflog", "op log", "op show", "du", "fsck"),
        *("gc -n", "config -l", "commit --allow-empty -m x", "undo", "rollback", "mount"),
    ):
        json.loads(cli.run([*line.split(), "--json"], cwd=project).ok().stdout)


@pytest.mark.root
@pytest.mark.needs("overlay")
def test_rolling_back_to_where_a_command_succeeds(tmp_path: Path) -> None:
    project = tmp_path / "project"
    builders.rootfs(tmp_path / "rootfs")
    cli.run(["init", "-q", project, "--from", f"rootfs:{tmp_path}/rootfs"]).ok()
    for number in range(3):
        cli.run(["run", "-m", f"{number}", "touch", f"/{number}"], cwd=project).ok()
    done = cli.run(["rollback", "--check", "! test -e /1"], cwd=project).ok()
    assert cli.normalise(done.stdout).endswith("HEAD is now at <id> 0\n")
    stays = cli.run(["rollback", "--check", "true"], cwd=project).ok()
    assert stays.stdout == "the check succeeds where we are; nothing was rolled back\n"
    never = cli.run(["rollback", "--check", "false"], cwd=project).exited(1)
    assert "error: 'false' fails in all 2 commits; nothing was changed\n" in never.stderr


def test_switch_to_an_orphan_begins_with_nothing(project: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("x\n")
    cli.run(["cp", tmp_path / "new", ":new"], cwd=project).ok()
    refused = cli.run(["switch", "--orphan", "fresh"], cwd=project).exited(1)
    assert "\tnew\n" in refused.stderr
    cli.run(["switch", "-f", "--orphan", "fresh"], cwd=project).ok()
    assert cli.run(["status", "-s"], cwd=project).stdout == ""
    cli.run(["undo"], cwd=project).ok()
    assert cli.run(["status", "-s"], cwd=project).stdout == "A  new\n"
    cli.run(["commit", "-m", "kept"], cwd=project).ok()
    cli.run(["switch", "--orphan", "fresh"], cwd=project).ok()
    assert cli.run(["switch", "main"], cwd=project).ok().stdout == ""
    assert cli.run(["show", "main:new"], cwd=project).stdout == "x\n"
    assert cli.run(["status", "-s"], cwd=project).stdout == ""
