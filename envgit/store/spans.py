# SPDX-License-Identifier: Apache-2.0
"""Keeps mount stacks short, however long the history: neighbouring layers merged into spans.

A span is one directory that means the same as the layers it covers, made of hard links; it is
derived and may be deleted at any time. Blocks are aligned by depth (the root commit has depth 1 and
its layer is never merged): a span of level n covers the depths 2 + k*8^n to 1 + (k+1)*8^n, so that
all branches and all later commits share it. The name is ``<last commit>.<level>``.

Merging is put off until a stack is longer than ``TARGET``, then goes from the smallest and oldest
block up; so short histories never pay, and in long ones each layer is merged once a level.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from envgit.fs import crashpoint, durable
from envgit.layers.ids import CommitId, LayerId
from envgit.store.failures import StoreError, explained
from envgit.store.state import is_hex

if TYPE_CHECKING:
    from envgit.store.store import Store

FORMAT = 1
FANOUT = 8

TARGET = 24
"""Directories a stack may have before it is shortened. Measured (docs/design/store.rst): a Python
start-up inside costs the same, within the noise, with 1 and with 24 directories that all hold
/usr/lib/python3.11, 5 % more with 48 and 15 % with 63; each level of spans costs its directories'
blocks on disk."""

SMALLEST_MAXIMUM = 40
"""``core.maxDepth`` counts as at least this: 7 directories a level reach 8^5 commits with 36."""

ParentOf = Callable[[CommitId], tuple[CommitId | None, LayerId]]
"""A commit's first parent (None at the root) and its layer."""


class ChainTooDeep(StoreError):
    """A chain needs more directories than may be mounted: more than some 250,000 commits."""


class Span(NamedTuple):
    """A usable span: ``commits`` layers, the topmost that of ``last``; ``below`` is under them."""

    last: CommitId
    level: int
    first: CommitId
    below: CommitId
    commits: int
    depth: int
    """The depth of ``last``."""

    @property
    def name(self) -> str:
        """The directory in ``spans/``."""
        return f"{self.last}.{self.level}"


class Unit(NamedTuple):
    """One directory of a stack: a layer or a span. ``first`` to ``last`` are the commits in it."""

    directory: str
    first: CommitId
    last: CommitId
    below: CommitId | None
    commits: int


class Merge(NamedTuple):
    """A span to be made of ``units`` (top first)."""

    level: int
    units: tuple[Unit, ...]
    depth: int
    """The depth of the topmost commit."""


