# SPDX-License-Identifier: Apache-2.0
"""What this host can do for envgit, each ability tried for real; for somebody who sets it up."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.porcelain.repository import open_store
from envgit.sandbox.probes import Probe, examine
from envgit.settings import Settings

__all__ = ["Probe", "doctor"]

# Helpers that are called, and what for.
_PROGRAMS = (
    ("mmdebstrap", "init --from debian:SUITE needs it"),
    ("git", "not needed, but it can read every repository"),
    ("less", "long output is not paged"),
)


def doctor(environ: Mapping[str, str], settings: Settings) -> list[Probe]:
    """Try everything on this host, in the user's store. Leaves nothing behind."""
    return examine(open_store(environ, settings).path, _PROGRAMS)
