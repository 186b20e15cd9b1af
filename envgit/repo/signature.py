# SPDX-License-Identifier: Apache-2.0
"""Who did something, and when, as git writes it into commits, tags and reflogs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.errors import EnvgitError

_LINE = re.compile(rb"\A(.*?) ?<([^>\n]*)> ?(-?[0-9]*)(?: ([+-][0-9]{4}))?")
# git's ident.c, crud(): what is stripped from the ends of a name or address.
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"


class SignatureError(EnvgitError):
    """A name, an address or a date that git would not take."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A person and a moment.

    ``time`` is in seconds since the epoch, ``offset`` the zone's in minutes east of Greenwich.
    Bytes of a foreign signature that are not UTF-8 appear as surrogate escapes.
    """

    name: str
    email: str
    time: int
    offset: int = 0

    def encode(self) -> bytes:
        """``Name <email> seconds +hhmm``. Raises SignatureError when no name would be left."""
        name, email = clean(self.name), clean(self.email)
        if not name:
            raise SignatureError(
                f"empty ident name (for <{email}>) not allowed",
                hint='tell who you are: envgit config --global user.name "Your Name"',
            )
        sign = "-" if self.offset < 0 else "+"
        hours, minutes = divmod(abs(self.offset), 60)
        text = f"{name} <{email}> {max(self.time, 0)} {sign}{hours:02}{minutes:02}"
        return text.encode("utf-8", "surrogateescape")

    @classmethod
    def parse(cls, line: bytes) -> Signature:
        """Read what encode() writes, and bear with what other programs wrote."""
        match = _LINE.match(line)
        if match is None:
            return cls(line.decode("utf-8", "surrogateescape"), "", 0, 0)
        zone = match[4] or b"+0000"
        offset = int(zone[1:3]) * 60 + int(zone[3:5])
        return cls(
            match[1].decode("utf-8", "surrogateescape"),
            match[2].decode("utf-8", "surrogateescape"),
            int(match[3] or 0) if match[3] != b"-" else 0,
            -offset if zone[:1] == b"-" else offset,
        )


def clean(text: str) -> str:
    """As git keeps a name or address: no newline or bracket inside, no punctuation at the ends."""
    return re.sub("[<>\n\0]", "", text.strip(_CRUD)).strip(_CRUD)
