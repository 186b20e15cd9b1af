# SPDX-License-Identifier: Apache-2.0
"""Messages for commits that changed packages, as a person would write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from envgit.packages import changes as kinds
from envgit.packages.changes import PackageChange
from envgit.packages.managers import NAMES
from envgit.packages.model import ABSENT, as_compared
from envgit.porcelain.foundation.plaintext import plain

_VERBS = {
    kinds.ADDED: "install",
    kinds.REMOVED: "remove",
    kinds.UPGRADED: "upgrade",
    kinds.DOWNGRADED: "downgrade",
    kinds.REINSTALLED: "reinstall",
}

_CALLED = {"dpkg": "apt"}
"""Managers by the name of the program that people type."""

_PROGRAMS = {
    "dpkg": ("apt", "apt-get", "aptitude", "dpkg"),
    "rpm": ("dnf", "microdnf", "yum", "zypper", "rpm"),
    "pip": ("pip", "pip3", "uv", "poetry"),
    "conda": ("conda", "mamba", "micromamba"),
    "npm": ("npm", "npx", "yarn", "pnpm"),
    "gem": ("gem", "bundle"),
}
"""What people type to change packages; a manager's own name where nothing is said."""

_HELD = "hold"
"""The state of a package of dpkg that is not to be upgraded (apt-mark(8))."""

_APART = re.compile(r"[^A-Za-z0-9+.@/_-]+")
_WITHIN = re.compile(r"[/_]|\.deb$|\.rpm$|\.apk$|\.whl$")


def draft(changes: Iterable[PackageChange], words: Iterable[str] = ()) -> str | None:
    """A message that names what was done to packages; None if nothing was.

    ``words`` are of the command lines that did it: what they name comes first, in their order, then
    what is there for its own sake. Files that were modified by hand are nobody's installation:
    the body lists them where there is more to say.
    """
    asked = _names(words)
    changes = tuple(changes)
    done = [one for one in changes if one.kind in _VERBS or _mark(one)]
    # Some managers write everything again whatever they are asked to do.
    again = [one for one in done if one.kind == kinds.REINSTALLED]
    named = [one for one in again if _alike(one.package.name) in asked]
    acts = [one for one in done if one.kind in _VERBS and one.kind != kinds.REINSTALLED] + named
    # What became of a reason is worth a line, and a headline only when there is nothing else.
    marks = [one for one in done if one.kind not in _VERBS]
    acts = acts or again or marks
    if not acts:
        return None
    rest = marks if acts is not marks else []
    ordered = sorted(acts, key=lambda one: _rank(one, asked)) + rest
    managers = list(dict.fromkeys(one.package.manager for one in ordered))
    heads = []
    for manager in managers:
        mine = [one for one in ordered if one.package.manager == manager]
        more = f", +{len(mine) - 1} more" if len(mine) > 1 else ""
        heads.append(f"{called(manager)}: {phrase(mine[0])}{more}")
    subject = "; ".join(heads) + "\n"
    by_hand = [one for one in changes if one.kind == kinds.MODIFIED]
    if len(ordered) == len(managers) and not by_hand:
        return subject
    ordered += by_hand
    managers = list(dict.fromkeys(one.package.manager for one in ordered))
    lines = []
    for manager in managers:
        before = f"{called(manager)}: " if len(managers) > 1 else ""
        lines += [f"{before}{phrase(one)}\n" for one in ordered if one.package.manager == manager]
    return f"{subject}\n{''.join(lines)}"


def phrase(change: PackageChange) -> str:
    """What was done to one package: ``upgrade libssl3 3.0.11-1 → 3.0.13-1``."""
    name = plain(change.package.name)
    if change.kind == kinds.MODIFIED:
        return f"modify files of {name}"
    verb = _VERBS.get(change.kind)
    if verb is None:
        return f"mark {name} as {_mark(change)}"
    if change.kind in (kinds.UPGRADED, kinds.DOWNGRADED) and change.old and change.new:
        return f"{verb} {name} {plain(change.old.version)} → {plain(change.new.version)}"
    return f"{verb} {name} {plain(change.package.version)}".rstrip()


def called(manager: str) -> str:
    """The name of the program that people type."""
    return _CALLED.get(manager, manager)


def concerns(change: PackageChange, words: Iterable[str]) -> int:
    """How surely a command line is what changed a package: 2 if it names it, 1 if it calls the
    manager, 0 otherwise."""
    named = _names(words)
    if _alike(change.package.name) in named:
        return 2
    programs = _PROGRAMS.get(change.package.manager, (change.package.manager,))
    return int(any(program in named for program in programs))


def _mark(change: PackageChange) -> str:
    """The reason that a package is there for now, if that changed, or whether it is held."""
    old, new = change.old, change.new
    if change.kind != kinds.CHANGED or old is None or new is None:
        return ""
    if old.reason != new.reason:
        return new.reason
    if _HELD in (old.state, new.state):
        return "held" if new.state == _HELD else "not held"
    return ""


def _rank(change: PackageChange, asked: Mapping[str, int]) -> tuple[int, bool, int, str]:
    package = change.package
    place = asked.get(_alike(package.name), len(asked))
    if package.name in _PROGRAMS.get(package.manager, ()):
        # "venv/bin/pip install flask" brings pip as well, and names it; flask is what was wanted.
        place = len(asked)
    return place, package.reason == "automatic", NAMES.index(package.manager), package.name


def _names(words: Iterable[str]) -> dict[str, int]:
    """What of command lines may be the name of a package, and which of them is named first. A whole
    script may be one word."""
    found: dict[str, int] = {}
    for word in words:
        for part in _APART.split(word):
            for name in map(_alike, (part, part.rpartition("@")[0], *_WITHIN.split(part))):
                found.setdefault(name, len(found))
    return found


def _alike(name: str) -> str:
    """A name as it is compared: pip knows ``Foo_Bar`` as ``foo-bar`` (PEP 503)."""
    return as_compared("pip", name)


def hook_lines(changes: Sequence[PackageChange]) -> bytes:
    """What the hook ``package-changed`` reads: ``OP MANAGER NAME OLD NEW``, ``-`` for no version.

    No part has a space in it, whatever a database says.
    """
    lines = []
    for one in changes:
        old, new = (
            side.version if side is not None and side.state not in ABSENT else ""
            for side in (one.old, one.new)
        )
        package = one.package
        words = (one.kind, package.manager, package.name, old, new)
        lines.append(" ".join(_word(word) for word in words) + "\n")
    return "".join(lines).encode("utf-8", "replace")


def _word(text: str) -> str:
    return plain("?".join(text.split())) or "-"
