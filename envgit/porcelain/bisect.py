# SPDX-License-Identifier: Apache-2.0
"""Find the commit that brought a change by halving the history, as git-bisect(1).

Each verb works its way to a new Session (session.py) and publishes that together with the move of
the worktree as one operation: nothing is ever half done, and ``undo`` takes it back.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, Refused
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import hooks, pending, session
from envgit.porcelain.foundation.carry import WouldOverwrite, arrive, at
from envgit.porcelain.foundation.publish import Publication, publish
from envgit.porcelain.foundation.ranges import split_range, tips_of
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.session import DEFAULT_TERMS, SKIP, Session, Step
from envgit.repo.records import RecordError
from envgit.repo.refnames import HEADS, SYMBOLIC, is_ref_name
from envgit.repo.refs import HeadUpdate

if TYPE_CHECKING:
    from envgit.porcelain.foundation.carry import Arrival
    from envgit.repo.refs import Head

OTHER_TERMS = ("new", "old")
_BUILTIN = (
    *("help", "start", "skip", "next", "reset", "visualize", "view"),
    *("replay", "log", "run", "inside", "terms"),
)


class NotBisecting(Refused):
    """There is no bisection here."""


class NotStarted(NotBisecting):
    """The same, asked for a verdict or for what is next; git says it without a prefix."""

    prefix = ""

    def __init__(self) -> None:
        super().__init__('You need to start by "envgit bisect start"\n')


class BadTerm(Refused):
    """A word that cannot stand for good or bad, or that this bisection does not use."""


class BadRevInput(Refused):
    """What was to be marked is no commit."""


class NotEnoughKnown(Refused):
    """Neither a good nor a bad commit can be done without here."""


@dataclass(frozen=True, slots=True)
class Went:
    """Where HEAD was and is. ``branch`` None means detached."""

    old_branch: str | None
    old_commit: CommitId | None
    branch: str | None
    commit: CommitId | None


# -- verbs ----------------------------------------------------------------------------------------


def start(repository: Repository, words: Sequence[str] = ()) -> tuple[Step, Went | None]:
    """Begin: ``words`` are git's, ``[options] [BAD [GOOD...]] [--] [PATH...]``.

    A bisection that is under way is given up for it. One that cannot begin (mistaken commits,
    nothing to test) changes nothing. Raises BadTerm, BadRevInput.
    """
    with hooks.following(repository), repository.locked("bisect start"):
        old = session.read(repository)
        new = _begun(repository, words, old)
        new, step = session.proceed(repository, new)
        if step.status not in (0, 2):
            return step, None
        went = None
        if old is not None and not new.no_checkout:
            # git goes back before it begins anew; here one move does for both.
            head, (symbolic, commit) = repository.git.head(), _origin(repository, old)
            went = Went(head.branch, head.commit, _short(symbolic), commit)
        if went is not None and not step.testing:
            _publish(repository, new, "bisect start", back=True)
        else:
            _go_on(repository, new, step, "bisect start")
        return step, went


def mark(repository: Repository, term: str, revisions: Sequence[str] = ()) -> Step:
    """Mark ``revisions`` (default: what is being tested) as good, bad or skipped, and go on.

    Of ranges (``A..B``) each commit is skipped. Raises NotBisecting, BadTerm, BadRevInput; and
    WouldOverwrite where uncommitted changes do not let the next commit be checked out (the verdict
    stands then).
    """
    with hooks.following(repository), repository.locked(f"bisect {term}"):
        found = require(repository)
        found = _with_terms(found, term)
        if term == found.bad_term and len(revisions) > 1:
            raise BadTerm(f"'envgit bisect {term}' can take only one argument.")
        commits = _commits(repository, found, revisions, ranges=term == SKIP)
        for commit in commits:
            found = found.marked(repository.git, term, commit, log=True)
        if any(commit != found.expected for commit in commits):
            found = replace(found, ancestors_ok=False, expected=None)
        found, step = session.proceed(repository, found)
        _go_on(repository, found, step, f"bisect {term}")
        return step


def next_step(repository: Repository) -> Step:
    """Check out again what is to be tested. Without a good commit, any ancestor of the bad one may
    be. Raises NotBisecting, NotEnoughKnown."""
    with hooks.following(repository), repository.locked("bisect next"):
        found = require(repository)
        if found.bad is None:
            raise not_enough()
        found, step = session.decide(repository, found)
        if not found.good:
            text = f"warning: bisecting only with a {found.bad_term} commit"
            step = replace(step, warned=(text, *step.warned))
        _go_on(repository, found, step, "bisect next")
        return step


def reset(repository: Repository, revision: str | None = None) -> Went | None:
    """End the bisection and go back to where it began, or to ``revision``; None when there was
    none. Raises BadRevInput, and WouldOverwrite, after which all is as before."""
    with hooks.following(repository), repository.locked("bisect reset"):
        try:
            found = session.read(repository)
        except RecordError:
            if revision is None:  # it alone says where to go back to
                raise
            found = None
        if found is None and revision is None:
            return None
        git = repository.git
        symbolic, commit = None, None
        if revision is None:
            assert found is not None
            symbolic, commit = _origin(repository, found)
        else:
            try:
                commit = git.resolve(revision)
            except EnvgitError as error:
                raise BadRevInput(f"'{revision}' is not a valid commit") from error
            symbolic = HEADS + revision if git.ref(HEADS + revision) is not None else None
        if found is not None and found.no_checkout:
            _publish(repository, None, "bisect reset")
            return None
        return _publish(repository, None, "bisect reset", target=(symbolic, commit))


def log(repository: Repository) -> tuple[str, ...]:
    """The lines of the log, which ``replay``, git's too, reads. Raises NotBisecting."""
    found = session.read(repository)
    if found is None:
        raise NotBisecting("We are not bisecting.")
    return found.log


