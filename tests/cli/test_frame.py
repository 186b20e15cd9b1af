# SPDX-License-Identifier: Apache-2.0
"""What every verb gets from the frame: global options, aliases, errors, pipes, pagers."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.support import cli

NOWHERE = "fatal: not an envgit repository (or any of the parent directories): .envgit\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose first commit is empty."""
    project = tmp_path / "project"
    cli.run(["init", "-q", project, "--from", "scratch"]).ok()
    return project


def test_without_a_verb_the_overview_is_shown() -> None:
    alone = cli.run([]).exited(1)
    assert alone.stdout == cli.run(["--help"]).ok().stdout == cli.run(["help"]).ok().stdout
    assert alone.stderr == ""


def test_version() -> None:
    assert cli.run(["--version"]).ok().stdout.startswith("envgit version ")


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["sttaus"], 1, "\n\nThe most similar command is\n\tstatus\n"),
        (["zzzqqq"], 1, "envgit: 'zzzqqq' is not an envgit command. See 'envgit --help'.\n"),
        (["--foo"], 129, "error: unknown option: --foo\nusage: envgit "),
        (["-C"], 129, "error: no directory given for '-C' option\nusage: envgit "),
        (["-c"], 129, "error: -c expects a configuration string\nusage: envgit "),
        (["-C", "/nope", "status"], 128, "fatal: cannot change to '/nope': No such "),
        (["branch"], 128, NOWHERE),
        (["run", "true"], 125, NOWHERE),
        (["commit", "--foo"], 129, "error: unknown option `foo'\nusage: envgit commit "),
        (["commit", "-Y"], 129, "error: unknown switch `Y'\nusage: envgit commit "),
        (["commit", "-m"], 129, "error: switch `m' requires a value\n"),
        (["commit", "--author"], 129, "error: option `author' requires a value\n"),
        (["commit", "--amend=3"], 129, "error: option `amend' takes no value\n"),
        (["undo", "x"], 129, "error: "),
        (["undo", "1", "2"], 129, "error: unexpected argument: 2\nusage: envgit undo "),
        (["help", "nope"], 129, "error: no verb is called 'nope'\n"),
    ],
)  # fmt: skip
def test_mistakes(args: list[str], status: int, message: str, tmp_path: Path) -> None:
    done = cli.run(args, cwd=tmp_path).exited(status)
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_directories_add_up(project: Path) -> None:
    (project / "a/b").mkdir(parents=True)
    done = cli.run(["-C", project.parent, "-C", project.name, "-C", "a/b", "branch"], cwd="/").ok()
    assert done.stdout == "* main\n"


def test_the_repository_can_be_named(project: Path, tmp_path: Path) -> None:
    done = cli.run([f"--envgit-dir={project}/.envgit", "branch"], cwd=tmp_path).ok()
    assert done.stdout == "* main\n"
    done = cli.run(["branch"], cwd=tmp_path, env={"ENVGIT_DIR": f"{project}/.envgit"}).ok()
    assert done.stdout == "* main\n"
    done = cli.run(["--envgit-dir", "/nope", "branch"], cwd=tmp_path).exited(128)
    assert done.stderr.startswith("fatal: not an envgit repository: '/nope'\n")


def test_settings_on_the_command_line(project: Path) -> None:
    done = cli.run(["-c", "x.y=z", "-c", "x.flag", "config", "x.y"], cwd=project).ok()
    assert done.stdout == "z\n"
    coloured = cli.run(["-c", "color.ui=always", "branch"], cwd=project).ok()
    assert coloured.stdout == "* \033[32mmain\033[m\n"


