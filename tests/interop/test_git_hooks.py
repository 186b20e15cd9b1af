# SPDX-License-Identifier: Apache-2.0
"""The same hooks in a git repository and in an environment, with the same commands: same logs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.twins import Twins
from tests.support import cli

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay"), pytest.mark.peer("git>=2.36")]

# One script under all names: what it was called with, and what was fed to it.
SCRIPT = """#!/bin/sh
name=${0##*/}
prefix=${GIT_PREFIX-${ENVGIT_PREFIX-}}
editor=${GIT_EDITOR-${ENVGIT_EDITOR-}}
{
    case $name in
    pre-commit|prepare-commit-msg|commit-msg|post-commit)
        echo "$name [$*] prefix=$prefix editor=$editor" ;;
    *) echo "$name [$*]" ;;
    esac
    case $name in post-rewrite) cat ;; esac
    case $name in commit-msg) awk '!/^#/ && NF' "$1" ;; esac
} >> "$HOOK_LOG"
"""

NAMES = (
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-merge-commit",
    "post-merge",
    "post-checkout",
    "post-rewrite",
)


class Both:
    """git and envgit side by side, with hooks that write into a log of each."""

    def __init__(self, folder: Path) -> None:
        self.twins = Twins(folder)
        self.logs = {"git": folder / "git.log", "envgit": folder / "envgit.log"}
        self.folders = {"git": self.twins.plain, "envgit": self.twins.lab}
        self._now = 1_700_000_100
        self._seen: dict[str, dict[str, str]] = {"git": {}, "envgit": {}}

    def hook(self, text: str, *names: str) -> None:
        """Install ``text`` as each of the hooks in both repositories."""
        for program, folder in self.folders.items():
            hooks = folder / f".{program}" / "hooks"
            hooks.mkdir(exist_ok=True)
            for name in names:
                (hooks / name).write_text(text)
                (hooks / name).chmod(0o755)

    def run(self, *argv: str, env: dict[str, str] | None = None) -> int:
        """The same command in both; their exit status and logs must be alike. The status."""
        statuses, said = {}, {}
        self._now += 1
        dates = {
            f"{name}_{role}_DATE": f"{self._now} +0000"
            for name in ("GIT", "ENVGIT")
            for role in ("AUTHOR", "COMMITTER")
        }
        for program, folder in self.folders.items():
            words = ["git"] if program == "git" else cli.program()
            words = [*words, *(word.replace("{program}", program) for word in argv)]
            known = {**os.environ, **self.twins.environ, **dates, **(env or {})}
            for other in ("GIT_EDITOR", "ENVGIT_EDITOR"):
                if not other.startswith(program.upper()):
                    known.pop(other, None)
            done = subprocess.run(
                words,
                cwd=folder,
                env={**known, "HOOK_LOG": str(self.logs[program])},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            statuses[program] = done.returncode
            said[program] = done.stdout + done.stderr
        logs = {program: self.log(program) for program in self.folders}
        assert logs["git"] == logs["envgit"], f"{argv}\n{said}"
        assert statuses["git"] == statuses["envgit"], f"{argv}\n{said}"
        return statuses["git"]

    def log(self, program: str) -> list[str]:
        """The log so far, with ids numbered in the order in which they came up."""
        if not self.logs[program].exists():
            return []
        seen = self._seen[program]
        text = self.logs[program].read_text().replace(".git/", ".envgit/")

        def number(match: re.Match[str]) -> str:
            return seen.setdefault(match[0], f"<{len(seen)}>")

        return re.sub(r"\b(?!0{40})[0-9a-f]{40}\b", number, text).splitlines()


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Both, with the logging hook under every name."""
    made = Both(tmp_path)
    made.hook(SCRIPT, *NAMES)
    return made


def test_commits_call_the_same_hooks_in_the_same_order(both: Both) -> None:
    both.twins.change_to({"a": ("a\n", 0o644)})
    both.run("commit", "-q", "-m", "c1")
    both.twins.change_to({"a": ("a\n", 0o644), "b": ("b\n", 0o644)})
    both.run("commit", "-q", "-n", "-m", "c2")
    both.run("commit", "-q", "--amend", "-m", "c2 again")
    both.run("commit", "-q", "--amend", "--no-edit")
    both.run("commit", "-q", "--amend", "-n", "--no-edit")
    both.run("commit", "-q", "--allow-empty", "-C", "HEAD~1")
    both.run("commit", "-q", "--allow-empty", "-m", "one", "-m", "two")
    assert both.run("commit", "-q", "-m", "nothing there") == 1


def test_an_edited_commit_calls_the_same_hooks(both: Both) -> None:
    env = {"GIT_EDITOR": "true", "ENVGIT_EDITOR": "true"}
    both.run("commit", "-q", "--allow-empty", "-m", "first")
    both.run("commit", "-q", "--allow-empty", "-c", "HEAD", env=env)
    both.run("commit", "-q", "--amend", "--allow-empty", env=env)
    both.run("commit", "-q", "--allow-empty", "-e", "-m", "typed", env=env)


