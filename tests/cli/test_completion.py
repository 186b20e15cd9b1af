# SPDX-License-Identifier: Apache-2.0
"""What the shells are told could follow, and that the scripts are the shells' own language."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import cli


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with two branches and a tag."""
    project = tmp_path / "project"
    cli.run(["init", "-q", project, "--from", "scratch"]).ok()
    cli.run(["branch", "exp"], cwd=project).ok()
    cli.run(["tag", "v1"], cwd=project).ok()
    cli.run(["config", "alias.st", "status"], cwd=project).ok()
    return project


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (["stat"], ["status"]),
        (["st"], ["stash", "status", "st"]),
        (["-C", "x", "swi"], ["switch"]),
        (["--no-p"], ["--no-pager"]),
        (["switch", ""], ["exp", "main"]),
        (["log", ""], ["HEAD", "exp", "main", "v1"]),
        (["commit", "--am"], ["--amend"]),
        (["commit", "-C", "v"], ["v1"]),
        (["run", "--network", ""], ["host", "none"]),
        (["run", "--env-file", ""], [":files"]),
        (["op", ""], ["log", "show", "restore"]),
        (["op", "log", "--max"], ["--max-count"]),
        (["bisect", "good", ""], ["HEAD", "exp", "main", "v1"]),
        (["bisect", "run", "--rep"], ["--repeat"]),
        (["help", "roll"], ["rollback"]),
        (
            ["config", "gc.r"],
            ["gc.reflogExpire", "gc.reflogExpireUnreachable", "gc.repositoryExpire"],
        ),
        (["export", "--sb"], ["--sbom"]),
        (["export", "--sbom=s"], ["--sbom=spdx-json"]),
        (["export", "--sbom", "=", "cy"], ["cyclonedx-json"]),
        (["export", "--sbom", "="], ["cyclonedx-json", "spdx-json"]),
        (["log", "--color=a"], ["--color=always", "--color=auto"]),
        (["op", "log", "--nope=a"], []),
        (["packages", "v"], ["v1"]),
        (["log", "--package", ""], []),
        (["="], [":files"]),
        (["log", "="], []),
        (["cp", ""], [":files"]),
        (["nope", "x"], [":files"]),
        (["commit", "x"], []),
    ],
)
def test_candidates(project: Path, words: list[str], candidates: list[str]) -> None:
    done = cli.run(["__complete", "--", *words], cwd=project).ok()
    assert [line.partition("\t")[0] for line in done.lines] == candidates
    assert done.stderr == ""


def test_outside_a_repository_it_is_silent(tmp_path: Path) -> None:
    done = cli.run(["__complete", "--", "switch", ""], cwd=tmp_path).ok()
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_valid(shell: str) -> None:
    script = cli.run(["completion", shell]).ok().stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_completes(project: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = Path(cli.program()[0])
    script = f"""
        PATH={program.parent}:$PATH
        eval "$(envgit completion bash)"
        COMP_WORDS=(envgit switch e) COMP_CWORD=2
        _envgit
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout == "exp\n"


def test_an_unknown_shell_is_refused() -> None:
    assert cli.run(["completion", "tcsh"]).exited(129).stderr.startswith("error: unknown shell")
