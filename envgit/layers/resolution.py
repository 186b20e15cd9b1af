# SPDX-License-Identifier: Apache-2.0
"""What goes into a three-way merge beside trees, and what comes out: who decides about a path, what
they are told and say, and the merged tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from envgit.layers.entry import Directory, Entry


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


@dataclass(frozen=True, slots=True)
class Clash:
    """A path that the merge could not decide, and what it left there."""

    path: bytes
    kind: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    left: Entry | None


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged tree, read lazily over ours.

    ``contents`` are the new bytes of files that are neither side's. ``origins`` tells of each path
    that is not ours: where it comes from, as ("ours", "theirs" or "base", path there). ``made`` are
    the paths that must be made anew, because no side has that content with those attributes;
    ``merged`` those whose content was merged. ``messages`` are what git says, in its order.
    """

    tree: Directory
    conflicts: tuple[Clash, ...] = ()
    contents: dict[bytes, bytes] = field(default_factory=dict)
    origins: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    made: tuple[bytes, ...] = ()
    merged: tuple[bytes, ...] = ()
    messages: tuple[str, ...] = ()
