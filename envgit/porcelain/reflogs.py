# SPDX-License-Identifier: Apache-2.0
"""Takes entries out of reflogs, as git-reflog(1) "expire" and "delete".

Reflogs are no part of what ``undo`` brings back, as they are none of what operations record. The
file of a log is replaced whole under git's lock of the ref, and synced, so that a kill leaves the
old log or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.porcelain.foundation.repository import Repository
from envgit.repo import expiry
from envgit.repo.dates import approxidate
from envgit.repo.revisions import dwim

if TYPE_CHECKING:
    from envgit.repo.reflog import ReflogEntry

_END_OF_TIME = 1 << 62
_PLACE = re.compile(r"\A(.+)@\{([^}]*)\}\Z")


class BadTime(EnvgitError):
    """A time that makes no sense, for ``--expire`` or ``--expire-unreachable``."""


class NoReflog(EnvgitError):
    """A ref without a log, or no ref at all; git's status is 255."""

    exit_code = 255
    prefix = "error"


@dataclass(frozen=True, slots=True)
class Shortened:
    """A log: its entries newest first, each with whether it goes."""

    ref: str
    entries: tuple[tuple[ReflogEntry, bool], ...]


def time_of(text: str, option: str, now: int) -> int | None:
    """``never`` is None; ``all`` and ``now`` take everything; else a date. Raises BadTime."""
    if text in ("never", "false"):
        return None
    if text in ("all", "now"):
        return _END_OF_TIME
    try:
        return approxidate(text, now)
    except ValueError as error:
        raise BadTime(f"invalid timestamp '{text}' given to '--{option}'") from error


def expire_reflogs(
    repository: Repository,
    refs: Sequence[str] = (),
    *,
    now: int,
    total: str | None = None,
    unreachable: str | None = None,
    every: bool = False,
    rewrite: bool = False,
    dry_run: bool = False,
) -> list[Shortened]:
    """Drop old entries of the logs of ``refs``, or with ``every`` of all logs.

    ``total`` and ``unreachable`` are dates as git takes them; by default what the settings
    ``gc.reflogExpire`` and ``gc.reflogExpireUnreachable`` say. ``rewrite`` mends the old ids of
    what stays. Raises NoReflog and BadTime.
    """
    git = repository.git
    limits = expiry.Ages(
        _limit(repository, total, "expire", "gc.reflogExpire", now),
        _limit(repository, unreachable, "expire-unreachable", "gc.reflogExpireUnreachable", now),
    )
    names = {_named(repository, ref, f"{ref} points nowhere!") for ref in refs}
    found = []

    def wanted(name: str) -> expiry.Ages | None:
        return limits if every or name in names else None

    for log, entries in expiry.shortened(git, wanted, rewrite=rewrite):
        kept = {id(entry) for entry in log.kept}
        found.append(
            Shortened(log.name, tuple((entry, id(entry) not in kept) for entry in entries))
        )
        if log.dropped and not dry_run:
            gone = {entry for entry in entries if id(entry) not in kept}
            git.edit_reflog(log.name, partial(_without, gone=gone, rewrite=rewrite))
    return found


def delete_entries(
    repository: Repository,
    places: Sequence[str],
    *,
    now: int,
    rewrite: bool = False,
    dry_run: bool = False,
) -> list[Shortened]:
    """Drop single entries, named ``REF@{N}``, or with ``REF@{date}`` those older than a date.

    Raises NoReflog.
    """
    git = repository.git
    if not places:
        raise NoReflog("no reflog specified to delete")
    found = []
    for place in places:
        match = _PLACE.match(place)
        if match is None:
            raise NoReflog(f"not a reflog: {place}")
        name = _named(repository, match[1], f"no reflog for '{place}'")
        entries = git.reflog(name)
        if not entries:
            raise NoReflog(f"no reflog for '{place}'")
        if match[2].isdigit():
            gone = set(entries[int(match[2]) : int(match[2]) + 1])
        else:
            before = time_of(match[2], "expire", now)
            gone = {entry for entry in entries if before is not None and entry.who.time < before}
        found.append(Shortened(name, tuple((entry, entry in gone) for entry in entries)))
        if gone and not dry_run:
            git.edit_reflog(name, partial(_without, gone=gone, rewrite=rewrite))
    return found


def has_log(repository: Repository, ref: str) -> bool:
    """Whether the ref of that full name has a log."""
    return bool(repository.git.reflog(ref))


def _limit(
    repository: Repository, text: str | None, option: str, setting: str, now: int
) -> int | None:
    if text is not None:
        return time_of(text, option, now)
    age = repository.settings.get_expiry(setting)
    if age is None:
        return None
    return now - age if age > 0 else _END_OF_TIME


def _named(repository: Repository, ref: str, complaint: str) -> str:
    name = "HEAD" if ref in ("HEAD", "@") else dwim(repository.git, ref)
    if name is None:
        raise NoReflog(complaint)
    return name


def _without(
    entries: list[ReflogEntry], *, gone: set[ReflogEntry], rewrite: bool
) -> list[ReflogEntry]:
    kept = [entry for entry in entries if entry not in gone]
    if not rewrite:
        return kept
    mended: list[ReflogEntry] = []
    last = "0" * 40
    for entry in reversed(kept):
        mended.insert(0, replace(entry, old=last))
        last = entry.new
    return mended
