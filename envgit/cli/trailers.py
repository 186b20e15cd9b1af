# SPDX-License-Identifier: Apache-2.0
"""Shows the ``Key: value`` lines that end a message, for ``%(trailers)``.

Source: git-interpret-trailers(1) and git-log(1), ``%(trailers)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.porcelain.foundation.trailers import LINE, block, unfolded

_TRUE = ("true", "yes", "on", "1", "")


@dataclass(frozen=True, slots=True)
class Options:
    """How trailers are shown; ``keys`` are lower case and empty for all."""

    keys: tuple[str, ...] = ()
    only: bool | None = None
    unfold: bool = False
    key_only: bool = False
    value_only: bool = False
    separator: str | None = None
    key_separator: str = ": "

    @property
    def verbatim(self) -> bool:
        """Whether the block is shown as it stands in the message."""
        return self == Options()

    @classmethod
    def parse(cls, text: str) -> Options:
        """Read what follows ``%(trailers:``. Raises ValueError for an option that git lacks."""
        keys: list[str] = []
        found: dict[str, bool] = {}
        separator = None
        key_separator = ": "
        for option in filter(None, text.split(",")):
            name, _, value = option.partition("=")
            if name == "key":
                keys.append(value.rstrip(":").lower())
            elif name == "separator":
                separator = _literal(value)
            elif name == "key_value_separator":
                key_separator = _literal(value)
            elif name in ("only", "unfold", "keyonly", "valueonly"):
                found[name] = value.lower() in _TRUE
            else:
                raise ValueError(option)
        return cls(
            tuple(keys),
            found.get("only", True if keys else None),
            found.get("unfold", False),
            found.get("keyonly", False),
            found.get("valueonly", False),
            separator,
            key_separator,
        )


def _literal(text: str) -> str:
    text = text.replace("%n", "\n").replace("%%", "%")
    return re.sub(r"%x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)


def show(message: str, options: Options) -> str:
    """The trailers of a message as the options want them."""
    lines = block(message)
    if options.verbatim:
        return "".join(f"{line}\n" for line in lines)
    shown: list[str] = []
    for raw in unfolded(lines):
        text = " ".join(part.strip() for part in raw.split("\n")) if options.unfold else raw
        found = LINE.match(text)
        if found is None:
            if not options.only:
                shown.append(text)
            continue
        key, value = found[1], found[2].strip()
        if options.keys and key.lower() not in options.keys:
            continue
        if options.key_only:
            value = ""
        if options.value_only:
            key = ""
        shown.append(f"{key}{options.key_separator}{value}" if key and value else key or value)
    if options.separator is not None:
        return options.separator.join(shown)
    return "".join(f"{text}\n" for text in shown)
