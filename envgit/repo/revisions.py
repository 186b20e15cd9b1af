# SPDX-License-Identifier: Apache-2.0
"""What revisions are called: the grammar of gitrevisions(7), and git's words when a name fails.

Written here, over refs, reflogs and objects, because libgit2's parser words its errors differently,
knows no ``@{-1}`` in a bare repository without its own checkouts' messages, and cannot tell a
reflog that is too short from a name that does not exist. Tests compare it with ``git rev-parse``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.repo.commits import ObjectMissing
from envgit.repo.libgit2 import native
from envgit.repo.reflog import ZERO
from envgit.repo.refnames import HEADS, INTERNAL, LOOKUP_RULES, REMOTES, TAGS, shorten

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository

_HEX = re.compile(r"\A[0-9a-fA-F]{4,40}\Z")
_STEP = re.compile(r"\^\{[^}]*\}|[\^~][0-9]*")
_DESCRIBED = re.compile(r"\A.+-[0-9]+-g([0-9a-f]{4,40})\Z")
_CHECKOUT = re.compile(r"\Acheckout: moving from (\S+) to ")

GROUPS = {"all": "refs/", "branches": HEADS, "tags": TAGS, "remotes": REMOTES}
"""What ``--all``, ``--branches`` and so on stand for."""


class UnknownRevision(EnvgitError):
    """No object of that name; worded as git does for an argument that may also be a path."""

    def __init__(self, spec: str, message: str = "") -> None:
        super().__init__(
            message
            or f"ambiguous argument '{spec}': unknown revision or path not in the working tree.\n"
            "Use '--' to separate paths from revisions, like this:\n"
            "'envgit <command> [<revision>...] -- [<file>...]'"
        )
        self.spec = spec


class AmbiguousRevision(UnknownRevision):
    """An abbreviated id that several objects begin with."""


class ReflogTooShort(EnvgitError):
    """``@{N}`` or ``@{date}`` beyond what the reflog holds."""


class NoSuchPath(EnvgitError):
    """``REV:path`` where the commit has no such path."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which commits a command was asked for.

    Walk from ``include`` and leave out what ``exclude`` reaches. ``left`` and ``right`` are the
    sides of ``A...B`` (else empty), ``bases`` their merge bases, which ``exclude`` then holds too.
    """

    include: tuple[CommitId, ...] = ()
    exclude: tuple[CommitId, ...] = ()
    left: tuple[CommitId, ...] = ()
    right: tuple[CommitId, ...] = ()


class Range(NamedTuple):
    """``A..B``, or ``A...B`` (``symmetric``), both sides resolved."""

    left: CommitId
    right: CommitId
    symmetric: bool


def resolve(repository: GitRepository, spec: str) -> CommitId:
    """The commit that ``spec`` names; raises UnknownRevision and its kin."""
    oid = resolve_object(repository, spec)
    try:
        return repository.peel(oid)
    except EnvgitError as error:
        raise UnknownRevision(spec) from error


def resolve_object(repository: GitRepository, spec: str) -> str:
    """The object that ``spec`` names, as ``git rev-parse``: a tag's own id for an annotated tag.

    Paths (``REV:path``) are not taken here; see split_path().
    """
    if spec == "-":
        spec = "@{-1}"
    if spec.startswith(":/"):
        return _newest_with_message(repository, spec[2:], spec, _every_tip(repository))
    base, steps = _split(spec)
    oid = _base(repository, base, spec)
    for step in steps:
        oid = _take(repository, oid, step, spec)
    return oid


def split_path(spec: str) -> tuple[str, str] | None:
    """``REV:path`` as (REV, path), or None; a ``:`` inside braces is none, nor one in front."""
    for position, character in _outside_braces(spec):
        if character == ":":
            return (spec[:position], spec[position + 1 :]) if position else None
    return None


def split_range(spec: str) -> tuple[str, str, bool] | None:
    """``A..B`` or ``A...B`` as (A, B, whether there are three dots), or None when it is no range.

    A side left out is HEAD. Dots within braces, in a path (``../x``, ``REV:a..b``) make no range.
    """
    for position, character in _outside_braces(spec):
        if character == ":":
            return None
        if spec.startswith("..", position):
            dots = "..." if spec.startswith("...", position) else ".."
            if spec == dots or "/" in spec[position : position + 3]:
                return None
            left, right = spec[:position], spec[position + len(dots) :]
            return left or "HEAD", right or "HEAD", dots == "..."
    return None


def _outside_braces(spec: str) -> Iterator[tuple[int, str]]:
    depth = 0
    for position, character in enumerate(spec):
        if character in "{}":
            depth += 1 if character == "{" else -1
        elif depth == 0:
            yield position, character


def _resolve_range(repository: GitRepository, spec: str) -> Range | None:
    sides = split_range(spec)
    if sides is None:
        return None
    left, right, symmetric = sides
    try:
        return Range(resolve(repository, left), resolve(repository, right), symmetric)
    except UnknownRevision as error:
        raise UnknownRevision(spec) from error


def select(
    repository: GitRepository,
    specs: Sequence[str],
    *,
    default: str | None = "HEAD",
    globs: Iterable[str] = (),
) -> Selection:
    """What ``specs`` (revisions, ranges, ``^A``, ``A^@``, ``A^!``, ``A^-``) select together.

    ``globs`` are ``all``, ``branches``, ``tags``, ``remotes``. ``default`` is used when nothing is
    named at all. ``--not`` inverts what follows it.
    """
    include: list[CommitId] = []
    exclude: list[CommitId] = []
    left: list[CommitId] = []
    right: list[CommitId] = []
    chosen = list(globs)
    for glob in chosen:
        include += tips(repository, glob)
    inverted = False
    for spec in specs:
        if spec == "--not":
            inverted = not inverted
            continue
        found = _resolve_range(repository, spec)
        if found is None:
            yes, no = _single(repository, spec)
        elif not found.symmetric:
            yes, no = [found.right], [found.left]
        else:
            left.append(found.left)
            right.append(found.right)
            yes = [found.left, found.right]
            no = repository.merge_bases(found.left, found.right)
        include += no if inverted else yes
        exclude += yes if inverted else no
    if not specs and not chosen and default is not None:
        include = [resolve(repository, default)]
    return Selection(tuple(include), tuple(exclude), tuple(left), tuple(right))


def tips(repository: GitRepository, group: str) -> list[CommitId]:
    """The commits of all refs (``all``, with HEAD), or of ``branches``, ``tags``, ``remotes``."""
    found = commits_of(repository, public_refs(repository, group).values())
    head = repository.head().commit if group == "all" else None
    return found if head is None else [*found, head]


def public_refs(repository: GitRepository, group: str) -> dict[str, str]:
    """Full name -> object id of a group's refs (see GROUPS), sorted, without envgit's own."""
    found = repository.refs(GROUPS[group])
    return {name: oid for name, oid in found.items() if not name.startswith(INTERNAL)}


def commits_of(repository: GitRepository, oids: Iterable[str]) -> list[CommitId]:
    """The commits that the ids lead to; a tag of a tree or a file leads to none."""
    found: list[CommitId] = []
    for oid in oids:
        with suppress(ObjectMissing):
            found.append(repository.peel(oid))
    return found


def dwim(repository: GitRepository, name: str) -> str | None:
    """The full name of the ref that the short ``name`` means, by git's rules, or None."""
    for rule in LOOKUP_RULES:
        full = rule.format(name)
        if (full.startswith("refs/") or re.match(r"\A[A-Z_]+\Z", full)) and repository.ref(full):
            return full
    return None


