# SPDX-License-Identifier: Apache-2.0
"""What a trial says of a state that is made of parts of two others, and whether two fail alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.porcelain.foundation.inside.isolation import Outcome
from envgit.porcelain.foundation.trials import Trial

_SKIPS = 125
_CRASHES = frozenset({4, 5, 6, 7, 8, 11})
"""SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: how programs end whose parts do not fit."""

_LOOKED_AT = 1 << 16
_LONGEST = 300
"""Bytes of output, from its end, and characters of its last line that are looked at."""

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")

NONE = "none"
"""The verdict of an exit status that ends a search."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial. ``what`` says of which state, which has ``changes`` of the commit's changes (or
    of files). ``verdict`` is good, bad or skip, or none where it is no verdict; ``last_line`` what
    the command wrote last. ``prepared_ms`` of ``duration_ms`` it took to make the state."""

    what: str
    changes: int
    verdict: str
    exit_code: int
    signal: int | None
    duration_ms: int
    prepared_ms: int
    timed_out: bool
    last_line: str


def judged(trial: Trial, what: str, count: int, prepared_ms: int) -> Tried:
    """What a trial came to: git-bisect's exit statuses, but a crash is no verdict. ``what`` and
    ``count`` say of which state, ``prepared_ms`` how long that took to make."""
    code = trial.exit_code
    if code == 0:
        verdict = Outcome.PASSES.value
    elif code == _SKIPS or trial.timed_out or _crashed(trial):
        verdict = Outcome.UNRESOLVED.value
    else:
        verdict = Outcome.FAILS.value if code < 128 else NONE
    return Tried(
        what=what,
        changes=count,
        verdict=verdict,
        exit_code=code,
        signal=trial.signal,
        duration_ms=trial.duration_ms + prepared_ms,
        prepared_ms=prepared_ms,
        timed_out=trial.timed_out,
        last_line=_last_line(trial.output),
    )


def _crashed(trial: Trial) -> bool:
    """Whether it, or what its shell ran last, was ended by a signal for a fault of its own."""
    return trial.signal in _CRASHES or trial.exit_code - 128 in _CRASHES


def outcome_of(tried: Tried, *, like: Tried | None) -> Outcome:
    """What a trial means to the search; with ``like``, only a failure that looks like that one
    counts."""
    found = Outcome(tried.verdict)
    if found is Outcome.FAILS and like is not None and not alike(tried, like):
        return Outcome.UNRESOLVED
    return found


def alike(one: Tried, other: Tried) -> bool:
    """Whether two failures are the same for all that can be seen: numbers may differ."""
    texts = {_VARYING.sub("#", each.last_line) for each in (one, other)}
    return one.exit_code == other.exit_code and len(texts) == 1


def _last_line(output: bytes) -> str:
    for line in reversed(output[-_LOOKED_AT:].splitlines()):
        text = line.decode("utf-8", "backslashreplace").strip()
        if text:
            return text[:_LONGEST]
    return ""
