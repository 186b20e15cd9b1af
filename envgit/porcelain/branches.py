# SPDX-License-Identifier: Apache-2.0
"""Branches and tags: list, make, move, rename and delete them, with git's checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import linking
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.commits import subject_of
from envgit.repo.refnames import HEADS, SYMBOLIC, TAGS, check_branch, check_tag
from envgit.repo.refs import HeadUpdate, RefUpdate


class NotMerged(Refused):
    """A branch holds commits that would be lost to sight with it."""


class NoSuchRef(Refused):
    """No branch or tag of that name."""


class RefExists(EnvgitError):
    """There is such a branch or tag already."""


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch: where it points, whether HEAD is on it, and the folder of another worktree that
    is on it, if one is."""

    name: str
    commit: CommitId
    subject: str
    current: bool
    worktree: str | None = None


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A tag: what it names, and the message of an annotated one."""

    name: str
    commit: CommitId
    annotated: bool
    message: str

    @property
    def subject(self) -> str:
        """The message's first paragraph in one line."""
        return subject_of(self.message)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, and where it pointed."""

    name: str
    commit: CommitId


# -- branches -------------------------------------------------------------------------------------


def list_branches(
    repository: Repository,
    *,
    patterns: Sequence[str] = (),
    contains: str | None = None,
    no_contains: str | None = None,
    merged: str | None = None,
    no_merged: str | None = None,
    points_at: str | None = None,
) -> list[BranchInfo]:
    """The branches in the order of their names, filtered as git's ``branch --list`` does."""
    git = repository.git
    head = git.head()
    taken = linking.occupied(repository)
    listed = [(ref, CommitId(oid)) for ref, oid in _matching(repository, HEADS, patterns)]
    passing = _passing(
        repository, {oid for _, oid in listed}, contains, no_contains, merged, no_merged, points_at
    )
    found = []
    for ref, oid in listed:
        if oid not in passing:
            continue
        name = ref.removeprefix(HEADS)
        subject, current = git.commit(oid).subject, ref == head.symbolic
        elsewhere = None if current else taken.get(ref)
        found.append(BranchInfo(name, oid, subject, current, elsewhere))
    return found


def create_branch(
    repository: Repository, name: str, start: str = "HEAD", *, force: bool = False
) -> None:
    """Make branch ``name`` at ``start``, or with ``force`` move it there."""
    with repository.locked("branch"):
        git = repository.git
        check_branch(name)
        commit = git.resolve(start)
        old = git.ref(HEADS + name)
        if old is not None and not force:
            raise RefExists(f"a branch named '{name}' already exists")
        _check_unused(repository, name)
        reason = f"branch: {'Reset to' if old else 'Created from'} {start}"
        _publish(repository, "branch", reason, [RefUpdate(HEADS + name, old, commit, reason)])


def _check_unused(repository: Repository, name: str) -> None:
    """Raise EnvgitError when a worktree, this one or another, is on the branch."""
    where = linking.occupied(repository).get(HEADS + name)
    if repository.git.head().symbolic == HEADS + name:
        where = repository.project
    if where is not None:
        raise EnvgitError(f"cannot force update the branch '{name}' checked out at '{where}'")


def rename_branch(
    repository: Repository, old_name: str | None, new_name: str, *, force: bool = False
) -> None:
    """Rename a branch (default: the current one), with its reflog. HEAD follows."""
    with repository.locked("branch"):
        git = repository.git
        head = git.head()
        if old_name is None:
            if head.branch is None:
                raise EnvgitError("cannot rename the current branch while not on any")
            old_name = head.branch
        check_branch(new_name)
        commit = git.ref(HEADS + old_name)
        if commit is None:
            if head.branch != old_name:
                raise EnvgitError(f"no branch named '{old_name}'")
            raise EnvgitError(f"no commit on branch '{old_name}' yet")
        taken = git.ref(HEADS + new_name)
        if taken is not None and new_name != old_name and not force:
            raise RefExists(f"a branch named '{new_name}' already exists")
        if new_name == old_name:
            return
        _check_unused(repository, new_name)
        reason = f"Branch: renamed {HEADS}{old_name} to {HEADS}{new_name}"
        refs = [
            RefUpdate(HEADS + new_name, taken, commit, reason),
            RefUpdate(HEADS + old_name, commit, None, reason),
        ]
        for each in linking.worktrees(repository):
            if each.branch == old_name and each.place != repository.path:
                there = f"worktrees/{each.name}" if each.name else "main-worktree"
                was, now = (SYMBOLIC + HEADS + name for name in (old_name, new_name))
                refs.append(RefUpdate(f"{there}/HEAD", was, now, reason))
        follows = head.symbolic == HEADS + old_name
        update = None
        if follows:
            update = HeadUpdate(f"ref: {HEADS}{old_name}", f"ref: {HEADS}{new_name}", reason)
        _publish(repository, "branch", reason, refs, update)


def copy_branch(
    repository: Repository, old_name: str | None, new_name: str, *, force: bool = False
) -> None:
    """A second branch at the commit of the first (default: the current one)."""
    head = repository.git.head()
    source = old_name or head.branch
    if source is None:
        raise EnvgitError("cannot copy the current branch while not on any")
    if repository.git.ref(HEADS + source) is None:
        raise EnvgitError(f"no branch named '{source}'")
    create_branch(repository, new_name, HEADS + source, force=force)


