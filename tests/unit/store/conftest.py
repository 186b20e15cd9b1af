# SPDX-License-Identifier: Apache-2.0
"""An opened store, and a worktree in it with an empty change set."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.store.store import Store
from envgit.store.worktree import State, Worktree


@pytest.fixture
def opened(store: Path) -> Store:
    return Store.open(str(store))


@pytest.fixture
def worktree(opened: Store) -> Worktree:
    made = Worktree.create(opened)
    made.write_state(State(repository="/project/.envgit", changes=opened.new_changes()))
    return made
