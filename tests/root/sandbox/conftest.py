# SPDX-License-Identifier: Apache-2.0
"""One small environment for each test that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import sandboxed


@pytest.fixture
def box(tmp_path: Path) -> sandboxed.Box:
    """A fresh environment of busybox."""
    return sandboxed.box(tmp_path)