# -- pieces ---------------------------------------------------------------------------------------


def _split(spec: str) -> tuple[str, list[str]]:
    """The name and the steps after it: ``main@{1}~2^{tree}`` -> ``main@{1}``, [``~2``, ...]."""
    position = 0
    while position < len(spec):
        if spec.startswith("@{", position):
            end = spec.find("}", position)
            position = end + 1 if end > 0 else len(spec)
        elif spec[position] in "^~":
            break
        else:
            position += 1
    steps: list[str] = []
    at = position
    while at < len(spec):
        match = _STEP.match(spec, at)
        if match is None:
            raise UnknownRevision(spec)
        steps.append(match[0])
        at = match.end()
    return spec[:position], steps


def _single(repository: GitRepository, spec: str) -> tuple[list[CommitId], list[CommitId]]:
    """(include, exclude) of one argument that is no range."""
    if spec.startswith("^"):
        return [], [resolve(repository, spec[1:])]
    for suffix in ("^@", "^!"):
        if spec.endswith(suffix):
            commit = resolve(repository, spec[:-2])
            parents = list(repository.git_commit(commit).parents)
            return (parents, []) if suffix == "^@" else ([commit], parents)
    match = re.match(r"\A(.+)\^-([0-9]*)\Z", spec)
    if match is not None:
        return [resolve(repository, match[1])], [
            resolve(repository, f"{match[1]}^{match[2] or '1'}")
        ]
    return [resolve(repository, spec)], []


