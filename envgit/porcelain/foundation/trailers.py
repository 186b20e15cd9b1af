# SPDX-License-Identifier: Apache-2.0
"""Finds the ``Key: value`` lines that end a message, and adds to them.

Source: git-interpret-trailers(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.repo.signature import Signature

LINE = re.compile(r"([A-Za-z0-9-]+)[ \t]*:(.*)\Z", re.DOTALL)
"""A trailer with its continuation lines: key, value."""
_GENERATED = ("Signed-off-by: ", "(cherry picked from commit ")


def block(message: str) -> list[str]:
    """The lines of the last paragraph, if they are trailers: all of them, or a quarter when one of
    them is git's own. The title's paragraph is none, and comments do not count."""
    lines = message.rstrip().split("\n")
    start = len(lines)
    while start > 0 and lines[start - 1].strip():
        start -= 1
    if start == 0:
        return []  # The subject is no trailer.
    candidates = [line for line in lines[start:] if not line.startswith("#")]
    good = bad = 0
    generated = last_is_good = False
    for line in candidates:
        if line.startswith(_GENERATED):
            generated = last_is_good = True
            good += 1
        elif line[0] in " \t" and (good or bad):
            bad += 0 if last_is_good else 1
        else:
            last_is_good = LINE.match(line) is not None
            good += last_is_good
            bad += not last_is_good
    return candidates if good and (not bad or (generated and good * 3 >= bad)) else []


def unfolded(lines: list[str]) -> list[str]:
    """One text for each trailer, continuation lines still on lines of their own."""
    found: list[str] = []
    for line in lines:
        if line[0] in " \t" and found:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def values(message: str, key: str) -> Iterator[str]:
    """The values of the trailers of that key (in any case), each in one line."""
    for raw in unfolded(block(message)):
        found = LINE.match(" ".join(part.strip() for part in raw.split("\n")))
        if found is not None and found[1].lower() == key.lower():
            yield found[2].strip()


def signed_off(message: str, who: Signature) -> str:
    """The message with the trailer ``Signed-off-by`` (``-s``), unless that is its last one."""
    line = f"Signed-off-by: {who.name} <{who.email}>"
    text = message if not message or message.endswith("\n") else f"{message}\n"
    trailers = _last(text)
    if text == f"{line}\n" or (trailers and trailers[-1] == line):
        return text
    if trailers:
        return f"{text}{line}\n"
    gap = "\n\n" if not text else "" if text.endswith("\n\n") else "\n"
    return f"{text}{gap}{line}\n"


def with_origin(message: str, commit: CommitId) -> str:
    """The message with a last line that says what was picked (``-x``)."""
    text = message if not message or message.endswith("\n") else f"{message}\n"
    gap = "" if _last(text) else "\n"
    return f"{text}{gap}(cherry picked from commit {commit})\n"


def _last(text: str) -> list[str]:
    """The trailers that another one would join: a blank line at the end has ended them."""
    return [] if text.endswith("\n\n") else block(text)
