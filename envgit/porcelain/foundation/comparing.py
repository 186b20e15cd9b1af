# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a difference; apart, so that a log without differences loads none of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How lines are compared: the context shown, what white space counts, how hunks join.

    ``whitespace`` is None, ``all`` (-w), ``change`` (-b) or ``eol``; ``algorithm`` None, patience
    or minimal; ``text`` treats everything as text (-a).
    """

    context: int = 3
    interhunk: int = 0
    whitespace: str | None = None
    algorithm: str | None = None
    text: bool = False


@dataclass(frozen=True, slots=True)
class Pickaxe:
    """Which changes are chosen by what they add or take away: ``-S`` and ``-G`` of git.

    ``lines`` False: changes of the number of times that ``text`` occurs; True: changes with an
    added or removed line that matches, where ``text`` is a regular expression in any case.
    ``every``: all changes of a commit are shown when one of them is chosen.
    """

    text: str
    lines: bool = False
    regex: bool = False
    ignore_case: bool = False
    every: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Which changes are shown and how they are matched.

    ``renames``: the least similarity in percent that makes a rename, None to look for none.
    ``filter``: git's ``--diff-filter`` letters. ``reverse`` swaps the sides. ``pickaxe`` looks
    into the contents. ``packages`` are names or patterns of those whose changes are shown (none:
    of all).
    """

    renames: int | None = 50
    filter: str = ""
    reverse: bool = False
    pickaxe: Pickaxe | None = None
    packages: tuple[str, ...] = ()
