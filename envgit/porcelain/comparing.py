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
class Choice:
    """Which changes are shown and how they are matched.

    ``renames``: the least similarity in percent that makes a rename, None to look for none.
    ``filter``: git's ``--diff-filter`` letters. ``reverse`` swaps the sides.
    """

    renames: int | None = 50
    filter: str = ""
    reverse: bool = False