def replay(repository: Repository, text: str) -> Step:
    """Do again what a log (ours or git's) says, from where the present bisection began, or HEAD.

    Raises BadTerm and others for a line that means nothing; nothing is changed then.
    """
    with hooks.following(repository), repository.locked("bisect replay"):
        old = session.read(repository)
        found: Session | None = None
        for line in text.splitlines():
            words = line.split(None, 3)
            if words[:2] in (["git", "bisect"], ["envgit", "bisect"]):
                words = words[2:]
            elif words[:1] == ["git-bisect"]:
                words = line.split(None, 2)[1:]
            else:
                continue
            if not words:
                raise BadTerm("''?? what are you talking about?")
            found = _replayed(repository, old, found, words)
        if found is None:
            raise NotBisecting("the log starts no bisection")
        found, step = session.proceed(repository, found)
        _go_on(repository, found, step, "bisect replay")
        return step


def require(repository: Repository) -> Session:
    """The bisection under way. Raises NotBisecting."""
    found = session.read(repository)
    if found is None:
        raise NotStarted()
    return found


def not_enough() -> NotEnoughKnown:
    """What to say where a good or a bad commit is missing, in git's words."""
    return NotEnoughKnown(
        "You need to give me at least one bad|new and good|old revision.\n"
        'You can use "envgit bisect bad|new" and "envgit bisect good|old" for that.'
    )


# -- beginning ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Words:
    """What the words of ``start`` say."""

    bad_term: str = DEFAULT_TERMS[0]
    good_term: str = DEFAULT_TERMS[1]
    named: bool = False
    no_checkout: bool = False
    first_parent: bool = False
    commits: tuple[CommitId, ...] = ()
    paths: tuple[str, ...] = ()


def _begun(repository: Repository, words: Sequence[str], old: Session | None) -> Session:
    git = repository.git
    given = _parse(repository, list(words))
    terms = (given.bad_term, given.good_term)
    if given.named or given.commits:
        _check_terms(*terms)
    if old is not None:
        where, origin = old.start, old.origin
    else:
        head = git.head()
        if head.commit is None:
            raise Refused("bad HEAD - I need a HEAD")
        where, origin = head.branch or head.commit, head.commit
    new = Session(
        start=where,
        origin=origin,
        terms=terms if given.named or given.commits else None,
        paths=given.paths,
        first_parent=given.first_parent,
        no_checkout=given.no_checkout,
        head=origin if given.no_checkout else None,
    )
    for number, commit in enumerate(given.commits):
        new = new.marked(git, terms[0 if number == 0 else 1], commit, log=False)
    return replace(
        new, log=(*new.log, "git bisect start" + "".join(f" {quoted(w)}" for w in words))
    )


