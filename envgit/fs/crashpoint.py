# SPDX-License-Identifier: Apache-2.0
"""Named instants between durable steps, so that a test can kill the process at each of them.

Every durable step calls ``reach("room:step")``. Nothing happens unless a hook was installed, which
only tests and the command line (for the crash tests) do.
"""

from __future__ import annotations

from collections.abc import Callable

Hook = Callable[[str], None]

_hook: Hook | None = None


def install(hook: Hook | None) -> None:
    """Have ``hook`` called with the name of every point reached; None removes it."""
    global _hook
    _hook = hook


def reach(name: str) -> None:
    """Mark that the process is about to leave the point ``name`` behind."""
    if _hook is not None:
        _hook(name)
