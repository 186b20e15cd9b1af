# SPDX-License-Identifier: Apache-2.0
"""The hooks that come with envgit, doing their work: in git and in the shells."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import builders, cli

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


def git(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Real git, which finds the envgit of this Python; it must succeed."""
    path = f"{Path(cli.program()[0]).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@x", *argv],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.peer("shellcheck>=0.8")
def test_shellcheck_has_nothing_to_say() -> None:
    scripts = [
        path for path in (ROOT / "hooks").rglob("*") if path.is_file() and path.name != "README.rst"
    ]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- git ------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A git repository with an environment in it and branches ``main`` and ``new``, whose lock
    files name the environment's first and second commit."""
    builders.rootfs(tmp_path / "rootfs")
    folder = tmp_path / "sources"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text(".envgit\n")
    cli.run(["init", "-q", "--from", f"rootfs:{tmp_path}/rootfs"], cwd=folder).ok()
    cli.run(["hook", "install", "git"], cwd=folder).ok()
    lock(folder, "# the environment\n\n" + head(folder) + "\n")
    git(folder, "checkout", "-q", "-b", "new")
    cli.run(["run", "sh", "-c", "echo 2 > /etc/two"], cwd=folder).ok()
    cli.run(["commit", "-q", "-m", "two"], cwd=folder).ok()
    lock(folder, head(folder))
    return folder


def lock(folder: Path, text: str) -> None:
    """Commit a lock file to git."""
    (folder / "envgit.lock").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "lock")


def head(folder: Path) -> str:
    """The environment's HEAD."""
    return cli.run(["rev-parse", "HEAD"], cwd=folder).ok().stdout.strip()


def subject(folder: Path) -> str:
    """The subject of the environment's HEAD."""
    return cli.run(["log", "-1", "--format=%s"], cwd=folder).ok().stdout.strip()


@pytest.mark.peer("git>=2.36")
def test_the_environment_follows_the_branch(sources: Path) -> None:
    done = git(sources, "checkout", "-q", "main")
    assert "the environment is now at" in done.stderr
    assert subject(sources).startswith("init")
    git(sources, "switch", "-q", "new")
    assert subject(sources) == "two"
    git(sources, "checkout", "-q", "main")
    git(sources, "merge", "-q", "new")
    assert subject(sources) == "two"
    # Checking out files is no change of branch; nor does a branch with the same lock move anything.
    assert not git(sources, "checkout", "HEAD~1", "--", "envgit.lock").stderr.count("envgit:")
    git(sources, "reset", "-q", "--hard")
    assert "envgit:" not in git(sources, "checkout", "-q", "new").stderr


@pytest.mark.peer("git>=2.36")
def test_uncommitted_changes_come_along_or_keep_it_where_it_is(sources: Path) -> None:
    cli.run(["run", "sh", "-c", "echo mine > /etc/mine"], cwd=sources).ok()
    git(sources, "checkout", "-q", "main")
    assert subject(sources).startswith("init")
    assert "etc/mine" in cli.run(["status", "-s"], cwd=sources).stdout
    git(sources, "checkout", "-q", "new")
    cli.run(["run", "sh", "-c", "echo mine > /etc/two"], cwd=sources).ok()
    done = git(sources, "checkout", "-q", "main")
    assert "the environment stays as it is" in done.stderr
    assert "etc/two" in done.stderr
    assert subject(sources) == "two"
    assert cli.run(["run", "cat", "/etc/two"], cwd=sources).ok().stdout == "mine\n"


