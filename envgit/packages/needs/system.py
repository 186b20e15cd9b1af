# SPDX-License-Identifier: Apache-2.0
"""The relations of managers of whole systems: names, versions, and what packages provide.

Sources: deb-control(5) and Debian Policy 7 (alternatives, versioned provides, architecture
qualifiers), rpm's "Dependencies" manual (flags, rich dependencies, files, rpmlib), apk-world(5) and
apk-package(5), PKGBUILD(5) and alpm's deps.c. What they share is the model; a class per manager
says how its relations are written and what satisfies one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

from envgit.packages import versions
from envgit.packages.model import ABSENT, Package
from envgit.packages.needs.need import Need, Owning, absent, wrong_version

# States of dpkg in which a package's files are in use; the others are remains of it.
_GONE = ABSENT | {"half-installed"}

_LONGEST = 4096
"""Characters of a relation that is looked at."""


class Wish(NamedTuple):
    """A name, and a version where ``operator`` is one of ``< <= = >= > ~``."""

    name: str
    operator: str = ""
    version: str = ""
    architecture: str = ""


class Offer(NamedTuple):
    """A name that a package answers to, in a version or in none; ``own`` is its real name."""

    package: Package
    version: str
    own: bool


class System:
    """The shared model."""

    manager: ClassVar[str]

    # Whether a provided name without a version satisfies a wish for one.
    unversioned_fits: ClassVar[bool] = False

    # Whether what is written without a release or revision means all of them.
    partial_versions: ClassVar[bool] = False

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        self._owning = owning
        self._offers: dict[str, list[Offer]] = {}
        for package in packages:
            if package.manager != self.manager or package.state in _GONE:
                continue
            self._offer(package.name, Offer(package, package.version, True))
            for provided in package.provides:
                for wish in self._provided(provided):
                    self._offer(wish.name, Offer(package, wish.version, False))

    def needs(self, package: Package) -> Iterator[Need]:
        if package.state in _GONE:
            return
        for relation in package.requires:
            alternatives = self._wishes(relation)
            if alternatives:
                yield self._need(package, relation, alternatives)

    def refuses(self, package: Package) -> Iterator[Need]:
        if package.state in _GONE:
            return
        for relation in package.conflicts:
            for wish in self._refused(relation):
                for offer in self._offers.get(wish.name, ()):
                    other = offer.package
                    # One may conflict with what itself provides: it wants to be the only one.
                    if other.name == package.name or not self._is_theirs(wish, package, offer):
                        continue
                    if not self._fits(wish, offer, package, refusing=True):
                        continue
                    yield Need(relation, (other,), wrong_version(other))

    # -- what managers differ in --------------------------------------------------------------

    def _wishes(self, relation: str) -> Sequence[Wish]:
        """The alternatives of a relation; none of what cannot be understood, and so holds."""
        raise NotImplementedError

    def _provided(self, relation: str) -> Sequence[Wish]:
        return self._wishes(relation)

    def _refused(self, relation: str) -> Sequence[Wish]:
        return self._wishes(relation)

    def _is_theirs(self, wish: Wish, package: Package, offer: Offer) -> bool:
        """Whether a package of that architecture can satisfy the wish of another."""
        return True

    def _nearest(self, package: Package, found: list[Package]) -> list[Package]:
        """Those of several that satisfy a wish which the package really uses."""
        return found

    # -- how they are alike -------------------------------------------------------------------

    def _offer(self, name: str, offer: Offer) -> None:
        self._offers.setdefault(name, []).append(offer)

    def _need(self, package: Package, relation: str, wishes: Sequence[Wish]) -> Need:
        found: dict[int, Package] = {}
        near: dict[int, Package] = {}
        for wish in wishes:
            if wish.name.startswith("/") and wish.name not in self._offers:
                if self._owning is None:
                    return Need(relation)
                owner = self._owner(wish.name)
                if owner is not None:
                    found[id(owner)] = owner
                continue
            for offer in self._offers.get(wish.name, ()):
                fits = self._fits(wish, offer, package, refusing=False)
                (found if fits else near)[id(offer.package)] = offer.package
        if found:
            return Need(relation, tuple(self._nearest(package, list(found.values()))))
        if near:
            first = next(iter(near.values()))
            return Need(relation, tuple(near.values()), wrong_version(first))
        return Need(relation, (), absent(wishes[0].name))

    def _owner(self, path: str) -> Package | None:
        if self._owning is None:
            return None
        plain = path.strip("/").encode("utf-8", "replace")
        for candidate in (plain, b"usr/" + plain, plain.removeprefix(b"usr/")):
            owner = self._owning(candidate)
            if owner is not None:
                return owner
        return None

    def _fits(self, wish: Wish, offer: Offer, package: Package, *, refusing: bool) -> bool:
        if not refusing and not self._is_theirs(wish, package, offer):
            return False
        if not wish.operator:
            return True
        if not offer.version:
            return self.unversioned_fits and not refusing
        return self._compares(offer.version, wish.operator, wish.version)

    def _compares(self, have: str, operator: str, wanted: str) -> bool:
        if operator == "~":
            rest = have.removeprefix(wanted)
            return rest != have and not rest[:1].isdigit()
        if self.partial_versions:
            if "-" not in wanted:
                have = have.rpartition("-")[0] or have
            elif "-" not in have:
                wanted = wanted.rpartition("-")[0]
        order = versions.compare(self.manager, have, wanted)
        return {
            "<": order < 0,
            "<=": order <= 0,
            "=": order == 0,
            ">=": order >= 0,
            ">": order > 0,
        }.get(operator, True)


_DPKG = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9.+-]*)(?::([a-z0-9-]+))?\s*"
    r"(?:\(\s*(<<|<=|>=|>>|=|<|>)\s*([^\s()]+)\s*\))?\s*"
)
# "<" and ">" are what "<=" and ">=" were once spelt as (deb-control(5) calls them obsolete).
_DPKG_OPERATORS = {"<<": "<", ">>": ">", "<": "<=", ">": ">="}


class Dpkg(System):
    """``a (>= 1) | b:any``."""

    manager = "dpkg"

    def _wishes(self, relation: str) -> Sequence[Wish]:
        return _dpkg(relation)

    def _is_theirs(self, wish: Wish, package: Package, offer: Offer) -> bool:
        have = offer.package.architecture
        if wish.architecture in ("any", "native", ""):
            # Whether a foreign package may answer is in its Multi-Arch field, which is not
            # kept; one that is installed nevertheless was accepted by dpkg.
            return True
        return have in (wish.architecture, "all", "")

    def _nearest(self, package: Package, found: list[Package]) -> list[Package]:
        same = {one.name for one in found if one.architecture == package.architecture}
        return [
            one for one in found if one.name not in same or one.architecture == package.architecture
        ]


@lru_cache(maxsize=50_000)
def _dpkg(relation: str) -> tuple[Wish, ...]:
    found = []
    for part in relation[:_LONGEST].split("|"):
        match = _DPKG.fullmatch(part)
        if match is None:
            return ()
        name, architecture, operator, version = match.groups()
        operator = _DPKG_OPERATORS.get(operator or "", operator or "")
        found.append(Wish(name, operator, version or "", architecture or ""))
    return tuple(found)


class Rpm(System):
    """``name >= version``, ``/path``, ``rpmlib(...)`` and ``(a or b)``, ``(a if b)``."""

    manager = "rpm"
    unversioned_fits = True
    partial_versions = True

    def _wishes(self, relation: str) -> Sequence[Wish]:
        return _rpm(relation) if not relation.startswith(("rpmlib(", "config(")) else ()

    def needs(self, package: Package) -> Iterator[Need]:
        for relation in package.requires:
            if relation.startswith("("):
                yield from self._rich(package, relation)
                continue
            wishes = self._wishes(relation)
            if wishes:
                yield self._need(package, relation, wishes)

    def _compares(self, have: str, operator: str, wanted: str) -> bool:
        # What provides a version whatever its release may have the one that is wanted.
        if "-" in wanted and "-" not in have:
            version = wanted.rpartition("-")[0]
            if versions.compare(self.manager, have, version) == 0:
                return True
        return super()._compares(have, operator, wanted)

    def _rich(self, package: Package, relation: str) -> Iterator[Need]:
        """Of boolean relations those without another inside; what is nested holds."""
        inner = relation[1:-1] if relation.endswith(")") else ""
        words = inner.split(" ")
        kinds = [word for word in words if word in ("or", "and", "if", "with", "unless", "without")]
        if not inner or inner.startswith("(") or " (" in inner or len(set(kinds)) != 1:
            return
        parts = [_rpm(part) for part in inner.split(f" {kinds[0]} ")]
        if not all(parts):
            return
        if kinds[0] == "or":
            yield self._need(package, relation, [part[0] for part in parts])
        elif kinds[0] in ("and", "with"):
            for part in parts:
                yield self._need(package, relation, part)
        elif kinds[0] == "if" and not self._need(package, relation, parts[1]).why:
            yield self._need(package, relation, parts[0])


@lru_cache(maxsize=50_000)
def _rpm(relation: str) -> tuple[Wish, ...]:
    words = relation[:_LONGEST].split()
    if len(words) == 1:
        return (Wish(words[0]),)
    if len(words) == 3 and words[1] in ("<", "<=", "=", ">=", ">", "=="):
        return (Wish(words[0], words[1].replace("==", "="), words[2]),)
    return ()


_WORD = re.compile(r"([^<>=~@\s]+)(?:@[^<>=~\s]*)?\s*([<>=~]{0,2})\s*([^<>=~\s]*)")
_APK_OPERATORS = {"~=": "~", "=~": "~", "==": "="}


@lru_cache(maxsize=50_000)
def _word(relation: str) -> tuple[Wish, ...]:
    """``name>=version``; nothing for what asks for a checksum (``><``)."""
    match = _WORD.fullmatch(relation[:_LONGEST].strip())
    if match is None:
        return ()
    name, operator, version = match.groups()
    operator = _APK_OPERATORS.get(operator, operator)
    if operator not in ("", "<", "<=", "=", ">=", ">", "~") or bool(operator) != bool(version):
        return ()
    return (Wish(name, operator, version),)


class Apk(System):
    """``name``, ``name>=version``, ``name~1.2``, ``so:``, ``cmd:``, ``pc:``."""

    manager = "apk"

    def _wishes(self, relation: str) -> Sequence[Wish]:
        return _word(relation)


class Pacman(System):
    """``name``, ``name>=version``, ``libfoo.so=1-64``."""

    manager = "pacman"
    partial_versions = True

    def _wishes(self, relation: str) -> Sequence[Wish]:
        return _word(relation.partition(": ")[0])
