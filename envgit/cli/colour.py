# SPDX-License-Identifier: Apache-2.0
"""Knows git's colours and its words for them, so that `color.*` settings mean the same here."""

from __future__ import annotations

from envgit.errors import EnvgitError

RESET = "\033[m"

# git's defaults: diff.c, color.c, builtin/branch.c, wt-status.c, log-tree.c.
DEFAULTS: dict[str, str] = {
    "diff.context": "",
    "diff.meta": "bold",
    "diff.frag": "cyan",
    "diff.func": "",
    "diff.old": "red",
    "diff.new": "green",
    "diff.commit": "yellow",
    "diff.whitespace": "normal red",
    "branch.current": "green",
    "branch.worktree": "cyan",
    "branch.local": "",
    "branch.remote": "red",
    "branch.upstream": "blue",
    "status.header": "",
    "status.added": "green",
    "status.changed": "red",
    "status.untracked": "red",
    "status.unmerged": "red",
    "status.nobranch": "red",
    "status.branch": "",
    "status.localbranch": "green",
    "decorate.branch": "bold green",
    "decorate.remotebranch": "bold red",
    "decorate.tag": "bold yellow",
    "decorate.head": "bold cyan",
    "advice.hint": "yellow",
    "grep.filename": "magenta",
    "grep.linenumber": "green",
    "grep.column": "green",
    "grep.match": "bold red",
    "grep.separator": "cyan",
    "packages.added": "green",
    "packages.removed": "red",
    "packages.upgraded": "cyan",
    "packages.downgraded": "magenta",
    "packages.reinstalled": "",
    "packages.modified": "yellow",
    "packages.changed": "",
}

# The columns of `log --graph`, in git's order (column_colors_ansi).
GRAPH = (
    "red", "green", "yellow", "blue", "magenta", "cyan",
    "bold red", "bold green", "bold yellow", "bold blue", "bold magenta", "bold cyan",
)  # fmt: skip

_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ATTRIBUTES = {
    "bold": 1, "dim": 2, "italic": 3, "ul": 4, "blink": 5, "reverse": 7, "strike": 9,
    "nobold": 22, "nodim": 22, "noitalic": 23, "noul": 24, "noblink": 25, "noreverse": 27,
    "nostrike": 29, "no-bold": 22, "no-dim": 22, "no-italic": 23, "no-ul": 24, "no-blink": 25,
    "no-reverse": 27, "no-strike": 29,
}  # fmt: skip


class ColourError(EnvgitError):
    """A colour in the settings or in a format is not one."""


def escape(value: str) -> str:
    """Turn git's words for a colour (git-config(1), "color") into the escape sequence.

    Raises ColourError for a word that is neither a colour nor an attribute.
    """
    if value.strip().lower() == "reset":
        return RESET
    attributes: list[str] = []
    colours: list[str] = []
    for word in value.lower().split():
        if word in _ATTRIBUTES:
            attributes.append(str(_ATTRIBUTES[word]))
            continue
        code = _colour(word, background=len(colours) == 1)
        if code is None or len(colours) == 2:
            raise ColourError(f"invalid color value: {value}")
        colours.append(code)
    codes = [code for code in (*sorted(attributes, key=int), *colours) if code]
    return f"\033[{';'.join(codes)}m" if codes else ""


def _colour(word: str, *, background: bool) -> str | None:
    base = 40 if background else 30
    if word == "normal":
        return ""
    if word == "default":
        return str(base + 9)
    if word in _NAMES:
        return str(base + _NAMES.index(word))
    if word.startswith("bright") and word[6:] in _NAMES:
        return str(base + 60 + _NAMES.index(word[6:]))
    if word.isdigit() and int(word) < 256:
        number = int(word)
        return str(base + number) if number < 8 else f"{base + 8};5;{number}"
    if len(word) == 7 and word[0] == "#":
        try:
            red, green, blue = (int(word[at : at + 2], 16) for at in (1, 3, 5))
        except ValueError:
            return None
        return f"{base + 8};2;{red};{green};{blue}"
    return None
