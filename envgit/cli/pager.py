# SPDX-License-Identifier: Apache-2.0
"""Shows long output through the user's pager, as git does, and only to a person at a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO


def command(environ: Mapping[str, str], configured: str | None) -> str | None:
    """Choose the pager: ENVGIT_PAGER, core.pager, PAGER, less; None for an empty one or ``cat``."""
    for choice in (environ.get("ENVGIT_PAGER"), configured, environ.get("PAGER"), "less"):
        if choice is not None:
            return None if choice.strip() in ("", "cat") else choice
    return None


class Pager:
    """A running pager. ``stream`` is its stdin; ``close`` waits until the reader has left it."""

    def __init__(self, command: str, environ: Mapping[str, str]) -> None:
        # FRX: quit if it fits on the screen, pass colours, leave the screen alone (git's default).
        surroundings = {"LESS": "FRX", "LV": "-c", **environ}
        self._process = subprocess.Popen(
            command, shell=True, stdin=subprocess.PIPE, env=surroundings
        )
        assert self._process.stdin is not None
        self.stream: IO[bytes] = self._process.stdin
        # Ctrl-C is for the pager (less goes on after it); we end when it does.
        self._previous = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def close(self) -> None:
        """Let the pager see the end of the text, and wait for it."""
        with contextlib.suppress(BrokenPipeError):  # the reader quit early, which is no error
            self.stream.close()
        self._process.wait()
        signal.signal(signal.SIGINT, self._previous)


def start(environ: Mapping[str, str], configured: str | None) -> Pager | None:
    """Start the user's pager, or None when they want none or it is not there."""
    chosen = command(environ, configured)
    if chosen is None:
        return None
    if chosen == "less" and not _installed("less", environ):
        return None
    return Pager(chosen, environ)


def _installed(program: str, environ: Mapping[str, str]) -> bool:
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in folders)
