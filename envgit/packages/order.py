# SPDX-License-Identifier: Apache-2.0
"""An order in which whatever is needed comes first, though some need one another.

Source: R. Tarjan, "Depth-first search and linear graph algorithms" (1972), which finds strongly
connected components in just this order; without recursion, for chains of packages are long.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def ordered(items: Iterable[T], needs: Mapping[T, Collection[T]]) -> list[T]:
    """``items`` with what each needs, be it by way of others, before it. Those that need one
    another in a circle are neighbours; else the order stays as far as it can."""
    wanted = list(items)
    own = set(wanted)
    return [one for circle in _circles(wanted, needs) for one in circle if one in own]


def _circles(starts: Iterable[T], needs: Mapping[T, Collection[T]]) -> list[list[T]]:
    """The strongly connected components that are reached, each after those it leads to."""
    found: list[list[T]] = []
    number: dict[T, int] = {}
    lowest: dict[T, int] = {}
    open_: list[T] = []
    is_open: set[T] = set()
    for start in starts:
        if start in number:
            continue
        path = [(start, iter(needs.get(start, ())))]
        number[start] = lowest[start] = len(number)
        open_.append(start)
        is_open.add(start)
        while path:
            node, rest = path[-1]
            for other in rest:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    open_.append(other)
                    is_open.add(other)
                    path.append((other, iter(needs.get(other, ()))))
                    break
                if other in is_open:
                    lowest[node] = min(lowest[node], number[other])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == number[node]:
                    circle: list[T] = []
                    while not circle or circle[-1] != node:
                        circle.append(open_.pop())
                        is_open.discard(circle[-1])
                    found.append(circle[::-1])
    return found
