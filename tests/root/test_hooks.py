# SPDX-License-Identifier: Apache-2.0
"""Hooks: where they are looked for, what they may do while they run, and envgit's own of them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from envgit.porcelain.foundation.hooks import HookRefused, UpdatesAborted
from envgit.porcelain.foundation.repository import Repository
from tests.support import cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]

# Seconds after which a hook that waits for its own caller counts as hanging.
HANGS = 60.0


class Hooked:
    """A project with an uncommitted file and hooks that write into ``log``."""

    def __init__(self, folder: Path) -> None:
        self.project = cli.changed_project(folder)
        self.log = folder / "log"
        self.env = {
            "HOOK_LOG": str(self.log),
            "PATH": f"{Path(cli.program()[0]).parent}:{os.environ['PATH']}",
        }

    def hook(
        self, name: str, script: str, folder: str = ".envgit/hooks", mode: int = 0o755
    ) -> Path:
        """Install a shell script as a hook."""
        path = self.project / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    def run(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] = {}) -> cli.Result:
        """Run envgit in the project."""
        known = {**self.env, **env}
        return cli.run(args, cwd=cwd or self.project, env=known, timeout=HANGS)

    def said(self) -> list[str]:
        """What hooks wrote since the last call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def head(self) -> str:
        """HEAD's id."""
        return self.run("rev-parse", "HEAD").ok().stdout.strip()


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    """A project for hooks."""
    return Hooked(tmp_path)


SAY = 'echo "${0##*/} $*" >> "$HOOK_LOG"'


# -- where they are -------------------------------------------------------------------------------


def test_a_hook_knows_where_it_is(hooked: Hooked) -> None:
    hooked.hook(
        "post-commit", 'echo "$PWD|$ENVGIT_DIR|$ENVGIT_PREFIX|$(cat)" >> "$HOOK_LOG"; echo hi'
    )
    below = hooked.project / "deep" / "er"
    below.mkdir(parents=True)
    done = hooked.run("commit", "-q", "-m", "x", cwd=below).ok()
    top = hooked.project
    assert hooked.said() == [f"{top}|{top}/.envgit|deep/er/|"]
    assert (done.stdout, done.stderr) == ("", "hi\n")


def test_hooks_path_leads_elsewhere_or_nowhere(hooked: Hooked, tmp_path: Path) -> None:
    hooked.hook("post-commit", "echo own >> $HOOK_LOG")
    hooked.hook("post-commit", "echo shared >> $HOOK_LOG", folder="shared")
    hooked.hook("post-commit", "echo home >> $HOOK_LOG", folder="../home/mine")
    commit = ("commit", "-q", "--allow-empty", "-m", "x")
    hooked.run(*commit).ok()
    hooked.run("-c", "core.hooksPath=shared", *commit, cwd=hooked.project).ok()
    home = {"HOME": str(tmp_path / "home")}
    hooked.run("-c", "core.hooksPath=~/mine", *commit, env=home).ok()
    hooked.run("-c", f"core.hooksPath={hooked.project}/shared", *commit).ok()
    assert hooked.said() == ["own", "shared", "home", "shared"]
    for nowhere in ("/dev/null", "", "/nonexistent"):
        hooked.run("-c", f"core.hooksPath={nowhere}", *commit).ok()
        hooked.run("-c", f"core.hooksPath={nowhere}", "run", "true").ok()
    assert hooked.said() == []


