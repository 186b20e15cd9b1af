# SPDX-License-Identifier: Apache-2.0
"""Gives a run its system call filters from a file, so that it need not load a compiler for them.

libseccomp turns ``profile`` into BPF once for each set of capabilities; 12 kB are read afterwards.
"""

from __future__ import annotations

import os
import zlib

VERSION = 1
"""Part of the file's name: raised with every change of ``profile``'s tables."""

_MAGIC = b"envgit-seccomp 1\n"


class Unavailable(Exception):
    """No filter can be made; the text says why."""


def load(granted: int, cache: str | None) -> tuple[bytes, ...]:
    """The programs to install, in order, for a command with the capability mask ``granted``.

    Read from, and else written to, the directory ``cache``; a damaged file is made anew. Raises
    ``Unavailable`` without libseccomp.
    """
    path = None
    if cache is not None:
        name = f"seccomp-{VERSION}-{os.uname().machine}-{granted:x}.bpf"
        path = os.path.join(cache, name)
        programs = _read(path)
        if programs:
            return programs
    from envgit.sandbox import profile

    try:
        programs = profile.build(granted)
    except (ImportError, OSError) as error:
        raise Unavailable(str(error)) from error
    if path is not None:
        _write(path, programs)
    return programs


def _read(path: str) -> tuple[bytes, ...]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return ()
    body, check = data[:-4], data[-4:]
    if not body.startswith(_MAGIC) or zlib.crc32(body).to_bytes(4, "little") != check:
        return ()
    programs: list[bytes] = []
    at = len(_MAGIC)
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "little")
        programs.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return tuple(programs)


def _write(path: str, programs: tuple[bytes, ...]) -> None:
    body = _MAGIC + b"".join(len(p).to_bytes(4, "little") + p for p in programs)
    data = body + zlib.crc32(body).to_bytes(4, "little")
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        # Only a cache: a full disk or a read-only store costs the next run 30 ms.
        return
