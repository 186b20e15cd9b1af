# SPDX-License-Identifier: Apache-2.0
"""One real bootstrap through the machine's own apt sources."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from envgit.image import debian
from tests.support import builders

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("mmdebstrap", "mirror")]


def test_debian_is_a_debian_with_usable_sources() -> None:
    """Through the cache that other tests use, so the real thing runs once a week at most."""
    archive = builders.debian_tar()
    listed = subprocess.run(
        ["tar", "-tf", str(archive)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "./etc/apt/sources.list.d/debian.sources" in listed
    assert "./usr/bin/dpkg" in listed
    assert [name for name in listed if name.startswith("./dev/")] == ["./dev/"]


def test_an_unknown_suite_is_said_to_be_unknown(tmp_path: Path) -> None:
    with pytest.raises(debian.BootstrapError, match="no such suite"):
        debian.bootstrap("nosuchsuite", (), str(tmp_path / "root"), environment=os.environ)
