# SPDX-License-Identifier: Apache-2.0
"""Who a command runs as: the environment's own /etc/passwd and /etc/group decide, never the host's.

``find`` is pure; ``read`` is called in the child after ``pivot_root``, when the environment is all
there is, so that no link in it can lead anywhere else.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from envgit.sandbox.failure import SandboxError

_LARGEST = 16 << 20  # bytes of a passwd or group file that are read


class User(NamedTuple):
    """Credentials and home directory of the command."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    name: str


def read(path: str) -> str:
    """The text of a regular file, "" when there is none; never blocks on a fifo."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, _LARGEST).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)


def find(spec: str, passwd: str, group: str) -> User:
    """The user that ``name``, ``uid``, ``name:group`` or ``uid:gid`` means; "" means root.

    As in Docker: a number needs no entry in passwd, and with an explicit group there are no
    supplementary ones. Raises ``SandboxError`` for a name that passwd or group lacks.
    """
    wanted, colon, wanted_group = spec.partition(":")
    wanted = wanted or "0"
    entry = account(wanted, passwd)
    if entry is None and not _is_id(wanted):
        raise SandboxError(
            f"no user {wanted!r} in the environment's /etc/passwd",
            hint="a number works without an entry",
        )
    uid = int(entry[2]) if entry else int(wanted)
    gid = int(entry[3]) if entry else 0
    name = entry[0] if entry else ""
    home = (entry[5] if entry else "") or "/"
    if colon and wanted_group:
        return User(uid, _group_id(wanted_group, group), (), home, name)
    return User(uid, gid, _memberships(name, gid, group), home, name)


def account(wanted: str, passwd: str) -> list[str] | None:
    """The seven fields of passwd(5) for a name or number, None when it has no entry."""
    by_number: list[str] | None = None
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not _is_id(fields[2]) or not _is_id(fields[3]):
            continue
        if fields[0] == wanted:
            return fields
        if by_number is None and _is_id(wanted) and int(fields[2]) == int(wanted):
            by_number = fields
    return by_number


def _group_id(wanted: str, group: str) -> int:
    for fields in _groups(group):
        if fields[0] == wanted:
            return int(fields[2])
    if _is_id(wanted):
        return int(wanted)
    raise SandboxError(
        f"no group {wanted!r} in the environment's /etc/group",
        hint="a number works without an entry",
    )


def _memberships(name: str, gid: int, group: str) -> tuple[int, ...]:
    found = {gid} | {
        int(fields[2]) for fields in _groups(group) if name and name in fields[3].split(",")
    }
    return tuple(sorted(found))


def _groups(group: str) -> list[list[str]]:
    lines = (line.split(":") for line in group.splitlines())
    return [fields for fields in lines if len(fields) >= 4 and _is_id(fields[2])]


def _is_id(text: str) -> bool:
    # 2**32 - 1 is "no change" to setresuid(2).
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**32 - 1
