# SPDX-License-Identifier: Apache-2.0
"""What this host can do, tried and explained."""

from __future__ import annotations

import os
from collections.abc import Mapping

from envgit.porcelain.foundation.repository import open_store
from envgit.sandbox.probes import Probe, examine
from envgit.settings import Settings

# Programs that envgit can do without, and what for.
_PROGRAMS = (
    ("mmdebstrap", "init --from debian:SUITE"),
    ("git", "reading the repository with git itself"),
    ("less", "paging long output"),
)


def doctor(environ: Mapping[str, str], settings: Settings) -> list[Probe]:
    """Try everything that envgit needs of the kernel and of the file system of the store."""
    store = open_store(environ, settings)
    return examine(os.path.abspath(store.path), _PROGRAMS)
