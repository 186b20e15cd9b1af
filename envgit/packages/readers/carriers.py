# SPDX-License-Identifier: Apache-2.0
"""Tells which manager's packages brought what lies in the directories of the distribution."""

from __future__ import annotations

from envgit.layers.entry import find_entry
from envgit.packages.model import Files

_DATABASES = (
    ("dpkg", b"var/lib/dpkg"),
    ("rpm", b"var/lib/rpm"),
    ("rpm", b"usr/lib/sysimage/rpm"),
    ("apk", b"lib/apk/db"),
    ("apk", b"usr/lib/apk/db"),
    ("pacman", b"var/lib/pacman"),
)


def system_manager(files: Files) -> str:
    """The manager of the whole system, empty where there is none."""
    for name, path in _DATABASES:
        if find_entry(files.tree, path) is not None:
            return name
    return ""
