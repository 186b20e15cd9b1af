# SPDX-License-Identifier: Apache-2.0
"""Reads WWW-Authenticate (RFC 9110, section 11.6.1): several challenges, quoted or bare values."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*')
_SCHEME = re.compile(rf"\s*({_TOKEN})(?:\s+|(?=,)|\Z)")
_MOST = 16384


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme in lower case and its parameters, names in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse(header: str) -> list[Challenge]:
    """The challenges in order; what is no challenge ends the list."""
    text = header[:_MOST]
    found: list[Challenge] = []
    position = 0
    while position < len(text):
        while position < len(text) and text[position] in ", \t":
            position += 1
        parameter = _PARAMETER.match(text, position)
        if parameter is not None and found:
            name, quoted, bare = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
            found[-1].parameters.setdefault(name.lower(), value)
            position = parameter.end()
            continue
        scheme = _SCHEME.match(text, position)
        if scheme is None:
            break
        found.append(Challenge(scheme[1].lower(), {}))
        position = scheme.end()
    return found


def choose(header: str) -> Challenge | None:
    """The challenge that is answered: Bearer before Basic, as registries mean it; else None."""
    challenges = parse(header)
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None
