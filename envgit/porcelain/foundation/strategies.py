# SPDX-License-Identifier: Apache-2.0
"""How one or several commits become one state with HEAD's: git's strategies of a merge.

Two states are combined in porcelain/foundation/merging.py; here, one commit after the other, each
against what the commits before it led to (git-merge-octopus.sh).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import ChangesId, CommitId
from envgit.porcelain.foundation import merging
from envgit.porcelain.foundation.mergetext import Merging
from envgit.porcelain.foundation.merging import Combined, Side
from envgit.porcelain.foundation.repository import Repository

OCTOPUS, ORT, OURS = "octopus", "ort", "ours"
NAMES = (OCTOPUS, ORT, OURS, "recursive")


class Unrelated(EnvgitError):
    """The histories have no common commit."""


class NoOctopus(Refused):
    """Of several commits one conflicts: that has to be done one by one."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Joined:
    """HEAD and what is merged into it, as one state with one run configuration.

    ``messages`` are git's lines about single files, and what was not decided about the
    configuration.
    """

    head: CommitId
    merging: tuple[Merging, ...]
    combined: Combined
    config: dict[str, Any]
    messages: tuple[str, ...]

    @property
    def theirs(self) -> tuple[CommitId, ...]:
        return tuple(one.commit for one in self.merging)


class Strategy:
    """One of `NAMES` with its options: ``favour`` as ``-X``, ``allow_unrelated`` histories."""

    def __init__(
        self, repository: Repository, name: str, *, favour: str | None, allow_unrelated: bool
    ) -> None:
        self.repository = repository
        self.name = name
        self.favour = favour
        self.allow_unrelated = allow_unrelated
        # What several merges left to be thrown away besides the last one's scratch.
        self.scratches: list[ChangesId] = []

    def join(self, head: CommitId, theirs: Sequence[Merging]) -> Joined:
        """HEAD's commit with all of ``theirs``. Raises Unrelated, NoOctopus."""
        combined = self.combine(head, theirs, Side.of_commit(self.repository, head, "HEAD"))
        config, undecided = self._config(head, theirs)
        messages = (*combined.messages, *undecided)
        return Joined(head, tuple(theirs), combined, config, messages)

    def combine(self, head: CommitId, theirs: Sequence[Merging], side: Side) -> Combined:
        """``side``, a state that stands on ``head``, with all of ``theirs``, one after the other.

        Raises Unrelated, NoOctopus.
        """
        if self.name == OURS:
            return _as_it_is(side)
        done: list[CommitId] = [head]
        messages: list[str] = []
        combined: Combined | None = None
        for one in theirs:
            if combined is not None:
                side = _after(combined, side.label)
            base = merging.ancestor(self.repository, done, one.commit)
            if base is None:
                base = self._unrelated()
            other = Side.of_commit(self.repository, one.commit, one.name)
            combined = merging.combine(self.repository, base, side, other, favour=self.favour)
            if len(theirs) > 1:
                messages.append(f"Trying simple merge with {one.name}")
            messages += combined.messages
            if combined.conflicts and len(theirs) > 1:
                raise NoOctopus(
                    "Automated merge did not work.\nShould not be doing an octopus.\n"
                    "Merge with strategy octopus failed."
                )
            if combined.scratch is not None:
                self.scratches.append(combined.scratch)
            done.append(one.commit)
        assert combined is not None  # there is something to merge
        return replace(combined, messages=tuple(messages))

    def _unrelated(self) -> Side:
        if not self.allow_unrelated:
            raise Unrelated("refusing to merge unrelated histories")
        return Side.of_commit(self.repository, None, "empty tree")

    def _config(
        self, head: CommitId, theirs: Sequence[Merging]
    ) -> tuple[dict[str, Any], list[str]]:
        """The merged run configuration, and what was not decided about it."""
        git = self.repository.git
        config = dict(git.metadata(head).config)
        said: list[str] = []
        if self.name == OURS:
            return config, said
        for one in theirs:
            bases = git.merge_bases(one.commit, head)
            before = git.metadata(bases[0]).config if bases else {}
            names: list[str] = []
            other = git.metadata(one.commit).config
            config = merging.merged_config(before, config, other, names.append)
            said += [
                f"warning: the run configuration differs in {name}; that of HEAD is kept"
                for name in names
            ]
        return config, said

    def forget_scratches(self) -> None:
        """Delete what merges wrote anew. What was published of it are hard links elsewhere."""
        for scratch in self.scratches:
            if self.repository.store.changes_exist(scratch):
                self.repository.store.delete_changes(scratch)


def _as_it_is(side: Side) -> Combined:
    assert side.tree is not None
    opened = side.contents()
    source = opened.find if opened is not None else _nowhere
    return Combined(side.tree, source, (), (), (), None)


def _after(combined: Combined, label: str) -> Side:
    """What a merge led to, as our side of the next one."""
    return Side(combined.tree, lambda: merging.Sourced(combined.source), label)


def _nowhere(_: bytes) -> None:
    return None
