# SPDX-License-Identifier: Apache-2.0
"""The probes themselves: each gives an answer, and builders make what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import builders, faults, probes


@pytest.mark.parametrize("name", sorted(probes.NAMES - {"mirror"}))
def test_every_probe_answers(name: str) -> None:
    assert isinstance(probes.why_not(name), str)


def test_a_child_hands_back_more_than_a_pipe_holds() -> None:
    assert probes.in_child(lambda: b"x" * 1_000_000) == b"x" * 1_000_000
    with pytest.raises(ZeroDivisionError):
        probes.in_child(lambda: 1 / 0)


@pytest.mark.root
def test_the_small_root_filesystem_runs(tmp_path: Path) -> None:
    root = builders.rootfs(tmp_path / "root", {"etc": {"motd": "hello\n"}})
    said = subprocess.run(["chroot", root, "/bin/sh", "-c", "cat /etc/motd"], capture_output=True)
    assert (said.returncode, said.stdout) == (0, b"hello\n")


@pytest.mark.root
@pytest.mark.needs("loop")
def test_a_small_filesystem_fills_and_empties(tmp_path: Path) -> None:
    with faults.small_filesystem(tmp_path / "disk", 8) as disk:
        with faults.filled(disk), pytest.raises(OSError, match="No space left"):
            (disk / "file").write_bytes(b"x" * 100_000)
        (disk / "file").write_bytes(b"x" * 100_000)