def _base(repository: GitRepository, name: str, spec: str) -> str:
    """The object a name without steps stands for."""
    if name == "@":
        name = "HEAD"
    if name.endswith("}") and "@{" in name:
        return _at(repository, name, spec)
    if re.match(r"\A[0-9a-f]{40}\Z", name):
        if repository.exists(name):
            return name
        raise UnknownRevision(spec)
    full = dwim(repository, name)
    if full is not None:
        oid = repository.ref(full)
        assert oid is not None  # dwim() found it
        return oid
    described = _DESCRIBED.match(name)
    prefix = described[1] if described else name
    if _HEX.match(prefix):
        return _abbreviated(repository, prefix.lower(), spec)
    raise UnknownRevision(spec)


def _abbreviated(repository: GitRepository, prefix: str, spec: str) -> str:
    """The object whose id begins so; among several the only commit, as git prefers them."""
    try:
        return str(repository.library.expand_id(prefix))
    except KeyError:
        raise UnknownRevision(spec) from None
    except (ValueError, native.GitError):
        pass
    matches = [oid for oid in _ids(repository) if oid.startswith(prefix)]
    commits = [oid for oid in matches if repository.read(oid)[0] in ("commit", "tag")]
    if len(commits) == 1:
        return commits[0]
    raise AmbiguousRevision(spec, f"short object ID {prefix} is ambiguous")


def _ids(repository: GitRepository) -> Iterable[str]:
    return (str(oid) for oid in repository.library.odb)


def _at(repository: GitRepository, name: str, spec: str) -> str:
    """``ref@{...}``: a reflog entry by number or date, a previous branch, an upstream."""
    ref, _, inside = name[:-1].partition("@{")
    if re.match(r"\A-[0-9]+\Z", inside) and not ref:
        return _previous_branch(repository, int(inside[1:]), spec)
    if inside.lower() in ("u", "upstream", "push"):
        return _upstream(repository, ref, spec)
    full = _logged_ref(repository, ref, spec)
    entries = repository.reflog(full)
    shown = "HEAD" if full == "HEAD" else shorten(full)
    if re.match(r"\A[0-9]+\Z", inside):
        return _by_number(repository, full, shown, int(inside), spec)
    from envgit.repo.dates import approxidate

    try:
        moment = approxidate(inside)
    except ValueError:
        raise UnknownRevision(spec) from None
    for entry in entries:
        if entry.who.time <= moment:
            return entry.new
    if not entries:
        raise ReflogTooShort(f"log for '{shown}' is empty")
    # git warns here and takes the oldest value it knows.
    oldest = entries[-1]
    return oldest.new if oldest.old == ZERO else oldest.old


def _by_number(repository: GitRepository, full: str, shown: str, number: int, spec: str) -> str:
    entries = repository.reflog(full)
    if number == 0:
        oid = repository.ref(full)
        if oid is None:
            raise UnknownRevision(spec)
        return oid
    if number < len(entries):
        return entries[number].new
    if entries and number == len(entries) and entries[-1].old != ZERO:
        return entries[-1].old
    if not entries:
        raise ReflogTooShort(f"log for '{shown}' is empty")
    raise ReflogTooShort(f"log for '{shown}' only has {len(entries)} entries")


