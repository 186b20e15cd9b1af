# SPDX-License-Identifier: Apache-2.0
"""`commit`: its summary against git's, the editor and its template."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import builders, cli

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay"),
    pytest.mark.usefixtures("fixed_clock"),
]

CHANGE = "printf 'a\\nb\\n' > /etc/new; rm /etc/group; chmod 755 /etc/passwd; echo x >> /etc/passwd"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a small root filesystem and uncommitted changes."""
    project = tmp_path / "project"
    builders.rootfs(tmp_path / "rootfs")
    cli.run(["init", "-q", project, "--from", f"rootfs:{tmp_path}/rootfs"]).ok()
    cli.run(["run", "sh", "-c", CHANGE], cwd=project).ok()
    return project


@pytest.mark.peer("git>=2.39")
def test_the_summary_is_gits(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rootfs"
    for args in (
        ["init", "-q", "-b", "main"],
        ["add", "etc/passwd", "etc/group"],
        ["commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", *args], cwd=folder, check=True)
    subprocess.run(["sh", "-c", CHANGE.replace("/etc", "etc")], cwd=folder, check=True)
    subprocess.run(
        ["git", "add", "-A", "etc/group", "etc/new", "etc/passwd"], cwd=folder, check=True
    )
    theirs = subprocess.run(
        ["git", "commit", "-m", "subject"], cwd=folder, capture_output=True, text=True, check=True
    )
    ours = cli.run(["commit", "-m", "subject"], cwd=project).ok()
    # git keeps no mode but 644 and 755.
    assert cli.normalise(ours.stdout) == cli.normalise(theirs.stdout)


def edited_by(script: str) -> dict[str, str]:
    """An editor that runs ``script`` with the file as $1."""
    return {"ENVGIT_EDITOR": f"sh -c '{script}' --"}


def test_the_template_lists_what_is_committed(project: Path, tmp_path: Path) -> None:
    keep = edited_by(f'cp "$1" {tmp_path}/template; sed -i "1s/.*/edited/" "$1"')
    done = cli.run(["commit", "-v"], cwd=project, env=keep).ok()
    assert cli.normalise(done.stdout).startswith("[main <id>] edited\n 3 files changed")
    template = (tmp_path / "template").read_text()
    draft, _, rest = template.partition("\n# Please enter the commit message")
    assert draft.startswith("sh -c ")
    assert (
        "#\n# On branch main\n# Changes to be committed:\n#\tdeleted:    etc/group\n"
        "#\tnew file:   etc/new\n#\tmodified:   etc/passwd (mode)\n#\n"
        "# ------------------------ >8 ------------------------\n"
    ) in rest
    assert "\ndiff --git a/etc/new b/etc/new\n" in rest
    message = cli.run(["log", "-1", "--format=%B"], cwd=project).ok().stdout
    assert message == "edited\n\n"


def test_an_emptied_or_failed_message_aborts(project: Path) -> None:
    emptied = cli.run(["commit"], cwd=project, env=edited_by(': > "$1"')).exited(1)
    assert emptied.stderr == "Aborting commit due to empty commit message.\n"
    failed = cli.run(["commit"], cwd=project, env={"ENVGIT_EDITOR": "false"}).exited(1)
    assert failed.stderr == (
        "error: There was a problem with the editor 'false'.\n"
        "Please supply the message using either -m or -F option.\n"
    )
    nobody = cli.run(["-c", "core.editor=", "commit"], cwd=project).exited(1)
    assert nobody.stderr.startswith("error: no terminal for an editor, and EDITOR is not set\n")
    assert cli.run(["status", "-s"], cwd=project).ok().stdout != ""


def test_drafts_and_files(project: Path, tmp_path: Path) -> None:
    cli.run(["commit", "--auto", "--", "etc/new"], cwd=project).ok()
    (tmp_path / "message").write_text("from a file\n\n\n\n# kept\n")
    done = cli.run(["commit", "-F", tmp_path / "message", "/etc/group"], cwd=project).ok()
    assert "] from a file\n 1 file changed" in done.stdout
    message = cli.run(["log", "-1", "--format=%B"], cwd=project).ok().stdout
    assert message == "from a file\n\n# kept\n\n"
    done = cli.run(["commit", "-F", "-"], cwd=project, stdin="piped\n").ok()
    assert "] piped\n 1 file changed" in done.stdout
    edit = edited_by('sed -i "1s/.*/amended/" "$1"')
    assert "] amended\n" in cli.run(["commit", "--amend"], cwd=project, env=edit).ok().stdout
    reused = cli.run(["commit", "--allow-empty", "-C", "HEAD~1"], cwd=project).ok()
    assert "] from a file\n" in reused.stdout


def test_amending_a_commit_into_nothing_is_refused(project: Path) -> None:
    cli.run(["commit", "-m", "first"], cwd=project).ok()
    cli.run(["run", "rm", "/etc/new"], cwd=project).ok()
    cli.run(["commit", "-m", "second"], cwd=project).ok()
    cli.run(["restore", "--source", "HEAD~1", "etc/new"], cwd=project).ok()
    refused = cli.run(["commit", "--amend", "-m", "x"], cwd=project).exited(1)
    assert "doing so would make\nit empty" in refused.stderr
    assert cli.run(["log", "-1", "--format=%s"], cwd=project).stdout == "second\n"
    cli.run(["commit", "--amend", "--allow-empty", "-m", "x"], cwd=project).ok()
    assert cli.run(["log", "-1", "--format=%s", "--stat"], cwd=project).stdout == "x\n"


def test_json_is_json_when_there_is_nothing_to_commit(project: Path) -> None:
    made = cli.run(["commit", "--json", "-m", "all"], cwd=project).ok()
    assert json.loads(made.stdout)["subject"] == "all"
    done = cli.run(["commit", "--json", "-m", "none"], cwd=project).exited(1)
    assert json.loads(done.stdout) == {
        "commit": None,
        "reason": "nothing to commit, working tree clean",
    }
