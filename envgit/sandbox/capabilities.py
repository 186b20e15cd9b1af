# SPDX-License-Identifier: Apache-2.0
"""Which of root's powers a command in an environment has: Docker's default set, plus and minus.

Numbers and names are those of capabilities(7) and linux/capability.h.
"""

from __future__ import annotations

from collections.abc import Iterable

from envgit.sandbox.failure import SandboxError

_NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(_NAMES)}

DEFAULT = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
"""What ``docker run`` grants. Enough for dpkg, apt, pip and services; no mounts, no devices."""


def choose(add: Iterable[str] = (), drop: Iterable[str] = ()) -> frozenset[str]:
    """The default set with ``add`` and without ``drop``; ``ALL`` means all, names as in Docker.

    A name in both lists is dropped unless one of the lists says ``ALL`` and the other names it,
    which then wins. Raises ``SandboxError`` for a name that is none.
    """
    adding = {_name(name) for name in add}
    dropping = {_name(name) for name in drop}
    chosen: frozenset[str] = DEFAULT
    if "ALL" in adding:
        chosen = frozenset(_NAMES)
    if "ALL" in dropping:
        return frozenset(adding - {"ALL"})
    return frozenset((chosen | (adding - {"ALL"})) - dropping)


def mask(names: Iterable[str]) -> int:
    """The set as the kernel takes it: a sum of 1 << number."""
    return sum(1 << NUMBERS[name] for name in names)


def names(mask: int) -> list[str]:
    """The set as Docker writes it, by number; the inverse of ``mask``."""
    return [name for number, name in enumerate(_NAMES) if mask >> number & 1]


def _name(text: str) -> str:
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in NUMBERS:
        raise SandboxError(
            f"unknown capability {text!r}", hint="see capabilities(7) for the names, or use ALL"
        )
    return name