@pytest.mark.peer("git>=2.36")
def test_a_lock_may_name_a_branch_and_lie_elsewhere(sources: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    builders.rootfs(tmp_path / "other")
    cli.run(["init", "-q", "-b", "work", apart, "--from", f"rootfs:{tmp_path}/other"]).ok()
    cli.run(["checkout", "-q", "-b", "else"], cwd=apart).ok()
    cli.run(["commit", "-q", "--allow-empty", "-m", "else"], cwd=apart).ok()
    git(sources, "config", "envgit.environment", "../apart")
    git(sources, "config", "envgit.lock", "env/lock")
    (sources / "env").mkdir()
    (sources / "env" / "lock").write_text("work")  # without a newline at its end
    git(sources, "add", "-A")
    git(sources, "commit", "-q", "-m", "lock")
    git(sources, "checkout", "-q", "main")
    (sources / "deep").mkdir()
    git(sources / "deep", "checkout", "-q", "new")
    assert cli.run(["branch", "--show-current"], cwd=apart).ok().stdout == "work\n"


@pytest.mark.peer("git>=2.36")
def test_a_branch_is_gone_to_although_its_commit_is_there(sources: Path) -> None:
    git(sources, "checkout", "-q", "-b", "named")
    branch = cli.run(["branch", "--show-current"], cwd=sources).ok().stdout.strip()
    assert branch
    (sources / "envgit.lock").write_bytes(f"# as on Windows\r\n\r\n{branch}\r\n".encode())
    git(sources, "commit", "-q", "-a", "-m", "named")
    git(sources, "checkout", "-q", "new")
    cli.run(["switch", "-q", "--detach"], cwd=sources).ok()
    git(sources, "checkout", "-q", "named")
    assert cli.run(["branch", "--show-current"], cwd=sources).ok().stdout.strip() == branch
    assert "envgit:" not in git(sources, "checkout", "-q", "new").stderr


@pytest.mark.peer("git>=2.36")
@pytest.mark.parametrize(
    "text", ["nonsense\n", "--orphan=x\n", "", "# only this\n", "$(touch x)\n"]
)
def test_a_lock_without_a_commit_changes_nothing(sources: Path, text: str) -> None:
    git(sources, "checkout", "-q", "-b", "odd")
    lock(sources, text)
    before = cli.run(["reflog"], cwd=sources).stdout
    git(sources, "checkout", "-q", "new")
    done = git(sources, "checkout", "-q", "odd")
    assert "it stays as it is" in done.stderr or "the environment stays as it is" in done.stderr
    assert cli.run(["reflog"], cwd=sources).stdout == before
    assert not (sources / "x").exists()


def test_installing_spares_a_hook_that_is_there(sources: Path) -> None:
    mine = sources / ".git" / "hooks" / "post-merge"
    mine.write_text("#!/bin/sh\n")
    done = cli.run(["hook", "install", "git"], cwd=sources).exited(1)
    assert "another file is at" in done.stderr
    assert mine.read_text() == "#!/bin/sh\n"
    cli.run(["hook", "install", "git", "--force"], cwd=sources).ok()
    assert mine.read_bytes() == (ROOT / "hooks/git/post-merge").read_bytes()


# -- shells ---------------------------------------------------------------------------------------

PROMPT = ROOT / "hooks/shell/envgit-prompt.sh"
SHELLS = {
    "bash": ("bash", "--norc", "-c", f'. {PROMPT}; PS1="<\\$(__envgit_ps1)>"; echo "${{PS1@P}}"'),
    "zsh": (
        "zsh",
        "-fc",
        f". {PROMPT}; setopt PROMPT_SUBST; PS1='<$(__envgit_ps1)>'; print -P \"$PS1\"",
    ),
    "sh": ("sh", "-c", f'. {PROMPT}; printf "<%s>\\n" "$(__envgit_ps1)"'),
}


@pytest.mark.parametrize(
    "shell",
    [
        "sh",
        pytest.param("bash", marks=pytest.mark.peer("bash>=4.4")),
        pytest.param("zsh", marks=pytest.mark.peer("zsh>=5")),
    ],
)
def test_the_prompt_shows_where_the_environment_is(shell: str, tmp_path: Path) -> None:
    project = cli.changed_project(tmp_path)

    def prompt(folder: Path = project, **env: str) -> str:
        path = f"{Path(cli.program()[0]).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            SHELLS[shell],
            cwd=folder,
            env={**os.environ, "PATH": path, **env},
            capture_output=True,
            text=True,
            check=True,
            timeout=cli.TIMEOUT,
        )
        assert not done.stderr
        return done.stdout.strip()

    assert prompt() == "< (main)>"
    assert prompt(ENVGIT_PS1_SHOWDIRTYSTATE="1") == "< (main *)>"
    (project / "deep" / "er").mkdir(parents=True)
    assert prompt(project / "deep" / "er") == "< (main)>"
    assert prompt(tmp_path) == "<>"
    cli.run(["commit", "-q", "-m", "x"], cwd=project).ok()
    assert prompt(ENVGIT_PS1_SHOWDIRTYSTATE="1") == "< (main)>"

    odd = "$(touch${IFS}pwned)%n`id`"
    cli.run(["switch", "-q", "-c", odd], cwd=project).ok()
    assert prompt() == f"< ({odd})>"
    assert not (project / "pwned").exists()
    cli.run(["switch", "-q", "--detach"], cwd=project).ok()
    found = cli.run(["rev-parse", "HEAD"], cwd=project).ok().stdout[:7]
    assert prompt() == f"< (({found}...))>"

    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".envgit").write_text(f"gitdir: {project}/.envgit\n")
    assert prompt(linked) == f"< (({found}...))>"

    place = tmp_path / "of-somebody"
    place.mkdir()
    (linked / ".envgit").write_text(f"gitdir: {place}\n")
    os.mkfifo(place / "HEAD")
    assert prompt(linked) == "<>"
    (place / "HEAD").unlink()
    (place / "HEAD").write_text("ref: refs/heads/\x1b]0;title\x07\n")
    assert prompt(linked) == "<>"