def test_aliases(project: Path) -> None:
    for name, text in {
        "b": "branch -v",
        "say": "!echo said",
        "fails": "!exit 7",
        "loop": "pool",
        "pool": "loop",
        "bad": "log '",
        "here": '!echo "$ENVGIT_PREFIX:$(basename "$PWD")"',
    }.items():
        cli.run(["config", f"alias.{name}", text], cwd=project).ok()
    assert cli.run(["b"], cwd=project).ok().stdout.startswith("* main ")
    assert cli.run(["say", "x y", "z"], cwd=project).ok().stdout == "said x y z\n"
    cli.run(["fails"], cwd=project).exited(7)
    loop = cli.run(["loop"], cwd=project).exited(128)
    assert "alias loop detected: expansion of 'loop' does not terminate:" in loop.stderr
    assert "bad alias.bad string" in cli.run(["bad"], cwd=project).exited(128).stderr
    (project / "sub").mkdir()
    assert cli.run(["here"], cwd=project / "sub").ok().stdout == "sub/:project\n"
    assert "The most similar command is\n\tsay\n" in cli.run(["sya"], cwd=project).exited(1).stderr
    assert "'b' is aliased to 'branch -v'" in cli.run(["help", "b"], cwd=project).ok().stdout


def test_a_closed_pipe_is_quiet(project: Path) -> None:
    process = subprocess.Popen(
        [*cli.program(), "config", "--list"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_standard_stream_is_as_good_as_dev_null(project: Path, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *cli.program(), "commit", "--allow-empty", "-mx"],
        cwd=project,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (">&-" not in closed.replace("2>&-", ""))
    assert cli.run(["log", "--format=%s"], cwd=project).ok().lines[0] == "x"


def test_a_full_disk_is_a_sentence(project: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*cli.program(), "config", "--list"],
            cwd=project,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 128
    assert done.stderr.startswith(b"fatal: No space left on device\nhint: ")


def test_a_trace_is_shown_only_when_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [*cli.program(), "branch"],
        cwd=tmp_path,
        env={**os.environ, "ENVGIT_TRACE": "1"},
        capture_output=True,
        check=False,
    )
    assert b"Traceback (most recent call last)" in done.stderr
    assert done.returncode == 128


def on_terminal(*args: str, cwd: Path, env: dict[str, str]) -> str:
    """What ``envgit ARGS`` shows on a terminal of its own."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*cli.program(), *args],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", **env},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # EIO: the other side is closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    process.wait()
    return seen.decode().replace("\r\n", "\n")


def test_output_is_paged_and_coloured_on_a_terminal(project: Path) -> None:
    pager = {"ENVGIT_PAGER": "sed s/^/paged:/"}
    assert on_terminal("branch", cwd=project, env=pager) == "paged:* \033[32mmain\033[m\n"
    assert on_terminal("--no-pager", "branch", cwd=project, env=pager) == "* \033[32mmain\033[m\n"
    plain = {"ENVGIT_PAGER": "cat", "NO_COLOR": "1"}
    assert on_terminal("branch", cwd=project, env=plain) == "* main\n"
    assert "paged:" not in on_terminal("branch", "x", "nope", cwd=project, env=pager)


def test_pager_settings(project: Path) -> None:
    cli.run(["config", "core.pager", "sed s/^/core:/"], cwd=project).ok()
    quiet = {"NO_COLOR": "1"}
    assert on_terminal("branch", cwd=project, env=quiet) == "core:* main\n"
    cli.run(["config", "pager.branch", "false"], cwd=project).ok()
    assert on_terminal("branch", cwd=project, env=quiet) == "* main\n"
    assert on_terminal("-p", "branch", cwd=project, env=quiet) == "core:* main\n"
    cli.run(["config", "pager.branch", "sed s/^/own:/"], cwd=project).ok()
    assert on_terminal("branch", cwd=project, env=quiet) == "own:* main\n"
    assert on_terminal("branch", cwd=project, env={**quiet, "LESS": ""}) == "own:* main\n"


def test_a_reader_who_quits_the_pager_is_no_error(project: Path) -> None:
    seen = on_terminal("config", "--list", cwd=project, env={"ENVGIT_PAGER": "head -n 1"})
    assert seen.count("\n") == 1
