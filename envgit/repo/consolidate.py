# SPDX-License-Identifier: Apache-2.0
"""Keeps the packs few while commits are made, so that ``gc`` is never needed in a hurry."""

from __future__ import annotations

from envgit.repo.trees import Reader


def consolidate(directory: str, reader: Reader) -> None:
    """Merge small packs in ``directory`` when there are many."""
