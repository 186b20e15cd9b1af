# SPDX-License-Identifier: Apache-2.0
"""Content that is no image, from Debian, a tar archive or a folder, for a first commit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO

from envgit.errors import EnvgitError
from envgit.image.config import to_commit
from envgit.image.source import DEBIAN, DOCKER, ROOTFS, SCRATCH, TAR, Source
from envgit.porcelain.foundation.images.places import this_machine
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.plan import DEFAULT_PATH


class SourceUnreadable(EnvgitError):
    """The source of ``init --from`` or ``import`` is missing or cannot be read."""


def fill(
    repository: Repository,
    upper: str,
    source: Source,
    *,
    progress: Callable[..., None] | None = None,
    stdin: BinaryIO | None = None,
) -> None:
    """Put the source's content into ``upper``, a new upper directory that nobody mounts.

    ``stdin`` is read for ``tar:-``. Raises SourceUnreadable, ArchiveError, BootstrapError.
    """
    if source.kind == TAR:
        _extract(repository, source.value, upper, stdin)
    elif source.kind == ROOTFS:
        _copy(source.value, upper)
    elif source.kind == DEBIAN:
        from envgit.image.debian import bootstrap

        bootstrap(
            source.value,
            source.packages,
            upper,
            environment=repository.environ,
            progress=progress,
        )


def _extract(repository: Repository, file: str, upper: str, stdin: BinaryIO | None) -> None:
    from envgit.layers.untar import extract

    if file == "-":
        if stdin is None:
            raise SourceUnreadable("tar:- needs an archive on standard input")
        extracted = extract(stdin, upper)
    else:
        try:
            stream = open(file, "rb")  # noqa: SIM115  (only opening is to be explained)
        except OSError as error:
            raise SourceUnreadable(f"cannot read '{file}': {error.strerror}") from error
        with stream:
            extracted = extract(stream, upper)
    for skipped in extracted.skipped:
        path = skipped.path.decode("utf-8", "backslashreplace")
        repository.notify(f"{path} is left out: {skipped.reason}")


def _copy(folder: str, upper: str) -> None:
    from envgit.layers.directory import copy
    from envgit.layers.scan import scan

    if not os.path.isdir(folder):
        raise SourceUnreadable(f"'{folder}' is no directory")
    root = os.fsencode(os.path.abspath(folder))
    node = scan(root, hashes=None, overlay=False).node
    copy(os.fsencode(upper), node, root)


def described(source: Source) -> str:
    """A source in few words, without where it lies on this machine."""
    if source.kind in (SCRATCH, DEBIAN, DOCKER):
        return str(source)
    place = os.path.basename(source.value.rstrip("/")) or source.value
    return f"{source.kind}:{place}" + (f":{source.name}" if source.name else "")


def config_of(source: Source) -> dict[str, Any]:
    """The run configuration of a new environment, in the words of the OCI image spec."""
    config: dict[str, Any] = to_commit({}, this_machine())
    if source.kind != SCRATCH:
        config["Env"] = [f"PATH={DEFAULT_PATH}"]
    return config
