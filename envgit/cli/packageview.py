# SPDX-License-Identifier: Apache-2.0
"""Writes what became of packages, one line each, in words; and as records for ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envgit.cli import suggest, wrap
from envgit.porcelain.foundation.plaintext import plain as plain

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.cli.diffview import DiffView
    from envgit.packages.changes import PackageChange
    from envgit.packages.model import Package, Problem
    from envgit.porcelain.foundation.packages.found import Found
    from envgit.porcelain.foundation.packages.history import History

_SITES = ("site-packages", "dist-packages", "node_modules")
"""Ends of the places of packages that tell nobody anything."""

_FEW = 3
"""Modified files that are named in one line."""


def lines(app: App, changes: Sequence[PackageChange]) -> Iterator[str]:
    """One line for each change, in columns; what was only written again comes last."""
    changes = sorted(changes, key=lambda change: change.kind == "reinstalled")
    rows = [_row(app, change, names) for names in [_ambiguous(changes)] for change in changes]
    kinds = max((wrap.width(row[0]) for row in rows), default=0)
    names = max((wrap.width(row[1]) for row in rows), default=0)
    for change, (kind, name, rest) in zip(changes, rows, strict=True):
        painted = app.out.paint(f"packages.{change.kind}", kind)
        line = painted + " " * (kinds - wrap.width(kind) + 2) + name
        yield line + " " * (names - wrap.width(name) + 2) + rest if rest else line


def _row(app: App, change: PackageChange, ambiguous: frozenset[object]) -> tuple[str, str, str]:
    """The kind, the name, and all else."""
    package, old, new = change.package, change.old, change.new
    kind = change.kind + (" (config)" if change.config else "")
    said = []
    if change.kind in ("upgraded", "downgraded") and old is not None and new is not None:
        said.append(f"{plain(old.version)} -> {plain(new.version)}")
    else:
        said.append(plain(package.version))
    if change.size:
        said.append(f"({size(change.size, signed=True)})")
    if change.kind == "modified":
        said.append(_paths(app, change.modified))
    if change.kind == "removed" and new is not None:
        said.append("(configuration kept)")
    if change.kind == "changed":
        said.append(_what(change))
    elif change.kind != "removed" and package.state != "installed":
        said.append(f"({plain(package.state)})")
    if package.place:
        said.append(f"in {app.out.path(place(package))}")
    return kind, name_of(package, with_architecture=_key(package) in ambiguous), "  ".join(said)


def _what(change: PackageChange) -> str:
    """Of a package that stayed what it was, what else of its record changed."""
    old, new = change.old, change.new
    if new is None:
        return "(configuration purged)"
    if old is None or old.state != new.state:
        return f"(now {plain(new.state)})"
    return f"(now {new.reason})" if new.reason else ""


def _paths(app: App, paths: Sequence[bytes]) -> str:
    shown = ", ".join(app.out.path(path) for path in paths[:_FEW])
    return f"{shown}, +{len(paths) - _FEW} more" if len(paths) > _FEW else shown


def _ambiguous(changes: Iterable[PackageChange]) -> frozenset[object]:
    """Names that several packages of the list have, told apart by their architecture."""
    counts = Counter(_key(change.package) for change in changes)
    return frozenset(key for key, count in counts.items() if count > 1)


def _key(package: Package) -> object:
    return package.manager, package.place, package.name


def name_of(package: Package, *, with_architecture: bool = False) -> str:
    """As one may type it: ``libssl3``, ``libssl3:i386``, ``pip:numpy``."""
    name = package.name if package.is_system else f"{package.manager}:{package.name}"
    if with_architecture and package.architecture:
        name += f":{package.architecture}"
    return plain(name)


def place(package: Package) -> bytes:
    """Where a package is installed, in short."""
    above, _, last = package.place.rpartition(b"/")
    return above if above and last.decode("latin-1") in _SITES else package.place


def size(number: int, *, signed: bool = False) -> str:
    """Bytes for a reader, in thousands as package managers count them: ``12 kB``, ``+1.5 MB``."""
    amount, unit = float(abs(number)), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    sign = "-" if number < 0 else "+" if signed else ""
    digits = f"{amount:.1f}" if unit not in ("B", "kB") and amount < 100 else f"{amount:.0f}"
    return f"{sign}{digits} {unit}"


def records(found: Iterable[PackageChange]) -> list[dict[str, object]]:
    """Each change for ``--json``; sizes in bytes, versions None where it was or is not there."""
    return [
        {
            "kind": change.kind,
            "manager": change.package.manager,
            "name": change.package.name,
            "architecture": change.package.architecture,
            "place": change.package.place,
            "old": change.old.version if change.old is not None else None,
            "new": change.new.version if change.new is not None else None,
            "size": change.size,
            "state": change.package.state,
            "reason": change.package.reason,
            "modified": change.modified,
            "config": change.config,
        }
        for change in found
    ]


def as_json(found: Found) -> dict[str, object]:
    """All that was found, for ``--json``."""
    return {"packages": records(found.changes), "problems": found.problems}


def history(app: App, view: DiffView | None) -> History | None:
    """What serves the packages of a whole log, where those are shown."""
    if view is None or "packages" not in view.parts:
        return None
    from envgit.porcelain.foundation.packages.history import History

    return History(app.repository)


@contextmanager
def suggesting(otherwise: str | None = None) -> Iterator[None]:
    """Say which package may have been meant where there is none of the name that was typed; a hint
    ``otherwise``."""
    from envgit.porcelain.foundation.packages.found import NoSuchPackage

    try:
        yield
    except NoSuchPackage as error:
        typed = error.name
        near = [
            name
            for name in suggest.similar(typed, error.known)
            if name.startswith(typed) or suggest.distance(typed, name) <= len(typed) // 2 + 1
        ][:_FEW]
        if near and error.hint is None:
            error.hint = f"did you mean {' or '.join(repr(plain(name)) for name in near)}?"
        error.hint = error.hint or otherwise
        raise


class Problems:
    """Says once of each database that it could not be read."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._said: set[Problem] = set()

    def tell(self, problems: Iterable[Problem]) -> None:
        """Warn of those that were not said yet, once for each reason."""
        reasons: dict[str, list[Problem]] = {}
        for one in dict.fromkeys(problems):
            if one not in self._said:
                self._said.add(one)
                reasons.setdefault(one.reason, []).append(one)
        for reason, found in reasons.items():
            path = self._app.out.path(found[0].path)
            what = f"packages of {found[0].manager} in {path}"
            if len(found) > 1:
                what += f", and {len(found) - 1} more,"
            self._app.out.warning(f"{what} are not known: {plain(reason)}")
