# SPDX-License-Identifier: Apache-2.0
"""Writes git config files without losing comments or layout; settings.py only reads them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from envgit.config_syntax import parse
from envgit.fs import durable

if TYPE_CHECKING:
    import pygit2


def set_value(path: str, name: str, value: str) -> None:
    """Set ``section.key`` or ``section.sub.key`` in the file ``path``, replacing its last value."""
    _config(path)[name] = value


def add_value(path: str, name: str, value: str) -> None:
    """Add one more value of ``name``, after those that are there."""
    # libgit2 replaces the values that match a pattern and adds one when none does.
    _config(path).set_multivar(name, "^$.", value)


def unset(path: str, name: str) -> None:
    """Remove every value of ``name``; nothing happens when there is none."""
    _config(path).delete_multivar(name, ".*")


def rename_section(path: str, old: str, new: str | None) -> bool:
    """Rename section ``old`` (``section`` or ``section.sub``), or remove it with its values.

    Returns whether there was one. libgit2 cannot do this, so it is done on the text.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except FileNotFoundError:
        return False
    kept, found, inside = [], False, False
    for line in lines:
        header = _SECTION.match(line)
        if header is not None:
            inside = _section_name(header) == old
            found = found or inside
            if inside and new is not None:
                kept.append(_header(new) + line[header.end() :])
                inside = False
                continue
        if not inside:
            kept.append(line)
    if found:
        text = "".join(kept).encode("utf-8", "surrogateescape")
        durable.write_file(path, text)
    return found


_SECTION = re.compile(r'\s*\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')


def _section_name(header: re.Match[str]) -> str:
    if header[2] is None:
        return header[1].lower()
    unescaped = re.sub(r"\\(.)", r"\1", header[2])
    return f"{header[1].lower()}.{unescaped}"


def _header(name: str) -> str:
    section, dot, sub = name.partition(".")
    if not dot:
        return f"[{section}]"
    escaped = sub.replace("\\", "\\\\").replace('"', '\\"')
    return f'[{section} "{escaped}"]'


def _config(path: str) -> pygit2.Config:
    import pygit2

    if not os.path.exists(path):
        with open(path, "a"):
            pass
    return pygit2.Config(path)


def upstream(repository: str, branch: str) -> str | None:
    """The full name of the ref that a branch tracks, by ``branch.<name>.remote`` and ``.merge``."""
    try:
        with open(os.path.join(repository, "config"), "rb") as file:
            items = parse(file.read(), "config")
    except FileNotFoundError:
        return None
    values = {item.name: item.value for item in items}
    remote, merge = values.get(f"branch.{branch}.remote"), values.get(f"branch.{branch}.merge")
    if not remote or not merge:
        return None
    if remote == ".":
        return merge
    return f"refs/remotes/{remote}/{merge.removeprefix('refs/heads/')}"
