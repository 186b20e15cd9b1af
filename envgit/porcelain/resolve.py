# SPDX-License-Identifier: Apache-2.0
"""Settle conflicts by hand: mark them, take one side with all of its metadata, make them again.

The sides of a conflict are pointers in the record of what is pending; where their contents are is
found by looking for a file that equals the pointer in the commits that were merged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused
from envgit.layers.apply import overlaid
from envgit.layers.compare import changes
from envgit.layers.entry import Directory, Entry, Kind, Node, find_entry
from envgit.layers.fields import content_of, described, with_content
from envgit.layers.ids import ChangesId, CommitId
from envgit.layers.pathspec import Pathspec
from envgit.layers.select import select
from envgit.porcelain.foundation import landing, merging, pending, snapshot
from envgit.porcelain.foundation.contents import contents
from envgit.porcelain.foundation.merging import Side
from envgit.porcelain.foundation.occupants import check_idle
from envgit.porcelain.foundation.paths import NoMatch, require_match
from envgit.porcelain.foundation.pending import Conflict, Pending
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.diff import is_binary
from envgit.repo.mergefile import TextMerger

if TYPE_CHECKING:
    from envgit.porcelain.foundation.snapshot import Current

OURS, THEIRS, MERGE = "ours", "theirs", "merge"


class NoSuchSide(Refused):
    """A side of a conflict does not have the path."""


class NotUnmerged(Refused):
    """Nothing is in conflict there."""


def mark(
    repository: Repository, paths: Sequence[str | bytes] = (), *, dry_run: bool = False
) -> list[bytes]:
    """Mark the conflicts that ``paths`` (pathspecs; none: all) pick as resolved; which these are.

    Raises EnvgitError for a path that is not there.
    """
    with repository.locked("add"):
        current = snapshot.describe(repository)
        found = pending.read(repository)
        spec = Pathspec.parse(paths)
        there = Node(Entry(Kind.DIR))
        for conflict in found.conflicts if found is not None else ():
            _plant(there, conflict)
        try:
            require_match(spec, (current.head_tree, current.tree, there))
        except NoMatch as error:
            named = error.message.partition(" did not match")[0]
            raise EnvgitError(f"{named} did not match any files") from error
        if found is None:
            return []
        open_ones = pending.unresolved(repository, found, current)
        picked = [one.path for one in open_ones if not spec or spec.matches(one.path)]
        if picked and not dry_run:
            writer = repository.git.writer()
            refs = pending.updates(repository, writer, pending.mark(found, picked))
            names = b" ".join(picked).decode("utf-8", "backslashreplace")
            publish(repository, writer, Publication("add", f"add: {names}", refs=refs))
        return picked


def take(
    repository: Repository,
    paths: Sequence[str | bytes],
    which: str,
    *,
    style: str | None = None,
    verb: str = "restore",
) -> list[bytes]:
    """Make conflicts what they are on one side (``ours``, ``theirs``), which resolves them, or what
    the merge left (``merge``), which makes them again; ``style`` is that of the markers. Of a
    package in conflict all that is the package's comes from that side, in files and databases.

    Returns the paths. Raises NotUnmerged, NoSuchSide, WorktreeBusy.
    """
    with repository.locked(verb):
        check_idle(repository)
        current = snapshot.stable(repository)
        found = pending.read(repository)
        spec = Pathspec.parse(paths)
        picked = [
            one
            for one in (found.conflicts if found is not None else ())
            if not spec or spec.matches(one.path)
        ]
        if found is None or not picked:
            shown = b" ".join(map(os.fsencode, paths)).decode("utf-8", "backslashreplace")
            raise NotUnmerged(f"pathspec '{shown}' matches no path in conflict")
        files = [one for one in picked if one.package is None]
        if len(files) < len(picked):
            packages = [one for one in picked if one.package is not None]
            _take_packages(repository, current, found, packages, which, verb)
            if not files:
                return [one.path for one in picked]
            current = snapshot.stable(repository)
            found = pending.read(repository) or found
        work = _Taking(repository, current, found, style)
        for conflict in files:
            work.take(conflict, which)
        work.land(verb)
        return [one.path for one in picked]


def _take_packages(
    repository: Repository,
    current: Current,
    found: Pending,
    conflicts: Sequence[Conflict],
    which: str,
    verb: str,
) -> None:
    """Make packages what they are on a side; ``merge`` leaves ours and the conflict."""
    from envgit.porcelain.foundation.packages.composing import Split

    commit = _their_commit(repository, found) if which == THEIRS else found.ours
    there = Side.of_commit(repository, commit, which)
    split = Split(repository, Side.of_current(repository, current, "HEAD"), there)
    wanted = {
        (one.package.manager, os.fsencode(one.package.place), one.package.name)
        for one in conflicts
        if one.package is not None
    }
    chosen = []
    for group in split.groups:
        package = group.change.package if group.change is not None else None
        if package is not None and (package.manager, package.place, package.name) in wanted:
            chosen.append(group)
    combined = split.compose(chosen)
    paths = [one.path for one in conflicts]
    marked = pending.mark(found, paths)
    if which == MERGE:
        marked = replace(found, marked=tuple(sorted(set(found.marked) - set(paths))))
    names = ", ".join(sorted(name for _, _, name in wanted))
    landing.as_changes(
        repository,
        repository.git.writer(),
        current,
        combined,
        verb=verb,
        reason=f"{verb}: {names}",
        pending_next=marked,
    )


def _their_commit(repository: Repository, found: Pending) -> CommitId | None:
    """The commit whose state is *theirs*; None: the one before there was any."""
    commit = found.theirs[0]
    if found.verb != pending.REVERT:
        return commit
    parents = repository.git.git_commit(commit).parents
    return parents[(found.options.get("mainline") or 1) - 1] if parents else None


def _plant(root: Node, conflict: Conflict) -> None:
    """Put a conflict's path into a tree that pathspecs are held against."""
    node = root
    for name in conflict.path.split(b"/"):
        assert node.children is not None
        node = node.children.setdefault(name, Node(Entry(Kind.DIR)))


