# SPDX-License-Identifier: Apache-2.0
"""The system calls that Python 3.11 does not offer, since durable and confined work needs them.

Wrappers encode, call, check and raise `OSError`, nothing else. Numbers are the same on every
architecture for the calls added since Linux 5.0 (openat2); the others go through libc.
"""

from __future__ import annotations

import ctypes
import os

RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

NR_openat2 = 437

AT_FDCWD = -100
RENAME_EXCHANGE = 1 << 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = (ctypes.c_int,)
_libc.renameat2.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
)
# A handle of its own, so that the argument types fit this one call of syscall(2).
_openat2 = ctypes.CDLL(None, use_errno=True).syscall
_openat2.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
)
_openat2.restype = ctypes.c_long


class open_how(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _oserror(path: bytes | str | None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def openat2(dir_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """openat2(2); the descriptor is the caller's to close."""
    how = open_how(flags | os.O_CLOEXEC, mode, resolve)
    fd: int = _openat2(NR_openat2, dir_fd, path, ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        raise _oserror(path)
    return fd


def syncfs(fd: int) -> None:
    """syncfs(2): flush the filesystem that ``fd`` is on, and report what could not be written."""
    if _libc.syncfs(fd) < 0:
        raise _oserror(None)


def exchange(one: str | bytes, other: str | bytes) -> None:
    """renameat2(2) with ``RENAME_EXCHANGE``: both names are there at every moment."""
    first, second = os.fsencode(one), os.fsencode(other)
    if _libc.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE) < 0:
        raise _oserror(second)
