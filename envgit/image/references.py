# SPDX-License-Identifier: Apache-2.0
"""Names of images as docker and podman write them: ``[DOMAIN/]PATH[:TAG][@DIGEST]``.

The grammar is that of the distribution project's ``reference`` package (its ``Grammar`` comment),
with docker's short forms: ``debian`` is ``docker.io/library/debian:latest``. Text in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from envgit.errors import EnvgitError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LIBRARY = "library/"
# Names that docker.io had, and that references in the wild still use.
_ALIASES = {"index.docker.io": DEFAULT_DOMAIN, "registry-1.docker.io": DEFAULT_DOMAIN}
# The distribution specification's and docker's bound on a repository's name.
_MAX_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")


class ImageNameError(EnvgitError):
    """A text that cannot be the name of an image."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The full name of an image: ``domain`` with its port, ``path`` within the registry.

    ``tag`` and ``digest`` are None where the text had none; with both, the digest counts.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Domain and path: what docker calls the repository."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as docker shows it: without ``docker.io`` and ``library``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix(_LIBRARY) if self.path.count("/") == 1 else self.path

    @property
    def identifier(self) -> str:
        """What a registry is asked for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    def with_tag(self, tag: str) -> Reference:
        """The same repository's image of that tag. Raises `ImageNameError`."""
        return replace(self, tag=check_tag(tag), digest=None)

    def with_default_tag(self) -> Reference:
        """This reference, with ``latest`` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Read the name of an image and complete its domain and path. Raises `ImageNameError`."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ImageNameError(
            f"'{digest}' is not the digest of an image",
            hint="a digest is sha256: and 64 hexadecimal digits",
        )
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # no tag, or the port of a domain
        name, colon, tag = rest, "", ""
    if colon:
        check_tag(tag)
    domain, path = _split(name)
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path) or len(path) > _MAX_NAME:
        raise ImageNameError(f"'{text}' is not the name of an image", hint=_suggest(name))
    if domain == DEFAULT_DOMAIN and _IDENTIFIER.fullmatch(path.removeprefix(_LIBRARY)):
        raise ImageNameError(f"'{text}' is an image's id, not its name")
    return Reference(domain, path, tag or None, digest or None)


def check_tag(tag: str) -> str:
    """``tag`` itself if it can be one. Raises `ImageNameError`."""
    if not _TAG.fullmatch(tag):
        raise ImageNameError(
            f"'{tag[:150]}' cannot be a tag",
            hint="a tag is at most 128 letters, digits, '_', '.' and '-'",
        )
    return tag


def _split(name: str) -> tuple[str, str]:
    """Domain and path: the first part is a domain if it could not be a path's (docker's rule)."""
    first, slash, rest = name.partition("/")
    if slash and (any(c in first for c in ".:[") or first == "localhost" or first.lower() != first):
        domain, path = _ALIASES.get(first, first), rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == DEFAULT_DOMAIN and path and "/" not in path:
        path = _LIBRARY + path
    return domain, path


def _suggest(name: str) -> str:
    if name != name.lower():
        return "names of repositories are in lower case"
    return "write, for instance, debian:12 or registry.example.org/team/app:1.0"
