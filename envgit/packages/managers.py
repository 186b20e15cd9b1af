# SPDX-License-Identifier: Apache-2.0
"""The package managers that are known; each is loaded when it is first asked for.

System-wide managers come first: of a path that two claim, theirs is the word that counts.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from envgit.packages.model import Manager

_CLASSES: dict[str, str] = {
    "dpkg": "Dpkg",
    "rpm": "Rpm",
    "apk": "Apk",
    "pacman": "Pacman",
    "conda": "Conda",
    "pip": "Pip",
    "npm": "Npm",
    "gem": "Gem",
    "cargo": "Cargo",
}

NAMES = tuple(_CLASSES)


@cache
def manager(name: str) -> Manager:
    """The manager of that name; KeyError if there is none."""
    module = import_module(f"envgit.packages.readers.{name}")
    return cast(Manager, getattr(module, _CLASSES[name])())


def managers() -> tuple[Manager, ...]:
    """All of them, in order."""
    return tuple(map(manager, NAMES))
