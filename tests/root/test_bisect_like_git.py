# SPDX-License-Identifier: Apache-2.0
"""One conversation with ``git bisect`` and with ours, on clones of one history, line by line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.dags import ENVIRONMENT
from tests.support import cli, labs
from tests.support.scenarios import Shelf, call, edit

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.39"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """main: c1 to c12 after the first commit; side: two commits from c6 on; and git's clone."""
    with (
        labs.scratch(tmp_path_factory.mktemp("likegit")) as place,
        pytest.MonkeyPatch.context() as at,
    ):
        at.setenv("ENVGIT_COMMITTER_DATE", "1700000000 +0000")
        top = place / "lab"
        top.mkdir()
        lab = labs.make(top)
        for number in range(1, 13):
            edit(lab, lambda root, number=number: _write(root, "etc/n", f"{number}\n"))  # type: ignore[misc]
            # A second apart: git misjudges ancestors where dates are equal.
            at.setenv("ENVGIT_COMMITTER_DATE", f"{1_700_000_000 + number} +0000")
            call(lab, ("commit", "-q", "-m", f"c{number}"))
        call(lab, ("switch", "-q", "-c", "side", "main~6"))
        for number in (1, 2):
            at.setenv("ENVGIT_COMMITTER_DATE", f"{1_700_000_100 + number} +0000")
            edit(lab, lambda root, number=number: _write(root, "etc/s", f"{number}\n"))  # type: ignore[misc]
            call(lab, ("commit", "-q", "-m", f"side{number}"))
        call(lab, ("switch", "-q", "main"))
        built = Shelf(lab)
        built.save()
        yield built


def _write(root: str, path: str, text: str) -> None:
    Path(root, path).write_text(text)


# What runs does not look at files, so that it may run on the host for both. Each word stands alone.
RUNS = {
    "all good": """start main main~6 | run true | log | reset""",
    "all bad": """start main main~6 | run false | log | reset""",
    "none testable": """start main main~4 | run sh -c 'exit 125' | log | reset""",
    "too large": """start main main~4 | run sh -c 'exit 128' | log | reset""",
    "nothing to run": """start main main~4 | run | log | reset""",
    "good merge base": """start main side | run true | log | reset""",
    "bad merge base": """start main side | run false | log | reset""",
    "without checkout": """start --no-checkout main main~6 | run false | log | reset""",
}

CONVERSATIONS = {
    "nothing": """good | log | terms | reset | skip""",
    "step by step": """start | log | bad | good main~8 | log | good | good main~3 | log | reset""",
    "until found": """start HEAD HEAD~5 | bad | good | log | reset""",
    "only skipped": """start HEAD HEAD~5 | skip | skip | skip | skip | log | skip | log |
        reset nope | reset""",
    "mistaken": """start HEAD~8 HEAD | start HEAD HEAD | log | start nope HEAD -- etc/n |
        start --foo""",
    "equal terms": """start --term-good=x --term-bad=x HEAD""",
    "a term of the other": """start --term-good=bad""",
    "a command as term": """start --term-good=help""",
    "no name for a term": """start --term-good=a..b""",
    "terms": """start --term-old=fast --term-new=slow HEAD HEAD~4 | terms | terms --term-good |
        terms --term-new | terms --foo | fast | bad | log | slow | log | reset""",
    "new and old": """start --term-new=new --term-old=old main main~9 | terms | bad | old |
        new | log | reset""",
    "ends in both": """start | bad | good | log | reset""",
    "good after bad": """start | good main~5 | good | bad main | log | reset""",
    "bad revisions": """start main main~6 | bad nope | good -x | bad HEAD HEAD~1 | log | reset""",
    "merge base is bad": """start main side | log | bad | log | reset""",
    "merge base is good": """start main side | good | log | skip | reset""",
    "merge base is skipped": """start main side | skip | log | good | reset""",
    "ranges": """start main main~8 | skip main~4..main~2 | log | good | bad | log | reset""",
    "without checkout": """start --no-checkout main main~8 | good | skip | bad | log | reset""",
    "from a commit": """start main~1 main~9 | reset main~3""",
    "again": """start main main~4 | good | start main~2 main~8 | log | reset""",
    "an outsider": """start main main~4 | good | good main | log | reset""",
    "first parents": """start --first-parent main main~8 | good | log | reset""",
}


@pytest.mark.parametrize("name", [*CONVERSATIONS, *(f"run, {name}" for name in RUNS)])
def test_says_what_git_says(name: str, shelf: Shelf, hermetic: Path, tmp_path: Path) -> None:
    shelf.restore()
    lab = shelf.lab
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", f"{lab.project}/.envgit", str(clone))
    _git(clone, "branch", "-q", "--no-track", "side", "origin/side")
    _git(clone, "branch", "--unset-upstream")
    script = CONVERSATIONS.get(name) or RUNS[name.removeprefix("run, ")]
    for line in script.split("|"):
        words = ["bisect", *shlex.split(line)]
        expected = _git(clone, *_paths_of_git(words))
        if words[1] == "run":
            words[2:2] = ["-q", "--host"]
        done = cli.run(words, cwd=lab.project, env={"ENVGIT_STORE": f"{lab.top}/store"})
        found = (done.status, _plain(done.stdout), _plain(done.stderr))
        if name.startswith("run, ") and words[1] == "reset":
            # HEAD was elsewhere: a run does not move it from trial to trial.
            found, expected = (*found[:2], ""), (*expected[:2], "")
        assert found == expected, f"{line.strip()} of {name}"


def _paths_of_git(words: list[str]) -> list[str]:
    return [f"rootfs/{word}" if word.startswith("etc/") else word for word in words]


def _git(folder: Path, *words: str) -> tuple[int, str, str]:
    env = {**ENVIRONMENT, "HOME": os.environ["HOME"]}
    done = subprocess.run(
        ["git", "-c", "advice.detachedHead=false", *words],
        cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, _plain(done.stdout), _plain(done.stderr)


def _plain(text: str) -> str:
    """Our program goes by git's name; of the commit that is shown, what both have."""
    text = text.replace("envgit", "git").replace("rootfs/", "")
    text = text.replace("git bisect--helper --bisect-state", "git bisect")
    return re.sub(r"(?s)(is the first \S+ commit\n).*", r"\1", text)
