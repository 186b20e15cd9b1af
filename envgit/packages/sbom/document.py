# SPDX-License-Identifier: Apache-2.0
"""What a bill of materials says, whatever format it is written in; `bill` gathers it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from uuid import UUID, uuid5

from envgit.errors import UsageError
from envgit.packages.model import Package, Problem
from envgit.packages.sbom.licenses import License
from envgit.packages.sbom.system import System
from envgit.packages.sbom.text import fit, fit_path, timestamp

_NAMESPACE = UUID("7f0f6e1c-6a55-5d0c-9f9e-2c0d3f6b8a41")
"""Of envgit's serial numbers (RFC 4122, 4.3); any constant would do."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format and the version of its specification: ``cyclonedx-json`` in ``1.6``."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


VERSIONS = {
    "cyclonedx-json": ("1.6", "1.7", "1.5", "1.4"),
    "spdx-json": ("2.3", "2.2"),
}
"""What can be written, as syft and trivy call it; the first version is the default."""

_ALIASES = {"cyclonedx": "cyclonedx-json", "spdx": "spdx-json"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a document is about: a commit, or the worktree on top of one.

    ``version`` is the commit's id, with ``-dirty`` behind it where something is uncommitted;
    ``rootfs`` the git id of the tree of its files, empty where it has none. Times are seconds since
    1970: ``authored`` of the commit, ``created`` that of the document. ``tool`` is our version.
    """

    name: str
    version: str
    commit: str
    rootfs: str
    branch: str
    authored: int | None
    created: int
    tool: str

    def facts(self) -> Iterator[tuple[str, str]]:
        """What there is to say besides name and version, by name."""
        if self.commit:
            yield "commit", self.commit
        if self.rootfs:
            yield "rootfs", self.rootfs
        if self.branch:
            yield "branch", fit(self.branch)
        if self.authored is not None:
            yield "author-date", timestamp(self.authored)


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a package as it is in the tree: ``path`` from the root, ``sha1`` where it was asked
    for, digests in hexadecimal."""

    path: str
    sha256: str
    sha1: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """A package in a document; ``ref`` names it there and nothing else."""

    ref: str
    package: Package
    purl: str
    licenses: tuple[License, ...]
    files: tuple[Content, ...] = ()

    def facts(self) -> Iterator[tuple[str, str]]:
        """What the formats have no field of their own for, by name."""
        package = self.package
        yield "manager", package.manager
        if package.place:
            yield "place", fit_path(package.place)
        yield "database", fit_path(package.unit)
        yield from (
            (name, fit(value))
            for name, value in (
                ("architecture", package.architecture),
                ("source", package.source),
                ("reason", package.reason),
                ("state", "" if package.state == "installed" else package.state),
                ("carried-by", package.carried_by),
            )
            if value
        )
        if package.size is not None:
            yield "size", str(package.size)


@dataclass(frozen=True, slots=True)
class Bill:
    """All that a document says. ``edges`` has what each component needs, by ``ref``; ``roots`` are
    the components that the environment is there for: all others are needed by one of them."""

    subject: Subject
    system: System | None
    components: tuple[Component, ...]
    edges: dict[str, tuple[str, ...]]
    roots: tuple[str, ...]
    problems: tuple[Problem, ...]

    def serial(self, written: Format) -> UUID:
        """The document's serial number: another for whatever says something else."""
        digest = hashlib.sha256()
        few = (written, self.subject, self.system, self.roots, self.problems)
        for part in chain(few, self.components, self.edges.items()):
            digest.update(f"{part!r}\n".encode("utf-8", "backslashreplace"))
        return uuid5(_NAMESPACE, f"{self.subject.version} {digest.hexdigest()}")

    def complaints(self) -> list[str]:
        """The problems, a sentence each."""
        return [_complaint(one) for one in self.problems]


def parse_format(text: str) -> Format:
    """``cyclonedx``, ``spdx-json``, ``cyclonedx-json@1.5``, … Raises UsageError."""
    name, at, version = text.lower().partition("@")
    name = _ALIASES.get(name, name)
    if name not in VERSIONS:
        raise UsageError(
            f"unknown format '{text}'", hint=f"there are {' and '.join(sorted(VERSIONS))}"
        )
    if at and version not in VERSIONS[name]:
        raise UsageError(
            f"unknown version '{version}' of {name}",
            hint=f"there are {', '.join(sorted(VERSIONS[name]))}",
        )
    return Format(name, version if at else VERSIONS[name][0])


def _complaint(problem: Problem) -> str:
    what = {"file": "file", "dependency": "dependencies"}.get(
        problem.manager, f"{problem.manager} database"
    )
    where = f" '{fit_path(problem.path)}'" if problem.path else ""
    return fit(f"cannot read the {what}{where}: {problem.reason}")