def _parse(repository: Repository, words: list[str]) -> _Words:
    found = _Words()
    dashes = "--" in words
    commits = []
    while words:
        word = words[0]
        if word == "--":
            words = words[1:]
            break
        name, equals, value = word.partition("=")
        if name in ("--term-good", "--term-old", "--term-bad", "--term-new"):
            if not equals:
                value = words[1] if len(words) > 1 else ""
                words = words[1:]
            found.named = True
            if name in ("--term-good", "--term-old"):
                found.good_term = value
            else:
                found.bad_term = value
        elif word in ("--no-checkout", "--first-parent"):
            found.no_checkout |= word == "--no-checkout"
            found.first_parent |= word == "--first-parent"
        elif word.startswith("--"):
            raise BadTerm(f"unrecognized option: '{word}'")
        else:
            try:
                commits.append(repository.git.resolve(word))
            except EnvgitError:
                if dashes or not _is_path(repository, word):
                    raise EnvgitError(f"'{word}' does not appear to be a valid revision") from None
                break
        words = words[1:]
    found.commits, found.paths = tuple(commits), tuple(words)
    return found


def _is_path(repository: Repository, word: str) -> bool:
    """Whether HEAD has that path: a revision that is misspelt must not pass for one."""
    from envgit.layers.entry import find_entry
    from envgit.layers.pathspec import Pathspec

    if any(char in word for char in "*?[") or word.startswith(":("):
        return True
    path = Pathspec.parse([word]).plain()
    tree = repository.git.files(repository.git.head().commit)
    return path is not None and tree is not None and find_entry(tree, path[0]) is not None


def _check_terms(bad: str, good: str) -> None:
    if bad == good:
        raise BadTerm("please use two different terms")
    for term, usual in ((bad, 0), (good, 1)):
        if not is_ref_name(f"refs/bisect/{term}"):
            raise BadTerm(f"'{term}' is not a valid term")
        if term in _BUILTIN:
            raise BadTerm(f"can't use the builtin command '{term}' as a term")
        if term in (DEFAULT_TERMS[1 - usual], OTHER_TERMS[1 - usual]):
            raise BadTerm(f"can't change the meaning of the term '{term}'")


def quoted(word: str) -> str:
    """A word as git quotes it for a shell, always in quotes."""
    escaped = word.replace("'", "'\\''").replace("!", "'\\!'")
    return f"'{escaped}'"


# -- marking --------------------------------------------------------------------------------------


def _with_terms(found: Session, term: str) -> Session:
    """The session, whose terms the first verdict settles. Raises BadTerm for a word it lacks."""
    if term == SKIP:
        return found
    if found.terms is None:
        terms = next((pair for pair in (DEFAULT_TERMS, OTHER_TERMS) if term in pair), None)
        if terms is not None:
            return replace(found, terms=terms)
    if found.terms is None or term not in found.terms:
        raise BadTerm(
            f"Invalid command: you're currently in a {found.bad_term}/{found.good_term} bisect"
        )
    return found


def _commits(
    repository: Repository, found: Session, revisions: Sequence[str], *, ranges: bool
) -> list[CommitId]:
    git = repository.git
    if not revisions:
        head = found.expected if found.aside else found.head
        head = head or git.head().commit
        if head is None:
            raise BadRevInput("Bad rev input: HEAD")
        return [head]
    commits: list[CommitId] = []
    for revision in revisions:
        if ranges and split_range(revision) is not None:
            tips = tips_of(repository, [revision])
            commits += git.walk(tips.include, tips.exclude)
            continue
        try:
            commits.append(git.resolve(revision))
        except EnvgitError as error:
            raise BadRevInput(f"Bad rev input: {revision}") from error
    return commits


