# SPDX-License-Identifier: Apache-2.0
"""rpm's database in sqlite, by header (rpm's lib/backend/sqlite.c).

``Packages`` has a header a row, numbered by ``hnum``; every other table is an index of rows
``key``, ``hnum``, ``idx``. A header that moves from one database into another gets the next number
there, and its rows of every index go with it. Of a header only name, version and architecture are
read.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from envgit.packages.model import Unreadable
from envgit.packages.readers import rpm_header, rpm_sqlite
from envgit.packages.records.model import (
    Clash,
    Decide,
    Declined,
    Format,
    Taken,
    Verdict,
    undecided,
)

_STEPS = 200_000_000
"""Of sqlite's virtual machine: a merge asks every index for each header that goes or comes."""
_MOST_INDEXES = 64


@dataclass(frozen=True, slots=True)
class Header:
    """A row of ``Packages``: ``nevra`` is what is installed, whenever that was."""

    number: int
    name: str
    nevra: tuple[str, ...]
    digest: bytes


@contextmanager
def opened(data: bytes) -> Iterator[sqlite3.Connection]:
    """The database in memory, to be changed. Raises Declined, also within the ``with``."""
    try:
        # rpm leaves no log when it closes a database: without one it is whole.
        with rpm_sqlite.opened(data, writable=True, steps=_STEPS) as connection:
            # A view or trigger in the file would run what its author likes.
            odd = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"
                " OR sql LIKE '%VIRTUAL%'"
            ).fetchone()
            if odd[0]:
                raise Declined("there is more than tables in it")
            yield connection
    except Unreadable as error:
        raise Declined(error.message) from error


def indexes(connection: sqlite3.Connection) -> list[str]:
    """The index tables, as names in quotes."""
    found = []
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(name)})")]
        if columns == ["key", "hnum", "idx"]:
            found.append(_quoted(name))
        elif name != "Packages" and not name.startswith("sqlite_"):
            raise Declined(f"the table {name} is not known")
    if len(found) > _MOST_INDEXES:
        raise Declined("there are too many tables")
    return found


def headers(connection: sqlite3.Connection) -> dict[int, Header]:
    """The headers by their number. Raises Declined and Unreadable."""
    found = {}
    for number, blob in connection.execute("SELECT hnum, blob FROM Packages"):
        if not isinstance(blob, bytes) or not isinstance(number, int):
            raise Declined("a header is no blob")
        name, nevra = identity(blob)
        found[number] = Header(number, name, nevra, hashlib.sha256(blob).digest())
    return found


def identity(blob: bytes) -> tuple[str, tuple[str, ...]]:
    """A header's name, and what makes it this package: name, epoch, version, release, arch.

    Raises Unreadable.
    """
    header = rpm_header.Header(blob)
    name = header.text(rpm_header.NAME)
    epoch = header.integer(rpm_header.EPOCH)
    rest = (rpm_header.VERSION, rpm_header.RELEASE, rpm_header.ARCH)
    return name, (name, "" if epoch is None else str(epoch), *map(header.text, rest))


class RpmDatabase(Format):
    """``rpmdb.sqlite``."""

    noun = "the package"
    limit = 256 << 20

    def merge(
        self,
        base: bytes | None,
        ours: bytes,
        theirs: bytes,
        decide: Decide = undecided,
        favour: str | None = None,
    ) -> tuple[bytes, tuple[Clash, ...]]:
        """Three-way by package and, where a name is there several times, by header."""
        verdict = Verdict(decide, favour)
        old: dict[int, Header] = {}
        if base is not None:
            with opened(base) as connection:
                old = headers(connection)
        with opened(ours) as here, opened(theirs) as there:
            mine, its = _by_name(headers(here)), _by_name(headers(there))
            wanted = _merged(_by_name(old), mine, its, verdict)
            data = _moved(here, there, mine, its, wanted, ours)
        return data, tuple(verdict.clashes)

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """``base`` with the packages that are taken as they are in ``other``."""
        with opened(base) as here, opened(other) as there:
            mine, its = _by_name(headers(here)), _by_name(headers(there))
            wanted, chosen = {}, set()
            for name in dict.fromkeys((*mine, *its)):
                one, two = mine.get(name, []), its.get(name, [])
                if _digests(one) != _digests(two):
                    takes = taken(name)
                    chosen.add(takes)
                    wanted[name] = two if takes else one
                else:
                    wanted[name] = one
            if False not in chosen:
                return other
            if True not in chosen:
                return base
            return _moved(here, there, mine, its, wanted, base)