def test_moves_call_post_checkout_with_the_same_arguments(both: Both) -> None:
    both.twins.change_to({"a": ("a\n", 0o644)})
    both.run("commit", "-q", "-m", "c1")
    both.run("checkout", "-q", "-b", "side")
    both.run("commit", "-q", "--allow-empty", "-m", "c2")
    both.run("switch", "-q", "main")
    both.run("switch", "-q", "main")
    both.run("checkout", "-q", "--detach", "side")
    both.run("checkout", "-q", "-")
    both.run("checkout", "-q", "--", "a")
    both.run("restore", "a")
    both.run("reset", "-q", "--hard", "side")
    both.run("checkout", "-q", "--orphan", "fresh")
    both.run("checkout", "-q", "-f", "main")
    assert both.run("checkout", "-q", "nope") == 1
    both.hook("#!/bin/sh\nexit 3\n", "post-checkout")
    assert both.run("checkout", "-q", "side") == 1
    assert both.run("restore", "a") == 3
    assert both.run("checkout", "-q", "HEAD", "--", "a") == 3
    assert both.run("checkout", "-q", "-b", "third") == 1


def test_a_hook_that_refuses_stops_the_commit_as_in_git(both: Both) -> None:
    both.hook("#!/bin/sh\nexit 3\n", "pre-commit", "commit-msg")
    assert both.run("commit", "-q", "--allow-empty", "-m", "x") == 1
    assert both.run("commit", "-q", "--allow-empty", "-n", "-m", "x") == 0
    both.hook("#!/bin/sh\nexit 3\n", "prepare-commit-msg")
    assert both.run("commit", "-q", "--allow-empty", "-n", "-m", "x") == 1
    both.hook(SCRIPT, "pre-commit", "prepare-commit-msg")
    assert both.run("commit", "-q", "--allow-empty", "-m", "x") == 1
    both.hook("#!/bin/sh\n: > $1\n", "commit-msg")
    assert both.run("commit", "-q", "--allow-empty", "-m", "emptied") == 1
    both.hook("#!/bin/sh\nexit 3\n", "post-commit", "post-rewrite")
    assert both.run("commit", "-q", "--allow-empty", "-n", "-m", "x") == 0
    assert both.run("commit", "-q", "--amend", "--allow-empty", "-n", "-m", "x") == 0


def test_a_message_that_hooks_rewrite_is_the_same(both: Both) -> None:
    both.hook('#!/bin/sh\nprintf "\\n\\nprepared  \\n# kept\\n\\n\\nbody" > "$1"\n', NAMES[1])
    both.hook('#!/bin/sh\necho "checked" >> "$1"\n', "commit-msg")
    both.run("commit", "-q", "--allow-empty", "-m", "x")
    messages = [
        subprocess.run(
            ["git", f"--git-dir={folder}/.{program}", "log", "-1", "--format=%B"],
            capture_output=True,
            check=True,
        ).stdout
        for program, folder in both.folders.items()
    ]
    assert messages[0] == messages[1]
    assert messages[0].startswith(b"prepared\n# kept\n\nbody")


@pytest.mark.parametrize(
    "script",
    [
        "#!/nowhere/sh\n",
        "#!/bin/sh\nkill -9 $$\n",
        "echo without an interpreter\n",
    ],
    ids=["no-interpreter", "signal", "no-shebang"],
)
def test_a_hook_that_cannot_run_ends_as_in_git(both: Both, script: str) -> None:
    both.hook(script, "pre-commit")
    both.run("commit", "-q", "--allow-empty", "-m", "x")


TRANSACTION = """#!/bin/sh
while read -r line; do
    case $1-$line in
    prepared-*ORIG_HEAD) ;;
    prepared-*) echo "$line" ;;
    esac
done | sort >> "$HOOK_LOG"
"""