def _logged_ref(repository: GitRepository, ref: str, spec: str) -> str:
    """The full name whose log ``ref@{..}`` means; without a name the current branch."""
    if not ref:
        return repository.head().symbolic or "HEAD"
    if ref in ("HEAD", "@"):
        return "HEAD"
    # As git's dwim_log(): the first of the candidates that has a log.
    for rule in LOOKUP_RULES:
        full = rule.format(ref)
        if full.startswith("refs/") and repository.ref(full) and repository.reflog(full):
            return full
    raise UnknownRevision(spec)


def previous_branch(repository: GitRepository, number: int) -> str | None:
    """The branch (or detached id) checked out ``number`` moves ago, by HEAD's reflog, or None."""
    for entry in repository.reflog("HEAD"):
        match = _CHECKOUT.match(entry.message)
        if match is not None:
            number -= 1
            if number == 0:
                return match[1]
    return None


def _previous_branch(repository: GitRepository, number: int, spec: str) -> str:
    name = previous_branch(repository, number)
    if name is None:
        raise UnknownRevision(spec)
    return repository.ref(HEADS + name) or _base(repository, name, spec)


def _upstream(repository: GitRepository, ref: str, spec: str) -> str:
    full = repository.head().symbolic if ref in ("", "HEAD", "@") else HEADS + ref
    if full is None:
        raise EnvgitError("HEAD does not point to a branch")
    branch = full.removeprefix(HEADS)
    if repository.ref(full) is None:
        raise EnvgitError(f"no such branch: '{branch}'")
    upstream = repository.upstream(branch)
    if upstream is None:
        raise EnvgitError(f"no upstream configured for branch '{branch}'")
    oid = repository.ref(upstream)
    if oid is None:
        raise UnknownRevision(spec)
    return oid


def _take(repository: GitRepository, oid: str, step: str, spec: str) -> str:
    """One step from an object: ``~N``, ``^N``, ``^{kind}``, ``^{/text}``."""
    if step.startswith("^{"):
        return _peel_to(repository, oid, step[2:-1], spec)
    number = int(step[1:] or "1")
    try:
        commit = repository.peel(oid)
    except EnvgitError as error:
        raise UnknownRevision(spec) from error
    if step[0] == "~":
        for _ in range(number):
            commit = _parent(repository, commit, 1, spec)
        return commit
    return commit if number == 0 else _parent(repository, commit, number, spec)


def _parent(repository: GitRepository, commit: str, number: int, spec: str) -> CommitId:
    parents = repository.point(CommitId(commit)).parents
    if number > len(parents):
        raise UnknownRevision(spec)
    return parents[number - 1]


def _peel_to(repository: GitRepository, oid: str, wanted: str, spec: str) -> str:
    if wanted.startswith("/"):
        return _newest_with_message(repository, wanted[1:], spec, [repository.peel(oid)])
    kind, data = repository.read(oid)
    if wanted == "object" or wanted == kind:
        return oid
    while kind == "tag":
        oid = data[7:47].decode()
        kind, data = repository.read(oid)
    if wanted in ("", kind):
        return oid
    if wanted == "tree" and kind == "commit":
        return data[5:45].decode()
    raise UnknownRevision(spec)


def _every_tip(repository: GitRepository) -> list[CommitId]:
    return tips(repository, "all")


def _newest_with_message(
    repository: GitRepository, text: str, spec: str, start: Sequence[CommitId]
) -> str:
    """The youngest commit reachable from ``start`` whose message matches the regular expression."""
    wanted = True
    if text.startswith("!"):
        if text.startswith("!-"):
            wanted, text = False, text[2:]
        elif text.startswith("!!"):
            text = text[1:]
        else:
            raise UnknownRevision(spec)
    matches = _matcher(text, spec)
    for oid in repository.walk(start):
        if matches(repository.git_commit(oid).message) == wanted:
            return oid
    raise UnknownRevision(spec)


def _matcher(text: str, spec: str) -> Callable[[str], bool]:
    try:
        pattern = re.compile(text, re.MULTILINE)
    except re.error:
        raise UnknownRevision(spec) from None
    return lambda message: pattern.search(message) is not None
