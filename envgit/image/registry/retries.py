# SPDX-License-Identifier: Apache-2.0
"""When to try again, and how long to wait before that.

Waits double and are drawn at random from their upper half, so that many clients that failed at
once do not come back at once. A server's Retry-After (RFC 9110, 10.2.3) is kept to, within reason.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from envgit.image.registry.errors import RegistryError

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed. 501 and 505 say that it never will."""

LONGEST_WAIT = 120.0
"""Seconds; a server that wants more than that is told of instead of waited for."""


class Transient(Exception):
    """A request failed in a way that may pass. ``error`` is for the user if it does not.

    ``after`` is how many seconds the server wants us to wait, or None; ``weight`` how many failures
    it counts for.
    """

    def __init__(
        self, error: RegistryError, after: float | None = None, *, weight: int = 1
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after
        self.weight = weight


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how fast; the defaults give up after about ten seconds without progress."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 15.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, failed: Transient) -> None:
        """Wait after the ``failures``-th failure in a row; raises the error when that is enough."""
        if failures >= self.attempts:
            raise failed.error
        if failed.after is not None and failed.after > LONGEST_WAIT:
            raise RegistryError(
                failed.error.message, hint=f"it asks to come back in {failed.after:.0f} seconds"
            )
        drawn = min(self.longest, self.first * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
        self.sleep(max(drawn, failed.after or 0.0))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for, as a number or as a date; None without one."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
