# SPDX-License-Identifier: Apache-2.0
"""Prints branches and tags in a format of the user's, with the fields of git-for-each-ref(1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from envgit.cli.app import App
from envgit.cli.dates import DateStyle
from envgit.errors import EnvgitError
from envgit.porcelain.branches import BranchInfo, TagInfo

Row = BranchInfo | TagInfo
RowT = TypeVar("RowT", BranchInfo, TagInfo)

_FIELD = re.compile(r"%\(([^)]*)\)|%%|%([0-9a-fA-F]{2})")
_DATES = {"committerdate": "committer", "creatordate": "committer", "authordate": "author"}


class FormatError(EnvgitError):
    """A format or sort key names a field that there is not."""


def expand(app: App, template: str, row: Row, *, prefix: str) -> str:
    """Fill in ``%(refname)`` and the like; ``%xx`` is the character with that number."""

    def fill(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[2] is not None:
            return chr(int(match[2], 16))
        return _field(app, row, match[1], prefix)

    return _FIELD.sub(fill, template)


def _field(app: App, row: Row, field: str, prefix: str) -> str:
    name, _, modifier = field.partition(":")
    if name == "refname":
        return row.name if modifier == "short" else prefix + row.name
    if name == "objectname":
        return app.repository.git.abbrev(row.commit) if modifier == "short" else row.commit
    if name == "HEAD":
        return "*" if isinstance(row, BranchInfo) and row.current else " "
    if field in ("subject", "contents:subject"):
        return row.subject
    if field == "objecttype":
        return "tag" if isinstance(row, TagInfo) and row.annotated else "commit"
    if name == "color":
        return app.out.reset if modifier == "reset" else app.out.literal(modifier)
    if name in ("authorname", "authoremail", "committername", "committeremail"):
        commit = app.repository.git.commit(row.commit)
        who = commit.author if name.startswith("author") else commit.committer
        return who.name if name.endswith("name") else f"<{who.email}>"
    if name in _DATES:
        who = getattr(app.repository.git.commit(row.commit), _DATES[name])
        style = DateStyle.parse(modifier or "default", now=_now())
        return style.show(who.time, who.offset)
    raise FormatError(f"unknown field name: {field}")


def sort(app: App, rows: Sequence[RowT], key: str | None, *, fold: bool) -> list[RowT]:
    """Sort by a key of git's (``refname``, ``-committerdate``); they come sorted by name."""
    if key is None and not fold:
        return list(rows)
    wanted = key or "refname"
    reverse = wanted.startswith("-")
    return sorted(rows, key=_key(app, wanted.lstrip("-"), fold=fold), reverse=reverse)


def _key(app: App, name: str, *, fold: bool) -> Callable[[Row], tuple[object, ...]]:
    if name in _DATES:
        role = _DATES[name]
        return lambda row: (getattr(app.repository.git.commit(row.commit), role).time,)
    if name == "objectname":
        return lambda row: (row.commit,)
    if name in ("version:refname", "v:refname"):
        return lambda row: tuple(
            (int(part), "") if part.isdigit() else (-1, part)
            for part in re.split(r"(\d+)", row.name)
        )
    if name == "refname":
        return lambda row: (row.name.lower() if fold else row.name,)
    raise FormatError(f"unknown field name: {name}")


def _now() -> int:
    import time

    return int(time.time())
