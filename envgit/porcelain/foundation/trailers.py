# SPDX-License-Identifier: Apache-2.0
"""Finds the ``Key: value`` lines that end a message.

Source: git-interpret-trailers(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE = re.compile(r"([A-Za-z0-9-]+)[ \t]*:(.*)\Z", re.DOTALL)
"""A trailer with its continuation lines: key, value."""
_GENERATED = ("Signed-off-by: ", "(cherry picked from commit ")


def block(message: str) -> list[str]:
    """The lines of the last paragraph, if they are trailers."""
    lines = message.rstrip().split("\n")
    start = len(lines)
    while start > 0 and lines[start - 1].strip():
        start -= 1
    if start == 0:
        return []  # The subject is no trailer.
    candidates = lines[start:]
    good = bad = 0
    generated = False
    for line in candidates:
        if line[0] in " \t":
            continue
        if line.startswith(_GENERATED):
            generated = True
            good += 1
        elif LINE.match(line):
            good += 1
        else:
            bad += 1
    if good and (not bad or (generated and good * 3 >= bad)):
        return candidates
    return []


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