class Spans:
    """The spans of ``store``. What is there is read when first needed and not again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._levels: dict[str, list[int]] | None = None

    def resolve(
        self, tip: CommitId, parent_of: ParentOf, *, maximum: int = 64, target: int = TARGET
    ) -> tuple[tuple[str, ...], int]:
        """The stack for ``tip`` (directories relative to the store, top first) and its depth.

        Merges what is due first; a merge that fails (a full disk) is put off as long as the stack
        is not longer than ``maximum`` (``core.maxDepth``); ``target`` is for tests. Hold the
        store's lock. Raises what ``parent_of`` raises, StoreError, ChainTooDeep.
        """
        units = self.chain(tip, parent_of)
        depth = sum(unit.commits for unit in units)
        maximum = max(maximum, SMALLEST_MAXIMUM)
        for merge in plan(units, maximum, target=target):
            try:
                units = _replaced(units, merge, self.build(merge))
            except StoreError:
                if len(units) > maximum:
                    raise
                break
        if len(units) > maximum:
            raise ChainTooDeep(
                f"the history of {tip} needs {len(units)} directories, more than {maximum}",
                hint="core.maxDepth may be up to 400",
            )
        return tuple(unit.directory for unit in units), depth

    def chain(self, tip: CommitId, parent_of: ParentOf) -> list[Unit]:
        """The directories for ``tip`` as things are, top first; at most 7 a level plus one."""
        units = []
        commit: CommitId | None = tip
        while commit is not None:
            span = self.span_at(commit)
            if span is not None:
                unit = _unit(span)
            else:
                parent, layer = parent_of(commit)
                unit = Unit(f"layers/{layer}", commit, commit, parent, 1)
            units.append(unit)
            commit = unit.below
        return units

    def span_at(self, commit: CommitId) -> Span | None:
        """The largest usable span that ends at ``commit``."""
        if self._levels is None:
            self._levels = {}
            for name in self._store.all_spans():
                last, _, number = name.partition(".")
                if is_hex(last, 40) and number.isascii() and number.isdigit():
                    self._levels.setdefault(last, []).append(int(number))
        for level in sorted(self._levels.get(commit, ()), reverse=True):
            span = self._read(commit, level)
            if span is not None:
                return span
        return None

    def build(self, merge: Merge) -> Span:
        """Make the span and publish it by a rename, once it is synced. Raises StoreError."""
        top, bottom = merge.units[0], merge.units[-1]
        assert bottom.below is not None, "the root layer is never merged"
        count = sum(unit.commits for unit in merge.units)
        span = Span(top.last, merge.level, bottom.first, bottom.below, count, merge.depth)
        target = os.path.join(self._store.path, "spans", span.name)
        members = self._store.stack_paths(unit.directory for unit in reversed(merge.units))
        with self._store.temporary("span") as made, explained("merge layers", target):
            _merge(made, members)
            with open(os.path.join(made, "meta.json"), "wb") as file:
                file.write(_serialize(span))
            crashpoint.reach("spans:merged")
            # A span that lost a link in a power cut would be mounted all the same.
            durable.sync_filesystem(made)
            crashpoint.reach("spans:synced")
            self._publish(span, made, target)
        if self._levels is not None:
            self._levels.setdefault(span.last, []).append(span.level)
        return span

    def _publish(self, span: Span, made: str, target: str) -> None:
        try:
            os.rename(made, target)
        except OSError:
            # There already: the same, made by somebody else, or one that cannot be used.
            if self._read(span.last, span.level) is not None:
                return
            self._store.trash(target)
            os.rename(made, target)
        crashpoint.reach("spans:renamed")
        durable.sync_directory(os.path.dirname(target))

    def _read(self, commit: CommitId, level: int) -> Span | None:
        folder = os.path.join(self._store.path, "spans", f"{commit}.{level}")
        try:
            with open(os.path.join(folder, "meta.json"), "rb") as file:
                span = _parse(json.loads(file.read(1 << 16)), commit, level)
        except (OSError, ValueError, RecursionError):
            return None  # derived: whatever is wrong with it, the layers themselves will do
        return span if os.path.isdir(os.path.join(folder, "tree")) else None


def plan(units: Sequence[Unit], maximum: int, *, target: int = TARGET) -> list[Merge]:
    """The merges, in order, that bring a chain's ``units`` (top first) down to ``target``.

    Pure. A chain that is far too long (a clone's, which has no spans yet) is covered with the
    largest blocks at once; otherwise the smallest and oldest block goes first, and no more are
    merged than is needed.
    """
    merges = []
    current = list(units)
    large = len(current) > maximum
    while len(current) > target:
        merge = _next_merge(current, large=large)
        if merge is None:
            break
        merges.append(merge)
        top, bottom = merge.units[0], merge.units[-1]
        directory = f"spans/{top.last}.{merge.level}/tree"
        count = sum(unit.commits for unit in merge.units)
        merged = Unit(directory, bottom.first, top.last, bottom.below, count)
        current = _put(current, merge, merged)
    return merges


def _next_merge(units: Sequence[Unit], *, large: bool) -> Merge | None:
    bottom_up = list(reversed(units))
    starts, depth = [], 1
    for unit in bottom_up:
        starts.append(depth)
        depth += unit.commits
    levels, size = [], FANOUT
    while size <= depth:
        levels.append(size)
        size *= FANOUT
    for size in reversed(levels) if large else levels:
        index = 0
        while index < len(bottom_up):
            end = _block_end(bottom_up, starts, index, size)
            if end is not None and end - index > 1:
                members = tuple(reversed(bottom_up[index:end]))
                last = starts[end - 1] + bottom_up[end - 1].commits - 1
                return Merge(_level(size), members, last)
            index += 1
    return None


def _block_end(units: list[Unit], starts: list[int], index: int, size: int) -> int | None:
    """Where the aligned block of ``size`` layers that starts at ``index`` ends, if it is whole."""
    if starts[index] < 2 or (starts[index] - 2) % size:
        return None
    covered, end = 0, index
    while covered < size and end < len(units):
        covered += units[end].commits
        end += 1
    return end if covered == size else None


def _level(size: int) -> int:
    level = 0
    while size > 1:
        size //= FANOUT
        level += 1
    return level


def _replaced(units: list[Unit], merge: Merge, span: Span) -> list[Unit]:
    return _put(units, merge, _unit(span))


def _put(units: list[Unit], merge: Merge, merged: Unit) -> list[Unit]:
    at = next(index for index, unit in enumerate(units) if unit.last == merged.last)
    return [*units[:at], merged, *units[at + len(merge.units) :]]


def _unit(span: Span) -> Unit:
    return Unit(f"spans/{span.name}/tree", span.first, span.last, span.below, span.commits)


def _merge(made: str, members: Sequence[str]) -> None:
    from envgit.layers.merge import merge  # only who merges pays for it

    tree = os.path.join(made, "tree")
    os.mkdir(tree)
    merge(tree, [os.fsencode(path) for path in members], keep_whiteouts=True)


def _serialize(span: Span) -> bytes:
    return (json.dumps({"format": FORMAT, **span._asdict()}, indent=1) + "\n").encode()


def _parse(record: Any, commit: CommitId, level: int) -> Span | None:
    if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
        return None
    if record.keys() != set(Span._fields):
        return None
    span = Span(**record)
    numbers = (span.commits, span.depth)
    good = (
        (span.last, span.level) == (commit, level)
        and is_hex(span.first, 40)
        and is_hex(span.below, 40)
        and all(type(number) is int for number in numbers)
        and 1 < span.commits < span.depth
    )
    return span if good else None
