# SPDX-License-Identifier: Apache-2.0
"""A linked worktree of a lab, seen as a lab of its own."""

from __future__ import annotations

from pathlib import Path

from tests.support import scenarios
from tests.support.labs import Lab


class Linked(Lab):
    """The worktree in the folder ``linked`` of the lab's project, where a shelf takes it along."""

    @property
    def project(self) -> Path:
        """The linked worktree's folder."""
        return self.top / "project" / "linked"


def link(lab: Lab, *args: str) -> Linked:
    """Make that worktree, on a new branch ``linked`` unless ``args`` say otherwise."""
    lab.call(["worktree", "add", "-q", "linked", *args]).ok()
    return Linked(lab.top)


def write(lab: Lab, name: str, text: str) -> None:
    """An uncommitted file."""
    scenarios.edit(lab, lambda root: Path(root, name).write_text(text))


def paths(lab: Lab) -> dict[str, str]:
    """Name -> folder of the worktrees that the repository knows; the main one is ''."""
    from envgit.porcelain.worktrees import listed

    return {each.name: each.path for each in listed(lab.open())}


def descriptions(lab: Lab) -> list[str]:
    """What the operation log holds, newest first."""
    return [operation.description for operation in lab.open().git.operations()]
