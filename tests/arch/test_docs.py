# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without a warning, and its generated pages match the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.source import ROOT


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python docs/generate.py"


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html"),
            *("-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "html/index.html").exists()


def test_the_readme_is_valid_rst() -> None:
    docutils = pytest.importorskip("docutils.core")
    text = (ROOT / "README.rst").read_text()
    settings = {"halt_level": 2, "report_level": 2, "raw_enabled": False}
    docutils.publish_string(text, writer="html", settings_overrides=settings)
