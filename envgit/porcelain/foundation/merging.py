# SPDX-License-Identifier: Apache-2.0
"""Two states and their ancestor made one: what merge, cherry-pick, revert and stash share.

The trees are merged by envgit.layers.threeway; here are their contents, the driver for texts, and
ancestors that are themselves merged (git's *recursive* strategy). What a merge writes anew lies in
a change set of its own, the *scratch*, of which layers get hard links.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from envgit.fs.beneath import hold_parent
from envgit.layers import threeway
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.layers.ids import ChangesId, CommitId
from envgit.layers.making import make_file
from envgit.layers.resolution import Driver, Merged, Reader, Resolution, Sides
from envgit.layers.view import ViewError
from envgit.layers.writer import Writer
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.contents import contents as contents_of
from envgit.porcelain.foundation.packages import databases, disputes, renumber
from envgit.porcelain.foundation.packages.disputes import Plan
from envgit.porcelain.foundation.pending import Conflict
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.diff import is_binary
from envgit.repo.mergefile import STYLES, TextMerger

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current

LARGEST_TEXT = 8 << 20
"""Bytes; larger files are not merged by lines."""

# How many characters a conflict marker gets longer with each merge of bases (ll-merge.c).
_LONGER = 2
_TEMPORARY = ("Temporary merge branch 1", "Temporary merge branch 2")
_EMPTY = "empty tree"


class Contents(Protocol):
    """Files to be read by path."""

    def find(self, path: bytes) -> bytes | None:
        """Where on the host a file is, or None."""

    def open(self, path: bytes) -> BinaryIO:
        """Open a file. Raises EnvgitError if there is none."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the three states; ``tree`` None has no path. ``label`` is what messages and conflict
    markers call it; ``contents`` opens its files when the first is needed."""

    tree: Directory | None
    contents: Callable[[], Contents | None]
    label: str

    @classmethod
    def of_commit(cls, repository: Repository, commit: CommitId | None, label: str) -> Side:
        """A commit's state; None stands for the state before there was any."""
        if commit is None:
            return cls(None, _nothing, label)
        opened = cache(lambda: contents_of(repository, commit))
        return cls(repository.git.rootfs(commit), opened, label)

    @classmethod
    def of_current(cls, repository: Repository, current: Current, label: str) -> Side:
        """The worktree with what is uncommitted."""
        opened = cache(lambda: snapshot.reader(repository, current.state.stack, current.upper))
        return cls(current.tree, opened, label)


@dataclass(frozen=True, slots=True)
class Combined:
    """A merged state.

    ``source`` tells where on the host a file of ``tree`` is; ``merged`` are the paths whose content
    was merged; ``messages`` what git says. ``scratch`` is a change set with what was written anew:
    who publishes discards it, and nobody else needs to (``gc`` would).
    """

    tree: Directory
    source: Callable[[bytes], bytes | None]
    conflicts: tuple[Conflict, ...]
    merged: tuple[bytes, ...]
    messages: tuple[str, ...]
    scratch: ChangesId | None


class Sourced:
    """Files whose places on the host somebody tells."""

    def __init__(self, source: Callable[[bytes], bytes | None]) -> None:
        self.find = source

    def open(self, path: bytes) -> BinaryIO:
        """Open a file; `ViewError` if there is none."""
        place = self.find(path)
        if place is None:
            raise ViewError(f"{os.fsdecode(path)!r} does not exist in this state")
        with hold_parent(place) as (parent, name):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return open(os.open(name, flags, dir_fd=parent), "rb")


def combine(
    repository: Repository,
    base: Side,
    ours: Side,
    theirs: Side,
    *,
    favour: str | None = None,
) -> Combined:
    """Merge ``theirs`` into ``ours``. Costs what differs from ``base``.

    ``favour`` (``ours``, ``theirs``) settles conflicts of content and of packages for that side,
    as git's ``-X``; with ``newest`` in it packages in two versions are the newer. The caller holds
    the worktree's lock. Raises MissingLayer where contents are needed that are not in the store.
    """
    merged, plan = _merge(repository, base, ours, theirs, favour=favour, depth=0)
    scratch: ChangesId | None = None
    made: dict[bytes, bytes] = {}
    if merged.made:
        scratch, made = write_files(repository, _written(merged, _by_name(base, ours, theirs)))
    mine, its = ours.contents, {"theirs": theirs.contents, "base": base.contents}

    def source(path: bytes) -> bytes | None:
        if path in made:
            return made[path]
        side, there = merged.origins.get(path, ("ours", path))
        opened = its.get(side, mine)()
        return opened.find(there) if opened is not None else None

    conflicts = {
        one.path: Conflict(one.path, one.kind, one.base, one.ours, one.theirs, one.left)
        for one in merged.conflicts
    }
    for disputed in plan.conflicts:
        left = find_entry(merged.tree, disputed.path)
        conflicts[disputed.path] = disputes.as_conflict(disputed, left)
    messages = [*plan.messages, *merged.messages]
    if plan.both and not conflicts:
        state = Side(merged.tree, _always(Sourced(source)), "the merge")
        broken, said = disputes.newly_broken(repository, ours, theirs, state)
        conflicts = {one.path: one for one in broken}
        messages += said
    return Combined(
        tree=merged.tree,
        source=source,
        conflicts=tuple(conflicts[path] for path in sorted(conflicts)),
        merged=merged.merged,
        messages=tuple(messages),
        scratch=scratch,
    )