def _replayed(
    repository: Repository, old: Session | None, found: Session | None, words: list[str]
) -> Session | None:
    """One line of a log, done again in memory."""
    word, rest = words[0], " ".join(words[1:])
    if word == "start":
        try:
            return _begun(repository, shlex.split(rest), old)
        except ValueError as error:
            raise BadRevInput(f"the log cannot be read: {error}: {rest}") from error
    if found is None:
        raise NotStarted()
    if word == "terms":
        return found
    if word not in (SKIP, *DEFAULT_TERMS, *OTHER_TERMS, *(found.terms or ())):
        raise BadTerm(f"'{word}'?? what are you talking about?")
    found = _with_terms(found, word)
    for commit in _commits(repository, found, [rest] if rest else [], ranges=False):
        found = found.marked(repository.git, word, commit, log=True)
    return found


# -- publishing -----------------------------------------------------------------------------------


def _go_on(repository: Repository, new: Session, step: Step, verb: str) -> None:
    """Publish ``new``, and check out what is to be tested."""
    if not step.testing:
        _publish(repository, new, verb)
        return
    commit = step.commits[0]
    if new.no_checkout:
        _publish(repository, replace(new, head=commit), verb)
        return
    try:
        _publish(repository, _arrived(new), verb, target=(None, commit))
    except WouldOverwrite:
        if verb != "bisect start":
            _publish(repository, new, verb)
        raise


def _publish(
    repository: Repository,
    new: Session | None,
    verb: str,
    *,
    target: tuple[str | None, CommitId] | None = None,
    back: bool = False,
) -> Went | None:
    """Make ``new`` true, and HEAD stand at ``target`` (symbolic, commit), or at where the bisection
    began (``back``)."""
    git = repository.git
    head = git.head()
    if back:
        assert new is not None
        target = _origin(repository, new)
    writer = git.writer()
    arrival: Arrival | None = None
    update: HeadUpdate | None = None
    if target is not None:
        symbolic, commit = target
        if commit != head.commit:
            pending.check_may_leave(repository, "checkout")
            arrival = arrive(repository, writer, at(repository, commit), keep=True)
        update = _head_update(head, symbolic, commit)
    refs = session.updates(repository, writer, new)
    publication = Publication(verb="bisect", description=verb, refs=refs, head=update)
    publish(repository, writer, arrival.added_to(publication) if arrival else publication)
    if target is None:
        return None
    symbolic, commit = target
    return Went(head.branch, head.commit, _short(symbolic), commit)


def _short(symbolic: str | None) -> str | None:
    return symbolic.removeprefix(HEADS) if symbolic else None


def record(repository: Repository, new: Session, verb: str, commit: CommitId | None) -> None:
    """Publish what a run has found out; with ``commit``, HEAD goes there. For bisectrun.py."""
    if new.no_checkout:
        _publish(repository, replace(new, head=commit or new.expected or new.head), verb)
    elif commit is None:
        _publish(repository, replace(new, aside=True), verb)
    else:
        _publish(repository, _arrived(new), verb, target=(None, commit))


def _arrived(new: Session) -> Session:
    """The session once HEAD stands where it should."""
    return replace(new, head=None, aside=False)


def _origin(repository: Repository, found: Session) -> tuple[str | None, CommitId]:
    """Where a bisection began: the branch, and the commit it is at now."""
    git = repository.git
    oid = git.ref(HEADS + found.start)
    if oid is not None:
        return HEADS + found.start, CommitId(oid)
    if found.start == found.origin:
        return None, found.origin
    raise BadRevInput(
        f"could not check out original HEAD '{found.start}'. Try 'envgit bisect reset <commit>'."
    )


def _head_update(head: Head, symbolic: str | None, commit: CommitId) -> HeadUpdate | None:
    if (symbolic, commit) == (head.symbolic, head.commit):
        return None
    old = head.branch or head.commit
    new = symbolic.removeprefix(HEADS) if symbolic else commit
    value = SYMBOLIC + symbolic if symbolic else commit
    return HeadUpdate(head.value, value, f"checkout: moving from {old} to {new}")
