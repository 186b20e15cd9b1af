# SPDX-License-Identifier: Apache-2.0
"""Who decides about a path that both sides of a merge changed, and what they are told and say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from envgit.layers.entry import Entry


@dataclass(frozen=True, slots=True)
class Sides:
    """One path in base, ours and theirs; None where it is not there or is a directory."""

    path: bytes
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None


class Reader(Protocol):
    """The contents of the three sides."""

    def __call__(self, side: str, path: bytes) -> bytes | None:
        """The bytes of a file of ``base``, ``ours`` or ``theirs``; None when they cannot be had
        (too large to be merged, or the layer is not here)."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a driver made of a path whose content both sides changed.

    ``entry`` is the side whose content is taken, unless ``content`` has new bytes; attributes are
    merged in any case. ``conflict`` names what is not decided; ``messages`` are lines for the user.
    """

    entry: Entry | None
    content: bytes | None = None
    conflict: str | None = None
    messages: tuple[str, ...] = ()


Driver = Callable[[Sides, Reader], Resolution | None]
"""Merges the contents of a path that it knows: a package database, say. None: not mine."""


class Settler(Protocol):
    """Decides of whole paths, before anything of them is merged."""

    def __call__(self, sides: Sides) -> Resolution | None:
        """What is to be at a path that differs somewhere, with all of its attributes: ``entry``,
        or nothing where that is None. None: the path is merged."""

    @property
    def paths(self) -> Iterable[bytes]:
        """Paths that it is to be asked about though they differ nowhere."""
