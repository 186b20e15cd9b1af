# SPDX-License-Identifier: Apache-2.0
"""Comparison that skips what is known to be the same finds what comparison of everything finds."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given

from envgit.layers.apply import apply, overlaid
from envgit.layers.compare import changes, difference
from envgit.layers.entry import Directory, Entry, Node, walk
from tests.support.trees import layers, trees


class Known:
    """A directory that knows its identity and where it differs from another, as git's trees do."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.identity = repr(list(walk(node)))

    @property
    def entry(self) -> Entry:
        return self.node.entry

    def names(self) -> Iterable[bytes]:
        return self.node.names()

    def lookup(self, name: bytes) -> Entry | None:
        return self.node.lookup(name)

    def directory(self, name: bytes) -> Known | None:
        below = self.node.directory(name)
        return None if below is None else Known(below)

    def unlike(self, other: object) -> list[bytes] | None:
        if not isinstance(other, Known):
            return None
        return [
            name
            for name in {*self.names(), *other.names()}
            if self.lookup(name) != other.lookup(name) or self._below(name) != other._below(name)
        ]

    def _below(self, name: bytes) -> str | None:
        below = self.directory(name)
        return None if below is None else below.identity


def check(old: Directory, new: Directory, plain_old: Node, plain_new: Node) -> None:
    assert changes(old, new) == changes(plain_old, plain_new)
    assert difference(old, new) == difference(plain_old, plain_new)


@given(trees(), layers())
def test_a_layer_over_the_very_tree(base: Node, layer: Node) -> None:
    known, result = Known(base), apply(base, layer)
    check(known, overlaid(known, layer), base, result)
    check(overlaid(known, layer), known, result, base)


@given(trees(), trees(), layers())
def test_a_layer_over_another_tree(base: Node, other: Node, layer: Node) -> None:
    result = apply(base, layer)
    check(Known(other), overlaid(Known(base), layer), other, result)
    check(overlaid(Known(base), layer), Known(other), result, other)


@given(trees(), layers(), layers())
def test_two_layers(base: Node, first: Node, second: Node) -> None:
    known, one, two = Known(base), apply(base, first), apply(base, second)
    check(overlaid(known, first), overlaid(known, second), one, two)


@given(trees(), layers(), layers())
def test_a_layer_over_a_layer(base: Node, first: Node, second: Node) -> None:
    lower = overlaid(Known(base), first)
    one = apply(base, first)
    check(lower, overlaid(lower, second), one, apply(one, second))
