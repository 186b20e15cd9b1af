# SPDX-License-Identifier: Apache-2.0
"""Names a commit after a tag: the nearest one before it, or with ``contains`` one after it.

Which tag counts as nearest follows git: commits are walked newest first, the first tags met are
candidates, and the one from which the fewest walked commits are out of reach wins. Source:
git-describe(1), "SEARCH STRATEGY", and git-name-rev(1); compared with both on random histories.
"""

from __future__ import annotations

import fnmatch
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.naming import refs_of
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import ObjectMissing, Tag
from envgit.repo.refnames import HEADS, REMOTES, TAGS
from envgit.repo.traversal import Point

MOST_CANDIDATES = 26
"""As git: a candidate needs a bit of its own."""
_MERGE_WEIGHT = 65535
_SLOP = 86400


class CannotDescribe(EnvgitError):
    """No tag leads to the commit, or none is at it."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How to describe; git-describe's options. ``abbrev`` None is git's own number of digits."""

    tags: bool = False
    all: bool = False
    long: bool = False
    always: bool = False
    contains: bool = False
    dirty: str | None = None
    abbrev: int | None = None
    candidates: int = 10
    match: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first_parent: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """``text`` is the description; ``ref`` the tag's or ref's full name and ``depth`` how many
    commits are not in it (None without one). ``warning`` is what there is to say about the tag."""

    text: str
    commit: CommitId
    ref: str | None = None
    depth: int | None = None
    warning: str = ""


