# SPDX-License-Identifier: Apache-2.0
"""Why rpm's packages are there, as the programs above rpm noted it.

Sources: zypper(8) on ``AutoInstalled``; libdnf5's ``packages.toml``; the schema in libdnf's
``history.sqlite`` and its rule that the last transaction about a name and architecture counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from envgit.layers.entry import find_entry
from envgit.packages.model import Files, Unreadable
from envgit.packages.readers.rpm_sqlite import opened, rows

_ZYPP = b"var/lib/zypp/AutoInstalled"
_DNF5 = b"usr/lib/sysimage/libdnf5/packages.toml"
_DNF4 = b"var/lib/dnf/history.sqlite"
_DNF4_LOG = b"var/lib/dnf/history.sqlite-wal"

RECORDS = (_ZYPP, _DNF5, _DNF4, _DNF4_LOG)
"""The files that reasons depend on."""

_LARGEST = 4 << 20
_LARGEST_HISTORY = 64 << 20
_MOST_ROWS = 1_000_000
_LONGEST_LINE = 4096

_WORDS = {
    "User": "manual",
    "Group": "manual",
    "External User": "manual",
    "Dependency": "automatic",
    "Weak Dependency": "automatic",
}
# One line a package, or a table each; tomllib takes seconds for a megabyte of dotted keys.
_INLINE = re.compile(r'"?([\w.+~^-]{1,256})"? *= *\{(.*)\} *')
_HEADER = re.compile(r'\[packages\."?([\w.+~^-]{1,256})"?\] *')
_REASON = re.compile(r'\breason *= *"([A-Za-z ]{1,32})"')
# TransactionItemReason and TransactionItemAction of libdnf.
_NUMBERS = {1: "automatic", 2: "manual", 4: "automatic", 5: "manual"}
_REMOVED = 8
_HALVES = (3, 5, 7, 10)
"""What was downgraded, obsoleted, upgraded, reinstalled: the other half says what it became."""


class Reasons:
    """``manual``, ``automatic``, or empty where nobody noted it; a damaged note is none."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, str] = {}
        self._otherwise = ""
        for record, read in ((_DNF4, self._dnf4), (_DNF5, self._dnf5), (_ZYPP, self._zypp)):
            if find_entry(files.tree, record) is not None:
                try:
                    self._known.update(read())
                except (Unreadable, ValueError, RecursionError):
                    # What is installed is known nevertheless.
                    continue

    def of(self, name: str, architecture: str) -> str:
        """The reason of a package."""
        if name == "gpg-pubkey":
            return ""
        known = self._known.get(f"{name}.{architecture}") or self._known.get(name)
        return known or self._otherwise

    def _zypp(self) -> Iterator[tuple[str, str]]:
        self._otherwise = "manual"
        text = self._files.read(_ZYPP, _LARGEST).decode("utf-8", "replace")
        for line in text.splitlines():
            yield line.strip(), "automatic"

    def _dnf5(self) -> Iterator[tuple[str, str]]:
        text = self._files.read(_DNF5, _LARGEST).decode("utf-8", "replace")
        name = ""
        for line in text.split("\n"):
            found = _INLINE.fullmatch(line)
            if found is not None:
                name, line = found.groups()
            elif line.startswith("["):
                header = _HEADER.fullmatch(line)
                name = header[1] if header is not None else ""
            for reason in _REASON.findall(line[:_LONGEST_LINE]) if name else ():
                if reason in _WORDS:
                    yield name, _WORDS[reason]

    def _dnf4(self) -> Iterator[tuple[str, str]]:
        logged = find_entry(self._files.tree, _DNF4_LOG) is not None
        log = self._files.read(_DNF4_LOG, _LARGEST_HISTORY) if logged else b""
        with opened(self._files.read(_DNF4, _LARGEST_HISTORY), log) as history:
            columns = ("id", "trans_id", "item_id", "action", "reason")
            items = sorted(
                row
                for row in rows(history, "trans_item", columns, _MOST_ROWS)
                if all(isinstance(value, int) for value in row)
            )
            done = {
                row[0] for row in rows(history, "trans", ("id", "state"), _MOST_ROWS) if row[1] == 1
            }
            names = {
                item: f"{name}.{architecture}"
                for item, name, architecture in rows(
                    history, "rpm", ("item_id", "name", "arch"), _MOST_ROWS
                )
            }
        for _, transaction, item, action, reason in items:
            if transaction in done and item in names and action not in _HALVES:
                yield names[item], "" if action == _REMOVED else _NUMBERS.get(reason, "")