def test_one_that_is_not_executable_is_ignored_and_said(hooked: Hooked) -> None:
    hooked.hook("pre-commit", "exit 1", mode=0o644)
    done = hooked.run("commit", "-q", "-m", "x").ok()
    assert done.stderr == (
        "hint: The '.envgit/hooks/pre-commit' hook was ignored because it's not set as"
        " executable.\n"
        "hint: You can disable this warning with `envgit config advice.ignoredHook false`.\n"
    )
    quiet = ("-c", "advice.ignoredHook=false")
    assert hooked.run(*quiet, "commit", "-q", "--allow-empty", "-m", "x").ok().stderr == ""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "#!/nowhere/sh\n",
            "fatal: cannot run .envgit/hooks/pre-commit: No such file or directory",
        ),
        ("#!/bin/sh\nkill -9 $$\n", "error: .envgit/hooks/pre-commit died of signal 9"),
        ("#!/bin/sh\nexit 7\n", "error: the 'pre-commit' hook said no (exit status 7)"),
    ],
)
def test_what_is_said_when_one_fails(hooked: Hooked, script: str, said: str) -> None:
    hooked.hook("pre-commit", "").write_text(script)
    before = hooked.head()
    done = hooked.run("commit", "-q", "-m", "x").exited(1)
    assert said in done.stderr
    assert hooked.head() == before


def test_hooks_of_git_settings_are_not_ours(hooked: Hooked, tmp_path: Path) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n\thooksPath = {hooked.project}/shared\n")
    hooked.hook("post-commit", "echo shared >> $HOOK_LOG", folder="shared")
    hooked.run("commit", "-q", "-m", "x", env={"GIT_CONFIG_GLOBAL": str(settings)}).ok()
    assert hooked.said() == []


# -- while we hold a lock, and while we do not ----------------------------------------------------


def test_reading_works_in_every_hook(hooked: Hooked) -> None:
    reads = 'echo "${0##*/} $(envgit status -s) $(envgit log --oneline | wc -l)" >> "$HOOK_LOG"'
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "reference-transaction"):
        hooked.hook(name, f"{reads}\nenvgit diff > /dev/null || exit 9")
    hooked.run("commit", "-q", "-m", "x").ok()
    assert hooked.said() == [
        "pre-commit A  etc/new 1",
        "prepare-commit-msg A  etc/new 1",
        "commit-msg A  etc/new 1",
        "reference-transaction A  etc/new 1",
        "reference-transaction  2",
    ]


def test_a_pre_commit_hook_may_change_what_is_committed(hooked: Hooked) -> None:
    hooked.hook("pre-commit", "envgit run sh -c 'echo tidy > /etc/tidy'")
    hooked.run("commit", "-q", "-m", "x").ok()
    names = hooked.run("show", "--name-only", "--format=").ok().lines
    assert names == ["etc/new", "etc/tidy"]


@pytest.mark.parametrize(
    "command",
    ["tag v1", "run true", "gc", "switch -c other", "commit --allow-empty -n -m y", "undo"],
)
@pytest.mark.parametrize("name", ["commit-msg", "reference-transaction"])
def test_changing_something_in_the_middle_is_refused_at_once(
    hooked: Hooked, name: str, command: str
) -> None:
    hooked.hook(name, f"envgit {command} && exit 0\nexit 1")
    before = hooked.head()
    done = hooked.run("commit", "-q", "-m", "x")
    assert done.status in (1, 128), done.describe("1 or 128")
    assert "this cannot be done in a hook of" in done.stderr
    assert hooked.head() == before
    assert hooked.run("tag").ok().stdout == ""


def test_others_still_wait_for_a_commit_with_hooks(hooked: Hooked) -> None:
    """The refusal is for the hook's own commands alone."""
    started = hooked.project / "started"
    os.mkfifo(started)
    hooked.hook("commit-msg", f"echo > {started}; sleep 1")
    first = threading.Thread(target=lambda: hooked.run("commit", "-q", "-m", "x").ok())
    first.start()
    started.read_text()
    done = hooked.run("tag", "v1").ok()
    first.join()
    assert "waiting for" in done.stderr
    assert hooked.run("rev-parse", "v1").ok().stdout.strip() == hooked.head()


