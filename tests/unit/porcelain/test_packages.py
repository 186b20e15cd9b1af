# SPDX-License-Identifier: Apache-2.0
"""What is installed, in the order in which it is asked for."""

from __future__ import annotations

from envgit.packages.model import Package
from envgit.porcelain.packages import Installed


def test_of_one_size_packages_stay_in_order_and_those_of_unknown_size_come_last() -> None:
    sizes = {"a": 1, "b": None, "c": 2, "d": 1, "e": None, "f": 0}
    found = Installed(tuple(Package("dpkg", name, "1", size=sizes[name]) for name in sizes), ())
    assert [one.name for one in found.sorted_by_size().packages] == ["c", "a", "d", "f", "b", "e"]
