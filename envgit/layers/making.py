# SPDX-License-Identifier: Apache-2.0
"""Makes single files that no layer has: merged contents, and contents with merged attributes."""

from __future__ import annotations

import os
from typing import BinaryIO

from envgit.layers.copying import Copier
from envgit.layers.entry import Entry, Kind
from envgit.layers.writer import Writer, write_attributes


def make_file(
    writer: Writer, name: bytes, entry: Entry, content: bytes | BinaryIO | None = None
) -> None:
    """Make ``name`` at the top of ``writer``'s directory what ``entry`` says.

    ``content`` is that of a regular file: its bytes, or an open file to share blocks with or copy.
    """
    if entry.kind != Kind.FILE:
        writer.special(name, entry)
        return
    target = writer.create(name)
    try:
        if isinstance(content, bytes):
            _write(target, content)
        elif content is not None:
            source = content.fileno()
            Copier().copy(source, target, os.fstat(source))
        write_attributes(target, entry, None)
    finally:
        os.close(target)


def _write(target: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(target, rest) :]