_Named = Mapping[str, Sequence[Header]]


def _by_name(found: Mapping[int, Header]) -> dict[str, list[Header]]:
    named: dict[str, list[Header]] = {}
    for header in found.values():
        named.setdefault(header.name, []).append(header)
    return named


def _digests(found: Sequence[Header]) -> set[bytes]:
    return {header.digest for header in found}


def _nevras(found: Sequence[Header]) -> set[tuple[str, ...]]:
    return {header.nevra for header in found}


def _merged(base: _Named, ours: _Named, theirs: _Named, verdict: Verdict) -> _Named:
    wanted: dict[str, Sequence[Header]] = {}
    for name in dict.fromkeys((*ours, *theirs)):
        old, one, two = (list(side.get(name, ())) for side in (base, ours, theirs))
        side = verdict.side_of((name,)) if _digests(one) != _digests(two) else None
        if side is not None:
            wanted[name] = {"ours": one, "theirs": two, "base": old}[side]
        elif _digests(two) == _digests(old) or _nevras(one) == _nevras(two):
            wanted[name] = one
        elif _digests(one) == _digests(old):
            wanted[name] = two
        elif _digests(old) <= _digests(one) & _digests(two) and (old or _several(one, two)):
            # Kernels, and keys that are kept as packages: each side added one.
            known = _nevras(one)
            wanted[name] = one + [header for header in two if header.nevra not in known]
        else:
            shown = name.replace("{", "{{").replace("}", "}}")
            what = f"the package {shown} differs in {{ours}} and {{theirs}}"
            wanted[name] = two if verdict.clash((name,), what) == "theirs" else one
    return wanted


def _several(one: Sequence[Header], two: Sequence[Header]) -> bool:
    return one[0].name == "gpg-pubkey" or len(one) > 1 or len(two) > 1


def _moved(
    here: sqlite3.Connection,
    there: sqlite3.Connection,
    mine: _Named,
    its: _Named,
    wanted: _Named,
    original: bytes,
) -> bytes:
    """Our database with the wanted headers: those it lacks come from ``there``."""
    known = {header.digest: header.number for found in mine.values() for header in found}
    theirs = {header.digest: header.number for found in its.values() for header in found}
    keep = {header.digest for found in wanted.values() for header in found}
    tables = indexes(here)
    if set(tables) != set(indexes(there)):
        raise Declined("the databases have different tables")
    gone = [(number,) for digest, number in known.items() if digest not in keep]
    come = [theirs[digest] for digest in theirs if digest in keep and digest not in known]
    if not gone and not come:
        return original
    if any(digest not in known and digest not in theirs for digest in keep):
        raise Declined("a package is in neither database")
    here.execute("BEGIN")
    here.executemany("DELETE FROM Packages WHERE hnum = ?", gone)
    numbers = {}
    for number in come:
        (blob,) = there.execute("SELECT blob FROM Packages WHERE hnum = ?", (number,)).fetchone()
        added = here.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
        numbers[number] = added.lastrowid
    for table in tables:
        here.executemany(f"DELETE FROM {table} WHERE hnum = ?", gone)
        for number, new in numbers.items():
            rows = there.execute(f"SELECT key, idx FROM {table} WHERE hnum = ?", (number,))
            here.executemany(
                f"INSERT INTO {table} (key, hnum, idx) VALUES (?, {new}, ?)", rows.fetchall()
            )
    here.commit()
    data = here.serialize()
    return data[:18] + original[18:20] + data[20:]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