def test_reference_transactions_hear_of_the_same_refs(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.hook(TRANSACTION, "reference-transaction")
    both.run("commit", "-q", "--allow-empty", "-m", "c1")
    both.run("commit", "-q", "--allow-empty", "-m", "c2")
    both.run("checkout", "-q", "-b", "side")
    both.run("commit", "-q", "--amend", "--allow-empty", "-m", "c3")
    both.run("branch", "other", "main~1")
    both.run("tag", "v1")
    both.run("switch", "-q", "main")
    both.run("checkout", "-q", "--detach", "side")
    both.run("commit", "-q", "--allow-empty", "-m", "c4")
    both.run("checkout", "-q", "main")
    both.run("reset", "-q", "--hard", "HEAD~1")
    both.run("reset", "-q", "--soft", "side")


def test_a_transaction_that_is_refused_moves_nothing(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.run("commit", "-q", "--allow-empty", "-m", "c1")
    both.hook(
        '#!/bin/sh\necho "$1" >> "$HOOK_LOG"\n[ "$1" != prepared ]\n', "reference-transaction"
    )
    assert both.run("commit", "-q", "--allow-empty", "-m", "c2") == 128
    assert both.run("branch", "side") == 128
    assert both.run("tag", "v1") == 128
    assert both.run("checkout", "-q", "-b", "new") == 128
    assert both.run("reset", "-q", "--soft", "HEAD~1") == 128


def test_hook_run_is_gits(both: Both) -> None:
    both.hook('#!/bin/sh\necho "$@" >> "$HOOK_LOG"\ncat >> "$HOOK_LOG"\nexit 4\n', "mine")
    assert both.run("hook", "run", "mine", "--", "a", "b c") == 4
    assert both.run("hook", "run", "nope") == 1
    assert both.run("hook", "run", "--ignore-missing", "nope") == 0
    assert both.run("hook", "run", "mine", "stray") == 129
    assert both.run("hook", "run") == 129
    assert both.run("hook") == 129


def _branches(both: Both) -> None:
    """``main`` and ``side``, which both added files; ``clash`` changed what main changed."""
    files = {"a": ("a\n", 0o644)}
    both.twins.change_to(files)
    both.run("commit", "-q", "-m", "base")
    both.run("checkout", "-q", "-b", "clash")
    both.twins.change_to({"a": ("clash\n", 0o644)})
    both.run("commit", "-q", "-m", "clash")
    both.run("checkout", "-q", "-b", "side", "main")
    both.twins.change_to({**files, "b": ("b\n", 0o644)})
    both.run("commit", "-q", "-m", "side")
    both.run("checkout", "-q", "main")
    both.twins.change_to({"a": ("main\n", 0o644)})
    both.run("commit", "-q", "-m", "main")


def test_merges_call_the_same_hooks(both: Both) -> None:
    _branches(both)
    both.run("merge", "-q", "--no-edit", "side")
    both.run("reset", "-q", "--hard", "HEAD~1")
    both.run("merge", "-q", "--no-edit", "--no-verify", "side")
    both.run("reset", "-q", "--hard", "HEAD~1")
    both.run("merge", "-q", "-m", "mine", "side")
    both.run("merge", "-q", "side")  # already up to date
    both.run("reset", "-q", "--hard", "HEAD~1")
    both.run("merge", "-q", "--squash", "side")
    both.run("commit", "-q", "-m", "squashed")
    both.run("checkout", "-q", "-b", "behind", "main~1")
    both.run("merge", "-q", "main")  # a fast-forward


def test_a_merge_that_hooks_refuse_can_be_concluded(both: Both) -> None:
    _branches(both)
    for name in ("pre-merge-commit", "prepare-commit-msg", "commit-msg"):
        both.hook("#!/bin/sh\nexit 1\n", name)
        assert both.run("merge", "-q", "--no-edit", "side") == 1
        both.hook(SCRIPT, name)
        both.run("commit", "-q", "--no-edit")
        both.run("reset", "-q", "--hard", "HEAD~1")


def test_a_merge_with_conflicts_calls_the_same_hooks(both: Both) -> None:
    _branches(both)
    assert both.run("merge", "-q", "--no-edit", "clash") == 1
    both.twins.change_to({"a": ("solved\n", 0o644)})
    both.run("commit", "-q", "--no-edit")
    both.run("reset", "-q", "--hard", "HEAD~1")
    assert both.run("merge", "-q", "--no-edit", "clash") == 1
    both.twins.change_to({"a": ("solved differently\n", 0o644)})
    env = {"GIT_EDITOR": "true", "ENVGIT_EDITOR": "true"}
    both.run("merge", "--continue", env=env)
    both.run("reset", "-q", "--hard", "HEAD~1")
    assert both.run("merge", "-q", "--no-edit", "clash") == 1
    both.run("merge", "--abort")


def test_picks_and_reverts_call_the_same_hooks(both: Both) -> None:
    _branches(both)
    both.run("cherry-pick", "side")
    both.run("revert", "--no-edit", "HEAD")
    both.run("cherry-pick", "-n", "side")
    both.run("reset", "-q", "--hard")
    assert both.run("cherry-pick", "clash") == 1
    both.twins.change_to({"a": ("solved\n", 0o644)})
    env = {"GIT_EDITOR": "true", "ENVGIT_EDITOR": "true"}
    both.run("cherry-pick", "--continue", env=env)


def test_stashes_and_branches_call_the_same_hooks(both: Both) -> None:
    _branches(both)
    both.twins.change_to({"a": ("more\n", 0o644)})
    both.run("stash")
    both.run("stash", "pop")
    both.run("stash")
    both.run("stash", "branch", "fresh")
    both.run("branch", "-m", "fresh", "stale")


def test_a_new_worktree_calls_post_checkout(both: Both) -> None:
    _branches(both)
    both.run("worktree", "add", "-q", "../linked-{program}", "side")
