# SPDX-License-Identifier: Apache-2.0
"""What ``init --from``, ``import`` and ``export`` may name: SOURCE and DEST.

The grammar is skopeo's ``transport:reference`` with envgit's own ``scratch``, ``debian:``, ``tar:``
and ``rootfs:``. Parsing looks at nothing but the text, so that a wrong word is refused before
anything is made: whether a file or a suite exists is found out by whoever reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.image.references import parse_reference

SCRATCH = "scratch"
DEBIAN = "debian"
TAR = "tar"
ROOTFS = "rootfs"

OCI = "oci"
OCI_ARCHIVE = "oci-archive"
DOCKER_ARCHIVE = "docker-archive"
DIR = "dir"
DOCKER = "docker"
IMAGES = frozenset({DOCKER, OCI, OCI_ARCHIVE, DOCKER_ARCHIVE, DIR})
"""The kinds whose content is an image: layers and a config."""

GRAMMAR = (
    "scratch, debian:SUITE[+PACKAGE,...], tar:FILE (- is standard input), rootfs:DIR,"
    " docker://REFERENCE, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME],"
    " dir:DIR"
)
DESTINATIONS = (
    "tar:FILE, tar:-, docker://REFERENCE, oci:DIR[:TAG], oci-archive:FILE[:TAG],"
    " docker-archive:FILE[:NAME], dir:DIR"
)

_SUITE = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*\Z")
# Debian policy 5.6.1 for the name; apt-get(8) for the architecture and the version behind it.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~-]+)?\Z")


class SourceError(EnvgitError):
    """The text after ``--from`` names nothing that an environment can come from."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an environment's content comes from, or goes to.

    ``value`` is the suite for ``debian``, the file for ``tar`` (``-`` is standard input), the
    directory for ``rootfs``, file or directory for images (their reference for ``docker``), and
    empty for ``scratch``; ``packages`` is for ``debian`` alone, ``name`` (which image of several)
    for images.
    """

    kind: str
    value: str = ""
    packages: tuple[str, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        """The text that parses to this source."""
        if self.kind == SCRATCH:
            return SCRATCH
        if self.kind == DOCKER:
            return f"docker://{self.value}"
        packages = f"+{','.join(self.packages)}" if self.packages else ""
        name = f":{self.name}" if self.name else ""
        return f"{self.kind}:{self.value}{packages}{name}"


def parse_source(text: str) -> Source:
    """Read SOURCE; raises `SourceError`, whose hint says what would have been understood."""
    kind, colon, value = text.partition(":")
    if text == SCRATCH:
        return Source(SCRATCH)
    if kind in (TAR, ROOTFS) and colon:
        if not value:
            noun = "a file" if kind == TAR else "a directory"
            raise SourceError(f"{kind}: needs {noun} behind the colon", hint=f"sources: {GRAMMAR}")
        return Source(kind, value)
    if kind == DEBIAN and colon:
        return _parse_debian(value)
    if kind in IMAGES and colon:
        return _parse_image(kind, value, GRAMMAR, "sources")
    raise SourceError(f"unknown source '{text}'", hint=_suggest(text, kind))


def parse_destination(text: str) -> Source:
    """Read DEST; raises `SourceError`, whose hint says what would have been understood."""
    kind, colon, value = text.partition(":")
    if kind == TAR and colon and value:
        return Source(kind, value)
    if kind in IMAGES and colon:
        return _parse_image(kind, value, DESTINATIONS, "destinations")
    raise SourceError(f"unknown destination '{text}'", hint=f"destinations: {DESTINATIONS}")


def _parse_image(kind: str, value: str, grammar: str, what: str) -> Source:
    """``PATH[:NAME]``: as in skopeo the first colon ends the path, so that it can have none.

    Raises `SourceError`, and `ImageNameError` for what is no reference.
    """
    if kind == DOCKER:
        if not value.startswith("//"):
            raise SourceError(
                f"docker: needs // behind the colon, and an image: '{value}'",
                hint=f"write docker://{value.strip('/') or 'debian:12'}",
            )
        parse_reference(value[2:])
        return Source(kind, value[2:])
    if kind == DIR:
        path, name = value, ""
    else:
        path, colon, name = value.partition(":")
        if colon and not name:
            raise SourceError(f"{kind}: no name stands behind '{path}:'", hint=f"{what}: {grammar}")
    if not path or "\0" in value:
        noun = "a directory" if kind in (OCI, DIR) else "a file"
        raise SourceError(f"{kind}: needs {noun} behind the colon", hint=f"{what}: {grammar}")
    return Source(kind, path, name=name)


def _parse_debian(value: str) -> Source:
    suite, plus, listed = value.partition("+")
    if not _SUITE.match(suite):
        raise SourceError(
            f"'{suite}' is not the name of a Debian suite",
            hint="write, for instance, debian:bookworm or debian:stable+python3,git",
        )
    packages = tuple(name for name in listed.split(",") if name)
    if plus and not packages:
        raise SourceError("no package is named behind the +", hint=f"sources: {GRAMMAR}")
    for name in packages:
        if not _PACKAGE.match(name):
            raise SourceError(f"'{name}' cannot be the name of a Debian package")
    return Source(DEBIAN, suite, packages)


def _suggest(text: str, kind: str) -> str:
    """The one sentence that helps most with a source that was not understood."""
    if kind == DEBIAN:
        return "name the suite: debian:bookworm"
    if re.search(r"\.(tar|t?gz|t?xz|t?zst|tzst)(\.\w+)?\Z", text):
        return f"for an archive write tar:{text}"
    if text.startswith((".", "/", "~")) or text.endswith("/"):
        return f"for a directory write rootfs:{text}"
    return f"sources: {GRAMMAR}"