def delete_branches(
    repository: Repository, names: Sequence[str], *, force: bool = False
) -> list[Deleted]:
    """Delete branches; without ``force`` only those whose commits HEAD has too.

    Raises NoSuchRef, NotMerged, and Refused for the branch that HEAD is on; nothing is deleted
    then.
    """
    with repository.locked("branch"):
        git = repository.git
        head = git.head()
        taken = linking.occupied(repository)
        deleted = []
        for name in names:
            commit = git.ref(HEADS + name)
            if commit is None:
                raise NoSuchRef(f"branch '{name}' not found.")
            if head.symbolic == HEADS + name:
                raise Refused(
                    f"Cannot delete branch '{name}' checked out at '{repository.project}'"
                )
            if HEADS + name in taken:
                raise Refused(
                    f"Cannot delete branch '{name}' checked out at '{taken[HEADS + name]}'"
                )
            if not force and not (head.commit and git.is_ancestor(commit, head.commit)):
                raise NotMerged(
                    f"The branch '{name}' is not fully merged.\n"
                    f"If you are sure you want to delete it, run 'envgit branch -D {name}'."
                )
            deleted.append(Deleted(name, CommitId(commit)))
        return _delete(repository, "branch", HEADS, deleted)


# -- tags -----------------------------------------------------------------------------------------


def list_tags(
    repository: Repository,
    *,
    patterns: Sequence[str] = (),
    contains: str | None = None,
    points_at: str | None = None,
) -> list[TagInfo]:
    """The tags in the order of their names."""
    git = repository.git
    listed = []
    for ref, oid in _matching(repository, TAGS, patterns):
        tag = git.tag(oid)
        listed.append((ref, CommitId(tag.target if tag is not None else oid), tag))
    commits = {commit for _, commit, _ in listed}
    passing = _passing(repository, commits, contains, None, None, None, points_at)
    found = []
    for ref, commit, tag in listed:
        if commit not in passing:
            continue
        name = ref.removeprefix(TAGS)
        message = tag.message if tag is not None else git.commit(commit).message
        found.append(TagInfo(name, commit, tag is not None, message))
    return found


def create_tag(
    repository: Repository,
    name: str,
    target: str = "HEAD",
    *,
    message: str | None = None,
    force: bool = False,
) -> CommitId | None:
    """Make a tag: annotated with ``message``, else light. Returns what a moved tag named before."""
    with repository.locked("tag"):
        git = repository.git
        check_tag(name)
        commit = git.resolve(target)
        old = git.ref(TAGS + name)
        if old is not None and not force:
            raise RefExists(f"tag '{name}' already exists")
        writer = git.writer()
        who = repository.signature()
        new: str = commit
        if message is not None:
            if not message.strip():
                raise EnvgitError("no tag message?")
            new = writer.add_tag(commit, name, who, message.rstrip("\n") + "\n")
        reason = f"tag: {name}"
        publish(
            repository,
            writer,
            Publication(
                verb="tag", description=reason, refs=[RefUpdate(TAGS + name, old, new, reason)]
            ),
            who,
        )
        return CommitId(old) if old is not None and old != new else None


def delete_tags(repository: Repository, names: Sequence[str]) -> list[Deleted]:
    """Delete tags. Raises NoSuchRef, and deletes nothing then."""
    with repository.locked("tag"):
        deleted = []
        for name in names:
            oid = repository.git.ref(TAGS + name)
            if oid is None:
                raise NoSuchRef(f"tag '{name}' not found.")
            deleted.append(Deleted(name, CommitId(oid)))
        return _delete(repository, "tag", TAGS, deleted)


def _delete(
    repository: Repository, verb: str, prefix: str, deleted: list[Deleted]
) -> list[Deleted]:
    reason = f"{verb}: deleted {', '.join(each.name for each in deleted)}"
    refs = [RefUpdate(prefix + each.name, each.commit, None, reason) for each in deleted]
    _publish(repository, verb, reason, refs)
    return deleted


def _publish(
    repository: Repository,
    verb: str,
    reason: str,
    refs: list[RefUpdate],
    head: HeadUpdate | None = None,
) -> None:
    publish(
        repository,
        repository.git.writer(),
        Publication(verb=verb, description=reason, refs=refs, head=head),
    )


def _matching(
    repository: Repository, prefix: str, patterns: Sequence[str]
) -> list[tuple[str, str]]:
    """(full name, object id) of the refs whose short name one of the patterns matches, if any."""
    return [
        (ref, oid)
        for ref, oid in sorted(repository.git.refs(prefix).items())
        if not patterns
        or any(fnmatchcase(ref.removeprefix(prefix), pattern) for pattern in patterns)
    ]


def _passing(
    repository: Repository,
    commits: set[CommitId],
    contains: str | None,
    no_contains: str | None,
    merged: str | None,
    no_merged: str | None,
    points_at: str | None,
) -> set[CommitId]:
    """Those of the commits that the filters let through; each walks the history once for all."""
    git = repository.git
    if points_at is not None:
        commits = commits & {git.resolve(points_at)}
    if contains is not None:
        commits = git.containing(git.resolve(contains), commits)
    if no_contains is not None:
        commits = commits - git.containing(git.resolve(no_contains), commits)
    if merged is not None:
        commits = commits & git.ancestors(git.resolve(merged))
    if no_merged is not None:
        commits = commits - git.ancestors(git.resolve(no_merged))
    return commits
