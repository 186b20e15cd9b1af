# SPDX-License-Identifier: Apache-2.0
"""`run` and `shell` from the command line: options, exit statuses, what becomes of the changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.cli.launching import environment
from envgit.errors import EnvgitError
from tests.support import builders, cli

HOST = {"HOME": "/root", "LANG": "C"}


def test_variables_come_from_files_and_options_the_last_one_winning(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\n\nA=1\n  B=two words \nHOME\nMISSING\nLANG=de\n")
    assert environment(("A=3", "LANG", "C=", "X=a=b"), (str(file),), HOST) == {
        "A": "3",
        "B": "two words ",
        "HOME": "/root",
        "LANG": "C",
        "C": "",
        "X": "a=b",
    }


@pytest.mark.parametrize("text", ["=x", "a b=c", ""])
def test_impossible_variables_are_refused(text: str) -> None:
    with pytest.raises(EnvgitError, match="invalid variable for -e"):
        environment((text,), (), HOST)


def test_a_missing_file_of_variables_is_named() -> None:
    with pytest.raises(EnvgitError, match="cannot read '/nope': No such file or directory"):
        environment((), ("/nope",), HOST)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a small root filesystem."""
    project = tmp_path / "project"
    builders.rootfs(tmp_path / "rootfs")
    cli.run(["init", "-q", project, "--from", f"rootfs:{tmp_path}/rootfs"]).ok()
    return project


sandboxed = [pytest.mark.root, pytest.mark.needs("overlay")]


class TestRun:
    """With a real sandbox."""

    pytestmark = sandboxed

    @pytest.mark.parametrize(
        ("args", "status", "stderr"),
        [
            (["true"], 0, ""),
            (["sh", "-c", "exit 7"], 7, ""),
            (["sh", "-c", "kill -TERM $$"], 143, ""),
            (["nope"], 127, "fatal: "),
            (["/etc/passwd"], 126, "fatal: "),
            (["--network", "zork", "true"], 125, "fatal: unknown network 'zork'\n"),
            (["-v", "foo", "true"], 125, "fatal: invalid volume 'foo'"),
            (["--at", "nope", "true"], 125, "fatal: ambiguous argument 'nope'"),
            (["--rm", "-m", "x", "true"], 125, "fatal: --rm throws the changes away"),
            (["--at", "HEAD", "--commit", "true"], 125, "fatal: --at HEAD throws the changes"),
            (["--nope", "true"], 129, "error: unknown option `nope'"),
            (["-h"], 129, ""),
        ],
    )
    def test_statuses(self, project: Path, args: list[str], status: int, stderr: str) -> None:
        done = cli.run(["run", *args], cwd=project).exited(status)
        assert done.stderr.startswith(stderr) if stderr else done.stderr == ""

    def test_options_end_at_the_command(self, project: Path) -> None:
        done = cli.run(["run", "echo", "-m", "--rm", "--", "x"], cwd=project).ok()
        assert done.stdout == "-m --rm -- x\n"
        assert cli.run(["run", "--", "echo", "--", "x"], cwd=project).ok().stdout == "-- x\n"

    def test_quiet_leaves_out_the_summary_of_the_commit(self, project: Path) -> None:
        done = cli.run(["run", "-q", "-m", "x", "touch", "/etc/x"], cwd=project).ok()
        assert (done.stdout, done.stderr) == ("", "")
        assert "] y\n" in cli.run(["run", "-m", "y", "touch", "/y"], cwd=project).ok().stderr
        assert cli.run(["log", "--format=%s", "-2"], cwd=project).ok().lines == ["y", "x"]

    def test_surroundings(self, project: Path, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared/file").write_text("from the host\n")
        done = cli.run(
            [
                *("run", "-e", "A=1", "-e", "FROM_HOST", "-w", "/etc", "--hostname", "box"),
                *("-v", "../shared:/mnt/shared:ro", "--tmpfs", "/scratch", "-u", "user"),
                *("sh", "-c", "echo $A $FROM_HOST; pwd; hostname; id -un; cat /mnt/shared/file"),
            ],
            cwd=project,
            env={"FROM_HOST": "yes"},
        ).ok()
        assert done.lines == ["1 yes", "/etc", "box", "user", "from the host"]

    def test_pipes(self, project: Path) -> None:
        assert cli.run(["run", "-i", "cat"], cwd=project, stdin="text").ok().stdout == "text"

    def test_a_message_commits_what_succeeded(self, project: Path) -> None:
        done = cli.run(["run", "-m", "subject", "-m", "body", "touch", "/a"], cwd=project).ok()
        assert done.stdout == ""  # which is the command's
        assert cli.normalise(done.stderr).startswith("[main <id>] subject\n 1 file changed")
        cli.run(["run", "-m", "fails", "sh", "-c", "touch /b; exit 3"], cwd=project).exited(3)
        drafted = cli.run(["run", "--commit", "touch", "/c"], cwd=project).ok()
        assert "] " in drafted.stderr
        nothing = cli.run(["run", "-m", "none", "true"], cwd=project).ok()
        assert "nothing to commit" in nothing.stderr

    def test_changes_can_be_thrown_away(self, project: Path) -> None:
        cli.run(["run", "touch", "/kept"], cwd=project).ok()
        cli.run(["run", "--rm", "sh", "-c", "test -e /kept && touch /gone"], cwd=project).ok()
        cli.run(["run", "--at", "HEAD", "sh", "-c", "! test -e /kept"], cwd=project).ok()
        cli.run(["run", "sh", "-c", "test -e /kept && ! test -e /gone"], cwd=project).ok()

    def test_standard_input_can_be_kept_away(self, project: Path) -> None:
        done = cli.run(["run", "--no-interactive", "cat"], cwd=project, stdin="secret").ok()
        assert done.stdout == ""

    def test_a_dry_run_does_nothing(self, project: Path) -> None:
        done = cli.run(["run", "--dry-run", "touch", "/x"], cwd=project).ok()
        assert done.lines[0].startswith("namespaces ")
        assert done.lines[-1].split() == ["command", "touch", "/x"]
        cli.run(["run", "sh", "-c", "! test -e /x"], cwd=project).ok()


class TestShell:
    """With a real sandbox."""

    pytestmark = sandboxed

    def test_the_users_own_shell_runs(self, project: Path) -> None:
        done = cli.run(["shell"], cwd=project, stdin="echo $0; touch /made; exit 5\n").exited(5)
        assert done.stdout == "/bin/sh\n"
        cli.run(["run", "test", "-e", "/made"], cwd=project).ok()

    def test_a_user_without_a_shell_gets_sh(self, project: Path) -> None:
        done = cli.run(["shell", "-u", "nobody"], cwd=project, stdin="id -un; echo $0\n").ok()
        assert done.lines == ["nobody", "/bin/sh"]

    def test_the_prompt_tells_where_we_are(self, project: Path) -> None:
        ask = "echo $PS1\n"
        assert cli.run(["shell"], cwd=project, stdin=ask).ok().stdout == "(main) $\n"
        cli.run(["run", "touch", "/dirt"], cwd=project).ok()
        assert cli.run(["shell"], cwd=project, stdin=ask).ok().stdout == "(main*) $\n"
        assert cli.run(["shell", "HEAD~0"], cwd=project, stdin=ask).ok().stdout == "(HEAD~0) $\n"
        own = cli.run(["shell", "-e", "PS1=mine"], cwd=project, stdin=ask).ok()
        assert own.stdout == "mine\n"