def describe(
    repository: Repository, revision: str | None = None, naming: Naming | None = None
) -> Described:
    """Describe ``revision`` (None: HEAD, with ``dirty`` appended when something is uncommitted).

    Raises CannotDescribe in git's words, UnknownRevision.
    """
    naming = naming or Naming()
    commit = repository.git.resolve(revision or "HEAD")
    if naming.contains:
        return _Contained(repository, naming).describe(commit)
    suffix = ""
    if naming.dirty is not None and revision is None and snapshot.describe(repository).changes:
        suffix = naming.dirty
    return _Describer(repository, naming, head=revision is None).describe(commit, suffix)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a commit is known as: ``prio`` 2 for annotated tags, 1 for light ones, 0 for others."""

    ref: str
    prio: int
    tag: Tag | None


class _Describer:
    def __init__(self, repository: Repository, naming: Naming, *, head: bool) -> None:
        self._git = repository.git
        self._naming = naming
        self._head = head
        self._names: dict[CommitId, _Known] = {}
        for ref, oid in refs_of(repository, "all").items():
            if _picked(ref, naming):
                self._add(ref, oid)

    def _add(self, ref: str, oid: str) -> None:
        tag = self._git.tag(oid)
        try:
            commit = self._git.peel(oid)
        except ObjectMissing:
            return  # a tag of something else
        prio = 2 if tag is not None else int(ref.startswith(TAGS))
        known = self._names.get(commit)
        if known is None or known.prio < prio or (prio == 2 and _newer(tag, known.tag)):
            self._names[commit] = _Known(ref, prio, tag)

    def describe(self, commit: CommitId, suffix: str) -> Described:
        naming = self._naming
        if not self._names and not naming.always:
            raise CannotDescribe("No names found, cannot describe anything.")
        if naming.dirty is not None and not self._head:
            raise CannotDescribe("option '--dirty' and commit-ishes cannot be used together")
        exact = self._names.get(commit)
        if exact is not None and self._usable(exact):
            name, warning = self._name(exact)
            text = name
            if warning or naming.long:
                target = exact.tag.target if exact.tag is not None else commit
                text += self._ending(0, target)
            return Described(text + suffix, commit, exact.ref, 0, warning)
        if naming.candidates <= 0:
            raise CannotDescribe(f"no tag exactly matches '{commit}'")
        best = self._search(commit)
        if best is None:
            return Described(self._short(commit) + suffix, commit)
        known, depth = best
        name, warning = self._name(known)
        ending = self._ending(depth, commit) if warning or naming.abbrev != 0 else ""
        return Described(name + ending + suffix, commit, known.ref, depth, warning)

    def _usable(self, known: _Known) -> bool:
        return self._naming.tags or self._naming.all or known.prio == 2

    def _search(self, commit: CommitId) -> tuple[_Known, int] | None:
        walk = _Walk(self._git.point, commit, first_parent=self._naming.first_parent)
        unannotated = annotated = 0
        given_up = None
        found: list[_Candidate] = []
        while walk.waiting():
            here = walk.pop()
            known = self._names.get(here)
            if known is not None and not self._usable(known):
                unannotated += 1
            elif known is not None and len(found) < min(self._naming.candidates, MOST_CANDIDATES):
                bit = 1 << len(found)
                found.append(_Candidate(known, bit, walk.seen - 1))
                walk.reached[here] |= bit
                annotated += known.prio == 2
            elif known is not None:
                given_up = here
                break
            reached = walk.reached[here]
            for candidate in found:
                candidate.depth += not reached & candidate.bit
            if annotated and not walk.waiting() and _covered(found, reached):
                break
            walk.go_on(here)
        if not found:
            self._check_always(commit, unannotated)
            return None
        best = min(found, key=lambda one: one.depth)  # of equal ones the first found
        if given_up is not None:
            walk.push(given_up)
        walk.finish(best)
        return best.known, best.depth

    def _check_always(self, commit: CommitId, unannotated: int) -> None:
        if self._naming.always:
            return
        if unannotated:
            raise CannotDescribe(
                f"No annotated tags can describe '{commit}'.\n"
                "However, there were unannotated tags: try --tags."
            )
        raise CannotDescribe(
            f"No tags can describe '{commit}'.\nTry --always, or create some tags."
        )

    def _name(self, known: _Known) -> tuple[str, str]:
        """What the tag calls itself, and a warning where its ref calls it otherwise."""
        path = known.ref.removeprefix("refs/" if self._naming.all else TAGS)
        if known.tag is None:
            return path, ""
        warning = ""
        if known.tag.name != known.ref.removeprefix(TAGS):
            warning = f"tag '{path}' is externally known as '{known.tag.name}'"
        return ("tags/" if self._naming.all else "") + known.tag.name, warning

    def _ending(self, depth: int, commit: str) -> str:
        return f"-{depth}-g{self._short(commit)}"

    def _short(self, commit: str) -> str:
        abbrev = self._naming.abbrev
        return commit if abbrev == 0 else self._git.abbrev(commit, abbrev)


@dataclass(slots=True)
class _Candidate:
    known: _Known
    bit: int
    depth: int


def _covered(found: Sequence[_Candidate], reached: int) -> bool:
    """Whether the best candidates so far all lead to the commit that is the last one waiting."""
    best = min(one.depth for one in found)
    bits = 0
    for one in found:
        if one.depth == best:
            bits |= one.bit
    return reached & bits == bits


class _Walk:
    """Commits newest first, each with the bits of the candidates that lead to it."""

    def __init__(
        self, point: Callable[[CommitId], Point], start: CommitId, *, first_parent: bool
    ) -> None:
        self._point = point
        self._first_parent = first_parent
        self._ticket = count()
        self._queue: list[tuple[int, int, CommitId]] = []
        self.reached: dict[CommitId, int] = {start: 0}
        self.seen = 0
        self.push(start)

    def waiting(self) -> bool:
        return bool(self._queue)

    def push(self, commit: CommitId) -> None:
        time = self._point(commit).time
        heapq.heappush(self._queue, (-time, next(self._ticket), commit))

    def pop(self) -> CommitId:
        self.seen += 1
        return heapq.heappop(self._queue)[2]

    def go_on(self, commit: CommitId, *, all_parents: bool = False) -> None:
        parents = self._point(commit).parents
        if self._first_parent and not all_parents:
            parents = parents[:1]
        for parent in parents:
            if parent not in self.reached:
                self.reached[parent] = 0
                self.push(parent)
            self.reached[parent] |= self.reached[commit]

    def finish(self, best: _Candidate) -> None:
        """Walk on until all that waits is reached from ``best``; the rest adds to its depth."""
        while self._queue:
            here = self.pop()
            inside = bool(self.reached[here] & best.bit)
            if inside and all(self.reached[item[2]] & best.bit for item in self._queue):
                return
            best.depth += not inside
            self.go_on(here, all_parents=True)


def _picked(ref: str, naming: Naming) -> bool:
    patterns = naming.match or naming.exclude
    name = ref
    if ref.startswith(TAGS):
        name = ref.removeprefix(TAGS)
    elif not naming.all:
        return False
    elif patterns:
        for prefix in (HEADS, REMOTES):
            if ref.startswith(prefix):
                name = ref.removeprefix(prefix)
                break
        else:
            return False
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in naming.exclude):
        return False
    return not naming.match or any(fnmatch.fnmatchcase(name, one) for one in naming.match)


def _newer(tag: Tag | None, other: Tag | None) -> bool:
    return _date(tag) > _date(other)


def _date(tag: Tag | None) -> int:
    return tag.tagger.time if tag is not None and tag.tagger is not None else 0


# Names after the commit ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tip:
    ref: str
    commit: CommitId
    date: int
    from_tag: bool
    annotated: bool
    name: str


@dataclass(slots=True)
class _Reached:
    """How a commit is named: the ``generation``-th first parent of what ``tip`` names."""

    tip: str
    date: int
    generation: int
    distance: int
    from_tag: bool
    ref: str

    @property
    def text(self) -> str:
        return f"{self.tip.removesuffix('^0')}~{self.generation}" if self.generation else self.tip

    def parent(self, number: int) -> str:
        tip = self.tip.removesuffix("^0")
        return f"{tip}~{self.generation}^{number}" if self.generation else f"{tip}^{number}"


class _Contained:
    """``describe --contains``: names relative to what came later, as git-name-rev finds them."""

    def __init__(self, repository: Repository, naming: Naming) -> None:
        self._git = repository.git
        self._naming = naming
        self._names: dict[CommitId, _Reached] = {}
        self._refs = refs_of(repository, "all")

    def describe(self, commit: CommitId) -> Described:
        oldest = self._git.point(commit).time - _SLOP
        # Tags before others, of tags the oldest first.
        for tip in sorted(self._tips(), key=lambda one: (not one.from_tag, one.date)):
            self._name(tip, oldest)
        found = self._names.get(commit)
        if found is not None:
            return Described(found.text, commit, found.ref)
        if self._naming.always:
            return Described(self._git.abbrev(commit), commit)
        raise CannotDescribe(f"cannot describe '{commit}'")

    def _tips(self) -> list[_Tip]:
        found = []
        for ref, oid in self._refs.items():
            from_tag = ref.startswith(TAGS)
            if (not from_tag and not self._naming.all) or not self._fits(ref):
                continue
            tag = self._git.tag(oid)
            try:
                commit = self._git.peel(oid)
            except ObjectMissing:
                continue
            date = _date(tag) if tag is not None else self._git.point(commit).time
            name = ref.removeprefix("refs/").removeprefix("heads/")
            if not self._naming.all:
                name = ref.removeprefix(TAGS)
            found.append(_Tip(ref, commit, date, from_tag, tag is not None, name))
        return found

    def _fits(self, ref: str) -> bool:
        if self._naming.all:
            return True
        name = ref.removeprefix(TAGS)
        if any(fnmatch.fnmatchcase(name, one) for one in self._naming.exclude):
            return False
        match = self._naming.match
        return not match or any(fnmatch.fnmatchcase(name, one) for one in match)

    def _name(self, tip: _Tip, oldest: int) -> None:
        text = tip.name + ("^0" if tip.annotated else "")
        start = _Reached(text, tip.date, 0, 0, tip.from_tag, tip.ref)
        if self._git.point(tip.commit).time < oldest or not self._take(tip.commit, start):
            return
        stack = [tip.commit]
        while stack:
            commit = stack.pop()
            here = self._names[commit]
            fresh = []
            for number, parent in enumerate(self._git.point(commit).parents, 1):
                if self._git.point(parent).time < oldest:
                    continue
                new = _Reached(
                    here.tip, tip.date, here.generation + 1, here.distance + 1,
                    tip.from_tag, tip.ref,
                )  # fmt: skip
                if number > 1:
                    far = here.distance + _MERGE_WEIGHT
                    new = _Reached(here.parent(number), tip.date, 0, far, tip.from_tag, tip.ref)
                if self._take(parent, new):
                    fresh.append(parent)
            stack += reversed(fresh)

    def _take(self, commit: CommitId, new: _Reached) -> bool:
        old = self._names.get(commit)
        if old is not None and not _is_better(old, new):
            return False
        self._names[commit] = new
        return True


def _is_better(old: _Reached, new: _Reached) -> bool:
    before = old.distance + (_MERGE_WEIGHT if old.generation > 0 else 0)
    after = new.distance + (_MERGE_WEIGHT if new.generation > 0 else 0)
    if old.from_tag and new.from_tag:
        # The older tag, be it farther away: in it the commit came first.
        return (old.date, before) > (new.date, after)
    if old.from_tag != new.from_tag:
        return new.from_tag
    if before != after:
        return before > after
    return old.date > new.date
