# SPDX-License-Identifier: Apache-2.0
"""The headers in rpm's databases: SQLite, its own ndb, and the hash tables of Berkeley DB.

Each reader gives the records by number, takes nothing but bytes, and gives no more bytes than the
file has: overlapping records are a database that somebody made to fill the memory.

Sources: rpm's ``rpmpkg`` as its files show it, Berkeley DB's ``db_page.h`` layouts. Berkeley DB is
read here, for ``berkeleydb`` of PyPI needs the library's headers to install, and opens files rather
than bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envgit.packages.model import Unreadable
from envgit.packages.readers.rpm_sqlite import DAMAGED, opened, rows

MOST_PACKAGES = 100_000


def sqlite_headers(data: bytes, log: bytes) -> Iterator[bytes]:
    """The headers of ``rpmdb.sqlite``; ``log`` is its write-ahead log, empty if it has none."""
    size = 0
    with opened(data, log) as connection:
        for number, blob in rows(connection, "Packages", ("hnum", "blob"), MOST_PACKAGES):
            if not isinstance(number, int) or not isinstance(blob, bytes):
                raise Unreadable(DAMAGED)
            size += len(blob)
            if size > len(data) + len(log):
                raise Unreadable(f"{DAMAGED}: more in it than it can hold")
            yield blob


# -- ndb --------------------------------------------------------------------------------------

_NDB_PAGE, _NDB_BLOCK, _NDB_HEADER = 4096, 16, 32


def ndb_headers(data: bytes) -> list[bytes]:
    """The headers of ``Packages.db``: pages of slots that say where in the file a record is."""
    if len(data) < _NDB_PAGE or data[:4] != b"RpmP":
        raise Unreadable("no database of rpm's ndb")
    version, _, pages = struct.unpack_from("<3I", data, 4)
    if version != 0 or pages * _NDB_PAGE > len(data):
        raise Unreadable(f"{DAMAGED}, or newer than version 0")
    found: dict[int, bytes] = {}
    size = 0
    for slot in range(_NDB_HEADER, pages * _NDB_PAGE, 16):
        if data[slot : slot + 4] != b"Slot":
            raise Unreadable(DAMAGED)
        number, offset, blocks = struct.unpack_from("<3I", data, slot + 4)
        if offset == 0:
            continue
        start = offset * _NDB_BLOCK
        if start + 16 > len(data):
            raise Unreadable(DAMAGED)
        magic, same, _, length = struct.unpack_from("<4s3I", data, start)
        end = start + 16 + length
        if magic != b"BlbS" or same != number or end > min(start + blocks * 16, len(data)):
            raise Unreadable(DAMAGED)
        size += length
        if size > len(data) or len(found) >= MOST_PACKAGES:
            raise Unreadable(f"{DAMAGED}: more in it than it can hold")
        found[number] = data[start + 16 : end]
    return [found[number] for number in sorted(found)]


# -- Berkeley DB, hash ------------------------------------------------------------------------

_HASH_MAGIC = 0x061561
_HASH_PAGES = (2, 13)
"""Page types: hash tables as they were before Berkeley DB 4.6, and since, where they are sorted."""
_OVERFLOW_PAGE = 7
_PAGE_HEADER = 26
_KEYDATA, _OFFPAGE = 1, 3


def bdb_headers(data: bytes) -> list[bytes]:
    """The headers of ``Packages``: every page of the table is looked at, in the file's order."""
    order = next(
        (sign for sign in "<>" if data[12:16] == struct.pack(f"{sign}I", _HASH_MAGIC)), None
    )
    if order is None or len(data) < 512:
        raise Unreadable("no hash table of Berkeley DB")
    size = struct.unpack_from(f"{order}I", data, 20)[0]
    if not 512 <= size <= 65536 or size & (size - 1) or data[24]:
        raise Unreadable(f"{DAMAGED}, or encrypted")
    found: dict[int, bytes] = {}
    pages = _Pages(data, size, order)
    for key, value in pages.pairs():
        # Record 0 is the number that the next package gets.
        number = int.from_bytes(key, "little" if order == "<" else "big")
        if len(key) == 4 and number and len(found) < MOST_PACKAGES:
            found[number] = value
    return [found[number] for number in sorted(found)]


class _Pages:
    """The pages of a database file; each overflow page is read once at most, as rings never end."""

    def __init__(self, data: bytes, size: int, order: str) -> None:
        self._data = data
        self._size = size
        self._order = order
        self._seen: set[int] = set()

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values; what lies outside a page is Unreadable."""
        for start in range(self._size, len(self._data) - self._size + 1, self._size):
            if self._data[start + 25] not in _HASH_PAGES:
                continue
            count = struct.unpack_from(f"{self._order}H", self._data, start + 20)[0]
            if _PAGE_HEADER + 2 * count > self._size:
                raise Unreadable(DAMAGED)
            offsets = struct.unpack_from(f"{self._order}{count}H", self._data, start + _PAGE_HEADER)
            ends = [self._size, *offsets]
            items = [
                self._item(start + offset, start + end)
                for offset, end in zip(offsets, ends[:-1], strict=True)
            ]
            for key, value in zip(items[::2], items[1::2], strict=False):
                if key is not None and value is not None:
                    yield key, value

    def _item(self, start: int, end: int) -> bytes | None:
        if not start < end or end > len(self._data):
            raise Unreadable(DAMAGED)
        kind = self._data[start]
        if kind == _KEYDATA:
            return self._data[start + 1 : end]
        if kind != _OFFPAGE or end - start < 12:
            return None
        page, length = struct.unpack_from(f"{self._order}2I", self._data, start + 4)
        return self._overflow(page, length)

    def _overflow(self, page: int, length: int) -> bytes:
        parts: list[bytes] = []
        while page:
            start = page * self._size
            if page in self._seen or start + self._size > len(self._data):
                raise Unreadable(DAMAGED)
            self._seen.add(page)
            _, following, _, used, _, kind = struct.unpack_from(
                f"{self._order}2I2H2B", self._data, start + 12
            )
            if kind != _OVERFLOW_PAGE or _PAGE_HEADER + used > self._size:
                raise Unreadable(DAMAGED)
            parts.append(self._data[start + _PAGE_HEADER : start + _PAGE_HEADER + used])
            page = following
        value = b"".join(parts)
        if len(value) != length:
            raise Unreadable(DAMAGED)
        return value
