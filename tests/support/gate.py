# SPDX-License-Identifier: Apache-2.0
"""Decides whether what is missing skips a test or fails it.

``ENVGIT_TEST_REQUIRE`` is a comma-separated list of capabilities and peers (``overlay,git``) whose
absence is a failure. CI sets it, so that a machine that lost a capability cannot turn green.
"""

from __future__ import annotations

import os

import pytest


def required() -> frozenset[str]:
    """The names in ``ENVGIT_TEST_REQUIRE``."""
    listed = os.environ.get("ENVGIT_TEST_REQUIRE", "")
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def demand(name: str, why_not: str) -> None:
    """Do nothing if ``why_not`` is empty; else skip, or fail if ``name`` is required here."""
    if not why_not:
        return
    if name in required():
        pytest.fail(f"{name} is required by ENVGIT_TEST_REQUIRE: {why_not}", pytrace=False)
    pytest.skip(f"{name}: {why_not}")
