# SPDX-License-Identifier: Apache-2.0
"""Files that hold entries of many packages or users, taken apart and put together by entry."""

from envgit.packages.records.derived import Derived, derived
from envgit.packages.records.formats import format_for
from envgit.packages.records.model import Clash, Decide, Declined, Format, Taken

__all__ = ["Clash", "Decide", "Declined", "Derived", "Format", "Taken", "derived", "format_for"]
