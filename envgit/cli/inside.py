# SPDX-License-Identifier: Apache-2.0
"""`bisect inside`: which packages and files of a commit are to blame, and the trials meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli.app import App
from envgit.cli.packageview import plain
from envgit.cli.running import environment_options
from envgit.cli.verb import argument, flag, json_flag, section, value, verb
from envgit.porcelain import bisectinside
from envgit.porcelain.bisect import quoted
from envgit.porcelain.bisectinside import Culprit, InsideResult, Rules, Watch

if TYPE_CHECKING:
    from envgit.layers.ids import CommitId
    from envgit.porcelain.foundation.inside.candidates import Piece
    from envgit.porcelain.foundation.inside.filesearch import Files
    from envgit.porcelain.foundation.inside.verdicts import Tried
    from envgit.porcelain.foundation.trials import Trial

_LISTED = 40
"""Files that are listed; more are counted."""


@verb(
    "bisect inside",
    "bisect inside [<options>] [<commit> [--]] <command> [<args>...]",
    command_follows=True,
    dashes=True,
)
@section(
    "Trials",
    value("-j, --jobs <n>", "try so many candidates at once", default=1, type=int),
    value(
        "--repeat <n>",
        "each verdict takes so many equal results; else the test is flaky",
        default=1,
        type=int,
    ),
    value("--timeout <seconds>", "a trial that takes longer counts as untestable", type=float),
    flag("--host", "run the command on the host, with the state mounted at $ENVGIT_ROOT"),
    flag(
        "--same",
        "a failure counts only if it ends as in the commit (status, last line of output)",
    ),
    flag(
        "--files",
        "look for the files of the packages, too (default; --no-files: do not)",
        default=True,
    ),
    flag("--show-output", "show what the command writes in each trial"),
    flag("-q, --quiet", "say nothing on standard error about trials and times"),
)
@environment_options
@json_flag
@argument("first", nargs=-1)
def inside(
    app: App,
    jobs: int,
    repeat: int,
    timeout: float | None,
    host: bool,
    same: bool,
    files: bool,
    show_output: bool,
    quiet: bool,
    as_json: bool,
    first: tuple[str, ...],
    paths: tuple[str, ...] | None,
    **options: Any,
) -> int:
    """Find the packages of a commit that make a command fail, and which of their files.

    The command must fail in the commit and succeed in its (first) parent. It is tried in states
    between the two that have some of the commit's changes, package by package, files and databases
    in agreement: each is one layer of hard links and one mount. Nothing is installed, the worktree
    stays as it is, and nothing is left of the candidates.

    The commit is the one that the bisection under way has found, if none is named; without a
    bisection, uncommitted changes are looked into. A range (A..B) is all that changed from A to B.
    Exit statuses count as for "bisect run", but for a candidate that crashes (by SIGSEGV and the
    like): that is no verdict.
    """
    from envgit.cli.launching import sandbox_options

    words = (*first, *(paths or ()))
    revision, argv = bisectinside.splits(app.repository, words) if first else (None, words)
    result = bisectinside.inside(
        app.repository,
        argv,
        revision=revision,
        options=sandbox_options(app, tty=False, interactive=False, **options),
        host=host,
        timeout=timeout,
        rules=Rules(jobs=jobs, repeat=repeat, same=same, files=files),
        watch=_Shown(app, quiet=quiet, as_json=as_json, output=show_output),
    )
    if as_json:
        app.out.json(_as_json(result))
    else:
        _show_all_files(app, result)
    if not same and not all(one.same for one in result.culprits):
        app.out.note("hint: '--same' counts only failures that end as in the commit")
    if not quiet:
        count, rounds = len(result.trials), result.rounds
        app.out.note(
            f"{count} trial{'s' * (count != 1)} in {rounds} round{'s' * (rounds != 1)},"
            f" {result.duration_ms / 1000:.1f} s"
        )
    return result.status


class _Shown(Watch):
    """Says on standard error what is tried, each trial with its number."""

    def __init__(self, app: App, *, quiet: bool, as_json: bool, output: bool) -> None:
        self._app = app
        self._quiet = quiet
        self._as_json = as_json
        self._output = output

    def begins(self, commit: CommitId | None, parent: CommitId, argv: Sequence[str]) -> None:
        if not self._as_json:
            words = "".join(f" {quoted(word)}" for word in argv)
            self._app.out.line(f"running {words}")
            self._app.out.flush()

    def isolated(self, result: InsideResult) -> None:
        if not self._as_json:
            _show(self._app, result)
            self._app.out.flush()

    def searching(self, what: str, count: int) -> None:
        if not self._quiet:
            self._app.out.note(f"searching {count} {what}")

    def tried(self, number: int, tried: Tried, trial: Trial) -> None:
        out = self._app.out
        if self._output and trial.output:
            text = trial.output.decode("utf-8", "surrogateescape").rstrip("\n")
            out.note(text) if self._as_json else out.line(text)
        if not self._quiet:
            late = ", timed out" if tried.timed_out else ""
            ended = f"({tried.exit_code}{late}, {tried.duration_ms} ms)"
            out.note(f"{number}: {plain(tried.what)}: {tried.verdict} {ended}")


# -- what was found ---------------------------------------------------------------------------


def _show(app: App, result: InsideResult) -> None:
    for number, culprit in enumerate(result.culprits):
        if number:
            app.out.line()
        _show_culprit(app, culprit, result)
    app.out.line()
    several = sum(len(one.pieces) for one in result.culprits) > 1
    without = {
        "good": "it succeeds",
        "bad": "it still fails",
        "skip": "it cannot be tested",
    }[result.without.value]
    app.out.line(f"with everything but {'these' if several else 'this'}, {without}")
    if result.left_out:
        app.out.line("(left out with it, for they need it:)")
        _list(app, result.left_out)
    if result.going_along:
        app.out.line("(left out as well, for with them alone it cannot be tested:)")
        _list(app, result.going_along)


def _show_culprit(app: App, culprit: Culprit, result: InsideResult) -> None:
    out = app.out
    together = len(culprit.pieces) > 1
    listed = (*culprit.pieces, *culprit.bound, *culprit.along)
    mixed = {piece.reason for piece in listed} >= {"manual", "automatic"}
    for piece in culprit.pieces:
        out.line(_titled(piece, mixed))
    alone = "together make" if together else "makes"
    if not culprit.minimal or culprit.undecided:
        alone = "contain what makes" if together else alone
    out.line(f"  {alone} it fail{_how(culprit, result)}")
    if together and culprit.minimal:
        out.line("  none of them does alone: they interact")
    for said, pieces in (
        ("without these it could not be tested:", culprit.undecided),
        ("these cannot be told from it, for neither can be without the other:", culprit.bound),
        ("these had to come along, and do not make it fail:", culprit.along),
    ):
        if pieces:
            out.line(f"  {said}")
            _list(app, pieces, mixed)


def _how(culprit: Culprit, result: InsideResult) -> str:
    """Whether it fails alone as in the commit."""
    if culprit.same:
        return ""
    there, alone = result.there, culprit.alone
    return (
        f", but otherwise than in the commit: exit status {alone.exit_code},"
        f" {alone.last_line!r}; not {there.exit_code}, {there.last_line!r}"
    )


def _show_all_files(app: App, result: InsideResult) -> None:
    for culprit in result.culprits:
        if culprit.files is not None:
            app.out.line()
            for piece in culprit.pieces:
                app.out.line(plain(piece.title))
            _show_files(app, culprit, culprit.files)


def _show_files(app: App, culprit: Culprit, files: Files) -> None:
    out = app.out
    count = len(culprit.pieces) + len(culprit.bound)
    for number, cause in enumerate(files.causes):
        few = len(_sources(cause)) == 1
        said = "by" if number == 0 else "and as well by"
        which = "this file alone" if few else "these files, which are all needed"
        out.line(f"  {said} {which} ({files.of} changed):")
        _list_files(app, cause)
    if files.verified:
        return
    whole = "the package" if count == 1 else "the packages"
    out.line(f"  {whole} as a whole: no files of {files.of} do it by themselves")
    if files.mending:
        out.line("  put back alone, though, this mends it:")
        _list_files(app, files.mending)


def _list_files(app: App, paths: Sequence[bytes]) -> None:
    shown = _sources(paths)
    for path in shown[:_LISTED]:
        app.out.line(f"    {app.out.path(path)}")
    if len(shown) > _LISTED:
        app.out.line(f"    ... and {len(shown) - _LISTED} more")


def _sources(paths: Sequence[bytes]) -> list[bytes]:
    """Without bytecode, which came with its source."""
    found = [path for path in paths if not path.endswith(b".pyc")]
    return found or list(paths)


def _list(app: App, pieces: Iterable[Piece], mixed: bool = False) -> None:
    for piece in pieces:
        app.out.line(f"    {_titled(piece, mixed)}")


def _titled(piece: Piece, mixed: bool) -> str:
    """What changed; and that it was asked for, where others beside it were not."""
    asked = mixed and piece.reason == "manual"
    return plain(piece.title) + (" (asked for)" if asked else "")


def _as_json(result: InsideResult) -> dict[str, object]:
    return {
        "commit": result.commit,
        "parent": result.parent,
        "verified": result.verified,
        "culprits": [
            {
                "changes": [_piece(piece) for piece in culprit.pieces],
                "interacting": len(culprit.pieces) > 1 and culprit.minimal,
                "along": [_piece(piece) for piece in culprit.along],
                "inseparable": [_piece(piece) for piece in culprit.bound],
                "undecided": [_piece(piece) for piece in culprit.undecided],
                "minimal": culprit.minimal,
                "alone": culprit.alone,
                "same": culprit.same,
                "files": culprit.files,
            }
            for culprit in result.culprits
        ],
        "without": result.without,
        "left_out": [_piece(piece) for piece in result.left_out],
        "going_along": [_piece(piece) for piece in result.going_along],
        "total": result.total,
        "trials": result.trials,
        "rounds": result.rounds,
        "duration_ms": result.duration_ms,
        "status": result.status,
    }


def _piece(piece: Piece) -> dict[str, object]:
    change = piece.group.change if piece.group is not None else None
    found: dict[str, object] = {"title": piece.title}
    if change is not None:
        one = change.package
        found |= {
            "manager": one.manager,
            "name": one.name,
            "architecture": one.architecture,
            "place": one.place,
            "kind": change.kind,
            "reason": one.reason,
            "old": change.old.version if change.old is not None else None,
            "new": change.new.version if change.new is not None else None,
        }
    found["paths"] = len(piece.group.paths) if piece.group is not None else 0
    return found