def test_a_refused_commit_leaves_everything_as_it_was(hooked: Hooked) -> None:
    hooked.hook("reference-transaction", "exit 1")
    before = hooked.head()
    hooked.run("commit", "-q", "-m", "x").exited(128)
    hooked.run("-c", "core.hooksPath=/dev/null", "fsck").ok()
    assert hooked.head() == before
    assert "etc/new" in hooked.run("status", "-s").ok().stdout
    (hooked.project / ".envgit/hooks/reference-transaction").unlink()
    hooked.run("commit", "-q", "-m", "x").ok()
    assert hooked.run("run", "cat", "/etc/new").ok().stdout == "new\n"


def test_a_message_with_a_nul_byte_is_refused_as_by_git(hooked: Hooked) -> None:
    before = hooked.head()
    hooked.hook("commit-msg", r"""printf 'a\000b\n' > "$1" """)
    done = hooked.run("commit", "-m", "x").exited(128)
    assert done.stderr == "fatal: a NUL byte in commit log message not allowed.\n"
    assert hooked.head() == before


def test_internal_refs_are_nobodys_business(hooked: Hooked) -> None:
    hooked.hook("reference-transaction", 'cat >> "$HOOK_LOG"')
    hooked.run("commit", "-q", "-m", "x").ok()
    hooked.run("undo").ok()
    hooked.run("reset", "-q", "--soft", "HEAD").ok()
    hooked.run("stash").ok()
    said = hooked.said()
    assert said
    assert not [line for line in said if "refs/envgit" in line or "refs/worktree" in line]


# -- envgit's own ---------------------------------------------------------------------------------


def test_pre_run_and_post_run_surround_a_command(hooked: Hooked) -> None:
    hooked.hook("pre-run", SAY)
    hooked.hook("post-run", SAY)
    hooked.run("run", "sh", "-c", "exit 3").exited(3)
    hooked.run("run", "--rm", "--", "echo", "a b").ok()
    hooked.run("run", "--dry-run", "true").ok()
    assert hooked.said() == [
        "pre-run sh -c exit 3",
        "post-run 3 sh -c exit 3",
        "pre-run echo a b",
        "post-run 0 echo a b",
    ]
    hooked.hook("post-run", "exit 9")
    hooked.run("run", "true").ok()


def test_pre_run_may_refuse(hooked: Hooked) -> None:
    hooked.hook("pre-run", "exit 3")
    done = hooked.run("run", "echo", "never").exited(125)
    assert done.stdout == ""
    assert "the 'pre-run' hook said no (exit status 3)" in done.stderr


def test_rollback_hooks_get_where_it_goes(hooked: Hooked) -> None:
    first = hooked.head()
    hooked.run("commit", "-q", "-m", "x").ok()
    second = hooked.head()
    hooked.hook("pre-rollback", SAY)
    hooked.hook("post-rollback", f"{SAY}; exit 9")
    hooked.run("rollback", "-q").ok()
    assert hooked.said() == [f"pre-rollback {second} {first}", f"post-rollback {second} {first}"]
    hooked.run("undo", "-q").ok()
    hooked.hook("pre-rollback", "exit 1")
    done = hooked.run("rollback", "-q").exited(1)
    assert "the 'pre-rollback' hook said no" in done.stderr
    assert hooked.head() == second


def test_undo_and_redo_call_post_checkout_when_something_moved(hooked: Hooked) -> None:
    first = hooked.head()
    hooked.run("commit", "-q", "-m", "x").ok()
    second = hooked.head()
    hooked.run("tag", "v1").ok()
    hooked.hook("post-checkout", SAY)
    hooked.run("undo", "-q").ok()  # the tag: nothing moved
    assert hooked.said() == []
    hooked.run("undo", "-q").ok()
    hooked.run("redo", "-q").ok()
    assert hooked.said() == [
        f"post-checkout {second} {first} 1",
        f"post-checkout {first} {second} 1",
    ]


