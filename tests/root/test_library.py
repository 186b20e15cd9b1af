# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/library.rst, as the one program that they are, and whether they have all."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from envgit import Repository
from tests.support import builders

PAGE = Path(__file__).resolve().parents[2] / "docs/library.rst"


def examples() -> str:
    """All examples, one after another."""
    blocks = re.findall(
        r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text(), re.MULTILINE
    )
    return "\n".join(textwrap.dedent(block) for block in blocks)


def test_every_public_method_has_an_example() -> None:
    program = examples()
    missing = [
        name
        for name in vars(Repository)
        if not name.startswith("_") and not re.search(rf"\b(?:repo|Repository)\.{name}\b", program)
    ]
    assert not missing


@pytest.mark.root
@pytest.mark.needs("overlay")
def test_the_examples_run(tmp_path: Path) -> None:
    builders.rootfs(tmp_path / "rootfs")
    (tmp_path / "examples.py").write_text(examples())
    done = subprocess.run(
        [sys.executable, "examples.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    assert f"{tmp_path}/lab/.envgit {tmp_path}/lab\n" in done.stdout
    assert "b'etc/one' is new\n" in done.stdout
    assert "A b'etc/two' 1\n" in done.stdout
    assert "['experiment', 'main', 'stable'] ['v1']\n" in done.stdout
    assert (tmp_path / "one").read_text() == "one\n"


@pytest.mark.root
@pytest.mark.needs("overlay")
def test_a_long_running_program_does_not_run_out_of_descriptors(tmp_path: Path) -> None:
    repo = Repository.init(str(tmp_path / "lab"), source="scratch")

    def work(round: int) -> None:
        upper = Path(repo.store.upper_path(repo.worktree.state().changes))
        (upper / "file").write_text(f"{round}\n")
        repo.commit(f"round {round}", paths=[b"file"] if round % 2 else [])
        with repo.read(b"file", "HEAD") as file:
            assert file.read() == f"{round}\n".encode()

    counts = []
    for round in range(90):
        work(round)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    # Packs are merged every two dozen commits, and the descriptors of the old ones let go.
    assert max(counts[60:]) <= max(counts[:60]) + 4
