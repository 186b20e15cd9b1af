# SPDX-License-Identifier: Apache-2.0
"""A plain model of envgit: dictionaries of path -> entry per commit, refs, HEAD, and what is not
committed. What verbs do to it is said here in a few lines each, in the simplest way there is.

Directories at the top are always there. Times are numbers that a counter gives, so that two files
are the same only if they are one; sets of hard links are not part of the model.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Entry = tuple[str, str, int, int]
"""Kind (file, dir, link), content or target, mode, mtime in seconds; 0 for a directory's."""

Files = Mapping[str, Entry]

NEW = "new"
"""Stands for the id of a commit that does not exist yet."""


@dataclass(frozen=True)
class World:
    """All that is compared: HEAD (``refs/heads/x`` or an id), refs, and the worktree's files."""

    head: str
    refs: Mapping[str, str]
    files: Files = field(repr=False)

    @property
    def tip(self) -> str:
        """The id of the commit that HEAD is at."""
        return self.refs[self.head] if self.head.startswith("refs/") else self.head

    def moved(self, commit: str, files: Files | None = None) -> World:
        """With HEAD's branch (or a detached HEAD) at another commit."""
        files = self.files if files is None else files
        if self.head.startswith("refs/"):
            return World(self.head, {**self.refs, self.head: commit}, files)
        return World(commit, self.refs, files)

    def at(self, head: str, files: Files) -> World:
        """With HEAD elsewhere."""
        return World(head, self.refs, files)

    def with_refs(self, changes: Mapping[str, str | None]) -> World:
        """With refs set, or with None deleted."""
        refs = {**self.refs, **{name: oid for name, oid in changes.items() if oid is not None}}
        gone = {name for name, oid in changes.items() if oid is None}
        return replace(self, refs={name: oid for name, oid in refs.items() if name not in gone})

    def resolved(self, commit: str) -> World:
        """With the id in the place of NEW."""
        refs = {name: commit if oid == NEW else oid for name, oid in self.refs.items()}
        return World(commit if self.head == NEW else self.head, refs, self.files)


def changes(old: Files, new: Files) -> set[str]:
    """The paths that differ."""
    return {path for path in {*old, *new} if old.get(path) != new.get(path)}


def within(path: str, specs: Iterable[str]) -> bool:
    """Whether a path is one of ``specs`` or beneath one."""
    return any(path == spec or path.startswith(f"{spec}/") for spec in specs)


def replaced(files: Files, source: Files, specs: Iterable[str]) -> dict[str, Entry]:
    """``files`` with what lies at ``specs`` as it is in ``source``."""
    specs = list(specs)
    kept = {path: entry for path, entry in files.items() if not within(path, specs)}
    taken = {path: entry for path, entry in source.items() if within(path, specs)}
    return whole({**kept, **taken}, taken)


def whole(files: dict[str, Entry], preferred: Iterable[str]) -> dict[str, Entry]:
    """Without what lies beneath something that is no directory."""
    return {
        path: entry
        for path, entry in files.items()
        if all(files.get(above, ("dir",))[0] == "dir" for above in above(path))
    }


def above(path: str) -> list[str]:
    """The directories that a path lies in."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def touch(one: set[str], other: set[str]) -> bool:
    """Whether a path of one set is, lies above or lies beneath one of the other."""
    return any(a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/") for a in one for b in other)


def carried(base: Files, work: Files, target: Files) -> dict[str, Entry] | None:
    """The uncommitted changes on another commit's files; None where both touch the same."""
    mine, theirs = changes(base, work), changes(base, target)
    if touch(mine, theirs):
        return None
    return applied(target, work, mine)


def applied(files: Files, source: Files, paths: set[str]) -> dict[str, Entry]:
    """``files`` with the ``paths`` as they are in ``source``."""
    done = {path: entry for path, entry in files.items() if path not in paths}
    done.update({path: source[path] for path in paths if path in source})
    return done


def merged(base: Files, ours: Files, theirs: Files) -> dict[str, Entry] | None:
    """Three-way, path by path; None where both sides touch the same differently."""
    mine, other = changes(base, ours), changes(base, theirs)
    both = {path for path in mine & other if ours.get(path) == theirs.get(path)}
    if touch(mine - both, other - both):
        return None
    return applied(ours, theirs, other - both)


def look(root: str) -> dict[str, Entry]:
    """The files that are there, as the model has them."""
    found: dict[str, Entry] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            full = os.path.join(folder, name)
            st = os.lstat(full)
            path = os.path.relpath(full, root)
            mode, when = stat.S_IMODE(st.st_mode), int(st.st_mtime)
            if stat.S_ISDIR(st.st_mode):
                found[path] = ("dir", "", mode, 0)
            elif stat.S_ISLNK(st.st_mode):
                found[path] = ("link", os.readlink(full), 0, when)
            else:
                with open(full) as file:
                    found[path] = ("file", file.read(), mode, when)
    return found