def test_a_linked_worktree_has_the_hooks_of_the_repository(hooked: Hooked, tmp_path: Path) -> None:
    hooked.hook("post-checkout", f'{SAY}; pwd >> "$HOOK_LOG"; envgit status -s >> "$HOOK_LOG"')
    linked = tmp_path / "linked"
    hooked.run("worktree", "add", "-q", str(linked)).ok()
    assert hooked.said() == [f"post-checkout {'0' * 40} {hooked.head()} 1", str(linked)]
    hooked.hook("pre-run", 'echo "$PWD $ENVGIT_DIR" >> "$HOOK_LOG"')
    hooked.run("run", "true", cwd=linked).ok()
    assert hooked.said() == [f"{linked} {hooked.project}/.envgit/worktrees/linked"]


# -- the verb, and the library --------------------------------------------------------------------


def test_list_tells_what_is_there(hooked: Hooked) -> None:
    hooked.hook("pre-commit", "")
    hooked.hook("commit-msg", "", mode=0o644)
    hooked.hook("pre-comit", "")
    text = hooked.run("hook", "list").ok().stdout
    assert "* pre-commit             .envgit/hooks/pre-commit\n" in text
    assert "  commit-msg             .envgit/hooks/commit-msg (ignored: not executable)\n" in text
    assert "  pre-comit              never called: envgit has no hook of this name\n" in text
    told = json.loads(hooked.run("hook", "list", "--json").ok().stdout)
    states = {one["name"]: (one["installed"], one["executable"]) for one in told["hooks"]}
    assert states["pre-commit"] == (True, True)
    assert states["commit-msg"] == (True, False)
    assert states["pre-run"] == (False, False)
    assert {kit["name"] for kit in told["kits"]} == {"git", "shell"}


def test_run_hands_over_a_file_as_stdin(hooked: Hooked, tmp_path: Path) -> None:
    hooked.hook("post-rewrite", 'echo "$1 $(cat)" >> "$HOOK_LOG"')
    (tmp_path / "lines").write_text("old new\n")
    hooked.run("hook", "run", f"--to-stdin={tmp_path}/lines", "post-rewrite", "--", "amend").ok()
    assert hooked.said() == ["amend old new"]
    hooked.run("hook", "run", "--to-stdin=/nonexistent", "post-rewrite").exited(128)
    for name in ("", ".", "..", "../config", "../../project"):
        assert hooked.run("hook", "run", "--ignore-missing", name).status in (0, 129)


def test_a_hook_that_reads_nothing_of_much_input_is_fine(hooked: Hooked, tmp_path: Path) -> None:
    hooked.hook("mine", "exit 0")
    (tmp_path / "much").write_bytes(b"x" * (1 << 20))
    hooked.run("hook", "run", f"--to-stdin={tmp_path}/much", "mine").ok()


def test_the_library_calls_hooks_too(hooked: Hooked) -> None:
    repository = Repository.open(str(hooked.project))
    hooked.hook("pre-commit", "exit 5")
    with pytest.raises(HookRefused) as refused:
        repository.commit("x")
    assert (refused.value.hook, refused.value.status) == ("pre-commit", 5)
    hooked.hook("reference-transaction", "exit 1")
    with pytest.raises(UpdatesAborted):
        repository.commit("x", verify=False)


def test_what_cannot_be_installed_is_said(hooked: Hooked, tmp_path: Path) -> None:
    assert "there is no 'nope'" in hooked.run("hook", "install", "nope").exited(129).stderr
    assert "nothing to install" in hooked.run("hook", "install").exited(129).stderr
    no_git = hooked.run("hook", "install", "git", "--into", str(tmp_path))
    assert "not a git repository" in no_git.exited(128).stderr


def test_install_all(hooked: Hooked, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "sources"], check=True)
    home = {"XDG_DATA_HOME": str(tmp_path / "data")}
    args = ("hook", "install", "--all", "--into", str(tmp_path / "sources"), "--json")
    done = hooked.run(*args, env=home).ok()
    told = json.loads(done.stdout)
    assert len(told) == 3
    assert all(one["new"] for one in told)
    assert not any(one["new"] for one in json.loads(hooked.run(*args, env=home).ok().stdout))
