# SPDX-License-Identifier: Apache-2.0
"""Requires-Dist of Python's packages, within what one interpreter imports from.

Sources: "Dependency specifiers" of packaging.python.org, site(3) for which directories an
interpreter looks into, Debian's python-policy for its ``dist-packages``. Markers are evaluated for
the interpreter that a directory belongs to, extras hold where somebody asks for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

from envgit.packages.model import Package, as_compared
from envgit.packages.needs.need import Need, Owning, absent, wrong_version

_VERSION = re.compile(rb"(?:^|/)(python|pypy)(\d{1,2}\.\d{1,3})[a-z]?(?=/|$)")
_MICRO = re.compile(r"\d{1,2}\.\d{1,3}(?:\.\d{1,3})?")
_LONGEST = 4096

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64le"}


class Search(NamedTuple):
    """What one interpreter sees: the places in its order, and what markers compare."""

    places: tuple[bytes, ...]
    environment: dict[str, str]


class Python:
    """All Python packages of a state."""

    def __init__(self, packages: Sequence[Package], owning: Owning | None) -> None:
        self._interpreters = _interpreters(packages)
        self._machine = _machine(packages)
        self._named: dict[tuple[bytes, str], list[Package]] = {}
        mine = [package for package in packages if package.manager == "pip"]
        for package in mine:
            self._named.setdefault((package.place, package.id.name), []).append(package)
        self._places = sorted({package.place for package in mine})
        self._searches: dict[bytes, Search] = {}
        self._extras: dict[int, set[str]] = {}
        self._ask_for_extras(mine)

    def needs(self, package: Package) -> Iterator[Need]:
        search = self._search(package.place)
        for text, requirement in self._active(package, self._extras.get(id(package), set())):
            found = self._find(search, requirement.name)
            if not found:
                yield Need(text, (), absent(requirement.name))
                continue
            fits = requirement.url is not None or _contains(requirement, found[0].version)
            yield Need(text, (found[0],), "" if fits else wrong_version(found[0]))

    def refuses(self, package: Package) -> Iterator[Need]:
        """Python's packages have no conflicts of their own."""
        return iter(())

    def _find(self, search: Search, name: str) -> list[Package]:
        """What the interpreter would import: of the first place that has it."""
        wanted = as_compared("pip", name)
        for place in search.places:
            found = self._named.get((place, wanted))
            if found:
                return found
        return []

    def _ask_for_extras(self, packages: Sequence[Package]) -> None:
        """Note the extras that are asked for, those that an extra asks for included."""
        waiting = [(package, frozenset[str]()) for package in packages]
        while waiting:
            package, extras = waiting.pop()
            search = self._search(package.place)
            for _, requirement in self._active(package, extras, quickly=True):
                wanted = {as_compared("pip", extra) for extra in requirement.extras}
                for target in self._find(search, requirement.name)[:1] if wanted else ():
                    known = self._extras.setdefault(id(target), set())
                    if not wanted <= known:
                        known |= wanted
                        waiting.append((target, frozenset(known)))

    def _active(
        self, package: Package, extras: frozenset[str] | set[str], *, quickly: bool = False
    ) -> Iterator[tuple[str, Requirement]]:
        """The requirements that hold here; ``quickly`` leaves out those that ask for no extra."""
        environment = self._search(package.place).environment
        for text in package.requires:
            if quickly and "[" not in text:
                continue
            if not extras and "extra" in text and _EXTRA.search(text):
                continue
            requirement = _requirement(text)
            if requirement is not None and _holds(requirement.marker, environment, extras):
                yield text, requirement

    def _search(self, place: bytes) -> Search:
        found = self._searches.get(place)
        if found is None:
            version = self._version_of(place)
            places = tuple(one for one in self._order(place, version))
            found = Search(places, _environment(place, version, self._interpreters, self._machine))
            self._searches[place] = found
        return found

    def _order(self, place: bytes, version: str) -> list[bytes]:
        prefix = _prefix(place)
        if prefix is not None and not _is_system(prefix):
            return [place, *(p for p in self._places if p != place and _prefix(p) == prefix)]
        # The system's interpreter looks into /usr/local first; a user's own directory and one
        # given with --target come before both.
        debian = place.rpartition(b"/")[2] == b"dist-packages"
        others = []
        for other in self._places:
            its = _prefix(other)
            if other == place or its is None or not _is_system(its) or _user(other):
                continue
            alike = debian == (other.rpartition(b"/")[2] == b"dist-packages")
            if prefix is not None and not _user(place) and not alike:
                continue
            theirs = _python(other)
            if not version or not theirs or theirs == version:
                others.append(other)
        others.sort(key=lambda one: (not one.startswith(b"usr/local/"), one))
        return [*others, place] if place.startswith(b"usr/lib/") else [place, *others]

    def _version_of(self, place: bytes) -> str:
        """``3.11``; empty where nothing says it."""
        said = _python(place)
        if said or _prefix(place) is None:
            return said or self._only_version()
        # Debian's usr/lib/python3 is of its default interpreter.
        default = self._interpreters.get("3", "")
        return ".".join(default.split(".")[:2]) if default else self._only_version()

    def _only_version(self) -> str:
        versions = {_python(place) for place in self._places} - {""}
        default = self._interpreters.get("3", "")
        if default:
            return ".".join(default.split(".")[:2])
        return versions.pop() if len(versions) == 1 else ""


