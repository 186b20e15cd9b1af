# SPDX-License-Identifier: Apache-2.0
"""What needs no root is run once more as somebody who is not root, so that it stays that way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.arch.source import ROOT

NOBODY = 65534


def _reachable(path: Path) -> bool:
    """Whether a stranger may enter every directory down to ``path`` and read it."""
    return all(step.stat().st_mode & 0o005 == 0o005 for step in [path, *path.parents])


@pytest.mark.root
@pytest.mark.slow
def test_the_unit_tests_pass_as_nobody() -> None:
    for needed in (ROOT, Path(sys.prefix), Path(sys.executable).resolve().parent):
        if not _reachable(needed):
            pytest.skip(f"{needed} is closed to others")
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="envgit-nobody-", dir="/var/tmp") as home:
        os.chown(home, NOBODY, NOBODY)
        done = subprocess.run(
            [
                *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"),
                *(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--basetemp={home}/tmp", "-o", "addopts=", "--glance", "tests/unit"),
                # These read what is in memory, whoever they are, and would take half of the time.
                *("--ignore=tests/unit/packages", "--ignore=tests/unit/image"),
            ],
            cwd=ROOT,
            env={**os.environ, "HOME": home, "TMPDIR": home, "ENVGIT_TEST_REQUIRE": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        pytest.fail(done.stdout[-6000:] + done.stderr[-2000:], pytrace=False)
