# SPDX-License-Identifier: Apache-2.0
"""Files of one entry a line, or of a fixed number of lines.

dpkg's ``statoverride`` (dpkg-statoverride(1)), ``diversions`` (three lines each, dpkg-divert(1))
and ``triggers/*`` (deb-triggers(5), dpkg's doc/spec/triggers.txt), ``etc/shells`` (shells(5)),
ucf's ``hashfile`` and ``registry``, pam-auth-update's ``seen``, apk's ``world`` and ``triggers``,
setuptools' ``easy-install.pth``.
"""

from __future__ import annotations

from collections.abc import Callable

from envgit.packages.records.model import Declined, Format, Record, lines_of, numbered

Name = Callable[[bytes], tuple[bytes, str]]
"""Of an entry's line its key and its owner."""


class Lines(Format):
    """One entry a line; empty lines and comments are entries as well."""

    def __init__(self, name: Name, noun: str = "line") -> None:
        self.name = name
        self.noun = noun

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        found: list[Record] = []
        for line in lines_of(data):
            text = line.strip()
            if not text or text.startswith(b"#"):
                found.append(Record(text, line))
                continue
            key, owner = self.name(text)
            found.append(Record(key, line, (owner,)))
        return numbered(found)


class Diversions(Format):
    """Three lines each: what is diverted, where to, and for which package (``:`` is local)."""

    noun = "the diversion of"

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        lines = lines_of(data)
        if len(lines) % 3:
            raise Declined("diversions are three lines each")
        found = []
        for number in range(0, len(lines), 3):
            path, _, package = lines[number : number + 3]
            owner = package.strip().decode("utf-8", "replace")
            own = (owner if owner != ":" else "",)
            found.append(Record(path.strip(), b"".join(lines[number : number + 3]), own))
        return found


def whole(line: bytes) -> tuple[bytes, str]:
    """The line is all that there is to an entry."""
    return line, ""


def path(line: bytes) -> tuple[bytes, str]:
    """The line is a path."""
    return line, _as_path(line)


def package(line: bytes) -> tuple[bytes, str]:
    """The line is a package's name: dpkg's ``triggers/NAME``, with ``/noawait`` perhaps."""
    return line, bare(line)


def world(line: bytes) -> tuple[bytes, str]:
    """apk's ``world``: a name with a version or a tag behind it (apk-world(5))."""
    name = line
    for sign in (b"=", b"<", b">", b"~", b"@"):
        name = name.partition(sign)[0]
    return name, name.removeprefix(b"!").decode("utf-8", "replace")


def override(line: bytes) -> tuple[bytes, str]:
    """``statoverride``: owner, group, mode and path, which may hold spaces."""
    parts = line.split(b" ", 3)
    if len(parts) != 4:
        raise Declined("a stat override is no four words")
    return parts[3], _as_path(parts[3])


def interest(line: bytes) -> tuple[bytes, str]:
    """``triggers/File``: a path and the package that is interested in it."""
    where, _, who = line.rpartition(b" ")
    if not where:
        raise Declined("a file trigger names no package")
    return where + b" " + who.partition(b"/")[0], bare(who)


def activation(line: bytes) -> tuple[bytes, str]:
    """``triggers/Unincorp``: a trigger, and packages that wait for it."""
    return line.partition(b" ")[0], ""


def first_word(line: bytes) -> tuple[bytes, str]:
    """The first word names the entry: apk's ``triggers``, by a package's checksum."""
    return line.partition(b" ")[0], ""


def last_word(line: bytes) -> tuple[bytes, str]:
    """The last word is a path: ucf's ``hashfile``."""
    where = line.split()[-1]
    return where, _as_path(where)


def registered(line: bytes) -> tuple[bytes, str]:
    """ucf's ``registry``: a package and a path."""
    words = line.split()
    return words[-1], bare(words[0])


def bare(name: bytes) -> str:
    """A package's name without architecture and options."""
    return name.partition(b"/")[0].partition(b":")[0].decode("utf-8", "replace")


def _as_path(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if name.startswith(b"/") else ""
