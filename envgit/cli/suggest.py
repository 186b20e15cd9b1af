# SPDX-License-Identifier: Apache-2.0
"""Finds the words somebody may have meant, by git's measure of likeness (help.c, levenshtein.c)."""

from __future__ import annotations

from collections.abc import Iterable

# help_unknown_cmd: swapping is free, a wrong letter costs 2, an added one 1, a missing one 3;
# nothing over 6 is like it at all. git adds its best guess to words that begin with what was typed;
# we show those alone.
_SWAP, _REPLACE, _ADD, _DROP = 0, 2, 1, 3
_FLOOR = 7


def similar(typed: str, words: Iterable[str]) -> list[str]:
    """Return the words that begin with what was typed, else all that are most like it."""
    known = set(words)
    begun = sorted(word for word in known if word.startswith(typed))
    if begun:
        return begun
    scored = sorted((distance(typed, word) + 1, word) for word in known)
    if not scored or scored[0][0] >= _FLOOR:
        return []
    return [word for score, word in scored if score == scored[0][0]]


def distance(source: str, target: str) -> int:
    """Return what it costs to turn ``source`` into ``target`` (Damerau-Levenshtein, weighted)."""
    before: list[int] = []
    row = [column * _ADD for column in range(len(target) + 1)]
    for i, letter in enumerate(source):
        following = [(i + 1) * _DROP]
        for j, wanted in enumerate(target):
            best = row[j] + _REPLACE * (letter != wanted)
            if i and j and source[i - 1] == wanted and letter == target[j - 1]:
                best = min(best, before[j - 1] + _SWAP)
            best = min(best, row[j + 1] + _DROP, following[j] + _ADD)
            following.append(best)
        before, row = row, following
    return row[-1]