class _Taking:
    """The new entries of some conflicts, and where their contents are."""

    def __init__(
        self, repository: Repository, current: Current, found: Pending, style: str | None
    ) -> None:
        self.repository = repository
        self.current = current
        self.found = found
        self.style = style or merging.conflict_style(repository)
        self.entries: dict[bytes, Entry | None] = {}
        self.places: dict[bytes, Callable[[], bytes | None]] = {}
        self.texts: dict[bytes, bytes] = {}
        self.remade: dict[bytes, Entry] = {}

    def take(self, conflict: Conflict, which: str) -> None:
        path = conflict.path
        if which == MERGE:
            self._merge(conflict)
            return
        entry = conflict.ours if which == OURS else conflict.theirs
        others = (conflict.base, conflict.ours, conflict.theirs)
        if entry is None and (which == OURS or sum(one is not None for one in others) < 2):
            its = "our" if which == OURS else "their"
            raise NoSuchSide(f"path '{_shown(path)}' does not have {its} version")
        if entry is None:
            raise NoSuchSide(
                f"path '{_shown(path)}' does not have their version",
                hint="'rm' it in the environment, then 'envgit add' it, to accept the deletion",
            )
        self._put(path, entry)

    def _put(self, path: bytes, entry: Entry) -> None:
        self.entries[path] = entry.with_links(())
        if entry.kind == Kind.DIR:
            return
        for tree, opened, where in self._candidates(path):
            there = find_entry(tree, where)
            if there is not None and there.same_but_links(entry):
                self.places[path] = partial(_find, opened, where)
                return
        raise EnvgitError(f"the content of '{_shown(path)}' is in none of the commits merged")

    def _merge(self, conflict: Conflict) -> None:
        """The text with its conflict markers, as ``checkout --merge`` makes it."""
        path, sides = conflict.path, (conflict.base, conflict.ours, conflict.theirs)
        texts = [self._text(path, side) for side in sides]
        ours, theirs = texts[1], texts[2]
        if ours is None or theirs is None or conflict.ours is None:
            if conflict.left is None:
                raise NoSuchSide(f"path '{_shown(path)}' does not have all necessary versions")
            self._put(path, conflict.left)
            self.remade[path] = conflict.left.with_links(())
            return
        merger = TextMerger(("base", OURS, THEIRS), style=self.style)
        content = merger.merge(texts[0], ours, theirs).content
        kept = conflict.left if conflict.left is not None else conflict.ours
        made = with_content(kept, described(content)).with_links(())
        self.texts[path] = content
        self.entries[path] = self.remade[path] = made

    def _text(self, path: bytes, entry: Entry | None) -> bytes | None:
        if entry is None or entry.kind != Kind.FILE or entry.size > merging.LARGEST_TEXT:
            return None
        for tree, opened, where in self._candidates(path):
            if content_of(find_entry(tree, where)) == content_of(entry):
                with opened().open(where) as file:
                    data = file.read()
                return None if is_binary(data) else data
        return None

    def _candidates(
        self, path: bytes
    ) -> Iterator[tuple[Directory, Callable[[], merging.Contents], bytes]]:
        """Where a side of a conflict may lie: it was moved aside, perhaps, and reverted."""
        git, current = self.repository.git, self.current
        commits: list[CommitId] = [self.found.ours, *self.found.theirs]
        commits += [parent for one in self.found.theirs for parent in git.git_commit(one).parents]
        for one in self.found.theirs:
            commits += git.merge_bases(one, self.found.ours)
        paths = [path, path.rpartition(b"~")[0]] if b"~" in path else [path]
        for where in paths:
            for commit in dict.fromkeys(commits):
                tree = git.files(commit)
                if tree is not None:
                    yield tree, partial(contents, self.repository, commit), where
        yield current.tree, self._present, path

    def _present(self) -> merging.Contents:
        return snapshot.reader(self.repository, self.current.state.stack, self.current.upper)

    def land(self, verb: str) -> None:
        """Put it all into the worktree; the record knows it then."""
        current, repository = self.current, self.repository
        wanted = _planted(current.tree, self.entries)
        taken = [one for one in changes(current.tree, wanted) if one.path in self.entries]
        target = overlaid(current.tree, select(current.tree, wanted, taken))
        scratch: ChangesId | None = None
        made: dict[bytes, bytes] = {}
        if self.texts:
            files = [(path, self.remade[path], text) for path, text in self.texts.items()]
            scratch, made = merging.write_files(repository, files)
        present = self._present()

        def source(path: bytes) -> bytes | None:
            if path in made:
                return made[path]
            return self.places[path]() if path in self.places else present.find(path)

        combined = merging.Combined(target, source, (), (), (), scratch)
        resolved = [path for path in self.entries if path not in self.remade]
        marked = set(pending.mark(self.found, resolved).marked) - set(self.remade)
        conflicts = tuple(
            replace(one, left=self.remade.get(one.path, one.left)) for one in self.found.conflicts
        )
        names = b" ".join(sorted(self.entries)).decode("utf-8", "backslashreplace")
        landing.as_changes(
            repository,
            repository.git.writer(),
            current,
            combined,
            verb=verb,
            reason=f"{verb}: {names}",
            pending_next=replace(self.found, conflicts=conflicts, marked=tuple(sorted(marked))),
        )


def _find(opened: Callable[[], merging.Contents], path: bytes) -> bytes | None:
    return opened().find(path)


def _planted(tree: Directory, entries: dict[bytes, Entry | None]) -> Directory:
    """``tree`` with these entries in it."""
    root = Node(tree.entry)
    for path, entry in sorted(entries.items()):
        node, above = root, b""
        *parents, name = path.split(b"/")
        for parent in parents:
            above = above + b"/" + parent if above else parent
            assert node.children is not None
            if parent not in node.children:
                there = find_entry(tree, above)
                is_dir = there is not None and there.kind == Kind.DIR
                node.children[parent] = Node(there if is_dir and there else Entry(Kind.DIR, 0o755))
            node = node.children[parent]
        assert node.children is not None and entry is not None
        if entry.kind != Kind.DIR or find_entry(tree, path) != entry:
            node.children[name] = Node(entry)
    return overlaid(tree, root)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
