# SPDX-License-Identifier: Apache-2.0
"""Mounts and processes that outlive the tests that made them.

Other test workers and other work on the machine come and go meanwhile, so only what is ours counts:
mounts at or of something below our temporary directory, processes that inherited our mark.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

MARK = "ENVGIT_TEST_SESSION"


def mounts(where: str) -> list[str]:
    """Lines of /proc/self/mountinfo that mention a path below ``where``."""
    text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    return [line for line in text.splitlines() if f"{where}/" in line]


def processes(mark: str, *, patience: float = 5.0) -> list[str]:
    """Processes other than this one whose environment carries ``mark``, after a little patience."""
    deadline = time.monotonic() + patience
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _marked(mark: str) -> list[str]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if wanted in environment and command:
            found.append(f"{entry.name} {command}")
    return found
