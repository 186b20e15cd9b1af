# SPDX-License-Identifier: Apache-2.0
"""Turns what the kernel says about the store's disk into a sentence and a way out.

Every write of this room happens inside ``explained(...)``, so that a full disk, a read-only file
system or a foreign owner never surfaces as a bare ``OSError``.
"""

from __future__ import annotations

import errno
from types import TracebackType

from envgit.errors import EnvgitError


class StoreError(EnvgitError):
    """The store cannot do what was asked; the base of this room's errors."""


class StoreFull(StoreError):
    """No space, inodes or quota left where the store lives (ENOSPC, EDQUOT)."""


class StoreNotWritable(StoreError):
    """The store may not be written by this user, or its file system is read-only."""


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class explained:
    """Context manager: an OSError inside becomes a StoreError about ``path``.

    ``doing`` completes "cannot ...". With ``or_missing`` a FileNotFoundError passes as it is, for
    callers to whom absence means something.
    """

    __slots__ = ("doing", "or_missing", "path")

    def __init__(self, doing: str, path: str, *, or_missing: bool = False) -> None:
        self.doing = doing
        self.path = path
        self.or_missing = or_missing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and not (
            self.or_missing and isinstance(error, FileNotFoundError)
        ):
            raise translate(error, self.doing, self.path) from error


def translate(error: OSError, doing: str, path: str) -> StoreError:
    """The StoreError that says what ``error`` means for the store at ``path``."""
    reason = error.strerror or str(error)
    message = f"cannot {doing}: {path}: {reason}"
    if error.errno in _FULL:
        return StoreFull(
            message,
            hint="nothing was lost; make room (envgit gc frees what nothing needs) and try again",
        )
    if error.errno in _FORBIDDEN:
        return StoreNotWritable(
            message,
            hint="it must be writable by you; core.store or ENVGIT_STORE name another store",
        )
    return StoreError(message)
