# SPDX-License-Identifier: Apache-2.0
"""Follows lines of files through the history: ``log -L``. Source: git-log(1), "-L"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.layers.lines import Chunk, Span, split, trace, union
from envgit.porcelain.foundation.linehistory import FileVersions, chunks
from envgit.porcelain.foundation.lineranges import parse_log_range, parse_range
from envgit.porcelain.foundation.paths import plain_path
from envgit.porcelain.foundation.repository import Repository

Spans = dict[bytes, tuple[Span, ...]]


class NoSuchFile(EnvgitError):
    """The commit from which lines are followed has no such file."""


@dataclass(frozen=True, slots=True)
class LineChange:
    """How a commit changed followed lines of one file.

    ``spans`` are those lines in the commit's file, ``touched`` the chunks that changed some of
    them; ``old_path`` is None where the file came with the commit.
    """

    path: bytes
    old_path: bytes | None
    spans: tuple[Span, ...]
    touched: tuple[Chunk, ...]
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]


class LineLog:
    """Lines being followed. Give it the commits from ``start`` on, children before parents."""

    def __init__(
        self, repository: Repository, start: CommitId, ranges: Sequence[str], *, renames: bool
    ) -> None:
        self._versions = FileVersions(repository)
        self._renames = renames
        self._wanted: dict[CommitId, Spans] = {start: self._parse(start, ranges)}

    def changes(
        self, commit: CommitId, parents: Sequence[CommitId]
    ) -> tuple[LineChange, ...] | None:
        """What a commit did to the lines; None when it did nothing and is not to be shown.

        A merge is passed by when one parent had the lines as they are; else every parent is
        followed, and the merge is shown without a difference. Raises ContentMissing.
        """
        spans = self._wanted.pop(commit, None)
        if spans is None:
            return None
        if not parents:
            found, _ = self._step(commit, None, spans)
            return found or None
        steps = [self._step(commit, parent, spans) for parent in parents]
        for parent, (found, older) in zip(parents, steps, strict=True):
            if len(parents) > 1 and not found:
                self._add(parent, older)
                return None
        for parent, (_, older) in zip(parents, steps, strict=True):
            self._add(parent, older)
        if len(parents) > 1:
            return ()
        return steps[0][0] or None

    def _parse(self, start: CommitId, ranges: Sequence[str]) -> Spans:
        wanted: Spans = {}
        ends: dict[bytes, int] = {}
        for argument in ranges:
            text, name = parse_log_range(argument)
            path = plain_path(name)
            if self._versions.entry(start, path) is None:
                raise NoSuchFile(f"There is no path {name} in the commit")
            lines = split(self._versions.text(start, path))
            span = parse_range(text, lines, ends.get(path, 0) + 1, name)
            ends[path] = span.end
            wanted[path] = union(wanted.get(path, ()), [span])
        return dict(sorted(wanted.items()))

    def _add(self, commit: CommitId, spans: Spans) -> None:
        known = self._wanted.setdefault(commit, {})
        for path, found in spans.items():
            known[path] = union(known.get(path, ()), found)

    def _step(
        self, commit: CommitId, parent: CommitId | None, spans: Spans
    ) -> tuple[tuple[LineChange, ...], Spans]:
        """The changes since one parent, and where the lines were there."""
        found: list[LineChange] = []
        older: Spans = {}
        versions = self._versions
        for path, here in spans.items():
            if parent is not None and versions.same(parent, commit, path):
                older[path] = here
                continue
            source: bytes | None = path
            if parent is None:
                source = None
            elif versions.entry(parent, path) is None:
                source = versions.renamed_from(parent, commit, path) if self._renames else None
            new = versions.text(commit, path)
            old = versions.text(parent, source) if parent and source is not None else b""
            traced = trace(here, chunks(old, new, indent=False))
            if source is not None:
                older[source] = traced.spans
            if traced.touched:
                found.append(
                    LineChange(
                        path, source, here, traced.touched, tuple(split(old)), tuple(split(new))
                    )
                )
        return tuple(found), older
