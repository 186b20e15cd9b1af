# SPDX-License-Identifier: Apache-2.0
"""SQLite databases that somebody else wrote, read from their bytes without running what they hold.

Sources: sqlite.org/fileformat2.html (header and write-ahead log), sqlite.org/security.html.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from envgit.packages.model import Unreadable

_STEPS = 50_000_000
"""What SQLite may do for one database: seconds' worth. 100,000 packages take 3 million steps."""

DAMAGED = "the database is damaged"


@contextmanager
def opened(
    data: bytes, log: bytes = b"", *, writable: bool = False, steps: int = _STEPS
) -> Iterator[sqlite3.Connection]:
    """A database in memory; ``log`` is its write-ahead log, empty if it has none.

    Whatever is wrong with it is Unreadable, also within the ``with``. Statements may change the
    database if it is ``writable``, and take ``steps`` of SQLite's virtual machine altogether.
    """
    image = bytearray(_with_log(data, log) if log else data)
    if len(image) < 100 or not image.startswith(b"SQLite format 3\0"):
        raise Unreadable("no SQLite database")
    # A database of bytes has no log: told so, SQLite reads it as one whose log was written back.
    image[18:20] = b"\1\1"
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if not writable:
            # What is written again must be the same text: where it is none, that is an error.
            connection.text_factory = _text
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, len(image) + 1024)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        left = iter(range(steps // 10_000))
        connection.set_progress_handler(lambda: next(left, None) is None, 10_000)
        connection.deserialize(image)
        image.clear()
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA query_only = {'OFF' if writable else 'ON'}")
        connection.execute("PRAGMA cell_size_check = ON")
        yield connection
    except (sqlite3.Error, UnicodeError, MemoryError) as error:
        # Its messages quote the file, which may be no text.
        raise Unreadable(f"{DAMAGED}: {error}") from error
    finally:
        connection.close()


def rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], most: int
) -> Iterator[tuple[Any, ...]]:
    """The rows of a table in their own order; more than ``most`` is Unreadable.

    Only a real table of plain columns is asked: a view, a virtual table or a generated column
    would run what the database's author wrote.
    """
    tables = connection.execute(
        "SELECT count(*) FROM sqlite_schema"
        " WHERE name = ? COLLATE NOCASE AND type = 'table' AND rootpage > 0",
        (table,),
    ).fetchone()
    known = dict(connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)))
    if tables != (1,) or any(known.values()) or not known.keys() >= set(columns):
        raise Unreadable(f"it has no table {table} as its manager makes it")
    asked = ", ".join(f'"{column}"' for column in columns)
    found = connection.execute(f'SELECT {asked} FROM "{table}" NOT INDEXED')
    for count, row in enumerate(found):
        if count >= most:
            raise Unreadable(f"more than {most} rows in {table}")
        yield row


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _with_log(data: bytes, log: bytes) -> bytes:
    """What SQLite would read of a database and its write-ahead log: all whole transactions."""
    if len(log) < 32:
        return data
    magic, _, size = struct.unpack_from(">3I", log)
    if magic not in (0x377F0682, 0x377F0683) or not 512 <= size <= 65536 or size & (size - 1):
        return data
    order = ">" if magic & 1 else "<"
    sums = _checksum(order, log[:24], (0, 0))
    if sums != struct.unpack_from(">2I", log, 24):
        return data
    salts = log[16:24]
    pending: dict[int, int] = {}
    pages: dict[int, int] = {}
    total = 0
    for frame in range(32, len(log) - size - 23, size + 24):
        number, committed = struct.unpack_from(">2I", log, frame)
        if log[frame + 8 : frame + 16] != salts or number == 0:
            break
        sums = _checksum(order, log[frame : frame + 8], sums)
        sums = _checksum(order, log[frame + 24 : frame + 24 + size], sums)
        if sums != struct.unpack_from(">2I", log, frame + 16):
            break
        pending[number] = frame + 24
        if committed:
            pages.update(pending)
            pending, total = {}, committed
    if not pages:
        return data
    if total > (len(data) + len(log)) // size + 1:
        raise Unreadable(DAMAGED)
    image = bytearray(data[: total * size].ljust(total * size, b"\0"))
    for number, start in pages.items():
        if number <= total:
            image[(number - 1) * size : number * size] = log[start : start + size]
    return bytes(image)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
