# SPDX-License-Identifier: Apache-2.0
"""Makes text that anybody may have written fit to be shown; apart, so that it costs no import."""

from __future__ import annotations

_LONGEST = 200


def plain(text: str) -> str:
    """What a database says, in one line that is not endless, and with nothing that moves the
    reader's cursor."""
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else "?" for char in short)
