# SPDX-License-Identifier: Apache-2.0
"""rpm's headers: what each of its databases keeps of each package, whatever the database.

Source: rpm's manual, "RPM Package format" (header structure) and "RPM tags". In a database a header
has no magic: it starts with the number of index entries and of bytes of data, both big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from envgit.packages.model import Unreadable

NAME, VERSION, RELEASE, EPOCH = 1000, 1001, 1002, 1003
SUMMARY, SIZE, LICENSE, URL, ARCH, SOURCERPM = 1004, 1009, 1014, 1020, 1022, 1044
FILESTATES, FILEMODES, FILEDIGESTS, FILEFLAGS = 1029, 1030, 1035, 1037
OLDFILENAMES, DIRINDEXES, BASENAMES, DIRNAMES = 1027, 1116, 1117, 1118
PROVIDES = (1047, 1112, 1113)
"""Names, flags and versions of what a package provides."""
REQUIRES = (1049, 1048, 1050)
CONFLICTS = (1054, 1053, 1055)
LONGSIZE, FILEDIGESTALGO = 5009, 5011

_ENTRY = struct.Struct(">IIiI")
_STRING, _STRING_ARRAY, _I18N_STRING = 6, 8, 9
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q"}

_LARGEST = 64 << 20
_MOST_ENTRIES = 1 << 16
_LONGEST_STRING = 1 << 16


class Header:
    """One header. What is not in it, or out of its bounds, is empty."""

    def __init__(self, blob: bytes) -> None:
        """Raises Unreadable for what cannot be a header."""
        if not 8 <= len(blob) <= _LARGEST:
            raise Unreadable(f"an rpm header of {len(blob)} bytes")
        count, size = struct.unpack_from(">II", blob)
        start = 8 + count * _ENTRY.size
        if count > _MOST_ENTRIES or start + size > len(blob):
            raise Unreadable("an rpm header that is longer than its record")
        self._data = blob[start : start + size]
        # What rpm added when it installed the package stands last, and counts.
        self._index = {
            tag: (kind, offset, many)
            for tag, kind, offset, many in _ENTRY.iter_unpack(blob[8:start])
            if 0 <= offset < size
        }

    def __contains__(self, tag: int) -> bool:
        return tag in self._index

    def text(self, tag: int) -> str:
        """A string, or of a translated one the original."""
        kind, offset, _ = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING, _STRING_ARRAY, _I18N_STRING):
            return ""
        end = self._data.find(b"\0", offset, offset + _LONGEST_STRING)
        return self._data[offset : end if end >= 0 else offset].decode("utf-8", "replace")

    def strings(self, tag: int, most: int) -> list[bytes]:
        """An array of strings; more than ``most`` is Unreadable."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING_ARRAY, _STRING, _I18N_STRING):
            return []
        if count > most:
            raise Unreadable(f"an rpm header with {count} strings in one tag")
        return self._data[offset:].split(b"\0", count)[:count]

    def integers(self, tag: int, most: int) -> Sequence[int]:
        """An array of numbers; more than ``most`` is Unreadable."""
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        code = _INTEGERS.get(kind)
        if code is None:
            return ()
        if count > most:
            raise Unreadable(f"an rpm header with {count} numbers in one tag")
        if offset + count * struct.calcsize(f">{code}") > len(self._data):
            return ()
        return struct.unpack_from(f">{count}{code}", self._data, offset)

    def integer(self, tag: int) -> int | None:
        """The first number of a tag."""
        found = self.integers(tag, _MOST_ENTRIES)
        return found[0] if found else None
