# SPDX-License-Identifier: Apache-2.0
"""What a bisection knows, as one value, and what follows from it: what to test next.

Refs keep it: ``refs/bisect/<bad>``, ``refs/bisect/<good>-<id>``, ``refs/bisect/skip-<id>`` and
``BISECT_HEAD`` as git names them, and ``refs/worktree/envgit/bisect``, a record of what git keeps
in files beside them (docs/design/bisect.rst has its fields). Rules and words are git-bisect(1)'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from envgit.layers.ids import CommitId
from envgit.porcelain.foundation.repository import Repository
from envgit.repo import bisection
from envgit.repo.records import RecordError, read_record, write_record
from envgit.repo.refs import RefUpdate
from envgit.repo.traversal import Point, Rules, Traversal

if TYPE_CHECKING:
    from envgit.repo.objects import ObjectWriter
    from envgit.repo.repository import GitRepository

RECORD = "refs/worktree/envgit/bisect"
REFS = "refs/bisect/"
HEAD = "BISECT_HEAD"
SKIP = "skip"
DEFAULT_TERMS = ("bad", "good")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Session:
    """A bisection under way.

    ``start`` is where it began: a branch, or the id of a commit; ``origin`` is that commit.
    ``terms`` are the words for bad and good, None until the first verdict settles them.
    ``expected`` is the commit that was proposed last; ``ancestors_ok`` that the good commits were
    found to be ancestors of the bad one, or their merge bases good. ``head`` is what is to be
    tested where it is not checked out (BISECT_HEAD); ``no_checkout`` that it never is.
    ``aside``: a run left HEAD alone, so that ``expected`` says what is to be tested.
    """

    start: str
    origin: CommitId
    terms: tuple[str, str] | None = None
    paths: tuple[str, ...] = ()
    first_parent: bool = False
    no_checkout: bool = False
    aside: bool = False
    ancestors_ok: bool = False
    expected: CommitId | None = None
    log: tuple[str, ...] = ()
    bad: CommitId | None = None
    good: tuple[CommitId, ...] = ()
    skipped: tuple[CommitId, ...] = ()
    head: CommitId | None = None

    @property
    def bad_term(self) -> str:
        """The word for the state after the change."""
        return (self.terms or DEFAULT_TERMS)[0]

    @property
    def good_term(self) -> str:
        """The word for the state before the change."""
        return (self.terms or DEFAULT_TERMS)[1]

    def marked(self, git: GitRepository, term: str, commit: CommitId, *, log: bool) -> Session:
        """With one more verdict; ``log``: as the line of a command, too."""
        subject = git.git_commit(commit).subject
        lines = [f"# {term}: [{commit}] {subject}"]
        if log:
            lines.append(f"git bisect {term} {commit}")
        new = replace(self, log=(*self.log, *lines))
        if term == self.bad_term:
            return replace(new, bad=commit)
        if term == self.good_term:
            return replace(new, good=tuple(sorted({*self.good, commit})))
        return replace(new, skipped=tuple(sorted({*self.skipped, commit})))


@dataclass(frozen=True, slots=True)
class Step:
    """What a verb came to.

    ``outcome``: ``waiting`` (a good or bad commit is missing), ``test`` (``commits``), ``merge
    base`` (the same), ``found`` (``commits[0]`` is the first bad one), ``skipped`` (it is one of
    ``commits``), or a refusal: ``both``, ``nothing``, ``bad merge base``, ``mistaken``. ``said`` is
    for standard output, ``warned`` for standard error; ``status`` is git's exit status.
    """

    outcome: str
    status: int = 0
    said: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    commits: tuple[CommitId, ...] = ()
    total: int = 0

    @property
    def testing(self) -> bool:
        """Whether there is something to test."""
        return self.outcome in ("test", "merge base")


# -- refs -----------------------------------------------------------------------------------------


def read(repository: Repository) -> Session | None:
    """The bisection of this worktree, None when there is none. Raises RecordError."""
    git = repository.git
    record = read_record(git, RECORD, "bisect")
    if record is None:
        return None
    if record.get("format") != FORMAT:
        raise RecordError(
            f"{RECORD} has format {record.get('format')!r}; this envgit knows {FORMAT}",
            hint="a newer envgit wrote it; 'envgit bisect reset <commit>' ends the bisection",
        )
    session = _decode(record)
    bad, good, skipped = None, [], []
    for name, oid in git.refs(REFS).items():
        short = name.removeprefix(REFS)
        if short == session.bad_term:
            bad = CommitId(oid)
        elif short.startswith(f"{session.good_term}-"):
            good.append(CommitId(oid))
        elif short.startswith(f"{SKIP}-"):
            skipped.append(CommitId(oid))
    head = git.ref(HEAD)
    return replace(
        session,
        bad=bad,
        good=tuple(sorted(good)),
        skipped=tuple(sorted(skipped)),
        head=CommitId(head) if head is not None else None,
    )


def updates(repository: Repository, writer: ObjectWriter, new: Session | None) -> list[RefUpdate]:
    """The ref updates after which the refs say ``new``, or that there is no bisection."""
    git = repository.git
    present: dict[str, str | None] = dict(git.refs(REFS))
    present |= {name: git.ref(name) for name in (RECORD, HEAD)}
    wanted: dict[str, str | None] = {}
    if new is not None:
        if new.bad is not None:
            wanted[REFS + new.bad_term] = new.bad
        wanted |= {f"{REFS}{new.good_term}-{oid}": oid for oid in new.good}
        wanted |= {f"{REFS}{SKIP}-{oid}": oid for oid in new.skipped}
        wanted[HEAD] = new.head
        mentions = [new.origin, *((new.expected,) if new.expected else ())]
        wanted[RECORD] = write_record(
            writer, "bisect", _encode(new), mentions, repository.signature()
        )
    return [
        RefUpdate(name, present.get(name), wanted.get(name))
        for name in dict.fromkeys((*present, *wanted))
        if present.get(name) != wanted.get(name)
    ]


def _encode(session: Session) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "start": session.start,
        "origin": session.origin,
        "terms": list(session.terms) if session.terms else None,
        "paths": list(session.paths),
        "first_parent": session.first_parent,
        "no_checkout": session.no_checkout,
        "aside": session.aside,
        "ancestors_ok": session.ancestors_ok,
        "expected": session.expected,
        "log": list(session.log),
    }


def _decode(record: Mapping[str, Any]) -> Session:
    try:
        terms, expected = record["terms"], record["expected"]
        return Session(
            start=str(record["start"]),
            origin=CommitId(record["origin"]),
            terms=(str(terms[0]), str(terms[1])) if terms else None,
            paths=tuple(map(str, record["paths"])),
            first_parent=bool(record["first_parent"]),
            no_checkout=bool(record["no_checkout"]),
            aside=bool(record["aside"]),
            ancestors_ok=bool(record["ancestors_ok"]),
            expected=CommitId(expected) if expected else None,
            log=tuple(map(str, record["log"])),
        )
    except (LookupError, TypeError) as error:
        raise RecordError(f"{RECORD} cannot be read: {error!r}") from error


# -- what follows ---------------------------------------------------------------------------------


def proceed(repository: Repository, session: Session, *, trials: int = 1) -> tuple[Session, Step]:
    """What comes next, and what is known then: the same, with what was found out on the way.

    ``trials`` is how many commits may be tested at once.
    """
    if session.bad is None or not session.good:
        line = _waiting(session)
        return replace(session, log=(*session.log, f"# {line}")), Step("waiting", said=(line,))
    return decide(repository, session, trials=trials)


def decide(repository: Repository, session: Session, *, trials: int = 1) -> tuple[Session, Step]:
    """As ``proceed``, where at least a bad commit is known."""
    bad = session.bad
    assert bad is not None
    warned: list[str] = []
    if session.good and not session.ancestors_ok:
        step = _check_ancestors(repository, session, warned)
        if step is not None:
            expected = step.commits[0] if step.testing else session.expected
            return replace(session, expected=expected), step
        session = replace(session, ancestors_ok=True)
    choice = bisection.choose(
        candidates(repository, session),
        bad,
        frozenset(session.skipped),
        trials=trials,
        first_parent=session.first_parent,
    )
    step = _step(repository, session, choice)
    step = replace(step, warned=(*warned, *step.warned))
    if step.testing:
        session = replace(session, expected=step.commits[0])
    return replace(session, log=(*session.log, *_conclusion(repository, session, step))), step


def candidates(repository: Repository, session: Session) -> list[tuple[Point, bool]]:
    """The commits that may be the first bad one, newest first, each with whether it leaves the
    paths that are asked about alone."""
    assert session.bad is not None
    git = repository.git
    rules = Rules(first_parent=session.first_parent, treesame=_same(repository, session))
    return Traversal(git.point, [session.bad], session.good, rules=rules).candidates()


def _same(repository: Repository, session: Session) -> Callable[[Point, Point | None], bool] | None:
    if not session.paths:
        return None
    from envgit.layers.interest import differs
    from envgit.layers.pathspec import Pathspec

    git = repository.git
    spec = Pathspec.parse(session.paths)

    def same(point: Point, parent: Point | None) -> bool:
        old = git.files(None if parent is None else parent.id)
        return not differs(old, git.files(point.id), spec)

    return same


def _waiting(session: Session) -> str:
    bad, good = session.bad_term, session.good_term
    if session.bad is not None:
        return f"status: waiting for {good} commit(s), {bad} commit known"
    count = len(session.good)
    if not count:
        return f"status: waiting for both {good} and {bad} commits"
    return f"status: waiting for {bad} commit, {count} {good} commit{'s' * (count != 1)} known"


def _check_ancestors(repository: Repository, session: Session, warned: list[str]) -> Step | None:
    """None when all good commits are ancestors of the bad one, or as good as that."""
    git, bad = repository.git, session.bad
    assert bad is not None
    if all(git.is_ancestor(good, bad) for good in session.good):
        return None
    goods = " ".join(session.good)
    for base in git.merge_bases(bad, *session.good):
        if base == bad:
            return _bad_merge_base(session, bad, goods)
        if base in session.good:
            continue
        if base not in session.skipped:
            said = ("Bisecting: a merge base must be tested", _named(repository, base))
            return Step("merge base", said=said, warned=tuple(warned), commits=(base,))
        warned.append(
            f"warning: the merge base between {bad} and [{goods}] must be skipped.\n"
            f"So we cannot be sure the first {session.bad_term} commit is between {base} and"
            f" {bad}.\nWe continue anyway."
        )
    return None


def _bad_merge_base(session: Session, base: CommitId, goods: str) -> Step:
    bad, good = session.bad_term, session.good_term
    if session.expected != base:
        text = (
            f"Some {good} revs are not ancestors of the {bad} rev.\n"
            "envgit bisect cannot work properly in this case.\n"
            f"Maybe you mistook {good} and {bad} revs?"
        )
        return Step("mistaken", 1, warned=(text,))
    if (bad, good) == DEFAULT_TERMS:
        meaning = f"This means the bug has been fixed between {base} and [{goods}]."
    elif (bad, good) == ("new", "old"):
        meaning = f"The property has changed between {base} and [{goods}]."
    else:
        meaning = f"This means the first '{good}' commit is between {base} and [{goods}]."
    return Step("bad merge base", 3, warned=(f"The merge base {base} is {bad}.\n{meaning}",))


def _step(repository: Repository, session: Session, choice: bisection.Choice) -> Step:
    bad = session.bad_term
    said: tuple[str, ...]
    if choice.outcome == "both":
        said = (f"{session.bad} was both {session.good_term} and {bad}",)
        return Step("both", 1, said)
    if choice.outcome == "nothing":
        text = "No testable commit found.\nMaybe you started with bad path arguments?"
        return Step("nothing", 4, warned=(text,))
    if choice.outcome == "skipped":
        said = (
            "There are only 'skip'ped commits left to test.",
            f"The first {bad} commit could be any of:",
            *choice.commits,
            "We cannot bisect more!",
        )
        return Step("skipped", 2, said, commits=choice.commits, total=choice.total)
    if choice.outcome == "found":
        said = (f"{choice.commits[0]} is the first {bad} commit",)
        return Step("found", 0, said, commits=choice.commits, total=choice.total)
    steps = choice.steps
    said = (
        f"Bisecting: {choice.left} revision{'s' * (choice.left != 1)} left to test after this"
        f" (roughly {steps} step{'s' * (steps != 1)})",
        *(_named(repository, oid) for oid in choice.commits),
    )
    return Step("test", 0, said, commits=choice.commits, total=choice.total)


def _conclusion(repository: Repository, session: Session, step: Step) -> list[str]:
    """What the log says at the end."""
    git, bad = repository.git, session.bad_term
    if step.outcome == "found":
        return [f"# first {bad} commit: {_named(repository, step.commits[0])}"]
    if step.outcome != "skipped":
        return []
    assert session.bad is not None
    possible = git.walk([session.bad], session.good)
    return [
        "# only skipped commits left to test",
        *(f"# possible first {bad} commit: {_named(repository, oid)}" for oid in possible),
    ]


def _named(repository: Repository, oid: CommitId) -> str:
    return f"[{oid}] {repository.git.git_commit(oid).subject}"