def ancestor(
    repository: Repository, ours: CommitId | Sequence[CommitId], theirs: CommitId
) -> Side | None:
    """The base for a merge of two commits, or of ``theirs`` into several that are merged already;
    None when they have no common history.

    Several merge bases are merged first, as git's *recursive* does: conflicts of texts stay in them
    as marked text, anything else that conflicts is as in *their* base.
    """
    several = (ours,) if isinstance(ours, str) else ours
    return _ancestor(repository, several, theirs, depth=1)


def merged_config(
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    clash: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The run configuration, merged key by key, ``Env`` by variable, other objects by their keys.

    Where both sides changed a key differently, ours stays and ``clash`` is told its name.
    """
    return _merge_keys("", base, ours, theirs, clash or _ignore)


# -- three-way ------------------------------------------------------------------------------------


def _nothing() -> None:
    return None


def _ignore(_: str) -> None:
    return None


def _by_name(base: Side, ours: Side, theirs: Side) -> dict[str, Side]:
    return {"base": base, "ours": ours, "theirs": theirs}


def _merge(
    repository: Repository,
    base: Side,
    ours: Side,
    theirs: Side,
    *,
    favour: str | None,
    depth: int,
) -> tuple[Merged, Plan]:
    sides = _by_name(base, ours, theirs)
    labels = (ours.label, theirs.label)
    newest, favour = disputes.favoured(favour)
    plan = disputes.plan(
        repository, base, ours, theirs, favour=favour, newest=newest, virtual=depth > 0
    )
    names = base.label, *labels
    text = _text_driver(repository, names, favour, depth)
    undecided = _text_driver(repository, names, favour, depth, hunks=False)

    def read(side: str, path: bytes, limit: int = LARGEST_TEXT) -> bytes | None:
        opened = sides[side].contents()
        if opened is None:
            return None
        with opened.open(path) as file:
            data = file.read(limit + 1)
        return data if len(data) <= limit else None

    mine = ours.tree or _emptied(base.tree or theirs.tree)
    its = theirs.tree or _emptied(base.tree or ours.tree)
    fitted = renumber.renumbered(base.tree, mine, its, read, theirs.label)
    rewriting = databases.rewriting(read, fitted.numbers, fitted.moved)
    merged = threeway.merge(
        fitted.base,
        mine,
        fitted.tree,
        settle=databases.Settling(
            (fitted.base, mine, fitted.tree), plan, rewriting, labels, favour, fitted.numbers
        ),
        remade=fitted.remade,
        drivers=(databases.driver(plan, labels, rewriting, favour, undecided), text),
        reader=read,
        labels=labels,
        favour=favour,
        virtual=depth > 0,
    )
    return replace(merged, messages=(*fitted.messages, *merged.messages)), plan


def _emptied(tree: Directory | None) -> Node:
    """A side before there was anything, as where a first commit is reverted or something is picked
    onto a branch without commits. The root directory itself is in every state, so it is that of
    ``tree``."""
    return Node(tree.entry if tree is not None else Entry(Kind.DIR, 0o755))


def conflict_style(repository: Repository) -> str:
    """``merge.conflictStyle``; git's default for anything else."""
    style = repository.settings.get("merge.conflictstyle") or STYLES[0]
    return style if style in STYLES else STYLES[0]


def _text_driver(
    repository: Repository,
    labels: tuple[str, str, str],
    favour: str | None,
    depth: int,
    *,
    hunks: bool = True,
) -> Driver:
    """Merges texts by line, and says of everything else in git's words that it cannot. Without
    ``hunks`` a side is favoured only in what is no text, which is taken as a whole."""

    @cache
    def merger() -> TextMerger:
        style = conflict_style(repository)
        favoured = favour if hunks else None
        return TextMerger(labels, style=style, favour=favoured, extra=depth * _LONGER)

    def drive(sides: Sides, read: Reader) -> Resolution | None:
        ours, theirs = sides.ours, sides.theirs
        if ours is None or theirs is None or ours.kind != Kind.FILE or theirs.kind != Kind.FILE:
            return None
        name = sides.path.decode("utf-8", "backslashreplace")
        auto = f"Auto-merging {name}"
        texts = _texts(sides, read)
        if texts is None:
            if favour is not None:
                return Resolution(theirs if favour == "theirs" else ours, messages=(auto,))
            if depth:
                return None
            what = f"warning: Cannot merge binary files: {name} ({labels[1]} vs. {labels[2]})"
            return Resolution(ours, conflict=threeway.CONTENT, messages=(what, auto))
        made = merger().merge(*texts)
        conflict = None if made.clean else threeway.CONTENT
        for side, text in ((ours, texts[1]), (theirs, texts[2])):
            if made.content == text:
                return Resolution(side, conflict=conflict, messages=(auto,))
        return Resolution(ours, made.content, conflict, (auto,))

    return drive


def _texts(sides: Sides, read: Reader) -> tuple[bytes, bytes, bytes] | None:
    """The three texts, a missing base as an empty one; None when one of them is no text."""
    found = []
    for side, entry in (("base", sides.base), ("ours", sides.ours), ("theirs", sides.theirs)):
        if entry is None or entry.kind != Kind.FILE:
            found.append(b"")
            continue
        text = read(side, sides.path) if entry.size <= LARGEST_TEXT else None
        if text is None or is_binary(text):
            return None
        found.append(text)
    return found[0], found[1], found[2]


def write_files(
    repository: Repository, files: Iterable[tuple[bytes, Entry, bytes | BinaryIO | None]]
) -> tuple[ChangesId, dict[bytes, bytes]]:
    """Make files (path, entry, content of a regular one) in a scratch change set of their own:
    which, and where each path lies on the host. The caller discards it."""
    scratch = repository.store.new_changes()
    upper = os.fsencode(repository.store.upper_path(scratch))
    made: dict[bytes, bytes] = {}
    with Writer(upper) as writer:
        for number, (path, entry, content) in enumerate(files):
            name = b"%d" % number
            make_file(writer, name, entry, content)
            made[path] = upper + b"/" + name
    return scratch, made


def _written(
    merged: Merged, sides: Mapping[str, Side]
) -> Iterator[tuple[bytes, Entry, bytes | BinaryIO | None]]:
    """What no side has, and what goes into it."""
    for path in merged.made:
        entry = find_entry(merged.tree, path)
        if entry is None:
            continue  # beneath something that took the place of its directory
        content = merged.contents.get(path)
        if content is not None or entry.kind != Kind.FILE:
            yield path, entry, content
            continue
        side, there = merged.origins.get(path, ("ours", path))
        opened = sides[side].contents()
        assert opened is not None  # the side has this file
        with opened.open(there) as file:
            yield path, entry, file


# -- several merge bases --------------------------------------------------------------------------


class _Virtual:
    """The files of a base that was merged of others."""

    def __init__(self, merged: Merged, sides: Mapping[str, Side]) -> None:
        self._merged = merged
        self._sides = sides

    def find(self, path: bytes) -> bytes | None:
        if path in self._merged.contents:
            return None
        side, there = self._merged.origins.get(path, ("ours", path))
        opened = self._sides[side].contents()
        return opened.find(there) if opened is not None else None

    def open(self, path: bytes) -> BinaryIO:
        content = self._merged.contents.get(path)
        if content is not None:
            return io.BytesIO(content)
        side, there = self._merged.origins.get(path, ("ours", path))
        opened = self._sides[side].contents()
        assert opened is not None  # a path of the merged tree is some side's
        return opened.open(there)


def _ancestor(
    repository: Repository, ours: Sequence[CommitId], theirs: CommitId, *, depth: int
) -> Side | None:
    """The base of ``theirs`` and a merge of ``ours``; ``depth`` counts merges of bases."""
    git = repository.git
    # Oldest first, as git does (merge-ort.c, merge_ort_internal).
    bases = list(reversed(git.merge_bases(theirs, *ours)))
    if not bases:
        return None
    first = bases[0]
    base = Side.of_commit(repository, first, git.abbrev(first))
    for count, other in enumerate(bases[1:], 1):
        below = _ancestor(repository, bases[:count], other, depth=depth + 1)
        below = below or Side.of_commit(repository, None, _EMPTY)
        ours_side = Side(base.tree, base.contents, _TEMPORARY[0])
        theirs_side = Side.of_commit(repository, other, _TEMPORARY[1])
        merged, _ = _merge(repository, below, ours_side, theirs_side, favour=None, depth=depth)
        virtual = _Virtual(merged, _by_name(below, ours_side, theirs_side))
        base = Side(merged.tree, _always(virtual), "merged common ancestors")
    return base


def _always(contents: Contents) -> Callable[[], Contents]:
    return lambda: contents


# -- configuration --------------------------------------------------------------------------------


def _merge_keys(
    prefix: str,
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    clash: Callable[[str], None],
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in dict.fromkeys((*ours, *theirs)):
        old, one, other = base.get(key), ours.get(key), theirs.get(key)
        if one == other or other == old:
            value = one
        elif one == old:
            value = other
        elif not prefix and key == "Env" and _are(list, old, one, other):
            before, here, there = (_variables(value) for value in (old, one, other))
            value = list(_merge_keys("Env ", before, here, there, clash).values())
        elif _are(dict, old, one, other):
            value = _merge_keys(f"{prefix}{key} ", old or {}, one or {}, other or {}, clash)
        else:
            clash(prefix + key)
            value = one
        if value is not None:
            merged[key] = value
    return merged


def _are(kind: type, *values: object) -> bool:
    return all(value is None or isinstance(value, kind) for value in values)


def _variables(env: Sequence[str] | None) -> dict[str, str]:
    """``NAME=value`` by name; of two of one name the last counts, as for execve(2)'s readers."""
    return {variable.partition("=")[0]: variable for variable in env or ()}