_EXTRA = re.compile(r";[^;]*\bextra\s*={2,3}\s*['\"][^'\"]*['\"]\s*\)*\s*$")


@lru_cache(maxsize=20_000)
def _requirement(text: str) -> Requirement | None:
    """None for what is none, as of legacy packages: nothing is known of it."""
    if len(text) > _LONGEST:
        return None
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None


def _contains(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except ValueError:
        return True


def _holds(
    marker: Marker | None, environment: dict[str, str], extras: frozenset[str] | set[str]
) -> bool:
    """Whether a requirement is one, here. Of an unknown interpreter none with a marker is."""
    if marker is None:
        return True
    if not environment:
        return False
    for extra in ("", *sorted(extras)):
        try:
            if marker.evaluate({**environment, "extra": extra}):
                return True
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
    return False


# -- interpreters -----------------------------------------------------------------------------


def _python(place: bytes) -> str:
    found = list(_VERSION.finditer(place))
    return found[-1].group(2).decode() if found else ""


def _prefix(place: bytes) -> bytes | None:
    """The prefix that an interpreter is installed in; None for a directory of no interpreter."""
    parts = place.split(b"/")
    if len(parts) < 3 or parts[-1] not in (b"site-packages", b"dist-packages"):
        return None
    if not parts[-2].startswith((b"python", b"pypy")) or parts[-3] not in (b"lib", b"lib64"):
        return None
    return b"/".join(parts[:-3])


def _user(place: bytes) -> bool:
    return (_prefix(place) or b"").rpartition(b"/")[2] == b".local"


def _is_system(prefix: bytes) -> bool:
    return prefix in (b"", b"usr", b"usr/local") or prefix.rpartition(b"/")[2] == b".local"


def _interpreters(packages: Sequence[Package]) -> dict[str, str]:
    """Full versions by ``3.11`` and, of the system's default, by ``3``; of conda's by prefix."""
    found: dict[str, str] = {}
    for package in packages:
        if not package.is_system and package.manager != "conda":
            continue
        if not package.name.startswith("python"):
            continue
        match = _MICRO.match(package.version.partition(":")[2] or package.version)
        if match is None:
            continue
        full = match.group()
        if package.manager == "conda":
            if package.name == "python":
                found[f"/{package.place.decode('latin-1')}"] = full
        elif package.name in ("python3", "python", "python3-minimal"):
            found.setdefault("3", full)
            found.setdefault(".".join(full.split(".")[:2]), full)
        elif package.name == f"python{'.'.join(full.split('.')[:2])}" or (
            package.name == f"python{'.'.join(full.split('.')[:2])}-minimal"
        ):
            found[".".join(full.split(".")[:2])] = full
    return found


def _machine(packages: Sequence[Package]) -> str:
    for package in packages:
        named = package.architecture not in ("", "all", "noarch", "any", "(none)")
        if package.is_system and named:
            return _MACHINES.get(package.architecture, package.architecture)
    # Nobody says what the environment was made for; here is where it runs.
    return os.uname().machine


def _environment(
    place: bytes, version: str, interpreters: dict[str, str], machine: str
) -> dict[str, str]:
    """The marker variables of "Dependency specifiers"; none where the version is not known."""
    if not version:
        return {}
    prefix = (_prefix(place) or b"").decode("latin-1")
    full = interpreters.get(f"/{prefix}") or interpreters.get(version, "")
    if not full.startswith(f"{version}."):
        # What asks for a micro release asks for the end of a bug: likely, it is there.
        full = f"{version}.99"
    pypy = b"pypy" in place
    return {
        "implementation_name": "pypy" if pypy else "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "PyPy" if pypy else "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": version,
        "sys_platform": "linux",
    }
