# SPDX-License-Identifier: Apache-2.0
"""Which changes add or take away a text: ``-S`` and ``-G``. Source: gitdiffcore(7), git-diff(1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from envgit.errors import EnvgitError
from envgit.porcelain.foundation.comparing import Pickaxe
from envgit.repo import diff as texts

Matches = Callable[[bytes, bytes], bool]


class BadPickaxe(EnvgitError):
    """A regular expression of ``-G`` or ``-S`` that is none."""


def matcher(pickaxe: Pickaxe) -> Matches:
    """Whether the change from one content to another is chosen. Raises BadPickaxe."""
    pattern = _pattern(pickaxe)
    if not pickaxe.lines:
        return lambda old, new: _count(pattern, old) != _count(pattern, new)

    def some_line(old: bytes, new: bytes) -> bool:
        # As git: what is binary has no lines; a file that came or went is looked at whole.
        if texts.is_binary(old) or texts.is_binary(new):
            return False
        if not old or not new:
            return pattern.search(old or new) is not None
        patch = texts.text_patch(old, new, 0)
        return any(
            line.origin != " " and pattern.search(line.text) is not None
            for hunk in patch.hunks
            for line in hunk.lines
        )

    return some_line


def _pattern(pickaxe: Pickaxe) -> re.Pattern[bytes]:
    text = pickaxe.text.encode("utf-8", "surrogateescape")
    if not (pickaxe.regex or pickaxe.lines):
        text = re.escape(text)
    flags = re.MULTILINE | (re.IGNORECASE if pickaxe.ignore_case else 0)
    try:
        return re.compile(text, flags)
    except re.error as error:
        raise BadPickaxe(f"invalid regex: {error}") from error


def _count(pattern: re.Pattern[bytes], data: bytes) -> int:
    return sum(1 for match in pattern.finditer(data) if match.end() > match.start())
