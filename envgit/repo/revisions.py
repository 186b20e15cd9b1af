# SPDX-License-Identifier: Apache-2.0
"""What revisions are called: the grammar of gitrevisions(7), and git's words when a name fails.

Written here, over refs, reflogs and objects, because libgit2's parser words its errors differently,
knows no ``@{-1}`` in a bare repository without its own checkouts' messages, and cannot tell a
reflog that is too short from a name that does not exist. Tests compare it with ``git rev-parse``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.repo.commits import ObjectMissing
from envgit.repo.libgit2 import native
from envgit.repo.reflog import ZERO
from envgit.repo.refnames import HEADS, LOOKUP_RULES, PRIVATE, in_worktree, shorten

if TYPE_CHECKING:
    from envgit.repo.repository import GitRepository
    from envgit.repo.signature import Signature

_FULL = re.compile(r"\A[0-9a-fA-F]{40}\Z")
_HEX = re.compile(r"\A[0-9a-fA-F]{4,40}\Z")
_STEP = re.compile(r"\^\{[^}]*\}|[\^~][0-9]*")
_DESCRIBED = re.compile(r"\A.+-[0-9]+-g([0-9a-f]{4,40})\Z")
_CHECKOUT = re.compile(r"\Acheckout: moving from (\S+) to ")


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


def resolve(repository: GitRepository, spec: str) -> CommitId:
    """The commit that ``spec`` names; raises UnknownRevision and its kin."""
    oid = resolve_object(repository, spec, committish=True)
    try:
        return repository.peel(oid)
    except EnvgitError as error:
        if _FULL.match(spec) and not repository.exists(oid):
            raise UnknownRevision(spec, f"bad object {spec}") from error
        raise UnknownRevision(spec) from error


def resolve_object(repository: GitRepository, spec: str, *, committish: bool = False) -> str:
    """The object that ``spec`` names, as ``git rev-parse``: a tag's own id for an annotated tag.

    ``committish``: of the objects that an abbreviated id fits, only commits and tags count. Paths
    (``REV:path``) are not taken here; see split_path().
    """
    if spec == "-":
        spec = "@{-1}"
    if spec.startswith(":/"):
        return _newest_with_message(repository, spec[2:], spec, every_tip(repository))
    base, steps = _split(spec)
    wanted = _wanted(steps[0]) if steps else "commit" if committish else ""
    oid = _base(repository, base, spec, wanted)
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


def dwim(repository: GitRepository, name: str) -> str | None:
    """The full name of the ref that the short ``name`` means, by git's rules, or None."""
    return next(iter(_meanings(repository, name)), None)


def meanings(repository: GitRepository, name: str) -> list[str]:
    """The full names of all refs that ``name`` could mean; the first is what it does mean."""
    return _meanings(repository, name)


def every_tip(repository: GitRepository) -> list[CommitId]:
    """The commits of all refs but envgit's own, and HEAD's."""
    found: list[CommitId] = []
    for name, oid in repository.refs("refs/").items():
        if not name.startswith(PRIVATE):
            with suppress(ObjectMissing):
                found.append(repository.peel(oid))
    head = repository.head().commit
    return found if head is None else [*found, head]


# -- pieces ---------------------------------------------------------------------------------------


def _meanings(repository: GitRepository, name: str) -> list[str]:
    return [
        full
        for full in (rule.format(name) for rule in LOOKUP_RULES)
        if (full.startswith("refs/") or re.match(r"\A[A-Z_]+\Z", full) or in_worktree(full))
        and repository.ref(full)
    ]


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


def _wanted(step: str) -> str:
    """What kind of object a step is taken from: it says which an abbreviated id can mean."""
    kinds = {"^{tree}": "tree", "^{blob}": "blob", "^{object}": "", "^{}": "", "^{tag}": "tag"}
    return kinds.get(step, "commit")


def _base(repository: GitRepository, name: str, spec: str, wanted: str) -> str:
    """The object a name without steps stands for."""
    if name == "@":
        name = "HEAD"
    if name.endswith("}") and "@{" in name:
        return _at(repository, name, spec)
    if _FULL.match(name):
        return name.lower()  # as git, whether it is there or not
    found = _meanings(repository, name)
    if found:
        if len(found) > 1 or (_HEX.match(name) and matches(repository, name.lower())):
            repository.say(f"warning: refname '{name}' is ambiguous.")
        oid = repository.ref(found[0])
        assert oid is not None  # _meanings() found it
        return oid
    described = _DESCRIBED.match(name)
    prefix = described[1] if described else name
    if _HEX.match(prefix):
        return _abbreviated(repository, prefix.lower(), spec, "commit" if described else wanted)
    raise UnknownRevision(spec)


_FITS = {
    "": ("tag", "commit", "tree", "blob"),
    "commit": ("tag", "commit"),
    "tag": ("tag",),
    "tree": ("tag", "commit", "tree"),
    "blob": ("blob",),
}
"""For each kind that is wanted, the kinds that can lead to it, in git's order."""


def _abbreviated(repository: GitRepository, prefix: str, spec: str, wanted: str) -> str:
    """The object whose id begins so; among several the only one of a wanted kind."""
    try:
        return str(repository.library.expand_id(prefix))
    except KeyError:
        raise UnknownRevision(spec) from None
    except (ValueError, native.GitError):
        pass
    kinds = {oid: repository.read(oid)[0] for oid in matches(repository, prefix)}
    fitting = [oid for oid, kind in kinds.items() if kind in _FITS[wanted]]
    if len(fitting) == 1:
        return fitting[0]
    listed = sorted(fitting or kinds, key=lambda oid: (_FITS[""].index(kinds[oid]), oid))
    lines = [f"hint:   {_candidate(repository, oid, kinds[oid])}" for oid in listed]
    first = [f"error: short object ID {prefix} is ambiguous", "hint: The candidates are:"]
    repository.say("\n".join([*first, *lines]))
    raise AmbiguousRevision(spec)


def _candidate(repository: GitRepository, oid: str, kind: str) -> str:
    """One line of the list: short id, kind, and of a commit or tag its date and what it says."""
    shown = f"{repository.abbrev(oid)} {kind}"
    if kind == "commit":
        commit = repository.git_commit(oid)
        return f"{shown} {_day(commit.committer)} - {commit.subject}"
    tag = repository.tag(oid) if kind == "tag" else None
    if tag is not None:
        day = _day(tag.tagger) if tag.tagger is not None else ""
        return f"{shown} {day} - {tag.name}"
    return shown


def _day(who: Signature) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(who.time + who.offset * 60))


def matches(repository: GitRepository, prefix: str) -> list[str]:
    """The ids of all objects that begin with ``prefix``, in no order."""
    return [oid for oid in _ids(repository) if oid.startswith(prefix)]


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
    oldest = entries[-1]
    when = time.gmtime(oldest.who.time + oldest.who.offset * 60)
    zone = f"{'-' if oldest.who.offset < 0 else '+'}{abs(oldest.who.offset) // 60:02d}"
    shown_time = time.strftime(f"%a, {when.tm_mday} %b %Y %H:%M:%S {zone}", when)
    minutes = f"{abs(oldest.who.offset) % 60:02d}"
    repository.say(f"warning: log for '{shown}' only goes back to {shown_time}{minutes}")
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
    return repository.ref(HEADS + name) or _base(repository, name, spec, "commit")


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
    if wanted in ("commit", "tree", "blob", "tag"):
        found = "tree" if kind == "commit" else kind
        repository.say(
            f"error: {spec}: expected {wanted} type, but the object dereferences to {found} type"
        )
    raise UnknownRevision(spec)


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
