# SPDX-License-Identifier: Apache-2.0
"""Names for the kinds of identifier, so that a type checker keeps them apart."""

from __future__ import annotations

from typing import NewType

CommitId = NewType("CommitId", str)
"""Forty hexadecimal digits: a git commit."""
TreeId = NewType("TreeId", str)
"""Forty hexadecimal digits: a git tree, such as a commit's ``rootfs/``."""
LayerId = NewType("LayerId", str)
"""Forty hexadecimal digits: the git tree of a commit's ``layer/``, which names the sealed layer."""
ChangesId = NewType("ChangesId", str)
"""Thirty-two hexadecimal digits: a set of uncommitted changes in the store."""
OperationId = NewType("OperationId", str)
"""Forty hexadecimal digits: the git blob that holds an operation's record."""
WorktreeId = NewType("WorktreeId", str)
"""Sixteen hexadecimal digits: a worktree in the store."""
